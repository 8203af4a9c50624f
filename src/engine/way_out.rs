//! What would let a refused request pass, besides waiting.

use super::Engine;
use super::answer::{Decision, LimitState, Reason, Scope};
use super::decide::Asker;
use super::record::{Record, caps, terms_of};
use super::request::Request;
use super::snapshot::{CompiledLimit, Snapshot};
use crate::domain::ids::{AccountId, Currency};
use crate::domain::policy::{Adjustable, Rule};
use crate::domain::quantity::Quota;
use crate::limits::Terms;
use std::collections::BTreeMap;

/// At least one of the two is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WayOut {
    pub ascent: Option<Ascent>,
    /// Every limit that refuses may be raised on request, so far that the request passes.
    pub raise_request: bool,
}

/// A higher tier that payments or age reach: the lowest under which the request passes as it stands; where there is none,
/// the lowest that gives more room and under which it passes once the usage has passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ascent {
    /// Index in the policy's tiers.
    pub tier: usize,
    /// Minor units, what the account has paid by now.
    pub net_paid: BTreeMap<Currency, i128>,
    pub account_age_ms: i64,
}

/// A request that limits refused.
struct Refused<'a> {
    snapshot: &'a Snapshot,
    request: &'a Request<'a>,
    group: u16,
    states: &'a [LimitState],
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
        let refused =
            Refused { snapshot: &decision.snapshot, request, group: decision.group?, states: &decision.limits };
        let known = self.shards.with(request.account, |record, asker| refused.way_out(record, asker, now));
        // One that is treated as an account of the default tier has no record before its first allowed request.
        let unknown = || refused.way_out(&mut Record::new(AccountId::parse(request.account).ok()?, now), None, now);
        known.unwrap_or_else(unknown)
    }
}

impl Refused<'_> {
    fn way_out(&self, record: &mut Record, asker: Asker<'_>, now: i64) -> Option<WayOut> {
        if record.is_ahead_of(self.snapshot) {
            // The policy changed since the decision: what helps now says nothing about it.
            return None;
        }
        let now = record.bring(self.snapshot, now);
        let tier = record.tier(self.snapshot, now);
        let mut refusing = self.states.iter().filter(|state| state.refuses);
        let raise_request = refusing.all(|state| self.may_rise(record, state, tier, now));
        let ascent = self.ascent(record, asker, now);
        (ascent.is_some() || raise_request).then_some(WayOut { ascent, raise_request })
    }

    fn ascent(&self, record: &Record, asker: Asker<'_>, now: i64) -> Option<Ascent> {
        let standing = record.standing(self.snapshot, now);
        if standing.pinned {
            return None;
        }
        let under = |tier: usize, helps: &dyn Fn(&LimitState, &CompiledLimit, &Terms) -> bool| {
            self.states.iter().all(|state| {
                let limit = self.limit(state);
                self.terms(record, asker, state, (tier, now)).is_none_or(|terms| helps(state, limit, &terms))
            })
        };
        let passes = |tier: usize| under(tier, &|state, limit, terms| self.admits(limit, terms, state.used));
        let would_pass = |tier: usize| {
            under(tier, &|state, limit, terms| {
                self.admits(limit, terms, 0) && (!state.refuses || room(limit, terms) > present_room(state))
            })
        };
        let tiers = &self.snapshot.policy.tiers;
        let mut higher = (standing.effective + 1..tiers.len()).filter(|&tier| tiers[tier].reached_by.is_some());
        let tier = higher.clone().find(|&tier| passes(tier)).or_else(|| higher.find(|&tier| would_pass(tier)))?;
        let facts = record.tier_facts();
        let net_paid = facts.payments.map(|payments| payments.net_paid(now)).unwrap_or_default();
        Some(Ascent { tier, net_paid, account_age_ms: now.saturating_sub(facts.created_at_ms) })
    }

    /// Whether the limit, raised as far as the policy lets it, would admit the request; clamps stay in force.
    fn may_rise(&self, record: &Record, state: &LimitState, tier: usize, now: i64) -> bool {
        let limit = self.limit(state);
        let group = &self.snapshot.policy.groups[usize::from(self.group)];
        let mut quota = match group.limits[usize::from(state.limit)].adjustable {
            Adjustable::Freely => Quota::Unlimited,
            Adjustable::UpTo(most) => Quota::Units(most),
            Adjustable::Fixed => return false,
        };
        let tier_id = self.snapshot.policy.tiers[tier].id.as_str();
        for clamp in self.snapshot.clamps.live(limit) {
            if clamp.in_force(record.id.as_str(), tier_id, now) {
                quota = quota.min(clamp.quota);
            }
        }
        let terms = terms_of(limit, quota, tier);
        room(limit, &terms) > present_room(state) && self.admits(limit, &terms, 0)
    }

    fn limit(&self, state: &LimitState) -> &CompiledLimit {
        &self.snapshot.group(self.group).limits[usize::from(state.limit)]
    }

    /// What would be in force under a tier; None for a cap that is gone.
    fn terms(&self, record: &Record, asker: Asker<'_>, state: &LimitState, (tier, now): (usize, i64)) -> Option<Terms> {
        let limit = self.limit(state);
        match state.scope {
            Scope::Account => Some(record.terms(self.snapshot, limit, tier, now)),
            Scope::SubAccount => {
                let cap = record.sub(asker?.as_str())?.caps.iter().find(|cap| caps(cap, limit))?;
                Some(terms_of(limit, cap.quota, tier))
            }
        }
    }

    /// Whether the limit admits the request with so much used.
    fn admits(&self, limit: &CompiledLimit, terms: &Terms, used: u128) -> bool {
        let cost = match limit.rule {
            Rule::Concurrency => 1,
            Rule::Rate { .. } => self.request.costs.of(&limit.unit),
        };
        match terms.quota {
            Quota::Blocked => false,
            Quota::Unlimited => true,
            Quota::Units(_) => used.saturating_add(u128::from(cost)) <= room(limit, terms),
        }
    }
}

