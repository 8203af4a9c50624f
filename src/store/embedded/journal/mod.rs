//! The journal: append-only segments of groups, checksummed and hash-chained, made durable group by group.
//!
//! It is the write-ahead log and the audit log in one. Deliberately absent: what a change means, and compaction.

pub(crate) mod entry;
pub(crate) mod frame;
pub(crate) mod passing;
pub(crate) mod scan;

use super::failpoint::{Safeguard, taken_out};
use super::layer::{FileLayer, JournalFile, is_out_of_files, write_all};
use crate::store::StoreError;
use frame::{GENESIS, GROUP_HEADER, GroupBuilder, Hash, SEGMENT_HEADER, SegmentHeader};
use scan::{Segment, SegmentEnd, Then};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Payload bytes after which no further change is taken into a group.
pub(crate) const GROUP_FULL_BYTES: usize = 4 * 1024 * 1024;
/// Most changes in one group.
pub(crate) const MAX_GROUP_ENTRIES: usize = 512;
/// Longest group: a nearly full one that takes in the longest change.
pub(crate) const MAX_GROUP_BYTES: usize =
    GROUP_FULL_BYTES + entry::MAX_CHANGE_BYTES + MAX_GROUP_ENTRIES * frame::ENTRY_HEADER + GROUP_HEADER;

/// Where an entry lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) len: u32,
}

/// An entry that was appended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Appended {
    pub(crate) seq: u64,
    pub(crate) hash: Hash,
    pub(crate) place: Place,
}

/// Why a group was not appended.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// The journal is as it was before.
    Refused(io::Error),
    /// It may hold a part of the group; nothing more may be written.
    Broken(io::Error),
}

pub(crate) struct Journal {
    folder: PathBuf,
    layer: Arc<dyn FileLayer>,
    segment_bytes: u64,
    file: Box<dyn JournalFile>,
    number: u64,
    /// Of the current segment, up to which it is good.
    len: u64,
    last_seq: u64,
    last_hash: Hash,
    /// The segment after this one, empty, so that going on in it needs no descriptor.
    next: Option<Next>,
    /// When the last change was made that was there at the start.
    found_at_ms: Option<i64>,
}

/// A segment that is made ahead.
struct Next {
    file: Box<dyn JournalFile>,
    name_is_durable: bool,
}

/// What a folder holds, before anything in it is changed.
pub(crate) struct Found {
    folder: PathBuf,
    pub(crate) segments: Vec<Segment>,
    /// A last one whose header never became durable.
    unfinished: Option<PathBuf>,
    /// Where the last one ends; None: there is none.
    end: Option<SegmentEnd>,
    /// When the last change was made.
    at_ms: Option<i64>,
}

pub(crate) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:010}.log"))
}

impl Found {
    /// Errors: damage that is no torn tail.
    pub(crate) fn look(folder: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder).map_err(StoreError::io("make the journal folder"))?;
        let (segments, unfinished) = scan::list(folder)?;
        let read = segments.last().map(|last| read_last(&segments, last)).transpose()?;
        let (end, at_ms) = read.map_or((None, None), |(end, at_ms)| (Some(end), at_ms));
        Ok(Self { folder: folder.to_owned(), segments, unfinished, end, at_ms })
    }

    /// The last change that is whole.
    pub(crate) fn last_seq(&self) -> u64 {
        self.end.map_or(0, |end| end.seq)
    }

    pub(crate) fn last_hash(&self) -> Hash {
        self.end.map_or(GENESIS, |end| end.hash)
    }

    /// Bytes of a group that is not whole.
    pub(crate) fn torn_bytes(&self) -> u64 {
        self.end.map_or(0, |end| end.torn)
    }
}

impl Journal {
    /// Opens what was found for appending, starting the first segment where there is none.
    ///
    /// Cuts a torn tail and makes durable what was found. Returns the segments too.
    pub(crate) fn open(
        found: Found,
        layer: Arc<dyn FileLayer>,
        segment_bytes: u64,
    ) -> Result<(Self, Vec<Segment>), StoreError> {
        let Found { folder, mut segments, unfinished, end, at_ms } = found;
        if let Some(path) = &unfinished {
            layer.remove(path).map_err(StoreError::io("remove an unfinished segment"))?;
        }
        let doing = "open the last journal segment";
        let (file, number, end) = match segments.last().zip(end) {
            None => {
                let header = SegmentHeader { number: 1, first_seq: 1, prev_hash: GENESIS };
                let file = start_segment(&*layer, &folder, &header).map_err(StoreError::io("start the journal"))?;
                let first = Segment { path: path(&folder, 1), number: 1, first_seq: 1, prev_hash: GENESIS };
                let end = first.start();
                segments.push(first);
                (file, 1, end)
            }
            Some((last, end)) => {
                let mut file = layer.open(&last.path).map_err(StoreError::io(doing))?;
                settle(&mut *file, &last.path, &end).map_err(StoreError::io(doing))?;
                layer.sync_folder(&folder).map_err(StoreError::io(doing))?;
                (file, last.number, end)
            }
        };
        let (len, last_seq, last_hash) = (end.len, end.seq, end.hash);
        let found_at_ms = at_ms;
        let next = None;
        let journal = Self { folder, layer, segment_bytes, file, number, len, last_seq, last_hash, next, found_at_ms };
        Ok((journal, segments))
    }

