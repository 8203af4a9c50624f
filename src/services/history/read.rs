//! A range of the history, in steps.

use super::histogram::utilisation_bucket;
use super::hour::{Kept, Whole};
use super::{HOUR_MS, hour_at};
use crate::domain::history::{FULL, HIGH, MINUTE_MS, Peak, Tally};
use crate::domain::ids::{AccountId, PolicyId};
use crate::services::{Error, FieldError, Services};
use std::collections::BTreeMap;

/// Points of one answer.
pub const MAX_POINTS: i64 = 3_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const MAX_STEP_MS: i64 = 90 * DAY_MS;

/// How long one point is: minutes that an hour is a multiple of, or whole hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step(i64);

impl Step {
    /// Reads `5m`, `1h`, `7d`. None: it is no such step.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let unit_ms = match unit {
            "m" => MINUTE_MS,
            "h" => HOUR_MS,
            "d" => DAY_MS,
            _ => return None,
        };
        let plain = !digits.is_empty() && digits.len() <= 6 && digits.bytes().all(|byte| byte.is_ascii_digit());
        let ms = digits.parse::<i64>().ok().filter(|_| plain)?.checked_mul(unit_ms)?;
        let fits = ms > 0 && ms <= MAX_STEP_MS && (HOUR_MS % ms == 0 || ms % HOUR_MS == 0);
        fits.then_some(Self(ms))
    }

    pub const HOUR: Self = Self(HOUR_MS);

    #[must_use]
    pub fn ms(self) -> i64 {
        self.0
    }
}

/// What is asked for. The ends are moved outwards to whole steps, counted from the epoch.
#[derive(Debug, Clone)]
pub struct Range {
    pub group: PolicyId,
    pub limit: PolicyId,
    pub from_ms: i64,
    pub to_ms: i64,
    pub step: Step,
}

/// The points of a limit in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// The main account.
    pub account: AccountId,
    pub from_ms: i64,
    pub to_ms: i64,
    /// Those in which something was decided; the others are left out.
    pub points: Vec<Point>,
}

/// One step of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    pub from_ms: i64,
    /// Never below 0: what was given back later may be of an earlier point.
    pub admitted: u64,
    pub denied: u64,
    pub peak: Peak,
    /// When the peak was: the beginning of its minute.
    pub peak_ms: i64,
    /// Minutes in which at least 80 % and 100 % of the quota were in use at once.
    pub minutes_at_80: u64,
    pub minutes_at_100: u64,
}

/// One limit of an account over a range.
///
/// An hour whose minutes are not kept any more is in the point that it begins in, whatever the step.
/// Errors: there is no such account, the range is empty or has too many points.
pub fn read(services: &Services, account: &AccountId, range: &Range) -> Result<Series, Error> {
    let (history, main) = services.history_of(account)?;
    let step = range.step.ms();
    let from = range.from_ms.div_euclid(step) * step;
    let to = range.to_ms.saturating_add(step - 1).div_euclid(step) * step;
    if range.to_ms <= range.from_ms {
        return Err(invalid("/to", "`to` must be later than `from`".to_owned()));
    }
    let points = (to - from) / step;
    if points > MAX_POINTS {
        return Err(invalid(
            "/step",
            format!("that is {points} points, at most {MAX_POINTS} are given: a longer step"),
        ));
    }
    let hours = history.hours(&main, &range.group, (hour_at(from), hour_at(to.saturating_add(HOUR_MS - 1))))?;
    let mut sums: BTreeMap<i64, Sum> = BTreeMap::new();
    for (hour, mut limits) in hours {
        let begins = i64::from(hour) * HOUR_MS;
        let mut note = |ms: i64, add: &dyn Fn(&mut Sum)| {
            if (from..to).contains(&ms) {
                add(sums.entry((ms - from) / step).or_default());
            }
        };
        match limits.0.remove(&range.limit) {
            None => {}
            Some(Kept::Whole(whole)) => note(begins, &|sum| sum.add_whole(begins, &whole)),
            Some(Kept::Minutes(minutes)) => {
                for (minute, tally) in minutes {
                    let ms = begins + i64::from(minute) * MINUTE_MS;
                    note(ms, &|sum| sum.add_minute(ms, &tally));
                }
            }
        }
    }
    let points = sums.into_iter().map(|(number, sum)| sum.point(from + number * step)).collect();
    Ok(Series { account: main, from_ms: from, to_ms: to, points })
}

pub(super) fn invalid(pointer: &'static str, detail: String) -> Error {
    Error::Invalid(vec![FieldError::new(pointer, "invalid_value", detail)])
}

/// What is added up for a span of time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sum {
    pub tally: Tally,
    pub peak_ms: i64,
    pub minutes_at_80: u64,
    pub minutes_at_100: u64,
}

impl Default for Sum {
    fn default() -> Self {
        Self { tally: Tally::NONE, peak_ms: i64::MIN, minutes_at_80: 0, minutes_at_100: 0 }
    }
}

impl Sum {
    pub fn add_minute(&mut self, ms: i64, tally: &Tally) {
        self.add(ms, tally);
        let parts = tally.peak.utilisation().unwrap_or(0);
        self.minutes_at_80 += u64::from(parts >= HIGH);
        self.minutes_at_100 += u64::from(parts >= FULL);
    }

    pub fn add_whole(&mut self, begins: i64, whole: &Whole) {
        self.add(begins + i64::from(whole.peak_minute) * MINUTE_MS, &whole.sum);
        self.minutes_at_80 += whole.by_utilisation.from(utilisation_bucket(HIGH));
        self.minutes_at_100 += whole.by_utilisation.from(utilisation_bucket(FULL));
    }

    pub fn merge(&mut self, other: &Self) {
        self.add(other.peak_ms, &other.tally);
        self.minutes_at_80 += other.minutes_at_80;
        self.minutes_at_100 += other.minutes_at_100;
    }

    fn add(&mut self, peak_ms: i64, tally: &Tally) {
        if self.peak_ms == i64::MIN || tally.peak > self.tally.peak {
            self.peak_ms = peak_ms;
        }
        self.tally.add(tally);
    }

    pub fn point(self, from_ms: i64) -> Point {
        let Self { tally: Tally { admitted, denied, peak }, peak_ms, minutes_at_80, minutes_at_100 } = self;
        let admitted = u64::try_from(admitted).unwrap_or(0);
        Point { from_ms, admitted, denied, peak, peak_ms, minutes_at_80, minutes_at_100 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_part_of_an_hour_or_whole_hours() {
        let ms = |text: &str| Step::parse(text).map(Step::ms);

        assert_eq!(ms("1m"), Some(60_000));
        assert_eq!(ms("90d"), Some(MAX_STEP_MS));
        assert_eq!((ms("120m"), ms("30m"), ms("2h")), (Some(2 * HOUR_MS), Some(HOUR_MS / 2), Some(2 * HOUR_MS)));
        for bad in ["", "m", "0m", "7m", "90m", "1", "1s", "+1h", "1.5h", "91d", "9999999h", "1é"] {
            assert_eq!(ms(bad), None, "{bad}");
        }
    }
}
