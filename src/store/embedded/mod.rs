//! The embedded backend: an fsynced journal is the truth, sled follows it.
//!
//! ```text
//! LOCK      held by the process that serves        FORMAT  which version reads the folder
//! RUN       how the last run ended                 BALLAST room for when the disk is full
//! journal/  the control plane's truth              control/  its current state, rebuilt from the journal at need
//! counters/ a log of images, written behind         history/  what was used in the past, in sled; both disposable
//! security*.log  logins and refusals, bounded
//! ```
//!
//! Deliberately absent: sled transactions and batches (the committer is the only writer), compaction of the journal
//! (it is the audit log).

mod answers;
mod audit_index;
mod backup;
mod committer;
mod control;
mod counters;
mod failpoint;
mod format;
mod history;
mod image_log;
mod journal;
mod journal_reader;
pub mod layer;
mod lock;
mod notes;
mod open;
mod overlay;
mod record;
mod reread;
mod room;
mod scratch;
mod security_log;
mod shared;
mod sled_db;
mod usage;
mod verify;

pub use backup::{BackupReport, NOT_IN_BACKUP, PART, Pace, backup_read_only, is_read_only, restore};
pub use counters::UsageFound;
pub use image_log::{Damage, Mark, StoreId, Tally};
pub use journal_reader::{JournalEntry, JournalReader};
pub use open::{ControlStart, StartReport, TornTail};
pub use reread::{Reread, Rereading};
pub use security_log::Attempt;
pub use shared::{Health, OnApply};
pub use verify::{
    Anchor, Anchored, Area, Finding, VerifyReport, must_hold_store, verify, verify_against, verify_journal,
};

use super::{
    AdminStore, AuditCursor, AuditFilter, AuditPage, Changeset, CommitError, CounterGroup, CounterStore, Key, MAX_SCAN,
    ReadOnly, Renewal, StoreError, StoredAnswer, Table, Ticket, Versioned, Write, ticket,
};
use committer::{Committer, Job};
use control::{Applied, Control};
use counters::Counters;
use format::Run;
use history::HistoryDb;
use journal::entry::Change;
use layer::{FileLayer, RealFiles};
use lock::Lock;
use notes::Notes;
use parking_lot::{Mutex, RwLock};
use reread::Rereader;
use security_log::SecurityLog;
use serde_json::Value;
use shared::Shared;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

/// Most changes that wait for the committer; another one is refused as `busy`.
pub const MAX_WAITING: usize = 4_096;

/// How a store is run; the defaults are for a server.
#[derive(Clone)]
pub struct Options {
    /// A journal segment is closed before it would grow past this.
    pub segment_bytes: u64,
    /// Commits stop while less than this is free on the disk.
    pub reserve_bytes: u64,
    /// Size of the file that is given up when the disk is full all the same.
    pub ballast_bytes: u64,
    /// sled counts bytes on disk: real memory is higher.
    pub control_cache_bytes: u64,
    /// The same for the history.
    pub counter_cache_bytes: u64,
    /// The file system under the journal and the counters.
    pub layer: Arc<dyn FileLayer>,
    /// Names the counters of a new folder.
    pub store_id: StoreId,
    /// Closed segments are read again in the background; None: they are not.
    pub rereading: Option<Rereading>,
    /// Of the running machine: tells a kill from a power cut.
    pub boot_id: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: failpoint::segment_bytes().unwrap_or(64 * 1024 * 1024),
            reserve_bytes: 64 * 1024 * 1024,
            ballast_bytes: 16 * 1024 * 1024,
            control_cache_bytes: 256 * 1024 * 1024,
            counter_cache_bytes: 256 * 1024 * 1024,
            layer: Arc::new(RealFiles),
            store_id: StoreId(uuid::Uuid::new_v4().into_bytes()),
            rereading: Some(Rereading::default()),
            boot_id: format::boot_id(),
        }
    }
}

/// A folder that this process serves from: the control plane and the counters.
///
/// Dropping it waits for the commits that were taken and records a clean stop; [`Self::close`] reports errors.
pub struct EmbeddedStore {
    folder: PathBuf,
    control: Control,
    counters: Counters,
    history: HistoryDb,
    notes: Notes,
    security_log: SecurityLog,
    shared: Arc<Shared>,
    jobs: RwLock<Option<SyncSender<Job>>>,
    committer: Mutex<Option<JoinHandle<Option<Applied>>>>,
    boot_id: String,
    /// The last change when it was opened.
    begun_seq: u64,
    /// The log of usage that `RUN` names.
    noted_log: Mutex<u64>,
    rereader: Mutex<Option<Rereader>>,
    // INVARIANT: declared last, so that the folder is let go of after everything in it.
    _lock: Lock,
}