/// The most that can be used.
fn room(limit: &CompiledLimit, terms: &Terms) -> u128 {
    match terms.quota {
        Quota::Blocked => 0,
        Quota::Unlimited => u128::MAX,
        Quota::Units(_) if limit.is_bucket => terms.burst,
        Quota::Units(quota) => u128::from(quota),
    }
}

fn present_room(state: &LimitState) -> u128 {
    match state.quota {
        Quota::Blocked => 0,
        Quota::Unlimited => u128::MAX,
        Quota::Units(quota) => state.burst.unwrap_or(u128::from(quota)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::account::{Clamp, ClampScope, LimitKey, MainFacts, Override};
    use crate::domain::ids::PolicyId;
    use crate::engine::{Costs, Options, Reserve, UnknownAccounts};
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
  - id: h
    resources: [n]
    limits:
      - {id: rpm, unit: requests, window: 1m, adjustable: {max: 50},
         quotas: {free: 20, silver: 20, partner: 40, gold: 40}}
  - id: b
    resources: [o]
    limits:
      - {id: tpm, unit: tokens, window: 1m, algorithm: token_bucket, adjustable: {max: 100},
         quotas: {free: 10, silver: 20, partner: 20, gold: 20}, burst: {free: 5, silver: 40, partner: 40, gold: 40}}
";

    fn engine() -> Engine {
        let options = Options { unknown_accounts: UnknownAccounts::DefaultTier, ..Options::default() };
        let engine = Engine::new(Arc::new(crate::policy::parse(POLICY).unwrap().policy), options);
        engine.put_main(&AccountId::parse("acme").unwrap(), MainFacts::created(0)).unwrap();
        engine
    }

    fn ask(engine: &Engine, account: &str, resource: &str, costs: &Costs) -> Option<(Option<usize>, bool)> {
        let request = Request { account, resource, costs, reserve: None, dry_run: true };
        let decision = engine.decide(&request, 1_000).unwrap();
        let way_out = engine.way_out(&request, &decision, 1_000)?;
        Some((way_out.ascent.map(|ascent| ascent.tier), way_out.raise_request))
    }

    fn way_out(engine: &Engine, requests: u64, tokens: u64) -> Option<(Option<usize>, bool)> {
        ask(engine, "acme", "m", &Costs::new(requests, tokens, []))
    }

    fn spend(engine: &Engine, resource: &str, requests: u64) {
        let costs = Costs::new(requests, 0, []);
        let request = Request { account: "acme", resource, costs: &costs, reserve: None, dry_run: false };
        assert!(engine.decide(&request, 1_000).unwrap().allowed());
    }

    fn key(group: &str, limit: &str) -> LimitKey {
        LimitKey { group: PolicyId::parse(group).unwrap(), limit: PolicyId::parse(limit).unwrap() }
    }

    fn clamp(engine: &Engine, scope: ClampScope, quota: Quota) {
        let shape = engine.snapshot().shape_of("g", "rpm").unwrap();
        let clamp = Clamp {
            id: "c".into(),
            key: key("g", "rpm"),
            shape,
            scope,
            quota,
            expires_at_ms: None,
            origin: "test".into(),
        };
        engine.set_clamps(vec![clamp]);
    }

    fn tier(id: &str) -> ClampScope {
        ClampScope::Tier(PolicyId::parse(id).unwrap())
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

    #[test]
    fn under_an_override_a_higher_tier_does_not_help() {
        let engine = engine();
        let shape = engine.snapshot().shape_of("g", "rpm").unwrap();
        let set = Override {
            key: key("g", "rpm"),
            shape,
            quota: Quota::Units(3),
            starts_at_ms: None,
            expires_at_ms: None,
            origin: "test".into(),
        };
        let facts = MainFacts { overrides: vec![set], ..MainFacts::created(0) };
        engine.put_main(&AccountId::parse("acme").unwrap(), facts).unwrap();
        spend(&engine, "m", 3);

        assert_eq!(way_out(&engine, 1, 1), Some((None, true)));
        assert_eq!(way_out(&engine, 5, 1), Some((None, true)));
    }

    #[test]
    fn a_clamp_stands_before_the_tiers_and_raises_that_it_covers() {
        for (scope, quota, asked, expected) in [
            (ClampScope::All, Quota::Units(1), 2, None),
            (ClampScope::All, Quota::Blocked, 1, None),
            (ClampScope::Account(AccountId::parse("acme").unwrap()), Quota::Units(1), 2, None),
            (ClampScope::Account(AccountId::parse("beta").unwrap()), Quota::Units(1), 2, Some((Some(1), true))),
            (tier("free"), Quota::Units(1), 2, Some((Some(1), false))),
            (tier("silver"), Quota::Units(1), 2, Some((Some(3), true))),
            (ClampScope::All, Quota::Units(4), 4, Some((Some(3), true))),
            (ClampScope::All, Quota::Units(4), 5, None),
        ] {
            let engine = engine();
            clamp(&engine, scope.clone(), quota);

            assert_eq!(way_out(&engine, asked, 1), expected, "{scope:?} {quota} {asked}");
        }
    }

    #[test]
    fn a_tier_or_a_raise_that_gives_no_more_room_is_none() {
        let engine = engine();
        let asked = |requests| ask(&engine, "acme", "n", &Costs::new(requests, 0, []));
        spend(&engine, "n", 20);

        assert_eq!(asked(1), Some((Some(3), true)), "silver has as little as free");
        assert_eq!(asked(21), Some((Some(3), true)), "not as it stands, but once the usage has passed");
        assert_eq!(asked(50), Some((None, true)), "up to the most it may be raised to");
        assert_eq!(asked(51), None);
    }

    #[test]
    fn a_burst_is_what_a_token_bucket_admits() {
        let engine = engine();
        let asked = |tokens| ask(&engine, "acme", "o", &Costs::new(1, tokens, []));

        assert_eq!(asked(40), Some((Some(1), true)), "a raise to 100 has a burst of 50");
        assert_eq!(asked(50), Some((None, true)));
        assert_eq!(asked(51), None);
    }

    #[test]
    fn an_account_that_nobody_made_has_the_same_ways() {
        let engine = engine();

        assert_eq!(ask(&engine, "new", "m", &Costs::new(2, 1, [])), Some((Some(1), true)));
        let reserve = Some(Reserve::default());
        let costs = Costs::new(2, 1, []);
        let request = Request { account: "new", resource: "m", costs: &costs, reserve, dry_run: false };
        assert!(!engine.decide(&request, 1_000).unwrap().allowed());
    }
}
