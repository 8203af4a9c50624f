//! A record's usage as bytes, and back (the layout of the counter store).
//!
//! One account is one value. One that outgrows [`PART_BYTES`] is split: its parts are written under the set (0 or 1)
//! that the header does not name, and the header last. ORDER: so a header that is there always names parts that are
//! whole, and a reservation is stored with its charges or not at all.

use super::counters::CounterKey;
use super::record::Record;
use super::request::{Amounts, Costs};
use super::reservations::{Charge, Reservation, Reservations, State};
use super::wire::{Reader, Writer};
use crate::domain::ids::{AccountId, PolicyId};
use crate::limits::{Concurrency, Counter, FixedWindow, Mark, SlidingWindow, TokenBucket};
use compact_str::CompactString;
use smallvec::SmallVec;

/// Layout of the values; a reader refuses any other.
const VERSION: u8 = 1;
/// Largest value that is written.
pub const PART_BYTES: usize = 48 * 1024;

const SINGLE: u8 = 0;
const SPLIT: u8 = 1;

/// The key-value pairs that stand for a record now, in the order in which they must be written.
pub(super) fn encode(record: &mut Record) -> Vec<(Vec<u8>, Vec<u8>)> {
    let body = body(record);
    let key = record.id.as_str().as_bytes().to_vec();
    if body.len() <= PART_BYTES {
        let mut value = Writer::with_capacity(body.len() + 2);
        value.byte(VERSION);
        value.byte(SINGLE);
        value.raw(&body);
        return vec![(key, value.finish())];
    }
    record.part_set ^= 1;
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = body
        .chunks(PART_BYTES)
        .zip(0u32..)
        .map(|(part, number)| (part_key(&key, record.part_set, number), part.to_vec()))
        .collect();
    let mut header = Writer::with_capacity(16);
    header.byte(VERSION);
    header.byte(SPLIT);
    header.byte(record.part_set);
    header.unsigned(pairs.len() as u128);
    header.unsigned(body.len() as u128);
    header.raw(&checksum(&body).to_be_bytes());
    pairs.push((key, header.finish()));
    pairs
}

fn part_key(id: &[u8], set: u8, number: u32) -> Vec<u8> {
    let mut key = id.to_vec();
    // No account id holds a zero byte, so a part's key is no account's.
    key.push(0);
    key.push(set);
    key.extend(number.to_be_bytes());
    key
}

