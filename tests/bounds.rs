//! Tables are bounded: a full one answers `capacity`, and a refused request changes nothing.

use quotagate::domain::account::{MainFacts, SubFacts};
use quotagate::domain::ids::AccountId;
use quotagate::engine::{
    Amounts, Costs, DecideError, Engine, MAX_COUNTERS_PER_ACCOUNT, MAX_RESERVATIONS_PER_ACCOUNT, Options, Request,
    Reserve, UnknownAccounts,
};
use std::fmt::Write as _;
use std::sync::Arc;

const NOW: i64 = 1_750_000_000_000;

fn engine(policy: &str, options: Options) -> Engine {
    let policy = quotagate::policy::parse(policy).expect("the policy is valid").policy;
    Engine::new(Arc::new(policy), options)
}

fn account(id: &str) -> AccountId {
    AccountId::parse(id).unwrap()
}

const ONE_LIMIT: &str = "
schema: quotagate.policy/v1
name: bounds
default_tier: free
tiers: [{id: free}]
groups:
  - id: text
    resources: [m]
    limits: [{id: rpm, unit: requests, window: 1m, quotas: {free: unlimited}}]
";

#[test]
fn a_full_table_of_reservations_refuses_the_next_and_charges_nothing() {
    let engine = engine(ONE_LIMIT, Options::default());
    engine.put_main(&account("a"), MainFacts::created(NOW)).unwrap();
    let costs = Costs::default();
    let reserve = Some(Reserve { id: None, ttl_ms: Some(1_000) });
    let request = Request { account: "a", resource: "m", costs: &costs, reserve, dry_run: false };
    let held: Vec<_> = (0..MAX_RESERVATIONS_PER_ACCOUNT)
        .map(|_| engine.decide(&request, NOW).unwrap().reservation.expect("there is room"))
        .collect();

    let refused = engine.decide(&request, NOW);

    assert_eq!(refused.map(|_| ()).unwrap_err(), DecideError::Capacity);
    let used = engine.status("a", "m", NOW).unwrap().limits[0].used;
    assert_eq!(used, MAX_RESERVATIONS_PER_ACCOUNT as u128);
    // Ended ones are remembered for ten minutes, so only then is there room again.
    engine.settle(&held[0].handle, &Amounts::default(), NOW).unwrap();
    assert!(engine.decide(&request, NOW + 599_999).is_err());
    assert!(engine.decide(&request, NOW + 600_000).unwrap().allowed());
}

#[test]
fn a_full_table_of_counters_refuses_what_would_need_another() {
    let engine = engine(&wide_policy(), Options::default());
    engine.put_main(&account("a"), MainFacts::created(NOW)).unwrap();
    let costs = Costs::default();
    let decide = |resource: &str| {
        let request = Request { account: "a", resource, costs: &costs, reserve: None, dry_run: false };
        engine.decide(&request, NOW).map(|decision| decision.allowed())
    };

    for number in 0..MAX_COUNTERS_PER_ACCOUNT / 16 {
        assert_eq!(decide(&format!("r{}-{}", number / 1_024, number % 1_024)), Ok(true), "{number}");
    }

    assert_eq!(decide("r4-0"), Err(DecideError::Capacity));
    assert_eq!(engine.status("a", "r4-0", NOW).unwrap().limits[0].used, 0);
    assert_eq!(decide("r0-0"), Ok(true));
    // The longest window is 16 s: once all is empty, the counters make room.
    let later = Request { account: "a", resource: "r4-0", costs: &costs, reserve: None, dry_run: false };
    assert!(engine.decide(&later, NOW + 17_000).unwrap().allowed());
    assert_eq!(engine.status("a", "r4-0", NOW + 17_000).unwrap().limits[0].used, 1);
}

#[test]
fn a_counter_that_a_reservation_refers_to_makes_no_room() {
    let engine = engine(&wide_policy(), Options::default());
    engine.put_main(&account("a"), MainFacts::created(NOW)).unwrap();
    let costs = Costs::default();
    let reserve = Some(Reserve { id: Some("kept"), ttl_ms: None });
    let kept = Request { account: "a", resource: "r0-0", costs: &costs, reserve, dry_run: false };
    let held = engine.decide(&kept, NOW).unwrap().reservation.unwrap();
    for number in 1..MAX_COUNTERS_PER_ACCOUNT / 16 {
        let resource = format!("r{}-{}", number / 1_024, number % 1_024);
        let request = Request { account: "a", resource: &resource, costs: &costs, reserve: None, dry_run: false };
        assert!(engine.decide(&request, NOW).unwrap().allowed());
    }

    let another = Request { account: "a", resource: "r4-0", costs: &costs, reserve: None, dry_run: false };
    assert!(engine.decide(&another, NOW + 17_000).unwrap().allowed());
    engine.settle(&held.handle, &Amounts::new(Some(3), None, []), NOW + 17_000).unwrap();

    let used = engine.status("a", "r0-0", NOW + 17_000).unwrap().limits[0].used;
    assert_eq!(used, 2, "the settle found its counter and charged the difference");
}

