//! A journal that ends earlier than it did: what was acknowledged is never given up in silence.

use crate::changes::{memory_folder, open, refused};
use crate::start::{copy, filled, flip, segment};
use quotagate::store::StoreError;
use quotagate::store::embedded::{ControlStart, Options, TornTail};
use serde_json::json;
use std::path::Path;

/// As a power cut leaves it: with the boot id of an earlier boot of the machine.
fn went_down(folder: &Path, seq: u64) {
    let run = json!({"boot_id": "another boot", "clean": false, "seq": seq});
    std::fs::write(folder.join("RUN"), run.to_string()).unwrap();
}

fn cut(folder: &Path, bytes: u64) {
    let path = segment(folder, 1);
    let len = std::fs::metadata(&path).unwrap().len();
    std::fs::File::options().write(true).open(path).unwrap().set_len(len - bytes).unwrap();
}

#[test]
fn after_a_power_cut_a_journal_shorter_than_what_was_applied_is_refused_and_left_as_it_is() {
    let source = memory_folder();
    filled(source.path(), 5);
    let len = std::fs::metadata(segment(source.path(), 1)).unwrap().len();
    for bytes in [1, 100, len / 2, len - 64] {
        let folder = memory_folder();
        copy(source.path(), folder.path());
        went_down(folder.path(), 0);
        cut(folder.path(), bytes);
        let before = std::fs::read(segment(folder.path(), 1)).unwrap();

        let error = refused(folder.path());

        assert!(matches!(error, StoreError::ControlAhead { applied: 5, .. }), "{bytes}: {error}");
        assert!(error.to_string().contains("were acknowledged"), "{error}");
        assert!(error.to_string().contains("quotagate restore"), "{error}");
        assert_eq!(std::fs::read(segment(folder.path(), 1)).unwrap(), before, "nothing is cut off before that");
        assert!(folder.path().join("control").exists() && !folder.path().join("control.broken").exists());
    }
}

#[test]
fn after_a_power_cut_another_journal_of_the_same_length_is_refused() {
    let (folder, other) = (memory_folder(), memory_folder());
    filled(folder.path(), 3);
    filled(other.path(), 9);
    std::fs::copy(segment(other.path(), 1), segment(folder.path(), 1)).unwrap();
    flip(&folder.path().join("LOCK"), 0);
    went_down(folder.path(), 0);
    // The same first changes are the same chain.
    assert!(matches!(open(folder.path()).1.control, ControlStart::Rebuilt(_)));

    let (folder, other) = (memory_folder(), memory_folder());
    filled(folder.path(), 3);
    let (store, _) = open(other.path());
    for n in 0..9 {
        crate::changes::Commits::must(&store, crate::changes::put(&format!("b{n}"), json!(n)));
    }
    drop(store);
    std::fs::copy(segment(other.path(), 1), segment(folder.path(), 1)).unwrap();
    went_down(folder.path(), 0);

    let error = refused(folder.path());

    assert!(matches!(error, StoreError::JournalReplaced { seq: 3 }), "{error}");
}

#[test]
fn a_run_that_did_not_end_still_says_how_far_the_journal_went_when_it_began() {
    let folder = memory_folder();
    filled(folder.path(), 5);
    let (store, _) = open(folder.path());
    let run = std::fs::read(folder.path().join("RUN")).unwrap();
    drop(store);
    std::fs::write(folder.path().join("RUN"), run).unwrap();
    // Nothing is left that could say what was applied.
    std::fs::remove_dir_all(folder.path().join("control")).unwrap();
    cut(folder.path(), 1);

    let error = refused(folder.path());

    assert!(matches!(error, StoreError::ControlAhead { applied: 5, last: 4 }), "{error}");
}

#[test]
fn where_it_cannot_be_known_a_torn_tail_may_have_been_acknowledged() {
    let source = memory_folder();
    filled(source.path(), 5);
    for break_control in [
        |folder: &Path| std::fs::remove_dir_all(folder.join("control")).unwrap(),
        |folder: &Path| std::fs::write(folder.join("control/db"), b"junk").unwrap(),
        |folder: &Path| std::fs::write(folder.join("control/conf"), b"broken configuration").unwrap(),
    ] {
        let folder = memory_folder();
        copy(source.path(), folder.path());
        went_down(folder.path(), 0);
        cut(folder.path(), 1);
        break_control(folder.path());

        let (_store, report) = open(folder.path());

        assert!(report.torn_bytes_cut > 0);
        assert_eq!(report.torn_tail, TornTail::MayHaveBeenAcknowledged);
        assert_eq!(report.seq, 4);
    }
}

#[test]
fn a_torn_tail_behind_what_was_applied_was_never_acknowledged() {
    let folder = memory_folder();
    filled(folder.path(), 5);
    let bytes = std::fs::read(segment(folder.path(), 1)).unwrap();
    std::fs::write(segment(folder.path(), 1), [&bytes[..], &bytes[64..200]].concat()).unwrap();
    for boot in ["another boot", &Options::default().boot_id] {
        let copied = memory_folder();
        copy(folder.path(), copied.path());
        std::fs::write(copied.path().join("RUN"), json!({"boot_id": boot, "clean": false, "seq": 0}).to_string())
            .unwrap();

        let (_store, report) = open(copied.path());

        assert_eq!((report.torn_bytes_cut, report.torn_tail), (136, TornTail::NeverAcknowledged));
    }
}
