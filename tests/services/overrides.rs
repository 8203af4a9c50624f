use crate::harness::{MINUTE, Plane, account, id, key, refused, units};
use quotagate::services::overrides::{self, NewOverride, OverrideFilter, OverrideState, OverrideView};
use quotagate::services::records::OverrideRecord;
use quotagate::services::{ActorKind, MAX_OVERRIDES, Origin, Paging};
use quotagate::store::{AdminStore, Audit, Changeset, Key, Table, Write};
use serde_json::json;

fn until(plane: &Plane, quota: u64, minutes: i64) -> NewOverride {
    NewOverride {
        account: account("acme"),
        key: key("text.m2", "rpm"),
        quota: units(quota),
        starts_at_ms: None,
        expires_at_ms: Some(plane.now + minutes * MINUTE),
        permanent: false,
        reason: "launch".to_owned(),
    }
}

fn create(plane: &Plane, new: &NewOverride) -> overrides::OverrideView {
    overrides::create(&plane.services, &plane.context(), new).unwrap().value
}

#[test]
fn an_override_holds_until_its_end() {
    let mut plane = Plane::new();

    let made = create(&plane, &until(&plane, 10, 5));

    assert!(made.id.starts_with("ov_"));
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 20), 10);
    plane.now += 5 * MINUTE;
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 20), 3);
    let read = overrides::get(&plane.services, &made.id, plane.now).unwrap().value;
    assert_eq!((read.state, read.dormant), (OverrideState::Ended, false));
}

#[test]
fn an_override_that_starts_later_waits_for_it() {
    let mut plane = Plane::new();
    let later = NewOverride { starts_at_ms: Some(plane.now + 2 * MINUTE), ..until(&plane, 10, 5) };

    let made = create(&plane, &later);

    assert_eq!(made.state, OverrideState::Scheduled);
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 20), 3);
    plane.now += 2 * MINUTE;
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 20), 10);
}

#[test]
fn two_for_one_limit_may_follow_each_other_but_not_overlap() {
    let plane = Plane::new();
    let first = create(&plane, &until(&plane, 10, 5));
    let after = NewOverride { starts_at_ms: Some(plane.now + 5 * MINUTE), ..until(&plane, 20, 9) };
    let across = NewOverride { starts_at_ms: Some(plane.now + 5 * MINUTE - 1), ..after.clone() };

    let refusal = overrides::create(&plane.services, &plane.context(), &across).unwrap_err();

    assert!(refusal.to_string().contains(first.id.as_str()), "{refusal}");
    create(&plane, &after);
    let other_limit = NewOverride { key: key("text.m2", "tpm"), ..until(&plane, 10, 5) };
    create(&plane, &other_limit);
}

#[test]
fn of_two_overlapping_ones_at_once_one_wins() {
    let plane = Plane::new();
    let new = until(&plane, 10, 5);

    let made = std::thread::scope(|scope| {
        let racing: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| overrides::create(&plane.services, &plane.context(), &new).is_ok()))
            .collect();
        racing.into_iter().map(|thread| thread.join().unwrap()).filter(|made| *made).count()
    });

    assert_eq!(made, 1);
}

#[test]
fn a_revoked_one_ends_now_and_stays_on_record() {
    let plane = Plane::new();
    let made = create(&plane, &until(&plane, 10, 5));
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 5), 5);

    overrides::revoke(&plane.services, &plane.context(), &made.id, "mistake").unwrap();

    assert_eq!(plane.allowed("acme", "MiniMax-M2", 5), 0);
    let read = overrides::get(&plane.services, &made.id, plane.now).unwrap().value;
    assert_eq!(read.record.revoked.unwrap().reason, "mistake");
    let again = overrides::revoke(&plane.services, &plane.context(), &made.id, "twice");
    assert_eq!(refused(again), "override_ended");
    create(&plane, &until(&plane, 7, 5));
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 5), 2);
}

