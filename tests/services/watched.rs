//! A store that counts the records read from it, and lets something happen before its next commit.

use quotagate::store::{
    AdminStore, AuditCursor, AuditFilter, AuditPage, Changeset, Key, StoreError, StoredAnswer, Table, Ticket,
    Versioned, Write,
};
use serde_json::Value;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

pub struct Watched {
    store: Arc<dyn AdminStore>,
    drawn: AtomicUsize,
    before_commit: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Watched {
    pub fn over(store: Arc<dyn AdminStore>) -> Self {
        Self { store, drawn: AtomicUsize::new(0), before_commit: Mutex::new(None) }
    }

    /// Between the plan and the commit of the next change.
    pub fn before_commit(self, race: impl FnOnce() + Send + 'static) -> Self {
        *self.before_commit.lock().unwrap() = Some(Box::new(race));
        self
    }

    /// How many records were asked for.
    pub fn drawn(&self) -> usize {
        self.drawn.load(Ordering::Relaxed)
    }
}

impl AdminStore for Watched {
    fn get(&self, table: Table, key: &Key) -> Result<Option<Versioned>, StoreError> {
        self.drawn.fetch_add(1, Ordering::Relaxed);
        self.store.get(table, key)
    }

    fn scan(
        &self,
        table: Table,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Versioned)>, StoreError> {
        let found = self.store.scan(table, prefix, after, limit)?;
        self.drawn.fetch_add(1 + found.len(), Ordering::Relaxed);
        Ok(found)
    }

    fn recall(&self, idempotency_key: &[u8], at_ms: i64) -> Result<Option<StoredAnswer>, StoreError> {
        self.store.recall(idempotency_key, at_ms)
    }

    fn commit(&self, change: Changeset) -> Ticket {
        if let Some(race) = self.before_commit.lock().unwrap().take() {
            race();
        }
        self.store.commit(change)
    }

    fn note(&self, notes: &[Write]) -> Result<(), StoreError> {
        self.store.note(notes)
    }

    fn notes(&self, table: Table, prefix: &Key) -> Result<Vec<(Key, Value)>, StoreError> {
        self.store.notes(table, prefix)
    }

    fn audit(&self, filter: &AuditFilter, after: Option<AuditCursor>, limit: usize) -> Result<AuditPage, StoreError> {
        self.store.audit(filter, after, limit)
    }
}
