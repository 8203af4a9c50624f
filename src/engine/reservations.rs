//! The reservations of one record: open ones, and ended ones for as long as they are remembered.

use super::counters::{CounterKey, Counters};
use super::request::{Amounts, Costs};
use crate::domain::ids::AccountId;
use crate::domain::quantity::ENDED_MEMORY_MS;
use crate::fault::Fault;
use crate::limits::{Counter, Mark};
use compact_str::CompactString;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::BTreeSet;

/// How many slots are stored together.
pub(super) const BUCKET_SLOTS: usize = 8;

/// How a reservation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum How {
    Settled,
    Cancelled,
    Expired,
}

impl How {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reservation {
    /// Unique within the record, never used again.
    pub number: u64,
    pub id: Option<CompactString>,
    /// The sub-account that asked; None: the main account itself.
    pub sub: Option<AccountId>,
    pub resource: CompactString,
    pub costs: Costs,
    pub charges: SmallVec<[Charge; 2]>,
    pub made_at: i64,
    pub expires_at: i64,
    pub state: State,
}

/// What one limit was charged, and where.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Charge {
    pub key: CounterKey,
    pub cost: u64,
    pub mark: Mark,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum State {
    Open,
    Settled {
        ended_at: i64,
        amounts: Amounts,
    },
    Cancelled {
        ended_at: i64,
    },
    /// Ended at its expiry.
    Expired,
}

impl Reservation {
    pub fn ended(&self) -> Option<(How, i64)> {
        match &self.state {
            State::Open => None,
            State::Settled { ended_at, .. } => Some((How::Settled, *ended_at)),
            State::Cancelled { ended_at } => Some((How::Cancelled, *ended_at)),
            State::Expired => Some((How::Expired, self.expires_at)),
        }
    }

    /// When something happens to it by itself: it expires, or is forgotten.
    fn due(&self) -> i64 {
        self.ended().map_or(self.expires_at, |(_, ended_at)| ended_at.saturating_add(ENDED_MEMORY_MS))
    }
}

#[derive(Debug, Default)]
pub(crate) struct Reservations {
    slots: Vec<Option<Box<Reservation>>>,
    free: Vec<u32>,
    by_id: HashMap<CompactString, u32, RandomState>,
    due: BTreeSet<(i64, u32)>,
    last_number: u64,
    /// Buckets that changed since they were last handed to the store.
    touched: BTreeSet<u32>,
}

impl Reservations {
    /// Slots, free ones among them.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    pub fn buckets(&self) -> u32 {
        self.slots.len().div_ceil(BUCKET_SLOTS) as u32
    }

    /// Those of one bucket, each with its slot.
    pub fn bucket(&self, bucket: u32) -> impl Iterator<Item = (u32, &Reservation)> {
        let from = (bucket as usize * BUCKET_SLOTS).min(self.slots.len());
        let to = (from + BUCKET_SLOTS).min(self.slots.len());
        self.slots[from..to].iter().zip(from as u32..).filter_map(|(entry, slot)| Some((slot, entry.as_deref()?)))
    }

    /// The buckets that changed since the last call.
    pub fn take_touched(&mut self) -> BTreeSet<u32> {
        std::mem::take(&mut self.touched)
    }

    /// After a write that failed: all is to be written again.
    pub fn touch_all(&mut self) {
        self.touched = (0..self.buckets()).collect();
    }

    fn touch(&mut self, slot: u32) {
        self.touched.insert(slot / BUCKET_SLOTS as u32);
    }

    pub fn len(&self) -> usize {
        self.due.len()
    }

    pub fn next_due(&self) -> i64 {
        self.due.first().map_or(i64::MAX, |&(at, _)| at)
    }

    pub fn by_id(&self, id: &str) -> Option<u32> {
        self.by_id.get(id).copied()
    }

    pub fn get(&self, slot: u32) -> Option<&Reservation> {
        self.slots.get(slot as usize)?.as_deref()
    }

