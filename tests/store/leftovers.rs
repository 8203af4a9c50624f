//! Small files that hold nothing, newer formats, restores that were not finished, folders that cannot be written to.

use crate::changes::{Commits, memory_folder, open, put, refused};
use crate::start::{filled, segment};
use quotagate::store::embedded::{ControlStart, EmbeddedStore, Pace, restore, verify};
use quotagate::store::{CounterStore, StoreError};
use serde_json::json;

#[test]
fn an_empty_or_broken_run_file_is_as_if_nothing_were_known() {
    for content in ["", "{", "junk", "[]"] {
        let folder = memory_folder();
        filled(folder.path(), 5);
        std::fs::write(folder.path().join("RUN"), content).unwrap();
        assert!(verify(folder.path()).unwrap().is_sound());

        let (store, report) = open(folder.path());

        assert!(matches!(report.control, ControlStart::Rebuilt(_)), "{content:?}");
        assert_eq!(store.must(put("next", json!(1))).seq, 6);
    }
}

#[test]
fn an_empty_or_broken_format_file_says_what_to_do() {
    for content in ["", "{", "junk"] {
        let folder = memory_folder();
        filled(folder.path(), 5);
        std::fs::write(folder.path().join("FORMAT"), content).unwrap();

        for error in [refused(folder.path()), verify(folder.path()).unwrap_err()] {
            assert!(matches!(error, StoreError::BadFormatFile { .. }), "{error}");
            assert!(error.to_string().contains("remove that file"), "{error}");
        }
        std::fs::remove_file(folder.path().join("FORMAT")).unwrap();
        assert_eq!(open(folder.path()).1.seq, 5);
    }
}

/// The header of a segment as a newer version would write it.
fn newer(header: &[u8], needs: [u8; 2]) -> Vec<u8> {
    let mut bytes = header[..64].to_vec();
    bytes[8..10].copy_from_slice(&2_u16.to_be_bytes());
    bytes[10..12].copy_from_slice(&needs);
    let crc = crc32c::crc32c(&bytes[..60]);
    bytes[60..].copy_from_slice(&crc.to_be_bytes());
    bytes
}

#[test]
fn a_segment_of_a_newer_format_says_which_version_it_needs_and_stays() {
    for (needs, words) in [([0, 0], "use the version that wrote it"), ([3, 1], "use version 3.1 or newer")] {
        let folder = memory_folder();
        filled(folder.path(), 5);
        let header = newer(&std::fs::read(segment(folder.path(), 1)).unwrap(), needs);
        std::fs::write(segment(folder.path(), 2), &header).unwrap();

        let error = refused(folder.path());

        assert!(matches!(error, StoreError::NewerSegment { segment: 2, found: 2, known: 1, .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(std::fs::read(segment(folder.path(), 2)).unwrap(), header, "it is not taken for an unfinished one");
        assert!(verify(folder.path()).unwrap_err().to_string().contains(words));
    }
}

#[test]
fn a_restore_that_was_not_finished_is_no_store_and_leaves_nothing_of_itself() {
    let (folder, elsewhere) = (memory_folder(), memory_folder());
    filled(folder.path(), 5);
    let file = elsewhere.path().join("b");
    let (store, _) = open(folder.path());
    store.put_batch(&[(b"mine".to_vec(), b"1".to_vec())]).unwrap();
    store.backup(&file, Pace::ALONE).unwrap();
    drop(store);
    // Another restore was killed here.
    let target = elsewhere.path().join("new");
    let (store, _) = open(&target);
    store.put_batch(&[(b"another".to_vec(), b"1".to_vec())]).unwrap();
    drop(store);
    std::fs::remove_dir_all(target.join("control")).unwrap();
    std::fs::rename(target.join("journal"), target.join("journal.restoring")).unwrap();

    for error in [refused(&target), verify(&target).unwrap_err()] {
        assert!(matches!(error, StoreError::Restoring(_)), "{error}");
        assert!(error.to_string().contains("run `quotagate restore` again"), "{error}");
    }
    assert!(!target.join("journal").exists(), "no empty store is made there");
    restore(&file, &target, None).unwrap();

    let (store, report) = open(&target);
    let mut seen = Vec::new();
    store.for_each(&mut |key, _| seen.push(key.to_vec())).unwrap();
    assert_eq!((report.seq, seen), (5, vec![b"mine".to_vec()]));
}

#[test]
fn what_a_killed_backup_left_is_written_anew() {
    let (folder, elsewhere) = (memory_folder(), memory_folder());
    filled(folder.path(), 5);
    std::fs::write(elsewhere.path().join(".b.quotagate.part"), vec![7; 100_000]).unwrap();
    std::fs::write(elsewhere.path().join("b.part"), b"somebody's").unwrap();
    let (store, _): (EmbeddedStore, _) = open(folder.path());

    store.backup(&elsewhere.path().join("b.quotagate"), Pace::ALONE).unwrap();

    let mut names: Vec<_> =
        std::fs::read_dir(elsewhere.path()).unwrap().map(|item| item.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["b.part", "b.quotagate"]);
    assert_eq!(std::fs::read(elsewhere.path().join("b.part")).unwrap(), b"somebody's");
}
