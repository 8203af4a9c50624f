//! Backups that the server makes itself: into one folder, under a name that it chooses, one at a time.
//!
//! Deliberately absent: where a backup goes from there, and removing one, which is for whoever owns the machine.

use super::commit::{Change, Plan};
use super::{Context, Done, Error, Services};
use crate::store::StoreError;
use crate::store::embedded::{BackupReport, PART};
use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, FileType};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Most backups that the folder holds: another one is refused until some have been taken elsewhere.
pub const MAX_BACKUPS: usize = 16;
/// Most names that are looked at.
const MAX_NAMES: usize = 10_000;
const BEGINS: &str = "quotagate-";
const ENDS: &str = ".backup";
const TIME: &str = "%Y%m%dT%H%M%SZ";

/// The folder, and whose turn it is.
pub struct Backups {
    folder: PathBuf,
    turn: Mutex<()>,
}

/// A backup in the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    /// Milliseconds since the Unix epoch, to the second.
    pub at_ms: i64,
    /// The last change in it.
    pub seq: u64,
    pub bytes: u64,
}

/// What was made, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    pub name: String,
    pub file: PathBuf,
    pub at_ms: i64,
    /// None: nothing was written.
    pub report: Option<BackupReport>,
}

impl Backups {
    /// Takes away what a killed server left half written.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        let backups = Self { folder, turn: Mutex::new(()) };
        if let Err(error) = backups.clean() {
            tracing::warn!(%error, folder = %backups.folder.display(), "what a killed backup left stays");
        }
        backups
    }

    /// Oldest first.
    ///
    /// Errors: the folder is there and cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, Error> {
        let mut listed = Vec::new();
        self.each(|name, path| {
            if let Some((at_ms, seq)) = parsed(name) {
                let bytes = std::fs::metadata(path)?.len();
                listed.push(Listed { name: name.to_owned(), at_ms, seq, bytes });
            }
            Ok(())
        })
        .map_err(StoreError::io(self.doing("read")))?;
        listed.sort_by_key(|one| (one.at_ms, one.seq));
        Ok(listed)
    }

    /// Makes one, whose name and digest go to the audit log; `write` writes the file that it is given.
    ///
    /// Errors: another is being made, the folder is full, the journal is damaged, there is no room.
    pub fn create(
        &self,
        services: &Services,
        context: &Context,
        (seq, write): (u64, impl FnOnce(&Path) -> Result<BackupReport, StoreError>),
    ) -> Result<Done<Made>, Error> {
        if let Some(done) = services.recall(context)? {
            return Ok(done);
        }
        let running = || Error::conflict("backup_running", "a backup is being made: wait for its end");
        let _turn = self.turn.try_lock().ok_or_else(running)?;
        self.must_have_place()?;
        let name = named(context.now, seq);
        let made = |report| Made { file: self.folder.join(&name), name: name.clone(), at_ms: context.now, report };
        if context.validate_only {
            return Ok(Done { value: made(None), revision: None, replayed: false });
        }
        self.prepare()?;
        let report = write(&self.folder.join(&name)).map_err(refused)?;
        let made = made(Some(report.clone()));
        let planned = services.change(context, || {
            let change = Change::new("backup.create", format!("backup:{name}"));
            let change = change.detail("last_change", report.seq)?.detail("hash", hex::encode(report.hash))?;
            let change = change.detail("sha256", hex::encode(report.digest))?;
            Ok(Plan::Change { value: made.clone(), change })
        });
        if planned.is_err() {
            // INVARIANT: what the server made is in the audit log.
            _ = std::fs::remove_file(self.folder.join(&name));
        }
        planned
    }

    /// The folder, for its owner alone, without what was left half written.
    fn prepare(&self) -> Result<(), Error> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        made.and_then(|()| self.clean()).map_err(StoreError::io(self.doing("make")))?;
        Ok(())
    }

    fn must_have_place(&self) -> Result<(), Error> {
        let there = self.list()?.len();
        if there < MAX_BACKUPS {
            return Ok(());
        }
        let folder = self.folder.display();
        let why = format!("{there} backups are in `{folder}`, which is the most: take some elsewhere, or remove them");
        Err(Error::conflict("too_many_backups", why))
    }

    fn clean(&self) -> io::Result<()> {
        self.each(|name, path| {
            let whole = name.strip_prefix('.').and_then(|name| name.strip_suffix(PART));
            match whole.and_then(parsed) {
                Some(_) => std::fs::remove_file(path),
                None => Ok(()),
            }
        })
    }

    /// Visits the files in the folder, if there is one.
    fn each(&self, mut visit: impl FnMut(&str, &Path) -> io::Result<()>) -> io::Result<()> {
        let items = match std::fs::read_dir(&self.folder) {
            Ok(items) => items,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for item in items.take(MAX_NAMES) {
            let item = item?;
            if item.file_type().as_ref().is_ok_and(FileType::is_file)
                && let Some(name) = item.file_name().to_str()
            {
                visit(name, &item.path())?;
            }
        }
        Ok(())
    }

    fn doing(&self, what: &str) -> String {
        format!("{what} the folder of backups `{}`", self.folder.display())
    }
}

/// The reason as whoever asked may know it.
fn refused(error: StoreError) -> Error {
    match error {
        StoreError::JournalDamaged { .. } => {
            Error::conflict("journal_damaged", format!("the backup was not made: {error}"))
        }
        StoreError::NoRoom { .. } => Error::conflict("capacity", format!("no room for a backup: {error}")),
        StoreError::Interrupted => Error::Busy,
        other => other.into(),
    }
}

fn named(at_ms: i64, seq: u64) -> String {
    let at = Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{BEGINS}{}-{seq}{ENDS}", at.strftime(TIME))
}

/// When it was made, and its last change.
fn parsed(name: &str) -> Option<(i64, u64)> {
    let (at, seq) = name.strip_prefix(BEGINS)?.strip_suffix(ENDS)?.split_once('-')?;
    let at = TimeZone::UTC.to_timestamp(strtime::parse(TIME, at).ok()?.to_datetime().ok()?).ok()?;
    Some((at.as_millisecond(), seq.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_when_and_up_to_which_change() {
        let name = named(1_769_846_400_123, 42);

        assert_eq!(name, "quotagate-20260131T080000Z-42.backup");
        assert_eq!(parsed(&name), Some((1_769_846_400_000, 42)));
        for other in
            ["quotagate-20260131T080000Z-42.backup.part", "quotagate--1.backup", "notes", "quotagate-x-1.backup"]
        {
            assert_eq!(parsed(other), None, "{other}");
        }
    }

    #[test]
    fn only_its_own_files_are_listed_and_cleaned() {
        let folder = tempfile::tempdir().unwrap();
        for name in [named(2_000, 2), named(1_000, 1), "notes".to_owned(), ".notes.part".to_owned()] {
            std::fs::write(folder.path().join(name), b"x").unwrap();
        }
        let half = folder.path().join(format!(".{}.part", named(3_000, 3)));
        std::fs::write(&half, b"x").unwrap();

        let backups = Backups::new(folder.path().to_owned());

        assert!(!half.exists() && folder.path().join(".notes.part").exists());
        assert_eq!(backups.list().unwrap().iter().map(|found| found.seq).collect::<Vec<_>>(), [1, 2]);
        assert!(Backups::new(folder.path().join("nowhere")).list().unwrap().is_empty());
    }
}
