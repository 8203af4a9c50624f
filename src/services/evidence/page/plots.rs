//! The plots of a limit: its use against its quota, and what it refused, an hour a bar.

use super::super::{HourOfUsage, LimitEvidence, Span, Usage};
use crate::charts::{Axis, DENIED, Failed, Frame, QUOTA, USE, WANTED, bar, draw, escape, line, moment};
use crate::domain::quantity::Quota;
use crate::services::history::HOUR_MS;
use std::fmt::Write;

const TIME_TICKS: i64 = 12;
/// A wanted quota so many times above all else would leave nothing of the rest to be seen.
const MOST_ABOVE: u64 = 12;

/// As figures of the section of the limit.
pub(super) fn plots(out: &mut String, span: &Span, (limit, usage): (&LimitEvidence, &Usage), wanted: Option<Quota>) {
    if usage.hours.is_empty() {
        return;
    }
    let wanted = wanted.and_then(Quota::units).map(|wanted| at_once(limit, wanted));
    let high = highest(limit, usage);
    let shown = wanted.filter(|wanted| *wanted / MOST_ABOVE <= high);
    let mut legend = "<i class=\"use\"></i>most in use in an hour <i class=\"quota\"></i>quota in force".to_owned();
    match (wanted, shown) {
        (Some(_), Some(_)) => legend.push_str(" <i class=\"wanted\"></i>asked for"),
        (Some(_), None) => legend.push_str(". What is asked for is far above this"),
        (None, _) => {}
    }
    figure(out, "use", &legend, uses(span, (limit, usage), shown, high));
    if usage.denied > 0 {
        let legend = "<i class=\"denied\"></i>denied requests an hour";
        figure(out, "denied", legend, denied(span, limit, usage));
    }
}

fn figure(out: &mut String, kind: &str, legend: &str, svg: Result<String, Failed>) {
    // It is drawn into memory, which does not fail; a page without a plot is still a page.
    let svg = svg.unwrap_or_else(|error| format!("<p>{}</p>", escape(&error.to_string())));
    _ = writeln!(
        out,
        "<figure class=\"plot {kind}\">\n<figcaption>{legend}</figcaption>\n{}</figure>",
        svg.trim_start()
    );
}

/// What of a wanted quota may be in use at once: a token bucket's burst grows with its quota.
fn at_once(limit: &LimitEvidence, wanted: u64) -> u64 {
    match (limit.burst, limit.quota.units().filter(|quota| *quota > 0)) {
        (Some(burst), Some(quota)) => {
            u64::try_from(u128::from(wanted) * u128::from(burst) / u128::from(quota)).unwrap_or(u64::MAX)
        }
        _ => wanted,
    }
}

fn highest(limit: &LimitEvidence, usage: &Usage) -> u64 {
    let of_hours = usage.hours.iter().map(|HourOfUsage(_, used, quota, ..)| (*used).max(quota.units().unwrap_or(0)));
    of_hours.max().unwrap_or(0).max(limit.burst.or(limit.quota.units()).unwrap_or(0)).max(1)
}

fn axis(span: &Span) -> Axis {
    Axis::times(span.from_ms..span.to_ms, TIME_TICKS, moment)
}

fn begins(span: &Span, hour: u16) -> i64 {
    span.from_ms + i64::from(hour) * HOUR_MS
}

fn uses(
    span: &Span,
    (limit, usage): (&LimitEvidence, &Usage),
    wanted: Option<u64>,
    high: u64,
) -> Result<String, Failed> {
    let unit = limit.unit.as_ref().map_or("open reservations", |unit| unit.as_str());
    let frame = Frame {
        label: format!("Most of {} in use in each hour, against its quota", limit.limit),
        x: axis(span),
        x_name: "time (UTC)".to_owned(),
        y: Axis::counts(u128::from(high.max(wanted.unwrap_or(0)))),
        y_name: format!("{unit} in use"),
    };
    draw(frame, |chart| {
        for HourOfUsage(hour, used, ..) in usage.hours.iter().filter(|hour| hour.1 > 0) {
            let left = begins(span, *hour);
            bar(chart, ((left as f64, 0.0), ((left + HOUR_MS) as f64, *used as f64)), USE)?;
        }
        for run in quota_runs(span, limit, usage) {
            line(chart, run, QUOTA)?;
        }
        if let Some(wanted) = wanted {
            let wanted = wanted as f64;
            line(chart, vec![(span.from_ms as f64, wanted), (span.to_ms as f64, wanted)], WANTED)?;
        }
        Ok(())
    })
}

/// The quota as steps: each holds until the next hour that had another; words leave a gap.
fn quota_runs(span: &Span, limit: &LimitEvidence, usage: &Usage) -> Vec<Vec<(f64, f64)>> {
    let mut changes: Vec<(i64, Option<u64>)> = Vec::new();
    for HourOfUsage(hour, _, quota, ..) in &usage.hours {
        let quota = quota.units();
        if changes.last().is_none_or(|(_, last)| *last != quota) {
            // Before the first hour it is taken to have been the same.
            let from = if changes.is_empty() { span.from_ms } else { begins(span, *hour) };
            changes.push((from, quota));
        }
    }
    let now = limit.burst.or(limit.quota.units());
    let last_hour = usage.hours.last().map_or(span.from_ms, |hour| begins(span, hour.0) + HOUR_MS);
    if last_hour < span.to_ms && changes.last().is_none_or(|(_, last)| *last != now) {
        changes.push((span.to_ms - HOUR_MS, now));
    }
    let mut runs: Vec<Vec<(f64, f64)>> = Vec::new();
    for (index, (from, quota)) in changes.iter().enumerate() {
        let Some(quota) = quota else { continue };
        let to = changes.get(index + 1).map_or(span.to_ms, |(next, _)| *next);
        let points = [(*from as f64, *quota as f64), (to as f64, *quota as f64)];
        let follows = index.checked_sub(1).is_some_and(|before| changes[before].1.is_some());
        match runs.last_mut().filter(|_| follows) {
            Some(run) => run.extend(points),
            None => runs.push(points.to_vec()),
        }
    }
    runs
}

fn denied(span: &Span, limit: &LimitEvidence, usage: &Usage) -> Result<String, Failed> {
    let most = usage.hours.iter().map(|hour| hour.4).max().unwrap_or(0);
    let frame = Frame {
        label: format!("Requests that {} denied in each hour", limit.limit),
        x: axis(span),
        x_name: "time (UTC)".to_owned(),
        y: Axis::counts(u128::from(most)),
        y_name: "denied an hour".to_owned(),
    };
    draw(frame, |chart| {
        for HourOfUsage(hour, .., denied) in usage.hours.iter().filter(|hour| hour.4 > 0) {
            let left = begins(span, *hour);
            bar(chart, ((left as f64, 0.0), ((left + HOUR_MS) as f64, *denied as f64)), DENIED)?;
        }
        Ok(())
    })
}
