//! The bytes of a log of images. All numbers are big-endian.
//!
//! ```text
//! log    magic 8 | format u16 | 0 u16 | version that reads it 16 | crc32c u32 of that         the same in every format
//!        | store 16 | number u64 | base u64 | before u64 | length of that u64 | first frame u64 | 0 u32 | crc32c u32
//! frame  magic 4 | body length u32 | entries u32 | number u64 | durable u64 | crc32c u32 of the body
//!        | crc32c u32 of store and header
//! entry  key length u16 | version u16 | value length u32, all ones for a removal | key | value
//! ```
//!
//! A frame's header is checked on its own, so that a bad body does not hide what comes behind it; and together with the
//! store's id, so that no image can be made to look like a frame. It says how much of the log was durable when it was
//! written: behind that a power cut may leave any part of what was written, which must not be pieced together.

use serde::{Deserialize, Serialize};
use std::fmt;

pub(crate) const FORMAT: u16 = 1;
/// The oldest version of the program that reads [`FORMAT`].
const NEEDS: &str = "0.1.0";
const LOG_MAGIC: [u8; 8] = *b"\xF7QGIMG\r\n";
pub(super) const FRAME_MAGIC: [u8; 4] = *b"\xF7QGF";
pub(crate) const LOG_HEADER: usize = 96;
pub(crate) const FRAME_HEADER: usize = 36;
const ENTRY_HEADER: usize = 8;
const REMOVAL: u32 = u32::MAX;
/// A frame is closed at the end of the group with which it reaches this: one bad byte costs no more.
const FRAME_FULL_BYTES: usize = 64 * 1024;
/// Longest body of a frame: one group is never split.
pub(crate) const MAX_BODY_BYTES: usize = 1024 * 1024 * 1024;

/// Drawn when a store writes its first log, and in each log since: images of another store are not taken for its own.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StoreId(#[serde(with = "hex::serde")] pub [u8; 16]);

