//! How many minutes were how busy: counts in buckets whose bounds grow by an eighth.

use crate::domain::history::FULL;
use crate::engine::wire::{Reader, Writer};
use std::collections::BTreeMap;

/// Lower bounds of the buckets of utilisation, in parts of 10,000; what is below the first is in a bucket from 0.
///
/// Ten thousand times the powers of the root of 1.25: so 80 % and 100 % are bounds, and how many minutes were at or
/// above them is exact.
const UTILISATION_BOUNDS: [u32; 62] = [
    115, 129, 144, 161, 180, 201, 225, 252, 281, 315, 352, 393, 440, 492, 550, 615, 687, 768, 859, 960, 1074, 1200,
    1342, 1501, 1678, 1876, 2097, 2345, 2621, 2931, 3277, 3664, 4096, 4579, 5120, 5724, 6400, 7155, 8000, 8944, FULL,
    11180, 12500, 13975, 15625, 17469, 19531, 21837, 24414, 27296, 30518, 34120, 38147, 42650, 47684, 53312, 59605,
    66640, 74506, 83300, 93132, 104_125,
];
/// Amounts below this have a bucket each; above it there are eight to each doubling.
const EXACT_BELOW: u64 = 16;

/// The bucket of a utilisation.
pub fn utilisation_bucket(parts: u32) -> u16 {
    UTILISATION_BOUNDS.partition_point(|&bound| bound <= parts) as u16
}

/// The least utilisation of a bucket.
pub fn utilisation_of(bucket: u16) -> u32 {
    match usize::from(bucket).checked_sub(1) {
        None => 0,
        Some(at) => UTILISATION_BOUNDS.get(at).copied().unwrap_or(u32::MAX),
    }
}

/// The bucket of an amount.
pub fn amount_bucket(amount: u64) -> u16 {
    if amount < EXACT_BELOW {
        return amount as u16;
    }
    let exponent = amount.ilog2();
    let eighth = (amount >> (exponent - 3)) & 7;
    (EXACT_BELOW + u64::from(exponent - 4) * 8 + eighth) as u16
}

/// The least amount of a bucket.
pub fn amount_of(bucket: u16) -> u64 {
    let bucket = u64::from(bucket);
    if bucket < EXACT_BELOW {
        return bucket;
    }
    let (doublings, eighth) = ((bucket - EXACT_BELOW) / 8, (bucket - EXACT_BELOW) % 8);
    (8 + eighth).checked_shl(doublings as u32 + 1).unwrap_or(u64::MAX)
}

/// Minutes by bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram(BTreeMap<u16, u64>);

impl Histogram {
    pub fn count(&mut self, bucket: u16) {
        *self.0.entry(bucket).or_default() += 1;
    }

    pub fn add(&mut self, other: &Self) {
        for (&bucket, count) in &other.0 {
            *self.0.entry(bucket).or_default() += count;
        }
    }

    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Minutes in this bucket or a higher one.
    pub fn from(&self, bucket: u16) -> u64 {
        self.0.range(bucket..).map(|(_, count)| count).sum()
    }

    /// The bucket of the minute that so many percent of all are not above. None: there are no minutes.
    pub fn percentile(&self, percent: u64) -> Option<u16> {
        let rank = (self.total() * percent).div_ceil(100).max(1);
        let mut seen = 0;
        self.0.iter().find_map(|(&bucket, count)| {
            seen += count;
            (seen >= rank).then_some(bucket)
        })
    }

    pub fn write(&self, to: &mut Writer) {
        to.unsigned(self.0.len() as u128);
        let mut last = 0;
        for (&bucket, &count) in &self.0 {
            to.unsigned(u128::from(bucket - last));
            to.unsigned(u128::from(count));
            last = bucket;
        }
    }

    pub fn read(from: &mut Reader<'_>) -> Option<Self> {
        let mut found = BTreeMap::new();
        let mut last = 0_u16;
        for _ in 0..from.length()? {
            last = last.checked_add(u16::try_from(from.small()?).ok()?)?;
            found.insert(last, from.amount()?);
        }
        Some(Self(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::history::HIGH;

    #[test]
    fn bounds_grow_by_an_eighth_at_most_and_hold_eighty_and_a_hundred_per_cent() {
        assert!(UTILISATION_BOUNDS.windows(2).all(|pair| pair[0] < pair[1] && pair[1] * 8 <= pair[0] * 9 + 8));
        for exact in [HIGH, FULL] {
            assert_eq!(utilisation_of(utilisation_bucket(exact)), exact);
            assert_eq!(utilisation_bucket(exact - 1) + 1, utilisation_bucket(exact));
        }
    }

    #[test]
    fn the_least_of_a_bucket_is_in_it_and_no_more_than_an_eighth_below_the_rest() {
        let amounts = (0..4_000).chain((4..64).flat_map(|shift| [(1 << shift) - 1, 1 << shift, (1 << shift) + 5]));
        for amount in amounts.chain([u64::MAX]) {
            let least = amount_of(amount_bucket(amount));
            assert!(least <= amount && amount - least <= least / 8, "{amount} {least}");
            assert_eq!(amount_bucket(least), amount_bucket(amount));
        }
        for parts in [0, 1, 114, 115, 7_999, 8_000, 12_345, 1_000_000, u32::MAX] {
            let bucket = utilisation_bucket(parts);
            assert!(utilisation_of(bucket) <= parts);
            assert_eq!(utilisation_bucket(utilisation_of(bucket)), bucket);
        }
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(95), None);
        (0..100).for_each(|n| histogram.count(n / 10));

        assert_eq!(histogram.percentile(1), Some(0));
        assert_eq!(histogram.percentile(90), Some(8));
        assert_eq!(histogram.percentile(91), Some(9));
        assert_eq!((histogram.total(), histogram.from(8)), (100, 20));
        let mut to = Writer::with_capacity(32);
        histogram.write(&mut to);
        assert_eq!(Histogram::read(&mut Reader::new(&to.finish())), Some(histogram));
    }
}