    /// Makes the next segment ahead, where it is not there yet.
    ///
    /// Errors: it could not be made; the present one can still be written to where it was refused.
    pub(crate) fn prepare(&mut self) -> Result<(), AppendError> {
        let next = match &mut self.next {
            Some(next) => next,
            none => {
                let path = path(&self.folder, self.number + 1);
                let file = self.layer.create(&path).map_err(AppendError::Refused)?;
                none.insert(Next { file, name_is_durable: false })
            }
        };
        if !next.name_is_durable {
            match self.layer.sync_folder(&self.folder) {
                Ok(()) => next.name_is_durable = true,
                // It was not reached, so nothing was tried that must not be tried again.
                Err(error) if is_out_of_files(&error) => return Err(AppendError::Refused(error)),
                Err(error) => return Err(AppendError::Broken(error)),
            }
        }
        Ok(())
    }

    /// Removes a segment that was made ahead and is not needed any more.
    pub(crate) fn unprepare(&mut self) {
        if self.next.take().is_some()
            && let Err(error) = self.layer.remove(&path(&self.folder, self.number + 1))
        {
            tracing::warn!(%error, "an empty journal segment stays; the next start takes it away");
        }
    }

    /// When the last change was made that was there at the start; None: there was none.
    pub(crate) fn found_at_ms(&self) -> Option<i64> {
        self.found_at_ms
    }

    pub(crate) fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Position of the end: the current segment and its length.
    pub(crate) fn position(&self) -> (u64, u64) {
        (self.number, self.len)
    }

    /// Writes one group; it is not durable before [`Self::sync`].
    ///
    /// INVARIANT: one group is written and made durable before the next is begun.
    pub(crate) fn append(&mut self, payloads: &[&[u8]]) -> Result<Vec<Appended>, AppendError> {
        let bytes = payloads.iter().map(|payload| payload.len()).sum();
        let mut group = GroupBuilder::with_capacity(bytes, payloads.len());
        let (mut seq, mut hash) = (self.last_seq, self.last_hash);
        let mut appended = Vec::with_capacity(payloads.len());
        for payload in payloads {
            seq += 1;
            let (offset, new_hash) = group.push(seq, &hash, payload);
            hash = new_hash;
            let len = (frame::ENTRY_HEADER + payload.len()) as u32;
            appended.push(Appended { seq, hash, place: Place { segment: 0, offset: offset as u64, len } });
        }
        let group = group.finish();
        if self.len > SEGMENT_HEADER as u64 && self.len + group.len() as u64 > self.segment_bytes {
            self.roll()?;
        }
        if let Err(error) = write_all(&mut *self.file, self.len, &group) {
            return Err(match self.file.set_len(self.len) {
                Ok(()) => AppendError::Refused(error),
                Err(_) => AppendError::Broken(error),
            });
        }
        for entry in &mut appended {
            entry.place.segment = self.number;
            entry.place.offset += self.len;
        }
        self.len += group.len() as u64;
        (self.last_seq, self.last_hash) = (seq, hash);
        Ok(appended)
    }

    /// Makes the group durable. After an error nothing more may be written: the pages may be gone.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if taken_out(Safeguard::Fsync) {
            return Ok(());
        }
        self.file.sync()
    }

    /// Goes on in the next segment. After a refusal the one made ahead is there still, and empty.
    fn roll(&mut self) -> Result<(), AppendError> {
        self.prepare()?;
        let Some(next) = &mut self.next else { return Ok(()) };
        let header = SegmentHeader { number: self.number + 1, first_seq: self.last_seq + 1, prev_hash: self.last_hash };
        if let Err(error) = write_all(&mut *next.file, 0, &header.encode()) {
            return Err(match next.file.set_len(0) {
                Ok(()) => AppendError::Refused(error),
                Err(_) => AppendError::Broken(error),
            });
        }
        // A failed fsync may have dropped the pages, so a second one would prove nothing.
        next.file.sync().map_err(AppendError::Broken)?;
        if let Some(Next { file, .. }) = self.next.take() {
            self.file = file;
            self.number = header.number;
            self.len = SEGMENT_HEADER as u64;
        }
        Ok(())
    }
}

