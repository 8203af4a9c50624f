//! The most accounts there may be: what is acknowledged is always taken, what is refused is refused before it is written.

use crate::harness::{Plane, account, decide, new_account, new_sub, refused};
use quotagate::engine::{Costs, DecideError, Options, Request, UnknownAccounts};
use quotagate::services::{Error, accounts, sub_accounts};

/// 32 threads, each making accounts of its own, main and sub in turn; how many were acknowledged.
fn race(plane: &Plane, each: usize) -> usize {
    let create = |thread: usize, number: usize| {
        let id = format!("t{thread}-{number}");
        let done = match number % 2 {
            0 => accounts::create(&plane.services, &plane.context(), new_account(&id)),
            _ => sub_accounts::create(&plane.services, &plane.context(), &account("acme"), new_sub(&id)),
        };
        match done {
            Ok(_) => 1,
            Err(Error::TableFull { what: "accounts", .. }) => 0,
            Err(other) => panic!("{id}: {other:?}"),
        }
    };
    std::thread::scope(|scope| {
        let racing: Vec<_> =
            (0..32).map(|thread| scope.spawn(move || (0..each).map(|n| create(thread, n)).sum::<usize>())).collect();
        racing.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

#[test]
fn of_many_who_race_for_the_last_places_as_many_win_as_there_are() {
    let plane = Plane::with_room_for(40);
    plane.create("acme");

    let won = race(&plane, 4);

    assert_eq!(won, 39);
    assert_eq!(plane.following.trouble(), None);
    assert_eq!((plane.engine().accounts(), plane.rebuilt().accounts()), (40, 40));
    assert_eq!(plane.restart().engine().accounts(), 40);
}

#[test]
fn a_start_takes_all_that_was_acknowledged_under_a_larger_maximum() {
    let plane = Plane::new();
    plane.create("beta");
    plane.create_sub("acme", "acme-eu");

    let plane = plane.restart_with(Options { most_accounts: 2, ..Options::default() });

    assert_eq!(plane.engine().accounts(), 3);
    assert!(plane.decide("acme-eu", "MiniMax-M2").allowed());
    let another = accounts::create(&plane.services, &plane.context(), new_account("gamma"));
    assert_eq!(refused(another), "full: accounts");
    accounts::suspend(&plane.services, &plane.context(), &account("beta"), "still followed").unwrap();
    assert_eq!(plane.following.trouble(), None);
    assert!(!plane.decide("beta", "MiniMax-M2").allowed());
}

#[test]
fn a_place_that_was_not_used_is_given_back() {
    let plane = Plane::with_room_for(2);
    plane.publish(crate::harness::POLICY).unwrap();
    plane.create("acme");

    for _ in 0..3 {
        accounts::create(&plane.services, &plane.only_checked(), new_account("beta")).unwrap();
        let long = accounts::NewAccount { name: Some("n".repeat(501)), ..new_account("beta") };
        assert_eq!(refused(accounts::create(&plane.services, &plane.context(), long)), "/name too_long");
    }
    let first = accounts::create(&plane.services, &plane.once("k", 1), new_account("beta")).unwrap();
    let again = accounts::create(&plane.services, &plane.once("k", 1), new_account("beta")).unwrap();

    assert!(again.replayed && !first.replayed);
    assert_eq!(plane.engine().accounts(), 2);
    assert_eq!(refused(accounts::create(&plane.services, &plane.context(), new_account("beta"))), "account_exists");
}

#[test]
fn strangers_and_accounts_share_the_places_and_nothing_acknowledged_is_dropped() {
    let bounds = Options { most_accounts: 3, unknown_accounts: UnknownAccounts::DefaultTier, history: false };
    let plane = Plane::bounded(bounds);
    plane.publish(crate::harness::POLICY).unwrap();
    plane.create("acme");
    plane.decide("s1", "MiniMax-M2");
    plane.decide("s2", "MiniMax-M2");

    let costs = Costs::new(1, 1, []);
    let request = Request { account: "s3", resource: "MiniMax-M2", costs: &costs, reserve: None, dry_run: false };
    assert_eq!(plane.engine().decide(&request, plane.now).map(drop).unwrap_err(), DecideError::Capacity);
    assert_eq!(refused(accounts::create(&plane.services, &plane.context(), new_account("beta"))), "full: accounts");
    // It has its place already.
    plane.create("s1");

    assert_eq!(plane.following.trouble(), None);
    let plane = plane.restart_with(Options { most_accounts: 1, ..bounds });
    assert_eq!(plane.engine().accounts(), 3);
    assert_eq!(plane.allowed("s2", "MiniMax-M2", 3), 2, "a stranger's usage came back");
    assert!(decide(plane.engine(), "s1", "MiniMax-M2", plane.now).allowed());
}
