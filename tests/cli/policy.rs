use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const VALID: &str = "schema: quotagate.policy/v1\nname: small\ntiers: [{id: free}, {id: paid}]\ndefault_tier: free\ngroups:\n  - id: text\n    resources: [m]\n    limits:\n      - {id: rpm, unit: requests, window: 1m, quotas: {free: 20, paid: 500}}\n";

fn quotagate(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quotagate")).args(args).stdin(Stdio::null()).output().unwrap()
}

fn shipped(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("policies").join(name).display().to_string()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path: PathBuf = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    }
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_shipped_policies_are_valid_and_the_warnings_are_told() {
    let output = quotagate(&["policy", "validate", &shipped("minimax.yaml"), &shipped("ladder.yaml")]);

    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert_eq!(out(&output).lines().count(), 2);
    assert!(out(&output).contains("minimax.yaml: valid: 2 tiers, 7 groups, 10 limits, 6 warnings, sha256 "));
    assert!(
        out(&output).contains("ladder.yaml: valid: 5 tiers, 4 groups, 11 limits, 0 warnings, sha256 "),
        "{}",
        out(&output)
    );
    assert_eq!(err(&output).lines().filter(|line| line.contains(": warning: groups[")).count(), 6);
}

#[test]
fn warnings_fail_only_under_strict() {
    let strict = quotagate(&["policy", "validate", "--strict", &shipped("minimax.yaml")]);
    let clean = quotagate(&["policy", "validate", "--strict", &shipped("ladder.yaml")]);

    assert_eq!(strict.status.code(), Some(1));
    assert_eq!(clean.status.code(), Some(0));
}

#[test]
fn errors_are_printed_with_file_line_column_and_path() {
    let folder = Folder::new();
    let file = folder
        .write("bad.yaml", VALID.replace("paid: 500", "paid: 0").replace("default_tier: free", "default_tier: fre"));

    let output = quotagate(&["policy", "validate", &file]);

    assert_eq!(output.status.code(), Some(1));
    let text = err(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines, [
        format!("{file}:4:15: error: default_tier: there is no tier `fre`: did you mean `free`?").as_str(),
        format!("{file}:9:72: error: groups[0].limits[0].quotas.paid: `0` is out of range: expected an integer from 1 to 10^15, `unlimited` or `blocked`").as_str(),
        "quotagate: 1 of 1 policies refused",
    ]);
    assert_eq!(out(&output), "");
}

#[test]
fn a_file_that_cannot_be_read_is_exit_2_and_the_others_are_still_checked() {
    let folder = Folder::new();
    let (good, latin) = (folder.write("good.yaml", VALID), folder.write("latin.yaml", b"name: caf\xe9\n"));

    let missing = quotagate(&["policy", "validate", "/nonexistent.yaml", &latin, &good]);
    let directory = quotagate(&["policy", "validate", &folder.0.path().display().to_string()]);

    assert_eq!(missing.status.code(), Some(2));
    assert!(err(&missing).contains("cannot read `/nonexistent.yaml`: "), "{}", err(&missing));
    assert!(err(&missing).contains("is not UTF-8 text: a wrong byte at offset 9"));
    assert!(out(&missing).contains("good.yaml: valid: "));
    assert_eq!(directory.status.code(), Some(2));
}

#[test]
fn wrong_usage_is_exit_2() {
    for args in
        [&["policy", "validate"][..], &["policy", "vaildate"], &["policy", "show", "x", "--lang", "fr"], &["nope"], &[]]
    {
        assert_eq!(quotagate(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn every_help_teaches_with_an_example() {
    for args in [
        &["--help"][..],
        &["policy", "validate", "--help"],
        &["policy", "show", "--help"],
        &["policy", "diff", "--help"],
    ] {
        let output = quotagate(args);

        assert_eq!(output.status.code(), Some(0));
        assert!(out(&output).contains("Example"), "{}", out(&output));
        assert!(out(&output).contains("quotagate policy "));
    }
}

#[test]
fn the_json_report_is_for_programs() {
    let folder = Folder::new();
    let bad = folder.write("bad.yaml", VALID.replace("unit:", "unt:"));

    let output = quotagate(&["policy", "validate", "--format", "json", &bad, &shipped("minimax.yaml")]);

    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report[0]["valid"], false);
    assert_eq!(report[0]["errors"][0]["path"], "groups[0].limits[0].unit");
    assert_eq!(report[0]["errors"][0]["line"], 9);
    assert_eq!(report[0]["errors"][0]["code"], "missing_field");
    assert_eq!(report[0]["errors"][1]["code"], "unknown_field");
    assert_eq!(report[1]["valid"], true);
    assert_eq!(report[1]["warnings"].as_array().map(Vec::len), Some(6));
}

#[test]
fn standard_input_is_a_dash() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_quotagate"))
        .args(["policy", "validate", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(VALID.as_bytes()).unwrap();

    let output = child.wait_with_output().unwrap();

    assert_eq!(output.status.code(), Some(0));
    assert!(out(&output).starts_with("-: valid: "));
}

#[test]
fn a_document_of_five_mebibytes_is_refused_not_read() {
    let folder = Folder::new();
    let file = folder.write("big.yaml", format!("# {}\n{VALID}", "é".repeat(5 * 1024 * 1024 / 2)));

    let output = quotagate(&["policy", "validate", &file]);

    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("big.yaml: error: the document has more than 4194304 bytes"), "{}", err(&output));
}

#[test]
fn the_page_is_drawn_in_three_ways_and_two_languages() {
    let file = shipped("minimax.yaml");

    let table = quotagate(&["policy", "show", &file]);
    let markdown = quotagate(&["policy", "show", &file, "--format", "md", "--lang", "zh"]);
    let json = quotagate(&["policy", "show", &file, "--format", "json", "--lang", "zh"]);

    assert!(out(&table).contains("Topped up (paid)"), "{}", out(&table));
    assert!(out(&table).contains("20,000,000 / 1m"));
    assert!(out(&markdown).contains("| 每分钟请求数 (`rpm`) | 请求数 | 20 / 1m | 500 / 1m | 滑动窗口 |"));
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["groups"][0]["limits"][1]["quotas"]["paid"], 20_000_000);
}

#[test]
fn a_policy_with_errors_is_not_shown() {
    let folder = Folder::new();
    let file = folder.write("bad.yaml", VALID.replace("name: small\n", ""));

    let output = quotagate(&["policy", "show", &file]);

    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("bad.yaml:1:1: error: name: the field `name` is missing"), "{}", err(&output));
}

#[test]
fn a_diff_names_what_drops_usage() {
    let folder = Folder::new();
    let (a, b) =
        (folder.write("a.yaml", VALID), folder.write("b.yaml", VALID.replace("1m", "1h").replace("500", "600")));

    let changed = quotagate(&["policy", "diff", &a, &b]);
    let same = quotagate(&["policy", "diff", &a, &a]);

    assert_eq!(changed.status.code(), Some(0));
    assert_eq!(
        out(&changed),
        "limit `text/rpm`: window 1m -> 1h (usage so far is dropped)\nlimit `text/rpm`: quota of `paid` 500 -> 600\n"
    );
    assert_eq!(out(&same), "no difference\n");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_quotagate"))
        .args(["policy", "show", &shipped("ladder.yaml"), "--format", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());

    let output = child.wait_with_output().unwrap();

    assert_eq!(output.status.code(), Some(0));
    assert_eq!(err(&output), "");
}
