//! Starting on what a crash, an older or newer version, or a bad disk left behind.

use crate::changes::{Commits, memory_folder, open, put, refused, small};
use quotagate::store::embedded::{ControlStart, EmbeddedStore, Options, verify};
use quotagate::store::{AdminStore, CounterStore, Key, StoreError, Table};
use serde_json::json;
use std::path::{Path, PathBuf};

pub fn segment(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("journal/{number:010}.log"))
}

/// A closed store with `changes` accounts `a0`, `a1` …
pub fn filled(folder: &Path, changes: u64) {
    let (store, _) = open(folder);
    for n in 0..changes {
        store.must(put(&format!("a{n}"), json!({"n": n, "pad": "x".repeat(200)})));
    }
}

fn assert_holds(store: &EmbeddedStore, changes: u64) {
    for n in 0..changes {
        let found = store.get(Table::Accounts, &Key::text(&format!("a{n}"))).unwrap().unwrap();
        assert_eq!((found.revision, &found.value["n"]), (n + 1, &json!(n)));
    }
    let more = store.get(Table::Accounts, &Key::text(&format!("a{changes}"))).unwrap();
    assert_eq!(more, None);
}

pub fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for item in std::fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let target = to.join(item.file_name());
        if item.file_type().unwrap().is_dir() {
            copy(&item.path(), &target);
        } else {
            std::fs::copy(item.path(), target).unwrap();
        }
    }
}

#[test]
fn a_clean_restart_replays_nothing_and_goes_on_counting() {
    let folder = memory_folder();
    filled(folder.path(), 200);

    let (store, report) = open(folder.path());
    let next = store.must(put("next", json!(1)));

    assert_eq!((report.entries_replayed, report.torn_bytes_cut, report.seq), (0, 0, 200));
    assert_eq!(report.control, ControlStart::Kept);
    assert_eq!(next.seq, 201);
    assert_holds(&store, 200);
    assert!(segment(folder.path(), 2).exists(), "the test fills more than one segment");
}

#[test]
fn a_torn_tail_is_cut_wherever_it_was_torn() {
    let source = memory_folder();
    let (store, _) = open(source.path());
    for n in 0..3 {
        store.must(put(&format!("a{n}"), json!({"n": n})));
    }
    let (_, good) = store.health().journal;
    store.must(put("a3", json!({"n": 3})));
    let (_, whole) = store.health().journal;
    store.close().unwrap();
    let bytes = std::fs::read(segment(source.path(), 1)).unwrap();
    assert_eq!(bytes.len() as u64, whole);

    // Every single offset is tried on the journal alone, in its unit tests.
    for len in (good as usize..whole as usize).step_by(23) {
        // Only the journal: with the state beside it, a lost group that was applied is a cut journal.
        let folder = memory_folder();
        std::fs::create_dir_all(folder.path().join("journal")).unwrap();
        std::fs::write(segment(folder.path(), 1), &bytes[..len]).unwrap();

        let (store, report) = open(folder.path());

        assert_eq!(report.torn_bytes_cut, len as u64 - good, "cut at {len}");
        assert_holds(&store, 3);
        assert_eq!(store.must(put("a3", json!({"n": 3}))).seq, 4);
        drop(store);
        assert!(verify(folder.path()).unwrap().is_sound(), "cut at {len}");
    }
}

#[test]
fn a_tail_of_zeros_or_noise_is_cut() {
    let source = memory_folder();
    filled(source.path(), 3);
    let bytes = std::fs::read(segment(source.path(), 1)).unwrap();

    for tail in [vec![0; 5_000], vec![0xF7; 333], bytes[64..200].to_vec()] {
        let folder = memory_folder();
        copy(source.path(), folder.path());
        std::fs::write(segment(folder.path(), 1), [bytes.as_slice(), &tail].concat()).unwrap();

        let (store, report) = open(folder.path());

        assert_eq!(report.torn_bytes_cut, tail.len() as u64);
        assert_holds(&store, 3);
    }
}

