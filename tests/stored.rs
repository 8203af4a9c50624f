//! Accounts whose usage outgrows one stored value: what is written piece by piece comes back whole.

use proptest::prelude::*;
use quotagate::domain::account::MainFacts;
use quotagate::domain::ids::AccountId;
use quotagate::engine::{Amounts, Costs, Engine, Handle, Options, Request, Reserve, ResetWhat, STORED_PARTS};
use std::collections::BTreeMap;
use std::sync::Arc;

const NOW: i64 = 1_750_000_000_000;
const POLICY: &str = "
schema: quotagate.policy/v1
name: stored
default_tier: free
tiers: [{id: free}]
groups:
  - id: jobs
    resources: [j]
    limits:
      - {id: conn, kind: concurrency, quotas: {free: 100000}}
      - {id: rpm, unit: requests, window: 1m, quotas: {free: unlimited}}
      - {id: tpm, unit: tokens, window: 1h, algorithm: token_bucket, quotas: {free: 1000000}}
";

fn engine() -> Engine {
    let policy = quotagate::policy::parse(POLICY).expect("the policy is valid").policy;
    let engine = Engine::new(Arc::new(policy), Options::default());
    engine.put_main(&AccountId::parse("acme").unwrap(), MainFacts::created(NOW)).unwrap();
    engine
}

type Stored = BTreeMap<Vec<u8>, Vec<u8>>;

fn store(engine: &Engine, stored: &mut Stored) {
    engine.drain_dirty(|_, group| {
        for (key, value) in group {
            match value {
                Some(value) => stored.insert(key, value),
                None => stored.remove(&key),
            };
        }
    });
}

fn restored(stored: &Stored) -> Engine {
    let engine = engine();
    let mut restorer = engine.restorer(None);
    stored.iter().for_each(|(key, value)| restorer.record(key, value));
    let (report, unwanted) = restorer.finish();
    assert_eq!((report.damaged, report.unknown, unwanted.len()), (0, 0, 0));
    engine
}

#[derive(Debug, Clone)]
enum Step {
    Reserve { count: usize, ttl_ms: i64 },
    Settle { which: usize, tokens: u64 },
    Cancel { which: usize },
    Renew { which: usize },
    Wait { ms: i64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1usize..60, prop_oneof![Just(1_000), Just(60_000), Just(3_600_000)])
            .prop_map(|(count, ttl_ms)| Step::Reserve { count, ttl_ms }),
        3 => (any::<usize>(), 0u64..200).prop_map(|(which, tokens)| Step::Settle { which, tokens }),
        1 => any::<usize>().prop_map(|which| Step::Cancel { which }),
        1 => any::<usize>().prop_map(|which| Step::Renew { which }),
        2 => prop_oneof![Just(1), Just(999), Just(60_000), Just(600_000), Just(86_400_000)]
            .prop_map(|ms| Step::Wait { ms }),
    ];
    prop::collection::vec(step, 1..40)
}

/// Everything that can be read of the account.
fn readings(engine: &Engine, handles: &[Handle], now: i64) -> String {
    let reservations: Vec<_> = handles.iter().map(|handle| engine.reservation(handle, now)).collect();
    let status = engine.status("acme", "j", now).unwrap();
    format!("{:?}\n{:?}", status.limits, reservations)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_engine_restored_after_any_steps_reads_as_the_live_one(steps in steps()) {
        let live = engine();
        let mut stored = Stored::new();
        let mut handles: Vec<Handle> = Vec::new();
        let mut now = NOW;
        let costs = Costs::new(1, 50, []);
        for step in steps {
            let pick = |which: usize| (!handles.is_empty()).then(|| handles[which % handles.len()].clone());
            match step {
                Step::Reserve { count, ttl_ms } => {
                    for _ in 0..count {
                        let reserve = Some(Reserve { id: None, ttl_ms: Some(ttl_ms) });
                        let request = Request { account: "acme", resource: "j", costs: &costs, reserve, dry_run: false };
                        if let Some(held) = live.decide(&request, now).unwrap().reservation {
                            handles.push(held.handle);
                        }
                    }
                }
                Step::Settle { which, tokens } => {
                    pick(which).map(|handle| live.settle(&handle, &Amounts::new(None, Some(tokens), []), now).is_ok());
                }
                Step::Cancel { which } => {
                    pick(which).map(|handle| live.cancel(&handle, now).is_ok());
                }
                Step::Renew { which } => {
                    pick(which).map(|handle| live.renew(&handle, 5_000, now).is_ok());
                }
                Step::Wait { ms } => now += ms,
            }
            store(&live, &mut stored);

            prop_assert_eq!(readings(&restored(&stored), &handles, now), readings(&live, &handles, now));
        }
        store(&live, &mut stored);
        prop_assert_eq!(readings(&restored(&stored), &handles, now), readings(&live, &handles, now));
    }
}

