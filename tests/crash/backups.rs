//! Backups of a server at work: decisions and changes go on, and what comes back is whole.

use crate::server::{Call, Client, Server, verify};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const SEGMENTS: (&str, &str) = ("QUOTAGATE_SEGMENT_BYTES", "20000");
/// Bounds of the load.
const MOST_ACCOUNTS: u64 = 3_000;
const MOST_DECISIONS: u64 = 200_000;

fn quotagate(arguments: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quotagate")).args(arguments).env_remove("QUOTAGATE_DATA").output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn used(client: &Client) -> u64 {
    let body = json!({"account": "busy", "resource": "plain", "dry_run": true});
    client.post("/v1/decisions", body).unwrap().json["limits"][0]["used"].as_u64().unwrap()
}

/// Works until it is told to stop: accounts are made, and one account decides.
struct Load {
    made: Mutex<Vec<String>>,
    decided: AtomicU64,
    stop: AtomicBool,
}

impl Load {
    fn make(&self, client: &Client, writer: u64) {
        for n in 0..MOST_ACCOUNTS {
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            let id = format!("w{writer}-{n}");
            assert_eq!(client.post("/v1/accounts", json!({"id": id})).unwrap().status, 201);
            self.made.lock().unwrap().push(id);
        }
    }

    fn decide(&self, client: &Client) {
        for _ in 0..MOST_DECISIONS {
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            let reply = client.post("/v1/decisions", json!({"account": "busy", "resource": "plain"})).unwrap();
            assert_eq!(reply.json["decision"], "allow", "{}", reply.json);
            self.decided.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn until(&self, accounts: usize) {
        while self.made.lock().unwrap().len() < accounts {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }
}

/// What was promised before a backup began, and what was done by its end.
struct Taken {
    file: PathBuf,
    before: (Vec<String>, u64),
    after: u64,
}

fn restored(folder: &Path, Taken { file, before: (made, decided), after }: &Taken) {
    let target = folder.join("data");
    let output = quotagate(&[Path::new("restore"), file, Path::new("--data"), &target]);
    assert!(output.status.success(), "{}", said(&output));
    verify(folder, "restored");
    std::fs::copy(folder.parent().unwrap().join("key"), folder.join("key")).unwrap();
    let server = Server::start(folder, &[SEGMENTS]);
    let client = server.client();
    for id in made {
        assert_eq!(client.get(&format!("/v1/accounts/{id}")).unwrap().status, 200, "{id} was there before");
    }
    let used = used(&client);
    // Usage is written behind by the flush interval, and goes on while it is copied.
    assert!(used > 0 && used <= *after, "{used} of {decided} to {after}");
}

#[test]
fn backups_of_a_server_at_work_are_whole_and_hold_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), &[SEGMENTS]);
    let load = Load { made: Mutex::default(), decided: AtomicU64::new(0), stop: AtomicBool::new(false) };

    let taken: Vec<Taken> = std::thread::scope(|scope| {
        for writer in 0..2 {
            let (load, client) = (&load, server.client());
            scope.spawn(move || load.make(&client, writer));
        }
        let (deciding, client) = (&load, server.client());
        scope.spawn(move || deciding.decide(&client));
        let client = server.client();
        let before = || (load.made.lock().unwrap().clone(), load.decided.load(Ordering::SeqCst));
        let mut taken = Vec::new();

        for round in 1..=2 {
            load.until(100 * round);
            let before = before();
            let reply = client.post("/v1/backups", Value::Null).unwrap();
            assert_eq!(reply.status, 200, "{}", reply.json);
            let after = load.decided.load(Ordering::SeqCst) + 1;
            taken.push(Taken { file: reply.json["file"].as_str().unwrap().into(), before, after });
        }
        let (before, out) = (before(), folder.path().join("by-command"));
        let output = quotagate(&[Path::new("backup"), Path::new("--data"), &folder.path().join("data"), &out]);
        assert!(output.status.success(), "{}", said(&output));
        assert!(
            said(&output).contains("asking the server that holds") && said(&output).contains("not in it: the history")
        );
        taken.push(Taken { file: out, before, after: load.decided.load(Ordering::SeqCst) + 1 });
        load.stop.store(true, Ordering::SeqCst);
        taken
    });

