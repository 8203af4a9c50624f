//! What the server knows of an account that asks for more, frozen at one moment.
//!
//! Owns: what evidence holds, how it is taken ([`take`]), the hash that tells whether a stored one was changed
//! ([`Snapshot`]). Deliberately absent: requests and their records, rules ([`super::raise_rules`]), the customer's words.
//!
//! INVARIANT: evidence is plain data. What was stored reads back as the same and hashes to the same: a field that is added
//! later has a default and is left out where it has it.

mod page;
mod pools;
mod snapshot;
mod take;

pub use page::{Page, Reader, STYLE, page};
pub use snapshot::Snapshot;
pub use take::take;

use crate::domain::ids::{AccountId, Currency, PolicyId};
use crate::domain::quantity::Quota;
use crate::domain::raise_request::State;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How far back evidence looks.
pub const SPAN_DAYS: i64 = 28;
const DAY_MS: i64 = 86_400_000;

/// Everything about one account and some limits of one group. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    pub taken_at_ms: i64,
    /// The revision of the policy that was active.
    pub revision: u64,
    pub group: PolicyId,
    pub span: Span,
    /// Whether there was a history to look at; without one no limit has its `usage`.
    pub history: HistoryState,
    pub account: AccountFacts,
    /// In the order in which they were asked for.
    pub limits: Vec<LimitEvidence>,
    /// Requests of this account before this one, as the caller gave them.
    pub earlier: Vec<EarlierRequest>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryState {
    On,
    /// The server keeps none.
    Off,
}

/// What time the usage is of: 28 days of 24 hours, up to the end of the hour in which it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    pub from_ms: i64,
    pub to_ms: i64,
    /// The hour in which one of the limits was first used within the span. None: there was no use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_ms: Option<i64>,
    /// The group was used before the span, or in its first hour: quiet hours were quiet. If not, the usage that there is
    /// began later, at `first_ms`.
    pub whole: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountFacts {
    /// The main account.
    pub id: AccountId,
    pub created_at_ms: i64,
    pub tier: PolicyId,
    pub suspended: bool,
    /// Top-ups less refunds and chargebacks that count by now, in minor units by currency; what comes to 0 is left out.
    pub net_paid: BTreeMap<Currency, i64>,
    /// What refunds and chargebacks took back by now, in minor units by currency.
    pub refunded: BTreeMap<Currency, u64>,
    /// How many refunds and chargebacks count by now.
    pub refunds: u64,
    /// When the last of them began to count. None: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_refund_ms: Option<i64>,
}

/// One limit of the group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitEvidence {
    pub limit: PolicyId,
    /// What it counts. None: concurrency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<PolicyId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_ms: Option<i64>,
    /// `fixed_window`, `sliding_window` or `token_bucket`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// In force when it was taken.
    pub quota: Quota,
    /// Token buckets with an integer quota: the most at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u64>,
    /// The tier's own quota.
    pub tier_quota: Quota,
    /// Every source considered for the quota in force, in order.
    pub sources: Vec<SourceOfQuota>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Where the policy declares a pool for the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolShare>,
}

/// A line of the explanation of a quota.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceOfQuota {
    /// `override`, `tier` or `clamp`.
    pub source: String,
    pub quota: Quota,
    /// `set`, `shadowed`, `lowered` or `inactive`.
    pub outcome: String,
    /// An id with its reason, or the tier.
    pub origin: String,
    /// Of the policy, where it came from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}

/// How a limit was used in the span. A minute's use is set against the quota that was in force in it (of a token bucket,
/// the burst); utilisation is in parts of 10,000 of it, rounded down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Minutes in which something was decided.
    pub active_minutes: u64,
    /// Cost in the limit's unit; of concurrency, slots taken.
    pub admitted: u64,
    /// Requests that this limit refused.
    pub denied: u64,
    /// The minute with the most in use beside its quota. None: nothing was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<PeakMinute>,
    /// Cost admitted in the minute that 95 % and 99 % of the active minutes are not above; up to an eighth too low.
    pub admitted_p95: u64,
    pub admitted_p99: u64,
    /// The same of utilisation. None: no quota was a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utilisation_p95: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utilisation_p99: Option<u32>,
    /// Minutes in which at least 80 % and 100 % of the quota were in use at once.
    pub minutes_at_80: u64,
    pub minutes_at_100: u64,
    /// Spans of seven days that end with the whole, the oldest first.
    pub weeks: Vec<WeekOfUsage>,
    /// The highest utilisation in each of the days of 24 hours that the span is made of, the oldest first; None where
    /// nothing was decided, or no quota was a number.
    pub daily_peaks: Vec<Option<u32>>,
    /// Hours in which something was decided, in order.
    pub hours: Vec<HourOfUsage>,
}

/// The most that was in use at once, and the minute in which it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeakMinute {
    /// When the minute began.
    pub at_ms: i64,
    pub used: u64,
    /// In force then.
    pub quota: Quota,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utilisation: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeekOfUsage {
    pub from_ms: i64,
    pub to_ms: i64,
    pub admitted: u64,
    pub denied: u64,
    /// How much more was admitted than in the week before, in parts of 1,000, rounded down. None: there was no week before,
    /// or it admitted nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth_permille: Option<i64>,
}

/// One hour, kept short: `[hour, used, quota, admitted, denied]`.
///
/// The number of the hour counts from the beginning of the span; `used` and `quota` are of the minute of its peak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HourOfUsage(pub u16, pub u64, pub Quota, pub u64, pub u64);

/// A request that the account made before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierRequest {
    pub id: String,
    pub group: PolicyId,
    pub state: State,
    pub filed_at_ms: i64,
    /// When it was decided, withdrawn or ran out. None: it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at_ms: Option<i64>,
    pub limits: Vec<EarlierLimit>,
    /// Why it was denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierLimit {
    pub limit: PolicyId,
    pub wanted: Quota,
    /// None: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted: Option<Quota>,
}

/// How much of a pool is promised: by overrides in force or scheduled. What tiers give to everybody is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolShare {
    /// What the policy says there is, in the limit's unit and window.
    pub capacity: u64,
    /// The sum over all accounts of the highest quota that an override of each gives, now or later.
    pub promised: u64,
    /// How many accounts that is.
    pub accounts: u64,
    /// How much of it is the account's own.
    pub own: u64,
    /// Accounts whose override is `unlimited`, which is not in the sum.
    pub unlimited: u64,
    /// All overrides were counted; there may be more than are counted at once.
    pub complete: bool,
}

impl Evidence {
    #[must_use]
    pub fn limit(&self, id: &PolicyId) -> Option<&LimitEvidence> {
        self.limits.iter().find(|limit| limit.limit == *id)
    }
}
