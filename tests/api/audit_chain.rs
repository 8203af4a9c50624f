//! The chain of the audit log: its head as an anchor, and what a verification of the running server finds.

use crate::control::Control;
use crate::forge::Forged;
use crate::support::Reply;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::mpsc;

const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A server with a few changes, the last of which is number 6.
fn six() -> Control {
    let server = Control::start();
    for id in ["one", "two", "three", "four"] {
        server.create(id);
    }
    server
}

impl Control {
    fn segment(&self) -> PathBuf {
        self.0.data().join("journal/0000000001.log")
    }

    fn head(&self) -> Value {
        self.get("/v1/audit/head").is(200).json
    }

    fn verify(&self) -> Value {
        self.0.send("POST", "/v1/audit/verify", &[], "").is(200).json
    }

    fn verify_against(&self, anchor: &Value) -> Value {
        self.post("/v1/audit/verify", anchor.clone()).is(200).json
    }

    fn forge(&self, harm: impl FnOnce(&mut Forged)) {
        let mut forged = Forged::read(&self.segment());
        harm(&mut forged);
        forged.write(&self.segment());
    }

    /// Kills it, rewrites the journal, takes away what was derived from it, and starts it again.
    fn after_forging(mut self, harm: impl FnOnce(&mut Forged)) -> Self {
        self.0.signal(rustix::process::Signal::KILL);
        self.0.ended();
        self.forge(harm);
        std::fs::remove_dir_all(self.0.data().join("control")).unwrap();
        std::fs::remove_file(self.0.data().join("RUN")).unwrap();
        Self(crate::support::Server::on_the_folder_of(&self.0))
    }
}

fn anchor(head: &Value) -> Value {
    json!({"seq": head["seq"], "hash": head["hash"]})
}

#[test]
fn the_head_is_the_last_change_also_after_a_kill() {
    let server = six();

    let head = server.head();

    let newest = server.get("/v1/audit?page_size=1").is(200).json["items"][0].clone();
    assert_eq!(head, json!({"seq": 6, "at": newest["at"], "hash": newest["hash"]}));
    let server = server.after_kill();
    assert_eq!(server.head(), head);
    server.create("six");
    assert_eq!(server.head()["seq"], 7);
    assert_ne!(server.head()["hash"], head["hash"]);
}

#[test]
fn a_sound_log_holds_every_anchor_that_was_kept() {
    let server = Control::start();
    let early = server.head();
    server.create("acme");
    let late = server.head();

    let plain = server.verify();
    let [held, at_the_end] = [&early, &late].map(|head| server.verify_against(&anchor(head)));

    let bytes = std::fs::metadata(server.0.data().join("journal/0000000001.log")).unwrap().len();
    let end = json!({"segment": 1, "offset": bytes});
    let head = anchor(&late);
    let sound = json!({"sound": true, "entries": 3, "head": head, "segments": 1, "end": end, "findings": []});
    assert_eq!(plain, sound);
    for (found, head) in [(held, early), (at_the_end, late)] {
        let shown = json!({"seq": head["seq"], "hash": head["hash"], "found": "held"});
        assert_eq!((&found["sound"], &found["anchor"]), (&json!(true), &shown));
    }
}

#[test]
fn an_anchor_that_the_log_has_not_is_told() {
    let server = six();
    let head = server.head();

    let other = server.verify_against(&json!({"seq": 3, "hash": ZEROS}));
    let beyond = server.verify_against(&json!({"seq": 7, "hash": ZEROS}));

    assert_eq!((&other["sound"], &other["anchor"]["found"]), (&json!(false), &json!("differs")));
    assert_eq!(other["anchor"]["found_hash"].as_str().map(str::len), Some(64));
    assert_eq!((&other["findings"][0]["segment"], &other["findings"][0]["seq"]), (&json!(1), &json!(3)));
    assert_eq!((&beyond["sound"], &beyond["anchor"]["found"]), (&json!(false), &json!("beyond_end")));
    assert!(beyond["findings"][0]["what"].as_str().unwrap().contains("the journal ends at 6"), "{beyond}");
    assert_eq!(beyond["head"], anchor(&head));
}

