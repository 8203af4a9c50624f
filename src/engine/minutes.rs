//! The present minute of each active account, for the history: a table a shard, beside the records.
//!
//! Only an account that is active in a minute has a slot here, and its record the number of it, so an idle one pays
//! nothing. A decision adds to the cells of its slot; a minute that has passed is taken out by
//! [`Minutes::drain`], and the slot is free for another account.
//! Deliberately absent: the names of limits, what is kept of past minutes.

use super::record::Record;
use crate::domain::history::{MINUTE_MS, Peak, Tally};
use crate::domain::quantity::Quota;
use crate::limits::Terms;
use smallvec::SmallVec;
use std::num::NonZeroU16;

/// Limits of which one account keeps a minute at once; the history of more is dropped.
const MAX_CELLS_OF_ACCOUNT: usize = 256;
/// The same of all accounts of a shard.
const MAX_CELLS: usize = 1 << 16;

/// Which slot is a record's: its index and 1.
pub(crate) type SlotNumber = NonZeroU16;

/// What [`Cell::quota`] is where the quota is no number.
const BLOCKED: u64 = 0;
const UNLIMITED: u64 = u64::MAX;

#[derive(Debug, Default)]
pub(super) struct Minutes {
    on: bool,
    slots: Vec<Slot>,
    free: Vec<SlotNumber>,
    /// Of minutes that had passed when their slots were used again.
    passed: Vec<Passed>,
    /// Those of the slots and those that have passed.
    cells: usize,
    /// No minute of a slot ends before; 0 where nothing is known.
    earliest: i64,
    dropped: u64,
}

#[derive(Debug)]
struct Slot {
    /// Of the account's id: where its record is found.
    hash: u64,
    /// End of the minute, in milliseconds; `i64::MIN`: the slot is free.
    ends: i64,
    /// Where the limits of the last decision begin.
    likely: usize,
    cells: SmallVec<[Cell; 2]>,
}

/// One limit in one minute.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    /// Number of the limit's identity.
    pub limit: u32,
    denied: u32,
    admitted: i64,
    /// The peak, and the quota beside it as [`quota_of`] has it.
    used: u64,
    quota: u64,
}

#[derive(Debug)]
struct Passed {
    slot: SlotNumber,
    ends: i64,
    cell: Cell,
}

/// What one account does is noted here, under the lock of its shard.
pub(super) struct Notes<'s> {
    minutes: &'s mut Minutes,
    /// Of the account's id.
    hash: u64,
}

/// The cells of one account in the present minute.
pub(super) struct Cells<'s> {
    slot: &'s mut Slot,
    next: usize,
    /// Of all accounts of the shard.
    count: &'s mut usize,
    dropped: &'s mut u64,
}

impl<'s> Notes<'s> {
    #[inline]
    pub fn new(minutes: &'s mut Minutes, hash: u64) -> Self {
        Self { minutes, hash }
    }

    /// The cells of a record's minute. None: nothing is kept, or there is no room.
    #[inline]
    pub fn cells(&mut self, record: &mut Record, now: i64) -> Option<Cells<'_>> {
        if !self.minutes.on {
            return None;
        }
        let number = match record.slot {
            Some(number) if now < self.minutes.slots[index(number)].ends => number,
            Some(number) => self.minutes.begin_minute(number, now),
            None => self.open(record, now)?,
        };
        let Minutes { slots, cells: count, dropped, .. } = &mut *self.minutes;
        let slot = &mut slots[index(number)];
        Some(Cells { next: slot.likely, slot, count, dropped })
    }

    #[cold]
    fn open(&mut self, record: &mut Record, now: i64) -> Option<SlotNumber> {
        let number = self.minutes.take_slot();
        if let Some(number) = number {
            let slot = &mut self.minutes.slots[index(number)];
            (slot.hash, slot.ends) = (self.hash, end_of(now));
            self.minutes.earliest = self.minutes.earliest.min(slot.ends);
            record.slot = Some(number);
        } else {
            self.minutes.dropped += 1;
        }
        number
    }

    /// The record goes, and its history with it.
    pub fn forget(&mut self, record: &mut Record) {
        if let Some(number) = record.slot.take() {
            self.minutes.cells -= self.minutes.passed.iter().filter(|passed| passed.slot == number).count();
            self.minutes.passed.retain(|passed| passed.slot != number);
            self.minutes.release(number);
        }
    }
}

impl Cells<'_> {
    /// The cell of a limit. None: there is no room for another.
    #[inline]
    pub fn of(&mut self, limit: u32, quota: u64) -> Option<&mut Cell> {
        let at = match self.slot.cells.get(self.next) {
            Some(cell) if cell.limit == limit => self.next,
            _ => self.search(limit, quota)?,
        };
        self.next = at + 1;
        self.slot.cells.get_mut(at)
    }

    /// The limits that were noted are likely those of the next decision too.
    #[inline]
    pub fn done(self, noted: usize) {
        self.slot.likely = self.next.saturating_sub(noted);
    }

    fn search(&mut self, limit: u32, quota: u64) -> Option<usize> {
        let cells = &mut self.slot.cells;
        if let Some(at) = cells.iter().position(|cell| cell.limit == limit) {
            return Some(at);
        }
        if cells.len() >= MAX_CELLS_OF_ACCOUNT || *self.count >= MAX_CELLS {
            *self.dropped += 1;
            return None;
        }
        *self.count += 1;
        if cells.spilled() && cells.len() == cells.capacity() {
            cells.reserve_exact(4);
        }
        cells.push(Cell { limit, denied: 0, admitted: 0, used: 0, quota });
        Some(cells.len() - 1)
    }
}

