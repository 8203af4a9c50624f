//! What can go wrong: reading, starting, committing.

use super::{Key, Table};
use std::path::PathBuf;

/// Why the store could not be opened or read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    #[error("folder `{}` is in use by process {}", .folder.display(), .process.map_or("(unknown)".to_owned(), |p| p.to_string()))]
    InUse { folder: PathBuf, process: Option<u32> },
    #[error("there is no store in `{}`", .0.display())]
    NoStore(PathBuf),
    #[error(
        "the store has format {found}, this version reads up to {known}: use version {needs} or newer, or restore a backup"
    )]
    NewerFormat { found: u32, known: u32, needs: String },
    #[error("a record of `{}` has schema {schema}, which only a newer version reads", .table.name())]
    NewerRecord { table: Table, schema: u16 },
    #[error(
        "journal segment {segment} has format {found}, this version ({own}) reads {known}: use {needs}",
        own = env!("CARGO_PKG_VERSION")
    )]
    NewerSegment { segment: u64, found: u16, known: u16, needs: String },
    #[error(
        "change {seq} of the journal has version {found}, this version ({own}) reads up to {known}: use the version that \
         wrote it or a newer one",
        own = env!("CARGO_PKG_VERSION")
    )]
    NewerEntry { seq: u64, found: u32, known: u32 },
    #[error(
        "a restore into `{}` was not finished: run `quotagate restore` again, which begins anew, or remove the folder; \
         where its `journal` is whole all the same, remove `journal.restoring` from it", .0.display()
    )]
    Restoring(PathBuf),
    #[error(
        "`FORMAT` in `{}` is {what}: it says which version reads the folder. If no newer version than {own} ever served \
         from it, remove that file, and the next start writes it anew; if one may have, use that version",
        .folder.display(), own = env!("CARGO_PKG_VERSION")
    )]
    BadFormatFile { folder: PathBuf, what: String },
    #[error(
        "journal segment {segment} is damaged at byte {offset}: {what}; run `quotagate verify` for a full list, \
         then `quotagate restore` from a backup"
    )]
    JournalDamaged { segment: u64, offset: u64, what: String },
    #[error(
        "the control state has change {applied} but the journal ends at {last}: it was cut or replaced, and the changes \
         in between were acknowledged; nothing was changed here: put the missing segments back, or keep this folder and \
         restore a backup into a new one with `quotagate restore BACKUP --data NEW --newer-journal JOURNAL`"
    )]
    ControlAhead { applied: u64, last: u64 },
    #[error(
        "the journal's change {seq} is not the one that was recorded before: the journal was replaced; restore the \
         right segments or a backup"
    )]
    JournalReplaced { seq: u64 },
    #[error("record {key} of `{}` is damaged: {what}; restart to rebuild it from the journal", .table.name())]
    RecordDamaged { table: Table, key: Key, what: String },
    #[error("{area} is damaged: {what}")]
    Damaged { area: &'static str, what: String },
    #[error("a value of {bytes} bytes is above the {most} that fit")]
    TooLarge { bytes: usize, most: usize },
    #[error("{doing}: {why}")]
    Io { doing: String, why: String },
    #[error("{free_bytes} bytes are free on the disk, {needed_bytes} are needed")]
    NoRoom { free_bytes: u64, needed_bytes: u64 },
    #[error("it was given up: the server is stopping")]
    Interrupted,
    /// The state that is read from is not to be trusted any more.
    #[error("nothing can be read for now: {0}")]
    Unreadable(ReadOnly),
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |error| Self::Io { doing, why: error.to_string() }
    }
}

/// Why nothing can be committed for now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadOnly {
    /// Ends by itself when there is room.
    #[error("the disk is full: {free_bytes} bytes free, {needed_bytes} needed")]
    DiskFull { free_bytes: u64, needed_bytes: u64 },
    /// Ends by itself when descriptors are closed.
    #[error("no file can be opened ({0}): it goes on by itself when connections end")]
    OutOfFiles(String),
    /// Ends with a restart.
    #[error("the journal failed ({0}): restart after checking the disk")]
    JournalFailed(String),
    /// Ends with a restart, which completes what the journal has.
    #[error("the control state failed ({0}): restart to rebuild it")]
    ControlFailed(String),
}

impl ReadOnly {
    /// Whether it is worth trying again without a restart.
    #[must_use]
    pub fn ends_by_itself(&self) -> bool {
        match self {
            Self::DiskFull { .. } | Self::OutOfFiles(_) => true,
            Self::JournalFailed(_) | Self::ControlFailed(_) => false,
        }
    }
}

/// Why a change was not committed, or is not known to be.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    #[error("record {key} of `{}` is at revision {}, which is not the one expected", .table.name(), .current.unwrap_or(0))]
    Conflict {
        table: Table,
        key: Key,
        /// None: the record is absent.
        current: Option<u64>,
    },
    #[error("the idempotency key was used before with another request")]
    IdempotencyMismatch,
    #[error("the change is not well formed: {0}")]
    Invalid(&'static str),
    #[error("the change has {bytes} bytes, at most {most} are taken")]
    TooLarge { bytes: usize, most: usize },
    #[error("too many changes are waiting: try again")]
    Busy,
    #[error("the store is read-only: {0}")]
    ReadOnly(#[from] ReadOnly),
    /// The change may be there after a restart, or not: only reading it back tells.
    #[error("it is not known whether the change was kept: {why}")]
    Uncertain { why: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}
