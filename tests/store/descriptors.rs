//! A process that has no descriptor left: commits go on as long as none is needed, stop where one is, and go on by
//! themselves.

use crate::changes::{Commits, memory_folder, open, put, small};
use crate::layers::{Failing, Fault};
use crate::start::segment;
use quotagate::store::embedded::{EmbeddedStore, JournalReader, Options, Pace, verify, verify_journal};
use quotagate::store::{AdminStore, CommitError, Key, ReadOnly, Table};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MANY: u64 = u64::MAX / 4;

fn without_descriptors(folder: &Path) -> (EmbeddedStore, Failing) {
    let layer = Failing::at(MANY, 0, Fault::OutOfFiles);
    let options = Options { segment_bytes: 2_000, layer: Arc::new(layer.clone()), ..small() };
    (EmbeddedStore::open(folder, options).unwrap().0, layer)
}

fn until(what: &str, is: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !is() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn padded(n: usize) -> quotagate::store::Changeset {
    put(&format!("a{n}"), json!({"n": n, "pad": "p".repeat(300)}))
}

#[test]
fn the_journal_goes_on_in_a_segment_made_ahead_and_then_waits_for_a_descriptor() {
    let folder = memory_folder();
    let (store, layer) = without_descriptors(folder.path());
    until("the next segment is made ahead", || segment(folder.path(), 2).exists());
    layer.fail_next(MANY);

    let mut committed = 0;
    let refused = loop {
        match store.commit(padded(committed)).wait() {
            Ok(_) => committed += 1,
            Err(error) => break error,
        }
        assert!(committed < 50, "two segments hold fewer");
    };
    let segment_then = store.health().journal.0;
    let still = store.commit(padded(committed)).wait();
    layer.fail_next(0);
    until("it goes on by itself", || store.health().read_only.is_none());
    let after = (committed..committed + 20).map(|n| store.must(padded(n))).last().unwrap();

    assert!(matches!(refused, CommitError::ReadOnly(ReadOnly::OutOfFiles(_))), "{refused}");
    assert!(matches!(still, Err(CommitError::ReadOnly(ReadOnly::OutOfFiles(_)))));
    assert_eq!(segment_then, 2, "the one that was made ahead was used");
    assert_eq!(after.seq, committed as u64 + 20);
    for n in 0..committed + 20 {
        assert!(store.get(Table::Accounts, &Key::text(&format!("a{n}"))).unwrap().is_some(), "{n}");
    }
    drop(store);
    assert!(verify(folder.path()).unwrap().is_sound());
}

#[test]
fn a_segment_made_ahead_is_read_as_nothing_by_everybody() {
    let folder = memory_folder();
    let (store, _) = open(folder.path());
    store.must(put("a", json!(1)));
    until("the next segment is made ahead", || segment(folder.path(), 2).exists());
    assert_eq!(std::fs::metadata(segment(folder.path(), 2)).unwrap().len(), 0);

    let served = store.verify_journal(None).unwrap();
    let outside = verify_journal(folder.path(), None).unwrap();
    let mut seen = 0;
    JournalReader::before(folder.path(), 1)
        .unwrap()
        .read(&mut |_| {
            seen += 1;
            Ok(())
        })
        .unwrap();
    let elsewhere = memory_folder();
    let file = elsewhere.path().join("b");
    let backup = store.backup(&file, Pace::ALONE).unwrap();
    // As a kill leaves it.
    let killed = memory_folder();
    crate::start::copy(folder.path(), killed.path());
    drop(store);

    for report in [served, outside] {
        assert!(report.is_sound() && report.segments == 1, "{report:?}");
    }
    assert_eq!((seen, backup.segments), (1, 1));
    assert!(!segment(folder.path(), 2).exists(), "a clean stop takes it away");
    assert!(segment(killed.path(), 2).exists());
    assert!(verify(killed.path()).unwrap().is_sound());
    let (store, report) = open(killed.path());
    assert_eq!((report.seq, report.torn_bytes_cut), (1, 0));
    for n in 0..200 {
        store.must(padded(n));
    }
    assert!(store.health().journal.0 > 2);
    let target = elsewhere.path().join("new");
    quotagate::store::embedded::restore(&file, &target, Some(&folder.path().join("journal"))).unwrap();
    assert!(verify_journal(&target, None).unwrap().is_sound());
}
