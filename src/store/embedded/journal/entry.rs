//! What an entry of the journal says: the change as JSON, in version 1.

use super::Place;
use super::frame::Entry;
use super::scan::damaged;
use crate::store::{AcceptedClock, Audit, Changeset, CommitError, Expect, Key, MAX_KEY_BYTES, StoreError, Table};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use std::collections::HashSet;

/// Largest payload of one entry, in bytes.
pub(crate) const MAX_CHANGE_BYTES: usize = 16 * 1024 * 1024;
/// Most records that one change expects or writes.
const MAX_RECORDS: usize = 20_000;
/// Most subjects of one audit entry, each found by search.
const MAX_SUBJECTS: usize = 64;
/// Longest actor, action or subject, in bytes.
const MAX_NAME_BYTES: usize = 256;

const VERSION: u32 = 1;

/// A change as it is kept. The values stay the text they were written as, so that a replay stores the same bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Change {
    v: u32,
    pub(crate) at_ms: i64,
    pub(crate) audit: Audit,
    pub(crate) writes: Vec<RecordedWrite>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) idempotency: Option<RecordedAnswer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) accepted_clock: Option<AcceptedClock>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RecordedWrite {
    Put {
        table: Table,
        #[serde(with = "hex::serde")]
        key: Vec<u8>,
        schema: u16,
        value: Box<RawValue>,
    },
    Delete {
        table: Table,
        #[serde(with = "hex::serde")]
        key: Vec<u8>,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RecordedAnswer {
    #[serde(with = "hex::serde")]
    pub(crate) key: Vec<u8>,
    #[serde(flatten)]
    pub(crate) kept: KeptAnswer,
}

/// The value of a record of [`Table::Idempotency`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KeptAnswer {
    #[serde(with = "hex::serde")]
    pub(crate) fingerprint: [u8; 32],
    pub(crate) response: serde_json::Value,
    pub(crate) expires_at_ms: i64,
}

/// Just the part of an entry that the audit log shows.
#[derive(Debug, Deserialize)]
pub(crate) struct AuditPart {
    pub(crate) at_ms: i64,
    pub(crate) audit: Audit,
}

impl Change {
    /// Errors: the change breaks a bound, writes a record twice or touches the idempotency table by hand.
    pub(crate) fn record(change: &Changeset) -> Result<Self, CommitError> {
        check(change)?;
        let mut writes = Vec::with_capacity(change.writes.len());
        for write in &change.writes {
            let (table, key) = (write.table, write.key.as_bytes().to_vec());
            writes.push(match &write.value {
                None => RecordedWrite::Delete { table, key },
                Some(value) => {
                    let value = to_raw_value(value).map_err(|_| CommitError::Invalid("a value is not JSON"))?;
                    RecordedWrite::Put { table, key, schema: table.schema(), value }
                }
            });
        }
        let idempotency = change.idempotency.as_ref().map(|given| RecordedAnswer {
            key: given.key.clone(),
            kept: KeptAnswer {
                fingerprint: given.fingerprint,
                response: given.response.clone(),
                expires_at_ms: given.expires_at_ms,
            },
        });
        let accepted_clock = change.accepted_clock;
        Ok(Self { v: VERSION, at_ms: change.at_ms, audit: change.audit.clone(), writes, idempotency, accepted_clock })
    }

    /// Errors: above [`MAX_CHANGE_BYTES`].
    pub(crate) fn encode(&self) -> Result<Vec<u8>, CommitError> {
        let bytes = serde_json::to_vec(self).map_err(|_| CommitError::Invalid("the change is not JSON"))?;
        if bytes.len() > MAX_CHANGE_BYTES {
            return Err(CommitError::TooLarge { bytes: bytes.len(), most: MAX_CHANGE_BYTES });
        }
        Ok(bytes)
    }

    /// Errors: not a change, or of a version that only a newer build reads.
    pub(crate) fn decode(entry: &Entry<'_>) -> Result<Self, NotAChange> {
        let change: Self =
            serde_json::from_slice(entry.payload).map_err(|error| NotAChange::Bad(format!("not a change: {error}")))?;
        match change.v {
            found if found > VERSION => Err(NotAChange::Newer { seq: entry.seq, found }),
            _ => Ok(change),
        }
    }
}

/// Why an entry cannot be used.
#[derive(Debug)]
pub(crate) enum NotAChange {
    Bad(String),
    Newer { seq: u64, found: u32 },
}

impl NotAChange {
    pub(crate) fn at(self, place: Place) -> StoreError {
        match self {
            Self::Bad(what) => damaged(place.segment, place.offset, what),
            Self::Newer { seq, found } => StoreError::NewerEntry { seq, found, known: VERSION },
        }
    }
}

fn check(change: &Changeset) -> Result<(), CommitError> {
    if change.writes.len().max(change.expects.len()) > MAX_RECORDS {
        return Err(CommitError::TooLarge { bytes: change.writes.len(), most: MAX_RECORDS });
    }
    let mut written = HashSet::with_capacity(change.writes.len());
    for write in &change.writes {
        check_record(write.table, &write.key)?;
        if !written.insert((write.table, write.key.as_bytes())) {
            return Err(CommitError::Invalid("it writes one record twice"));
        }
    }
    for expect in &change.expects {
        let (Expect::Absent { table, key } | Expect::Revision { table, key, .. }) = expect;
        check_record(*table, key)?;
    }
    let names = [&change.audit.actor, &change.audit.action];
    if names.into_iter().chain(&change.audit.subject).any(|name| name.len() > MAX_NAME_BYTES) {
        return Err(CommitError::Invalid("an actor, action or subject is longer than 256 bytes"));
    }
    if change.audit.subject.len() > MAX_SUBJECTS {
        return Err(CommitError::Invalid("the audit entry names more than 64 subjects"));
    }
    match &change.idempotency {
        Some(given) if given.key.is_empty() || given.key.len() > MAX_KEY_BYTES => {
            Err(CommitError::Invalid("the idempotency key is empty or longer than 1024 bytes"))
        }
        _ => Ok(()),
    }
}

fn check_record(table: Table, key: &Key) -> Result<(), CommitError> {
    if table == Table::Idempotency {
        return Err(CommitError::Invalid("idempotency records are written by the store only"));
    }
    if key.as_bytes().is_empty() || key.as_bytes().len() > MAX_KEY_BYTES {
        return Err(CommitError::Invalid("a key is empty or longer than 1024 bytes"));
    }
    Ok(())
}
