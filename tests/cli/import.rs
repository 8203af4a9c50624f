//! `quotagate import`: from files, with what is wrong told exactly.

use crate::changes::{memory_folder, open};
use crate::verify::{path, quotagate, text};
use quotagate::store::{AdminStore, Key, Table};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Output;
use tempfile::TempDir;

const POLICY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/policies/minimax.yaml");

/// A folder for files, and the data folder in it.
struct Desk {
    folder: TempDir,
}

impl Desk {
    /// With a policy and the accounts `acme` and `globex`.
    fn new() -> Self {
        let desk = Self { folder: memory_folder() };
        let accounts = desk.file("accounts.jsonl", "{\"id\": \"acme\"}\n{\"id\": \"globex\"}\n");
        let output = desk.import("accounts", &accounts, &["--policy", POLICY]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        desk
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let file = self.at(name);
        std::fs::write(&file, content).unwrap();
        file
    }

    fn import(&self, what: &str, file: &Path, more: &[&str]) -> Output {
        quotagate(&[&["import", what, path(file), "--data", path(&self.data())], more].concat())
    }

    fn seq(&self) -> u64 {
        open(&self.data()).0.health().seq
    }

    fn has(&self, table: Table, id: &str) -> bool {
        open(&self.data()).0.get(table, &Key::text(id)).unwrap().is_some()
    }
}

fn top_up(n: u64) -> String {
    json!({
        "account": "acme", "kind": "top_up", "event_id": format!("e{n}"), "payment_id": format!("p{n}"),
        "amount": 100 + n, "currency": "CNY", "occurred_at": "2026-01-31T08:00:00Z",
    })
    .to_string()
}

/// A row of the table at the end.
#[track_caller]
fn row(output: &Output, name: &str) -> String {
    let said = text(&output.stdout);
    let line = said.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no `{name}` in: {said}{}", text(&output.stderr))).trim().to_owned()
}

#[track_caller]
fn rows(output: &Output, new: &str) -> [String; 4] {
    ["lines", new, "already there", "bad"].map(|name| row(output, name))
}

#[test]
fn its_help_teaches() {
    let help = text(&quotagate(&["import", "--help"]).stdout);

    for part in ["accounts.jsonl --policy", "--check", "--bad", "created_at", "suspension", "occurred_at", "Exit code"]
    {
        assert!(help.contains(part), "{part}: {help}");
    }
    assert!(text(&quotagate(&["--help"]).stdout).contains("import"));
}

#[test]
fn the_same_file_again_changes_nothing() {
    let desk = Desk::new();
    let payments = desk.file("payments.jsonl", (0..300).map(|n| top_up(n) + "\n").collect::<String>());

    let first = desk.import("payments", &payments, &[]);
    let before = desk.seq();
    let second = desk.import("payments", &payments, &[]);
    let other_name = desk.file("again.jsonl", format!("\n{}", std::fs::read_to_string(&payments).unwrap()));
    let third = desk.import("payments", &other_name, &[]);

    assert_eq!(rows(&first, "recorded"), ["300", "300", "0", "0"]);
    assert_eq!(rows(&second, "recorded"), ["0", "0", "0", "0"]);
    assert_eq!(row(&second, "by a run before"), "300 lines");
    assert_eq!(rows(&third, "recorded"), ["301", "0", "300", "0"]);
    assert!([&first, &second, &third].iter().all(|output| output.status.code() == Some(0)));
    assert_eq!(desk.seq(), before);
    let verified = quotagate(&["verify", "--data", path(&desk.data())]);
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified.stdout));
}

#[test]
fn a_file_that_grew_is_gone_on_with_and_one_that_changed_is_read_anew() {
    let desk = Desk::new();
    let lines: Vec<String> = (0..10).map(|n| top_up(n) + "\n").collect();
    let payments = desk.file("payments.jsonl", lines[..5].concat());
    desk.import("payments", &payments, &[]);

    desk.file("payments.jsonl", lines[..7].concat());
    let grown = desk.import("payments", &payments, &[]);
    desk.file("payments.jsonl", lines[1..].concat());
    let changed = desk.import("payments", &payments, &[]);

    assert!(text(&grown.stderr).contains("going on behind line 5"), "{}", text(&grown.stderr));
    assert_eq!(rows(&grown, "recorded"), ["2", "2", "0", "0"]);
    assert_eq!(rows(&changed, "recorded"), ["9", "3", "6", "0"]);
}

