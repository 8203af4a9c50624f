//! Section 2: payments, tiers and the effective quota.

use super::policy::{Limit, Policy, Quota, Tier, WrittenFor};
use super::{Account, Model};
use serde_json::{Map, Value};

/// One payment event, as it was given.
#[derive(Clone, Debug)]
pub struct Payment {
    pub kind: Kind,
    pub account: String,
    pub event_id: String,
    pub payment_id: String,
    pub amount: i128,
    pub currency: String,
    pub occurred_at: i128,
    /// The fields of the event but `at_ms`, to compare with the same `event_id` sent again.
    pub given: Map<String, Value>,
}

/// The three kinds of payment events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    TopUp,
    Refund,
    Chargeback,
}

/// A payment event as it counts: from when, and by how much (refunds and chargebacks below zero).
#[derive(Clone, Debug)]
pub struct Counted {
    pub moment: i128,
    pub kind: Kind,
    pub currency: String,
    pub amount: i128,
}

/// An operator's quota for one (main account, group, limit).
#[derive(Clone, Debug)]
pub struct Override {
    pub account: String,
    pub group: String,
    pub limit: String,
    pub quota: Quota,
    pub starts_at: i128,
    pub expires_at: Option<i128>,
    pub written_for: WrittenFor,
}

/// An emergency ceiling.
#[derive(Clone, Debug)]
pub struct Clamp {
    pub group: String,
    pub limit: String,
    pub account: Option<String>,
    pub tier: Option<String>,
    pub quota: Quota,
    pub written_for: WrittenFor,
}

/// The payment events of one account as they count.
pub fn counted(payments: &[Payment], account: &str) -> Vec<Counted> {
    let mine: Vec<&Payment> = payments.iter().filter(|p| p.account == account).collect();
    let mut out = Vec::new();
    for top_up in mine.iter().filter(|p| p.kind == Kind::TopUp) {
        out.push(Counted {
            moment: top_up.occurred_at,
            kind: Kind::TopUp,
            currency: top_up.currency.clone(),
            amount: top_up.amount,
        });
        let mut takes: Vec<&&Payment> =
            mine.iter().filter(|p| p.kind != Kind::TopUp && p.payment_id == top_up.payment_id).collect();
        takes.sort_by_key(|p| (p.occurred_at, p.event_id.clone()));
        let mut left = top_up.amount;
        for take in takes {
            let amount = take.amount.min(left);
            left -= amount;
            out.push(Counted {
                moment: take.occurred_at.max(top_up.occurred_at),
                kind: take.kind,
                currency: top_up.currency.clone(),
                amount: -amount,
            });
        }
    }
    out
}

/// Net paid in a currency up to and including a moment.
fn net(events: &[Counted], currency: &str, moment: i128) -> i128 {
    events.iter().filter(|e| e.currency == currency && e.moment <= moment).map(|e| e.amount).sum()
}

/// Whether a tier is reached at a moment.
pub fn reached(tier: &Tier, events: &[Counted], made_at: i128, moment: i128) -> bool {
    let Some(rule) = &tier.reached_by else {
        return false;
    };
    let paid = rule
        .net_paid
        .as_ref()
        .is_none_or(|thresholds| thresholds.iter().any(|(currency, least)| net(events, currency, moment) >= *least));
    let aged = rule.age.is_none_or(|age| moment - made_at >= age);
    paid && aged
}

/// Whether payments grant a tier at `now`.
pub fn granted(tier: &Tier, events: &[Counted], made_at: i128, now: i128) -> bool {
    if reached(tier, events, made_at, now) {
        return true;
    }
    let chargeback_in =
        |from: i128, to: i128| events.iter().any(|e| e.kind == Kind::Chargeback && from <= e.moment && e.moment <= to);
    events.iter().any(|e| {
        let f = e.moment;
        e.kind == Kind::Refund
            && f <= now
            && reached(tier, events, made_at, f - 1)
            && !reached(tier, events, made_at, f)
            && now < f + tier.grace
            && !chargeback_in(f, now)
    })
}

impl Model {
    /// The tier of a main account at `now`.
    pub fn tier(&self, main: &Account, now: i128) -> String {
        let policy = &self.policy;
        let known = |tier: &str| policy.rank(tier).map_or(default_rank(policy), |rank| rank);
        if let Some((pin, until)) = &main.pin
            && until.is_none_or(|until| now < until)
        {
            return policy.tiers[known(pin)].id.clone();
        }
        let floor = main.floor.as_deref().map_or(default_rank(policy), known);
        let events = counted(&self.payments, &main.id);
        let paid = (0..policy.tiers.len())
            .filter(|&rank| granted(&policy.tiers[rank], &events, main.made_at, now))
            .max()
            .unwrap_or(0)
            .max(default_rank(policy));
        policy.tiers[floor.max(paid)].id.clone()
    }

    /// The effective quota of a main account for a limit of a group.
    pub fn effective(&self, main: &Account, group: &str, limit: &Limit, now: i128) -> Quota {
        let tier = self.tier(main, now);
        let sig = limit.rule.written_for();
        let set = self
            .overrides
            .iter()
            .find(|o| o.account == main.id && o.group == group && o.limit == limit.id)
            .filter(|o| o.written_for == sig)
            .filter(|o| o.starts_at <= now && o.expires_at.is_none_or(|end| now < end))
            .map_or(limit.quotas[&tier], |o| o.quota);
        self.clamps
            .iter()
            .filter(|c| c.group == group && c.limit == limit.id && c.written_for == sig)
            .filter(|c| c.account.as_ref().is_none_or(|a| *a == main.id))
            .filter(|c| c.tier.as_ref().is_none_or(|t| *t == tier))
            .map(|c| c.quota)
            .fold(set, Quota::min)
    }

    /// The burst `B` that belongs to a quota in force (`blocked`: 0; `unlimited` has none).
    pub fn burst(&self, main: &Account, limit: &Limit, quota: Quota, now: i128) -> i128 {
        let Quota::Of(q) = quota else {
            return 0;
        };
        let Some(bursts) = &limit.burst else {
            return q;
        };
        let tier = self.tier(main, now);
        match limit.quotas[&tier] {
            Quota::Of(tier_quota) => (q * bursts[&tier] / tier_quota).max(1),
            _ => q,
        }
    }
}

fn default_rank(policy: &Policy) -> usize {
    policy.rank(&policy.default_tier).expect("a valid policy has its default tier")
}
