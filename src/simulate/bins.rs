//! Counts over time in bins that widen as the span grows, so that their number stays bounded.

/// Each a multiple of the one before; after the last they double.
const WIDTHS_MS: [i64; 11] = [
    1_000,
    5_000,
    15_000,
    60_000,
    300_000,
    900_000,
    3_600_000,
    6 * 3_600_000,
    86_400_000,
    7 * 86_400_000,
    28 * 86_400_000,
];

/// Bins of equal width, the first where the first value was.
#[derive(Debug)]
pub struct Bins<T> {
    width_ms: i64,
    first: i64,
    bins: Vec<T>,
    most: usize,
    merge: fn(&mut T, T),
}

impl<T: Default> Bins<T> {
    /// `most` is the largest number of bins, at least 2; `merge` adds a bin to the one before it.
    pub(super) fn new(width_ms: i64, most: usize, merge: fn(&mut T, T)) -> Self {
        Self { width_ms, first: 0, bins: Vec::new(), most: most.max(2), merge }
    }

    /// The bin of a moment, which is not before the first one given.
    pub(super) fn at(&mut self, ms: i64) -> &mut T {
        if self.bins.is_empty() {
            self.first = ms.div_euclid(self.width_ms);
        }
        loop {
            let past = ms.div_euclid(self.width_ms).saturating_sub(self.first);
            match usize::try_from(past.max(0)) {
                Ok(position) if position < self.most => {
                    if position >= self.bins.len() {
                        self.bins.resize_with(position + 1, T::default);
                    }
                    return &mut self.bins[position];
                }
                _ => self.widen(),
            }
        }
    }

    fn widen(&mut self) {
        let wider = WIDTHS_MS.into_iter().find(|width| *width > self.width_ms).unwrap_or(self.width_ms * 2);
        let position = |bin: i64| (bin * self.width_ms).div_euclid(wider);
        let first = position(self.first);
        let mut bins: Vec<T> = Vec::with_capacity(self.bins.len() / 2 + 1);
        for (bin, value) in (self.first..).zip(self.bins.drain(..)) {
            match usize::try_from(position(bin) - first) {
                Ok(at) if at < bins.len() => (self.merge)(&mut bins[at], value),
                _ => bins.push(value),
            }
        }
        (self.first, self.width_ms, self.bins) = (first, wider, bins);
    }

    #[must_use]
    pub fn width_ms(&self) -> i64 {
        self.width_ms
    }

    /// The start of each bin with what is in it, without gaps.
    pub fn iter(&self) -> impl Iterator<Item = (i64, &T)> {
        (self.first..).zip(&self.bins).map(|(bin, value)| (bin * self.width_ms, value))
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bins.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::quantity::MAX_TIME_MS;

    fn counted(most: usize, times: &[i64]) -> Bins<u64> {
        let mut bins = Bins::new(60_000, most, |into, from| *into += from);
        for ms in times {
            *bins.at(*ms) += 1;
        }
        bins
    }

    #[test]
    fn bins_are_a_minute_wide_while_they_fit_and_gaps_are_empty_bins() {
        let bins = counted(4, &[60_000, 61_000, 239_999]);

        assert_eq!(bins.width_ms(), 60_000);
        assert_eq!(bins.iter().collect::<Vec<_>>(), [(60_000, &2), (120_000, &0), (180_000, &1)]);
    }

    #[test]
    fn widening_keeps_every_count_in_the_bin_of_its_time() {
        let bins = counted(4, &[240_000, 299_999, 300_000, 540_000]);

        assert_eq!(bins.width_ms(), 300_000);
        assert_eq!(bins.iter().collect::<Vec<_>>(), [(0, &2), (300_000, &2)]);
    }

    #[test]
    fn any_span_fits() {
        let bins = counted(720, &[0, 1, MAX_TIME_MS]);

        assert_eq!(bins.iter().map(|(_, count)| count).sum::<u64>(), 3);
        assert!(bins.iter().count() <= 720);
    }
}