#[test]
fn a_lost_group_that_was_acknowledged_is_not_taken_for_a_torn_tail() {
    let folder = memory_folder();
    filled(folder.path(), 3);
    let len = std::fs::metadata(segment(folder.path(), 1)).unwrap().len();
    std::fs::File::options().write(true).open(segment(folder.path(), 1)).unwrap().set_len(len - 1).unwrap();

    let error = refused(folder.path());

    assert!(matches!(error, StoreError::ControlAhead { applied: 3, last: 2 }), "{error}");
}

#[test]
fn a_segment_that_was_only_begun_is_begun_again() {
    for len in [0, 1, 63] {
        let folder = memory_folder();
        filled(folder.path(), 200);
        let last = (1..).take_while(|n| segment(folder.path(), *n).exists()).last().unwrap();
        let header = std::fs::read(segment(folder.path(), last)).unwrap();
        std::fs::write(segment(folder.path(), last + 1), &header[..len]).unwrap();

        let (store, _) = open(folder.path());

        assert_holds(&store, 200);
        for n in 0..100 {
            store.must(put("more", json!({"n": n, "pad": "y".repeat(500)})));
        }
        drop(store);
        assert!(verify(folder.path()).unwrap().is_sound());
    }
}

#[test]
fn the_time_of_the_last_change_is_known_also_where_the_last_segment_is_empty() {
    let folder = memory_folder();
    filled(folder.path(), 3);
    let (store, _) = open(folder.path());
    let hash = store.must(put("last", json!({}))).hash;
    drop(store);
    let mut header = std::fs::read(segment(folder.path(), 1)).unwrap()[..60].to_vec();
    header[12..20].copy_from_slice(&2u64.to_be_bytes());
    header[20..28].copy_from_slice(&5u64.to_be_bytes());
    header[28..60].copy_from_slice(&hash);
    header.extend_from_slice(&crc32c::crc32c(&header).to_be_bytes());
    let before = open(folder.path()).0.health();
    std::fs::write(segment(folder.path(), 2), header).unwrap();

    let after = open(folder.path()).0.health();

    assert_eq!((after.seq, after.hash, after.at_ms, after.journal), (4, hash, Some(1_000), (2, 64)));
    assert_eq!((before.seq, before.hash, before.at_ms), (4, hash, Some(1_000)));
    assert_eq!(open(memory_folder().path()).0.health().at_ms, None);
}

#[test]
fn a_missing_control_state_is_rebuilt_from_the_journal() {
    let folder = memory_folder();
    filled(folder.path(), 200);
    std::fs::remove_dir_all(folder.path().join("control")).unwrap();

    let (store, report) = open(folder.path());

    assert!(matches!(report.control, ControlStart::Rebuilt(_)));
    assert_eq!(report.entries_replayed, 200);
    assert_holds(&store, 200);
    assert_eq!(store.audit(&quotagate::store::AuditFilter::default(), None, 200).unwrap().entries.len(), 200);
}

#[test]
fn a_damaged_control_state_is_moved_aside_and_rebuilt() {
    let source = memory_folder();
    filled(source.path(), 300);
    let len = std::fs::metadata(source.path().join("control/db")).unwrap().len() as usize;
    let whole = std::fs::read(source.path().join("control/db")).unwrap();
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
    let spread = (0..24).map(|n| used * n / 24 + 11);

    for at in spread {
        let folder = memory_folder();
        copy(source.path(), folder.path());
        flip(&folder.path().join("control/db"), at);

        let (store, _) = open(folder.path());

        assert_holds(&store, 300);
        drop(store);
        assert!(verify(folder.path()).unwrap().is_sound(), "byte {at} of {len}");
    }
}

