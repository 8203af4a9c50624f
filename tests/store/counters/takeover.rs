//! The first start on a folder of a version that kept counters and history in one sled.

use super::{Records, records};
use crate::changes::{memory_folder, open, refused, small};
use crate::layers::{Failing, Fault};
use crate::start::copy;
use quotagate::store::embedded::{EmbeddedStore, Options, verify};
use quotagate::store::{CounterStore, HistoryStore};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

const OLD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/counters-in-sled");
/// In front of each value in sled.
const HEADER: usize = 7;

fn old_folder() -> TempDir {
    let folder = memory_folder();
    copy(Path::new(OLD), folder.path());
    folder
}

/// The counters as the old version wrote them.
fn in_sled() -> Records {
    let folder = old_folder();
    let db = sled::open(folder.path().join("counters")).unwrap();
    db.iter().map(Result::unwrap).map(|(key, value)| (key.to_vec(), value[HEADER..].to_vec())).collect()
}

fn history(store: &EmbeddedStore) -> usize {
    store.scan_history(&[], &[0xFF; 8], 1_000).unwrap().len()
}

#[test]
fn counters_and_history_are_all_there_and_stay() {
    let (folder, before) = (old_folder(), in_sled());
    assert!(before.len() > 41, "{}", before.len());

    let found = verify(folder.path()).unwrap();
    let (store, report) = open(folder.path());
    let (first, its_history) = (records(&store), history(&store));
    drop(store);
    let (store, again) = open(folder.path());

    assert!(found.is_sound() && found.counters == before.len() as u64, "{found:?}");
    assert_eq!((&first, &records(&store)), (&before, &before));
    assert!(its_history > 40 && history(&store) == its_history, "{its_history}");
    assert!(report.usage.findings.is_empty() && again.usage.findings.is_empty(), "{report:?} {again:?}");
    assert!(!folder.path().join("counters/db").exists() && folder.path().join("history/db").exists());
    drop(store);
    assert!(verify(folder.path()).unwrap().is_sound());
    let left = sled::open(folder.path().join("history")).unwrap();
    assert!(left.is_empty(), "the old ones are removed");
    let format = std::fs::read_to_string(folder.path().join("FORMAT")).unwrap();
    assert!(format.contains(r#""format":2"#), "an older version must refuse it: {format}");
}

#[test]
fn a_failure_at_any_operation_leaves_the_old_or_the_new_whole() {
    let before = in_sled();
    let mut failed = 0;
    for first in 1.. {
        let folder = old_folder();
        let layer = Failing::at(first, u64::MAX / 2, Fault::Error);
        let opened = EmbeddedStore::open(folder.path(), Options { layer: Arc::new(layer.clone()), ..small() });
        let done = opened.is_ok() && layer.operations() < first;
        failed += u32::from(opened.is_err());
        drop(opened);

        let (store, report) = open(folder.path());

        assert_eq!(records(&store), before, "operation {first}: {report:?}");
        assert!(report.usage.findings.is_empty(), "operation {first}: {report:?}");
        if done {
            break;
        }
    }
    assert!(failed > 8, "{failed}");
}

#[test]
fn a_kill_after_the_rename_or_before_the_old_ones_are_removed_does_no_harm() {
    let before = in_sled();
    let renamed = old_folder();
    std::fs::rename(renamed.path().join("counters"), renamed.path().join("history")).unwrap();
    assert_eq!(records(&open(renamed.path()).0), before);

    let kept = old_folder();
    let (store, _) = open(kept.path());
    let one = before.keys().next().unwrap();
    store.put_batch(&[(one.clone(), b"later".to_vec())]).unwrap();
    drop(store);
    std::fs::remove_dir_all(kept.path().join("history")).unwrap();
    copy(&Path::new(OLD).join("counters"), &kept.path().join("history"));
    let (store, _) = open(kept.path());

    assert_eq!(records(&store)[one], b"later");
    assert_eq!(records(&store).len(), before.len());
}

#[test]
fn a_log_of_a_later_version_is_refused_by_name() {
    let folder = old_folder();
    drop(open(folder.path()));
    let log = std::fs::read_dir(folder.path().join("counters")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[8..10].copy_from_slice(&9_u16.to_be_bytes());
    bytes[12..28].copy_from_slice(b"7.1.0\0\0\0\0\0\0\0\0\0\0\0");
    let crc = crc32c::crc32c(&bytes[..28]);
    bytes[28..32].copy_from_slice(&crc.to_be_bytes());
    std::fs::write(&log, bytes).unwrap();

    assert!(refused(folder.path()).to_string().contains("7.1.0"));
}
