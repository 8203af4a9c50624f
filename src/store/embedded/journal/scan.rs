//! Reading segments, and telling a torn tail from rot.

use super::frame::{
    ENTRY_HEADER, Entry, GROUP_HEADER, GROUP_MAGIC, Hash, SEGMENT_HEADER, SegmentHeader, decode_entry, decode_group,
};
use super::{MAX_GROUP_BYTES, Place};
use crate::store::StoreError;
use std::path::{Path, PathBuf};

/// A segment by its header.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) number: u64,
    pub(crate) first_seq: u64,
    pub(crate) prev_hash: Hash,
}

/// Where the good part of a segment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentEnd {
    /// The last good entry: before the first, what the header says.
    pub(crate) seq: u64,
    pub(crate) hash: Hash,
    /// First byte after the last good group.
    pub(crate) len: u64,
    /// First byte of the last good group; equal to `len` where there is none.
    pub(crate) last_group: u64,
    /// Bytes after `len` that were never made durable.
    pub(crate) torn: u64,
}

/// The segments of a folder in order, by their headers; a last one whose header never became durable is left out
/// and returned apart.
///
/// Errors: a segment is missing, misnamed, out of order or does not continue the chain.
pub(crate) fn list(folder: &Path) -> Result<(Vec<Segment>, Option<PathBuf>), StoreError> {
    let mut paths = Vec::new();
    for item in std::fs::read_dir(folder).map_err(StoreError::io("read the journal folder"))? {
        let path = item.map_err(StoreError::io("read the journal folder"))?.path();
        let number = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".log"));
        if let Some(number) = number.and_then(|digits| digits.parse::<u64>().ok()) {
            paths.push((number, path));
        }
    }
    paths.sort();
    let mut segments: Vec<Segment> = Vec::with_capacity(paths.len());
    let last = paths.len();
    for (index, (number, path)) in paths.into_iter().enumerate() {
        let expected = index as u64 + 1;
        if number != expected {
            return Err(damaged(expected, 0, "the segment is missing"));
        }
        let mut start = Vec::new();
        let len = read_start(&path, &mut start).map_err(StoreError::io(format!("read segment {number}")))?;
        let header = match SegmentHeader::decode(&start) {
            Ok(header) => header,
            // ORDER: a header is made durable before the first group is written after it, so a bad one with
            // nothing behind it was never finished.
            Err(_) if index + 1 == last && len <= SEGMENT_HEADER as u64 => return Ok((segments, Some(path))),
            Err(what) => return Err(damaged(number, 0, what)),
        };
        if header.number != number {
            return Err(damaged(number, 12, format!("the file holds segment {}", header.number)));
        }
        let follows =
            segments.last().map_or(header.first_seq == 1 && header.prev_hash == super::frame::GENESIS, |before| {
                header.first_seq >= before.first_seq
            });
        if !follows {
            return Err(damaged(number, 20, "the segment does not continue the one before"));
        }
        segments.push(Segment { path, number, first_seq: header.first_seq, prev_hash: header.prev_hash });
    }
    Ok((segments, None))
}

fn read_start(path: &Path, into: &mut Vec<u8>) -> std::io::Result<u64> {
    use std::io::Read;
    let file = std::fs::File::open(path)?;
    let len = file.metadata()?.len();
    file.take(SEGMENT_HEADER as u64).read_to_end(into)?;
    Ok(len)
}

/// Reads a whole segment, checks every checksum and the chain, and visits each entry with its hash and place.
///
/// `next` is the segment after it, if there is one: then nothing may be torn, and the chain must meet it.
/// Errors: damage, with the offset; or what `visit` returns.
pub(crate) fn read(
    segment: &Segment,
    next: Option<&Segment>,
    visit: &mut dyn FnMut(&Entry<'_>, Hash, Place) -> Result<(), StoreError>,
) -> Result<SegmentEnd, StoreError> {
    let number = segment.number;
    let bytes = std::fs::read(&segment.path).map_err(StoreError::io(format!("read segment {number}")))?;
    let len = SEGMENT_HEADER as u64;
    let mut end = SegmentEnd { seq: segment.first_seq - 1, hash: segment.prev_hash, len, last_group: len, torn: 0 };
    let mut at = SEGMENT_HEADER;
    while at < bytes.len() {
        let (body, entries) = match decode_group(&bytes[at..]) {
            Ok(group) => group,
            Err(what) if next.is_none() && is_torn_tail(&bytes, at) => {
                tracing::debug!(segment = number, offset = at, what, "torn tail");
                end.torn = (bytes.len() - at) as u64;
                break;
            }
            Err(what) => return Err(damaged(number, at as u64, what)),
        };
        let group_end = at + GROUP_HEADER + body.len();
        let mut offset = at + GROUP_HEADER;
        for _ in 0..entries {
            let entry =
                decode_entry(&bytes[..group_end], offset).map_err(|what| damaged(number, offset as u64, what))?;
            if entry.seq != end.seq + 1 || entry.prev_hash != end.hash {
                return Err(damaged(number, offset as u64, "the entry does not continue the one before"));
            }
            let place = Place { segment: number, offset: offset as u64, len: entry.encoded_len() as u32 };
            let hash = entry.hash();
            visit(&entry, hash, place)?;
            (end.seq, end.hash) = (entry.seq, hash);
            offset += entry.encoded_len();
        }
        if offset != group_end {
            return Err(damaged(number, offset as u64, "the group holds more than its entries"));
        }
        (end.last_group, end.len) = (at as u64, group_end as u64);
        at = group_end;
    }
    match next {
        Some(next) if next.first_seq != end.seq + 1 || next.prev_hash != end.hash => Err(damaged(
            number,
            end.len,
            format!("the segment ends at change {} but {} begins elsewhere", end.seq, next.number),
        )),
        _ => Ok(end),
    }
}

/// Whether what begins at `at` can be a group that was never made durable.
///
/// One group at a time is written and made durable, so nothing good can follow such a one, and it is not longer
/// than the longest group.
fn is_torn_tail(bytes: &[u8], at: usize) -> bool {
    let tail = &bytes[at..];
    if tail.len() > MAX_GROUP_BYTES {
        return false;
    }
    let mut from = 1;
    while let Some(found) = find_magic(tail, from) {
        if decode_group(&tail[found..]).is_ok() {
            return false;
        }
        from = found + 1;
    }
    true
}

fn find_magic(bytes: &[u8], from: usize) -> Option<usize> {
    bytes.get(from..)?.windows(GROUP_MAGIC.len()).position(|window| window == GROUP_MAGIC).map(|at| at + from)
}

/// Reads one entry by its place.
pub(crate) fn read_entry(folder: &Path, place: Place) -> Result<Vec<u8>, StoreError> {
    use std::os::unix::fs::FileExt;
    let doing = || format!("read segment {}", place.segment);
    if (place.len as usize) < ENTRY_HEADER || place.len as usize > MAX_GROUP_BYTES {
        return Err(damaged(place.segment, place.offset, "the index points to no entry"));
    }
    let file = std::fs::File::open(super::path(folder, place.segment)).map_err(StoreError::io(doing()))?;
    let mut bytes = vec![0; place.len as usize];
    file.read_exact_at(&mut bytes, place.offset).map_err(StoreError::io(doing()))?;
    Ok(bytes)
}

pub(crate) fn damaged(segment: u64, offset: u64, what: impl Into<String>) -> StoreError {
    StoreError::JournalDamaged { segment, offset, what: what.into() }
}
