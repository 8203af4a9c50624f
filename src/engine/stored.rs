//! How a record's usage lies in the counter store.
//!
//! One account is one value. One that outgrows it is split: a header, the counters in chunks, and the reservations in
//! buckets by slot, of which only those that changed are written again. What [`encode`] gives for one account is
//! written together or not at all, so a reservation is never stored without its charges.

use super::codec::{read_counters, read_reservations, write_counters, write_reservations};
use super::counters::CounterKey;
use super::record::Record;
use super::reservations::Reservations;
use super::wire::{Reader, Writer};
use crate::limits::Counter;
use std::collections::BTreeSet;

/// Layout of the values; a reader refuses any newer one.
const VERSION: u8 = 3;
/// The layout without the number of the last reset.
const WITHOUT_RESETS: u8 = 2;
/// Largest chunk of counters, and largest value of an account that is not split.
pub const PART_BYTES: usize = 48 * 1024;
/// Most slots of reservations in an account that is not split.
const WHOLE_SLOTS: usize = 64;

const WHOLE: u8 = 0;
const SPLIT: u8 = 1;
const CHUNK: u8 = b'c';
const BUCKET: u8 = b'r';

/// Keys with their new values, None to remove one: all of them together or none.
pub type Group = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// Which parts of a split record the store has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Parts {
    pub chunks: u32,
    pub buckets: BTreeSet<u32>,
}

/// What must be written for the store to have the record as it is now.
pub(super) fn encode(record: &mut Record) -> Group {
    let slots = record.reservations.as_ref().map_or(0, |reservations| reservations.slots());
    if slots <= WHOLE_SLOTS {
        let value = whole(record);
        if value.len() <= PART_BYTES {
            return replace_by_whole(record, value);
        }
    }
    split(record)
}

fn whole(record: &Record) -> Vec<u8> {
    let mut to = Writer::with_capacity(128);
    to.byte(VERSION);
    to.byte(WHOLE);
    write_times(&mut to, record);
    write_counters(&mut to, &record.counters);
    if let Some(reservations) = &record.reservations {
        write_reservations(&mut to, &reservations.iter().collect::<Vec<_>>());
    }
    to.finish()
}

fn replace_by_whole(record: &mut Record, value: Vec<u8>) -> Group {
    let old = record.take_stored_parts();
    let id = record.id.as_str().as_bytes();
    let mut group = vec![(id.to_vec(), Some(value))];
    if let Some(old) = old {
        group.extend((0..old.chunks).map(|chunk| (part_key(id, CHUNK, chunk), None)));
        group.extend(old.buckets.iter().map(|&bucket| (part_key(id, BUCKET, bucket), None)));
    }
    if let Some(reservations) = &mut record.reservations {
        reservations.take_touched();
    }
    group
}

fn split(record: &mut Record) -> Group {
    let id = record.id.as_str().as_bytes().to_vec();
    let was_whole = !record.has_stored_parts();
    let mut parts = record.take_stored_parts().map(|parts| *parts).unwrap_or_default();
    let mut counters = Writer::with_capacity(PART_BYTES);
    write_counters(&mut counters, &record.counters);
    let counters = counters.finish();
    let chunks = counters.len().div_ceil(PART_BYTES) as u32;

    let mut header = Writer::with_capacity(32);
    header.byte(VERSION);
    header.byte(SPLIT);
    write_times(&mut header, record);
    header.unsigned(u128::from(chunks));
    let mut group = vec![(id.clone(), Some(header.finish()))];
    group.extend(
        counters
            .chunks(PART_BYTES)
            .zip(0u32..)
            .map(|(bytes, chunk)| (part_key(&id, CHUNK, chunk), Some(bytes.to_vec()))),
    );
    group.extend((chunks..parts.chunks).map(|chunk| (part_key(&id, CHUNK, chunk), None)));
    parts.chunks = chunks;

    let mut none = Reservations::default();
    let reservations = record.reservations.as_deref_mut().unwrap_or(&mut none);
    let touched = reservations.take_touched();
    let all = reservations.buckets();
    let changed: BTreeSet<u32> = if was_whole { (0..all).collect() } else { touched };
    let beyond = parts.buckets.range(all..).copied().collect::<Vec<_>>();
    for bucket in changed.into_iter().chain(beyond) {
        let held: Vec<_> = reservations.bucket(bucket).collect();
        let stored = if held.is_empty() {
            parts.buckets.remove(&bucket).then_some(None)
        } else {
            parts.buckets.insert(bucket);
            let mut value = Writer::with_capacity(1_024);
            write_reservations(&mut value, &held);
            Some(Some(value.finish()))
        };
        group.extend(stored.map(|value| (part_key(&id, BUCKET, bucket), value)));
    }
    *record.stored_parts_mut() = Some(Box::new(parts));
    group
}

/// After a write that failed, or was done in part: the parts that it was to remove may be there still.
pub(super) fn put_back(record: &mut Record, group: &Group) {
    record.touch();
    if let Some(reservations) = &mut record.reservations {
        reservations.touch_all();
    }
    for (key, _) in group.iter().filter(|(_, value)| value.is_none()) {
        note_part(record.stored_parts_mut(), key);
    }
}

/// Everything of the record is to be written again. False: there never was anything to write.
pub(super) fn mark_all(record: &mut Record) -> bool {
    // INVARIANT: what was ever handed to the store has seen a time or a reset.
    if record.seen == i64::MIN && record.last_reset() == 0 && !record.is_dirty() && !record.has_stored_parts() {
        return false;
    }
    record.touch();
    if let Some(reservations) = &mut record.reservations {
        reservations.touch_all();
    }
    true
}

