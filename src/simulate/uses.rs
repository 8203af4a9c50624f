//! How full limits were, and which limit an answer speaks of.

use crate::domain::policy::Rule;
use crate::domain::quantity::Quota;
use crate::engine::{LimitState, Scope, Snapshot};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use serde::Serialize;
use std::cmp::Ordering;

/// How much of a limit was in use at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Use {
    pub used: u128,
    pub quota: Quota,
    /// Token buckets with an integer quota.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u128>,
}

impl Use {
    #[must_use]
    pub fn of(state: &LimitState) -> Self {
        Self { used: state.used, quota: state.quota, burst: state.burst }
    }

    /// What may be in use at most; None for `unlimited`.
    #[must_use]
    pub fn room(&self) -> Option<u128> {
        match self.quota {
            Quota::Unlimited => None,
            Quota::Blocked => Some(0),
            Quota::Units(quota) => Some(self.burst.unwrap_or(u128::from(quota))),
        }
    }

    /// Used of what may be in use, in whole percent; None for `unlimited` and `blocked`.
    #[must_use]
    pub fn percent(&self) -> Option<u128> {
        self.room().filter(|room| *room > 0).map(|room| self.used.saturating_mul(100) / room)
    }

    /// By share of the room in use; one without an end counts as the emptiest, then by what is used.
    #[must_use]
    pub fn fuller(&self, other: &Self) -> Ordering {
        let (room, other_room) = (self.room().unwrap_or(u128::MAX), other.room().unwrap_or(u128::MAX));
        let share = self.used.saturating_mul(other_room).cmp(&other.used.saturating_mul(room));
        share.then(self.used.cmp(&other.used))
    }
}

/// A limit by its names, the same across revisions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct LimitName {
    pub group: String,
    pub limit: String,
    #[serde(serialize_with = "scope_name")]
    pub scope: Scope,
    /// None: it counts open reservations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_ms: Option<i64>,
}

fn scope_name<S: serde::Serializer>(scope: &Scope, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(scope.as_str())
}

impl LimitName {
    fn of(snapshot: &Snapshot, group: u16, state: &LimitState) -> Self {
        let (unit, window_ms) = match snapshot.limit_rule(group, state.limit) {
            Rule::Concurrency => (None, None),
            Rule::Rate { unit, window_ms, .. } => (Some(snapshot.policy.units[unit].id.to_string()), Some(window_ms)),
        };
        Self {
            group: snapshot.group_id(group).to_owned(),
            limit: snapshot.limit_id(group, state.limit).to_owned(),
            scope: state.scope,
            unit,
            window_ms,
        }
    }
}

/// `group/limit`, and whose where it is not the main account's.
impl std::fmt::Display for LimitName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.group, self.limit)?;
        match self.scope {
            Scope::Account => Ok(()),
            Scope::SubAccount => f.write_str(" (caps)"),
        }
    }
}

/// Numbers the limits that answers name, in the order in which they first appear.
#[derive(Debug, Default)]
pub(super) struct LimitIndex {
    pub names: Vec<LimitName>,
    /// Of which `known` holds positions.
    revision: u64,
    known: HashMap<(u16, u8, bool), usize, RandomState>,
}

impl LimitIndex {
    pub fn number(&mut self, snapshot: &Snapshot, group: u16, state: &LimitState) -> usize {
        if self.revision != snapshot.revision {
            self.revision = snapshot.revision;
            self.known.clear();
        }
        *self.known.entry((group, state.limit, state.scope == Scope::SubAccount)).or_insert_with(|| {
            let name = LimitName::of(snapshot, group, state);
            self.names.iter().position(|known| *known == name).unwrap_or_else(|| {
                self.names.push(name);
                self.names.len() - 1
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(used: u128, quota: Quota, burst: Option<u128>) -> Use {
        Use { used, quota, burst }
    }

    #[test]
    fn the_fuller_limit_has_the_larger_share_of_its_room_in_use() {
        let half = used(5, Quota::Units(10), None);

        assert_eq!(used(50, Quota::Units(100), None).fuller(&half), Ordering::Greater);
        assert_eq!(used(3, Quota::Units(100), Some(4)).fuller(&half), Ordering::Greater);
        assert_eq!(used(400, Quota::Units(1_000), None).fuller(&half), Ordering::Less);
        assert_eq!(used(400, Quota::Unlimited, None).fuller(&half), Ordering::Less);
        assert_eq!(used(1, Quota::Blocked, None).fuller(&half), Ordering::Greater);
        assert_eq!(half.fuller(&half), Ordering::Equal);
    }

    #[test]
    fn percent_is_of_the_burst_where_there_is_one() {
        assert_eq!(used(3, Quota::Units(100), Some(4)).percent(), Some(75));
        assert_eq!(used(3, Quota::Units(2), None).percent(), Some(150));
        assert_eq!(used(3, Quota::Unlimited, None).percent(), None);
        assert_eq!(used(3, Quota::Blocked, None).percent(), None);
    }
}
