//! A policy that has been read and found valid. It is never changed; a published one is a revision.

use super::ids::{Currency, PolicyId, ResourceName};
use super::quantity::Quota;
use super::raise_rule::{Pool, RaiseRule};
use std::collections::BTreeMap;

pub const MAX_GROUPS: usize = 4_096;
pub const MAX_RESOURCES_IN_GROUP: usize = 1_024;
pub const MAX_LIMITS_IN_GROUP: usize = 16;
pub const MAX_TIERS: usize = 64;
pub const MAX_UNITS: usize = 16;

/// Index of `requests` in [`Policy::units`].
pub const REQUESTS: usize = 0;
/// Index of `tokens` in [`Policy::units`].
pub const TOKENS: usize = 1;

/// Language tag (BCP 47) to text.
pub type Titles = BTreeMap<String, String>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub name: String,
    pub title: Titles,
    pub note: Option<String>,
    pub source: Option<String>,
    pub unlisted_resources: UnlistedResources,
    /// Where days begin: milliseconds east of UTC.
    pub utc_offset_ms: i64,
    /// `requests` and `tokens` first, then the document's own.
    pub units: Vec<Unit>,
    /// Lowest first: the index is the rank.
    pub tiers: Vec<Tier>,
    /// Index in `tiers`.
    pub default_tier: usize,
    pub reservation_ttl_ms: i64,
    pub groups: Vec<Group>,
    /// Each limit at most once.
    pub pools: Vec<Pool>,
    /// The first that holds answers.
    pub raise_rules: Vec<RaiseRule>,
    /// The document as canonical JSON: keys sorted, no white space, defaults left as the author wrote or left them out.
    pub canonical_json: String,
    /// SHA-256 over `canonical_json`.
    pub content_hash: [u8; 32],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnlistedResources {
    Deny,
    Allow,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    pub id: PolicyId,
    pub title: Titles,
    pub note: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    pub id: PolicyId,
    pub title: Titles,
    pub note: Option<String>,
    /// None: only an operator can set this tier.
    pub reached_by: Option<ReachedBy>,
    pub grace_ms: i64,
}

/// Every condition named must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReachedBy {
    /// Minor units; any one of the currencies suffices. None: not a condition.
    pub net_paid_at_least: Option<BTreeMap<Currency, u64>>,
    /// None: not a condition.
    pub account_age_at_least_ms: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub id: PolicyId,
    pub title: Titles,
    pub note: Option<String>,
    pub resources: Vec<ResourceName>,
    pub share: Share,
    pub limits: Vec<Limit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Share {
    Group,
    Resource,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    pub id: PolicyId,
    pub title: Titles,
    pub note: Option<String>,
    pub rule: Rule,
    /// One for each tier, by rank.
    pub quotas: Vec<Quota>,
    /// One for each tier, by rank; only where the document names them (token buckets).
    pub bursts: Option<Vec<u64>>,
    pub adjustable: Adjustable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    Rate {
        /// Index in [`Policy::units`].
        unit: usize,
        window_ms: i64,
        algorithm: Algorithm,
    },
    Concurrency,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    FixedWindow,
    SlidingWindow,
    TokenBucket,
}

/// How far a raise request may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adjustable {
    /// No ceiling.
    Freely,
    UpTo(u64),
    Fixed,
}

impl Policy {
    #[must_use]
    pub fn tier_index(&self, id: &str) -> Option<usize> {
        self.tiers.iter().position(|tier| tier.id.as_str() == id)
    }

    #[must_use]
    pub fn unit_index(&self, id: &str) -> Option<usize> {
        self.units.iter().position(|unit| unit.id.as_str() == id)
    }

    #[must_use]
    pub fn group(&self, id: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.id.as_str() == id)
    }
}

impl Group {
    #[must_use]
    pub fn limit(&self, id: &str) -> Option<&Limit> {
        self.limits.iter().find(|limit| limit.id.as_str() == id)
    }

    #[must_use]
    pub fn has_concurrency(&self) -> bool {
        self.limits.iter().any(|limit| limit.rule == Rule::Concurrency)
    }
}

impl Algorithm {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FixedWindow => "fixed_window",
            Self::SlidingWindow => "sliding_window",
            Self::TokenBucket => "token_bucket",
        }
    }
}