/// Notes that the store may have this part, so that the next [`encode`] writes it again or removes it.
pub(super) fn note_part(parts: &mut Option<Box<Parts>>, key: &[u8]) {
    match part_of(key) {
        Some((_, CHUNK, number)) => {
            let parts = parts.get_or_insert_default();
            parts.chunks = parts.chunks.max(number.saturating_add(1));
        }
        Some((_, _, number)) => _ = parts.get_or_insert_default().buckets.insert(number),
        None => {}
    }
}

fn write_times(to: &mut Writer, record: &Record) {
    to.signed(record.created_at);
    to.signed(record.seen);
    to.unsigned(u128::from(record.reservations.as_ref().map_or(0, |reservations| reservations.last_number() + 1)));
    to.unsigned(u128::from(record.last_reset()));
}

fn part_key(id: &[u8], kind: u8, number: u32) -> Vec<u8> {
    let mut key = id.to_vec();
    // No account id holds a zero byte, so a part's key is no account's, and it sorts right behind its header.
    key.extend([0, kind]);
    key.extend(number.to_be_bytes());
    key
}

/// A record's usage, read back.
#[derive(Debug)]
pub(super) struct Usage {
    pub created_at: i64,
    pub seen: i64,
    pub last_reset: u64,
    /// None: it is stored whole.
    pub parts: Option<Box<Parts>>,
    pub counters: Vec<(CounterKey, Counter)>,
    pub reservations: Option<Box<Reservations>>,
}

/// What a stored key and value are.
pub(super) enum Piece<'a> {
    Whole(Usage),
    /// The usage without counters and reservations, and how many chunks follow.
    Header(Usage, u32),
    Chunk(u32, &'a [u8]),
    Bucket(u32, &'a [u8]),
}

/// The account and the piece; the piece is None where the value cannot be read. None: not a key of ours.
pub(super) fn piece<'a>(key: &'a [u8], value: &'a [u8]) -> Option<(&'a str, Option<Piece<'a>>)> {
    if !key.contains(&0) {
        return Some((std::str::from_utf8(key).ok()?, main_piece(value)));
    }
    let (account, kind, number) = part_of(key)?;
    let piece = if kind == CHUNK { Piece::Chunk(number, value) } else { Piece::Bucket(number, value) };
    Some((account, Some(piece)))
}

/// Reads back what [`part_key`] built: the account, the kind and the number.
fn part_of(key: &[u8]) -> Option<(&str, u8, u32)> {
    let zero = key.iter().position(|&byte| byte == 0)?;
    let account = std::str::from_utf8(&key[..zero]).ok()?;
    let (&kind, number) = key[zero + 1..].split_first()?;
    let number = u32::from_be_bytes(number.try_into().ok()?);
    matches!(kind, CHUNK | BUCKET).then_some((account, kind, number))
}

fn main_piece(value: &[u8]) -> Option<Piece<'_>> {
    let mut from = Reader::new(value);
    let version = from.byte()?;
    if !matches!(version, WITHOUT_RESETS | VERSION) {
        return None;
    }
    let kind = from.byte()?;
    let created_at = from.signed()?;
    let seen = from.signed()?;
    let reservations = match from.amount()? {
        0 => None,
        next => {
            let mut table = Box::new(Reservations::default());
            table.continue_from(next - 1);
            Some(table)
        }
    };
    let last_reset = if version == WITHOUT_RESETS { 0 } else { from.amount()? };
    let mut usage = Usage { created_at, seen, last_reset, parts: None, counters: Vec::new(), reservations };
    match kind {
        WHOLE => {
            usage.counters = read_counters(&mut from)?;
            if let Some(table) = &mut usage.reservations {
                read_bucket(table, &mut from)?;
                table.close_gaps();
            }
            from.is_empty().then_some(Piece::Whole(usage))
        }
        SPLIT => {
            let chunks = from.small()?;
            usage.parts = Some(Box::new(Parts { chunks, buckets: BTreeSet::new() }));
            from.is_empty().then_some(Piece::Header(usage, chunks))
        }
        _ => None,
    }
}

impl Usage {
    /// Adds the counters of all chunks together. None: they are not counters.
    pub(super) fn add_counters(&mut self, bytes: &[u8]) -> Option<()> {
        let mut from = Reader::new(bytes);
        self.counters = read_counters(&mut from)?;
        from.is_empty().then_some(())
    }

    /// Adds the reservations of one bucket. None: they are not reservations.
    pub(super) fn add_bucket(&mut self, number: u32, bytes: &[u8]) -> Option<()> {
        let mut from = Reader::new(bytes);
        if let Some(parts) = &mut self.parts {
            parts.buckets.insert(number);
        }
        read_bucket(self.reservations.get_or_insert_default(), &mut from)?;
        from.is_empty().then_some(())
    }
}

fn read_bucket(table: &mut Reservations, from: &mut Reader<'_>) -> Option<()> {
    read_reservations(from)?.into_iter().try_for_each(|(slot, reservation)| table.restore(slot, reservation))
}

#[cfg(test)]
mod tests {
    use crate::engine::reservations::BUCKET_SLOTS;

    #[test]
    fn a_bucket_of_the_largest_reservations_fits_a_value() {
        // 64 + 64 + 128 bytes of names, 32 charges of at most 70 bytes, twice 14 units of at most 75 bytes.
        let largest = 300 + 32 * 70 + 2 * 14 * 75;

        assert!(largest * BUCKET_SLOTS <= 64 * 1024, "{largest}");
    }
}
