//! What of the policy answers a raise request by itself: pools of capacity, and rules.

use super::account::LimitKey;
use super::ids::PolicyId;
use serde::{Deserialize, Serialize};

pub const MAX_POOLS: usize = 4_096;
pub const MAX_RAISE_RULES: usize = 64;
/// The days that evidence looks back.
pub const MAX_PEAK_DAYS: u64 = 28;

/// How much of a limit there is for all overrides together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    pub key: LimitKey,
    /// In the limit's unit and window; of concurrency, slots.
    pub capacity: u64,
}

/// If all clauses hold, the answer is given. Rules are tried in their order; the first that holds decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaiseRule {
    pub id: PolicyId,
    pub note: Option<String>,
    /// At least one, each kind once, in the order of [`Clause`].
    pub when: Vec<Clause>,
    pub answer: Answer,
}

/// One condition; those about a limit must hold for every limit of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clause {
    /// The request is for one of these groups.
    Groups(Vec<PolicyId>),
    /// The account's tier is one of these.
    Tiers(Vec<PolicyId>),
    AccountAgeAtLeast {
        ms: i64,
    },
    /// No refund or chargeback has begun to count for so long.
    NoRefundIn {
        ms: i64,
    },
    /// What is asked for is at most so many percent of the quota in force.
    AtMostPercent(u64),
    /// What is asked for is at most so many percent of the tier's own quota.
    AtMostPercentOfTier(u64),
    /// On so many days of the evidence at least so many percent of the quota were in use at once.
    PeakUse {
        percent: u64,
        days: u64,
    },
    /// In no minute of the evidence so many percent of the quota were in use at once.
    PeakUseBelow {
        percent: u64,
    },
    /// What is promised, with what is asked for, is within the capacity of the limit's pool.
    PoolHasRoom,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// What was asked for is given for so long.
    Approve { for_ms: i64 },
    /// The customer is asked.
    RequestInfo { text: String },
}

impl Clause {
    /// Its name in the document.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Groups(_) => "groups",
            Self::Tiers(_) => "tiers",
            Self::AccountAgeAtLeast { .. } => "account_age_at_least",
            Self::NoRefundIn { .. } => "no_refund_in",
            Self::AtMostPercent(_) => "at_most_percent",
            Self::AtMostPercentOfTier(_) => "at_most_percent_of_tier",
            Self::PeakUse { .. } => "peak_use",
            Self::PeakUseBelow { .. } => "peak_use_below",
            Self::PoolHasRoom => "pool_has_room",
        }
    }
}
