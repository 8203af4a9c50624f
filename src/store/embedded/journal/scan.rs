//! Reading segments, and telling a torn tail from rot.

use super::frame::{
    ENTRY_HEADER, Entry, GROUP_HEADER, GROUP_MAGIC, Hash, SEGMENT_HEADER, SegmentHeader, decode_entry, decode_group,
    group_body_len,
};
use super::{MAX_GROUP_BYTES, Place};
use crate::store::StoreError;
use std::path::{Path, PathBuf};

/// Bytes of a segment that are read at once, where no longer group needs more.
const WINDOW_BYTES: usize = 1024 * 1024;

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
        if let Some((found, needs)) = SegmentHeader::newer(&start) {
            return Err(StoreError::NewerSegment { segment: number, found, known: super::frame::FORMAT, needs });
        }
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

impl Segment {
    /// Where reading it begins.
    pub(crate) fn start(&self) -> SegmentEnd {
        let len = SEGMENT_HEADER as u64;
        SegmentEnd { seq: self.first_seq - 1, hash: self.prev_hash, len, last_group: len, torn: 0 }
    }
}

/// What must come after what is read of a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Then<'a> {
    /// This segment: nothing may be torn, and the chain must meet it.
    Next(&'a Segment),
    /// Nothing, or a group that was never made durable.
    End,
    /// Whatever there is: so many bytes of this segment were made durable, and they are what is read.
    Durable(u64),
}

impl<'a> Then<'a> {
    /// After the segment before this one, if there is one.
    pub(crate) fn of(next: Option<&'a Segment>) -> Self {
        next.map_or(Self::End, Self::Next)
    }
}

/// Reads a whole segment, checks every checksum and the chain, and visits each entry with its hash and place.
///
/// Errors: damage, with the offset; or what `visit` returns.
pub(crate) fn read(segment: &Segment, then: Then<'_>, visit: Visit<'_>) -> Result<SegmentEnd, StoreError> {
    read_on(segment, then, segment.start(), visit)
}

/// Called for each entry, with its hash and place.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&Entry<'_>, Hash, Place) -> Result<(), StoreError>;

/// The same from where reading it ended before.
pub(crate) fn read_on(
    segment: &Segment,
    then: Then<'_>,
    from: SegmentEnd,
    visit: Visit<'_>,
) -> Result<SegmentEnd, StoreError> {
    let number = segment.number;
    let failed = |error| StoreError::io(format!("read segment {number}"))(error);
    let mut window = Window::over(&segment.path).map_err(failed)?;
    if let Then::Durable(len) = then {
        window.len = window.len.min(len);
    }
    let mut end = SegmentEnd { torn: 0, ..from };
    while end.len < window.len {
        let at = end.len;
        let group = match decode_group(window.group(at).map_err(failed)?) {
            Ok(group) => group,
            Err(what) => {
                if !matches!(then, Then::End) || !is_torn_tail(window.tail(at).map_err(failed)?) {
                    return Err(damaged(number, at, what));
                }
                tracing::debug!(segment = number, offset = at, what, "torn tail");
                end.torn = window.len - at;
                break;
            }
        };
        visit_group(number, group, &mut end, visit)?;
    }
    match then {
        Then::Next(next) if next.first_seq != end.seq + 1 || next.prev_hash != end.hash => {
            let what = format!("the segment ends at change {} but {} begins elsewhere", end.seq, next.number);
            Err(damaged(number, end.len, what))
        }
        Then::Durable(len) if end.len < len => {
            let what = format!("the segment was cut after change {}: {len} bytes of it were written", end.seq);
            Err(damaged(number, end.len, what))
        }
        Then::Next(_) | Then::Durable(_) | Then::End => Ok(end),
    }
}

/// Visits the entries of the group that begins where `end` is, and moves `end` behind it.
pub(super) fn visit_group(
    number: u64,
    (body, entries): (&[u8], u32),
    end: &mut SegmentEnd,
    visit: Visit<'_>,
) -> Result<(), StoreError> {
    let begins = end.len + GROUP_HEADER as u64;
    let mut offset = 0;
    for _ in 0..entries {
        let at = begins + offset as u64;
        let entry = decode_entry(body, offset).map_err(|what| damaged(number, at, what))?;
        if entry.seq != end.seq + 1 || entry.prev_hash != end.hash {
            return Err(damaged(number, at, "the entry does not continue the one before"));
        }
        let hash = entry.hash();
        visit(&entry, hash, Place { segment: number, offset: at, len: entry.encoded_len() as u32 })?;
        (end.seq, end.hash) = (entry.seq, hash);
        offset += entry.encoded_len();
    }
    if offset != body.len() {
        return Err(damaged(number, begins + offset as u64, "the group holds more than its entries"));
    }
    (end.last_group, end.len) = (end.len, begins + offset as u64);
    Ok(())
}

/// A piece of a file, moved over it: a segment is never in memory as a whole.
struct Window {
    file: std::fs::File,
    /// Up to which it is looked at.
    len: u64,
    /// Where the piece begins.
    at: u64,
    bytes: Vec<u8>,
}

impl Window {
    fn over(path: &Path) -> std::io::Result<Self> {
        let file = std::fs::File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { file, len, at: 0, bytes: Vec::new() })
    }

    /// What begins at `at`: all of a group, if one begins there and is whole.
    fn group(&mut self, at: u64) -> std::io::Result<&[u8]> {
        let body = group_body_len(self.from(at, GROUP_HEADER)?).filter(|len| *len <= MAX_GROUP_BYTES);
        self.from(at, GROUP_HEADER + body.unwrap_or(0))
    }

    /// All that is left, or more than a group can have.
    fn tail(&mut self, at: u64) -> std::io::Result<&[u8]> {
        self.from(at, MAX_GROUP_BYTES + 1)
    }

    /// At least so many bytes, as far as there are any.
    fn from(&mut self, at: u64, wanted: usize) -> std::io::Result<&[u8]> {
        use std::os::unix::fs::FileExt;
        let held = self.at + self.bytes.len() as u64;
        if at < self.at || at > held || (at + wanted as u64 > held && held < self.len) {
            let most = self.len.saturating_sub(at).min(wanted.max(WINDOW_BYTES) as u64) as usize;
            self.bytes.resize(most, 0);
            let mut read = 0;
            while read < most {
                match self.file.read_at(&mut self.bytes[read..], at + read as u64) {
                    Ok(0) => {
                        // It was shortened meanwhile.
                        self.len = at + read as u64;
                        break;
                    }
                    Ok(more) => read += more,
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            self.bytes.truncate(read);
            self.at = at;
        }
        Ok(&self.bytes[(at - self.at) as usize..])
    }
}

/// Whether what is left can be a group that was never made durable.
///
/// One group at a time is written and made durable, so nothing good can follow such a one, and it is not longer
/// than the longest group.
fn is_torn_tail(tail: &[u8]) -> bool {
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
