//! The bytes of the journal. All numbers are big-endian.
//!
//! ```text
//! segment  magic 8 | format u16 | needs u8.u8 | number u64 | first seq u64 | prev hash 32 | crc32c u32 of what is before
//! group    magic 8 | body length u32 | entries u32 | crc32c u32 of (body length, entries, body) | body
//! entry    length u32 of the payload | crc32c u32 of (seq, prev hash, payload) | seq u64 | prev hash 32 | payload
//! ```
//!
//! The header of a segment stays as it is in every format, so that an older version can say which one is needed: the
//! oldest that reads it (major, minor), 0.0 where any does that knows the format.
//!
//! hash = SHA-256(prev hash ‖ seq ‖ payload). The group carries length and checksum because a power cut can leave a
//! bad entry before good ones in a tail that was never fsynced, which is a torn tail and not rot in the middle.

use sha2::{Digest, Sha256};

pub(crate) const FORMAT: u16 = 1;
// INVARIANT: neither magic is valid UTF-8, so that no JSON payload contains one.
const SEGMENT_MAGIC: [u8; 8] = *b"\xF7QGSEG\r\n";
pub(crate) const GROUP_MAGIC: [u8; 8] = *b"\xF7QGGRP\r\n";
pub(crate) const SEGMENT_HEADER: usize = 64;
pub(crate) const GROUP_HEADER: usize = 20;
pub(crate) const ENTRY_HEADER: usize = 48;

pub(crate) type Hash = [u8; 32];

/// What the chain starts from.
pub(crate) const GENESIS: Hash = [0; 32];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) number: u64,
    pub(crate) first_seq: u64,
    pub(crate) prev_hash: Hash,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..10].copy_from_slice(&FORMAT.to_be_bytes());
        bytes[12..20].copy_from_slice(&self.number.to_be_bytes());
        bytes[20..28].copy_from_slice(&self.first_seq.to_be_bytes());
        bytes[28..60].copy_from_slice(&self.prev_hash);
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// The format of the segment and the version that reads it, where it is a newer one than this.
    pub(crate) fn newer(bytes: &[u8]) -> Option<(u16, String)> {
        let (content, crc) = bytes.first_chunk::<SEGMENT_HEADER>()?.split_last_chunk::<4>()?;
        let is_whole = content[..8] == SEGMENT_MAGIC && u32::from_be_bytes(*crc) == crc32c::crc32c(content);
        let format = u16::from_be_bytes([content[8], content[9]]);
        let needs = match (content[10], content[11]) {
            (0, 0) => "the version that wrote it or a newer one".to_owned(),
            (major, minor) => format!("version {major}.{minor} or newer"),
        };
        (is_whole && format > FORMAT).then_some((format, needs))
    }

    /// Errors: what is wrong with the header, in words.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let header = bytes.first_chunk::<SEGMENT_HEADER>().ok_or("the segment header is cut short")?;
        let (content, crc) = header.split_last_chunk::<4>().ok_or("the segment header is cut short")?;
        if u32::from_be_bytes(*crc) != crc32c::crc32c(content) {
            return Err("the segment header fails its checksum".to_owned());
        }
        if content[..8] != SEGMENT_MAGIC {
            return Err("this is not a journal segment".to_owned());
        }
        let mut rest = Reader(&content[8..]);
        let format = rest.u16().unwrap_or(0);
        if format != FORMAT {
            return Err(format!("the segment has format {format}, this version reads {FORMAT}"));
        }
        let parsed = rest.u16().and_then(|_| Some((rest.u64()?, rest.u64()?, rest.hash()?)));
        let (number, first_seq, prev_hash) = parsed.ok_or("the segment header is cut short")?;
        Ok(Self { number, first_seq, prev_hash })
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) seq: u64,
    pub(crate) prev_hash: Hash,
    pub(crate) payload: &'a [u8],
}

impl Entry<'_> {
    pub(crate) fn hash(&self) -> Hash {
        chain(&self.prev_hash, self.seq, self.payload)
    }

    pub(crate) fn encoded_len(&self) -> usize {
        ENTRY_HEADER + self.payload.len()
    }
}

pub(crate) fn chain(prev_hash: &Hash, seq: u64, payload: &[u8]) -> Hash {
    Sha256::new().chain_update(prev_hash).chain_update(seq.to_be_bytes()).chain_update(payload).finalize().into()
}

/// Builds one group; the header is filled in last.
pub(crate) struct GroupBuilder {
    bytes: Vec<u8>,
    entries: u32,
}

impl GroupBuilder {
    pub(crate) fn with_capacity(payload_bytes: usize, entries: usize) -> Self {
        let mut bytes = Vec::with_capacity(GROUP_HEADER + payload_bytes + entries * ENTRY_HEADER);
        bytes.resize(GROUP_HEADER, 0);
        Self { bytes, entries: 0 }
    }

