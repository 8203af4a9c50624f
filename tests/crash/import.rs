//! An import that is killed again and again comes to what one that is left alone comes to.

use crate::server::{Server, verify};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const ACCOUNTS: u64 = 3_000;
const PAYMENTS: u64 = 6_000;
/// Every so many lines one is bad.
const BAD_EVERY: u64 = 500;
const PATIENCE: Duration = Duration::from_secs(120);
const POLICY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/crash/policy.yaml");

fn accounts() -> String {
    (0..ACCOUNTS).fold(String::new(), |mut text, n| {
        match n % 7 {
            3 => writeln!(text, "{{\"id\": \"a{n}\", \"parent\": \"a{}\"}}", n / 7 * 7).unwrap(),
            _ => writeln!(text, "{{\"id\": \"a{n}\", \"created_at\": \"2025-01-31T08:00:00Z\"}}").unwrap(),
        }
        text
    })
}

fn payments() -> String {
    (0..PAYMENTS).fold(String::new(), |mut text, n| {
        if n % BAD_EVERY == 99 {
            writeln!(text, "line {n} is bad").unwrap();
        }
        let payment = n / 2;
        // Some refunds come before their top-ups.
        let kind = if n % 2 == u64::from(payment % 3 == 0) { "top_up" } else { "refund" };
        let event = json!({
            "account": format!("a{}", payment % 300 * 7), "kind": kind, "event_id": format!("e{payment}-{kind}"),
            "payment_id": format!("p{payment}"), "amount": 1_000 + payment % 17, "currency": "CNY",
            "occurred_at": "2026-01-31T08:00:00Z",
        });
        writeln!(text, "{event}").unwrap();
        text
    })
}

fn import(folder: &Path, what: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quotagate"));
    command.args(["import", what]).arg(folder.join(what)).arg("--data").arg(folder.join("data"));
    command.arg("--bad").arg(folder.join(format!("{what}.bad")));
    if what == "accounts" {
        command.args(["--policy", POLICY]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// None: it was killed.
fn killed_after(mut child: Child, patience: Duration) -> Option<ExitStatus> {
    let until = Instant::now() + patience;
    while Instant::now() < until {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

/// A folder with everything in it, after so many kills.
fn filled(random: &mut SmallRng, shortest: Duration) -> (tempfile::TempDir, u32) {
    let folder = tempfile::tempdir().unwrap();
    let mut kills = 0;
    for (what, content, code) in [("accounts", accounts(), 0), ("payments", payments(), 1)] {
        std::fs::write(folder.path().join(what), content).unwrap();
        let begun = Instant::now();
        let mut longest = shortest;
        loop {
            assert!(begun.elapsed() < PATIENCE, "it never ends");
            let patience = longest.mul_f64(random.random_range(0.2..1.0));
            match killed_after(import(folder.path(), what), patience) {
                Some(status) => {
                    assert_eq!(status.code(), Some(code), "{what}");
                    break;
                }
                None => kills += 1,
            }
            // A debug build takes longer to begin than a release build to end.
            longest = longest.mul_f64(1.15);
        }
    }
    (folder, kills)
}

/// What a server says of the folder: the ledgers, what each tier takes, the digest; without times of recording.
fn answers(folder: &Path) -> (Vec<Value>, Value) {
    let mut server = Server::start(folder, &[]);
    let client = server.client();
    let mut accounts = Vec::new();
    for n in (0..300).step_by(5) {
        let mut ledger = client.list(&format!("/v1/accounts/a{}/ledger", n * 7));
        for entry in &mut ledger {
            entry.as_object_mut().unwrap().retain(|name, _| name != "recorded_at" && name != "etag");
        }
        let eligibility = client.read(&format!("/v1/accounts/a{}/tier-eligibility", n * 7));
        accounts.push(json!({"ledger": ledger, "eligibility": eligibility}));
    }
    let digest = client.read("/v1/ledger/digest?from=2020-01-01T00:00:00Z&to=2030-01-01T00:00:00Z");
    assert!(server.stop());
    (accounts, digest)
}

#[test]
fn an_import_that_is_killed_comes_to_the_same() {
    let mut random = SmallRng::seed_from_u64(1);
    let (whole, _) = filled(&mut random, PATIENCE * 5);
    let (killed, kills) = filled(&mut random, Duration::from_millis(150));
    println!("{kills} kills");
    assert!(kills >= 3, "only {kills} kills");

    for what in ["accounts", "payments"] {
        let report = |folder: &Path| std::fs::read_to_string(folder.join(format!("{what}.bad"))).unwrap();
        assert_eq!(report(killed.path()), report(whole.path()));
    }
    verify(killed.path(), "after the kills");
    let (of_whole, of_killed) = (answers(whole.path()), answers(killed.path()));
    assert_eq!(of_killed.1["count"], PAYMENTS);
    assert_eq!(of_killed, of_whole);
}
