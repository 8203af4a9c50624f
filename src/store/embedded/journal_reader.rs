//! Reading the journal of a folder from outside: nothing is locked and nothing changed, so it goes beside the process
//! that serves from it. What that process is just writing is left out until it is whole.

use super::journal::entry::AuditPart;
use super::journal::scan::{self, Segment, SegmentEnd, Then};
use crate::store::{Audit, StoreError};
use std::path::{Path, PathBuf};

/// One change, as it is hashed: SHA-256 over `prev_hash`, `seq` as 8 bytes big-endian, and `payload`.
#[derive(Debug, Clone, Copy)]
pub struct JournalEntry<'a> {
    pub seq: u64,
    pub prev_hash: [u8; 32],
    pub hash: [u8; 32],
    /// JSON, in the bytes that were written.
    pub payload: &'a [u8],
}

impl JournalEntry<'_> {
    /// When it was made, by whom and what it was; None: the payload is not a change that this version reads.
    #[must_use]
    pub fn audit(&self) -> Option<(i64, Audit)> {
        serde_json::from_slice(self.payload).ok().map(|AuditPart { at_ms, audit }| (at_ms, audit))
    }
}

/// A place in the journal, from which it is read on.
pub struct JournalReader {
    folder: PathBuf,
    /// Where reading ended: the number of the segment, and how far it is read.
    at: (u64, SegmentEnd),
    /// The first change to visit.
    from: u64,
}

impl JournalReader {
    /// Before the change `from`; the chain is checked from the beginning of its segment on.
    ///
    /// Errors: no store, of a newer version, damaged or unreadable.
    pub fn before(folder: &Path, from: u64) -> Result<Self, StoreError> {
        let segments = segments(folder)?;
        let start = segments.iter().rfind(|segment| segment.first_seq <= from).or(segments.first());
        Self::at(folder, start, from)
    }

    /// Before the last `count` changes.
    ///
    /// Errors: no store, of a newer version, damaged or unreadable.
    pub fn before_last(folder: &Path, count: u64) -> Result<Self, StoreError> {
        let last = match segments(folder)?.last() {
            None => 0,
            Some(last) => scan::read(last, Then::End, &mut |_, _, _| Ok(()))?.seq,
        };
        Self::before(folder, last.saturating_sub(count) + 1)
    }

    fn at(folder: &Path, start: Option<&Segment>, from: u64) -> Result<Self, StoreError> {
        let start = start.ok_or_else(|| StoreError::NoStore(folder.to_owned()))?;
        Ok(Self { folder: folder.to_owned(), at: (start.number, start.start()), from })
    }

    /// Visits, in order, what was not visited before and is whole.
    ///
    /// Errors: damaged or unreadable; or what `visit` returns, after which the same change is visited again.
    pub fn read(
        &mut self,
        visit: &mut dyn FnMut(&JournalEntry<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let segments = segments(&self.folder)?;
        for (index, segment) in segments.iter().enumerate() {
            let (number, end) = self.at;
            if segment.number < number {
                continue;
            }
            let start = if segment.number == number { end } else { segment.start() };
            let then = Then::of(segments.get(index + 1));
            let from = &mut self.from;
            let end = scan::read_on(segment, then, start, &mut |entry, hash, _| {
                if entry.seq < *from {
                    return Ok(());
                }
                let (seq, prev_hash, payload) = (entry.seq, entry.prev_hash, entry.payload);
                visit(&JournalEntry { seq, prev_hash, hash, payload })?;
                *from = seq + 1;
                Ok(())
            })?;
            self.at = (segment.number, end);
        }
        Ok(())
    }
}

fn segments(folder: &Path) -> Result<Vec<Segment>, StoreError> {
    super::must_hold_store(folder)?;
    Ok(scan::list(&folder.join("journal"))?.0)
}
