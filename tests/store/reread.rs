//! Closed segments: a flipped bit in one is found by a backup and by the reading in the background.

use crate::changes::{Commits, memory_folder, open, put, small};
use crate::start::{filled, flip, segment};
use quotagate::store::StoreError;
use quotagate::store::embedded::{EmbeddedStore, Options, Pace, Rereading};
use serde_json::json;
use std::time::{Duration, Instant};

fn until(what: &str, is: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !is() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn rereading() -> Options {
    let pause = Duration::from_millis(1);
    Options { rereading: Some(Rereading { bytes_per_second: u64::MAX, pause }), ..small() }
}

#[test]
fn a_backup_of_a_damaged_journal_fails_and_names_the_place() {
    let (folder, elsewhere) = (memory_folder(), memory_folder());
    filled(folder.path(), 200);
    let len = std::fs::metadata(segment(folder.path(), 1)).unwrap().len() as usize;
    let (store, _) = open(folder.path());
    let file = elsewhere.path().join("b");

    for at in [3, 30, 64, 70, 200, len / 2, len - 1] {
        flip(&segment(folder.path(), 1), at);
        let error = store.backup(&file, Pace::ALONE).unwrap_err();
        flip(&segment(folder.path(), 1), at);

        assert!(matches!(error, StoreError::JournalDamaged { segment: 1, .. }), "{at}: {error}");
        assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0, "nothing is left");
    }
    let whole = std::fs::read(segment(folder.path(), 1)).unwrap();
    std::fs::write(segment(folder.path(), 1), &whole[..len - 1]).unwrap();
    assert!(matches!(store.backup(&file, Pace::ALONE), Err(StoreError::JournalDamaged { segment: 1, .. })));
    std::fs::write(segment(folder.path(), 1), whole).unwrap();
    let (number, len) = store.health().journal;
    let last = std::fs::read(segment(folder.path(), number)).unwrap();
    // A whole group is gone, so that no checksum fails.
    std::fs::write(segment(folder.path(), number), &last[..64]).unwrap();
    let error = store.backup(&file, Pace::ALONE).unwrap_err();
    std::fs::write(segment(folder.path(), number), last).unwrap();
    assert!(matches!(error, StoreError::JournalDamaged { segment, offset, .. } if (segment, offset) == (number, len)));

    assert_eq!(store.backup(&file, Pace::ALONE).unwrap().seq, 200);
}

#[test]
fn a_backup_that_is_told_to_stop_leaves_nothing() {
    let (folder, elsewhere) = (memory_folder(), memory_folder());
    filled(folder.path(), 20);
    let (store, _) = open(folder.path());
    let pace = Pace { stop: &|| true, ..Pace::ALONE };

    let error = store.backup(&elsewhere.path().join("b"), pace).unwrap_err();

    assert!(matches!(error, StoreError::Interrupted), "{error}");
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn a_backup_that_would_fill_the_disk_is_not_begun() {
    let (folder, elsewhere) = (memory_folder(), memory_folder());
    filled(folder.path(), 20);
    let (store, _) = open(folder.path());
    let pace = Pace { reserve_bytes: u64::MAX / 2, ..Pace::ALONE };

    let error = store.backup(&elsewhere.path().join("b"), pace).unwrap_err();

    assert!(matches!(error, StoreError::NoRoom { .. }), "{error}");
}

#[test]
fn a_bit_that_flips_in_a_closed_segment_is_found_while_serving() {
    let folder = memory_folder();
    filled(folder.path(), 200);
    let (store, _) = EmbeddedStore::open(folder.path(), rereading()).unwrap();
    until("a reading is finished", || store.reread().rounds > 0);
    let sound = store.reread();
    assert!(sound.damage.is_none() && sound.segments > 1 && sound.bytes > 0 && sound.finished.is_some(), "{sound:?}");

    flip(&segment(folder.path(), 2), 500);
    until("the damage is found", || store.reread().damage.is_some());
    let found = store.reread().damage.unwrap();
    store.must(put("after", json!(1)));
    flip(&segment(folder.path(), 2), 500);
    until("it reads well again", || store.reread().damage.is_none());

    assert!(found.contains("journal segment 2 is damaged at byte"), "{found}");
    std::fs::remove_file(segment(folder.path(), 1)).unwrap();
    until("what is missing is found", || store.reread().damage.is_some_and(|what| what.contains("segment 1")));
}

#[test]
fn reading_again_keeps_to_its_pace_and_stops_when_asked() {
    let folder = memory_folder();
    filled(folder.path(), 200);
    let slow = Rereading { bytes_per_second: 1_000, pause: Duration::from_secs(1_000) };
    let begun = Instant::now();
    let (store, _) = EmbeddedStore::open(folder.path(), Options { rereading: Some(slow), ..small() }).unwrap();
    until("it has begun", || store.reread().bytes > 0);

    let read = store.reread().bytes;
    let elapsed = begun.elapsed();
    store.close().unwrap();

    assert!(read as f64 <= 1_000.0 * elapsed.as_secs_f64() + 1_000.0, "{read} bytes in {elapsed:?}");
    assert!(begun.elapsed() < Duration::from_secs(20), "a stop does not wait for the end of a reading");
}
