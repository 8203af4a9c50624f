//! What the committer tells the rest of the store.

use super::control::Applied;
use super::journal::Journal;
use super::reread::Reread;
use crate::store::{Changeset, ReadOnly};
use parking_lot::Mutex;
use std::mem::discriminant;

/// Called for every committed change, in order, after it is durable and readable and before it is answered.
pub type OnApply = Box<dyn FnMut(u64, &Changeset) + Send>;

/// How the store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// None: commits are taken.
    pub read_only: Option<ReadOnly>,
    /// The last committed change.
    pub seq: u64,
    /// Hash of its journal entry: the head of the chain.
    pub hash: [u8; 32],
    /// When that change was made; None before the first.
    pub at_ms: Option<i64>,
    /// Latest time of any change since a clock was last accepted, in milliseconds since the Unix epoch; 0 before the
    /// first.
    pub last_at_ms: i64,
    /// Number of the current journal segment, and its length in bytes.
    pub journal: (u64, u64),
}

pub(crate) struct Shared {
    health: Mutex<Health>,
    on_apply: Mutex<Option<OnApply>>,
    reread: Mutex<Reread>,
}

impl Shared {
    pub(crate) fn new(applied: &Applied, journal: &Journal) -> Self {
        let Applied { seq, hash, at_ms: last_at_ms, .. } = *applied;
        let (at_ms, journal) = (journal.found_at_ms(), journal.position());
        let health = Health { read_only: None, seq, hash, at_ms, last_at_ms, journal };
        Self { health: Mutex::new(health), on_apply: Mutex::new(None), reread: Mutex::default() }
    }

    pub(crate) fn health(&self) -> Health {
        self.health.lock().clone()
    }

    /// Changes what is known of closed segments, and gives it.
    pub(crate) fn reread(&self, change: impl FnOnce(&mut Reread)) -> Reread {
        let mut reread = self.reread.lock();
        change(&mut reread);
        reread.clone()
    }

    pub(crate) fn read_only(&self) -> Option<ReadOnly> {
        self.health.lock().read_only.clone()
    }

    pub(crate) fn stop(&self, why: ReadOnly) {
        let before = self.health.lock().read_only.replace(why.clone());
        if before.is_none_or(|before| discriminant(&before) != discriminant(&why)) {
            tracing::error!(%why, "the store is read-only");
        }
    }

    pub(crate) fn resume(&self) {
        if self.health.lock().read_only.take().is_some() {
            tracing::info!("the store takes commits again");
        }
    }

    /// `at_ms` is of the last change.
    pub(crate) fn set_position(&self, applied: &Applied, journal: (u64, u64), at_ms: Option<i64>) {
        let mut health = self.health.lock();
        health.at_ms = at_ms;
        (health.seq, health.hash, health.last_at_ms) = (applied.seq, applied.hash, applied.at_ms);
        health.journal = journal;
    }

    pub(crate) fn set_on_apply(&self, callback: OnApply) {
        *self.on_apply.lock() = Some(callback);
    }

    pub(crate) fn on_apply(&self, seq: u64, change: &Changeset) {
        if let Some(callback) = self.on_apply.lock().as_mut() {
            callback(seq, change);
        }
    }
}
