//! Reservations open at once.

use std::collections::BTreeSet;

/// (expires at, the reservation's place in its account's table) of each open one, next to expire first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Concurrency {
    open: BTreeSet<(i64, u32)>,
}

impl Concurrency {
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.len()
    }

    pub fn take(&mut self, expires_at: i64, reservation: u32) {
        self.open.insert((expires_at, reservation));
    }

    pub fn free(&mut self, expires_at: i64, reservation: u32) {
        self.open.remove(&(expires_at, reservation));
    }

    /// Time until a slot is free if reservations end only by expiry. Units: milliseconds.
    ///
    /// None: a slot is free now.
    #[must_use]
    pub fn slot_expires_in_ms(&self, quota: u64, now: i64) -> Option<i64> {
        let must_end = (self.open.len() as u64 + 1).checked_sub(quota.max(1)).filter(|&n| n > 0)?;
        let nth = usize::try_from(must_end - 1).ok()?;
        self.open.iter().nth(nth).map(|&(expires_at, _)| expires_at - now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_must_expire_as_stand_above_the_quota() {
        let mut slots = Concurrency::default();
        for (n, expires_at) in [300, 100, 200].into_iter().enumerate() {
            slots.take(expires_at, n as u32);
        }

        assert_eq!(slots.slot_expires_in_ms(4, 50), None);
        assert_eq!(slots.slot_expires_in_ms(3, 50), Some(50));
        assert_eq!(slots.slot_expires_in_ms(1, 50), Some(250));
    }
}
