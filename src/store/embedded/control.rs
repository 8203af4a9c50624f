//! The control plane's current state in sled: derived from the journal, rebuilt from it at any time.
//!
//! Trees: `records` (table tag ‖ key), `chunks` (parts of large values), `audit` (index into the journal), `due`
//! (idempotency records by expiry), `meta` (what was applied). The committer is the only writer; every write is
//! idempotent, so a replay over a half-applied group completes it.

use super::journal::Place;
use super::journal::entry::{Change, RecordedWrite};
use super::journal::frame::{Hash, Reader};
use super::record::{self, CHUNKED, INLINE};
use super::{audit_index, sled_failed};
use crate::store::{Key, StoreError, Table, Versioned};
use sled::{Db, IVec, Tree};

/// Longest piece of a value in one sled record, in bytes.
const PIECE: usize = 3_500;
const APPLIED: &[u8] = b"applied";

/// What the state reflects, kept with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Applied {
    pub(crate) seq: u64,
    pub(crate) hash: Hash,
    /// Records in `records`.
    pub(crate) count: u64,
    /// Wrapping sum of the records' checksums: notices what went missing as a whole.
    pub(crate) sum: u64,
    /// Latest time of any change since a clock was last accepted.
    pub(crate) at_ms: i64,
}

#[derive(Clone)]
pub(crate) struct Control {
    pub(crate) db: Db,
    records: Tree,
    chunks: Tree,
    pub(crate) audit: Tree,
    pub(super) due: Tree,
    pub(super) meta: Tree,
}

impl Control {
    pub(crate) fn over(db: Db) -> sled::Result<Self> {
        let tree = |name: &str| db.open_tree(name);
        Ok(Self {
            records: tree("records")?,
            chunks: tree("chunks")?,
            audit: tree("audit")?,
            due: tree("due")?,
            meta: tree("meta")?,
            db,
        })
    }

    /// Errors: the record of it is damaged.
    pub(crate) fn applied(&self) -> Result<Applied, StoreError> {
        let damaged = |what: &str| StoreError::Damaged { area: "the control state", what: what.to_owned() };
        let Some(bytes) = self.meta.get(APPLIED).map_err(sled_failed)? else {
            return Ok(Applied::default());
        };
        let record = record::decode(APPLIED, &bytes).map_err(damaged)?;
        let mut reader = Reader(record.payload);
        let mut read = || {
            let (seq, hash, count) = (reader.u64()?, reader.hash()?, reader.u64()?);
            Some(Applied { seq, hash, count, sum: reader.u64()?, at_ms: i64::from_be_bytes(reader.take()?) })
        };
        read().ok_or_else(|| damaged("what was applied is cut short"))
    }

    /// ORDER: after everything that it covers.
    pub(crate) fn set_applied(&self, applied: &Applied) -> Result<(), StoreError> {
        let (seq, count) = (applied.seq.to_be_bytes(), applied.count.to_be_bytes());
        let (sum, at_ms) = (applied.sum.to_be_bytes(), applied.at_ms.to_be_bytes());
        let bytes = record::encode(APPLIED, INLINE, 1, &[&seq, &applied.hash, &count, &sum, &at_ms]);
        self.meta.insert(APPLIED, bytes).map_err(sled_failed)?;
        Ok(())
    }