/// The store checks each value on its own; this checks that parts belong together.
fn checksum(bytes: &[u8]) -> u64 {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(bytes);
    digest.iter().take(8).fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

/// What a stored key and value are.
pub(super) enum Piece<'a> {
    Whole { account: &'a str, body: &'a [u8] },
    Header { account: &'a str, set: u8, parts: u32, bytes: usize, checksum: u64 },
    Part { account: &'a str, set: u8, number: u32, bytes: &'a [u8] },
}

/// None: not a piece of any record.
pub(super) fn piece<'a>(key: &'a [u8], value: &'a [u8]) -> Option<Piece<'a>> {
    if let Some(zero) = key.iter().position(|&byte| byte == 0) {
        let account = std::str::from_utf8(&key[..zero]).ok()?;
        let (&set, number) = key[zero + 1..].split_first()?;
        return Some(Piece::Part { account, set, number: u32::from_be_bytes(number.try_into().ok()?), bytes: value });
    }
    let account = std::str::from_utf8(key).ok()?;
    let mut reader = Reader::new(value);
    match (reader.byte()?, reader.byte()?) {
        (VERSION, SINGLE) => Some(Piece::Whole { account, body: reader.rest() }),
        (VERSION, SPLIT) => Some(Piece::Header {
            account,
            set: reader.byte()?,
            parts: u32::try_from(reader.unsigned()?).ok()?,
            bytes: usize::try_from(reader.unsigned()?).ok()?,
            checksum: u64::from_be_bytes(reader.take(8)?.try_into().ok()?),
        }),
        _ => None,
    }
}

/// Whether split parts are the ones that their header was written for.
pub(super) fn parts_match(body: &[u8], bytes: usize, expected: u64) -> bool {
    body.len() == bytes && checksum(body) == expected
}

/// A record's usage, read back.
pub(super) struct Usage {
    pub created_at: i64,
    pub seen: i64,
    /// The set of parts that must not be overwritten next.
    pub part_set: u8,
    pub counters: Vec<(CounterKey, Counter)>,
    pub reservations: Option<Box<Reservations>>,
}

fn body(record: &Record) -> Vec<u8> {
    let mut to = Writer::with_capacity(128);
    to.signed(record.created_at);
    to.signed(record.seen);
    to.unsigned(record.counters.len() as u128);
    for (key, counter) in record.counters.iter() {
        write_key(&mut to, *key);
        write_counter(&mut to, counter);
    }
    match &record.reservations {
        None => to.byte(0),
        Some(reservations) => {
            to.byte(1);
            to.unsigned(u128::from(reservations.last_number()));
            to.unsigned(reservations.len() as u128);
            for (slot, reservation) in reservations.iter() {
                to.unsigned(u128::from(slot));
                write_reservation(&mut to, reservation);
            }
        }
    }
    to.finish()
}

/// None: the bytes are not a record of this layout.
pub(super) fn decode(body: &[u8]) -> Option<Usage> {
    let mut from = Reader::new(body);
    let created_at = from.signed()?;
    let seen = from.signed()?;
    let mut counters = Vec::new();
    for _ in 0..from.length()? {
        counters.push((read_key(&mut from)?, read_counter(&mut from)?));
    }
    let mut reservations = None;
    if from.byte()? == 1 {
        let mut table = Reservations::default();
        table.continue_from(u64::try_from(from.unsigned()?).ok()?);
        for _ in 0..from.length()? {
            let slot = from.small()?;
            table.restore(slot, read_reservation(&mut from)?)?;
        }
        table.close_gaps();
        reservations = Some(Box::new(table));
    }
    from.is_empty().then_some(Usage { created_at, seen, part_set: 0, counters, reservations })
}

fn write_key(to: &mut Writer, key: CounterKey) {
    to.unsigned(u128::from(key.owner));
    to.unsigned(u128::from(key.limit));
    to.unsigned(u128::from(key.resource));
}

fn read_key(from: &mut Reader<'_>) -> Option<CounterKey> {
    Some(CounterKey { owner: u64::try_from(from.unsigned()?).ok()?, limit: from.small()?, resource: from.small()? })
}

fn write_counter(to: &mut Writer, counter: &Counter) {
    match counter {
        Counter::FixedWindow(state) => {
            let (index, used) = state.parts();
            to.byte(0);
            to.signed(index);
            to.unsigned(used);
        }
        Counter::SlidingWindow(state) => {
            let (newest, occupied, amounts) = state.parts();
            to.byte(1);
            to.signed(newest);
            to.unsigned(u128::from(occupied));
            for amount in amounts {
                to.unsigned(amount);
            }
        }
        Counter::TokenBucket(state) => {
            let (level, left, brought_at) = state.parts();
            to.byte(2);
            to.unsigned(level);
            to.unsigned(left);
            to.signed(brought_at);
        }
        // Its open reservations say it all.
        Counter::Concurrency(_) => to.byte(3),
    }
}

fn read_counter(from: &mut Reader<'_>) -> Option<Counter> {
    Some(match from.byte()? {
        0 => Counter::FixedWindow(FixedWindow::from_parts(from.signed()?, from.unsigned()?)),
        1 => {
            let newest = from.signed()?;
            let occupied = u64::try_from(from.unsigned()?).ok()?;
            let amounts: Option<SmallVec<[u128; 8]>> = (0..occupied.count_ones()).map(|_| from.unsigned()).collect();
            Counter::SlidingWindow(SlidingWindow::from_parts(newest, occupied, &amounts?)?)
        }
        2 => Counter::TokenBucket(TokenBucket::from_parts(from.unsigned()?, from.unsigned()?, from.signed()?)),
        3 => Counter::Concurrency(Concurrency::default()),
        _ => return None,
    })
}

fn write_reservation(to: &mut Writer, reservation: &Reservation) {
    to.unsigned(u128::from(reservation.number));
    to.text(reservation.id.as_deref().unwrap_or(""));
    to.text(reservation.sub.as_ref().map_or("", |sub| sub.as_str()));
    to.text(&reservation.resource);
    to.unsigned(u128::from(reservation.costs.requests));
    to.unsigned(u128::from(reservation.costs.tokens));
    write_units(to, reservation.costs.others());
    to.signed(reservation.made_at);
    to.signed(reservation.expires_at);
    to.unsigned(reservation.charges.len() as u128);
    for charge in &reservation.charges {
        write_key(to, charge.key);
        to.unsigned(u128::from(charge.cost));
        match charge.mark {
            Mark::Window { index } => {
                to.byte(0);
                to.signed(index);
            }
            Mark::Slot { slot } => {
                to.byte(1);
                to.signed(slot);
            }
            Mark::Place { place, charged } => {
                to.byte(2);
                to.unsigned(place);
                to.unsigned(charged);
            }
            Mark::Open => to.byte(3),
        }
    }
    match &reservation.state {
        State::Open => to.byte(0),
        State::Expired => to.byte(1),
        State::Cancelled { ended_at } => {
            to.byte(2);
            to.signed(*ended_at);
        }
        State::Settled { ended_at, amounts } => {
            to.byte(3);
            to.signed(*ended_at);
            write_optional(to, amounts.requests);
            write_optional(to, amounts.tokens);
            write_units(to, amounts.others());
        }
    }
}

fn read_reservation(from: &mut Reader<'_>) -> Option<Reservation> {
    let number = u64::try_from(from.unsigned()?).ok()?;
    let id = Some(from.text()?).filter(|id| !id.is_empty()).map(CompactString::new);
    let sub = Some(from.text()?).filter(|sub| !sub.is_empty()).map(AccountId::parse).transpose().ok()?;
    let resource = CompactString::new(from.text()?);
    let costs = Costs::new(from.amount()?, from.amount()?, read_units(from)?);
    let made_at = from.signed()?;
    let expires_at = from.signed()?;
    let mut charges = SmallVec::new();
    for _ in 0..from.length()? {
        let key = read_key(from)?;
        let cost = from.amount()?;
        let mark = match from.byte()? {
            0 => Mark::Window { index: from.signed()? },
            1 => Mark::Slot { slot: from.signed()? },
            2 => Mark::Place { place: from.unsigned()?, charged: from.unsigned()? },
            3 => Mark::Open,
            _ => return None,
        };
        charges.push(Charge { key, cost, mark });
    }
    let state = match from.byte()? {
        0 => State::Open,
        1 => State::Expired,
        2 => State::Cancelled { ended_at: from.signed()? },
        3 => State::Settled {
            ended_at: from.signed()?,
            amounts: Amounts::new(read_optional(from)?, read_optional(from)?, read_units(from)?),
        },
        _ => return None,
    };
    Some(Reservation { number, id, sub, resource, costs, charges, made_at, expires_at, state })
}

fn write_optional(to: &mut Writer, amount: Option<u64>) {
    // 0 says absent.
    to.unsigned(amount.map_or(0, |amount| u128::from(amount) + 1));
}

fn read_optional(from: &mut Reader<'_>) -> Option<Option<u64>> {
    match from.unsigned()? {
        0 => Some(None),
        more => u64::try_from(more - 1).ok().map(Some),
    }
}

fn write_units(to: &mut Writer, units: &[(PolicyId, u64)]) {
    to.unsigned(units.len() as u128);
    for (unit, amount) in units {
        to.text(unit.as_str());
        to.unsigned(u128::from(*amount));
    }
}

fn read_units(from: &mut Reader<'_>) -> Option<Vec<(PolicyId, u64)>> {
    (0..from.length()?).map(|_| Some((PolicyId::parse(from.text()?).ok()?, from.amount()?))).collect()
}
