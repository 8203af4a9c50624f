//! `quotagate audit` and `verify --anchor`: what a third party keeps shows what was done to the journal.

use crate::changes::{Commits, memory_folder, open, put};
use crate::forge::Forged;
use crate::verify::{filled, path, quotagate, segment, text};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use tempfile::TempDir;

/// A closed store of ten changes in one segment.
fn ten() -> TempDir {
    let folder = memory_folder();
    let (store, _) = open(folder.path());
    for n in 1..=10 {
        store.must(put(&format!("a{n}"), json!({"n": n, "says": "“ü” \u{1F600} \\ \n"})));
    }
    folder
}

fn export(folder: &Path, more: &[&str]) -> Output {
    quotagate(&[&["audit", "export", "--data", path(folder)], more].concat())
}

fn exported(folder: &Path) -> Vec<String> {
    let output = export(folder, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(str::to_owned).collect()
}

/// The anchor that an export ends with.
fn anchor(folder: &Path) -> String {
    text(&export(folder, &[]).stderr).trim().rsplit_once(' ').unwrap().1.to_owned()
}

/// What the program of `docs/audit.md` says of an export. None: there is no python3 here.
fn by_the_page(lines: &[String], anchors: &[&str]) -> Option<Result<String, String>> {
    let page = include_str!("../../docs/audit.md");
    let program = page.split_once("```python\n").unwrap().1.split_once("```").unwrap().0;
    let mut python = Command::new("python3");
    python.args(["-c", program]).args(anchors).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = python.spawn() else {
        eprintln!("skipped: there is no python3");
        return None;
    };
    let mut input = child.stdin.take().unwrap();
    for line in lines {
        // It may have seen enough.
        _ = writeln!(input, "{line}");
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    let said = |bytes: &[u8]| text(bytes).trim().to_owned();
    Some(if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) })
}

#[track_caller]
fn fails(lines: &[String], anchors: &[&str], why: &str) {
    if let Some(said) = by_the_page(lines, anchors) {
        assert_eq!(said.as_ref().map_err(String::as_str), Err(why));
    }
}

#[track_caller]
fn is_sound(lines: &[String], anchors: &[&str], what: &str) {
    if let Some(said) = by_the_page(lines, anchors) {
        assert!(said.as_ref().is_ok_and(|said| said.starts_with(what)), "{said:?}");
    }
}

#[test]
fn an_export_is_verified_by_the_program_on_the_page() {
    let folder = filled();
    let lines = exported(folder.path());
    let kept: Vec<String> = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|line| format!("{}:{}", line["seq"], line["hash"].as_str().unwrap()))
        .collect();
    let part: Vec<String> =
        text(&export(folder.path(), &["--from", "50", "--to", "52"]).stdout).lines().map(str::to_owned).collect();

    assert_eq!((lines.len(), &part[..]), (100, &lines[49..52]));
    assert_eq!(anchor(folder.path()), kept[99]);
    is_sound(&lines, &[&kept[0], &kept[49], &kept[99]], &format!("sound: changes 1 to 100, head {}", kept[99]));
    is_sound(&part, &[&kept[51]], &format!("sound: changes 50 to 52, head {}", kept[51]));
    is_sound(&exported(ten().path()), &[], "sound: changes 1 to 10, head 10:");
    let payload: Value =
        serde_json::from_str::<Value>(&lines[1]).unwrap()["payload"].as_str().unwrap().parse().unwrap();
    assert_eq!((&payload["audit"]["actor"], &payload["audit"]["subject"][0]), (&json!("alice"), &json!("account:a1")));
}

