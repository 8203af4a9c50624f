//! What is kept: the control plane behind one write door, and the counters behind another.
//!
//! Owns the vocabulary of a change ([`Changeset`]), the two traits that a backend implements and the embedded
//! backend ([`embedded`]). Deliberately absent: what the records mean, who may write them, HTTP, the engine.

mod audit;
mod changeset;
pub mod embedded;
mod error;
mod key;
mod table;

pub use audit::{AuditCursor, AuditEntry, AuditFilter, AuditPage};
pub use changeset::{
    AcceptedClock, ActorKind, Answer, Audit, Changeset, Committed, Expect, Idempotency, Origin, Outcome, StoredAnswer,
    Ticket, Versioned, Write, ticket,
};
pub use error::{CommitError, ReadOnly, StoreError};
pub use key::{Key, KeyBuilder, KeyReader, MAX_KEY_BYTES};
pub use table::Table;

/// Most records that one [`AdminStore::scan`] returns.
pub const MAX_SCAN: usize = 1_000;
/// Longest value of one counter record, in bytes.
pub const MAX_COUNTER_BYTES: usize = 64 * 1024;

/// The control plane: reads of single records, and one door through which everything is written.
///
/// Reads of several records are not taken at one moment; a change that rests on them names their revisions in
/// [`Changeset::expects`] and is refused where one has moved.
pub trait AdminStore: Send + Sync {
    /// Errors: the record fails its checksum, or the backend cannot be read.
    fn get(&self, table: Table, key: &Key) -> Result<Option<Versioned>, StoreError>;

    /// Records whose key begins with `prefix` and comes after `after`, in key order, at most `limit` of them.
    ///
    /// `limit` is lowered to [`MAX_SCAN`]; the key of the last record is the next `after`.
    fn scan(
        &self,
        table: Table,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Versioned)>, StoreError>;

    /// The answer kept under an idempotency key, if it has not expired at `at_ms`.
    fn recall(&self, idempotency_key: &[u8], at_ms: i64) -> Result<Option<StoredAnswer>, StoreError>;

    /// Hands a change in; the ticket answers once it is durable and visible, or refused.
    fn commit(&self, change: Changeset) -> Ticket;

    /// Entries of the audit log, newest first, at most `limit` of them.
    fn audit(&self, filter: &AuditFilter, after: Option<AuditCursor>, limit: usize) -> Result<AuditPage, StoreError>;
}

/// Keys with their new values, None to remove one.
pub type CounterGroup = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// Counters and reservations: opaque bytes by key, absolute states, written behind.
pub trait CounterStore: Send + Sync {
    /// Writes the records and hands them to the operating system: they outlive a kill, not yet a power cut.
    ///
    /// Not atomic over the batch: each record is written whole or not at all.
    /// Errors: a value above [`MAX_COUNTER_BYTES`] (then nothing is written), or the backend failed; writing the
    /// same batch again is harmless.
    fn put_batch(&self, batch: &[(Vec<u8>, Vec<u8>)]) -> Result<(), StoreError>;

    /// The same, but what is in one group is written together or not at all; None removes a record.
    fn put_groups(&self, groups: Vec<CounterGroup>) -> Result<(), StoreError>;

    fn remove(&self, keys: &[Vec<u8>]) -> Result<(), StoreError>;

    /// Makes everything written before outlive a power cut.
    fn sync(&self) -> Result<(), StoreError>;

    /// Visits every record in key order; returns how many failed their checksum and were passed over.
    fn for_each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<u64, StoreError>;

    /// Whether its owner should write every record anew, between [`Self::begin_renewal`] and
    /// [`Self::finish_renewal`]; other writes go on meanwhile.
    fn renewal(&self) -> Renewal {
        Renewal::NotNow
    }

    /// What is written from now on counts towards the renewal. One that is under way begins anew.
    fn begin_renewal(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Every record was written since the renewal began: what is older goes.
    fn finish_renewal(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Bytes that it takes on the disk.
    fn bytes(&self) -> u64 {
        0
    }
}

/// Whether all records should be written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// Everything is there, and takes no more room than it should.
    NotNow,
    /// They would take less room then, or damage that was found would be healed.
    Worth,
    /// What was written may be gone: nothing is written until a renewal begins.
    Needed,
}

/// What accounts used in the past: opaque bytes by key in a table of its own, disposable, written behind.
///
/// A record that fails its checksum is passed over, as if it were not there.
pub trait HistoryStore: Send + Sync {
    fn get_history(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Writes the record whole, or removes it where there is no value. It outlives a kill once [`CounterStore`] has
    /// written next.
    ///
    /// Errors: a value above [`MAX_COUNTER_BYTES`], or the backend failed; writing it again is harmless.
    fn put_history(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError>;

    /// Records from `from` on and before `to`, in key order, at most `limit` of them, which is lowered to [`MAX_SCAN`].
    fn scan_history(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<HistoryRecord>, StoreError>;

    /// The last record from `from` on and before `to`.
    fn last_history(&self, from: &[u8], to: &[u8]) -> Result<Option<HistoryRecord>, StoreError>;

    /// Hands what was written to the operating system.
    fn flush_history(&self) -> Result<(), StoreError>;

    /// Makes everything written before outlive a power cut.
    fn sync_history(&self) -> Result<(), StoreError>;
}

/// A key and its value.
pub type HistoryRecord = (Vec<u8>, Vec<u8>);
