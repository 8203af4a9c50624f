//! A store that counts the records read from it.

use quotagate::store::{
    AdminStore, AuditCursor, AuditFilter, AuditPage, Changeset, Key, StoreError, StoredAnswer, Table, Ticket, Versioned,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub struct Counting {
    store: Arc<dyn AdminStore>,
    drawn: AtomicUsize,
}

impl Counting {
    pub fn over(store: Arc<dyn AdminStore>) -> Self {
        Self { store, drawn: AtomicUsize::new(0) }
    }

    /// How many records were asked for.
    pub fn drawn(&self) -> usize {
        self.drawn.load(Ordering::Relaxed)
    }
}

impl AdminStore for Counting {
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
        self.store.commit(change)
    }

    fn audit(&self, filter: &AuditFilter, after: Option<AuditCursor>, limit: usize) -> Result<AuditPage, StoreError> {
        self.store.audit(filter, after, limit)
    }
}
