use crate::harness::{Plane, account, key, refused, units};
use quotagate::domain::account::LimitKey;
use quotagate::domain::quantity::Quota;
use quotagate::services::{caps, tier};
use std::collections::BTreeMap;

fn plane() -> Plane {
    let plane = Plane::new();
    let pin = tier::NewPin { tier: crate::harness::id("paid"), until_ms: None, reason: "test".to_owned() };
    tier::pin(&plane.services, &plane.on(plane.tag("acme")), &account("acme"), &pin).unwrap();
    plane.create_sub("acme", "acme-eu");
    plane
}

fn set(plane: &Plane, caps: &[(LimitKey, Quota)]) {
    let caps: BTreeMap<_, _> = caps.iter().cloned().collect();
    caps::replace(&plane.services, &plane.on(plane.tag("acme-eu")), &account("acme-eu"), &caps).unwrap();
}

#[test]
fn a_cap_holds_for_its_sub_account_alone() {
    let plane = plane();

    set(&plane, &[(key("text.m2", "rpm"), units(4))]);

    assert_eq!(plane.allowed("acme-eu", "MiniMax-M2", 10), 4);
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 10), 10);
    assert_eq!(plane.audited("account:acme-eu"), ["account.caps", "account.create"]);
}

#[test]
fn a_cap_that_stays_keeps_its_usage_and_one_that_comes_back_begins_anew() {
    let plane = plane();
    let rpm = || key("text.m2", "rpm");
    set(&plane, &[(rpm(), units(4))]);
    assert_eq!(plane.allowed("acme-eu", "MiniMax-M2", 3), 3);

    set(&plane, &[(rpm(), units(5)), (key("text.m2", "tpm"), units(1_000))]);
    assert_eq!(plane.allowed("acme-eu", "MiniMax-M2", 10), 2);

    set(&plane, &[]);
    set(&plane, &[(rpm(), units(5))]);
    assert_eq!(plane.allowed("acme-eu", "MiniMax-M2", 10), 5);
}

#[test]
fn caps_are_a_sub_accounts_and_for_limits_that_exist() {
    let plane = plane();
    let put = |id: &str, caps: BTreeMap<LimitKey, Quota>| {
        caps::replace(&plane.services, &plane.on(plane.tag(id)), &account(id), &caps)
    };

    let on_main = put("acme", BTreeMap::new());
    let unknown = [(key("text.m9", "rpm"), units(1)), (key("music", "conn"), units(100_001))];

    assert_eq!(refused(on_main), "not_a_sub_account");
    assert_eq!(
        refused(put("acme-eu", unknown.into())),
        "/caps/music~1conn out_of_range, /caps/text.m9~1rpm unknown_group"
    );
    let unseen = caps::replace(&plane.services, &plane.context(), &account("acme-eu"), &BTreeMap::new());
    assert_eq!(refused(unseen), "precondition required");
}

#[test]
fn caps_are_read_back() {
    let plane = plane();
    set(&plane, &[(key("text.m2", "rpm"), units(4))]);

    let caps = caps::get(&plane.services, &account("acme-eu")).unwrap();

    assert_eq!(caps.revision, plane.tag("acme-eu"));
    assert_eq!(
        caps.value.iter().map(|cap| (cap.key(), cap.quota)).collect::<Vec<_>>(),
        [(key("text.m2", "rpm"), units(4))]
    );
}