#[test]
fn a_busy_account_is_written_again_only_where_it_changed() {
    let engine = engine();
    let costs = Costs::new(1, 50, []);
    let decide = |id: &str| {
        let reserve = Some(Reserve { id: Some(id), ttl_ms: None });
        let request = Request { account: "acme", resource: "j", costs: &costs, reserve, dry_run: false };
        engine.decide(&request, NOW).unwrap().reservation.unwrap()
    };
    let held: Vec<_> = (0..5_000).map(|number| decide(&format!("job-{number}"))).collect();
    let mut stored = Stored::new();
    store(&engine, &mut stored);

    engine.settle(&held[17].handle, &Amounts::default(), NOW).unwrap();
    let mut written = 0;
    engine.drain_dirty(|_, group| {
        written += group.iter().map(|(_, value)| value.as_ref().map_or(0, Vec::len)).sum::<usize>()
    });

    let all: usize = stored.values().map(Vec::len).sum();
    assert!(all > 300_000, "{all}");
    assert!(written < 4_000, "{written} of {all} bytes");
}

/// What has changed is taken out, and put back because it could not be written.
fn lose_a_write(engine: &Engine) {
    let mut lost = Vec::new();
    engine.drain_dirty(|account, group| lost.push((account.clone(), group)));
    engine.put_back(&lost);
}

#[test]
fn after_a_write_that_failed_all_is_written_again() {
    let engine = engine();
    let mut handles = hold(&engine, 200);
    let mut stored = Stored::new();
    store(&engine, &mut stored);
    handles.extend(hold(&engine, 1));
    lose_a_write(&engine);
    store(&engine, &mut stored);

    assert_eq!(readings(&restored(&stored), &handles, NOW), readings(&engine, &handles, NOW));
}

#[test]
fn usage_that_is_dropped_is_named_so_that_the_store_forgets_it() {
    let live = engine();
    hold(&live, 200);
    let mut stored = Stored::new();
    store(&live, &mut stored);

    let accepted = engine();
    let mut restorer = accepted.restorer(Some(NOW - 1));
    stored.iter().for_each(|(key, value)| restorer.record(key, value));
    let (report, unwanted) = restorer.finish();

    assert_eq!((report.dropped, report.accounts), (1, 0));
    assert_eq!(unwanted, stored.keys().cloned().collect::<Vec<_>>());
}

/// Makes so many reservations; above 64 the account is stored in pieces.
fn hold(engine: &Engine, count: usize) -> Vec<Handle> {
    let costs = Costs::new(1, 50, []);
    let decide = |_| {
        let reserve = Some(Reserve { id: None, ttl_ms: Some(80_000_000) });
        let request = Request { account: "acme", resource: "j", costs: &costs, reserve, dry_run: false };
        engine.decide(&request, NOW).unwrap().reservation.unwrap().handle
    };
    (0..count).map(decide).collect()
}

#[test]
fn the_last_reset_is_stored_with_the_usage_whole_and_in_pieces() {
    for count in [1, 200] {
        let engine = engine();
        hold(&engine, count);
        assert_eq!(engine.reset_usage("acme", ResetWhat::default(), 900), Some(2));
        assert_eq!(engine.reset_usage("acme", ResetWhat::default(), 7), Some(0));
        let mut stored = Stored::new();
        store(&engine, &mut stored);

        assert_eq!((stored.len() > 1, restored(&stored).last_reset("acme")), (count > 64, Some(900)));
    }
}

