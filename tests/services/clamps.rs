use crate::harness::{MINUTE, Plane, account, id, key, refused, units};
use quotagate::domain::quantity::Quota;
use quotagate::services::Paging;
use quotagate::services::clamps::{self, ClampFilter, ClampView, DEFAULT_CLAMP_MS, ENDED_CLAMP_MS, NewClamp};
use quotagate::services::records::ScopeRecord;

fn clamp(quota: Quota, scope: ScopeRecord) -> NewClamp {
    NewClamp {
        key: key("music", "rpm"),
        scope,
        quota,
        expires_at_ms: None,
        permanent: false,
        reason: "incident".to_owned(),
    }
}

fn create(plane: &Plane, new: &NewClamp) -> ClampView {
    clamps::create(&plane.services, &plane.context(), new).unwrap().value
}

/// Of the music group, where a reservation is needed: the quota in force.
fn quota(plane: &Plane, account: &str) -> Quota {
    plane.engine().status(account, "music-2.0", plane.now).unwrap().limits[0].quota
}

#[test]
fn a_clamp_lowers_at_once_and_ends_after_an_hour() {
    let mut plane = Plane::new();

    let made = create(&plane, &clamp(units(5), ScopeRecord::All));

    assert_eq!(quota(&plane, "acme"), units(5));
    assert_eq!(made.record.expires_at_ms, Some(plane.now + DEFAULT_CLAMP_MS));
    plane.now += DEFAULT_CLAMP_MS;
    assert_eq!(quota(&plane, "acme"), units(120));
    assert!(!clamps::get(&plane.services, &made.id, plane.now).unwrap().value.active);
}

#[test]
fn a_clamp_may_be_for_one_tier_or_one_account() {
    let plane = Plane::new();
    plane.create("beta");

    create(&plane, &clamp(units(7), ScopeRecord::Tier(id("free"))));
    create(&plane, &clamp(Quota::Blocked, ScopeRecord::Account(account("beta"))));
    create(&plane, &clamp(units(500), ScopeRecord::Account(account("acme"))));

    assert_eq!((quota(&plane, "acme"), quota(&plane, "beta")), (units(7), Quota::Blocked));
}

#[test]
fn a_removed_clamp_is_gone() {
    let plane = Plane::new();
    let made = create(&plane, &NewClamp { permanent: true, ..clamp(units(5), ScopeRecord::All) });
    let tag = clamps::get(&plane.services, &made.id, plane.now).unwrap().revision;

    assert_eq!(refused(clamps::remove(&plane.services, &plane.context(), &made.id, None)), "precondition required");
    clamps::remove(&plane.services, &plane.on(tag), &made.id, Some("over")).unwrap();

    assert_eq!(quota(&plane, "acme"), units(120));
    assert_eq!(refused(clamps::get(&plane.services, &made.id, plane.now)), "no clamp");
    assert_eq!(plane.audited(&format!("clamp:{}", made.id)), ["clamp.remove", "clamp.create"]);
}

#[test]
fn what_is_wrong_with_a_clamp_is_told() {
    let plane = Plane::new();
    plane.create_sub("acme", "acme-eu");
    let create = |new: NewClamp| refused(clamps::create(&plane.services, &plane.context(), &new));

    assert_eq!(
        create(clamp(Quota::Unlimited, ScopeRecord::Tier(id("gold")))),
        "/quota out_of_range, /tier unknown_tier"
    );
    let past = NewClamp { expires_at_ms: Some(plane.now), ..clamp(units(1), ScopeRecord::All) };
    assert_eq!(create(past), "/expires_at not_ahead");
    assert_eq!(create(clamp(units(1), ScopeRecord::Account(account("acme-eu")))), "not_a_main_account");
    assert_eq!(create(clamp(units(1), ScopeRecord::Account(account("nobody")))), "no account");
}

#[test]
fn ended_ones_are_listed_for_a_week() {
    let mut plane = Plane::new();
    let list = |plane: &Plane, filter: ClampFilter| {
        clamps::list(&plane.services, &filter, &Paging { after: None, size: 10 }, plane.now).unwrap().items.len()
    };
    create(&plane, &clamp(units(5), ScopeRecord::All));

    plane.now += DEFAULT_CLAMP_MS + MINUTE;
    create(&plane, &clamp(units(5), ScopeRecord::All));
    let active = ClampFilter { active: Some(true), ..ClampFilter::default() };
    assert_eq!((list(&plane, ClampFilter::default()), list(&plane, active)), (2, 1));

    plane.now += ENDED_CLAMP_MS;
    create(&plane, &clamp(units(5), ScopeRecord::All));
    assert_eq!(list(&plane, ClampFilter::default()), 2);
}
