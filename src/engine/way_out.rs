//! What would let a refused request pass, besides waiting.

use super::answer::{Decision, LimitState, Reason, Scope};
use super::record::Record;
use super::request::Request;
use super::snapshot::Snapshot;
use super::{Engine, decide};
use crate::domain::ids::Currency;
use crate::domain::policy::{Adjustable, Rule};
use crate::domain::quantity::Quota;
use std::collections::BTreeMap;

/// At least one of the two is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WayOut {
    pub ascent: Option<Ascent>,
    /// Every limit that refuses may be raised on request.
    pub raise_request: bool,
}

/// The lowest higher tier that payments or age reach and that would admit the request as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ascent {
    /// Index in the policy's tiers.
    pub tier: usize,
    /// Minor units, what the account has paid by now.
    pub net_paid: BTreeMap<Currency, i128>,
    pub account_age_ms: i64,
}

impl Engine {
    /// The way out of a refusal by limits; None where there is none, or the decision is not such a refusal.
    #[must_use]
    pub fn way_out(&self, request: &Request<'_>, decision: &Decision, now: i64) -> Option<WayOut> {
        let by_limits = match decision.denied? {
            Reason::UnknownAccount | Reason::AccountSuspended | Reason::UnknownResource => false,
            Reason::Blocked | Reason::CostExceedsQuota | Reason::QuotaExceeded | Reason::ConcurrencyExceeded => true,
        };
        // A cap is the main account's own choice: neither a tier nor a raise lifts it.
        if !by_limits || decision.limits.iter().any(|state| state.refuses && state.scope == Scope::SubAccount) {
            return None;
        }
        let snapshot = &decision.snapshot;
        let group = decision.group?;
        let ascent = self.shards.with(request.account, |record, _| {
            // The policy changed since the decision: what helps now says nothing about it.
            let stale = record.is_ahead_of(snapshot);
            if stale { None } else { ascent(record, snapshot, request, (&decision.limits, group, now)) }
        });
        let raise_request =
            decision.limits.iter().filter(|state| state.refuses).all(|state| may_rise(snapshot, group, state));
        let way_out = WayOut { ascent: ascent.flatten(), raise_request };
        (way_out.ascent.is_some() || way_out.raise_request).then_some(way_out)
    }
}

fn ascent(
    record: &mut Record,
    snapshot: &Snapshot,
    request: &Request<'_>,
    (states, group, now): (&[LimitState], u16, i64),
) -> Option<Ascent> {
    let now = record.bring(snapshot, now);
    let standing = record.standing(snapshot, now);
    if standing.pinned {
        return None;
    }
    let admits = |tier: usize| {
        states.iter().filter(|state| state.scope == Scope::Account).all(|state| {
            let limit = &snapshot.group(group).limits[usize::from(state.limit)];
            let terms = record.terms(snapshot, limit, tier, now);
            let (most, cost) = match (terms.quota, limit.rule) {
                (Quota::Unlimited, _) => return true,
                (Quota::Blocked, _) => return false,
                (Quota::Units(most), Rule::Concurrency) => (u128::from(most), 1),
                (Quota::Units(most), rule) => {
                    let most = if decide::is_bucket(rule) { terms.burst } else { u128::from(most) };
                    (most, request.costs.of(&limit.unit))
                }
            };
            state.used + u128::from(cost) <= most
        })
    };
    let tiers = &snapshot.policy.tiers;
    let tier = (standing.effective + 1..tiers.len()).find(|&tier| tiers[tier].reached_by.is_some() && admits(tier))?;
    let facts = record.tier_facts();
    let net_paid = facts.payments.map(|payments| payments.net_paid(now)).unwrap_or_default();
    Some(Ascent { tier, net_paid, account_age_ms: now.saturating_sub(facts.created_at_ms) })
}

fn may_rise(snapshot: &Snapshot, group: u16, state: &LimitState) -> bool {
    match snapshot.policy.groups[usize::from(group)].limits[usize::from(state.limit)].adjustable {
        Adjustable::Freely => true,
        Adjustable::UpTo(most) => state.quota < Quota::Units(most),
        Adjustable::Fixed => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::account::MainFacts;
    use crate::domain::ids::AccountId;
    use crate::engine::{Costs, Options};
    use std::sync::Arc;

    const POLICY: &str = "
schema: quotagate.policy/v1
name: ways
tiers:
  - {id: free}
  - {id: silver, reached_by: {net_paid_at_least: {CNY: 100}}}
  - {id: partner}
  - {id: gold, reached_by: {net_paid_at_least: {CNY: 1000}}}
default_tier: free
groups:
  - id: g
    resources: [m]
    limits:
      - {id: rpm, unit: requests, window: 1m, quotas: {free: 1, silver: 2, partner: 9, gold: unlimited}}
      - {id: tpm, unit: tokens, window: 1m, adjustable: false,
         quotas: {free: 100, silver: 200, partner: 900, gold: 1000}}
";

    fn engine() -> Engine {
        let engine = Engine::new(Arc::new(crate::policy::parse(POLICY).unwrap().policy), Options::default());
        engine.put_main(&AccountId::parse("acme").unwrap(), MainFacts::created(0)).unwrap();
        engine
    }

    fn way_out(engine: &Engine, requests: u64, tokens: u64) -> Option<(Option<usize>, bool)> {
        let costs = Costs::new(requests, tokens, []);
        let request = Request { account: "acme", resource: "m", costs: &costs, reserve: None, dry_run: true };
        let decision = engine.decide(&request, 1_000).unwrap();
        let way_out = engine.way_out(&request, &decision, 1_000)?;
        Some((way_out.ascent.map(|ascent| ascent.tier), way_out.raise_request))
    }

    #[test]
    fn the_lowest_tier_that_money_reaches_and_that_admits_is_named() {
        let engine = engine();

        assert_eq!(way_out(&engine, 1, 1), None);
        assert_eq!(way_out(&engine, 2, 1), Some((Some(1), true)));
        assert_eq!(way_out(&engine, 3, 1), Some((Some(3), true)));
        assert_eq!(way_out(&engine, 1, 150), Some((Some(1), false)));
    }

    #[test]
    fn where_nothing_helps_there_is_no_way_out() {
        assert_eq!(way_out(&engine(), 1, 5_000), None);
    }
}
