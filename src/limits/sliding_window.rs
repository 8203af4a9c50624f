//! A window of sixty slots that slides by one slot at a time.
//!
//! Kept as the newest slot seen, a bit for each of the sixty slots that holds usage, and the amounts of just those
//! slots, oldest first.

use super::amounts::Amounts;
use super::{Reading, Terms};
use crate::fault::Fault;

const SLOTS: i64 = 60;
const MASK: u64 = (1 << SLOTS) - 1;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SlidingWindow {
    /// The slot that bit 0 stands for.
    newest: i64,
    /// Bit `k`: slot `newest - k` holds usage.
    occupied: u64,
    amounts: Amounts,
}

impl SlidingWindow {
    /// (newest slot, occupied bits, amounts oldest first).
    pub fn parts(&self) -> (i64, u64, impl Iterator<Item = u128>) {
        let amounts = (0..self.occupied.count_ones() as usize).map(|position| self.amounts.get(position));
        (self.newest, self.occupied, amounts)
    }

    /// None: the parts do not fit together.
    #[must_use]
    pub fn from_parts(newest: i64, occupied: u64, amounts: &[u128]) -> Option<Self> {
        if occupied & !MASK != 0 || occupied.count_ones() as usize != amounts.len() || amounts.contains(&0) {
            return None;
        }
        Some(Self { newest, occupied, amounts: Amounts::of(amounts)? })
    }

    #[inline]
    pub(super) fn used(&mut self, terms: &Terms, now: i64) -> u128 {
        self.bring(terms, now);
        self.amounts.total()
    }

    #[inline]
    pub(super) fn charge(&mut self, terms: &Terms, cost: u64, now: i64) -> i64 {
        self.bring(terms, now);
        if cost > 0 {
            self.amounts.add_to_newest(cost, self.occupied);
            self.occupied |= 1;
        }
        self.newest
    }

    pub(super) fn give_back(&mut self, terms: &Terms, charged_in: i64, amount: u64, now: i64) {
        self.bring(terms, now);
        let age = self.newest - charged_in;
        if !(0..SLOTS).contains(&age) || self.occupied >> age & 1 == 0 {
            return;
        }
        let position = (self.occupied >> age >> 1).count_ones() as usize;
        if self.amounts.take_from(position, amount) {
            self.occupied &= !(1 << age);
        }
    }

    #[inline]
    pub(super) fn read(&mut self, terms: &Terms, now: i64) -> Reading {
        self.bring(terms, now);
        self.reading(terms, now)
    }

    /// How it stands at `now`, which it was brought to.
    #[inline]
    pub(super) fn reading(&self, terms: &Terms, now: i64) -> Reading {
        let reset = match self.occupied {
            0 => 0,
            bits => leaves_at(terms, self.newest - i64::from(bits.trailing_zeros())) - now,
        };
        Reading { used: self.amounts.total(), reset_after_ms: Some(reset) }
    }

    /// Time until usage is at most `room`, in milliseconds.
    pub(super) fn retry_after_ms(&mut self, terms: &Terms, room: u128, now: i64) -> i64 {
        let mut used = self.used(terms, now);
        let mut bits = self.occupied;
        let mut position = 0;
        while bits != 0 {
            let age = i64::from(63 - bits.leading_zeros());
            used -= self.amounts.get(position);
            if used <= room {
                return leaves_at(terms, self.newest - age) - now;
            }
            bits &= !(1 << age);
            position += 1;
        }
        1
    }

    /// Makes the slot of `now` the newest. A division, so it is left out where `now` is in the newest one already.
    #[inline]
    fn bring(&mut self, terms: &Terms, now: i64) {
        let begins = self.newest.wrapping_mul(terms.window_ms);
        let into = (SLOTS * now).wrapping_sub(begins);
        if !(0..terms.window_ms).contains(&into) {
            self.advance(slot(terms, now));
        }
    }

    /// Forgets the slots that no longer count once `current` is the newest.
    fn advance(&mut self, current: i64) {
        let steps = current - self.newest;
        if steps <= 0 {
            return;
        }
        self.newest = current;
        if self.occupied == 0 {
            return;
        }
        if steps >= SLOTS {
            self.occupied = 0;
            self.amounts = Amounts::default();
            return;
        }
        let gone = (self.occupied >> (SLOTS - steps)).count_ones() as usize;
        self.occupied = (self.occupied << steps) & MASK;
        if gone > 0 {
            self.amounts.drop_oldest(gone);
        }
        if Fault::SlotTooFew.chosen() && self.occupied >> (SLOTS - 1) == 1 {
            self.occupied &= MASK >> 1;
            self.amounts.drop_oldest(1);
        }
    }
}