    /// Hands everything to the operating system.
    ///
    /// Errors: it cannot be written, now or at any time since it was opened.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        self.db.flush().map(|_| ()).map_err(sled_failed)
    }

    /// Brings one journal entry into the state; `applied` follows in memory only.
    pub(crate) fn apply(
        &self,
        applied: &mut Applied,
        (seq, hash): (u64, Hash),
        change: &Change,
        place: Place,
    ) -> Result<(), StoreError> {
        for write in &change.writes {
            match write {
                RecordedWrite::Put { table, key, schema, value } => {
                    self.put(applied, (*table, key), seq, *schema, value.get().as_bytes())?;
                }
                RecordedWrite::Delete { table, key } => self.delete(applied, *table, key)?,
            }
        }
        if let Some(answer) = &change.idempotency {
            self.keep_answer(applied, seq, answer)?;
        }
        audit_index::insert(&self.audit, seq, change, place)?;
        (applied.seq, applied.hash) = (seq, hash);
        match &change.accepted_clock {
            None => applied.at_ms = applied.at_ms.max(change.at_ms),
            Some(clock) => {
                self.accept_clock(seq, clock)?;
                applied.at_ms = change.at_ms;
            }
        }
        Ok(())
    }

    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Versioned>, StoreError> {
        let full = full_key(table, key);
        // A large value may be replaced between its head and its pieces; then the head has moved on.
        for _ in 0..100 {
            let Some(head) = self.records.get(&full).map_err(sled_failed)? else { return Ok(None) };
            if let Some(versioned) = self.versioned(table, &full, &head)? {
                return Ok(Some(versioned));
            }
            if self.records.get(&full).map_err(sled_failed)?.as_ref() == Some(&head) {
                return Err(record_damaged(table, key, "a piece of it is missing"));
            }
        }
        Err(record_damaged(table, key, "it changed at every look"))
    }

    /// The revision a record is at.
    pub(crate) fn revision(&self, table: Table, key: &[u8]) -> Result<Option<u64>, StoreError> {
        let full = full_key(table, key);
        let Some(head) = self.records.get(&full).map_err(sled_failed)? else { return Ok(None) };
        let record = record::decode(&full, &head).map_err(|what| record_damaged(table, key, what))?;
        let revision = Reader(record.payload).u64();
        revision.map(Some).ok_or_else(|| record_damaged(table, key, "it has no revision"))
    }

    /// Records from `prefix`, after `after`, in key order, at most `limit`.
    pub(crate) fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Key, Versioned)>, StoreError> {
        let full_prefix = full_key(table, prefix);
        let mut start = full_prefix.clone();
        if let Some(after) = after {
            // The least key above `after` is `after` with a zero behind it.
            start = start.max([&[table.tag()], after, &[0]].concat());
        }
        let mut found = Vec::new();
        for item in self.records.range(start..) {
            let (full, head) = item.map_err(sled_failed)?;
            if found.len() >= limit || !full.starts_with(&full_prefix) {
                break;
            }
            let key = &full[1..];
            let versioned = match self.versioned(table, &full, &head)? {
                Some(versioned) => Some(versioned),
                None => self.get(table, key)?,
            };
            if let Some(versioned) = versioned {
                found.push((Key::from_bytes(key.to_vec()), versioned));
            }
        }
        Ok(found)
    }

    /// Visits the full key and the stored bytes of every record.
    pub(crate) fn heads(&self) -> impl Iterator<Item = Result<(IVec, IVec), StoreError>> {
        self.records.iter().map(|item| item.map_err(sled_failed))
    }

    /// Reads every record; returns their number and the sum of their checksums.
    ///
    /// Errors: the first damaged one.
    pub(crate) fn count(&self) -> Result<(u64, u64), StoreError> {
        let (mut count, mut sum) = (0, 0_u64);
        for item in self.heads() {
            let (full, head) = item?;
            let (table, key) = split_key(&full)?;
            let record = record::decode(&full, &head).map_err(|what| record_damaged(table, key, what))?;
            if record.format != INLINE && self.value(&full, &head)?.is_none() {
                return Err(record_damaged(table, key, "a piece of it is missing"));
            }
            count += 1;
            sum = sum.wrapping_add(u64::from(record.crc));
        }
        Ok((count, sum))
    }

    /// The value behind a head, as the bytes that were written; None where a piece of it is not there.
    pub(crate) fn value(&self, full: &[u8], head: &[u8]) -> Result<Option<Value>, StoreError> {
        let (table, key) = split_key(full)?;
        let damaged = |what: &str| record_damaged(table, key, what);
        let record = record::decode(full, head).map_err(damaged)?;
        let mut reader = Reader(record.payload);
        let revision = reader.u64().ok_or_else(|| damaged("it has no revision"))?;
        if record.format == INLINE {
            return Ok(Some(Value { revision, schema: record.schema, json: reader.0.to_vec() }));
        }
        let len = reader.u32().filter(|_| record.format == CHUNKED).ok_or_else(|| damaged("its format is unknown"))?;
        let mut json = Vec::with_capacity(len as usize);
        for index in 0..(len as usize).div_ceil(PIECE) {
            let at = piece_key(full, revision, index as u32);
            let Some(piece) = self.chunks.get(&at).map_err(sled_failed)? else { return Ok(None) };
            json.extend_from_slice(record::decode(&at, &piece).map_err(damaged)?.payload);
        }
        if json.len() != len as usize {
            return Err(damaged("its pieces do not add up"));
        }
        Ok(Some(Value { revision, schema: record.schema, json }))
    }

    fn versioned(&self, table: Table, full: &[u8], head: &[u8]) -> Result<Option<Versioned>, StoreError> {
        let Some(value) = self.value(full, head)? else { return Ok(None) };
        let parsed = serde_json::from_slice(&value.json)
            .map_err(|error| record_damaged(table, &full[1..], &error.to_string()))?;
        Ok(Some(Versioned { revision: value.revision, value: table.upcast(value.schema, parsed)? }))
    }

    pub(super) fn put(
        &self,
        applied: &mut Applied,
        (table, key): (Table, &[u8]),
        seq: u64,
        schema: u16,
        json: &[u8],
    ) -> Result<(), StoreError> {
        let full = full_key(table, key);
        let revision = seq.to_be_bytes();
        let head = if json.len() <= PIECE {
            record::encode(&full, INLINE, schema, &[&revision, json])
        } else {
            // ORDER: the pieces are there before the head that points to them.
            for (index, piece) in json.chunks(PIECE).enumerate() {
                let at = piece_key(&full, seq, index as u32);
                let bytes = record::encode(&at, INLINE, schema, &[piece]);
                self.chunks.insert(at, bytes).map_err(sled_failed)?;
            }
            record::encode(&full, CHUNKED, schema, &[&revision, &(json.len() as u32).to_be_bytes()])
        };
        applied.sum = applied.sum.wrapping_add(u64::from(record::stored_crc(&head)));
        let before = self.records.insert(&full, head).map_err(sled_failed)?;
        match &before {
            None => applied.count += 1,
            Some(before) => applied.sum = applied.sum.wrapping_sub(u64::from(record::stored_crc(before))),
        }
        // A record that is there at its own revision means a replay, which may find pieces of any earlier one.
        let replayed = before.as_ref().is_some_and(|before| revision_of(before) == Some(seq));
        if replayed || before.as_ref().is_some_and(|before| before.first() == Some(&CHUNKED)) {
            self.remove_pieces(&full, Some(seq))?;
        }
        Ok(())
    }

    pub(super) fn delete(&self, applied: &mut Applied, table: Table, key: &[u8]) -> Result<(), StoreError> {
        let full = full_key(table, key);
        let before = self.records.remove(&full).map_err(sled_failed)?;
        if let Some(before) = &before {
            applied.count = applied.count.saturating_sub(1);
            applied.sum = applied.sum.wrapping_sub(u64::from(record::stored_crc(before)));
        }
        if before.is_none_or(|before| before.first() == Some(&CHUNKED)) {
            self.remove_pieces(&full, None)?;
        }
        Ok(())
    }

    fn remove_pieces(&self, full: &[u8], except: Option<u64>) -> Result<(), StoreError> {
        let prefix = piece_prefix(full);
        for item in self.chunks.scan_prefix(&prefix) {
            let (at, _) = item.map_err(sled_failed)?;
            if except.is_none() || Reader(&at[prefix.len()..]).u64() != except {
                self.chunks.remove(at).map_err(sled_failed)?;
            }
        }
        Ok(())
    }
}