#[test]
fn a_tampered_export_is_pinpointed_by_the_program_on_the_page() {
    let folder = ten();
    let lines = exported(folder.path());
    let head = anchor(folder.path());
    let with = |harm: fn(&mut Vec<String>)| {
        let mut lines = lines.clone();
        harm(&mut lines);
        lines
    };

    let flipped = with(|lines| lines[4] = lines[4].replace("account:a5", "account:a6"));
    fails(&flipped, &[], "line 5: change 5 is not what was hashed");
    fails(&with(|lines| drop(lines.remove(4))), &[], "line 5: change 5 is missing, 6 is here");
    fails(&with(|lines| lines.swap(4, 5)), &[], "line 5: change 5 is missing, 6 is here");
    let other = with(|lines| lines[4] = lines[4].replace("\"prev_hash\":\"", "\"prev_hash\":\"00"));
    fails(&other, &[], "line 5: change 5 does not continue change 4");
    let torn = with(|lines| lines[2].truncate(40));
    if let Some(said) = by_the_page(&torn, &[]) {
        assert!(said.as_ref().is_err_and(|said| said.starts_with("line 3: not a change: ")), "{said:?}");
    }
    let beheaded = with(|lines| drop(lines.remove(0)));
    fails(&beheaded, &[&format!("1:{}", "0".repeat(64))], "line 9: the end; not there are the anchors 1");
    let cut = with(|lines| lines.truncate(8));
    is_sound(&cut, &[], "sound: changes 1 to 8");
    fails(&cut, &[&head], "line 8: the end; not there are the anchors 10");
}

#[test]
fn only_an_anchor_shows_a_suffix_that_was_rewritten_with_its_chain() {
    let folder = ten();
    let kept = anchor(folder.path());
    let before = exported(folder.path());
    let of_change_4 = serde_json::from_str::<Value>(&before[3]).unwrap()["hash"].as_str().unwrap().to_owned();
    let file = segment(folder.path(), 1);
    let mut forged = Forged::read(&file);
    forged.rewrite(5, "alice", "mirko");
    forged.write(&file);

    let after = exported(folder.path());
    let blind = quotagate(&["verify", "--journal-only", "--data", path(folder.path())]);
    let check = |anchor: &str| {
        let args = ["verify", "--journal-only", "--format", "json", "--data", path(folder.path()), "--anchor", anchor];
        let output = quotagate(&args);
        (output.status.code(), serde_json::from_slice::<Value>(&output.stdout).unwrap())
    };

    assert_eq!(blind.status.code(), Some(0));
    is_sound(&after, &[], "sound: changes 1 to 10");
    fails(&after, &[&kept], "line 10: change 10 is not the anchor's: it, or one before it, was rewritten");
    let (code, report) = check(&kept);
    assert_eq!((code, &report["sound"], &report["anchor"]["found"]), (Some(1), &json!(false), &json!("differs")));
    assert_eq!(format!("10:{}", report["anchor"]["found_hash"].as_str().unwrap()), anchor(folder.path()));
    assert_eq!((&report["findings"][0]["segment"], &report["findings"][0]["after_change"]), (&json!(1), &json!(9)));
    let (code, report) = check(&format!("4:{of_change_4}"));
    assert_eq!((code, &report["anchor"]["found"]), (Some(0), &json!("held")), "what is before was not touched");
    // The state, which nobody rewrote, shows it too.
    assert_eq!(quotagate(&["verify", "--data", path(folder.path())]).status.code(), Some(1));
}

#[test]
fn an_entry_left_out_or_exchanged_is_pinpointed_whatever_its_checksums() {
    for (what, harm) in [
        ("left out", (|forged| drop(forged.entries.remove(4))) as fn(&mut Forged)),
        ("exchanged", |forged| forged.entries.swap(4, 5)),
        ("changed", |forged| forged.entries[3].payload[20] ^= 1),
    ] {
        let folder = ten();
        let file = segment(folder.path(), 1);
        let mut forged = Forged::read(&file);
        let place = 64 + forged.entries[..4].iter().map(|entry| 20 + 48 + entry.payload.len()).sum::<usize>() + 20;
        harm(&mut forged);
        forged.write(&file);

        let last = format!("10:{}", "0".repeat(64));
        let output = quotagate(&["verify", "--journal-only", "--data", path(folder.path()), "--anchor", &last]);
        let refused = export(folder.path(), &[]);

        let said = text(&output.stdout);
        let finding = format!("journal segment 1, byte {place}, after change 4: the entry does not continue");
        assert!(said.starts_with(&finding), "{what}: {said}");
        assert!(said.contains("anchor    change 10 is not readable"), "{what}: {said}");
        assert_eq!(output.status.code(), Some(1));
        assert_eq!((refused.status.code(), text(&refused.stdout).lines().count()), (Some(2), 4), "{what}");
        assert!(text(&refused.stderr).contains(&format!("segment 1 is damaged at byte {place}")), "{what}");
    }
}