    /// Each with its slot.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Reservation)> {
        self.slots.iter().zip(0u32..).filter_map(|(entry, slot)| Some((slot, entry.as_deref()?)))
    }

    /// The slot that the next [`Self::insert`] will use, and its number.
    pub fn peek_next(&self) -> (u32, u64) {
        let slot = self.free.last().copied().unwrap_or(self.slots.len() as u32);
        (slot, self.last_number + 1)
    }

    pub fn last_number(&self) -> u64 {
        self.last_number
    }

    /// For a restored table: numbers go on from here.
    pub fn continue_from(&mut self, last_number: u64) {
        self.last_number = self.last_number.max(last_number);
    }

    pub fn insert(&mut self, reservation: Reservation) -> u32 {
        self.last_number = self.last_number.max(reservation.number);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        });
        self.due.insert((reservation.due(), slot));
        if let Some(id) = &reservation.id {
            self.by_id.insert(id.clone(), slot);
        }
        self.slots[slot as usize] = Some(Box::new(reservation));
        self.touch(slot);
        slot
    }

    /// Puts a stored one back into its slot, which its handle names. None: the slot is taken or absurd.
    pub fn restore(&mut self, slot: u32, reservation: Reservation) -> Option<()> {
        let place = slot as usize;
        if place >= super::MAX_RESERVATIONS_PER_ACCOUNT {
            return None;
        }
        if self.slots.len() <= place {
            self.slots.resize_with(place + 1, || None);
        }
        if self.slots[place].is_some() {
            return None;
        }
        self.last_number = self.last_number.max(reservation.number);
        self.due.insert((reservation.due(), slot));
        if let Some(id) = &reservation.id {
            self.by_id.insert(id.clone(), slot);
        }
        self.slots[place] = Some(Box::new(reservation));
        Some(())
    }

    /// After the last [`Self::restore`]: makes the slots between free ones.
    pub fn close_gaps(&mut self) {
        self.free = self.slots.iter().zip(0u32..).filter(|(entry, _)| entry.is_none()).map(|(_, slot)| slot).collect();
    }

    /// Ends an open one, or turns an expired one into a settled one; frees its concurrency slots if it was open.
    pub fn end(&mut self, slot: u32, state: State, counters: &mut Counters) {
        let Some(reservation) = self.slots.get_mut(slot as usize).and_then(Option::as_deref_mut) else { return };
        self.due.remove(&(reservation.due(), slot));
        if reservation.state == State::Open {
            free_slots(reservation, slot, counters);
        }
        reservation.state = state;
        self.due.insert((reservation.due(), slot));
        self.touch(slot);
    }

    pub fn renew(&mut self, slot: u32, expires_at: i64, counters: &mut Counters) {
        let Some(reservation) = self.slots.get_mut(slot as usize).and_then(Option::as_deref_mut) else { return };
        self.due.remove(&(reservation.due(), slot));
        free_slots(reservation, slot, counters);
        reservation.expires_at = expires_at;
        self.due.insert((expires_at, slot));
        take_slots(reservation, slot, counters);
        self.touch(slot);
    }

    /// Takes back what [`Self::end`] or [`Self::renew`] did to one; the counters are the caller's.
    pub fn put_back(&mut self, slot: u32, before: Reservation) {
        let Some(reservation) = self.slots.get_mut(slot as usize).and_then(Option::as_deref_mut) else { return };
        self.due.remove(&(reservation.due(), slot));
        self.due.insert((before.due(), slot));
        *reservation = before;
    }

    /// Ends those whose time has come, forgets those ended long enough ago.
    ///
    /// Returns whether anything changed.
    pub fn pass_time(&mut self, now: i64, counters: &mut Counters) -> bool {
        let mut changed = false;
        while let Some(&(at, slot)) = self.due.first() {
            if at > now - i64::from(Fault::ExpiryLate.chosen()) {
                break;
            }
            changed = true;
            if self.get(slot).is_some_and(|reservation| reservation.state == State::Open) {
                self.end(slot, State::Expired, counters);
            } else {
                self.forget(at, slot);
            }
        }
        changed
    }

    fn forget(&mut self, due: i64, slot: u32) {
        self.due.remove(&(due, slot));
        self.touch(slot);
        if let Some(reservation) = self.slots[slot as usize].take() {
            self.free.push(slot);
            if let Some(id) = &reservation.id {
                self.by_id.remove(id);
            }
        }
        if self.due.is_empty() {
            let last_number = self.last_number;
            *self = Self { last_number, ..Self::default() };
        }
    }

    /// Drops charges whose counters are gone, so that nothing of them is given back later.
    pub fn forget_charges(&mut self, gone: impl Fn(CounterKey) -> bool) {
        for reservation in self.slots.iter_mut().flatten() {
            reservation.charges.retain(|charge| !gone(charge.key));
        }
        self.touch_all();
    }

    /// Puts the open ones' slots into restored concurrency counters.
    pub fn take_all_slots(&self, counters: &mut Counters) {
        for (slot, reservation) in self.slots.iter().enumerate() {
            if let Some(reservation) = reservation.as_deref().filter(|r| r.state == State::Open) {
                take_slots(reservation, slot as u32, counters);
            }
        }
    }
}

fn take_slots(reservation: &Reservation, slot: u32, counters: &mut Counters) {
    each_concurrency(reservation, counters, |state| state.take(reservation.expires_at, slot));
}

fn free_slots(reservation: &Reservation, slot: u32, counters: &mut Counters) {
    each_concurrency(reservation, counters, |state| state.free(reservation.expires_at, slot));
}

fn each_concurrency(
    reservation: &Reservation,
    counters: &mut Counters,
    mut act: impl FnMut(&mut crate::limits::Concurrency),
) {
    for charge in reservation.charges.iter().filter(|charge| charge.mark == Mark::Open) {
        if let Some(Counter::Concurrency(state)) = counters.get(charge.key) {
            act(state);
        }
    }
}
