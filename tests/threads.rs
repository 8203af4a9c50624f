//! Many threads on one account: what is admitted never exceeds the quota, and equals it when demand does.

use quotagate::domain::account::{Cap, LimitKey, MainFacts, SubFacts};
use quotagate::domain::ids::{AccountId, PolicyId};
use quotagate::domain::quantity::Quota;
use quotagate::engine::{Amounts, Costs, Engine, Options, Request, Reserve};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

const POLICY: &str = "
schema: quotagate.policy/v1
name: threads
default_tier: free
tiers: [{id: free}]
groups:
  - id: text
    resources: [m]
    limits:
      - {id: rpm, unit: requests, window: 1m, algorithm: sliding_window, quotas: {free: 700}}
      - {id: rph, unit: requests, window: 1h, algorithm: fixed_window, quotas: {free: 900}}
      - {id: tpm, unit: tokens, window: 1m, algorithm: token_bucket, quotas: {free: 100000}}
  - id: jobs
    resources: [j]
    limits:
      - {id: conn, kind: concurrency, quotas: {free: 5}}
      - {id: jpm, unit: requests, window: 1m, quotas: {free: unlimited}}
";

const NOW: i64 = 1_750_000_000_000;

fn engine() -> Arc<Engine> {
    let policy = quotagate::policy::parse(POLICY).expect("the policy is valid").policy;
    let engine = Engine::new(Arc::new(policy), Options::default());
    let main = AccountId::parse("main").unwrap();
    engine.put_main(&main, MainFacts::created(NOW)).unwrap();
    let key = LimitKey { group: PolicyId::parse("text").unwrap(), limit: PolicyId::parse("rpm").unwrap() };
    let shape = engine.snapshot().shape_of("text", "rpm").unwrap();
    let cap = Cap { key, shape, quota: Quota::Units(250), owner: 1 };
    let sub = SubFacts { suspended: false, caps: vec![cap] };
    assert!(engine.put_sub(&AccountId::parse("sub").unwrap(), &main, sub).unwrap());
    Arc::new(engine)
}

/// How many of `demand` requests a thread, each of the threads asking for an account in turn, are allowed.
fn admitted(threads: usize, demand: usize, accounts: &[&'static str]) -> Vec<u64> {
    let engine = engine();
    let allowed: Arc<Vec<AtomicU64>> = Arc::new(accounts.iter().map(|_| AtomicU64::new(0)).collect());
    thread::scope(|scope| {
        for number in 0..threads {
            let (engine, allowed) = (Arc::clone(&engine), Arc::clone(&allowed));
            scope.spawn(move || {
                let costs = Costs::new(1, 10, []);
                for turn in 0..demand {
                    let which = (number + turn) % accounts.len();
                    let request = Request {
                        account: accounts[which],
                        resource: "m",
                        costs: &costs,
                        reserve: None,
                        dry_run: false,
                    };
                    let decision = engine.decide(&request, NOW).expect("no reservation is needed");
                    allowed[which].fetch_add(u64::from(decision.allowed()), Ordering::Relaxed);
                }
            });
        }
    });
    allowed.iter().map(|count| count.load(Ordering::Relaxed)).collect()
}

#[test]
fn what_many_threads_are_admitted_is_the_quota_exactly() {
    for threads in 2..=8 {
        assert_eq!(admitted(threads, 800, &["main"]), [700], "{threads} threads");
    }
}

#[test]
fn a_sub_account_is_held_to_its_cap_and_both_to_the_shared_quota() {
    for threads in 2..=8 {
        let [main, sub] = admitted(threads, 1_600, &["main", "sub"])[..] else { panic!("two accounts") };

        assert!(sub <= 250, "{threads} threads: the cap let {sub} through");
        assert_eq!(main + sub, 700, "{threads} threads");
    }
}

#[test]
fn demand_below_the_quota_is_admitted_whole() {
    assert_eq!(admitted(7, 100, &["main"]), [700]);
    assert_eq!(admitted(4, 100, &["main"]), [400]);
}

#[test]
fn no_more_reservations_are_open_at_once_than_the_quota() {
    let engine = engine();
    let open = Arc::new(AtomicU64::new(0));
    let most = Arc::new(AtomicU64::new(0));
    thread::scope(|scope| {
        for number in 0..8 {
            let (engine, open, most) = (Arc::clone(&engine), Arc::clone(&open), Arc::clone(&most));
            scope.spawn(move || {
                let costs = Costs::default();
                for turn in 0..500 {
                    let id = format!("{number}-{turn}");
                    let reserve = Some(Reserve { id: Some(&id), ttl_ms: None });
                    let request = Request { account: "main", resource: "j", costs: &costs, reserve, dry_run: false };
                    let decision = engine.decide(&request, NOW).expect("the id is new");
                    let Some(held) = decision.reservation else { continue };
                    most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::yield_now();
                    open.fetch_sub(1, Ordering::SeqCst);
                    engine.settle(&held.handle, &Amounts::default(), NOW).expect("it is open");
                }
            });
        }
    });

    let most = most.load(Ordering::SeqCst);
    assert!((1..=5).contains(&most), "{most} were open at once");
    let status = engine.status("main", "j", NOW).unwrap();
    assert_eq!(status.limits[0].used, 0);
}