#[test]
fn every_bad_line_is_told_where_and_why_and_the_others_are_taken_in() {
    let desk = Desk::new();
    let wrong = |change: fn(&mut Value)| {
        let mut line: Value = serde_json::from_str(&top_up(1)).unwrap();
        change(&mut line);
        line.to_string()
    };
    let bad_lines: Vec<(Vec<u8>, &str, &str)> = vec![
        (wrong(|line| line["amount"] = json!(-5)).into(), "invalid_request", "/amount"),
        (wrong(|line| line["amount"] = json!(7)).into(), "event_conflict", "/event_id"),
        (wrong(|line| line["extra"] = json!(7)).into(), "invalid_request", "/extra"),
        (wrong(|line| line["kind"] = json!("gift")).into(), "invalid_request", "/kind"),
        (wrong(|line| line["occurred_at"] = json!("soon")).into(), "invalid_request", "/occurred_at"),
        (wrong(|line| line["account"] = json!("nobody")).into(), "not_found", "/account"),
        (wrong(|line| line["event_id"] = json!("e1b")).into(), "payment_conflict", "/payment_id"),
        (b"\xFF\xFE".into(), "invalid_request", ""),
        (b"[]".into(), "invalid_request", ""),
        (format!("{{\"account\": \"{}\"}}", "x".repeat(200_000)).into(), "invalid_request", ""),
        (b"{\"account\": \"ac".into(), "invalid_json", ""),
    ];
    let mut content = format!("{}\r\n\n  \n{}\n", top_up(1), top_up(2)).into_bytes();
    content.extend(bad_lines.iter().map(|(line, ..)| line.as_slice()).collect::<Vec<_>>().join(&b'\n'));
    let (payments, bad) = (desk.file("payments.jsonl", &content), desk.at("bad.jsonl"));

    let output = desk.import("payments", &payments, &["--bad", path(&bad)]);

    assert_eq!(output.status.code(), Some(1));
    assert_eq!(rows(&output, "recorded"), ["15", "2", "0", "11"]);
    let report = std::fs::read_to_string(&bad).unwrap();
    let told: Vec<Value> = report.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(told.len(), bad_lines.len());
    for (n, ((line, code, pointer), told)) in bad_lines.iter().zip(&told).enumerate() {
        assert_eq!((told["line"].as_u64(), &told["code"]), (Some(n as u64 + 5), &json!(code)), "{told}");
        assert_eq!(told["pointer"], *pointer, "{told}");
        if std::str::from_utf8(line).is_ok() && line.len() < 65_536 {
            assert_eq!(told["text"].as_str().unwrap().as_bytes(), line, "{told}");
        }
        assert!(told["message"].as_str().is_some_and(|message| !message.is_empty()), "{told}");
    }
    let complaints = text(&output.stderr);
    assert!(complaints.contains("line 6: /event_id: ") && complaints.contains("[event_conflict]"), "{complaints}");
    assert!(complaints.contains("11 lines of `") && complaints.len() < 10_000, "{complaints}");
    assert!(desk.has(Table::PaymentEventIds, "e2"));

    let again = desk.import("payments", &payments, &["--bad", path(&bad)]);
    assert_eq!(rows(&again, "recorded"), ["15", "0", "2", "11"]);
    assert_eq!(std::fs::read_to_string(&bad).unwrap(), report);
}

#[test]
fn many_bad_lines_do_not_flood_the_terminal() {
    let desk = Desk::new();
    let payments = desk.file("payments.jsonl", "nonsense\n".repeat(5_000));

    let output = desk.import("payments", &payments, &[]);

    let complaints = text(&output.stderr);
    assert_eq!(complaints.matches("\nline ").count(), 20, "{complaints}");
    assert!(complaints.contains("`--bad FILE` keeps them all"), "{complaints}");
    assert_eq!(row(&output, "bad"), "5,000");
}

#[test]
fn a_check_sees_everything_and_writes_nothing() {
    let desk = Desk::new();
    let lines = [top_up(1), top_up(1), top_up(1).replace("101", "102"), top_up(2)].join("\n");
    let payments = desk.file("payments.jsonl", lines);
    let before = desk.seq();

    let checked = desk.import("payments", &payments, &["--check"]);
    let unwritten = desk.seq() == before && !desk.has(Table::PaymentEventIds, "e1");
    let left = desk.data().join("check").exists();
    let done = desk.import("payments", &payments, &[]);

    assert_eq!(rows(&checked, "would be new"), ["4", "2", "1", "1"]);
    assert_eq!(checked.status.code(), Some(1));
    assert!(unwritten && !left);
    assert_eq!(rows(&done, "recorded"), ["4", "2", "1", "1"]);
}

#[test]
fn what_cannot_be_done_is_told_with_what_to_do() {
    let desk = Desk::new();
    let payments = desk.file("payments.jsonl", top_up(1));
    let complaint = |output: &Output| {
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
        text(&output.stderr)
    };

    let (store, _) = open(&desk.data());
    let locked = complaint(&desk.import("payments", &payments, &[]));
    drop(store);
    let elsewhere = desk.at("elsewhere");
    let mistyped = complaint(&quotagate(&["import", "accounts", path(&payments), "--data", path(&elsewhere)]));
    let missing = complaint(&desk.import("payments", &desk.at("missing.jsonl"), &[]));
    let piped = complaint(&desk.import("payments", Path::new("/dev/null"), &[]));
    let same = complaint(&desk.import("payments", &payments, &["--bad", path(&payments)]));
    drop(open(&elsewhere));
    let bare = complaint(&quotagate(&["import", "payments", path(&payments), "--data", path(&elsewhere)]));

    assert!(locked.contains("stop the server to import into its folder"), "{locked}");
    assert!(mistyped.contains("or begin one with `--policy`"), "{mistyped}");
    assert!(missing.contains("cannot read `"), "{missing}");
    assert!(piped.contains("it is no file"), "{piped}");
    assert!(same.contains("would be overwritten"), "{same}");
    assert!(bare.contains("no policy is active"), "{bare}");
    assert!(!desk.has(Table::PaymentEventIds, "e1"));
}
