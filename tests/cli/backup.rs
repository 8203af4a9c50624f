//! `quotagate backup` and `quotagate restore`: into a file and back.

use crate::changes::{Commits, memory_folder, open, put};
use crate::verify::{filled, path, quotagate, text};
use serde_json::json;
use std::path::Path;
use std::process::Output;

fn backup(folder: &Path, file: &Path) -> Output {
    quotagate(&["backup", "--data", path(folder), path(file)])
}

fn restore(file: &Path, folder: &Path, more: &[&str]) -> Output {
    quotagate(&[&["restore", path(file), "--data", path(folder)], more].concat())
}

#[track_caller]
fn refused(output: &Output, code: i32, why: &str) {
    let complaint = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{complaint}");
    assert!(complaint.contains(why), "{complaint}");
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn a_folder_comes_back_from_its_backup() {
    let (folder, elsewhere) = (filled(), memory_folder());
    let (file, target) = (elsewhere.path().join("one.quotagate"), elsewhere.path().join("new"));

    let written = backup(folder.path(), &file);
    let restored = restore(&file, &target, &[]);

    let said = text(&written.stdout);
    assert_eq!(written.status.code(), Some(0), "{}", text(&written.stderr));
    assert!(
        said.contains("100 changes in ") && said.contains("usage in 2 records\nnot in it: the history of usage"),
        "{said}"
    );
    assert!(said.contains("`seal.key`") && said.contains("\nsha256 "), "{said}");
    assert_eq!(text(&written.stderr), format!("opening `{}`\nwriting `{}`\n", path(folder.path()), path(&file)));
    assert_eq!(restored.status.code(), Some(0), "{}", text(&restored.stderr));
    let said = text(&restored.stdout);
    assert!(said.contains("100 changes in "), "{said}");
    assert!(said.ends_with(&format!("start it with: quotagate serve --data {}\n", path(&target))), "{said}");
    for folder in [folder.path(), &target] {
        assert_eq!(quotagate(&["verify", "--data", path(folder)]).status.code(), Some(0));
    }
}

#[test]
fn the_old_journal_brings_back_what_came_after_the_backup() {
    let (folder, elsewhere) = (filled(), memory_folder());
    let (file, target) = (elsewhere.path().join("one.quotagate"), elsewhere.path().join("new"));
    assert!(backup(folder.path(), &file).status.success());
    let (store, _) = open(folder.path());
    for n in 0..7 {
        store.must(put(&format!("later{n}"), json!(n)));
    }
    drop(store);

    let journal = folder.path().join("journal");
    let restored = restore(&file, &target, &["--newer-journal", path(&journal)]);

    assert!(text(&restored.stdout).contains("and 7 newer changes from the journal"), "{}", text(&restored.stderr));
    refused(&restore(&file, &target, &["--newer-journal", "nowhere"]), 2, "`nowhere` is no folder");
}

#[test]
fn nothing_is_written_over_or_made_up() {
    let (folder, elsewhere) = (filled(), memory_folder());
    let file = elsewhere.path().join("one.quotagate");
    assert!(backup(folder.path(), &file).status.success());
    let missing = elsewhere.path().join("mistyped");

    refused(&backup(folder.path(), &file), 2, "exists: a backup is never written over another file");
    refused(&backup(&missing, &elsewhere.path().join("two")), 2, "there is no store in");
    refused(
        &backup(folder.path(), &elsewhere.path().join("no/such/folder")),
        2,
        "cannot write the backup: there is no folder",
    );
    refused(&restore(&file, folder.path(), &[]), 2, "it holds a store already");
    refused(&restore(&missing, &missing, &[]), 2, "read ");

    assert!(!missing.exists() && !elsewhere.path().join("two").exists());
    assert_eq!(quotagate(&["verify", "--data", path(folder.path())]).status.code(), Some(0));
}

#[test]
fn a_damaged_backup_is_refused_before_anything_is_written() {
    let (folder, elsewhere) = (filled(), memory_folder());
    let (file, target) = (elsewhere.path().join("one.quotagate"), elsewhere.path().join("new"));
    assert!(backup(folder.path(), &file).status.success());
    let whole = std::fs::read(&file).unwrap();

    for (len, flipped, why) in [
        (whole.len(), whole.len() / 2, "a frame fails its checksum"),
        (whole.len() - 1, 0, "the backup is damaged"),
        (whole.len() / 2, 0, "it is not a backup"),
    ] {
        let mut bytes = whole[..len].to_vec();
        bytes[flipped] ^= u8::from(len != whole.len() - 1);
        std::fs::write(&file, bytes).unwrap();

        refused(&restore(&file, &target, &[]), 2, why);

        assert!(!target.exists());
    }
}

#[test]
fn a_folder_in_use_is_told() {
    let (folder, elsewhere) = (filled(), memory_folder());
    let file = elsewhere.path().join("one.quotagate");
    let (_store, _) = open(folder.path());

    let output = backup(folder.path(), &file);

    refused(&output, 2, "nothing answers at its `control.sock`");
    assert!(!file.exists());
}
