//! The journal on a file system that fails or loses power.

use crate::changes::{memory_folder, open, put, small};
use crate::layers::{Failing, Fault, Recording};
use quotagate::store::embedded::{EmbeddedStore, Options, verify};
use quotagate::store::{AdminStore, Changeset, CommitError, Key, ReadOnly, Table, Write};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A change of two records, which must be there both or not at all.
fn pair(name: &str) -> Changeset {
    let mut change = put(name, json!({"name": name, "pad": "p".repeat(300)}));
    change.writes.push(Write::put(Table::Overrides, Key::text(name), json!(name)));
    change
}

/// Whether the pair is there; panics if half of it is.
fn has_pair(store: &EmbeddedStore, name: &str) -> bool {
    let left = store.get(Table::Accounts, &Key::text(name)).unwrap();
    let right = store.get(Table::Overrides, &Key::text(name)).unwrap();
    assert_eq!(left.as_ref().map(|found| found.revision), right.as_ref().map(|found| found.revision), "half of {name}");
    left.is_some()
}

fn options(layer: Arc<dyn quotagate::store::embedded::layer::FileLayer>) -> Options {
    Options { segment_bytes: 2_000, layer, ..small() }
}

/// Commits ten pairs on a layer with a fault and checks what is there after a restart; false once the fault lies
/// beyond all that is done.
fn survives(layer: &Failing) -> bool {
    let folder = memory_folder();
    let mut answers = Vec::new();
    if let Ok((store, _)) = EmbeddedStore::open(folder.path(), options(Arc::new(layer.clone()))) {
        for n in 0..10 {
            answers.push(store.commit(pair(&format!("p{n}"))).wait());
        }
    }

    let (store, _) = EmbeddedStore::open(folder.path(), small()).unwrap();
    for (n, answer) in answers.iter().enumerate() {
        let there = has_pair(&store, &format!("p{n}"));
        match answer {
            Ok(_) => assert!(there, "an acknowledged change is gone"),
            Err(CommitError::ReadOnly(_)) => assert!(!there, "a refused change is there"),
            Err(CommitError::Uncertain { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    drop(store);
    let report = verify(folder.path()).unwrap();
    assert!(report.is_sound(), "{report:?}");
    // A fault in what is made ahead is met without any change being refused.
    layer.was_met()
}

#[test]
fn a_failure_of_any_operation_loses_nothing_and_leaves_nothing_half() {
    for fault in [Fault::Error, Fault::Full] {
        for lasts in [1, u64::MAX / 2] {
            let mut first = 1;
            while survives(&Failing::at(first, lasts, fault)) {
                first += 1;
            }
            assert!(first > 20, "the fault must have been met at many operations, not {first}");
        }
    }
}

#[test]
fn after_a_failed_fsync_nothing_more_is_written() {
    let folder = memory_folder();
    // Header: create, 2 writes (short ones), sync, folder; settle; then write, write, sync …
    for first in 5..40 {
        let layer = Failing::at(first, 1, Fault::Error);
        let folder = folder.path().join(first.to_string());
        let Ok((store, _)) = EmbeddedStore::open(&folder, options(Arc::new(layer.clone()))) else { continue };
        let answer = (0..20).map(|n| store.commit(pair(&format!("p{n}"))).wait()).find(Result::is_err);
        let Some(Err(CommitError::Uncertain { .. })) = answer else { continue };

        let operations = layer.operations();
        let next = store.commit(pair("next")).wait();

        assert!(matches!(next, Err(CommitError::ReadOnly(ReadOnly::JournalFailed(_)))), "{next:?}");
        assert!(matches!(store.health().read_only, Some(ReadOnly::JournalFailed(_))));
        assert_eq!(layer.operations(), operations);
        return;
    }
    panic!("no fsync was hit");
}

#[test]
fn a_full_disk_makes_the_store_read_only_until_there_is_room() {
    let folder = memory_folder();
    let layer = Failing::at(u64::MAX / 2, 0, Fault::Full);
    let options = Options { reserve_bytes: 1_000, ballast_bytes: 4_096, ..options(Arc::new(layer.clone())) };
    let (store, _) = EmbeddedStore::open(folder.path(), options).unwrap();
    store.commit(pair("before")).wait().unwrap();

    layer.set_free_bytes(999);
    let refused = store.commit(pair("full")).wait();
    let health = store.health().read_only;
    layer.set_free_bytes(5_000);
    let still = store.commit(pair("full")).wait();
    layer.set_free_bytes(5_096);
    let resumed = store.commit(pair("after")).wait();

    let full = |answer| matches!(answer, Err(CommitError::ReadOnly(ReadOnly::DiskFull { .. })));
    assert!(full(refused) && full(still));
    assert!(matches!(health, Some(ReadOnly::DiskFull { free_bytes: 999, needed_bytes: 1_000 })));
    assert!(resumed.is_ok() && store.health().read_only.is_none());
    assert!(has_pair(&store, "before") && has_pair(&store, "after") && !has_pair(&store, "full"));
}

#[test]
fn a_write_that_finds_the_disk_full_gives_up_the_ballast_and_commits_go_on_later() {
    let folder = memory_folder();
    let layer = Failing::at(20, 1, Fault::Full);
    let options = Options { ballast_bytes: 4_096, ..options(Arc::new(layer.clone())) };
    let (store, _) = EmbeddedStore::open(folder.path(), options).unwrap();
    let ballast = folder.path().join("BALLAST");
    assert_eq!(std::fs::metadata(&ballast).unwrap().len(), 4_096);

    let refused = (0..20).map(|n| store.commit(pair(&format!("p{n}"))).wait()).find(Result::is_err);
    let gone = !ballast.exists();
    let resumed = store.commit(pair("after")).wait();

    assert!(matches!(refused, Some(Err(CommitError::ReadOnly(ReadOnly::DiskFull { .. })))), "{refused:?}");
    assert!(gone && ballast.exists(), "given up, and laid again once there is room");
    assert!(resumed.is_ok());
}

#[test]
fn the_ballast_is_given_up_once_something_else_takes_the_reserve() {
    let folder = memory_folder();
    let layer = Failing::at(u64::MAX / 2, 0, Fault::Full);
    let options = Options { reserve_bytes: 10_000, ballast_bytes: 4_096, ..options(Arc::new(layer.clone())) };
    let (store, _) = EmbeddedStore::open(folder.path(), options).unwrap();
    let ballast = folder.path().join("BALLAST");
    let refused = |name| matches!(store.commit(pair(name)).wait(), Err(CommitError::ReadOnly(_)));

    layer.set_free_bytes(5_000);
    assert!(refused("low") && ballast.exists(), "there is room for what is written behind");
    layer.set_free_bytes(4_000);
    assert!(refused("scarce") && !ballast.exists(), "what is written behind gets the ballast's room");
    layer.set_free_bytes(14_096);
    store.commit(pair("after")).wait().unwrap();

    assert!(ballast.exists());
}

#[test]
fn a_full_disk_is_told_before_a_change_meets_it() {
    let folder = memory_folder();
    let layer = Failing::at(u64::MAX / 2, 0, Fault::Full);
    let options = Options { reserve_bytes: 1_000, ..options(Arc::new(layer.clone())) };
    let (store, _) = EmbeddedStore::open(folder.path(), options).unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    let becomes = |full: bool| {
        while matches!(store.health().read_only, Some(ReadOnly::DiskFull { .. })) != full {
            assert!(Instant::now() < until, "{:?}", store.health());
            std::thread::sleep(Duration::from_millis(5));
        }
    };

    layer.set_free_bytes(999);
    becomes(true);
    layer.set_free_bytes(1_000_000);
    becomes(false);
}

fn place(image: &std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>, folder: &Path) {
    let journal = folder.join("journal");
    std::fs::create_dir_all(&journal).unwrap();
    for (path, content) in image {
        std::fs::write(journal.join(path.file_name().unwrap()), content).unwrap();
    }
}

#[test]
fn acknowledged_commits_survive_a_power_cut() {
    let mut random = SmallRng::seed_from_u64(7);
    for round in 0..40 {
        let folder = memory_folder();
        let layer = Recording::default();
        let (store, _) = EmbeddedStore::open(folder.path(), options(Arc::new(layer.clone()))).unwrap();
        let acknowledged = Mutex::new(Vec::new());
        let (count, stop_at) = (AtomicU64::new(0), random.random_range(1..120));
        let kept = [0.0, 0.5, 0.9, 1.0][round % 4];

        let (promised, image) = std::thread::scope(|scope| {
            for writer in 0..4 {
                let (store, acknowledged, count) = (&store, &acknowledged, &count);
                scope.spawn(move || {
                    for n in 0.. {
                        let name = format!("w{writer}-{n}");
                        if count.load(Ordering::SeqCst) >= stop_at + 20 || store.commit(pair(&name)).wait().is_err() {
                            return;
                        }
                        acknowledged.lock().unwrap().push(name);
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            while count.load(Ordering::SeqCst) < stop_at {
                std::hint::spin_loop();
            }
            // What was promised before the power went is what counts.
            let promised = acknowledged.lock().unwrap().clone();
            (promised, layer.cut(|| random.random_bool(kept)))
        });

        let after = memory_folder();
        place(&image, after.path());
        let (store, _) = open(after.path());
        for name in &promised {
            assert!(has_pair(&store, name), "round {round}: {name} of {} was acknowledged", promised.len());
        }
        let all: Vec<String> = acknowledged.into_inner().unwrap();
        assert!(all.iter().filter(|name| has_pair(&store, name)).count() >= promised.len());
        drop(store);
        assert!(verify(after.path()).unwrap().is_sound());
    }
}

/// The tests above must be able to fail: each is run again with its safeguard taken out.
#[cfg(feature = "failpoints")]
mod without_safeguards {
    use std::process::Command;

    fn is_red(test: &str, safeguard: &str) -> bool {
        let run = |broken: &str| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", test]).env("QUOTAGATE_BREAK", broken).output().unwrap()
        };
        let (green, red) = (run("nothing"), run(safeguard));
        let said = String::from_utf8_lossy(&red.stdout);
        green.status.success() && !red.status.success() && said.contains("1 failed")
    }

    #[test]
    fn the_power_cut_test_turns_red_without_fsync() {
        assert!(is_red("faults::acknowledged_commits_survive_a_power_cut", "no_fsync"));
    }

    #[test]
    fn the_group_test_turns_red_without_the_overlay() {
        assert!(is_red("concurrency::two_changes_of_one_record_in_a_group_cannot_both_win", "no_overlay"));
    }
}