#[inline]
fn slot(terms: &Terms, now: i64) -> i64 {
    (SLOTS * now).div_euclid(terms.window_ms)
}

/// The moment from which `slot` no longer counts: ceil((slot + 60) * W / 60).
fn leaves_at(terms: &Terms, slot: i64) -> i64 {
    let scaled = (slot + SLOTS) * terms.window_ms;
    scaled.div_euclid(SLOTS) + i64::from(scaled.rem_euclid(SLOTS) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::quantity::{MAX_AMOUNT, Quota};

    fn terms(window_ms: i64) -> Terms {
        Terms { quota: Quota::Units(10), burst: 0, window_ms, offset_ms: 0 }
    }

    #[test]
    fn a_charge_counts_until_its_slot_has_left() {
        let terms = terms(60_000);
        let mut window = SlidingWindow::default();

        window.charge(&terms, 7, 999);

        assert_eq!(window.read(&terms, 999), Reading { used: 7, reset_after_ms: Some(59_001) });
        assert_eq!(window.used(&terms, 59_999), 7);
        assert_eq!(window.used(&terms, 60_000), 0);
    }

    #[test]
    fn slots_of_a_window_that_sixty_does_not_divide_end_rounded_up() {
        let terms = terms(1_001);
        let mut window = SlidingWindow::default();

        // slot(17) = floor(1020 / 1001) = 1, which leaves at ceil(61 * 1001 / 60) = 1018.
        window.charge(&terms, 1, 17);

        assert_eq!(window.used(&terms, 1_017), 1);
        assert_eq!(window.used(&terms, 1_018), 0);
    }

    #[test]
    fn amounts_wider_than_any_integer_of_64_bits_stay_exact() {
        let terms = terms(60_000);
        let mut window = SlidingWindow::default();

        for _ in 0..20_000 {
            window.charge(&terms, MAX_AMOUNT, 0);
        }

        assert_eq!(window.used(&terms, 0), 20_000 * u128::from(MAX_AMOUNT));
    }

    #[test]
    fn what_is_given_back_leaves_the_slot_it_was_charged_in() {
        let terms = terms(60_000);
        let mut window = SlidingWindow::default();
        let first = window.charge(&terms, 5, 0);
        window.charge(&terms, 3, 1_000);

        window.give_back(&terms, first, 4, 1_000);

        assert!(window.parts().2.eq([1, 3]));
        window.give_back(&terms, first, 1, 1_000);
        assert!(window.parts().2.eq([3]));
        assert_eq!(window.used(&terms, 60_000), 3);
    }

    #[test]
    fn parts_round_trip_and_nonsense_is_refused() {
        let terms = terms(60_000);
        let mut window = SlidingWindow::default();
        window.charge(&terms, 5, 0);
        window.charge(&terms, 1 << 40, 30_000);
        let (newest, occupied, amounts) = window.parts();
        let amounts: Vec<_> = amounts.collect();

        assert_eq!(SlidingWindow::from_parts(newest, occupied, &amounts), Some(window.clone()));
        assert_eq!(SlidingWindow::from_parts(newest, occupied | 2, &amounts), None);
        assert_eq!(SlidingWindow::from_parts(newest, 1 << 63, &[1]), None);
    }

    /// Amounts that each kind of list holds, and that make one kind follow the other, against a plain list.
    #[test]
    fn every_width_charges_gives_back_and_forgets_alike() {
        let terms = terms(60_000);
        for (step, amount) in [(1_000, 3), (7_000, 60_000), (1_000, 70_000), (3_000, 1 << 31), (61_000, 9)] {
            let mut window = SlidingWindow::default();
            let mut charges: Vec<(i64, u64)> = Vec::new();
            for n in 0..200_i64 {
                let now = n * step;
                let slot = window.charge(&terms, amount + n as u64 % 3, now);
                charges.push((slot, amount + n as u64 % 3));
                if n % 5 == 0 {
                    let (slot, charged) = charges[n as usize / 2];
                    window.give_back(&terms, slot, charged, now);
                    let current = window.newest;
                    if slot > current - SLOTS {
                        charges[n as usize / 2].1 = 0;
                    }
                }
                let counts = charges.iter().filter(|(slot, amount)| *slot > window.newest - SLOTS && *amount > 0);
                let used: u128 = counts.map(|&(_, amount)| u128::from(amount)).sum();
                assert_eq!(window.used(&terms, now), used, "{amount} each {step} ms, charge {n}");
                let (newest, occupied, amounts) = window.parts();
                let amounts: Vec<_> = amounts.collect();
                let mut again = SlidingWindow::from_parts(newest, occupied, &amounts).unwrap();
                assert_eq!(again.read(&terms, now), window.read(&terms, now));
            }
        }
    }
}
