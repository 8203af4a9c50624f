//! The tier of an account as people see it, and pinning it.

use super::records::{AccountRecord, Act, PinRecord, Role};
use crate::domain::account::Pin;
use crate::domain::ids::PolicyId;
use crate::domain::ledger::Timeline;
use crate::domain::policy::Policy;
use crate::policy::tiers::{TierFacts, standing};
use serde::{Deserialize, Serialize};

/// A main account's tier and all that it comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TierView {
    /// The one in force.
    pub effective: PolicyId,
    /// Given with the account, else the policy's default.
    pub floor: PolicyId,
    /// Set by an operator, while it holds.
    pub pin: Option<PinRecord>,
    /// What payments and age reach.
    pub reached: PolicyId,
    /// Where what was reached is kept by grace alone: when the grace ends.
    pub granted_until_ms: Option<i64>,
}

impl TierView {
    /// None: a sub-account's record, which has its main account's tier.
    pub(super) fn of(policy: &Policy, record: &AccountRecord, payments: &Timeline, now: i64) -> Option<Self> {
        let Role::Main { floor, pin } = &record.role else { return None };
        let held = pin.as_ref().map(PinRecord::to_pin);
        let facts = TierFacts {
            created_at_ms: record.created_at_ms,
            floor: floor.as_ref(),
            pin: held.as_ref(),
            payments: Some(payments),
        };
        let standing = standing(policy, facts, now);
        let id = |tier: usize| policy.tiers[tier].id.clone();
        Some(Self {
            effective: id(standing.effective),
            floor: id(standing.floor),
            pin: pin.clone().filter(|pin| pin.to_pin().holds(now)),
            reached: id(standing.reached.tier),
            granted_until_ms: standing.reached.granted_until_ms,
        })
    }
}

impl PinRecord {
    #[must_use]
    pub fn to_pin(&self) -> Pin {
        Pin { tier: self.tier.clone(), until_ms: self.until_ms }
    }
}

impl Act {
    pub(super) fn of(context: &super::Context, reason: &str) -> Self {
        Self { at_ms: context.now, by: context.actor.clone(), reason: reason.to_owned() }
    }
}
