//! The pieces of a record's usage as bytes, and back.

use super::counters::{CounterKey, Counters};
use super::request::{Amounts, Costs};
use super::reservations::{Charge, Reservation, State};
use super::wire::{Reader, Writer};
use crate::domain::ids::{AccountId, PolicyId};
use crate::limits::{Concurrency, Counter, FixedWindow, Mark, SlidingWindow, TokenBucket};
use compact_str::CompactString;
use smallvec::SmallVec;

pub(super) fn write_counters(to: &mut Writer, counters: &Counters) {
    to.unsigned(counters.len() as u128);
    for (key, counter) in counters.iter() {
        write_key(to, *key);
        write_counter(to, counter);
    }
}

/// None: the bytes are not counters.
pub(super) fn read_counters(from: &mut Reader<'_>) -> Option<Vec<(CounterKey, Counter)>> {
    (0..from.length()?).map(|_| Some((read_key(from)?, read_counter(from)?))).collect()
}

pub(super) fn write_reservations(to: &mut Writer, list: &[(u32, &Reservation)]) {
    to.unsigned(list.len() as u128);
    for (slot, reservation) in list {
        to.unsigned(u128::from(*slot));
        write_reservation(to, reservation);
    }
}

/// Each with its slot. None: the bytes are not reservations.
pub(super) fn read_reservations(from: &mut Reader<'_>) -> Option<Vec<(u32, Reservation)>> {
    (0..from.length()?).map(|_| Some((from.small()?, read_reservation(from)?))).collect()
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
