//! Windows that begin at whole multiples of their length.

use super::wide::Wide;
use super::{Reading, Terms};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FixedWindow {
    index: i64,
    used: Wide,
}

impl FixedWindow {
    /// From what [`Self::parts`] gave.
    #[must_use]
    pub fn from_parts(index: i64, used: u128) -> Self {
        Self { index, used: used.into() }
    }

    /// (window index, used).
    #[must_use]
    pub fn parts(&self) -> (i64, u128) {
        (self.index, self.used.get())
    }

    #[inline]
    pub(super) fn used(&self, terms: &Terms, now: i64) -> u128 {
        if self.index == index(terms, now) { self.used.get() } else { 0 }
    }

    pub(super) fn charge(&mut self, terms: &Terms, cost: u64, now: i64) -> i64 {
        let used = self.used(terms, now) + u128::from(cost);
        *self = Self { index: index(terms, now), used: used.into() };
        self.index
    }

    pub(super) fn give_back(&mut self, terms: &Terms, charged_in: i64, amount: u64, now: i64) {
        if charged_in == index(terms, now) && charged_in == self.index {
            self.used = self.used.get().saturating_sub(u128::from(amount)).into();
        }
    }

    pub(super) fn read(&self, terms: &Terms, now: i64) -> Reading {
        let used = self.used(terms, now);
        let reset = if used == 0 { 0 } else { self.end_of_window(terms, now) - now };
        Reading { used, reset_after_ms: Some(reset) }
    }

    /// The first moment of the next window, milliseconds since the epoch.
    pub(super) fn end_of_window(&self, terms: &Terms, now: i64) -> i64 {
        (index(terms, now) + 1) * terms.window_ms - terms.offset_ms
    }
}

fn index(terms: &Terms, now: i64) -> i64 {
    (now + terms.offset_ms).div_euclid(terms.window_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::quantity::Quota;

    const HOUR: i64 = 3_600_000;

    fn terms(window_ms: i64, offset_ms: i64) -> Terms {
        Terms { quota: Quota::Units(10), burst: 0, window_ms, offset_ms }
    }

    #[test]
    fn usage_returns_to_zero_at_the_end_of_the_window() {
        let terms = terms(60_000, 0);
        let mut window = FixedWindow::default();

        window.charge(&terms, 4, 59_999);

        assert_eq!(window.read(&terms, 59_999), Reading { used: 4, reset_after_ms: Some(1) });
        assert_eq!(window.read(&terms, 60_000), Reading { used: 0, reset_after_ms: Some(0) });
    }

    #[test]
    fn days_begin_where_the_offset_says() {
        let terms = terms(24 * HOUR, 8 * HOUR);
        let mut window = FixedWindow::default();

        window.charge(&terms, 1, 0);

        assert_eq!(window.read(&terms, 0).reset_after_ms, Some(16 * HOUR));
    }

    #[test]
    fn a_charge_of_an_earlier_window_is_not_given_back() {
        let terms = terms(1_000, 0);
        let mut window = FixedWindow::default();
        let first = window.charge(&terms, 5, 999);
        window.charge(&terms, 3, 1_000);

        window.give_back(&terms, first, 5, 1_000);

        assert_eq!(window.used(&terms, 1_000), 3);
    }
}
