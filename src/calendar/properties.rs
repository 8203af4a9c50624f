//! The clock against a reference that asks, quarter of an hour by quarter of an hour, which day it is in the zone.

use super::{Calendar, Due, Pause, WORKING_DAY_MS};
use jiff::Timestamp;
use jiff::ToSpan;
use jiff::civil::{Date, date};
use proptest::prelude::*;
use serde_json::json;

/// Every change of an offset in these zones lies on a quarter of an hour.
const QUARTER_MS: i64 = 900_000;
const ZONES: [&str; 8] = [
    "Asia/Shanghai",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Havana",
    "Africa/Cairo",
    "Asia/Kathmandu",
    "UTC",
];
const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

#[derive(Debug, Clone)]
struct Case {
    calendar: Calendar,
    from_ms: i64,
    pauses: Vec<Pause>,
    days: u32,
}

fn first() -> Date {
    date(2026, 1, 1)
}

fn calendars() -> impl Strategy<Value = Calendar> {
    let weekend = prop::sample::subsequence((0..7).collect::<Vec<usize>>(), 0..4);
    let holidays = prop::collection::vec((0_i64..365, 0_i64..10), 0..12);
    let extra = prop::collection::vec(0_i64..365, 0..40);
    (0..ZONES.len(), weekend, holidays, extra).prop_map(|(zone, weekend, holidays, extra)| {
        let day = |number: i64| first().checked_add(number.days()).unwrap();
        let spans: Vec<(Date, Date)> =
            holidays.iter().map(|(from, length)| (day(*from), day((from + length).min(364)))).collect();
        let is_extra = |day: &Date| {
            let at_weekend = weekend.contains(&(day.weekday().to_monday_zero_offset() as usize));
            at_weekend && !spans.iter().any(|(from, to)| (from..=to).contains(&day))
        };
        let extra: Vec<Date> = extra.into_iter().map(day).filter(is_extra).collect();
        let holidays: Vec<_> = spans.iter().map(|(from, to)| json!({"name": "h", "from": from, "to": to})).collect();
        let document = json!({
            "version": "v", "source": "s", "timezone": ZONES[zone],
            "weekend": weekend.iter().map(|day| DAYS[*day]).collect::<Vec<_>>(),
            "covers": {"from": "2026-01-01", "to": "2026-12-31"},
            "holidays": holidays, "extra_workdays": extra,
        });
        Calendar::parse(&document.to_string()).unwrap()
    })
}

fn cases() -> impl Strategy<Value = Case> {
    let pauses = prop::collection::vec((-200_i64..4_000, prop::option::weighted(0.9, 0_i64..800)), 0..5);
    (calendars(), 0_i64..33_000, pauses, 0_u32..12).prop_map(|(calendar, from, pauses, days)| {
        let year_ms = first().at(0, 0, 0, 0).in_tz("UTC").unwrap().timestamp().as_millisecond();
        let from_ms = year_ms + WORKING_DAY_MS + from * QUARTER_MS;
        let pause = |(at, length): (i64, Option<i64>)| {
            let at_ms = from_ms + at * QUARTER_MS;
            Pause { from_ms: at_ms, until_ms: length.map(|length| at_ms + length * QUARTER_MS) }
        };
        Case { calendar, from_ms, pauses: pauses.into_iter().map(pause).collect(), days }
    })
}

/// None: the calendar does not know.
fn is_worked(case: &Case, at_ms: i64) -> Option<bool> {
    let in_pause = |pause: &Pause| pause.from_ms <= at_ms && pause.until_ms.is_none_or(|until| at_ms < until);
    if case.pauses.iter().any(in_pause) {
        return Some(false);
    }
    let zone = &case.calendar.timezone;
    let day = zone.to_datetime(Timestamp::from_millisecond(at_ms).unwrap()).date();
    case.calendar.is_workday(day).ok()
}

fn worked_by_quarters(case: &Case, to_ms: i64) -> Option<i64> {
    let mut worked = 0;
    let mut at_ms = case.from_ms;
    while at_ms < to_ms {
        worked += i64::from(is_worked(case, at_ms)?) * QUARTER_MS;
        at_ms += QUARTER_MS;
    }
    Some(worked)
}

fn due_by_quarters(case: &Case) -> Option<Due> {
    let (mut left, mut at_ms) = (i64::from(case.days) * WORKING_DAY_MS, case.from_ms);
    while left > 0 {
        if case.pauses.iter().any(|pause| pause.until_ms.is_none() && pause.from_ms <= at_ms) {
            return Some(Due::Standing);
        }
        left -= i64::from(is_worked(case, at_ms)?) * QUARTER_MS;
        at_ms += QUARTER_MS;
    }
    Some(Due::At(at_ms))
}

proptest! {
    #[test]
    fn the_time_worked_is_what_the_quarters_add_up_to(case in cases(), quarters in 0_i64..4_000) {
        let to_ms = case.from_ms + quarters * QUARTER_MS;

        let worked = case.calendar.worked_ms(case.from_ms, to_ms, &case.pauses);

        prop_assert_eq!(worked.ok(), worked_by_quarters(&case, to_ms));
    }

    #[test]
    fn what_is_due_is_due_when_the_quarters_say_so(case in cases()) {
        let due = case.calendar.due(case.from_ms, &case.pauses, case.days);

        prop_assert_eq!(due.clone().ok(), due_by_quarters(&case));
        if let Ok(Due::At(at_ms)) = due {
            let worked = case.calendar.worked_ms(case.from_ms, at_ms, &case.pauses);
            prop_assert_eq!(worked, Ok(i64::from(case.days) * WORKING_DAY_MS));
        }
    }
}
