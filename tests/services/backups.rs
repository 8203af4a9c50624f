//! Backups into the server's folder: one at a time, told to the audit log, never half there.

use crate::harness::Plane;
use quotagate::services::Error;
use quotagate::services::backups::{Backups, MAX_BACKUPS};
use quotagate::store::StoreError;
use quotagate::store::embedded::BackupReport;
use std::path::Path;

fn report(seq: u64) -> BackupReport {
    let (hash, digest) = ([1; 32], [2; 32]);
    BackupReport { seq, hash, segments: 1, journal_bytes: 9, counters: 0, counters_left_out: 0, digest }
}

fn written(file: &Path) -> Result<BackupReport, StoreError> {
    std::fs::write(file, b"backup").unwrap();
    Ok(report(7))
}

#[test]
fn one_is_made_at_a_time_and_what_fails_leaves_no_entry() {
    let (plane, folder) = (Plane::new(), tempfile::tempdir().unwrap());
    let backups = Backups::new(folder.path().join("b"));
    let context = plane.context();

    let meanwhile = backups.create(
        &plane.services,
        &context,
        (7, |file: &Path| {
            let second = backups.create(&plane.services, &context, (7, written));
            assert!(matches!(second, Err(Error::Conflict { code: "backup_running", .. })), "{second:?}");
            written(file)
        }),
    );
    let damaged = backups.create(
        &plane.services,
        &context,
        (8, |_: &Path| Err(StoreError::JournalDamaged { segment: 3, offset: 99, what: "rot".to_owned() })),
    );
    let no_room = backups.create(
        &plane.services,
        &context,
        (8, |_: &Path| Err(StoreError::NoRoom { free_bytes: 1, needed_bytes: 2 })),
    );

    assert!(meanwhile.unwrap().value.file.exists());
    assert!(
        matches!(&damaged, Err(Error::Conflict { code: "journal_damaged", detail, .. }) if detail.contains("segment 3"))
    );
    assert!(matches!(no_room, Err(Error::Conflict { code: "capacity", .. })));
    assert_eq!(plane.store_audit_text().matches("backup.create").count(), 1);
}

#[test]
fn a_full_folder_takes_no_more() {
    let (plane, folder) = (Plane::new(), tempfile::tempdir().unwrap());
    let backups = Backups::new(folder.path().to_owned());
    for seq in 0..MAX_BACKUPS as u64 {
        backups.create(&plane.services, &plane.context(), (seq, written)).unwrap();
    }

    let more = backups.create(&plane.services, &plane.context(), (99, written));

    assert!(matches!(more, Err(Error::Conflict { code: "too_many_backups", .. })), "{more:?}");
    assert_eq!(backups.list().unwrap().len(), MAX_BACKUPS);
}
