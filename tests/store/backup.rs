//! Taking a backup while serving, and coming back from it.

use crate::changes::{Commits, memory_folder, open, put};
use quotagate::store::embedded::{EmbeddedStore, Pace, restore, verify};
use quotagate::store::{AdminStore, CounterStore, Key, Table};
use serde_json::json;

fn counters(store: &EmbeddedStore) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut seen = Vec::new();
    store.for_each(&mut |key, value| seen.push((key.to_vec(), value.to_vec()))).unwrap();
    seen
}

#[test]
fn a_restored_backup_answers_as_the_store_did() {
    let (from, to) = (memory_folder(), memory_folder());
    let (store, _) = open(from.path());
    for n in 0..150 {
        store.must(put(&format!("a{n}"), json!({"n": n, "pad": "x".repeat(300)})));
    }
    store.put_batch(&[(vec![1], vec![9; 100]), (vec![2], Vec::new())]).unwrap();
    let file = from.path().join("one.backup");

    let taken = store.backup(&file, Pace::ALONE).unwrap();
    store.must(put("later", json!(1)));
    let target = to.path().join("restored");
    let restored_report = restore(&file, &target, None).unwrap();
    let (restored, report) = open(&target);

    assert_eq!((taken.seq, taken.counters, report.seq), (150, 2, 150));
    assert_eq!(restored_report, taken);
    let all = |store: &EmbeddedStore| store.scan(Table::Accounts, &Key::empty(), None, 1_000).unwrap();
    assert_eq!(
        all(&restored),
        all(&store).into_iter().filter(|(key, _)| *key != Key::text("later")).collect::<Vec<_>>()
    );
    assert_eq!(counters(&restored), counters(&store));
    assert_eq!(restored.must(put("next", json!(1))).seq, 151);
    drop(restored);
    assert!(verify(&target).unwrap().is_sound());
}

#[test]
fn newer_segments_are_replayed_onto_a_backup() {
    let (from, to) = (memory_folder(), memory_folder());
    let (store, _) = open(from.path());
    for n in 0..20 {
        store.must(put(&format!("a{n}"), json!({"n": n, "pad": "x".repeat(300)})));
    }
    let file = from.path().join("one.backup");
    store.backup(&file, Pace::ALONE).unwrap();
    for n in 20..150 {
        store.must(put(&format!("a{n}"), json!({"n": n, "pad": "x".repeat(300)})));
    }
    drop(store);

    let target = to.path().join("restored");
    restore(&file, &target, Some(&from.path().join("journal"))).unwrap();
    let (restored, report) = open(&target);

    assert_eq!(report.seq, 150);
    assert_eq!(restored.scan(Table::Accounts, &Key::empty(), None, 1_000).unwrap().len(), 150);
}

#[test]
fn a_backup_taken_under_load_ends_between_two_groups() {
    let (from, to) = (memory_folder(), memory_folder());
    let (store, _) = open(from.path());

    std::thread::scope(|scope| {
        let writer = |name: &'static str| {
            let store = &store;
            scope.spawn(move || {
                for n in 0..300 {
                    store.must(put(&format!("{name}{n}"), json!(n)));
                }
            })
        };
        let writers = ["a", "b", "c", "d"].map(writer);
        let mut taken = 0;
        while writers.iter().any(|writer| !writer.is_finished()) || taken == 0 {
            let file = from.path().join(format!("{taken}.backup"));
            let report = store.backup(&file, Pace::ALONE).unwrap();
            let target = to.path().join(taken.to_string());
            assert_eq!(restore(&file, &target, None).unwrap(), report);
            assert_eq!(open(&target).1.seq, report.seq);
            taken += 1;
        }
    });
}

#[test]
fn a_damaged_or_shortened_backup_is_refused_before_anything_is_written() {
    let from = memory_folder();
    let (store, _) = open(from.path());
    for n in 0..3 {
        store.must(put(&format!("a{n}"), json!(n)));
    }
    store.put_batch(&[(vec![1], vec![9; 10])]).unwrap();
    let file = from.path().join("one.backup");
    store.backup(&file, Pace::ALONE).unwrap();
    let bytes = std::fs::read(&file).unwrap();
    let bad = from.path().join("bad.backup");
    let target = from.path().join("restored");

    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        for content in [&flipped[..], &bytes[..at]] {
            std::fs::write(&bad, content).unwrap();
            assert!(restore(&bad, &target, None).is_err(), "byte {at}");
        }
    }
    assert!(!target.exists());
}

#[test]
fn neither_a_backup_nor_a_store_is_overwritten() {
    let from = memory_folder();
    let (store, _) = open(from.path());
    store.must(put("a", json!(1)));
    let file = from.path().join("one.backup");
    store.backup(&file, Pace::ALONE).unwrap();

    assert!(store.backup(&file, Pace::ALONE).is_err());
    assert!(restore(&file, from.path(), None).is_err());
}
