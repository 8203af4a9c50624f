//! What the engine notes of each minute, against what was decided.

use quotagate::domain::account::MainFacts;
use quotagate::domain::history::{Peak, Tally};
use quotagate::domain::ids::AccountId;
use quotagate::domain::quantity::Quota;
use quotagate::engine::{Amounts, Costs, Engine, HISTORY_PARTS, Options, Request, Reserve, UnknownAccounts};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The first millisecond of a minute.
const BEGUN: i64 = 29_000_000 * 60_000;

const POLICY: &str = "
schema: quotagate.policy/v1
name: history
default_tier: free
tiers: [{id: free}]
groups:
  - id: text
    resources: [m]
    limits:
      - {id: rpm, unit: requests, window: 1m, quotas: {free: 3}}
      - {id: tpm, unit: tokens, window: 1m, quotas: {free: 1000}}
  - id: shares
    share: resource
    resources: [a, b]
    limits: [{id: rpm, unit: requests, window: 1m, quotas: {free: 10}}]
  - id: slots
    resources: [s]
    limits: [{id: conn, kind: concurrency, quotas: {free: 2}}]
  - id: open
    resources: [o]
    limits: [{id: rpm, unit: requests, window: 1m, quotas: {free: unlimited}}]
  - id: shut
    resources: [x]
    limits: [{id: rpm, unit: requests, window: 1m, quotas: {free: blocked}}]
  - id: bucket
    resources: [t]
    limits:
      - {id: rpm, unit: requests, window: 1m, algorithm: token_bucket, quotas: {free: 10}, burst: {free: 4}}
";

fn engine(unknown_accounts: UnknownAccounts) -> Engine {
    let policy = quotagate::policy::parse(POLICY).unwrap_or_else(|findings| panic!("{findings:?}")).policy;
    let engine = Engine::new(Arc::new(policy), Options { unknown_accounts, history: true, ..Options::default() });
    engine.put_main(&AccountId::parse("acme").unwrap(), MainFacts::created(BEGUN)).unwrap();
    engine
}

fn decide(engine: &Engine, resource: &str, tokens: u64, now: i64) -> bool {
    let costs = Costs::new(1, tokens, []);
    let request = Request { account: "acme", resource, costs: &costs, reserve: None, dry_run: false };
    engine.decide(&request, now).unwrap().allowed()
}

type Taken = BTreeMap<(i64, String), Tally>;

/// Minutes counted from the first, limits as `group.limit`; what comes in parts is added up.
fn drain(engine: &Engine, until: i64) -> Taken {
    let mut taken = Taken::new();
    for part in 0..HISTORY_PARTS {
        engine.drain_history(part, until, |account, minute, limits| {
            assert_eq!(account.as_str(), "acme");
            for (key, tally) in limits {
                let name = format!("{}.{}", key.group, key.limit);
                taken.entry((minute - BEGUN / 60_000, name)).or_insert(Tally::NONE).add(&tally);
            }
        });
    }
    taken
}

fn tally(admitted: i64, denied: u64, used: u64, quota: u64) -> Tally {
    Tally { admitted, denied, peak: Peak { used, quota: Quota::Units(quota) } }
}

fn of(minute: i64, limit: &str, tally: Tally) -> ((i64, String), Tally) {
    ((minute, limit.to_owned()), tally)
}

#[test]
fn what_was_admitted_denied_and_in_use_at_once_is_noted_for_each_minute() {
    let engine = engine(UnknownAccounts::Deny);
    for at in 0..5 {
        assert_eq!(decide(&engine, "m", 100, BEGUN + at), at < 3);
    }
    assert!(decide(&engine, "m", 10, BEGUN + 60_100));

    let first = drain(&engine, BEGUN + 60_000);
    let none = drain(&engine, BEGUN + 119_999);
    let second = drain(&engine, BEGUN + 120_000);

    assert_eq!(first, [of(0, "text.rpm", tally(3, 2, 3, 3)), of(0, "text.tpm", tally(300, 0, 300, 1_000))].into());
    assert_eq!(none, Taken::new());
    assert_eq!(second, [of(1, "text.rpm", tally(1, 0, 1, 3)), of(1, "text.tpm", tally(10, 0, 10, 1_000))].into());
}

#[test]
fn a_refusal_counts_for_the_limit_that_refuses_and_shows_what_was_in_use() {
    let engine = engine(UnknownAccounts::Deny);
    assert!(decide(&engine, "m", 900, BEGUN + 59_999));
    assert!(!decide(&engine, "m", 101, BEGUN + 60_000));

    let taken = drain(&engine, i64::MAX);

    assert_eq!(taken[&(1, "text.rpm".to_owned())], tally(0, 0, 1, 3));
    assert_eq!(taken[&(1, "text.tpm".to_owned())], tally(0, 1, 900, 1_000));
}

#[test]
fn what_changes_nothing_is_not_noted() {
    let engine = engine(UnknownAccounts::Deny);
    let costs = Costs::default();
    let dry = Request { account: "acme", resource: "m", costs: &costs, reserve: None, dry_run: true };
    assert!(engine.decide(&dry, BEGUN).unwrap().allowed());
    assert!(engine.status("acme", "m", BEGUN).is_ok());
    assert!(!decide(&engine, "nothing", 1, BEGUN));

    assert_eq!(drain(&engine, i64::MAX), Taken::new());
}

