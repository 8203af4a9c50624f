//! What is common to all changes: idempotency, validation only, many at once.

use crate::harness::{MINUTE, Plane, account, key, new_account, new_sub, refused, units};
use quotagate::services::clamps::{self, ClampFilter, NewClamp};
use quotagate::services::overrides::{self, NewOverride};
use quotagate::services::records::ScopeRecord;
use quotagate::services::{Paging, accounts, caps, sub_accounts};

#[test]
fn a_repeated_request_gets_the_first_answer_again() {
    let plane = Plane::new();
    let create = |body| accounts::create(&plane.services, &plane.once("k1", body), new_account("beta"));
    let first = create(1).unwrap();
    let seq = plane.seq();

    let again = create(1).unwrap();

    assert!(again.replayed && !first.replayed);
    assert_eq!((again.value, again.revision), (first.value, first.revision));
    assert_eq!(plane.seq(), seq);
    assert_eq!(refused(create(2)), "mismatch");
}

#[test]
fn a_repeated_request_is_answered_even_where_it_would_not_be_valid_any_more() {
    let plane = Plane::new();
    let suspend = || accounts::suspend(&plane.services, &plane.once("k1", 1), &account("acme"), "fraud").unwrap();
    let first = suspend();
    accounts::resume(&plane.services, &plane.context(), &account("acme"), "cleared").unwrap();

    let again = suspend();

    assert!(again.replayed);
    assert_eq!(again.value, first.value);
    assert!(plane.account("acme").record.suspended.is_none());
}

#[test]
fn an_answer_is_kept_for_a_day_at_least() {
    let mut plane = Plane::new();
    accounts::create(&plane.services, &plane.once("k1", 1), new_account("beta")).unwrap();

    plane.now += 24 * 3_600_000;
    assert!(accounts::create(&plane.services, &plane.once("k1", 1), new_account("beta")).unwrap().replayed);

    plane.now += 2 * 3_600_000;
    let late = accounts::create(&plane.services, &plane.once("k1", 1), new_account("beta"));
    assert_eq!(refused(late), "account_exists");
}

#[test]
fn validation_only_makes_all_checks_and_writes_nothing() {
    let plane = Plane::new();
    let seq = plane.seq();

    let valid = accounts::create(&plane.services, &plane.only_checked(), new_account("beta")).unwrap();
    let taken = accounts::create(&plane.services, &plane.only_checked(), new_account("acme"));

    assert_eq!((valid.value.id, valid.revision), (account("beta"), None));
    assert_eq!(refused(taken), "account_exists");
    assert_eq!(plane.seq(), seq);
    assert_eq!(plane.engine().main_of("beta"), None);
}

#[test]
fn many_changes_of_one_account_at_once_are_all_made_or_refused_for_a_reason() {
    let plane = Plane::new();

    std::thread::scope(|scope| {
        for thread in 0..8 {
            let plane = &plane;
            scope.spawn(move || {
                for number in 0..5 {
                    let new = new_sub(&format!("sub-{thread}-{number}"));
                    sub_accounts::create(&plane.services, &plane.context(), &account("acme"), new).unwrap();
                }
            });
        }
    });

    assert_eq!(plane.engine().accounts(), 41);
    assert_eq!(plane.rebuilt().accounts(), 41);
}

#[test]
fn of_two_editors_one_wins() {
    let plane = Plane::new();
    let seen = plane.tag("acme");
    let patch = |name: &str| {
        let patch = accounts::AccountPatch { name: Some(Some(name.to_owned())), ..Default::default() };
        accounts::patch(&plane.services, &plane.on(seen), &account("acme"), &patch)
    };

    let results: Vec<_> = std::thread::scope(|scope| {
        let racing: Vec<_> = ["a", "b", "c", "d"].map(|name| scope.spawn(move || patch(name).is_ok())).into();
        racing.into_iter().map(|thread| thread.join().unwrap()).collect()
    });

    assert_eq!(results.iter().filter(|won| **won).count(), 1);
}

#[test]
fn sub_accounts_made_by_many_at_once_queue_up() {
    let plane = Plane::new();

    at_once(64, |thread| {
        for number in 0..20 {
            let new = new_sub(&format!("sub-{thread}-{number}"));
            sub_accounts::create(&plane.services, &plane.context(), &account("acme"), new).unwrap();
        }
    });

    assert_eq!(plane.engine().accounts(), 1 + 64 * 20);
    assert_eq!(plane.rebuilt().accounts(), 1 + 64 * 20);
}

#[test]
fn clamps_overrides_and_caps_made_by_many_at_once_queue_up() {
    let plane = Plane::new();
    for thread in 0..64 {
        plane.create_sub("acme", &format!("sub-{thread}"));
    }

    at_once(64, |thread| {
        for number in 0..4 {
            let clamp = NewClamp {
                key: key("music", "rpm"),
                scope: ScopeRecord::All,
                quota: units(100),
                expires_at_ms: None,
                permanent: false,
                reason: "incident".to_owned(),
            };
            clamps::create(&plane.services, &plane.context(), &clamp).unwrap();
            let starts_at_ms = plane.now + (1 + thread * 4 + number) as i64 * MINUTE;
            let new = NewOverride {
                account: account("acme"),
                key: key("music", "rpm"),
                quota: units(9),
                starts_at_ms: Some(starts_at_ms),
                expires_at_ms: Some(starts_at_ms + MINUTE),
                permanent: false,
                reason: "event".to_owned(),
            };
            overrides::create(&plane.services, &plane.context(), &new).unwrap();
        }
        let sub = format!("sub-{thread}");
        let caps = [(key("music", "rpm"), units(5))].into();
        caps::replace(&plane.services, &plane.on(plane.tag(&sub)), &account(&sub), &caps).unwrap();
    });

    assert_eq!(plane.following.trouble(), None);
    let paging = Paging { after: None, size: 200 };
    assert!(clamps::list(&plane.services, &ClampFilter::default(), &paging, plane.now).unwrap().next.is_some());
}

fn at_once(threads: usize, act: impl Fn(usize) + Sync) {
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let act = &act;
            scope.spawn(move || act(thread));
        }
    });
}