impl StoreId {
    fn salt(self) -> u32 {
        crc32c::crc32c(&self.0)
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", hex::encode(self.0))
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogHeader {
    pub(crate) store: StoreId,
    pub(crate) number: u64,
    /// The oldest log that has to be read before this one; 0: what would have to be read is not all in logs yet.
    pub(crate) base: u64,
    /// The log that was written to before; 0: none.
    pub(crate) before: u64,
    /// So many bytes of that were durable when this log was begun.
    pub(crate) before_len: u64,
    pub(crate) first_frame: u64,
}

/// Why a header is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotRead {
    Bad(&'static str),
    /// It is sound, and of a later version.
    Newer {
        format: u16,
        needs: String,
    },
}

impl LogHeader {
    pub(crate) fn encode(&self) -> [u8; LOG_HEADER] {
        let mut bytes = [0; LOG_HEADER];
        bytes[..8].copy_from_slice(&LOG_MAGIC);
        bytes[8..10].copy_from_slice(&FORMAT.to_be_bytes());
        bytes[12..12 + NEEDS.len()].copy_from_slice(NEEDS.as_bytes());
        let crc = crc32c::crc32c(&bytes[..28]);
        bytes[28..32].copy_from_slice(&crc.to_be_bytes());
        bytes[32..48].copy_from_slice(&self.store.0);
        let numbers = [self.number, self.base, self.before, self.before_len, self.first_frame];
        for (place, number) in bytes[48..88].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        let crc = crc32c::crc32c(&bytes[..92]);
        bytes[92..].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, NotRead> {
        let Some(preamble) = bytes.first_chunk::<32>() else { return Err(NotRead::Bad("its header is cut short")) };
        if preamble[..8] != LOG_MAGIC || u32_at(preamble, 28) != crc32c::crc32c(&preamble[..28]) {
            return Err(NotRead::Bad("its header cannot be read"));
        }
        let format = u16::from_be_bytes([preamble[8], preamble[9]]);
        if format > FORMAT {
            let needs = String::from_utf8_lossy(&preamble[12..28]).trim_end_matches('\0').to_owned();
            return Err(NotRead::Newer { format, needs });
        }
        let Some(header) = bytes.first_chunk::<LOG_HEADER>() else {
            return Err(NotRead::Bad("its header is cut short"));
        };
        if u32_at(header, 92) != crc32c::crc32c(&header[..92]) {
            return Err(NotRead::Bad("its header fails its checksum"));
        }
        let mut store = StoreId::default();
        store.0.copy_from_slice(&header[32..48]);
        Ok(Self {
            store,
            number: u64_at(header, 48),
            base: u64_at(header, 56),
            before: u64_at(header, 64),
            before_len: u64_at(header, 72),
            first_frame: u64_at(header, 80),
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) body_len: u32,
    pub(super) entries: u32,
    pub(super) number: u64,
    /// So many bytes of the log were durable when it was written.
    pub(super) durable: u64,
    pub(super) body_crc: u32,
}

impl FrameHeader {
    fn encode(&self, store: StoreId) -> [u8; FRAME_HEADER] {
        let mut bytes = [0; FRAME_HEADER];
        bytes[..4].copy_from_slice(&FRAME_MAGIC);
        bytes[4..8].copy_from_slice(&self.body_len.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.entries.to_be_bytes());
        bytes[12..20].copy_from_slice(&self.number.to_be_bytes());
        bytes[20..28].copy_from_slice(&self.durable.to_be_bytes());
        bytes[28..32].copy_from_slice(&self.body_crc.to_be_bytes());
        let crc = crc32c::crc32c_append(store.salt(), &bytes[..32]);
        bytes[32..].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// None: this is no header of a frame of this store.
    pub(super) fn decode(bytes: &[u8; FRAME_HEADER], store: StoreId) -> Option<Self> {
        let sound = bytes[..4] == FRAME_MAGIC && u32_at(bytes, 32) == crc32c::crc32c_append(store.salt(), &bytes[..32]);
        sound.then(|| Self {
            body_len: u32_at(bytes, 4),
            entries: u32_at(bytes, 8),
            number: u64_at(bytes, 12),
            durable: u64_at(bytes, 20),
            body_crc: u32_at(bytes, 28),
        })
    }

    pub(super) fn fits(&self, body: &[u8]) -> bool {
        self.body_crc == crc32c::crc32c(body)
    }
}

/// An image, or that there is none any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a [u8],
    pub(super) version: u16,
    pub(super) value: Option<&'a [u8]>,
    /// Where the value begins within the body.
    pub(super) value_at: usize,
}

/// The entries of a body that has passed its checksum. None comes last where they do not fill it, which no writer does.
pub(super) fn entries(body: &[u8]) -> impl Iterator<Item = Option<Entry<'_>>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= body.len() {
            return None;
        }
        let entry = entry_at(body, at);
        at = entry.map_or(body.len(), |entry| entry.value_at + entry.value.map_or(0, <[u8]>::len));
        Some(entry)
    })
}

fn entry_at(body: &[u8], at: usize) -> Option<Entry<'_>> {
    let header = body.get(at..)?.first_chunk::<ENTRY_HEADER>()?;
    let key_len = usize::from(u16::from_be_bytes([header[0], header[1]]));
    let version = u16::from_be_bytes([header[2], header[3]]);
    let value_at = at + ENTRY_HEADER + key_len;
    let key = body.get(at + ENTRY_HEADER..value_at)?;
    let value = match u32_at(header, 4) {
        REMOVAL => None,
        len => Some(body.get(value_at..)?.get(..len as usize)?),
    };
    Some(Entry { key, version, value, value_at })
}

/// What stands for a record in the sum over all of them, whatever their order.
pub(super) fn record_crc(key: &[u8], version: u16, value: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&(key.len() as u32).to_be_bytes());
    let crc = crc32c::crc32c_append(crc, key);
    let crc = crc32c::crc32c_append(crc, &version.to_be_bytes());
    crc32c::crc32c_append(crc, value)
}

/// Builds the frames of one flush in one buffer.
pub(crate) struct FrameWriter {
    bytes: Vec<u8>,
    store: StoreId,
    /// Of the frame that is open.
    number: u64,
    durable: u64,
    begun: usize,
    entries: u32,
}

impl FrameWriter {
    /// `buffer` is emptied and used. `durable`: so many bytes of the log that the frames go to.
    pub(super) fn new(mut buffer: Vec<u8>, store: StoreId, (number, durable): (u64, u64)) -> Self {
        buffer.clear();
        Self { bytes: buffer, store, number, durable, begun: 0, entries: 0 }
    }

