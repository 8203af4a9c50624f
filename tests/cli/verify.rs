//! `quotagate verify`: what is wrong is found, placed and told with what to do.

use crate::changes::{Commits, memory_folder, open, put};
use quotagate::store::CounterStore;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

pub fn quotagate(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quotagate"));
    command.args(args).env_remove("QUOTAGATE_DATA").stdin(Stdio::null()).output().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub fn path(folder: &Path) -> &str {
    folder.to_str().unwrap()
}

pub fn segment(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("journal/{number:010}.log"))
}

/// A closed store of 100 changes in several segments, and of two counters.
pub fn filled() -> TempDir {
    let folder = memory_folder();
    let (store, _) = open(folder.path());
    for n in 0..100 {
        store.must(put(&format!("a{n}"), json!({"n": n, "pad": "x".repeat(300)})));
    }
    store.put_batch(&[(vec![1], vec![9; 100]), (vec![2], vec![7])]).unwrap();
    folder
}

fn check(folder: &Path, more: &[&str]) -> Output {
    quotagate(&[&["verify", "--data", path(folder)], more].concat())
}

/// The JSON report and the exit code.
fn report(folder: &Path, more: &[&str]) -> (Value, Option<i32>) {
    let output = check(folder, &[&["--format", "json"], more].concat());
    let report = serde_json::from_slice(&output.stdout);
    (report.unwrap_or_else(|_| panic!("{}", text(&output.stderr))), output.status.code())
}

/// The only finding of a damaged folder, which must be in the journal.
fn journal_finding(folder: &Path, more: &[&str]) -> Value {
    let (report, code) = report(folder, more);
    assert_eq!((code, &report["sound"]), (Some(1), &json!(false)), "{report:#}");
    let finding = report["findings"][0].clone();
    assert_eq!(finding["area"], "journal", "{report:#}");
    assert!(finding["advice"].as_str().unwrap().contains("quotagate restore BACKUP --data NEW"));
    finding
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|item| item.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_sound_folder_is_told_with_what_was_compared() {
    let folder = filled();

    let output = check(folder.path(), &[]);

    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(said.contains("journal   100 changes in ") && said.contains("the last is 100, "), "{said}");
    assert!(said.contains("control   100 records compared with a replay of the journal\ncounters  2 records\n"));
    assert!(said.ends_with(&format!("nothing is wrong in `{}`\n", path(folder.path()))), "{said}");
    let (report, code) = report(folder.path(), &[]);
    assert_eq!((code, &report["sound"], &report["findings"]), (Some(0), &json!(true), &json!([])));
    assert_eq!(report["journal"]["last_change"], 100);
    assert_eq!((&report["control"]["records"], &report["counters"]["records"]), (&json!(100), &json!(2)));
}

#[test]
fn a_flipped_byte_is_placed_wherever_it_is() {
    let last = (1..).take_while(|n| segment(filled().path(), *n).exists()).last().unwrap();
    assert!(last >= 3, "the test is about several segments");

    for (number, part) in [(1, 0.0), (2, 0.0), (2, 0.5), (last, 0.9)] {
        let folder = filled();
        let file = segment(folder.path(), number);
        let at = (std::fs::metadata(&file).unwrap().len() as f64 * part) as usize;
        flip(&file, at);

        for scope in [[].as_slice(), &["--journal-only"]] {
            let finding = journal_finding(folder.path(), scope);

            assert_eq!(finding["segment"], number, "{finding}");
            let offset = finding["offset"].as_u64().unwrap() as usize;
            // Of the group that it is in, none of which has 1,000 bytes.
            assert!(offset <= at && at < offset + 1_000, "{finding}: the byte is {at}");
            assert!(finding["after_change"].as_u64().unwrap() < 100, "{finding}");
        }
    }
}

#[test]
fn findings_are_told_with_place_and_advice() {
    let folder = filled();
    flip(&segment(folder.path(), 2), 90);

    let output = check(folder.path(), &[]);

    let said = text(&output.stdout);
    assert!(said.starts_with("journal segment 2, byte 64, after change "), "{said}");
    assert!(said.contains(": the group fails its checksum\nwhat to do: the journal is the truth"), "{said}");
    assert!(said.contains("control   not compared: the journal is not whole\n"), "{said}");
    let complaint = format!("quotagate: something is wrong in `{}`\n", path(folder.path()));
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(1), complaint));
}

