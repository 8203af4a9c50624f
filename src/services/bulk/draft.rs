//! The store as it will be once everything that was planned is committed.

use crate::services::Error;
use crate::store::{
    AdminStore, AuditCursor, AuditFilter, AuditPage, Changeset, CommitError, Key, StoreError, StoredAnswer, Table,
    Ticket, Versioned, Write,
};
use foldhash::quality::RandomState;
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

/// Records that were planned and are remembered, twice as many at most; later they are read back from the store.
///
/// Few: what lives long among what lives short costs the allocator more than reading it back does.
const REMEMBERED: usize = 6_000;
/// Bits of [`Seen`]: right about new keys in 999 of 1,000 cases up to 7 million keys.
const SEEN_BITS: usize = 1 << 27;
const SEEN_HASHES: u64 = 4;

/// Tables, or the beginnings of their keys, that may be known to have held nothing at the start.
type Family = (Table, Key);

/// Reads what was planned, else the store below. It is written to by [`Self::write`] alone.
///
/// INVARIANT: nobody else writes to the store below meanwhile.
pub(super) struct Draft {
    below: Arc<dyn AdminStore>,
    state: Mutex<State>,
}

struct State {
    young: Planned,
    old: Planned,
    /// Of `meta`, which is read with every plan: what was found.
    meta: HashMap<Key, Option<Versioned>, RandomState>,
    empty: Vec<Family>,
    seen: Seen,
}

/// Records by key as the JSON that they will be; None: deleted.
#[derive(Default)]
struct Planned {
    tables: HashMap<Table, HashMap<Key, Option<Box<str>>, RandomState>, RandomState>,
    records: usize,
}

impl Planned {
    fn get(&self, table: Table, key: &Key) -> Option<&Option<Box<str>>> {
        self.tables.get(&table)?.get(key)
    }

    fn put(&mut self, table: Table, key: Key, json: Option<Box<str>>) {
        let before = self.tables.entry(table).or_default().insert(key, json);
        self.records += usize::from(before.is_none());
    }
}

impl Draft {
    /// Errors: the store below cannot be read.
    pub fn over(below: Arc<dyn AdminStore>, families: Vec<Family>) -> Result<Self, Error> {
        let mut empty = Vec::new();
        for (table, prefix) in families {
            if below.scan(table, &prefix, None, 1)?.is_empty() {
                empty.push((table, prefix));
            }
        }
        let seen = if empty.is_empty() { Seen::none() } else { Seen::new() };
        let (young, old, meta) = (Planned::default(), Planned::default(), HashMap::default());
        Ok(Self { below, state: Mutex::new(State { young, old, meta, empty, seen }) })
    }

    /// Takes a planned change in.
    pub fn write(&self, writes: &[Write]) {
        let mut state = self.state.lock();
        for Write { table, key, value } in writes {
            state.seen.add(*table, key);
            state.young.put(*table, key.clone(), value.as_ref().map(|value| value.to_string().into()));
        }
    }

    /// Whether [`Self::forget`] is due.
    pub fn is_full(&self) -> bool {
        self.state.lock().young.records >= REMEMBERED
    }

    /// Forgets what was planned longest ago. ORDER: once it is committed.
    pub fn forget(&self) {
        let mut state = self.state.lock();
        state.old = std::mem::take(&mut state.young);
    }
}

impl State {
    /// What is known without the store below; None: it has to be asked.
    fn known(&self, table: Table, key: &Key) -> Option<Known> {
        if let Some(found) = self.young.get(table, key).or_else(|| self.old.get(table, key)) {
            return Some(Known::Planned(found.clone()));
        }
        if table == Table::Meta {
            return self.meta.get(key).cloned().map(Known::Read);
        }
        let was_empty = |(of, prefix): &Family| *of == table && key.as_bytes().starts_with(prefix.as_bytes());
        (self.empty.iter().any(was_empty) && !self.seen.may_have(table, key)).then_some(Known::Read(None))
    }
}

enum Known {
    Planned(Option<Box<str>>),
    Read(Option<Versioned>),
}

impl AdminStore for Draft {
    fn get(&self, table: Table, key: &Key) -> Result<Option<Versioned>, StoreError> {
        let known = self.state.lock().known(table, key);
        match known {
            None => {}
            Some(Known::Read(found)) => return Ok(found),
            Some(Known::Planned(None)) => return Ok(None),
            // Nothing that is planned here names the revision of what it rests on: one writer, one order.
            Some(Known::Planned(Some(json))) => {
                let value = serde_json::from_str(&json).map_err(|error| StoreError::RecordDamaged {
                    table,
                    key: key.clone(),
                    what: error.to_string(),
                })?;
                return Ok(Some(Versioned { revision: 0, value }));
            }
        }
        let found = self.below.get(table, key)?;
        if table == Table::Meta {
            self.state.lock().meta.insert(key.clone(), found.clone());
        }
        Ok(found)
    }

    /// Without what was planned.
    fn scan(
        &self,
        table: Table,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Versioned)>, StoreError> {
        self.below.scan(table, prefix, after, limit)
    }

    fn recall(&self, idempotency_key: &[u8], at_ms: i64) -> Result<Option<StoredAnswer>, StoreError> {
        self.below.recall(idempotency_key, at_ms)
    }

    fn commit(&self, _: Changeset) -> Ticket {
        Ticket::refused(CommitError::Invalid("a draft commits nothing"))
    }

    fn note(&self, notes: &[Write]) -> Result<(), StoreError> {
        self.below.note(notes)
    }

    fn notes(&self, table: Table, prefix: &Key) -> Result<Vec<(Key, Value)>, StoreError> {
        self.below.notes(table, prefix)
    }

    fn audit(&self, filter: &AuditFilter, after: Option<AuditCursor>, limit: usize) -> Result<AuditPage, StoreError> {
        self.below.audit(filter, after, limit)
    }
}

/// Which keys were written, of a fixed size: it may take a key for written that was not, never the other way round.
struct Seen {
    bits: Vec<u64>,
    hasher: RandomState,
}

impl Seen {
    fn new() -> Self {
        Self { bits: vec![0; SEEN_BITS / 64], hasher: RandomState::default() }
    }

    fn none() -> Self {
        Self { bits: Vec::new(), hasher: RandomState::default() }
    }

    fn places(&self, table: Table, key: &Key) -> impl Iterator<Item = (usize, u64)> + use<> {
        let hash = self.hasher.hash_one((table.tag(), key));
        let (first, step) = (hash & 0xFFFF_FFFF, (hash >> 32) | 1);
        (0..SEEN_HASHES).map(move |n| {
            let bit = first.wrapping_add(n.wrapping_mul(step)) as usize % SEEN_BITS;
            (bit / 64, 1 << (bit % 64))
        })
    }

    fn add(&mut self, table: Table, key: &Key) {
        if self.bits.is_empty() {
            return;
        }
        for (word, bit) in self.places(table, key) {
            self.bits[word] |= bit;
        }
    }

    fn may_have(&self, table: Table, key: &Key) -> bool {
        self.bits.is_empty() || self.places(table, key).all(|(word, bit)| self.bits[word] & bit != 0)
    }
}
