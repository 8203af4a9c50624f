use crate::harness::{MINUTE, Plane, account, id, refused};
use quotagate::engine::Reason;
use quotagate::services::tier::{self, NewPin};

fn pin_of(tier: &str, until_ms: Option<i64>) -> NewPin {
    NewPin { tier: id(tier), until_ms, reason: "contract".to_owned() }
}

#[test]
fn a_pin_lifts_a_denied_account_until_it_ends() {
    let mut plane = Plane::new();
    assert_eq!(plane.decide("acme", "voice-cloning").denied, Some(Reason::Blocked));
    let until = plane.now + MINUTE;

    let done = tier::pin(&plane.services, &plane.on(plane.tag("acme")), &account("acme"), &pin_of("paid", Some(until)))
        .unwrap();

    assert_eq!(done.value.tier.effective, id("paid"));
    assert!(plane.decide("acme", "voice-cloning").allowed());
    plane.now = until;
    assert_eq!(plane.decide("acme", "voice-cloning").denied, Some(Reason::Blocked));
    let view = tier::get(&plane.services, &account("acme"), plane.now).unwrap().value;
    assert_eq!((view.effective, view.pin), (id("free"), None));
}

#[test]
fn an_unpinned_account_falls_back() {
    let plane = Plane::new();
    tier::pin(&plane.services, &plane.on(plane.tag("acme")), &account("acme"), &pin_of("paid", None)).unwrap();

    tier::unpin(&plane.services, &plane.on(plane.tag("acme")), &account("acme"), Some("contract over")).unwrap();

    assert_eq!(plane.decide("acme", "voice-cloning").denied, Some(Reason::Blocked));
    let again = tier::unpin(&plane.services, &plane.on(plane.tag("acme")), &account("acme"), None);
    assert_eq!(refused(again), "no the pin of account");
    assert_eq!(plane.audited("account:acme"), ["account.unpin", "account.pin", "account.create"]);
}

#[test]
fn a_pin_is_checked() {
    let plane = Plane::new();
    plane.create_sub("acme", "acme-eu");
    let pin = |name: &str, pin: &NewPin| tier::pin(&plane.services, &plane.on(plane.tag(name)), &account(name), pin);

    assert_eq!(refused(pin("acme", &pin_of("gold", Some(plane.now)))), "/tier unknown_tier, /until not_ahead");
    assert_eq!(refused(pin("acme-eu", &pin_of("paid", None))), "not_a_main_account");
    let view = tier::get(&plane.services, &account("acme-eu"), plane.now).unwrap();
    assert_eq!(view.revision, plane.tag("acme"));
}
