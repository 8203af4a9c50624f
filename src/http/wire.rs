//! Pieces that several routes read and write: times, durations, costs, limits.

use super::json::Writer;
use crate::domain::ids::PolicyId;
use crate::domain::policy::Rule;
use crate::domain::quantity::{Amount, MAX_RESERVATION_TTL_MS, MAX_TIME_MS, Quota};
use crate::engine::{LimitState, Limits, Snapshot};
use compact_str::{CompactString, ToCompactString, format_compact};
use jiff::civil::DateTime;
use jiff::fmt::temporal::Pieces;
use jiff::{SignedDuration, Timestamp};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use smallvec::SmallVec;
use std::fmt;
use utoipa::ToSchema;

/// The Unix epoch, UTC. [`Timestamp`] ends a day before the year 9999 does, because it keeps room for any time zone.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
/// The first moment that a time may name: 0000-01-01T00:00:00Z.
const MIN_TIME_MS: i64 = -62_167_219_200_000;

/// A time on the wire: RFC 3339, UTC, milliseconds.
pub(crate) fn rfc3339(at_ms: i64) -> CompactString {
    if let Ok(time) = Timestamp::from_millisecond(at_ms) {
        return format_compact!("{time:.3}");
    }
    match EPOCH.checked_add(SignedDuration::from_millis(at_ms)) {
        Ok(time) => format_compact!("{time:.3}Z"),
        Err(_) => at_ms.to_compact_string(),
    }
}

/// Reads a time: RFC 3339 with any offset, from the year 0000 to 9999 in UTC, what is finer than a millisecond cut off.
pub(crate) fn parse_rfc3339(text: &str) -> Option<i64> {
    let pieces = Pieces::parse(text).ok()?;
    let offset_ms = i64::from(pieces.to_numeric_offset()?.seconds()) * 1_000;
    let local = pieces.date().to_datetime(pieces.time()?);
    let local_ms = local.duration_since(EPOCH).as_millis();
    let at_ms = i64::try_from(local_ms).ok()?.checked_sub(offset_ms)?;
    (MIN_TIME_MS..=MAX_TIME_MS).contains(&at_ms).then_some(at_ms)
}

/// A time to live in milliseconds, 1 to 24 h.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TtlMs(pub(crate) i64);

impl<'de> Deserialize<'de> for TtlMs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let shown = "a time to live is an integer from 1 to 86400000 milliseconds (24 h)";
        let given = Amount::deserialize(deserializer).map_err(|_| D::Error::custom(shown))?;
        match i64::try_from(given.get()) {
            Ok(ttl_ms @ 1..=MAX_RESERVATION_TTL_MS) => Ok(Self(ttl_ms)),
            _ => Err(D::Error::custom(shown)),
        }
    }
}

/// Amounts of the policy's own units, by name; each at most once, `requests` and `tokens` not among them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Units(pub(crate) SmallVec<[(PolicyId, u64); 1]>);

/// More units than a policy can have are not worth looking at.
const MAX_UNITS: usize = crate::domain::policy::MAX_UNITS;

impl<'de> Deserialize<'de> for Units {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Units;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of unit names and amounts")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Units, A::Error> {
                let mut units = Units::default();
                while let Some(unit) = map.next_key::<PolicyId>()? {
                    let amount: Amount = map.next_value()?;
                    if matches!(unit.as_str(), "requests" | "tokens") {
                        return Err(A::Error::custom(format_args!(
                            "`{unit}` is a field of its own, not one of `units`"
                        )));
                    }
                    if units.0.iter().any(|(known, _)| *known == unit) {
                        return Err(A::Error::custom(format_args!("unit `{unit}` is given twice")));
                    }
                    if units.0.len() == MAX_UNITS {
                        return Err(A::Error::custom(format_args!("at most {MAX_UNITS} units")));
                    }
                    units.0.push((unit, amount.get()));
                }
                Ok(units)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// How one limit stands after the event.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = LimitState)]
pub(crate) struct LimitView<'a> {
    /// The group of resources that the limit belongs to.
    #[schema(value_type = String, example = "text.m2")]
    group: &'a str,
    #[schema(value_type = String, example = "rpm")]
    id: &'a str,
    /// Whose limit it is: the main account's own, or a cap of the sub-account.
    #[schema(value_type = ScopeValue)]
    scope: &'static str,
    /// What it counts; absent for concurrency.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "requests")]
    unit: Option<&'a str>,
    /// The length of its window; absent for concurrency.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1000, example = 60000)]
    window_ms: Option<i64>,
    /// The quota in force.
    quota: Quota,
    /// Token buckets with an integer quota: how much may be spent at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0)]
    burst: Option<u64>,
    /// May exceed the quota, where a settle charged more than was reserved or a quota was lowered.
    #[schema(minimum = 0, example = 31)]
    used: u64,
    /// Absent for an unlimited quota.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, example = 469)]
    remaining: Option<u64>,
    /// Time until nothing is used if nothing else happens; absent for concurrency.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, example = 59000)]
    reset_after_ms: Option<i64>,
}

