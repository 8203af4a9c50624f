//! Axes whose ticks lie where people expect them.

use crate::policy::number_text;
use jiff::Timestamp;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use std::ops::Range;

/// Steps of time, in milliseconds; past the last they double.
const TIME_STEPS_MS: [i64; 25] = [
    1_000,
    2_000,
    5_000,
    10_000,
    15_000,
    30_000,
    60_000,
    2 * 60_000,
    5 * 60_000,
    10 * 60_000,
    15 * 60_000,
    30 * 60_000,
    3_600_000,
    2 * 3_600_000,
    3 * 3_600_000,
    6 * 3_600_000,
    12 * 3_600_000,
    86_400_000,
    2 * 86_400_000,
    4 * 86_400_000,
    7 * 86_400_000,
    14 * 86_400_000,
    28 * 86_400_000,
    56 * 86_400_000,
    112 * 86_400_000,
];

/// A straight axis with its ticks and their names. Drawing is the one place where floating point is used.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    range: Range<f64>,
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Counts from 0 to a round number that `largest` fits under.
    pub fn counts(largest: u128) -> Self {
        let step = round_step(largest);
        let steps = largest.div_ceil(step).max(1);
        let ticks = (0..=steps).map(|tick| ((tick * step) as f64, short(tick * step))).collect();
        // A little air, so that a line along the top is seen.
        Self { range: 0.0..(steps * step) as f64 * 1.04, ticks }
    }

    /// Moments or spans of time, named by `name`, which gets the step too; at most `most` ticks.
    pub fn times(span: Range<i64>, most: i64, name: fn(i64, i64) -> String) -> Self {
        let length = (span.end - span.start).max(1);
        let step = TIME_STEPS_MS.into_iter().find(|step| length / step <= most).unwrap_or_else(|| {
            let mut step = TIME_STEPS_MS[TIME_STEPS_MS.len() - 1];
            while length / step > most {
                step *= 2;
            }
            step
        });
        let first = span.start.div_euclid(step) + i64::from(span.start.rem_euclid(step) != 0);
        let ticks = (first..=span.end.div_euclid(step)).map(|tick| (tick * step) as f64);
        let ticks = ticks.map(|at| (at, name(at as i64, step))).collect();
        Self { range: span.start as f64..span.end.max(span.start + 1) as f64, ticks }
    }

    /// The name of a tick.
    pub fn name(&self, at: f64) -> String {
        let close = |tick: &&(f64, String)| (tick.0 - at).abs() < 1e-6;
        self.ticks.iter().find(close).map(|(_, name)| name.clone()).unwrap_or_default()
    }
}

/// 1, 2 or 5 times a power of ten, so that there are 3 to 6 steps.
fn round_step(largest: u128) -> u128 {
    let mut power = 1;
    loop {
        for step in [power, 2 * power, 5 * power] {
            if largest.div_ceil(step) <= 5 {
                return step;
            }
        }
        power *= 10;
    }
}

/// `20`, `1.5k`, `20k`, `1.5M`.
fn short(n: u128) -> String {
    let units =
        [(1_000_000_000_000_000, "P"), (1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    match units.into_iter().find(|(unit, _)| n >= *unit && (n * 10).is_multiple_of(*unit)) {
        Some((unit, name)) if n.is_multiple_of(unit) => format!("{}{name}", n / unit),
        Some((unit, name)) => format!("{}.{}{name}", n / unit, n * 10 / unit % 10),
        None => number_text(n),
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = (value - self.range.start) / (self.range.end - self.range.start);
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.iter().map(|(at, _)| *at).collect()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format(value: &f64) -> String {
        value.to_string()
    }

    fn format_ext(&self, value: &f64) -> String {
        self.name(*value)
    }
}

/// A tick of an axis of times; only the day where the step is one or more.
pub(crate) fn moment(ms: i64, step_ms: i64) -> String {
    let Ok(time) = Timestamp::from_millisecond(ms) else { return String::new() };
    let midnight = ms % 86_400_000 == 0;
    let format = match step_ms {
        86_400_000.. => "%Y-%m-%d",
        _ if midnight => "%m-%d",
        _ => "%H:%M",
    };
    time.strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, name)| name.as_str()).collect()
    }

    #[test]
    fn counts_are_marked_at_round_numbers_from_zero() {
        assert_eq!(names(&Axis::counts(0)), ["0", "1"]);
        assert_eq!(names(&Axis::counts(20)), ["0", "5", "10", "15", "20"]);
        assert_eq!(names(&Axis::counts(585)), ["0", "200", "400", "600"]);
        assert_eq!(names(&Axis::counts(1_257_868)), ["0", "500k", "1M", "1.5M"]);
    }

    #[test]
    fn times_are_marked_on_whole_steps_within_the_span() {
        let minutes = |at: i64, _: i64| (at / 60_000).to_string();

        assert_eq!(names(&Axis::times(61_000..600_001, 10, minutes)), ["2", "3", "4", "5", "6", "7", "8", "9", "10"]);
        assert_eq!(names(&Axis::times(0..3_600_000, 6, minutes)), ["0", "10", "20", "30", "40", "50", "60"]);
        assert!(names(&Axis::times(0..i64::MAX / 4, 10, minutes)).len() <= 11);
    }
}
