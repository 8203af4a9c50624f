//! Working days: which days are worked in a zone, and a clock that runs on those days alone.
//!
//! Owns: calendars as documents ([`Calendar::parse`]), the one that is shipped, the time that was worked between two
//! moments and the moment when so many working days are over. What it counts is written in `docs/working-days.md`.
//! Pure but for the time zone database, which is compiled in. Deliberately absent: what is waited for, and `now`.

mod document;
#[cfg(test)]
mod properties;

pub use document::CalendarError;

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// The working time of one working day: all of it, from midnight to midnight.
pub const WORKING_DAY_MS: i64 = 86_400_000;

const CHINA_MAINLAND: &str = include_str!("../../policies/calendars/china-mainland.json");

/// Which days are worked, in one zone, over the dates that it covers.
#[derive(Debug, Clone)]
pub struct Calendar {
    version: String,
    source: String,
    timezone: TimeZone,
    weekend: Vec<Weekday>,
    holidays: BTreeSet<Date>,
    extra_workdays: BTreeSet<Date>,
    from: Date,
    /// The last day, inclusive.
    to: Date,
}

/// A span in which the clock stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    pub from_ms: i64,
    /// None: it has not ended.
    pub until_ms: Option<i64>,
}

/// When so many working days are over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    At(i64),
    /// Not before a pause ends that has not ended.
    Standing,
}

/// The answer lies outside the dates that a calendar covers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("calendar `{version}` covers {from} to {to}: it does not say which days beyond are worked")]
pub struct BeyondCalendar {
    pub version: String,
    pub from: Date,
    pub to: Date,
}

impl Calendar {
    /// The calendar of mainland China, as the State Council publishes it.
    ///
    /// Panics: never; a test reads the shipped document.
    #[must_use]
    pub fn china_mainland() -> &'static Self {
        static CALENDAR: LazyLock<Calendar> =
            LazyLock::new(|| Calendar::parse(CHINA_MAINLAND).expect("the shipped calendar is valid"));
        &CALENDAR
    }

    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The first and the last day that it knows.
    #[must_use]
    pub fn covers(&self) -> (Date, Date) {
        (self.from, self.to)
    }

    /// Errors: the day is not covered.
    pub fn is_workday(&self, day: Date) -> Result<bool, BeyondCalendar> {
        if day < self.from || day > self.to {
            return Err(self.beyond());
        }
        let off = self.holidays.contains(&day) || self.weekend.contains(&day.weekday());
        Ok(self.extra_workdays.contains(&day) || !off)
    }

    /// Working time from one moment to another, pauses left out.
    ///
    /// Units: milliseconds; 0 where `to_ms` is not after `from_ms`.
    /// Errors: a part of it that is no pause is not covered.
    pub fn worked_ms(&self, from_ms: i64, to_ms: i64, pauses: &[Pause]) -> Result<i64, BeyondCalendar> {
        let mut worked = 0;
        for span in running((from_ms, to_ms), pauses) {
            worked += self.walk(span, i64::MAX)?.worked_ms;
        }
        Ok(worked)
    }

    /// The moment when `days` working days are over since `from_ms`: the first at which [`Self::worked_ms`] comes to
    /// as many times [`WORKING_DAY_MS`].
    ///
    /// Errors: that lies beyond the dates covered.
    pub fn due(&self, from_ms: i64, pauses: &[Pause], days: u32) -> Result<Due, BeyondCalendar> {
        let mut left_ms = i64::from(days) * WORKING_DAY_MS;
        if left_ms == 0 {
            return Ok(Due::At(from_ms));
        }
        for span in running((from_ms, i64::MAX), pauses) {
            let walked = self.walk(span, left_ms)?;
            if walked.worked_ms == left_ms {
                return Ok(Due::At(walked.at_ms));
            }
            left_ms -= walked.worked_ms;
        }
        Ok(Due::Standing)
    }

    /// Goes from day to day until the span ends or so much was worked.
    ///
    /// INVARIANT: at most one step for each day that is covered, since it stops with an error behind the last.
    fn walk(&self, (from_ms, to_ms): (i64, i64), most_ms: i64) -> Result<Walked, BeyondCalendar> {
        let mut walked = Walked { worked_ms: 0, at_ms: from_ms };
        if from_ms >= to_ms {
            return Ok(walked);
        }
        let first = Timestamp::from_millisecond(from_ms).map_err(|_| self.beyond())?;
        let mut day = self.timezone.to_datetime(first).date();
        while walked.at_ms < to_ms {
            let is_workday = self.is_workday(day)?;
            let next = day.checked_add(1.day()).map_err(|_| self.beyond())?;
            let end_ms = self.start_ms(next)?.min(to_ms);
            let length_ms = (end_ms - walked.at_ms).max(0);
            if is_workday && length_ms >= most_ms - walked.worked_ms {
                walked.at_ms += most_ms - walked.worked_ms;
                walked.worked_ms = most_ms;
                return Ok(walked);
            }
            walked.worked_ms += if is_workday { length_ms } else { 0 };
            walked.at_ms = end_ms.max(walked.at_ms);
            day = next;
        }
        Ok(walked)
    }

    /// The first moment of a day; where the zone skips midnight, the first that there is.
    fn start_ms(&self, day: Date) -> Result<i64, BeyondCalendar> {
        let start = self.timezone.to_timestamp(day.at(0, 0, 0, 0)).map_err(|_| self.beyond())?;
        Ok(start.as_millisecond())
    }

    fn beyond(&self) -> BeyondCalendar {
        BeyondCalendar { version: self.version.clone(), from: self.from, to: self.to }
    }
}

