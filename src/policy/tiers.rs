//! Which tier an account has at a moment (SEMANTICS, section 2): a pure function of its facts, the policy and `now`.

use crate::domain::account::Pin;
use crate::domain::ids::{Currency, PolicyId};
use crate::domain::ledger::Timeline;
use crate::domain::policy::{Policy, ReachedBy, Tier};
use crate::fault::Fault;
use std::collections::BTreeMap;

/// A tier and until when it holds if no fact changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Index in the policy's tiers.
    pub effective: usize,
    pub floor: usize,
    pub reached: Reached,
    pub pinned: bool,
    /// Holds while `now < until_ms`.
    pub until_ms: i64,
}

/// What payments and age reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    pub tier: usize,
    /// Where the tier is kept by grace alone: when the grace ends.
    pub granted_until_ms: Option<i64>,
    pub until_ms: i64,
}

/// What the tier of an account depends on besides the policy and the time.
#[derive(Debug, Clone, Copy)]
pub struct TierFacts<'a> {
    pub created_at_ms: i64,
    pub floor: Option<&'a PolicyId>,
    pub pin: Option<&'a Pin>,
    /// None: no payments.
    pub payments: Option<&'a Timeline>,
}

#[must_use]
pub fn standing(policy: &Policy, facts: TierFacts<'_>, now: i64) -> Standing {
    let none = Timeline::default();
    let reached = reached(policy, facts.payments.unwrap_or(&none), facts.created_at_ms, now);
    let floor = index_or_default(policy, facts.floor);
    let pin = facts.pin.filter(|pin| pin.holds(now));
    let effective = pin.map_or(floor.max(reached.tier), |pin| index_or_default(policy, Some(&pin.tier)));
    let pin_ends = pin.and_then(|Pin { until_ms, .. }| *until_ms).unwrap_or(i64::MAX);
    Standing { effective, floor, reached, pinned: pin.is_some(), until_ms: reached.until_ms.min(pin_ends) }
}

/// The tier of an account of which nothing is known but its age.
fn index_or_default(policy: &Policy, tier: Option<&PolicyId>) -> usize {
    tier.and_then(|tier| policy.tier_index(tier.as_str())).unwrap_or(policy.default_tier)
}

#[must_use]
pub fn reached(policy: &Policy, payments: &Timeline, created_at: i64, now: i64) -> Reached {
    let fold = Fold::up_to(policy, payments, created_at, now);
    let mut until = payments.moments().iter().map(|moment| moment.at_ms).find(|&at| at > now).unwrap_or(i64::MAX);
    let mut best = Reached { tier: policy.default_tier, granted_until_ms: None, until_ms: until };
    for (index, tier) in policy.tiers.iter().enumerate() {
        let Some(rule) = &tier.reached_by else { continue };
        let comes_of_age = rule.account_age_at_least_ms.map(|age| created_at.saturating_add(age));
        let grace_ends = fold.grace_until[index].filter(|&end| now < end + i64::from(Fault::GraceLong.chosen()));
        for change in comes_of_age.into_iter().chain(grace_ends).filter(|&at| at > now) {
            until = until.min(change);
        }
        let holds = fold.holds(rule, now);
        if (holds || grace_ends.is_some()) && index >= best.tier {
            let by_grace_alone = !holds && index != policy.default_tier;
            best = Reached { tier: index, granted_until_ms: grace_ends.filter(|_| by_grace_alone), until_ms: until };
        }
    }
    Reached { until_ms: until, ..best }
}

/// How an account stands with one tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eligibility {
    /// Index in the policy's tiers.
    pub tier: usize,
    /// Every condition holds now. None: payments and age cannot reach it, only an operator can set it.
    pub reached: Option<bool>,
    /// Reached, or kept by grace, or the default tier.
    pub granted: bool,
    /// Where it is kept by grace alone: when the grace ends.
    pub granted_until_ms: Option<i64>,
    /// Any one of them suffices. None: not a condition.
    pub net_paid: Option<Vec<PaidCondition>>,
    /// None: not a condition.
    pub age: Option<AgeCondition>,
}

/// Minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaidCondition {
    pub currency: Currency,
    pub have: i128,
    pub need: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgeCondition {
    pub have_ms: i64,
    pub need_ms: i64,
    /// When it holds, if it does not yet.
    pub holds_from_ms: i64,
}

/// What each tier takes and how much of it is there, in the order of their ranks.
#[must_use]
pub fn eligibility(policy: &Policy, payments: &Timeline, created_at: i64, now: i64) -> Vec<Eligibility> {
    let fold = Fold::up_to(policy, payments, created_at, now);
    let of_tier = |(index, tier): (usize, &Tier)| {
        let rule = tier.reached_by.as_ref();
        let reached = rule.map(|rule| fold.holds(rule, now));
        let grace_ends = fold.grace_until[index].filter(|&end| now < end);
        let holds = reached == Some(true) || index == policy.default_tier;
        let paid = rule.and_then(|rule| rule.net_paid_at_least.as_ref());
        let age = rule.and_then(|rule| rule.account_age_at_least_ms);
        Eligibility {
            tier: index,
            reached,
            granted: holds || grace_ends.is_some(),
            granted_until_ms: grace_ends.filter(|_| !holds),
            net_paid: paid.map(|any| any.iter().map(|(currency, need)| fold.paid(currency, *need)).collect()),
            age: age.map(|need_ms| AgeCondition {
                have_ms: now.saturating_sub(created_at),
                need_ms,
                holds_from_ms: created_at.saturating_add(need_ms),
            }),
        }
    };
    policy.tiers.iter().enumerate().map(of_tier).collect()
}

/// The state of the payments after all moments up to some time.
struct Fold {
    created_at: i64,
    net: BTreeMap<Currency, i128>,
    /// One for each tier.
    grace_until: Vec<Option<i64>>,
}

impl Fold {
    fn up_to(policy: &Policy, payments: &Timeline, created_at: i64, now: i64) -> Self {
        let mut fold = Self { created_at, net: BTreeMap::new(), grace_until: vec![None; policy.tiers.len()] };
        let mut before = vec![false; policy.tiers.len()];
        for moment in payments.moments().iter().take_while(|moment| moment.at_ms <= now) {
            for (before, tier) in before.iter_mut().zip(&policy.tiers) {
                *before = fold.reaches(tier, moment.at_ms - 1);
            }
            for (currency, amount) in &moment.net {
                *fold.net.entry(currency.clone()).or_default() += amount;
            }
            if moment.has_chargeback() {
                fold.grace_until.fill(None);
                continue;
            }
            for (index, tier) in policy.tiers.iter().enumerate() {
                if before[index] && !fold.reaches(tier, moment.at_ms) {
                    fold.grace_until[index] = Some(moment.at_ms.saturating_add(tier.grace_ms));
                }
            }
        }
        fold
    }

    fn paid(&self, currency: &Currency, need: u64) -> PaidCondition {
        PaidCondition { currency: currency.clone(), have: self.net.get(currency).copied().unwrap_or(0), need }
    }

    fn reaches(&self, tier: &Tier, at: i64) -> bool {
        tier.reached_by.as_ref().is_some_and(|rule| self.holds(rule, at))
    }

    fn holds(&self, rule: &ReachedBy, at: i64) -> bool {
        let paid = rule.net_paid_at_least.as_ref().is_none_or(|any| {
            any.iter().any(|(currency, least)| self.net.get(currency).copied().unwrap_or(0) >= i128::from(*least))
        });
        paid && rule.account_age_at_least_ms.is_none_or(|age| at.saturating_sub(self.created_at) >= age)
    }
}