impl LimitView<'_> {
    fn write(&self, json: &mut Writer<'_>) {
        json.raw("{\"group\":");
        json.name(self.group);
        json.raw(",\"id\":");
        json.name(self.id);
        json.raw(",\"scope\":");
        json.name(self.scope);
        if let Some(unit) = self.unit {
            json.raw(",\"unit\":");
            json.name(unit);
        }
        json.optional(",\"window_ms\":", self.window_ms);
        json.raw(",\"quota\":");
        match self.quota {
            Quota::Units(units) => json.integer(units),
            Quota::Unlimited => json.raw("\"unlimited\""),
            Quota::Blocked => json.raw("\"blocked\""),
        }
        json.optional(",\"burst\":", self.burst);
        json.raw(",\"used\":");
        json.integer(self.used);
        json.optional(",\"remaining\":", self.remaining);
        json.optional(",\"reset_after_ms\":", self.reset_after_ms);
        json.raw("}");
    }
}

/// The limits as a JSON array.
pub(crate) fn write_limits(json: &mut Writer<'_>, limits: &[LimitView<'_>]) {
    json.raw("[");
    for (position, limit) in limits.iter().enumerate() {
        if position > 0 {
            json.raw(",");
        }
        limit.write(json);
    }
    json.raw("]");
}

#[derive(ToSchema)]
#[schema(as = Scope, rename_all = "snake_case")]
#[expect(dead_code, reason = "names the values in the OpenAPI document")]
pub(crate) enum ScopeValue {
    Account,
    SubAccount,
}

pub(crate) type LimitViews<'a> = SmallVec<[LimitView<'a>; 4]>;

/// The limits of a group in the words of the wire.
pub(crate) fn limit_views<'a>(snapshot: &'a Snapshot, group: Option<u16>, states: &Limits) -> LimitViews<'a> {
    let Some(group) = group else { return LimitViews::new() };
    let name = snapshot.group_id(group);
    states.iter().map(|state| limit_view(snapshot, (group, name), state)).collect()
}

