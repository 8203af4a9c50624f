//! Pieces of what the control plane reads and answers: who did something, times, fields that may be null, list items.

use super::tags;
use super::wire::{parse_rfc3339, rfc3339};
use crate::domain::ids::{AccountId, PolicyId};
use crate::services::Stored;
use crate::services::records::{Act, ShapeRecord};
use compact_str::CompactString;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// Who did something, when and why.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Act)]
pub(crate) struct ActView {
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:00:00.000Z")]
    at: CompactString,
    /// Absent where it is not told: to a key bound to an account, of a policy.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false, example = "alice")]
    by: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false, example = "contract 2026-17")]
    reason: String,
}

impl From<Act> for ActView {
    fn from(act: Act) -> Self {
        Self { at: rfc3339(act.at_ms), by: act.by, reason: act.reason }
    }
}

/// One of a list, with the entity tag to name in `If-Match`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Item<T> {
    #[schema(example = "\"12\"")]
    etag: String,
    #[serde(flatten)]
    value: T,
}

impl<T> Item<T> {
    pub(crate) fn of<S>(stored: Stored<S>) -> Self
    where
        T: From<S>,
    {
        Self::tagged(stored.revision, T::from(stored.value))
    }

    pub(crate) fn tagged(revision: u64, value: T) -> Self {
        Self { etag: tags::of_revision(revision), value }
    }
}

/// What a limit is: a rate of a unit over a window, or a concurrency.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LimitShape)]
pub(crate) struct ShapeView {
    /// Absent for concurrency.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "requests")]
    unit: Option<PolicyId>,
    /// Absent for concurrency.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1000, example = 60000)]
    window_ms: Option<i64>,
}

impl From<ShapeRecord> for ShapeView {
    fn from(shape: ShapeRecord) -> Self {
        match shape {
            ShapeRecord::Rate { unit, window_ms } => Self { unit: Some(unit), window_ms: Some(window_ms) },
            ShapeRecord::Concurrency => Self { unit: None, window_ms: None },
        }
    }
}

/// The reason for a change, kept in the audit log.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(example = json!({"reason": "confirmed by the customer"}))]
pub(crate) struct Reason {
    #[schema(min_length = 1, max_length = 500)]
    pub(crate) reason: String,
}

/// An account to be made: not one of the two ids that no path can name, because a URL drops them.
#[derive(Debug)]
pub(crate) struct NewAccountId(pub(crate) AccountId);

impl<'de> Deserialize<'de> for NewAccountId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = AccountId::deserialize(deserializer)?;
        match id.as_str() {
            "." | ".." => Err(D::Error::custom(format_args!("no path can name an account {id:?}: take another id"))),
            _ => Ok(Self(id)),
        }
    }
}

/// A time: RFC 3339.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time(pub(crate) i64);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = CompactString::deserialize(deserializer)?;
        let shown = || text.chars().take(40).flat_map(char::escape_debug).collect::<String>();
        parse_rfc3339(&text).map(Self).ok_or_else(|| {
            D::Error::custom(format_args!(
                "`{}` is not a time from 0000 to 9999: write RFC 3339 such as 2026-01-31T08:00:00Z",
                shown()
            ))
        })
    }
}

pub(crate) fn ms(time: Option<Time>) -> Option<i64> {
    time.map(|time| time.0)
}

/// A field that may be left out, or be null to take away what is there.
pub(crate) fn nullable<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}
