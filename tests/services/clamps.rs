use crate::harness::{MINUTE, Plane, account, id, key, refused, units};
use crate::watched::Watched;
use quotagate::domain::quantity::Quota;
use quotagate::ids::Ids;
use quotagate::services::clamps::{self, ClampFilter, ClampView, DEFAULT_CLAMP_MS, ENDED_CLAMP_MS, NewClamp};
use quotagate::services::records::ScopeRecord;
use quotagate::services::{Context, Follower, MAX_CLAMPS, Paging, Services};
use quotagate::store::{AdminStore, Audit, Changeset, Key, Table, Write};
use serde_json::json;
use std::sync::{Arc, Weak};

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

/// Writes `many` clamps that end at `expires_at_ms` as they were kept before anything counted them.
fn keep(plane: &Plane, many: usize, expires_at_ms: i64) {
    let view = create(plane, &NewClamp { expires_at_ms: Some(expires_at_ms), ..clamp(units(50), ScopeRecord::All) });
    let Context { actor, actor_kind, .. } = plane.context();
    let audit = Audit {
        actor,
        actor_kind,
        action: "clamp.create".to_owned(),
        subject: Vec::new(),
        origin: Default::default(),
        detail: json!({}),
    };
    let record = serde_json::to_value(&view.record).unwrap();
    let numbers: Vec<usize> = (1..many).collect();
    for numbers in numbers.chunks(1_000) {
        let put = |number: &usize| Write::put(Table::Clamps, Key::text(&format!("cl_{number:06}")), record.clone());
        let mut writes: Vec<_> = numbers.iter().map(put).collect();
        writes.push(Write::put(Table::Meta, Key::text("clamps"), json!({"made": many})));
        let audit = audit.clone();
        let change =
            Changeset { at_ms: plane.now, expects: Vec::new(), writes, audit, idempotency: None, accepted_clock: None };
        plane.store.commit(change).wait().unwrap();
    }
}

/// How many records are read when a clamp is made, the engine's following counted.
fn reads(plane: &Plane) -> usize {
    let store = Arc::new(Watched::over(plane.store.clone()));
    let admin: Arc<dyn AdminStore> = store.clone();
    let weak: Weak<dyn AdminStore> = Arc::downgrade(&admin);
    let follower = Follower::new(weak, plane.engine().clone());
    plane.store.on_apply(Box::new(move |seq, change| follower.apply(seq, change)));
    let services = Services::new(admin, plane.engine().clone(), Ids::seeded(9));
    let before = quota(plane, "acme");
    clamps::create(&services, &plane.context(), &clamp(units(40), ScopeRecord::All)).unwrap();
    assert!(quota(plane, "acme") < before, "the engine was told");
    store.drawn()
}

#[test]
fn a_clamp_is_made_without_reading_the_others() {
    let few = Plane::new();
    create(&few, &clamp(units(50), ScopeRecord::All));
    let many = Plane::new();
    keep(&many, MAX_CLAMPS - 3, many.now + 60 * MINUTE);
    // Those that nobody has counted are counted once.
    create(&many, &clamp(units(50), ScopeRecord::All));

    let (with_few, with_many) = (reads(&few), reads(&many));

    // At most one row more is looked at for every one that may be swept.
    assert!(with_many <= with_few + 100, "{with_few} records with one clamp, {with_many} with {MAX_CLAMPS}");
    assert_eq!(many.engine().snapshot().clamps().count(), MAX_CLAMPS - 1);
}

#[test]
fn there_are_so_many_and_one_that_has_ended_gives_way() {
    let mut plane = Plane::new();
    keep(&plane, MAX_CLAMPS - 1, plane.now + 60 * MINUTE);
    let last = create(&plane, &clamp(units(50), ScopeRecord::All));

    let full = clamps::create(&plane.services, &plane.context(), &clamp(units(4), ScopeRecord::All));
    assert_eq!(refused(full), "full: clamps");
    let tag = clamps::get(&plane.services, &last.id, plane.now).unwrap().revision;
    clamps::remove(&plane.services, &plane.on(tag), &last.id, None).unwrap();
    create(&plane, &NewClamp { permanent: true, ..clamp(units(50), ScopeRecord::All) });
    let full = clamps::create(&plane.services, &plane.context(), &clamp(units(4), ScopeRecord::All));
    assert_eq!(refused(full), "full: clamps");
    plane.now += 60 * MINUTE;
    let after = create(&plane, &clamp(units(4), ScopeRecord::All));

    assert_eq!(quota(&plane, "acme"), units(4));
    // Only what may still lower something is with the engine, of what is listed.
    assert_eq!(plane.engine().snapshot().clamps().count(), 2);
    assert!(clamps::get(&plane.services, "cl_000900", plane.now).is_ok());
    assert_eq!(plane.following.trouble(), None);
    let plane = plane.restart();
    assert_eq!(quota(&plane, "acme"), units(4));
    plane.engine().drop_ended_clamps(plane.now);
    assert_eq!(plane.engine().snapshot().clamps().count(), 2);
    assert!(clamps::get(&plane.services, &after.id, plane.now).unwrap().value.active);
}

#[test]
fn a_clamp_that_has_ended_is_no_source_of_a_quota() {
    let mut plane = Plane::new();
    create(&plane, &clamp(units(5), ScopeRecord::All));
    let sources = |plane: &Plane| {
        let limits = plane.engine().explain("acme", plane.now).unwrap().limits;
        limits.iter().map(|limit| limit.sources.len()).sum::<usize>()
    };
    let before = sources(&plane);

    plane.now += DEFAULT_CLAMP_MS;

    assert_eq!(sources(&plane), before - 1);
    create(&plane, &clamp(units(5), ScopeRecord::Account(account("acme"))));
    assert_eq!(sources(&plane), before);
    assert_eq!(plane.engine().snapshot().clamps().count(), 1);
}