#[test]
fn resources_with_buckets_of_their_own_are_summed_and_the_largest_is_the_peak() {
    let engine = engine(UnknownAccounts::Deny);
    for resource in ["a", "b", "b", "b", "a"] {
        assert!(decide(&engine, resource, 0, BEGUN));
    }

    assert_eq!(drain(&engine, i64::MAX), [of(0, "shares.rpm", tally(5, 0, 3, 10))].into());
}

#[test]
fn infinite_quotas_none_at_all_and_buckets() {
    let engine = engine(UnknownAccounts::Deny);
    for _ in 0..3 {
        assert!(decide(&engine, "o", 0, BEGUN) && decide(&engine, "t", 0, BEGUN) && !decide(&engine, "x", 0, BEGUN));
    }

    let taken = drain(&engine, i64::MAX);

    let under = |quota, admitted, denied, used| Tally { admitted, denied, peak: Peak { used, quota } };
    let expected = [
        of(0, "bucket.rpm", tally(3, 0, 3, 4)),
        of(0, "open.rpm", under(Quota::Unlimited, 3, 0, 3)),
        of(0, "shut.rpm", under(Quota::Blocked, 0, 3, 0)),
    ];
    assert_eq!(taken, expected.into());
}

#[test]
fn a_settle_and_a_cancel_correct_the_minute_they_come_in_and_slots_stay_counted() {
    let engine = engine(UnknownAccounts::Deny);
    let costs = Costs::new(1, 300, []);
    let reserve = |resource| {
        let request =
            Request { account: "acme", resource, costs: &costs, reserve: Some(Reserve::default()), dry_run: false };
        engine.decide(&request, BEGUN).unwrap().reservation.unwrap().handle
    };
    let (below, above, slot) = (reserve("m"), reserve("m"), reserve("s"));

    let later = BEGUN + 60_000;
    engine.settle(&below, &Amounts::new(None, Some(100), []), later).unwrap();
    engine.settle(&below, &Amounts::new(None, Some(100), []), later).unwrap();
    let amounts = Amounts::new(None, Some(900), []);
    engine.preview(&above, quotagate::engine::Change::Settle(&amounts), later).unwrap();
    engine.settle(&above, &amounts, later).unwrap();
    engine.cancel(&slot, later).unwrap();

    let taken = drain(&engine, i64::MAX);
    assert_eq!(taken[&(0, "text.tpm".to_owned())], tally(600, 0, 600, 1_000));
    assert_eq!(taken[&(1, "text.tpm".to_owned())].admitted, -200 + 600);
    assert_eq!(taken[&(0, "slots.conn".to_owned())], tally(1, 0, 1, 2));
    assert!(!taken.contains_key(&(1, "slots.conn".to_owned())));
}

#[test]
fn a_minute_that_passes_before_it_is_taken_is_not_lost_nor_one_of_a_limit_that_went() {
    let engine = engine(UnknownAccounts::Deny);
    for minute in [0, 1, 3] {
        assert!(decide(&engine, "o", 0, BEGUN + minute * 60_000));
        assert!(decide(&engine, "m", 1, BEGUN + minute * 60_000));
    }
    let seen = engine.history("acme").len();
    let other = POLICY.replace("id: open", "id: wide");
    engine.activate(Arc::new(quotagate::policy::parse(&other).unwrap().policy), 2);

    let taken = drain(&engine, i64::MAX);

    assert_eq!((seen, taken.len()), (9, 9));
    for minute in [0, 1, 3] {
        assert_eq!(taken[&(minute, "open.rpm".to_owned())].admitted, 1);
    }
    assert_eq!(engine.history("acme"), []);
}

#[test]
fn an_account_made_by_its_first_request_has_a_history_and_one_that_was_refused_none() {
    let engine = engine(UnknownAccounts::DefaultTier);
    let costs = Costs::default();
    let ask = |account, resource| {
        let request = Request { account, resource, costs: &costs, reserve: None, dry_run: false };
        engine.decide(&request, BEGUN).unwrap().allowed()
    };
    assert!(ask("made", "m") && !ask("refused", "x"));

    assert_eq!((engine.history("made").len(), engine.history("refused").len()), (2, 0));
    assert_eq!(engine.history_dropped(), 0);
}

#[test]
fn a_table_that_is_full_drops_history_and_no_decision() {
    let limits: String = (0..300)
        .map(|n| {
            format!("  - {{id: g{n}, resources: [r{n}], limits: [{{id: l, unit: requests, window: 1m, quotas: {{free: 5}}}}]}}\n")
        })
        .collect();
    let text = format!(
        "schema: quotagate.policy/v1\nname: wide\ndefault_tier: free\ntiers: [{{id: free}}]\ngroups:\n{limits}"
    );
    let policy = quotagate::policy::parse(&text).unwrap_or_else(|findings| panic!("{findings:?}")).policy;
    let engine = Engine::new(Arc::new(policy), Options { history: true, ..Options::default() });
    engine.put_main(&AccountId::parse("acme").unwrap(), MainFacts::created(BEGUN)).unwrap();

    assert!((0..300).all(|n| decide(&engine, &format!("r{n}"), 0, BEGUN)));

    assert_eq!((engine.history("acme").len(), engine.history_dropped()), (256, 44));
    assert_eq!(drain(&engine, i64::MAX).len(), 256);
}