#[test]
fn usage_stored_before_resets_had_numbers_is_read_as_having_seen_none() {
    for count in [1, 200] {
        let engine = engine();
        hold(&engine, count);
        let mut stored = Stored::new();
        store(&engine, &mut stored);
        let header = stored.get_mut("acme".as_bytes()).unwrap();
        // The number stands behind version, kind, two times and the number of the next reservation, all but the first
        // two as groups of seven bits.
        let mut at = 2;
        for _ in 0..3 {
            at += header[at..].iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
        }
        assert_eq!((header[0], header.remove(at)), (3, 0));
        header[0] = 2;

        let again = restored(&stored);

        assert_eq!(again.last_reset("acme"), Some(0));
        assert_eq!(readings(&again, &[], NOW), readings(&engine, &[], NOW));
    }
}

/// What stays of 200 reservations is open; the others were settled long enough ago to be forgotten.
fn half_forgotten(engine: &Engine, handles: &[Handle]) -> i64 {
    for handle in &handles[100..] {
        engine.settle(handle, &Amounts::default(), NOW).unwrap();
    }
    let now = NOW + 600_000;
    engine.status("acme", "j", now).unwrap();
    now
}

#[test]
fn what_a_write_that_failed_was_to_remove_is_removed_by_the_next() {
    let engine = engine();
    let handles = hold(&engine, 200);
    let mut stored = Stored::new();
    store(&engine, &mut stored);
    let now = half_forgotten(&engine, &handles);

    lose_a_write(&engine);
    store(&engine, &mut stored);

    assert_eq!(readings(&restored(&stored), &handles, now), readings(&engine, &handles, now));
}

#[test]
fn an_account_that_was_to_be_stored_whole_again_leaves_no_piece_behind() {
    let engine = engine();
    let handles = hold(&engine, 200);
    let mut stored = Stored::new();
    store(&engine, &mut stored);
    for handle in &handles {
        engine.settle(handle, &Amounts::default(), NOW).unwrap();
    }
    engine.status("acme", "j", NOW + 600_000).unwrap();

    lose_a_write(&engine);
    store(&engine, &mut stored);

    assert_eq!(stored.keys().collect::<Vec<_>>(), [b"acme"]);
}

#[test]
fn pieces_of_usage_that_was_lost_never_come_back_with_later_usage() {
    for lost in [b"acme".to_vec(), b"acme\0c\0\0\0\0".to_vec()] {
        let mut stored = Stored::new();
        let before = engine();
        let old = hold(&before, 200);
        store(&before, &mut stored);
        assert!(stored.remove(&lost).is_some());
        let live = engine();
        let mut restorer = live.restorer(None);
        stored.iter().for_each(|(key, value)| restorer.record(key, value));
        assert!(restorer.finish().0.damaged > 0);

        let new = hold(&live, 70);
        store(&live, &mut stored);

        let handles = [old, new].concat();
        assert_eq!(readings(&restored(&stored), &handles, NOW), readings(&live, &handles, NOW));
    }
}

#[test]
fn marking_every_part_hands_out_all_that_the_store_has() {
    for count in [1, 200] {
        let engine = engine();
        engine.put_main(&AccountId::parse("idle").unwrap(), MainFacts::created(NOW)).unwrap();
        let handles = hold(&engine, count);
        let mut stored = Stored::new();
        store(&engine, &mut stored);
        let now = if count == 200 { half_forgotten(&engine, &handles) } else { NOW };
        store(&engine, &mut stored);

        let marked: usize = (0..STORED_PARTS).map(|part| engine.mark_part(part)).sum();
        let mut anew = Stored::new();
        store(&engine, &mut anew);

        assert_eq!((marked, &anew), (1, &stored));
        assert_eq!(readings(&restored(&anew), &handles, now), readings(&engine, &handles, now));
    }
}