impl EmbeddedStore {
    /// Opens or makes the folder, repairs what a kill or a power cut may leave, and starts the committer.
    ///
    /// Errors: in use, of a newer version, or damaged beyond what the journal can repair; the message says what to
    /// do.
    pub fn open(folder: &Path, options: Options) -> Result<(Self, StartReport), StoreError> {
        let parts = open::open(folder, &options)?;
        let security_log = SecurityLog::open(folder)?;
        let shared = Arc::new(Shared::new(&parts.applied, &parts.journal));
        let (sender, receiver) = sync_channel(MAX_WAITING);
        let committer = Committer {
            journal: parts.journal,
            control: parts.control.clone(),
            applied: parts.applied,
            room: room::Room::new(folder, options.layer, options.reserve_bytes, options.ballast_bytes),
            shared: shared.clone(),
        };
        let watched = shared.clone();
        let run = move || {
            let ended = catch_unwind(AssertUnwindSafe(|| committer.run(&receiver)));
            ended.map_err(|panic| watched.stop(ReadOnly::ControlFailed(sled_db::panic_text(&*panic)))).ok()
        };
        let thread = std::thread::Builder::new().name("quotagate-commit".to_owned());
        let committer = thread.spawn(run).map_err(StoreError::io("start the committer"))?;
        let reread = |how| Rereader::start(&folder.join("journal"), how, shared.clone());
        let rereader = Mutex::new(options.rereading.map(reread).transpose()?);
        let noted_log = Mutex::new(parts.usage.counters.mark().log);
        let store = Self {
            folder: folder.to_owned(),
            control: parts.control,
            counters: parts.usage.counters,
            history: parts.usage.history,
            notes: parts.notes,
            security_log,
            shared,
            jobs: RwLock::new(Some(sender)),
            committer: Mutex::new(Some(committer)),
            boot_id: options.boot_id,
            begun_seq: parts.report.seq,
            noted_log,
            rereader,
            _lock: parts.lock,
        };
        Ok((store, parts.report))
    }

    /// Sets what is called for every committed change; call it before the first commit.
    pub fn on_apply(&self, callback: OnApply) {
        self.shared.set_on_apply(callback);
    }

    #[must_use]
    pub fn health(&self) -> Health {
        self.shared.health()
    }

    /// What reading closed journal segments again has found so far.
    #[must_use]
    pub fn reread(&self) -> Reread {
        self.shared.reread(|_| {})
    }

    /// Keeps a login or a refusal in the bounded security log, apart from the audit log and without an fsync.
    pub fn note_attempt(&self, attempt: &Attempt) -> Result<(), StoreError> {
        self.security_log.note(attempt)
    }

    /// The latest logins and refusals, newest first, at most 1,000.
    pub fn attempts(&self, limit: usize) -> Result<Vec<Attempt>, StoreError> {
        self.security_log.recent(limit)
    }

    /// Checks every checksum and the chain of the journal while it is served from, up to what was durable when it
    /// began, and that this is what was written.
    ///
    /// It reads the whole journal: run one at a time.
    pub fn verify_journal(&self, anchor: Option<Anchor>) -> Result<VerifyReport, StoreError> {
        verify::verify_served(&self.folder, &self.health(), anchor)
    }

    /// Finishes the commits that were taken, makes everything durable and records a clean stop. Later commits are
    /// refused; a second call does nothing.
    pub fn close(&self) -> Result<(), StoreError> {
        self.jobs.write().take();
        drop(self.rereader.lock().take());
        let Some(committer) = self.committer.lock().take() else { return Ok(()) };
        let applied = committer.join().ok().flatten();
        guarded("the control state", || sled_db::sync(&self.control.db, &self.folder.join("control")))?;
        // What is wrong with usage is told, and does not make the rest unclean.
        let sealed = self.counters.seal();
        let kept = self.history.sync();
        if let Some(applied) = applied.filter(|_| !self.has_failed()) {
            let counters = Some(sealed.as_ref().map_or_else(|_| self.counters.mark(), Mark::clone));
            let run = Run { boot_id: self.boot_id.clone(), clean: true, seq: applied.seq, counters };
            format::record_run(&self.folder, &run)?;
        }
        sealed.and(kept)
    }

    /// Reads the control state. After its first failed write sled reads no more either, which is then said as what it
    /// is, also before the committer has met it.
    fn reading<T>(&self, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        guarded("the control state", work).map_err(|error| match (self.shared.read_only(), error) {
            (Some(why @ ReadOnly::ControlFailed(_)), _) => StoreError::Unreadable(why),
            (_, StoreError::Io { why, .. }) => StoreError::Unreadable(ReadOnly::ControlFailed(why)),
            (_, error) => error,
        })
    }