struct Walked {
    worked_ms: i64,
    at_ms: i64,
}

/// What of a span lies in no pause, in order. The pauses may come in any order and overlap.
fn running((from_ms, to_ms): (i64, i64), pauses: &[Pause]) -> Vec<(i64, i64)> {
    let mut pauses = pauses.to_vec();
    pauses.sort_unstable_by_key(|pause| pause.from_ms);
    let mut spans = Vec::with_capacity(pauses.len() + 1);
    let mut at_ms = from_ms;
    for pause in pauses {
        let stop_ms = pause.from_ms.min(to_ms);
        if at_ms < stop_ms {
            spans.push((at_ms, stop_ms));
        }
        at_ms = at_ms.max(pause.until_ms.unwrap_or(i64::MAX));
    }
    if at_ms < to_ms {
        spans.push((at_ms, to_ms));
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn due(from: &str, pauses: &[Pause], days: u32) -> Due {
        Calendar::china_mainland().due(at(from), pauses, days).unwrap()
    }

    #[test]
    fn three_working_days_end_at_the_hour_at_which_they_began() {
        // Wednesday, Thursday, Friday; the weekend between does not count.
        assert_eq!(due("2026-03-11T15:00+08", &[], 3), Due::At(at("2026-03-16T15:00+08")));
        assert_eq!(due("2026-03-09T15:00+08", &[], 3), Due::At(at("2026-03-12T15:00+08")));
    }

    #[test]
    fn what_begins_on_a_day_off_counts_from_the_next_working_day() {
        assert_eq!(due("2026-03-14T15:00+08", &[], 3), Due::At(at("2026-03-19T00:00+08")));
    }

    #[test]
    fn a_holiday_stands_still_and_a_make_up_saturday_is_worked() {
        // Spring Festival is 15 to 23 February; Saturday the 14th is worked.
        assert_eq!(due("2026-02-12T12:00+08", &[], 3), Due::At(at("2026-02-24T12:00+08")));
        // National Day is 1 to 7 October; Saturday the 10th is worked.
        assert_eq!(due("2026-09-30T09:00+08", &[], 3), Due::At(at("2026-10-10T09:00+08")));
        assert_eq!(due("2026-10-08T09:00+08", &[], 3), Due::At(at("2026-10-12T09:00+08")));
    }

    #[test]
    fn the_clock_stands_while_the_customer_is_asked() {
        let pause = |until: Option<&str>| Pause { from_ms: at("2026-03-10T09:00+08"), until_ms: until.map(at) };

        let answered = due("2026-03-09T15:00+08", &[pause(Some("2026-03-11T12:00+08"))], 3);

        assert_eq!(answered, Due::At(at("2026-03-13T18:00+08")));
        assert_eq!(due("2026-03-09T15:00+08", &[pause(None)], 3), Due::Standing);
        let over = Pause { from_ms: at("2026-03-13T09:00+08"), until_ms: None };
        assert_eq!(due("2026-03-09T15:00+08", &[over], 3), Due::At(at("2026-03-12T15:00+08")));
    }

    #[test]
    fn a_day_of_the_calendar_is_the_zones_own() {
        // 16:00 UTC on Friday is Saturday in Shanghai.
        assert_eq!(due("2026-03-13T16:00Z", &[], 1), Due::At(at("2026-03-17T00:00+08")));
        assert_eq!(due("2026-03-13T15:00Z", &[], 1), Due::At(at("2026-03-16T15:00Z")));
    }

    #[test]
    fn beyond_the_dates_that_are_covered_nothing_is_guessed() {
        let calendar = Calendar::china_mainland();

        let error = calendar.due(at("2026-12-30T12:00+08"), &[], 3).unwrap_err();

        assert_eq!(error.to.to_string(), "2026-12-31");
        assert_eq!(due("2026-12-30T12:00+08", &[], 1), Due::At(at("2026-12-31T12:00+08")));
        assert_eq!(due("2026-12-30T00:00+08", &[], 2), Due::At(at("2027-01-01T00:00+08")));
        assert!(calendar.worked_ms(at("2024-12-31T23:00+08"), at("2025-01-02T00:00+08"), &[]).is_err());
        assert!(calendar.worked_ms(i64::MIN, i64::MAX, &[]).is_err());
        let all = Pause { from_ms: i64::MIN, until_ms: None };
        assert_eq!(calendar.worked_ms(i64::MIN, i64::MAX, &[all]), Ok(0));
    }

    #[test]
    fn the_shipped_calendar_has_the_days_that_were_announced() {
        let calendar = Calendar::china_mainland();
        let workdays = |year: i16| {
            let first = jiff::civil::date(year, 1, 1);
            let days = first.series(1.day()).take_while(|day| day.year() == year);
            days.filter(|day| calendar.is_workday(*day).unwrap()).count()
        };

        // Of 365 days 104 are at weekends; 18 and 19 others are off, 5 and 6 at weekends are worked.
        assert_eq!(calendar.holidays.range(..jiff::civil::date(2026, 1, 1)).count(), 28);
        assert_eq!(calendar.holidays.range(jiff::civil::date(2026, 1, 1)..).count(), 33);
        assert_eq!((workdays(2025), workdays(2026)), (248, 248));
        assert!(calendar.source().contains('7'));
        assert_eq!(calendar.version(), "china-mainland-2026.1");
        assert_eq!(calendar.covers().0.to_string(), "2025-01-01");
    }

    #[test]
    fn a_day_that_a_zone_shortens_is_worked_as_long_as_it_lasts() {
        let text = r#"{"version": "v", "source": "s", "timezone": "Europe/Berlin", "weekend": [],
            "covers": {"from": "2026-01-01", "to": "2026-12-31"}, "holidays": [], "extra_workdays": []}"#;
        let calendar = Calendar::parse(text).unwrap();

        let worked = calendar.worked_ms(at("2026-03-29T00:00+01"), at("2026-03-30T00:00+02"), &[]);

        assert_eq!(worked, Ok(23 * 3_600_000));
    }
}
