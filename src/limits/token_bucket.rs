//! A level that each charge raises and time drains, kept scaled by the window so that no fraction is lost.

use super::wide::Wide;
use super::{Reading, Terms};
use crate::domain::quantity::Quota;
use crate::fault::Fault;

/// All amounts are units x window milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenBucket {
    level: Wide,
    /// All that has ever left, drained or given back.
    left: Wide,
    brought_at: i64,
}

impl TokenBucket {
    /// From what [`Self::parts`] gave.
    #[must_use]
    pub fn from_parts(level: u128, left: u128, brought_at: i64) -> Self {
        Self { level: level.into(), left: left.into(), brought_at }
    }

    /// (level, left, brought at).
    #[must_use]
    pub fn parts(&self) -> (u128, u128, i64) {
        (self.level.get(), self.left.get(), self.brought_at)
    }

    #[inline]
    pub(super) fn admits(&self, terms: &Terms, cost: u64, now: i64) -> bool {
        self.level_at(terms, now) + scaled(terms, cost) <= terms.burst.saturating_mul(window(terms))
    }

    /// (place, really charged).
    #[inline]
    pub(super) fn charge(&mut self, terms: &Terms, cost: u64, now: i64) -> (u128, u128) {
        self.bring(terms, now);
        let level = self.level.get();
        let place = self.left.get() + level;
        let ceiling = terms.burst.saturating_mul(window(terms)).saturating_mul(2);
        let raised = match terms.quota {
            Quota::Unlimited => level,
            Quota::Units(_) if Fault::DebtUnbounded.chosen() => level + scaled(terms, cost),
            Quota::Blocked | Quota::Units(_) => level.max((level + scaled(terms, cost)).min(ceiling)),
        };
        self.level = raised.into();
        (place, raised - level)
    }

    pub(super) fn give_back(&mut self, terms: &Terms, (place, charged): (u128, u128), amount: u64, now: i64) {
        self.bring(terms, now);
        let (level, left) = (self.level.get(), self.left.get());
        let remains = match Fault::GiveBackUncapped.chosen() {
            false => (place + charged).saturating_sub(left).min(charged),
            true => charged,
        };
        let given = scaled(terms, amount).min(remains).min(level);
        self.level = (level - given).into();
        self.left = (left + given).into();
    }

    #[inline]
    pub(super) fn bring(&mut self, terms: &Terms, now: i64) {
        let level = self.level_at(terms, now);
        self.left = (self.left.get() + (self.level.get() - level)).into();
        self.level = level.into();
        self.brought_at = now;
    }

    #[inline]
    pub(super) fn read(&self, terms: &Terms, now: i64) -> Reading {
        let level = self.level_at(terms, now);
        let reset = match terms.quota {
            _ if level == 0 => Some(0),
            Quota::Units(quota) => Some(whole_ms(level.div_ceil(u128::from(quota)))),
            Quota::Blocked | Quota::Unlimited => None,
        };
        Reading { used: level.div_ceil(window(terms)), reset_after_ms: reset }
    }

    /// Time until `cost`, at most the burst, fits. Units: milliseconds.
    pub(super) fn retry_after_ms(&self, terms: &Terms, cost: u64, now: i64) -> i64 {
        let room = terms.burst.saturating_mul(window(terms)).saturating_sub(scaled(terms, cost));
        let over = self.level_at(terms, now).saturating_sub(room);
        match terms.quota {
            Quota::Units(quota) => whole_ms(over.div_ceil(u128::from(quota))),
            Quota::Blocked | Quota::Unlimited => 0,
        }
    }

    #[inline]
    fn level_at(&self, terms: &Terms, now: i64) -> u128 {
        let level = self.level.get();
        match terms.quota {
            Quota::Unlimited => 0,
            Quota::Blocked => level,
            Quota::Units(quota) => {
                let elapsed = u128::from((now - self.brought_at).max(0).unsigned_abs());
                level.saturating_sub(u128::from(quota) * elapsed)
            }
        }
    }
}

#[inline]
fn window(terms: &Terms) -> u128 {
    u128::from(terms.window_ms.unsigned_abs())
}

#[inline]
fn scaled(terms: &Terms, units: u64) -> u128 {
    u128::from(units) * window(terms)
}

/// A level is at most two bursts, so a wait can pass what an `i64` holds only where a burst is absurdly larger
/// than its quota; it is then cut off at the largest time there is.
fn whole_ms(wait: u128) -> i64 {
    i64::try_from(wait).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(quota: Quota, burst: u128) -> Terms {
        Terms { quota, burst, window_ms: 60_000, offset_ms: 0 }
    }

    #[test]
    fn a_full_bucket_refuses_until_enough_has_drained() {
        let terms = terms(Quota::Units(60), 10);
        let mut bucket = TokenBucket::default();
        bucket.charge(&terms, 10, 0);

        // 60 a minute drain one unit each 1000 ms.
        assert!(!bucket.admits(&terms, 3, 2_999));
        assert_eq!(bucket.retry_after_ms(&terms, 3, 2_999), 1);
        assert!(bucket.admits(&terms, 3, 3_000));
        assert_eq!(bucket.read(&terms, 500), Reading { used: 10, reset_after_ms: Some(9_500) });
    }

    #[test]
    fn a_charge_past_the_quota_makes_a_debt_of_at_most_one_burst() {
        let terms = terms(Quota::Units(60), 10);
        let mut bucket = TokenBucket::default();

        bucket.charge(&terms, 1_000, 0);

        assert_eq!(bucket.read(&terms, 0).used, 20);
    }

    #[test]
    fn what_has_drained_since_is_not_given_back_again() {
        let terms = terms(Quota::Units(60), 10);
        let mut bucket = TokenBucket::default();
        let first = bucket.charge(&terms, 4, 0);
        bucket.charge(&terms, 4, 0);

        // After 3 s three of the first four units have drained; one is left to give back.
        bucket.give_back(&terms, first, 4, 3_000);

        assert_eq!(bucket.read(&terms, 3_000).used, 4);
    }

    #[test]
    fn unlimited_empties_it_and_blocked_stops_the_drain() {
        let mut bucket = TokenBucket::default();
        bucket.charge(&terms(Quota::Units(60), 10), 10, 0);

        assert_eq!(bucket.read(&terms(Quota::Blocked, 0), 60_000).reset_after_ms, None);
        assert_eq!(bucket.read(&terms(Quota::Blocked, 0), 60_000).used, 10);
        assert_eq!(bucket.read(&terms(Quota::Unlimited, 0), 0).used, 0);
    }
}