    /// Keys have at most `u16::MAX` bytes, values less than `u32::MAX`.
    pub(crate) fn put(&mut self, key: &[u8], version: u16, value: Option<&[u8]>) {
        if self.entries == 0 {
            self.bytes.extend_from_slice(&[0; FRAME_HEADER]);
        }
        self.bytes.extend_from_slice(&(key.len() as u16).to_be_bytes());
        self.bytes.extend_from_slice(&version.to_be_bytes());
        self.bytes.extend_from_slice(&value.map_or(REMOVAL, |value| value.len() as u32).to_be_bytes());
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.entries += 1;
    }

    /// What was put since the last call stays together, however the bytes are damaged or cut.
    pub(crate) fn end_group(&mut self) {
        if self.bytes.len() - self.begun >= FRAME_FULL_BYTES {
            self.close();
        }
    }

    fn close(&mut self) {
        if self.entries == 0 {
            return;
        }
        let body_at = self.begun + FRAME_HEADER;
        let body = &self.bytes[body_at..];
        let header = FrameHeader {
            body_len: body.len() as u32,
            entries: self.entries,
            number: self.number,
            durable: self.durable,
            body_crc: crc32c::crc32c(body),
        };
        let header = header.encode(self.store);
        self.bytes[self.begun..body_at].copy_from_slice(&header);
        (self.begun, self.entries, self.number) = (self.bytes.len(), 0, self.number + 1);
    }

    /// The bytes, and the number of the frame that comes next.
    pub(super) fn finish(mut self) -> (Vec<u8>, u64) {
        self.close();
        (self.bytes, self.number)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: StoreId = StoreId([7; 16]);

    fn header() -> LogHeader {
        LogHeader { store: STORE, number: 9, base: 4, before: 8, before_len: 1_234, first_frame: 77 }
    }

    #[test]
    fn a_header_reads_back_and_any_flipped_bit_is_noticed() {
        let bytes = header().encode();

        assert_eq!(LogHeader::decode(&bytes), Ok(header()));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(LogHeader::decode(&bad), Err(NotRead::Bad(_))), "bit {bit}");
        }
        assert!(matches!(LogHeader::decode(&bytes[..95]), Err(NotRead::Bad(_))));
    }

    #[test]
    fn a_header_of_a_newer_format_says_which_version_reads_it() {
        let mut bytes = header().encode();
        bytes[8..10].copy_from_slice(&2u16.to_be_bytes());
        bytes[12..17].copy_from_slice(b"7.1.0");
        let crc = crc32c::crc32c(&bytes[..28]);
        bytes[28..32].copy_from_slice(&crc.to_be_bytes());

        assert_eq!(LogHeader::decode(&bytes), Err(NotRead::Newer { format: 2, needs: "7.1.0".to_owned() }));
    }

    #[test]
    fn entries_read_back_and_a_group_never_spans_frames() {
        let mut writer = FrameWriter::new(Vec::new(), STORE, (5, 1_000));
        writer.put(b"a", 1, Some(b"one"));
        writer.put(b"b", 2, None);
        writer.end_group();
        writer.put(b"", 3, Some(&vec![9; FRAME_FULL_BYTES]));
        writer.put(b"c", 4, Some(b""));
        writer.end_group();
        writer.put(b"d", 5, Some(b"last"));
        let (bytes, next) = writer.finish();

        assert_eq!(next, 7);
        let first = FrameHeader::decode(bytes.first_chunk().unwrap(), STORE).unwrap();
        let body = &bytes[FRAME_HEADER..][..first.body_len as usize];
        let read: Vec<_> = entries(body).map(|entry| entry.unwrap()).collect();
        assert!(first.fits(body) && first.number == 5 && first.entries == 4 && first.durable == 1_000);
        assert_eq!((read[0].key, read[0].value, read[1].value), (&b"a"[..], Some(&b"one"[..]), None));
        assert_eq!((read[2].version, read[3].key, read[3].value), (3, &b"c"[..], Some(&b""[..])));
        let second = &bytes[FRAME_HEADER + body.len()..];
        assert!(FrameHeader::decode(second.first_chunk().unwrap(), STORE).is_some_and(|second| second.number == 6));
        assert_eq!(FrameHeader::decode(second.first_chunk().unwrap(), StoreId([8; 16])), None);
    }
}
