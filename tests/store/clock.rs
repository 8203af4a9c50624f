//! A wall clock that is behind what is stored, and is accepted.

use crate::changes::{Commits, audit, memory_folder, once, open, put};
use quotagate::store::embedded::{ControlStart, EmbeddedStore, verify};
use quotagate::store::{AcceptedClock, AdminStore, Changeset, Key, Table};
use serde_json::json;

const DAY: i64 = 86_400_000;
/// What the clock said wrongly.
const FUTURE: i64 = 400 * DAY;
/// What it says now.
const NOW: i64 = 30 * DAY;

fn at(mut change: Changeset, at_ms: i64) -> Changeset {
    change.at_ms = at_ms;
    change
}

/// A change with an answer that is kept for a day.
fn keyed(key: &str, at_ms: i64) -> Changeset {
    once(at(put(key, json!(at_ms)), at_ms), key, 1, json!(key), at_ms + DAY)
}

fn acceptance() -> Changeset {
    Changeset {
        at_ms: NOW,
        expects: Vec::new(),
        writes: Vec::new(),
        audit: audit("server.accept_clock", &["server"]),
        idempotency: None,
        accepted_clock: Some(AcceptedClock { answers_until_ms: NOW + DAY }),
    }
}

/// A key of the right past, some of the wrong future, and some of after the clock was accepted.
fn accepted(store: &EmbeddedStore) {
    store.must(keyed("past", NOW - DAY / 2));
    store.must(keyed("long past", NOW - 2 * DAY));
    for n in 0..5 {
        store.must(keyed(&format!("future {n}"), FUTURE + n));
    }
    store.must(acceptance());
    store.must(keyed("now", NOW + 5));
}

/// The keys that are honoured at a time.
fn honoured(store: &EmbeddedStore, at_ms: i64) -> Vec<&'static str> {
    let keys = ["past", "long past", "future 0", "future 4", "now"];
    keys.into_iter().filter(|key| store.recall(key.as_bytes(), at_ms).unwrap().is_some()).collect()
}

fn kept(store: &EmbeddedStore) -> usize {
    store.scan(Table::Idempotency, &Key::empty(), None, 100).unwrap().len()
}

#[test]
fn the_last_time_is_that_of_the_acceptance_and_goes_on_from_there() {
    let folder = memory_folder();
    let (store, _) = open(folder.path());
    store.must(at(put("a", json!(1)), FUTURE));
    assert_eq!(store.health().last_at_ms, FUTURE);

    store.must(acceptance());
    assert_eq!(store.health().last_at_ms, NOW);
    store.must(at(put("a", json!(2)), NOW + 7));
    store.must(at(put("a", json!(3)), NOW + 3));
    assert_eq!(store.health().last_at_ms, NOW + 7);
    drop(store);

    assert_eq!(open(folder.path()).0.health().last_at_ms, NOW + 7);
    std::fs::remove_dir_all(folder.path().join("control")).unwrap();
    let (store, report) = open(folder.path());
    assert!(matches!(report.control, ControlStart::Rebuilt(_)));
    assert_eq!(store.health().last_at_ms, NOW + 7);
}

#[test]
fn keys_of_before_are_honoured_for_their_time_from_the_acceptance_on_and_no_longer() {
    let folder = memory_folder();
    accepted(&open(folder.path()).0);

    for rebuilt in [false, true] {
        if rebuilt {
            std::fs::remove_dir_all(folder.path().join("control")).unwrap();
        }
        let (store, _) = open(folder.path());

        assert_eq!(honoured(&store, NOW + DAY - 1), ["future 0", "future 4", "now"], "{rebuilt}");
        assert_eq!(honoured(&store, NOW + DAY), ["now"], "{rebuilt}");
        assert_eq!(honoured(&store, NOW + DAY + 5), [""; 0], "{rebuilt}");
    }
}

#[test]
fn what_has_ended_is_swept_away() {
    let folder = memory_folder();
    let (store, _) = open(folder.path());
    accepted(&store);
    let before = kept(&store);

    store.must(at(put("x", json!(1)), NOW + DAY - 1));
    assert_eq!(kept(&store), before);
    store.must(at(put("x", json!(2)), NOW + DAY));
    assert_eq!(kept(&store), 1);
    store.must(at(put("x", json!(3)), NOW + DAY + 5));
    assert_eq!(kept(&store), 0);
}

#[test]
fn a_store_with_an_accepted_clock_is_sound_before_and_after_the_sweep() {
    let folder = memory_folder();
    for at_ms in [NOW + 10, NOW + 2 * DAY] {
        let (store, _) = open(folder.path());
        if at_ms == NOW + 10 {
            accepted(&store);
        }
        store.must(at(put("x", json!(at_ms)), at_ms));
        drop(store);

        let report = verify(folder.path()).unwrap();

        assert!(report.is_sound(), "{:?}", report.findings);
    }
}

#[test]
fn a_key_of_after_the_acceptance_that_is_missing_is_found() {
    let folder = memory_folder();
    let (store, _) = open(folder.path());
    accepted(&store);
    drop(store);
    let control = sled::open(folder.path().join("control")).unwrap();
    let records = control.open_tree("records").unwrap();
    assert!(records.remove([&[Table::Idempotency.tag()], b"now".as_slice()].concat()).unwrap().is_some());
    drop((records, control));

    let report = verify(folder.path()).unwrap();

    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
}