#[test]
fn an_end_is_required_unless_having_none_is_meant() {
    let plane = Plane::new();
    let open = NewOverride { expires_at_ms: None, reason: " ".to_owned(), ..until(&plane, 10, 5) };
    let both = NewOverride { permanent: true, ..until(&plane, 10, 5) };
    let backwards = NewOverride { starts_at_ms: Some(plane.now + 9 * MINUTE), ..until(&plane, 10, 5) };
    let unknown = NewOverride { key: key("text.m2", "rpd"), ..until(&plane, 10, 5) };
    let of_nobody = NewOverride { account: account("nobody"), ..until(&plane, 10, 5) };
    let create = |new| refused(overrides::create(&plane.services, &plane.context(), &new));

    assert_eq!(create(open.clone()), "/reason required, /expires_at required");
    assert_eq!(create(both), "/permanent misplaced");
    assert_eq!(create(backwards), "/expires_at not_ahead");
    assert_eq!(create(unknown), "/limit unknown_limit");
    assert_eq!(create(of_nobody), "no account");
    let permanent = NewOverride { permanent: true, reason: "contract".to_owned(), ..open };
    overrides::create(&plane.services, &plane.context(), &permanent).unwrap();
}

#[test]
fn lists_are_filtered() {
    let mut plane = Plane::new();
    plane.create("beta");
    let ended = create(&plane, &until(&plane, 10, 1));
    plane.now += 2 * MINUTE;
    let active = create(&plane, &until(&plane, 10, 5));
    let other = create(&plane, &NewOverride { account: account("beta"), ..until(&plane, 10, 50) });
    let music = create(&plane, &NewOverride { key: key("music", "rpm"), ..until(&plane, 10, 60) });
    let list = |filter: OverrideFilter| {
        let page = overrides::list(&plane.services, &filter, &Paging { after: None, size: 200 }, plane.now).unwrap();
        page.items.into_iter().map(|item| item.value.id).collect::<Vec<_>>()
    };
    let all = OverrideFilter::default;

    assert_eq!(list(all()), [&*ended.id, &active.id, &other.id, &music.id].map(compact_str::CompactString::from));
    assert_eq!(list(OverrideFilter { account: Some(account("beta")), ..all() }), std::slice::from_ref(&other.id));
    assert_eq!(list(OverrideFilter { group: Some(id("music")), ..all() }), [music.id]);
    assert_eq!(list(OverrideFilter { state: Some(OverrideState::Ended), ..all() }), [ended.id]);
    let soon = OverrideFilter { ending_before_ms: Some(plane.now + 6 * MINUTE), ..all() };
    assert_eq!(list(soon), [active.id]);
}

#[test]
fn an_account_has_a_bounded_number_of_them_and_ended_ones_make_room() {
    let mut plane = Plane::new();
    let minute_of = |plane: &Plane, minute: i64| NewOverride {
        starts_at_ms: Some(plane.now + minute * MINUTE),
        ..until(plane, 10, minute + 1)
    };
    let first = create(&plane, &minute_of(&plane, 0));
    write(&plane, (1..MAX_OVERRIDES as i64).flat_map(|minute| later(&plane, &first, minute)).collect());

    let one_more = minute_of(&plane, MAX_OVERRIDES as i64);
    let full = overrides::create(&plane.services, &plane.context(), &one_more);
    assert_eq!(refused(full), "full: overrides of one account");

    plane.now += MINUTE;
    create(&plane, &one_more);
}

/// The records of an override like another one, `minute` minutes later.
fn later(plane: &Plane, like: &OverrideView, minute: i64) -> [Write; 2] {
    let later = |at_ms: i64| at_ms + minute * MINUTE;
    let (record, id) = (like.record.clone(), format!("{}-{minute:04}", like.id));
    let (starts_at_ms, expires_at_ms) = (Some(later(plane.now)), record.expires_at_ms.map(later));
    let record = OverrideRecord { starts_at_ms, expires_at_ms, ..record };
    let row = Key::build().text("live_overrides").text("acme").text(&id).finish();
    [
        Write::put(Table::Index, row, json!({})),
        Write::put(Table::Overrides, Key::text(&id), serde_json::to_value(record).unwrap()),
    ]
}

/// Past all checks and at once: a thousand changes would take their time.
fn write(plane: &Plane, writes: Vec<Write>) {
    let audit = Audit {
        actor: "test".to_owned(),
        actor_kind: ActorKind::System,
        action: "override.create".to_owned(),
        subject: Vec::new(),
        origin: Origin::default(),
        detail: json!({}),
    };
    let change =
        Changeset { at_ms: plane.now, expects: Vec::new(), writes, audit, idempotency: None, accepted_clock: None };
    plane.store.commit(change).wait().unwrap();
}