/// Where the last segment ends, and when the last change was made.
fn read_last(segments: &[Segment], last: &Segment) -> Result<(SegmentEnd, Option<i64>), StoreError> {
    // Only the newest is looked into: each replaces the one before.
    let mut payload = Vec::new();
    let mut keep = |entry: &frame::Entry<'_>, _, _| {
        payload.clear();
        payload.extend_from_slice(entry.payload);
        Ok(())
    };
    let end = scan::read(last, Then::End, &mut keep)?;
    if end.seq < last.first_seq
        && let [.., before, _] = segments
    {
        // It was begun and nothing was written to it.
        scan::read(before, Then::Next(last), &mut keep)?;
    }
    // What does not say when is told by whoever reads it as a change.
    let part = serde_json::from_slice::<entry::AuditPart>(&payload).ok();
    Ok((end, part.map(|part| part.at_ms)))
}

/// ORDER: header, its durability and the name's durability come before the first group.
fn start_segment(layer: &dyn FileLayer, folder: &Path, header: &SegmentHeader) -> io::Result<Box<dyn JournalFile>> {
    let mut file = layer.create(&path(folder, header.number))?;
    write_all(&mut *file, 0, &header.encode())?;
    file.sync()?;
    layer.sync_folder(folder)?;
    Ok(file)
}

/// Cuts the torn tail and writes the last group once more before making it durable.
///
/// It may have been read from pages that a failed or missing fsync left clean but not on disk; an fsync alone would
/// then do nothing.
fn settle(file: &mut dyn JournalFile, path: &Path, end: &SegmentEnd) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    if end.torn > 0 {
        file.set_len(end.len)?;
    }
    let mut group = vec![0; (end.len - end.last_group) as usize];
    std::fs::File::open(path)?.read_exact_at(&mut group, end.last_group)?;
    write_all(file, end.last_group, &group)?;
    file.sync()
}

#[cfg(test)]
mod tests {
    use super::super::layer::RealFiles;
    use super::*;

    fn open(folder: &Path) -> Result<(Journal, Vec<Segment>, u64), StoreError> {
        let found = Found::look(folder)?;
        let torn = found.torn_bytes();
        let (journal, segments) = Journal::open(found, Arc::new(RealFiles), 1 << 20)?;
        Ok((journal, segments, torn))
    }

    #[test]
    fn a_group_torn_at_any_byte_is_cut_and_written_again() {
        let source = tempfile::tempdir().unwrap();
        let (mut journal, ..) = open(source.path()).unwrap();
        journal.append(&[b"one", b"two"]).unwrap();
        let (_, good) = journal.position();
        journal.append(&[b"three".as_slice(), &[0xF7; 200], b"five"]).unwrap();
        journal.sync().unwrap();
        let bytes = std::fs::read(path(source.path(), 1)).unwrap();

        for len in good as usize..bytes.len() {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(path(folder.path(), 1), &bytes[..len]).unwrap();

            let (mut journal, _, torn) = open(folder.path()).unwrap();
            let again = journal.append(&[b"three"]).unwrap();

            assert_eq!((torn, journal.last_seq()), (len as u64 - good, 3));
            assert_eq!(again[0].place.offset, good + GROUP_HEADER as u64);
            let (journal, _, torn) = open(folder.path()).unwrap();
            assert_eq!((torn, journal.last_seq()), (0, 3));
        }
    }

    #[test]
    fn a_bad_byte_before_a_good_group_is_never_taken_for_a_torn_tail() {
        let source = tempfile::tempdir().unwrap();
        let (mut journal, ..) = open(source.path()).unwrap();
        for payload in [b"one".as_slice(), b"two", b"three"] {
            journal.append(&[payload]).unwrap();
        }
        let bytes = std::fs::read(path(source.path(), 1)).unwrap();
        let last_group = bytes.len() - GROUP_HEADER - frame::ENTRY_HEADER - b"three".len();

        for at in 0..last_group {
            let folder = tempfile::tempdir().unwrap();
            let mut bad = bytes.clone();
            bad[at] ^= 0x40;
            std::fs::write(path(folder.path(), 1), bad).unwrap();

            let error = open(folder.path()).err();

            assert!(matches!(error, Some(StoreError::JournalDamaged { segment: 1, .. })), "byte {at}: {error:?}");
        }
    }
}
