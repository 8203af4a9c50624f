//! Damage that no crash explains: it stops the start, and verify pinpoints it.

use crate::changes::{Commits, memory_folder, open, put, refused};
use crate::start::{copy, filled, flip, segment};
use quotagate::store::StoreError;
use quotagate::store::embedded::{Area, verify};
use serde_json::json;
use std::path::Path;

#[test]
fn a_flipped_byte_stops_the_start_and_is_pinpointed() {
    let source = memory_folder();
    filled(source.path(), 200);
    let len = std::fs::metadata(segment(source.path(), 2)).unwrap().len() as usize;

    // Head, middle and last group of a segment in the middle of the journal.
    for at in [3, 64, 70, len / 2, len - 1] {
        let folder = memory_folder();
        copy(source.path(), folder.path());
        flip(&segment(folder.path(), 2), at);

        let report = verify(folder.path()).unwrap();
        std::fs::remove_dir_all(folder.path().join("control")).unwrap();
        let error = refused(folder.path());

        let finding = report.findings.first().expect("a finding");
        assert!(
            matches!(finding.area, Area::Journal { segment: 2, offset, .. } if offset as usize <= at),
            "{finding:?}"
        );
        assert!(
            matches!(error, StoreError::JournalDamaged { segment: 2, offset, .. } if offset as usize <= at),
            "{error}"
        );
        assert!(error.to_string().contains("quotagate verify"));
    }
}

#[test]
fn a_flipped_byte_in_the_last_segment_stops_even_a_start_that_replays_nothing() {
    let source = memory_folder();
    filled(source.path(), 20);
    let len = std::fs::metadata(segment(source.path(), 1)).unwrap().len() as usize;

    for at in [0, 20, 64, 65, 100, len / 2, len - 300, len - 1] {
        let folder = memory_folder();
        copy(source.path(), folder.path());
        flip(&segment(folder.path(), 1), at);

        assert!(!verify(folder.path()).unwrap().is_sound(), "byte {at}");
        let error = refused(folder.path());

        let named = matches!(error, StoreError::JournalDamaged { .. } | StoreError::ControlAhead { .. });
        assert!(named, "byte {at}: {error}");
    }
}

#[test]
fn missing_exchanged_and_shortened_segments_stop_the_start() {
    let source = memory_folder();
    filled(source.path(), 300);
    assert!(segment(source.path(), 4).exists());
    type Damage = (&'static str, fn(&Path));
    let damage: [Damage; 5] = [
        ("first missing", |folder| std::fs::remove_file(segment(folder, 1)).unwrap()),
        ("middle missing", |folder| std::fs::remove_file(segment(folder, 2)).unwrap()),
        ("last missing", |folder| {
            let last = (1..).take_while(|n| segment(folder, *n).exists()).last().unwrap();
            std::fs::remove_file(segment(folder, last)).unwrap();
        }),
        ("exchanged", |folder| {
            std::fs::rename(segment(folder, 2), folder.join("two")).unwrap();
            std::fs::rename(segment(folder, 3), segment(folder, 2)).unwrap();
            std::fs::rename(folder.join("two"), segment(folder, 3)).unwrap();
        }),
        ("all missing", |folder| std::fs::remove_dir_all(folder.join("journal")).unwrap()),
    ];

    for (what, harm) in damage {
        let folder = memory_folder();
        copy(source.path(), folder.path());
        harm(folder.path());

        let report = verify(folder.path()).unwrap();
        let error = refused(folder.path());

        assert!(!report.is_sound(), "{what}");
        assert!(
            matches!(error, StoreError::JournalDamaged { .. } | StoreError::ControlAhead { .. }),
            "{what}: {error}"
        );
    }
}

#[test]
fn a_shortened_middle_segment_is_found_by_a_rebuild_and_by_verify() {
    let folder = memory_folder();
    filled(folder.path(), 300);
    let path = segment(folder.path(), 2);
    let len = std::fs::metadata(&path).unwrap().len();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(len - 5).unwrap();

    let report = verify(folder.path()).unwrap();
    std::fs::remove_dir_all(folder.path().join("control")).unwrap();
    let error = refused(folder.path());

    assert!(matches!(report.findings[0].area, Area::Journal { segment: 2, .. }), "{report:?}");
    assert!(matches!(error, StoreError::JournalDamaged { segment: 2, .. }), "{error}");
}

#[test]
fn a_journal_of_another_store_is_refused() {
    let (ours, theirs) = (memory_folder(), memory_folder());
    filled(ours.path(), 3);
    let (store, _) = open(theirs.path());
    for n in 0..5 {
        store.must(put("other", json!(n)));
    }
    drop(store);
    std::fs::copy(segment(theirs.path(), 1), segment(ours.path(), 1)).unwrap();

    let report = verify(ours.path()).unwrap();
    let error = refused(ours.path());

    assert!(!report.is_sound());
    assert!(matches!(error, StoreError::JournalReplaced { seq: 3 }), "{error}");
}

#[test]
fn verify_finds_records_that_differ_from_the_journal() {
    let folder = memory_folder();
    filled(folder.path(), 5);
    assert!(verify(folder.path()).unwrap().is_sound());
    {
        let db = sled::open(folder.path().join("control")).unwrap();
        let records = db.open_tree("records").unwrap();
        let keys: Vec<_> = records.iter().keys().map(Result::unwrap).collect();
        let stolen = records.get(&keys[1]).unwrap().unwrap();
        records.insert(&keys[0], stolen).unwrap();
        records.remove(&keys[2]).unwrap();
    }

    let report = verify(folder.path()).unwrap();

    assert_eq!((report.entries, report.records, report.findings.len()), (5, 4, 3), "{report:?}");
}