#[test]
fn a_truncated_journal_is_found_by_what_the_state_has() {
    let folder = filled();
    let last = (1..).take_while(|n| segment(folder.path(), *n).exists()).last().unwrap();
    let file = segment(folder.path(), last);
    let len = std::fs::metadata(&file).unwrap().len();
    std::fs::File::options().write(true).open(&file).unwrap().set_len(len - 5).unwrap();

    let finding = journal_finding(folder.path(), &[]);

    assert_eq!((&finding["segment"], &finding["after_change"]), (&json!(last), &json!(99)), "{finding}");
    assert!(finding["what"].as_str().unwrap().contains("has change 100 but the journal ends at 99"), "{finding}");
    // The journal by itself cannot tell a cut from a write that a kill ended.
    let (report, code) = report(folder.path(), &["--journal-only"]);
    assert_eq!((code, &report["sound"]), (Some(0), &json!(true)));
    assert!(report["journal"]["unacknowledged_bytes"].as_u64().unwrap() > 100);
    assert!(text(&check(folder.path(), &["--journal-only"]).stdout).contains("of no finished group"));
}

#[test]
fn a_lost_control_state_is_told_as_what_a_start_makes_anew() {
    let folder = filled();
    std::fs::remove_dir_all(folder.path().join("control")).unwrap();

    let output = check(folder.path(), &[]);

    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.starts_with("control: it is missing\nwhat to do: the control state is made from the journal"),
        "{said}"
    );
    assert!(!folder.path().join("control").exists(), "nothing is repaired");
    drop(open(folder.path()));
    assert_eq!(check(folder.path(), &[]).status.code(), Some(0));
}

#[test]
fn what_cannot_be_checked_is_told_and_not_touched() {
    let nowhere = memory_folder();
    let missing = nowhere.path().join("mistyped");
    let future = filled();
    let format = json!({"format": 99, "needs": "7.0.0"}).to_string();
    std::fs::write(future.path().join("FORMAT"), format).unwrap();
    let before = names(future.path());

    for scope in [[].as_slice(), &["--journal-only"]] {
        let mistyped = check(&missing, scope);
        let empty = check(nowhere.path(), scope);
        let newer = check(future.path(), scope);

        for (output, why) in
            [(mistyped, "there is no store in"), (empty, "there is no store in"), (newer, "7.0.0 or newer")]
        {
            assert_eq!(output.status.code(), Some(2));
            assert!(text(&output.stderr).contains(why), "{}", text(&output.stderr));
            assert_eq!(text(&output.stdout), "");
        }
    }
    assert!(names(nowhere.path()).is_empty(), "nothing was made");
    assert_eq!(names(future.path()), before);
}

#[test]
fn a_folder_in_use_is_told_with_what_can_be_checked() {
    let folder = filled();
    let (_store, _) = open(folder.path());

    let refused = check(folder.path(), &[]);
    let beside = check(folder.path(), &["--journal-only"]);

    let complaint = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2));
    assert!(complaint.contains(&format!("is in use by process {}", std::process::id())), "{complaint}");
    assert!(complaint.contains("`--journal-only`"), "{complaint}");
    assert_eq!(beside.status.code(), Some(0), "{}", text(&beside.stderr));
    assert!(text(&beside.stdout).contains("100 changes in ") && text(&beside.stdout).contains("control   not checked"));
}

#[test]
fn the_help_teaches_with_an_example() {
    for (command, example) in [
        ("verify", "quotagate verify --data /var/lib/quotagate --journal-only"),
        ("backup", "quotagate backup --data /var/lib/quotagate one.quotagate"),
        ("restore", "--newer-journal old/journal"),
    ] {
        let help = text(&quotagate(&[command, "--help"]).stdout);

        assert!(help.contains(example), "{help}");
    }
}