impl Cell {
    #[inline]
    pub fn admit(&mut self, cost: u64) {
        self.correct(i64::try_from(cost).unwrap_or(i64::MAX));
    }

    #[inline]
    pub fn deny(&mut self) {
        self.denied = self.denied.saturating_add(1);
    }

    #[inline]
    pub fn correct(&mut self, by: i64) {
        self.admitted = self.admitted.saturating_add(by);
    }

    #[inline]
    pub fn peak(&mut self, used: u128, quota: u64) {
        let used = used.min(u128::from(u64::MAX)) as u64;
        if quota != self.quota {
            self.peak_under_another(used, quota);
        } else if used > self.used {
            self.used = used;
        }
    }

    #[cold]
    fn peak_under_another(&mut self, used: u64, quota: u64) {
        let peak = peak_of(used, quota);
        if peak > peak_of(self.used, self.quota) {
            (self.used, self.quota) = (used, quota);
        }
    }

    pub fn tally(&self) -> Tally {
        Tally { admitted: self.admitted, denied: u64::from(self.denied), peak: peak_of(self.used, self.quota) }
    }
}

impl Minutes {
    pub fn switched(on: bool) -> Self {
        Self { on, ..Self::default() }
    }

    /// What was not noted because there was no room.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn take_slot(&mut self) -> Option<SlotNumber> {
        if let Some(number) = self.free.pop() {
            return Some(number);
        }
        let number = u16::try_from(self.slots.len() + 1).ok().and_then(NonZeroU16::new)?;
        if self.slots.len() == self.slots.capacity() {
            // A table that doubles would be half empty for good.
            self.slots.reserve_exact(8 + self.slots.len() / 8);
        }
        self.slots.push(Slot { hash: 0, ends: i64::MIN, likely: 0, cells: SmallVec::new() });
        Some(number)
    }

    fn release(&mut self, number: SlotNumber) {
        let slot = &mut self.slots[index(number)];
        self.cells -= slot.cells.len();
        slot.cells.clear();
        (slot.ends, slot.likely) = (i64::MIN, 0);
        self.free.push(number);
    }

    /// Lays the cells of a minute that has passed aside, until they are taken out.
    #[cold]
    fn begin_minute(&mut self, number: SlotNumber, now: i64) -> SlotNumber {
        let slot = &mut self.slots[index(number)];
        let ends = std::mem::replace(&mut slot.ends, end_of(now));
        self.passed.extend(slot.cells.drain(..).map(|cell| Passed { slot: number, ends, cell }));
        slot.likely = 0;
        number
    }

    /// The cells that a record has here, each with the end of its minute.
    pub fn of(&self, record: &Record) -> impl Iterator<Item = (i64, &Cell)> {
        let number = record.slot;
        let slot = number.map(|number| &self.slots[index(number)]);
        let passed = self.passed.iter().filter(move |passed| Some(passed.slot) == number);
        let open = slot.into_iter().flat_map(|slot| slot.cells.iter().map(|cell| (slot.ends, cell)));
        passed.map(|passed| (passed.ends, &passed.cell)).chain(open)
    }

    /// Takes out every minute that ends at `until` or before: its slot, the hash of its account's id, its end, what was
    /// noted in it. Minutes of one account come in order.
    pub fn drain(&mut self, until: i64, mut take: impl FnMut(SlotNumber, u64, (i64, &[Cell]), Then)) {
        self.cells -= self.passed.len();
        for Passed { slot, ends, cell } in self.passed.drain(..) {
            take(slot, self.slots[index(slot)].hash, (ends, &[cell]), Then::Kept);
        }
        if until < self.earliest {
            return;
        }
        self.earliest = i64::MAX;
        for number in (1..=self.slots.len()).filter_map(|n| NonZeroU16::new(n as u16)) {
            let slot = &self.slots[index(number)];
            if slot.ends != i64::MIN && slot.ends <= until {
                take(number, slot.hash, (slot.ends, &slot.cells), Then::Freed);
                self.release(number);
            } else if slot.ends != i64::MIN {
                self.earliest = self.earliest.min(slot.ends);
            }
        }
    }
}

/// Whether the record still has the slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Kept,
    Freed,
}

#[inline]
fn index(number: SlotNumber) -> usize {
    usize::from(number.get()) - 1
}

fn end_of(now: i64) -> i64 {
    (now.div_euclid(MINUTE_MS) + 1).saturating_mul(MINUTE_MS)
}

/// What a peak is measured against: the quota; of a token bucket its burst.
#[inline]
pub(super) fn quota_of(terms: &Terms) -> u64 {
    match terms.quota {
        Quota::Units(_) => terms.burst.min(u128::from(UNLIMITED - 1)) as u64,
        Quota::Blocked => BLOCKED,
        Quota::Unlimited => UNLIMITED,
    }
}

fn peak_of(used: u64, quota: u64) -> Peak {
    let quota = match quota {
        BLOCKED => Quota::Blocked,
        UNLIMITED => Quota::Unlimited,
        units => Quota::Units(units),
    };
    Peak { used, quota }
}