#[test]
fn half_an_anchor_is_none() {
    let server = Control::start();
    let ask = |body: Value| server.post("/v1/audit/verify", body);

    assert_eq!(ask(json!({"seq": 1})).problem(422, "invalid_request"), "/hash");
    assert_eq!(ask(json!({"hash": ZEROS})).problem(422, "invalid_request"), "/seq");
    assert_eq!(ask(json!({"seq": 1, "hash": "abc"})).problem(422, "invalid_request"), "/hash");
    assert_eq!(ask(json!({"seq": -1, "hash": ZEROS})).problem(422, "invalid_request"), "/seq");
    ask(json!(null)).refused(422, "invalid_request");
    server.0.send("POST", "/v1/audit/verify", &[], "{}").refused(415, "unsupported_media_type");
    server.0.send("POST", "/v1/audit/verify", &[crate::control::JSON], "").refused(400, "invalid_json");
    server.verify();
}

#[test]
fn what_was_done_to_the_log_is_pinpointed_while_the_server_runs() {
    type Harm = fn(&mut Vec<u8>);
    let flip: Harm = |bytes| bytes[700] ^= 1;
    let cut: Harm = |bytes| bytes.truncate(bytes.len() - 9);
    for (what, harm) in [("flipped", flip), ("cut", cut)] {
        let server = six();
        let mut bytes = std::fs::read(server.segment()).unwrap();
        let len = bytes.len() as u64;
        harm(&mut bytes);
        std::fs::write(server.segment(), bytes).unwrap();

        let found = server.verify();

        let finding = &found["findings"][0];
        assert_eq!((&found["sound"], &finding["segment"]), (&json!(false), &json!(1)), "{what}: {found}");
        assert!(finding["offset"].as_u64().is_some_and(|offset| offset >= 64 && offset < len), "{what}: {found}");
        assert!(finding["advice"].as_str().unwrap().contains("quotagate restore"), "{what}");
        let expected = if what == "cut" { json!(6) } else { json!(1) };
        assert_eq!(finding["seq"], expected, "{what}: {found}");
        assert_eq!(server.decide("one", "MiniMax-M2", 1)["decision"], "allow", "it goes on");
        assert!(server.0.log().contains("the audit log is not sound"), "{}", server.0.log());
    }
    for (what, harm, seq) in [
        ("left out", (|forged| drop(forged.entries.remove(3))) as fn(&mut Forged), 4),
        ("exchanged", |forged| forged.entries.swap(3, 4), 4),
        ("the last one cut off", |forged| forged.entries.truncate(5), 6),
        ("rewritten with its chain", |forged| forged.rewrite(5, "account:three", "account:drei!"), 7),
    ] {
        let server = six();
        server.forge(harm);

        let found = server.verify();

        assert_eq!((&found["sound"], &found["findings"][0]["seq"]), (&json!(false), &json!(seq)), "{what}: {found}");
    }
}

#[test]
fn after_a_restart_only_an_anchor_shows_a_suffix_that_was_rewritten() {
    let server = six();
    let kept = server.head();
    let server = server.after_forging(|forged| forged.rewrite(5, "account:three", "account:drei!"));

    let blind = server.verify();
    let shown = server.verify_against(&anchor(&kept));

    assert_eq!((&blind["sound"], &blind["entries"]), (&json!(true), &json!(6)));
    assert_eq!((&shown["sound"], &shown["anchor"]["found"]), (&json!(false), &json!("differs")));
    assert_eq!(shown["anchor"]["found_hash"], server.head()["hash"]);
    let server = server.after_forging(|forged| forged.entries.truncate(5));
    assert_eq!(server.verify()["sound"], true);
    assert_eq!(server.verify_against(&anchor(&kept))["anchor"]["found"], "beyond_end");
}

#[test]
fn one_verification_runs_at_a_time() {
    let server = six();
    // Whoever opens it waits for somebody who writes.
    std::fs::rename(server.segment(), server.0.data().join("aside")).unwrap();
    mknodat(CWD, server.segment(), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let (answered, answers) = mpsc::channel::<Reply>();

    std::thread::scope(|scope| {
        for _ in 0..2 {
            let answered = answered.clone();
            let server = &server;
            scope.spawn(move || answered.send(server.0.send("POST", "/v1/audit/verify", &[], "")).unwrap());
        }
        let busy = answers.recv().unwrap().refused(503, "busy");
        assert_eq!(busy.header("retry-after"), "1");
        drop(std::fs::File::options().write(true).open(server.segment()).unwrap());
        assert_eq!(answers.recv().unwrap().is(200).json["sound"], false);
    });

    std::fs::rename(server.0.data().join("aside"), server.segment()).unwrap();
    assert_eq!(server.verify()["sound"], true);
}