fn limit_view<'a>(snapshot: &'a Snapshot, (group, name): (u16, &'a str), state: &LimitState) -> LimitView<'a> {
    let (unit, window_ms) = match snapshot.limit_rule(group, state.limit) {
        Rule::Rate { unit, window_ms, .. } => (Some(snapshot.policy.units[unit].id.as_str()), Some(window_ms)),
        Rule::Concurrency => (None, None),
    };
    LimitView {
        group: name,
        id: snapshot.limit_id(group, state.limit),
        scope: state.scope.as_str(),
        unit,
        window_ms,
        quota: state.quota,
        burst: state.burst.map(bounded),
        used: bounded(state.used),
        remaining: state.remaining().map(bounded),
        reset_after_ms: state.reset_after_ms,
    }
}

/// Cut at 2^64 - 1: the burst of a token bucket may be larger, and so may what is left of it.
pub(crate) fn bounded(units: u128) -> u64 {
    u64::try_from(units).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_with_milliseconds_and_read_back() {
        assert_eq!(rfc3339(1_700_000_000_000), "2023-11-14T22:13:20.000Z");
        assert_eq!(rfc3339(1_700_000_000_007), "2023-11-14T22:13:20.007Z");
        assert_eq!(parse_rfc3339("2023-11-15T06:13:20.007999+08:00"), Some(1_700_000_000_007));
        for bad in ["yesterday", "2023-11-14", "22:13:20Z", "2023-11-14T22:13:20", "2023-02-30T00:00:00Z"] {
            assert_eq!(parse_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_go_from_the_year_0000_to_the_end_of_9999() {
        let [last, first] = ["9999-12-31T23:59:59.999Z", "0000-01-01T00:00:00.000Z"];

        assert_eq!((parse_rfc3339(last), parse_rfc3339(first)), (Some(MAX_TIME_MS), Some(MIN_TIME_MS)));
        assert_eq!((rfc3339(MAX_TIME_MS).as_str(), rfc3339(MIN_TIME_MS).as_str()), (last, first));
        let day = 23 * 3_600_000 + 59 * 60_000;
        for (text, at_ms) in [
            ("9999-12-31T23:59:59.999999999Z", Some(MAX_TIME_MS)),
            ("9999-12-31T23:59:59.999+23:59", Some(MAX_TIME_MS - day)),
            ("9999-12-31T00:00:59.999-23:58", Some(MAX_TIME_MS - 60_000)),
            ("9999-12-31T23:59:59.999-23:59", None),
            ("9999-12-31T23:59:59.999-00:01", None),
            ("0000-01-01T00:00:00-23:59", Some(MIN_TIME_MS + day)),
            ("0000-01-01T00:00:00+00:01", None),
            ("0000-01-01T23:59:00+23:59", Some(MIN_TIME_MS)),
            ("-000001-12-31T23:59:59.999Z", None),
            ("+010000-01-01T00:00:00Z", None),
        ] {
            assert_eq!(parse_rfc3339(text), at_ms, "{text}");
        }
    }

    #[test]
    fn times_are_written_alike_on_both_sides_of_the_end_of_timestamps() {
        let end = Timestamp::MAX.as_millisecond();

        for at_ms in [end - 1, end, end + 1, MAX_TIME_MS - 1] {
            assert_eq!(parse_rfc3339(&rfc3339(at_ms)), Some(at_ms));
            assert_eq!(rfc3339(at_ms).len(), "9999-12-31T23:59:59.999Z".len());
        }
    }

    #[test]
    fn limits_are_written_as_serde_would() {
        let rate = LimitView {
            group: "text.m2",
            id: "rpm",
            scope: "account",
            unit: Some("requests"),
            window_ms: Some(60_000),
            quota: Quota::Units(500),
            burst: Some(7),
            used: u64::MAX,
            remaining: Some(0),
            reset_after_ms: Some(1),
        };
        let bare = |quota| LimitView {
            scope: "sub_account",
            unit: None,
            window_ms: None,
            quota,
            burst: None,
            remaining: None,
            reset_after_ms: None,
            ..rate
        };
        let limits = [bare(Quota::Unlimited), bare(Quota::Blocked), rate];
        let mut written = Vec::new();

        write_limits(&mut Writer(&mut written), &limits);

        assert_eq!(String::from_utf8(written).unwrap(), serde_json::to_string(&limits).unwrap());
    }

    #[test]
    fn units_are_named_once_and_by_their_own_names() {
        let read = |text: &str| serde_json::from_str::<Units>(text).map(|units| units.0.len());

        assert_eq!(read(r#"{"images": 2, "seconds": 3.0}"#).unwrap(), 2);
        for bad in [r#"{"images": 1, "images": 1}"#, r#"{"tokens": 1}"#, r#"{"A": 1}"#, r#"{"a": null}"#, "[]", "null"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_to_live_is_between_a_millisecond_and_a_day() {
        let read = |text: &str| serde_json::from_str::<TtlMs>(text).ok().map(|ttl| ttl.0);

        assert_eq!(read("60000"), Some(60_000));
        assert_eq!(read("86400000.0"), Some(86_400_000));
        for bad in ["0", "86400001", "-1", "1.5", "\"1\"", "null"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
