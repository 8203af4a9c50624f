//! Accounts that the engine made by itself (`unknown_accounts = default_tier`) and accounts that are then created.

use crate::harness::{POLICY, Plane, account, decide, new_account, new_sub, refused};
use crate::watched::Watched;
use quotagate::engine::{Amounts, Costs, EndError, Engine, Handle, Options, Request, Reserve, UnknownAccounts};
use quotagate::ids::Ids;
use quotagate::services::{Services, accounts, boot, sub_accounts};
use std::sync::{Arc, Mutex};

fn bounds() -> Options {
    Options { most_accounts: 100, unknown_accounts: UnknownAccounts::DefaultTier, history: false }
}

fn plane() -> Plane {
    let plane = Plane::bounded(bounds());
    plane.publish(POLICY).unwrap();
    plane.create("acme");
    plane
}

/// Services that let `race` happen between the plan and the commit of their first change.
fn racing(plane: &Plane, race: impl FnOnce() + Send + 'static) -> Services {
    let store = Watched::over(plane.store.clone()).before_commit(race);
    Services::new(Arc::new(store), plane.engine().clone(), Ids::seeded(7))
}

fn hold(engine: &Engine, id: &str, now: i64) -> Handle {
    let costs = Costs::new(1, 1, []);
    let reserve = Some(Reserve { id: None, ttl_ms: None });
    let request = Request { account: id, resource: "MiniMax-M2", costs: &costs, reserve, dry_run: false };
    engine.decide(&request, now).unwrap().reservation.unwrap().handle
}

fn used(engine: &Engine, id: &str, now: i64) -> u128 {
    engine.status(id, "MiniMax-M2", now).unwrap().limits[0].used
}

#[test]
fn a_main_account_created_under_a_strangers_id_keeps_what_the_stranger_used() {
    let plane = plane();
    let handle = hold(plane.engine(), "beta", plane.now);
    assert_eq!(plane.allowed("beta", "MiniMax-M2", 1), 1);

    plane.create("beta");

    assert_eq!(plane.following.trouble(), None);
    assert_eq!((used(plane.engine(), "beta", plane.now), used(&plane.rebuilt(), "beta", plane.now)), (2, 2));
    assert_eq!(plane.rebuilt().accounts(), plane.engine().accounts());
    let plane = plane.restart();
    assert_eq!(used(plane.engine(), "beta", plane.now), 2);
    plane.engine().settle(&handle, &Amounts::default(), plane.now).unwrap();
    assert_eq!(plane.allowed("beta", "MiniMax-M2", 5), 1);
}

#[test]
fn a_sub_account_is_not_created_under_a_strangers_id() {
    let plane = plane();
    decide(plane.engine(), "acme-eu", "MiniMax-M2", plane.now);
    let seq = plane.seq();

    let taken = sub_accounts::create(&plane.services, &plane.context(), &account("acme"), new_sub("acme-eu"));

    let detail = taken.as_ref().unwrap_err().to_string();
    assert!(detail.contains("never created"), "{detail}");
    assert_eq!(refused(taken), "account_exists");
    assert_eq!(plane.seq(), seq);
    // The same after a restart, as long as it has usage.
    let plane = plane.restart();
    let taken = sub_accounts::create(&plane.services, &plane.context(), &account("acme"), new_sub("acme-eu"));
    assert_eq!(refused(taken), "account_exists");
    plane.create("acme-eu");
}

#[test]
fn a_sub_account_takes_the_place_of_a_stranger_that_came_in_meanwhile() {
    let plane = plane();
    let handle = Arc::new(Mutex::new(None));
    let services = {
        let (engine, now, handle) = (plane.engine().clone(), plane.now, handle.clone());
        racing(&plane, move || *handle.lock().unwrap() = Some(hold(&engine, "acme-eu", now)))
    };

    sub_accounts::create(&services, &plane.context(), &account("acme"), new_sub("acme-eu")).unwrap();

    assert_eq!(plane.following.trouble(), None);
    let handle = handle.lock().unwrap().take().unwrap();
    for engine in [plane.engine(), &plane.rebuilt()] {
        assert_eq!(engine.main_of("acme-eu"), Some(account("acme")));
        assert_eq!(engine.accounts(), 2);
        assert_eq!(used(engine, "acme-eu", plane.now), 0, "another's usage");
        let settled = engine.settle(&handle, &Amounts::default(), plane.now);
        assert_eq!(settled.map(drop).unwrap_err(), EndError::UnknownReservation);
    }
    // It spends its main account's buckets.
    assert_eq!(plane.allowed("acme-eu", "MiniMax-M2", 2), 2);
    drop(services);
    let plane = plane.restart();
    assert_eq!(plane.engine().main_of("acme-eu"), Some(account("acme")));
    assert_eq!((plane.allowed("acme", "MiniMax-M2", 5), plane.engine().accounts()), (1, 2));
}

#[test]
fn usage_of_a_stranger_that_was_stored_does_not_come_back_under_a_sub_account() {
    let plane = plane();
    let services = {
        let (engine, store, now) = (plane.engine().clone(), plane.store.clone(), plane.now);
        racing(&plane, move || {
            decide(&engine, "acme-eu", "MiniMax-M2", now);
            let mut groups = Vec::new();
            engine.drain_dirty(|_, group| groups.push(group));
            quotagate::store::CounterStore::put_groups(&*store, groups).unwrap();
        })
    };
    sub_accounts::create(&services, &plane.context(), &account("acme"), new_sub("acme-eu")).unwrap();

    let (engine, report) = boot::engine(&*plane.store, &*plane.store, bounds(), None).unwrap();

    assert_eq!((report.usage.unknown, report.usage.damaged), (1, 0));
    assert_eq!(used(&engine, "acme-eu", plane.now), 0);
    let (_, report) = boot::engine(&*plane.store, &*plane.store, bounds(), None).unwrap();
    assert_eq!(report.usage.unknown, 0, "it was removed for good");
}

#[test]
fn a_main_account_takes_over_a_stranger_that_came_in_meanwhile() {
    let plane = plane();
    let services = {
        let (engine, now) = (plane.engine().clone(), plane.now);
        racing(&plane, move || drop(decide(&engine, "beta", "MiniMax-M2", now)))
    };

    accounts::create(&services, &plane.context(), new_account("beta")).unwrap();

    assert_eq!(plane.following.trouble(), None);
    assert_eq!((used(plane.engine(), "beta", plane.now), used(&plane.rebuilt(), "beta", plane.now)), (1, 1));
    drop(services);
    assert_eq!(plane.restart().engine().accounts(), 2);
}
