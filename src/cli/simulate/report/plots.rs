//! The three kinds of plot: decisions, use against quota, waits.

use crate::charts::{ALLOWED, Axis, DENIED, Failed, Frame, QUOTA, USE, bar, draw, line, moment};
use crate::policy::duration_text;
use crate::simulate::Series;
use crate::simulate::series::Bin;
use crate::simulate::uses::{LimitName, Use};
use std::ops::Range;

/// Bars stand apart while there are fewer than this.
const CLOSE_BARS: usize = 120;
const TIME_TICKS: i64 = 12;

/// `a minute`, or `per 5m`.
pub(super) fn bin_name(series: &Series) -> String {
    match series.bins.width_ms() {
        60_000 => "a minute".to_owned(),
        width => format!("per {}", duration_text(width)),
    }
}

/// Allowed and denied, one bar a bin.
pub(super) fn decisions(series: &Series) -> Result<String, Failed> {
    let bins: Vec<(i64, &Bin)> = series.bins.iter().collect();
    let width = series.bins.width_ms();
    let tallest = bins.iter().map(|(_, bin)| bin.allowed + bin.denied).max().unwrap_or(0);
    let frame = Frame {
        label: format!("Allowed and denied requests {}", bin_name(series)),
        x: Axis::times(time_span(&bins, width), TIME_TICKS, moment),
        x_name: "time (UTC)".to_owned(),
        y: Axis::counts(u128::from(tallest)),
        y_name: format!("requests {}", bin_name(series)),
    };
    let air = if bins.len() < CLOSE_BARS { width as f64 * 0.09 } else { 0.0 };
    draw(frame, |chart| {
        for (start, bin) in &bins {
            let (left, right) = (*start as f64 + air, (*start + width) as f64 - air);
            let (allowed, all) = (bin.allowed as f64, (bin.allowed + bin.denied) as f64);
            if bin.allowed > 0 {
                bar(chart, ((left, 0.0), (right, allowed)), ALLOWED)?;
            }
            if bin.denied > 0 {
                bar(chart, ((left, allowed), (right, all)), DENIED)?;
            }
        }
        Ok(())
    })
}

/// The highest use of a limit in each bin, and its quota. In percent where the quotas differ.
pub(super) fn uses(series: &Series, limit: usize, name: &LimitName) -> Result<String, Failed> {
    let levels: Vec<(i64, Option<Use>)> =
        series.bins.iter().map(|(start, bin)| (start, bin.highest_use(limit))).collect();
    let rooms: Vec<Option<u128>> = levels.iter().filter_map(|(_, level)| level.map(|level| level.room())).collect();
    let steady = rooms.iter().all(|room| *room == rooms[0]);
    let of = |level: Use| if steady { level.used } else { level.percent().unwrap_or(0) };
    let top = if steady { rooms.first().copied().flatten() } else { Some(100) };
    let highest = levels.iter().filter_map(|(_, level)| level.map(of)).max().unwrap_or(0);
    let width = series.bins.width_ms();
    let unit = name.unit.as_deref().unwrap_or("open reservations");
    let frame = Frame {
        label: format!("Highest use of {name} {} against its quota", bin_name(series)),
        x: Axis::times(time_span(&levels, width), TIME_TICKS, moment),
        x_name: "time (UTC)".to_owned(),
        y: Axis::counts(highest.max(top.unwrap_or(0))),
        y_name: if steady { format!("{unit} in use") } else { "% of the quota in use".to_owned() },
    };
    draw(frame, |chart| {
        for (start, level) in &levels {
            let used = level.map(of).unwrap_or(0);
            if used > 0 {
                bar(chart, ((*start as f64, 0.0), ((*start + width) as f64, used as f64)), USE)?;
            }
        }
        if let (Some(top), Some((first, _)), Some((last, _))) = (top, levels.first(), levels.last()) {
            let top = top as f64;
            line(chart, vec![(*first as f64, top), ((*last + width) as f64, top)], QUOTA)?;
        }
        Ok(())
    })
}

/// How many denied requests were told to wait how long.
pub(super) fn waits(series: &Series) -> Result<String, Failed> {
    let bins: Vec<(i64, u64)> = series.waits.iter().map(|(start, count)| (start, *count)).collect();
    let width = series.waits.width_ms();
    let tallest = bins.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let end = bins.last().map_or(width, |(start, _)| start + width);
    let frame = Frame {
        label: "Denied requests by the time they were told to wait".to_owned(),
        x: Axis::times(0..end, TIME_TICKS, |at, _| duration_text(at)),
        x_name: "retry after".to_owned(),
        y: Axis::counts(u128::from(tallest)),
        y_name: format!("requests per {}", duration_text(width)),
    };
    let air = width as f64 * 0.09;
    draw(frame, |chart| {
        for (start, count) in bins.iter().filter(|(_, count)| *count > 0) {
            let (left, right) = (*start as f64 + air, (*start + width) as f64 - air);
            bar(chart, ((left, 0.0), (right, *count as f64)), DENIED)?;
        }
        Ok(())
    })
}

fn time_span<T>(bins: &[(i64, T)], width: i64) -> Range<i64> {
    match (bins.first(), bins.last()) {
        (Some((first, _)), Some((last, _))) => *first..*last + width,
        _ => 0..width,
    }
}
