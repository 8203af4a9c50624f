use crate::harness::{Plane, account, id, refused};
use quotagate::services::usage::{self, Selector};

fn used(plane: &Plane) -> Vec<(String, u128)> {
    let rows = usage::usage(&plane.services, &account("acme"), plane.now).unwrap();
    rows.into_iter().filter(|row| row.state.used > 0).map(|row| (row.limit, row.state.used)).collect()
}

#[test]
fn a_reset_forgets_what_was_used() {
    let plane = Plane::new();
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 5), 3);
    let rpm = Selector { group: Some(id("text.m2")), limit: Some(id("rpm")) };

    usage::reset(&plane.services, &plane.context(), &account("acme"), &rpm, "our fault").unwrap();

    assert_eq!(used(&plane), [("tpm".to_owned(), 3)]);
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 5), 3);
    usage::reset(&plane.services, &plane.context(), &account("acme"), &Selector::default(), "all").unwrap();
    assert_eq!(used(&plane), []);
    assert_eq!(plane.audited("account:acme"), ["account.reset_usage", "account.reset_usage", "account.create"]);
}

#[test]
fn a_reset_outlives_a_stop_that_lost_what_was_not_yet_written() {
    let mut plane = Plane::new();
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 5), 3);
    plane.flush();
    plane.now += 1;
    usage::reset(&plane.services, &plane.context(), &account("acme"), &Selector::default(), "all").unwrap();

    // Built from the store as a kill would leave it: nothing was written since the reset.
    let engine = quotagate::services::boot::engine(&*plane.store, &*plane.store, Default::default(), None).unwrap().0;

    let rows = engine.usage("acme", plane.now).unwrap();
    assert!(rows.iter().all(|row| row.state.used == 0), "{rows:?}");
}

#[test]
fn usage_after_a_reset_survives_a_restart() {
    let mut plane = Plane::new();
    usage::reset(&plane.services, &plane.context(), &account("acme"), &Selector::default(), "all").unwrap();
    plane.now += 5;
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 2), 2);

    let plane = plane.restart();

    assert_eq!(plane.allowed("acme", "MiniMax-M2", 5), 1);
}

#[test]
fn what_is_reset_must_exist() {
    let plane = Plane::new();
    plane.create_sub("acme", "acme-eu");
    let reset = |name: &str, group: Option<&str>, limit: Option<&str>| {
        let what = Selector { group: group.map(id), limit: limit.map(id) };
        refused(usage::reset(&plane.services, &plane.context(), &account(name), &what, "why"))
    };

    assert_eq!(reset("acme", Some("text.m9"), None), "/group unknown_group");
    assert_eq!(reset("acme", Some("text.m2"), Some("rpd")), "/limit unknown_limit");
    assert_eq!(reset("acme", None, Some("rpd")), "/limit unknown_limit");
    assert_eq!(reset("acme-eu", None, None), "not_a_main_account");
    assert_eq!(reset("nobody", None, None), "no account");
}

#[test]
fn limits_say_where_they_come_from() {
    let plane = Plane::new();

    let explanation = usage::limits(&plane.services, &account("acme"), plane.now).unwrap();

    assert_eq!((explanation.revision, explanation.tier.as_str()), (1, "free"));
    assert_eq!(refused(usage::limits(&plane.services, &account("nobody"), plane.now)), "no account");
}
