//! The audit log's index: by time, by actor, by subject, each pointing to an entry of the journal.
//!
//! Keys: `kind u8 | actor or subject, where it has one | at_ms | seq`. Values: `segment u64 | offset u64 | len u32`.

use super::journal::entry::{AuditPart, Change};
use super::journal::frame::{Reader, decode_entry};
use super::journal::{Place, scan};
use super::sled_failed;
use crate::store::{AuditCursor, AuditEntry, AuditFilter, AuditPage, Key, KeyBuilder, StoreError};
use sled::Tree;
use std::path::Path;

const BY_TIME: u8 = 1;
const BY_ACTOR: u8 = 2;
const BY_SUBJECT: u8 = 3;
/// Most entries on one page.
const MAX_PAGE: usize = 200;
/// Most index rows looked at for one page.
const MAX_LOOKED_AT: usize = 5_000;

pub(crate) fn insert(tree: &Tree, seq: u64, change: &Change, place: Place) -> Result<(), StoreError> {
    let mut value = [0; 20];
    value[..8].copy_from_slice(&place.segment.to_be_bytes());
    value[8..16].copy_from_slice(&place.offset.to_be_bytes());
    value[16..].copy_from_slice(&place.len.to_be_bytes());
    let put = |key: KeyBuilder| {
        let key = key.i64(change.at_ms).u64(seq).finish();
        tree.insert(key.as_bytes(), &value).map(|_| ()).map_err(sled_failed)
    };
    put(Key::build().u8(BY_TIME))?;
    put(actor_prefix(change.audit.actor_kind.as_str(), &change.audit.actor))?;
    for subject in &change.audit.subject {
        put(Key::build().u8(BY_SUBJECT).text(subject))?;
    }
    Ok(())
}

fn actor_prefix(kind: &str, actor: &str) -> KeyBuilder {
    Key::build().u8(BY_ACTOR).text(kind).text(actor)
}

/// How many changes are indexed.
pub(crate) fn count(tree: &Tree) -> Result<u64, StoreError> {
    let mut rows = 0;
    for item in tree.scan_prefix([BY_TIME]) {
        item.map_err(sled_failed)?;
        rows += 1;
    }
    Ok(rows)
}

/// Walks the narrowest index from the newest on; what it does not cover is compared with the entry itself.
pub(crate) fn search(
    tree: &Tree,
    journal: &Path,
    filter: &AuditFilter,
    after: Option<AuditCursor>,
    limit: usize,
) -> Result<AuditPage, StoreError> {
    let prefix = || match (&filter.subject, &filter.actor) {
        (Some(subject), _) => Key::build().u8(BY_SUBJECT).text(subject),
        (None, Some((kind, actor))) => actor_prefix(kind.as_str(), actor),
        (None, None) => Key::build().u8(BY_TIME),
    };
    let start = prefix().i64(filter.from_ms.unwrap_or(i64::MIN)).finish();
    let end = match (after, filter.until_ms) {
        (Some(cursor), _) => prefix().i64(cursor.at_ms).u64(cursor.seq).finish(),
        (None, Some(until_ms)) => prefix().i64(until_ms).finish(),
        (None, None) => prefix().i64(i64::MAX).u64(u64::MAX).finish(),
    };
    let mut page = AuditPage { entries: Vec::new(), next: None };
    if start >= end {
        return Ok(page);
    }
    let prefix_len = prefix().finish().as_bytes().len();
    let limit = limit.clamp(1, MAX_PAGE);
    for (looked_at, item) in tree.range(start.as_bytes()..end.as_bytes()).rev().enumerate() {
        let (key, value) = item.map_err(sled_failed)?;
        if page.entries.len() >= limit || looked_at >= MAX_LOOKED_AT {
            return Ok(page);
        }
        let (cursor, place) = read_row(&key[prefix_len..], &value)
            .ok_or_else(|| StoreError::Damaged { area: "the audit index", what: "a row is cut short".to_owned() })?;
        let entry = read_entry(journal, cursor, place)?;
        page.next = Some(cursor);
        if matches(filter, &entry) {
            page.entries.push(entry);
        }
    }
    page.next = None;
    Ok(page)
}

fn matches(filter: &AuditFilter, entry: &AuditEntry) -> bool {
    let audit = &entry.audit;
    filter.actor.as_ref().is_none_or(|(kind, actor)| *kind == audit.actor_kind && *actor == audit.actor)
        && filter.subject.as_ref().is_none_or(|subject| audit.subject.contains(subject))
        && filter.action.as_ref().is_none_or(|action| *action == audit.action)
        && filter.until_ms.is_none_or(|until_ms| entry.at_ms < until_ms)
}

fn read_row(key: &[u8], value: &[u8]) -> Option<(AuditCursor, Place)> {
    let key = Key::from_bytes(key.to_vec());
    let mut key = key.read();
    let mut value = Reader(value);
    let cursor = AuditCursor { at_ms: key.i64()?, seq: key.u64()? };
    Some((cursor, Place { segment: value.u64()?, offset: value.u64()?, len: value.u32()? }))
}

fn read_entry(journal: &Path, cursor: AuditCursor, place: Place) -> Result<AuditEntry, StoreError> {
    let damaged = |what: String| scan::damaged(place.segment, place.offset, what);
    let bytes = scan::read_entry(journal, place)?;
    let entry = decode_entry(&bytes, 0).map_err(|what| damaged(what.to_owned()))?;
    if entry.seq != cursor.seq {
        return Err(damaged(format!("change {} was expected, {} is there", cursor.seq, entry.seq)));
    }
    let part: AuditPart = serde_json::from_slice(entry.payload).map_err(|error| damaged(error.to_string()))?;
    Ok(AuditEntry {
        seq: entry.seq,
        at_ms: part.at_ms,
        audit: part.audit,
        prev_hash: entry.prev_hash,
        hash: entry.hash(),
    })
}
