//! What is kept of the past: of a limit and a minute what was admitted, what was denied, and the peak.

use super::quantity::Quota;
use std::cmp::Ordering;

pub const MINUTE_MS: i64 = 60_000;
/// A limit is used in full.
pub const FULL: u32 = 10_000;
/// A limit is used so far that it is time to ask for more.
pub const HIGH: u32 = 8_000;

/// The most that was in use at once, beside the quota in force then; of a token bucket, beside its burst.
///
/// Ordered by how much of the quota it is, then by the amount: an infinite quota and none at all are never used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peak {
    pub used: u64,
    pub quota: Quota,
}

impl Peak {
    pub const NONE: Self = Self { used: 0, quota: Quota::Blocked };

    /// How much of the quota it is, in parts of 10,000, rounded down. None: the quota is no number.
    #[must_use]
    pub fn utilisation(self) -> Option<u32> {
        let quota = self.quota.units().filter(|&quota| quota > 0)?;
        let parts = u128::from(self.used) * u128::from(FULL) / u128::from(quota);
        Some(u32::try_from(parts).unwrap_or(u32::MAX))
    }

    /// A fraction that orders as the utilisation does, unrounded.
    fn fraction(self) -> (u128, u128) {
        match self.quota.units() {
            Some(quota) if quota > 0 => (u128::from(self.used), u128::from(quota)),
            Some(_) | None => (0, 1),
        }
    }
}

impl Ord for Peak {
    fn cmp(&self, other: &Self) -> Ordering {
        let ((used, quota), (other_used, other_quota)) = (self.fraction(), other.fraction());
        // Both factors are below 2^64.
        let by_share = (used * other_quota).cmp(&(other_used * quota));
        by_share.then(self.used.cmp(&other.used)).then(self.quota.cmp(&other.quota))
    }
}

impl PartialOrd for Peak {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What became of a limit within a span of time.
///
/// INVARIANT: adding is commutative and associative, so parts of a span may come in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Cost charged by decisions, and what settles and cancels made of it later: below 0 where more was given back
    /// than charged.
    pub admitted: i64,
    /// Requests that this limit refused.
    pub denied: u64,
    pub peak: Peak,
}

impl Tally {
    pub const NONE: Self = Self { admitted: 0, denied: 0, peak: Peak::NONE };

    pub fn add(&mut self, other: &Self) {
        self.admitted = self.admitted.saturating_add(other.admitted);
        self.denied = self.denied.saturating_add(other.denied);
        self.peak = self.peak.max(other.peak);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(used: u64, quota: u64) -> Peak {
        Peak { used, quota: Quota::Units(quota) }
    }

    #[test]
    fn eighty_and_a_hundred_per_cent_are_exact_and_what_is_below_is_below() {
        let parts = |used, quota| of(used, quota).utilisation();

        assert_eq!(parts(4, 5), Some(HIGH));
        assert_eq!(parts(799_999_999_999_999, 1_000_000_000_000_000), Some(HIGH - 1));
        assert_eq!(parts(7, 7), Some(FULL));
        assert_eq!(parts(u64::MAX - 1, u64::MAX), Some(FULL - 1));
        assert_eq!(parts(u64::MAX, 1), Some(u32::MAX));
        assert_eq!(Peak { used: 9, quota: Quota::Unlimited }.utilisation(), None);
    }

    #[test]
    fn a_peak_is_larger_by_the_share_of_its_quota_first() {
        let unlimited = |used| Peak { used, quota: Quota::Unlimited };

        assert!(of(5, 10) > of(9, 20));
        assert!(of(10, 20) > of(5, 10));
        assert!(of(1, 1_000_000) > unlimited(500));
        assert!(unlimited(2) > unlimited(1));
        assert!(of(u64::MAX, 3) > of(u64::MAX - 1, 3));
        assert!(Peak::NONE < unlimited(0));
    }
}
