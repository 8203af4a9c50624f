//! Checks segments as they come by piece by piece, so that what is copied is what was checked.

use super::MAX_GROUP_BYTES;
use super::frame::{GENESIS, GROUP_HEADER, Hash, SEGMENT_HEADER, SegmentHeader, decode_group, group_body_len};
use super::scan::{SegmentEnd, damaged, visit_group};
use crate::store::StoreError;

/// A journal from its beginning, of which every byte comes by once.
pub(crate) struct Passing {
    number: u64,
    end: SegmentEnd,
    /// What has come and is not a whole group yet.
    pending: Vec<u8>,
}

impl Passing {
    pub(crate) fn new() -> Self {
        let end = SegmentEnd { seq: 0, hash: GENESIS, len: 0, last_group: 0, torn: 0 };
        Self { number: 0, end, pending: Vec::new() }
    }

    /// The next piece of a segment.
    ///
    /// Errors: damage, with the place.
    pub(crate) fn take(&mut self, number: u64, piece: &[u8]) -> Result<(), StoreError> {
        if number != self.number {
            self.finish()?;
            self.number = number;
            (self.end.len, self.end.last_group) = (0, 0);
        }
        self.pending.extend_from_slice(piece);
        let mut done = 0;
        if self.end.len == 0 {
            let Some(header) = self.pending.get(..SEGMENT_HEADER) else { return Ok(()) };
            self.begin(&SegmentHeader::decode(header).map_err(|what| damaged(number, 0, what))?)?;
            done = SEGMENT_HEADER;
        }
        while let Some(len) = whole_group(&self.pending[done..]).map_err(|what| damaged(number, self.end.len, what))? {
            let group = &self.pending[done..done + len];
            let group = decode_group(group).map_err(|what| damaged(number, self.end.len, what))?;
            visit_group(number, group, &mut self.end, &mut |_, _, _| Ok(()))?;
            done += len;
        }
        self.pending.drain(..done);
        Ok(())
    }

    /// The last change and its hash; nothing may be left over.
    pub(crate) fn finish(&self) -> Result<(u64, Hash), StoreError> {
        match self.pending.is_empty() {
            true => Ok((self.end.seq, self.end.hash)),
            false => Err(damaged(self.number, self.end.len, "the segment ends within a group")),
        }
    }

    fn begin(&mut self, header: &SegmentHeader) -> Result<(), StoreError> {
        if header.number != self.number {
            return Err(damaged(self.number, 12, format!("the file holds segment {}", header.number)));
        }
        if header.first_seq != self.end.seq + 1 || header.prev_hash != self.end.hash {
            return Err(damaged(self.number, 20, "the segment does not continue the one before"));
        }
        self.end.len = SEGMENT_HEADER as u64;
        self.end.last_group = self.end.len;
        Ok(())
    }
}

/// Length of the group that begins here, once it is there as a whole.
fn whole_group(bytes: &[u8]) -> Result<Option<usize>, &'static str> {
    if bytes.len() < GROUP_HEADER {
        return Ok(None);
    }
    let body = group_body_len(bytes).filter(|len| *len <= MAX_GROUP_BYTES).ok_or("no group begins here")?;
    Ok(Some(GROUP_HEADER + body).filter(|len| bytes.len() >= *len))
}