    let listed = server.client().read("/v1/backups");
    assert_eq!(listed["items"].as_array().unwrap().len(), 2, "the command took its own away: {listed}");
    let log = server.client().read("/v1/audit?action=backup.create");
    assert_eq!(log["items"].as_array().unwrap().len(), 3, "{log}");
    assert!(server.stop(), "{}", server.log());
    verify(folder.path(), "the source");
    for (number, taken) in taken.iter().enumerate() {
        let target = folder.path().join(format!("restored{number}"));
        std::fs::create_dir(&target).unwrap();
        restored(&target, taken);
    }
}

#[test]
fn a_damaged_segment_is_told_by_readiness_and_by_a_backup_while_all_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), &[SEGMENTS]);
    let client = server.client();
    let make = |client: &Client, id: &str| client.post("/v1/accounts", json!({"id": id})).unwrap().status;
    for n in 0..60 {
        assert_eq!(make(&client, &format!("a{n}")), 201);
    }
    assert!(server.stop());
    let segment = folder.path().join("data/journal/0000000001.log");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[5_000] ^= 1;
    std::fs::write(&segment, bytes).unwrap();

    // The present state is whole, so nothing keeps it from starting.
    let server = Server::start(folder.path(), &[SEGMENTS]);
    let client = server.client();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let warned = loop {
        let ready = client.read("/readyz");
        if ready["warnings"] != json!([]) {
            break ready;
        }
        assert!(std::time::Instant::now() < until, "{ready}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    };

    assert_eq!(warned["ready"], true);
    assert!(warned["warnings"][0].as_str().unwrap().starts_with("journal segment 1 is damaged at byte"), "{warned}");
    let metrics = client.get("/metrics").unwrap().text;
    assert!(metrics.contains("quotagate_journal_reread_sound 0"), "{metrics}");
    let refused = client.post("/v1/backups", Value::Null).unwrap();
    assert_eq!((refused.status, &refused.json["code"]), (500, &json!("journal_damaged")), "{}", refused.json);
    assert!(refused.json["detail"].as_str().unwrap().contains("segment 1 is damaged at byte"), "{}", refused.json);
    let output =
        quotagate(&[Path::new("backup"), Path::new("--data"), &folder.path().join("data"), &folder.path().join("out")]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("segment 1 is damaged at byte") && !folder.path().join("out").exists());
    assert_eq!(client.read("/v1/backups"), json!({"items": []}));
    assert_eq!(make(&client, "after"), 201);
    assert_eq!(client.post("/v1/decisions", json!({"account": "a1", "resource": "plain"})).unwrap().status, 200);
    assert_eq!(server.log().matches("a closed journal segment is damaged").count(), 1, "{}", server.log());
}

#[test]
fn a_backup_under_one_key_is_made_once_and_a_check_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let client = server.client();
    let once = Call {
        method: "POST",
        path: "/v1/backups".to_owned(),
        idempotency_key: Some("nightly".to_owned()),
        ..Call::default()
    };

    let checked = client.post("/v1/backups?validate_only=true", Value::Null).unwrap();
    let none = client.read("/v1/backups");
    let (first, again) = (client.send(&once).unwrap(), client.send(&once).unwrap());

    assert_eq!((checked.status, checked.json.get("holds")), (200, None), "{}", checked.json);
    assert_eq!(none, json!({"items": []}));
    assert_eq!((first.status, again.status, again.replayed), (200, 200, true), "{}", first.json);
    assert_eq!(first.json, again.json);
    let listed = client.read("/v1/backups");
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(listed["items"][0]["name"], first.json["name"]);
    assert_eq!(listed["items"][0]["last_change"], first.json["holds"]["last_change"]);
    let entry = &client.read("/v1/audit?action=backup.create")["items"][0];
    assert_eq!(entry["detail"]["sha256"], first.json["holds"]["sha256"], "{entry}");
    let file = PathBuf::from(first.json["file"].as_str().unwrap());
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o077, 0, "for its owner alone");

    // A full folder refuses, and removes nothing.
    for n in 0..15 {
        std::fs::copy(&file, file.with_file_name(format!("quotagate-20200101T000000Z-{n}.backup"))).unwrap();
    }
    let full = client.post("/v1/backups", Value::Null).unwrap();
    assert_eq!((full.status, &full.json["code"]), (409, &json!("too_many_backups")), "{}", full.json);
    assert_eq!(client.read("/v1/backups")["items"].as_array().unwrap().len(), 16);
}
