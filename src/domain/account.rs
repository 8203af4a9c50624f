//! What is known of an account besides its usage.

use super::ids::{AccountId, PolicyId};
use super::ledger::Timeline;
use super::policy::{Limit, Policy, Rule};
use super::quantity::Quota;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A tier set by an operator: it wins over everything while `until_ms` is ahead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    pub tier: PolicyId,
    /// None: for good.
    pub until_ms: Option<i64>,
}

impl Pin {
    #[must_use]
    pub fn holds(&self, now: i64) -> bool {
        self.until_ms.is_none_or(|until| now < until)
    }
}

/// The part of a limit that an override, clamp or cap was written for. While the limit has another, it is dormant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Shape {
    Rate { unit: PolicyId, window_ms: i64 },
    Concurrency,
}

impl Shape {
    #[must_use]
    pub fn of(policy: &Policy, limit: &Limit) -> Self {
        match limit.rule {
            Rule::Concurrency => Self::Concurrency,
            Rule::Rate { unit, window_ms, .. } => Self::Rate { unit: policy.units[unit].id.clone(), window_ms },
        }
    }
}

/// Which limit of which group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LimitKey {
    pub group: PolicyId,
    pub limit: PolicyId,
}

/// A quota for one (main account, group, limit) over a span of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    pub key: LimitKey,
    pub shape: Shape,
    pub quota: Quota,
    pub starts_at_ms: Option<i64>,
    pub expires_at_ms: Option<i64>,
    /// Where it came from, for explanations: an id and a reason.
    pub origin: CompactString,
}

impl Override {
    #[must_use]
    pub fn active(&self, now: i64) -> bool {
        self.starts_at_ms.is_none_or(|start| start <= now) && self.expires_at_ms.is_none_or(|end| now < end)
    }
}

/// An emergency ceiling: it only lowers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clamp {
    /// Empty where nothing has to find it again.
    pub id: CompactString,
    pub key: LimitKey,
    pub scope: ClampScope,
    pub shape: Shape,
    pub quota: Quota,
    /// None: until it is removed.
    pub expires_at_ms: Option<i64>,
    pub origin: CompactString,
}

impl Clamp {
    #[must_use]
    pub fn is_over(&self, now: i64) -> bool {
        self.expires_at_ms.is_some_and(|end| end <= now)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClampScope {
    All,
    Tier(PolicyId),
    Account(AccountId),
}

/// A quota of a sub-account's own, with a counter of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cap {
    pub key: LimitKey,
    pub shape: Shape,
    pub quota: Quota,
    /// Names the cap's counters. Kept while the cap stays, new when it comes back after it was removed;
    /// unique within the main account, never [`MAIN_OWNER`].
    pub owner: u64,
}

/// The owner of the main account's own counters.
pub const MAIN_OWNER: u64 = 0;

/// A main account's facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MainFacts {
    pub created_at_ms: i64,
    pub suspended: bool,
    /// None: the policy's default tier.
    pub floor: Option<PolicyId>,
    pub pin: Option<Pin>,
    pub payments: Arc<Timeline>,
    pub overrides: Vec<Override>,
}

impl MainFacts {
    #[must_use]
    pub fn created(created_at_ms: i64) -> Self {
        Self {
            created_at_ms,
            suspended: false,
            floor: None,
            pin: None,
            payments: Arc::default(),
            overrides: Vec::new(),
        }
    }
}

/// A sub-account's facts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubFacts {
    pub suspended: bool,
    pub caps: Vec<Cap>,
}