/// A stored value as the bytes that were written.
pub(crate) struct Value {
    pub(crate) revision: u64,
    pub(crate) schema: u16,
    pub(crate) json: Vec<u8>,
}

pub(crate) fn full_key(table: Table, key: &[u8]) -> Vec<u8> {
    [&[table.tag()], key].concat()
}

/// Errors: the tag belongs to no table.
pub(crate) fn split_key(full: &[u8]) -> Result<(Table, &[u8]), StoreError> {
    let parts = full.split_first().and_then(|(tag, key)| Some((Table::from_tag(*tag)?, key)));
    parts.ok_or_else(|| StoreError::Damaged {
        area: "the control state",
        what: format!("no table has the key {}", full.escape_ascii()),
    })
}

fn revision_of(head: &[u8]) -> Option<u64> {
    Reader(head.get(record::HEADER..)?).u64()
}

/// INVARIANT: the length comes first, so that no record's pieces lie among another's.
fn piece_prefix(full: &[u8]) -> Vec<u8> {
    [&(full.len() as u16).to_be_bytes(), full].concat()
}

fn piece_key(full: &[u8], revision: u64, index: u32) -> Vec<u8> {
    [piece_prefix(full).as_slice(), &revision.to_be_bytes(), &index.to_be_bytes()].concat()
}

pub(super) fn record_damaged(table: Table, key: &[u8], what: &str) -> StoreError {
    StoreError::RecordDamaged { table, key: Key::from_bytes(key.to_vec()), what: what.to_owned() }
}
