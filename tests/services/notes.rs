//! Sessions that an older version kept in the journal.

use quotagate::services::boot;
use quotagate::store::embedded::{EmbeddedStore, Options};
use quotagate::store::{ActorKind, AdminStore, Audit, Changeset, Key, Origin, Table, Write};
use serde_json::json;
use std::path::Path;

fn open(folder: &Path) -> EmbeddedStore {
    EmbeddedStore::open(folder, Options { reserve_bytes: 0, ballast_bytes: 0, ..Options::default() }).unwrap().0
}

fn login() -> Audit {
    Audit {
        actor: "alice".to_owned(),
        actor_kind: ActorKind::Operator,
        action: "session.open".to_owned(),
        subject: vec!["operator:alice".to_owned()],
        origin: Origin::default(),
        detail: json!({}),
    }
}

#[test]
fn they_become_notes_once_and_do_not_come_back_where_the_notes_are_lost() {
    let folder = tempfile::tempdir().unwrap();
    let row = Key::build().text("alice").text("ses_1").finish();
    let store = open(folder.path());
    let session = json!({"hash": "00".repeat(32), "created_at_ms": 1, "ends_at_ms": i64::MAX});
    let old = Changeset {
        at_ms: 1_000,
        expects: Vec::new(),
        writes: vec![Write::put(Table::Sessions, row.clone(), session)],
        audit: login(),
        idempotency: None,
        accepted_clock: None,
    };
    store.commit(old).wait().unwrap();
    let sessions = |store: &dyn AdminStore| store.notes(Table::Sessions, &Key::empty()).unwrap().len();

    boot::keyring(&store, 2_000).unwrap();
    assert_eq!(sessions(&store), 1);
    assert_eq!(store.get(Table::Sessions, &row).unwrap(), None, "it is kept in one place");
    // It is ended, and then all notes are lost.
    store.note(&[Write::delete(Table::Sessions, row)]).unwrap();
    drop(store);
    std::fs::remove_dir_all(folder.path().join("notes")).unwrap();
    let store = open(folder.path());
    boot::keyring(&store, 3_000).unwrap();

    assert_eq!(sessions(&store), 0);
}