#[test]
fn a_tail_that_was_cut_off_is_shown_by_an_anchor() {
    let folder = ten();
    let kept = anchor(folder.path());
    let file = segment(folder.path(), 1);
    let mut forged = Forged::read(&file);
    forged.entries.truncate(8);
    forged.write(&file);

    let blind = quotagate(&["verify", "--journal-only", "--data", path(folder.path())]);
    let shown = quotagate(&["verify", "--journal-only", "--data", path(folder.path()), "--anchor", &kept]);
    let nonsense = quotagate(&["verify", "--data", path(folder.path()), "--anchor", "10"]);

    assert_eq!(blind.status.code(), Some(0));
    let said = text(&shown.stdout);
    assert_eq!(shown.status.code(), Some(1), "{said}");
    assert!(said.contains("after change 8: the anchor is change 10, the journal ends at 8"), "{said}");
    assert!(said.contains("anchor    change 10 is not there: the journal ends before it\n"), "{said}");
    assert_eq!(nonsense.status.code(), Some(2));
    assert!(text(&nonsense.stderr).contains("the 64 digits of its hash"));
}

#[test]
fn an_export_goes_beside_the_process_that_serves_and_leaves_out_a_torn_tail() {
    let folder = ten();
    let (_store, _) = open(folder.path());
    let mut file = std::fs::File::options().append(true).open(segment(folder.path(), 1)).unwrap();
    file.write_all(b"\xF7QGGRP\r\n\0\0\x10\0\0\0\0\x01half").unwrap();
    let out = folder.path().join("audit.jsonl");

    let written = export(folder.path(), &["--out", path(&out)]);
    let again = export(folder.path(), &["--out", path(&out)]);
    let later = export(folder.path(), &["--from", "11"]);
    let backwards = export(folder.path(), &["--from", "5", "--to", "4"]);

    assert_eq!(written.status.code(), Some(0), "{}", text(&written.stderr));
    assert!(text(&written.stderr).starts_with("exported changes 1 to 10; keep this elsewhere: 10:"));
    assert_eq!(std::fs::read_to_string(&out).unwrap().lines().count(), 10);
    assert_eq!((again.status.code(), backwards.status.code()), (Some(2), Some(2)));
    assert!(text(&again.stderr).contains("exists"));
    assert_eq!((later.status.code(), text(&later.stdout).as_str()), (Some(0), ""));
    assert_eq!(text(&later.stderr), "there is no change from 11 on\n");
    let nowhere = export(&folder.path().join("mistyped"), &[]);
    assert!(nowhere.status.code() == Some(2) && text(&nowhere.stderr).contains("there is no store in"));
}

#[test]
fn the_last_changes_are_told_a_line_each() {
    let folder = filled();
    let tail = |more: &[&str]| {
        let output = quotagate(&[&["audit", "tail", "--data", path(folder.path())], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    };

    let [usual, two, all, none] = [&[][..], &["-n", "2"], &["-n", "1000"], &["-n", "0"]].map(tail);

    assert_eq!((usual.lines().count(), all.lines().count(), none.as_str()), (20, 100, ""));
    let fields: Vec<Vec<&str>> = two.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(fields[0], ["1970-01-01T00:00:01.000Z", "99", "operator:alice", "account.put", "account:a98", "-"]);
    assert_eq!((fields.len(), fields[1][1]), (2, "100"));
}

#[test]
fn a_tail_follows_over_the_end_of_a_segment() {
    let folder = ten();
    let mut child = Command::new(env!("CARGO_BIN_EXE_quotagate"))
        .args(["audit", "tail", "-n", "1", "--follow", "--data", path(folder.path())])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (told, lines) = mpsc::channel();
    let reader = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || reader.lines().map_while(Result::ok).for_each(|line| _ = told.send(line)));
    let next = || lines.recv_timeout(Duration::from_secs(30)).unwrap();

    let first = next();
    let (store, _) = open(folder.path());
    for n in 11..=100 {
        store.must(put(&format!("a{n}"), json!({"pad": "x".repeat(300)})));
    }
    let later: Vec<String> = (0..90).map(|_| next()).collect();

    assert!(first.contains("account:a10 "), "{first}");
    assert!(later[0].contains("account:a11 ") && later[89].contains("account:a100 "), "{later:?}");
    assert!(segment(folder.path(), 2).exists(), "the test is about several segments");
    child.kill().unwrap();
    child.wait().unwrap();
}