    /// Returns the offset of the entry within the group, and its hash.
    pub(crate) fn push(&mut self, seq: u64, prev_hash: &Hash, payload: &[u8]) -> (usize, Hash) {
        let offset = self.bytes.len();
        let crc = entry_crc(seq, prev_hash, payload);
        self.bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        self.bytes.extend_from_slice(&crc.to_be_bytes());
        self.bytes.extend_from_slice(&seq.to_be_bytes());
        self.bytes.extend_from_slice(prev_hash);
        self.bytes.extend_from_slice(payload);
        self.entries += 1;
        (offset, chain(prev_hash, seq, payload))
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        let body_len = (self.bytes.len() - GROUP_HEADER) as u32;
        let crc = group_crc(body_len, self.entries, &self.bytes[GROUP_HEADER..]);
        self.bytes[..8].copy_from_slice(&GROUP_MAGIC);
        self.bytes[8..12].copy_from_slice(&body_len.to_be_bytes());
        self.bytes[12..16].copy_from_slice(&self.entries.to_be_bytes());
        self.bytes[16..20].copy_from_slice(&crc.to_be_bytes());
        self.bytes
    }
}

/// How long the body of the group says it is that begins `bytes`. None: no group begins there.
pub(crate) fn group_body_len(bytes: &[u8]) -> Option<usize> {
    let mut reader = Reader(bytes);
    (reader.take::<8>()? == GROUP_MAGIC).then(|| reader.u32()).flatten().map(|len| len as usize)
}

/// The body of the group that begins `bytes`, and how many entries it says it has.
///
/// Errors: what is wrong with it, in words.
pub(crate) fn decode_group(bytes: &[u8]) -> Result<(&[u8], u32), &'static str> {
    let mut reader = Reader(bytes);
    if reader.take::<8>() != Some(GROUP_MAGIC) {
        return Err("no group begins here");
    }
    let header = reader.u32().and_then(|len| Some((len, reader.u32()?, reader.u32()?)));
    let (body_len, entries, crc) = header.ok_or("the group header is cut short")?;
    let body = reader.0.get(..body_len as usize).ok_or("the group is cut short")?;
    if crc != group_crc(body_len, entries, body) {
        return Err("the group fails its checksum");
    }
    Ok((body, entries))
}

/// The entry at `offset` of `bytes`.
///
/// Errors: what is wrong with it, in words.
pub(crate) fn decode_entry(bytes: &[u8], offset: usize) -> Result<Entry<'_>, &'static str> {
    let mut reader = Reader(bytes.get(offset..).unwrap_or_default());
    let header = reader.u32().and_then(|len| Some((len, reader.u32()?, reader.u64()?, reader.hash()?)));
    let (len, crc, seq, prev_hash) = header.ok_or("the entry header is cut short")?;
    let payload = reader.0.get(..len as usize).ok_or("the entry is cut short")?;
    if crc != entry_crc(seq, &prev_hash, payload) {
        return Err("the entry fails its checksum");
    }
    Ok(Entry { seq, prev_hash, payload })
}

fn group_crc(body_len: u32, entries: u32, body: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&body_len.to_be_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(crc, &entries.to_be_bytes()), body)
}

fn entry_crc(seq: u64, prev_hash: &Hash, payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&seq.to_be_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(crc, prev_hash), payload)
}

pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl Reader<'_> {
    pub(crate) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    pub(crate) fn hash(&mut self) -> Option<Hash> {
        self.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_reads_back_as_it_was_built() {
        let mut group = GroupBuilder::with_capacity(10, 2);
        let (first_offset, first_hash) = group.push(7, &GENESIS, b"one");
        let (second_offset, second_hash) = group.push(8, &first_hash, b"two");
        let bytes = group.finish();

        let (body, entries) = decode_group(&bytes).unwrap();
        let first = decode_entry(&bytes, first_offset).unwrap();
        let second = decode_entry(&bytes, second_offset).unwrap();

        assert_eq!((body.len(), entries), (bytes.len() - GROUP_HEADER, 2));
        assert_eq!((first.seq, first.payload, first.hash()), (7, b"one".as_slice(), first_hash));
        assert_eq!((second.prev_hash, second.hash()), (first_hash, second_hash));
    }

    #[test]
    fn any_flipped_bit_of_a_group_or_header_is_noticed() {
        let mut group = GroupBuilder::with_capacity(10, 1);
        group.push(1, &GENESIS, b"payload");
        let group = group.finish();
        let header = SegmentHeader { number: 3, first_seq: 9, prev_hash: [7; 32] }.encode();

        for bit in 0..group.len() * 8 {
            let mut bad = group.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_group(&bad).is_err(), "bit {bit}");
        }
        for bit in 0..header.len() * 8 {
            let mut bad = header;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&bad).is_err(), "bit {bit}");
        }
    }
}
