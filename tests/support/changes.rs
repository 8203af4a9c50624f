//! Short ways to write changes, shared by the tests of the store.

#![allow(dead_code, reason = "each test binary uses its own part")]

use quotagate::store::embedded::{EmbeddedStore, Options, StartReport};
use quotagate::store::{
    ActorKind, Audit, Changeset, Committed, Expect, Idempotency, Key, Origin, StoreError, Table, Write,
};
use serde_json::{Value, json};
use std::path::Path;

/// A folder in memory where there is such a place: these tests make hundreds of stores and ask nothing of the disk.
pub fn memory_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub fn audit(action: &str, subject: &[&str]) -> Audit {
    Audit {
        actor: "alice".to_owned(),
        actor_kind: ActorKind::Operator,
        action: action.to_owned(),
        subject: subject.iter().map(|subject| (*subject).to_owned()).collect(),
        origin: Origin { address: Some("192.0.2.1".to_owned()), request_id: None },
        detail: json!({"why": "test"}),
    }
}

/// A change of one account.
pub fn put(name: &str, value: Value) -> Changeset {
    Changeset {
        at_ms: 1_000,
        expects: Vec::new(),
        writes: vec![Write::put(Table::Accounts, Key::text(name), value)],
        audit: audit("account.put", &[&format!("account:{name}")]),
        idempotency: None,
        accepted_clock: None,
    }
}

pub fn expecting_absent(mut change: Changeset, name: &str) -> Changeset {
    change.expects.push(Expect::Absent { table: Table::Accounts, key: Key::text(name) });
    change
}

pub fn expecting(mut change: Changeset, name: &str, revision: u64) -> Changeset {
    change.expects.push(Expect::Revision { table: Table::Accounts, key: Key::text(name), revision });
    change
}

pub fn once(mut change: Changeset, key: &str, body: u8, response: Value, expires_at_ms: i64) -> Changeset {
    change.idempotency =
        Some(Idempotency { key: key.as_bytes().to_vec(), fingerprint: [body; 32], response, expires_at_ms });
    change
}

/// Small enough for tests to fill several segments, without a claim on the disk.
pub fn small() -> Options {
    Options {
        segment_bytes: 16 * 1024,
        reserve_bytes: 0,
        ballast_bytes: 0,
        control_cache_bytes: 16 * 1024 * 1024,
        counter_cache_bytes: 16 * 1024 * 1024,
        ..Options::default()
    }
}

pub fn open(folder: &Path) -> (EmbeddedStore, StartReport) {
    EmbeddedStore::open(folder, small()).unwrap()
}

pub fn refused(folder: &Path) -> StoreError {
    EmbeddedStore::open(folder, small()).err().expect("the store must not open")
}

pub trait Commits {
    /// Commits and returns what was committed.
    fn must(&self, change: Changeset) -> Committed;
}

impl<S: quotagate::store::AdminStore + ?Sized> Commits for S {
    fn must(&self, change: Changeset) -> Committed {
        self.commit(change).wait().unwrap().committed().expect("not a replay")
    }
}