#[test]
fn a_control_state_cut_short_or_overwritten_is_rebuilt() {
    let source = memory_folder();
    filled(source.path(), 300);
    let db = std::fs::read(source.path().join("control/db")).unwrap();

    for content in [Vec::new(), db[..db.len() / 2].to_vec(), vec![0; db.len()], vec![0xA5; db.len()], b"junk".to_vec()]
    {
        let folder = memory_folder();
        copy(source.path(), folder.path());
        std::fs::write(folder.path().join("control/db"), content).unwrap();

        let (store, report) = open(folder.path());

        assert!(matches!(report.control, ControlStart::Rebuilt(_)) || report.entries_replayed > 0, "{report:?}");
        assert_holds(&store, 300);
    }
}

#[test]
fn an_unfinished_snapshot_of_sled_is_removed() {
    let folder = memory_folder();
    filled(folder.path(), 10);
    for name in ["control", "history"] {
        std::fs::write(folder.path().join(name).join("snap.0000000000000123.generating"), b"half").unwrap();
    }

    let (store, report) = open(folder.path());

    assert_eq!((report.control, report.counters_lost), (ControlStart::Kept, None));
    assert_holds(&store, 10);
}

#[test]
fn after_a_power_cut_the_state_is_rebuilt_and_after_a_kill_it_is_kept() {
    let folder = memory_folder();
    filled(folder.path(), 10);
    let run = folder.path().join("RUN");
    let unclean = |boot: &str| std::fs::write(&run, json!({"boot_id": boot, "clean": false, "seq": 0}).to_string());
    let boot = Options::default().boot_id;

    unclean(&boot).unwrap();
    let (store, killed) = open(folder.path());
    drop(store);
    unclean("another boot").unwrap();
    let (store, cut) = open(folder.path());
    drop(store);
    std::fs::remove_file(&run).unwrap();
    let (store, unknown) = open(folder.path());

    assert_eq!(killed.control, ControlStart::Kept);
    assert!(matches!(cut.control, ControlStart::Rebuilt(_)));
    assert!(matches!(unknown.control, ControlStart::Rebuilt(_)));
    assert_holds(&store, 10);
}

#[test]
fn a_broken_history_is_moved_aside_and_everything_else_survives() {
    let folder = memory_folder();
    let (store, _) = open(folder.path());
    store.must(put("a0", json!({"n": 0})));
    store.put_batch(&[(b"c".to_vec(), b"9".to_vec())]).unwrap();
    drop(store);
    std::fs::write(folder.path().join("history/conf"), b"broken configuration").unwrap();

    let (store, report) = open(folder.path());

    let mut seen = 0;
    store.for_each(&mut |_, _| seen += 1).unwrap();
    assert!(report.usage.findings[0].contains("the history of usage was broken"), "{report:?}");
    assert_eq!((seen, report.counters_lost), (1, None));
    assert_holds(&store, 1);
    assert!(folder.path().join("history.broken").exists());
}

#[test]
fn counters_outlive_a_restart() {
    let folder = memory_folder();
    let (store, _) = open(folder.path());
    store.put_batch(&[(b"c".to_vec(), b"9".to_vec())]).unwrap();
    drop(store);

    let (store, _) = open(folder.path());

    let mut seen = Vec::new();
    store.for_each(&mut |key, value| seen.push((key.to_vec(), value.to_vec()))).unwrap();
    assert_eq!(seen, [(b"c".to_vec(), b"9".to_vec())]);
}

#[test]
fn a_store_of_a_newer_version_is_refused_by_name() {
    let folder = memory_folder();
    filled(folder.path(), 1);
    std::fs::write(folder.path().join("FORMAT"), br#"{"format": 99, "needs": "3.1.0"}"#).unwrap();

    let error = refused(folder.path());

    assert!(error.to_string().contains("3.1.0"), "{error}");
}

#[test]
fn a_folder_in_use_is_refused_with_the_process_that_holds_it() {
    let folder = memory_folder();
    let (_store, _) = open(folder.path());

    let error = EmbeddedStore::open(folder.path(), small()).err().unwrap();

    assert!(error.to_string().ends_with(&format!("is in use by process {}", std::process::id())), "{error}");
}