/// Five groups of 1,024 resources with a bucket each, by 16 limits.
fn wide_policy() -> String {
    let mut policy =
        String::from("schema: quotagate.policy/v1\nname: wide\ndefault_tier: free\ntiers: [{id: free}]\ngroups:\n");
    for group in 0..5 {
        let resources: Vec<String> = (0..1_024).map(|n| format!("r{group}-{n}")).collect();
        write!(
            policy,
            "  - id: g{group}\n    share: resource\n    resources: [{}]\n    limits:\n",
            resources.join(", ")
        )
        .unwrap();
        for limit in 0..16 {
            writeln!(policy, "      - {{id: l{limit}, unit: requests, window: {}s, quotas: {{free: 9}}}}", limit + 1)
                .unwrap();
        }
    }
    policy
}

#[test]
fn a_full_table_of_accounts_takes_no_more() {
    let engine =
        engine(ONE_LIMIT, Options { most_accounts: 2, unknown_accounts: UnknownAccounts::DefaultTier, history: false });
    engine.put_main(&account("a"), MainFacts::created(NOW)).unwrap();
    engine.put_main(&account("b"), MainFacts::created(NOW)).unwrap();

    assert!(engine.put_main(&account("c"), MainFacts::created(NOW)).is_err());
    let costs = Costs::default();
    let request = Request { account: "d", resource: "m", costs: &costs, reserve: None, dry_run: false };
    assert_eq!(engine.decide(&request, NOW).map(|_| ()).unwrap_err(), DecideError::Capacity);
    assert!(engine.put_main(&account("a"), MainFacts::created(NOW)).unwrap());
    assert_eq!(engine.accounts(), 2);
}

#[test]
fn a_place_that_is_held_is_nobody_elses() {
    let options = Options { most_accounts: 2, unknown_accounts: UnknownAccounts::DefaultTier, history: false };
    let engine = Arc::new(engine(ONE_LIMIT, options));
    engine.put_main(&account("a"), MainFacts::created(NOW)).unwrap();
    let costs = Costs::default();
    let decide = |id: &str| {
        let request = Request { account: id, resource: "m", costs: &costs, reserve: None, dry_run: false };
        engine.decide(&request, NOW).map(|decision| decision.allowed())
    };

    let place = engine.hold_place(&account("b")).unwrap();
    let again = engine.hold_place(&account("b")).unwrap();

    assert!(engine.hold_place(&account("c")).is_err());
    assert_eq!(decide("c"), Err(DecideError::Capacity));
    assert_eq!(decide("b"), Ok(true), "its own place");
    drop((place, again));
    assert_eq!(engine.accounts(), 2);
    assert_eq!(decide("c"), Err(DecideError::Capacity));
    // What was acknowledged gets in all the same.
    assert!(engine.follow_main(&account("d"), MainFacts::created(NOW)));
    assert!(engine.follow_sub(&account("b"), &account("a"), SubFacts::default()), "a stranger gives way");
    assert!(!engine.follow_sub(&account("d"), &account("a"), SubFacts::default()), "an account does not");
    assert_eq!((engine.accounts(), engine.main_of("b")), (3, Some(account("a"))));
}

#[test]
fn a_place_that_was_not_taken_is_free_again() {
    let engine = Arc::new(engine(ONE_LIMIT, Options { most_accounts: 1, ..Options::default() }));

    let first = engine.hold_place(&account("a")).unwrap();
    let second = engine.hold_place(&account("a")).unwrap();
    drop(first);
    assert!(engine.hold_place(&account("b")).is_err());
    drop(second);

    assert!(engine.put_main(&account("b"), MainFacts::created(NOW)).unwrap());
    assert_eq!(engine.accounts(), 1);
}

#[test]
fn strangers_who_are_refused_leave_nothing_behind() {
    let policy = ONE_LIMIT.replace("unlimited", "blocked");
    let engine = engine(&policy, Options { unknown_accounts: UnknownAccounts::DefaultTier, ..Options::default() });
    let costs = Costs::default();

    for number in 0..1_000 {
        let id = format!("stranger-{number}");
        let request = Request { account: &id, resource: "m", costs: &costs, reserve: None, dry_run: false };
        assert!(!engine.decide(&request, NOW).unwrap().allowed());
    }

    assert_eq!(engine.accounts(), 0);
}