    /// Writes down which log is written to, so that a later start misses it where it is gone.
    fn note_log(&self) {
        let mark = self.counters.mark();
        let mut noted = self.noted_log.lock();
        if *noted == mark.log {
            return;
        }
        let run = Run { boot_id: self.boot_id.clone(), clean: false, seq: self.begun_seq, counters: Some(mark) };
        match format::record_run(&self.folder, &run) {
            Ok(()) => *noted = mark.log,
            // It is tried again with the next sync; usage is where it should be.
            Err(error) => tracing::debug!(%error, "it is not written down which log of usage was begun"),
        }
    }

    fn has_failed(&self) -> bool {
        matches!(self.shared.read_only(), Some(ReadOnly::JournalFailed(_) | ReadOnly::ControlFailed(_)))
    }

    fn submit(&self, change: Changeset) -> Result<Ticket, CommitError> {
        let record = Change::record(&change)?;
        let payload = record.encode()?;
        let (answer, ticket) = ticket();
        let jobs = self.jobs.read();
        let sender = jobs.as_ref().ok_or(StoreError::Closed)?;
        match sender.try_send(Job { change, record, payload, answer }) {
            Ok(()) => Ok(ticket),
            Err(TrySendError::Full(_)) => Err(CommitError::Busy),
            Err(TrySendError::Disconnected(_)) => {
                Err(self.shared.read_only().map_or(StoreError::Closed.into(), CommitError::from))
            }
        }
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the store did not stop cleanly");
        }
    }
}

impl AdminStore for EmbeddedStore {
    fn get(&self, table: Table, key: &Key) -> Result<Option<Versioned>, StoreError> {
        self.reading(|| self.control.get(table, key.as_bytes()))
    }

    fn scan(
        &self,
        table: Table,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Versioned)>, StoreError> {
        self.reading(|| self.control.scan(table, prefix.as_bytes(), after.map(Key::as_bytes), limit.min(MAX_SCAN)))
    }

    fn recall(&self, idempotency_key: &[u8], at_ms: i64) -> Result<Option<StoredAnswer>, StoreError> {
        let found = self.reading(|| self.control.answer(idempotency_key))?;
        Ok(found.filter(|(_, kept)| kept.expires_at_ms > at_ms).map(|(seq, kept)| StoredAnswer {
            fingerprint: kept.fingerprint,
            response: kept.response,
            expires_at_ms: kept.expires_at_ms,
            seq,
        }))
    }

    fn commit(&self, change: Changeset) -> Ticket {
        self.submit(change).unwrap_or_else(Ticket::refused)
    }

    fn note(&self, notes: &[Write]) -> Result<(), StoreError> {
        self.notes.put(notes)
    }

    fn notes(&self, table: Table, prefix: &Key) -> Result<Vec<(Key, Value)>, StoreError> {
        self.notes.of(table, prefix)
    }

    fn audit(&self, filter: &AuditFilter, after: Option<AuditCursor>, limit: usize) -> Result<AuditPage, StoreError> {
        let journal = self.folder.join("journal");
        guarded("the audit index", || audit_index::search(&self.control.audit, &journal, filter, after, limit))
    }
}

impl CounterStore for EmbeddedStore {
    fn put_batch(&self, batch: &[(Vec<u8>, Vec<u8>)]) -> Result<(), StoreError> {
        self.counters.put_batch(batch)
    }

    fn put_groups(&self, groups: Vec<CounterGroup>) -> Result<(), StoreError> {
        self.counters.put_groups(&groups)
    }

    fn remove(&self, keys: &[Vec<u8>]) -> Result<(), StoreError> {
        self.counters.remove(keys)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.counters.sync()?;
        self.note_log();
        Ok(())
    }

    fn for_each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<u64, StoreError> {
        self.counters.for_each(visit)
    }

    fn renewal(&self) -> Renewal {
        self.counters.renewal()
    }

    fn begin_renewal(&self) -> Result<(), StoreError> {
        self.counters.begin_renewal()
    }

    fn finish_renewal(&self) -> Result<(), StoreError> {
        self.counters.finish_renewal()
    }

    fn bytes(&self) -> u64 {
        self.counters.bytes()
    }
}

/// sled panics on some kinds of damage; one reader must not take its thread down with it.
fn guarded<T>(area: &'static str, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(StoreError::Damaged { area, what: sled_db::panic_text(&*panic) }))
}

fn sled_failed(error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(error) => StoreError::io("read or write sled")(error),
        sled::Error::CollectionNotFound(_)
        | sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_)
        | sled::Error::Corruption { .. } => StoreError::Damaged { area: "sled", what: error.to_string() },
    }
}
