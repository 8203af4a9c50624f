//! A `u128` with the alignment of a `u64`, so that a counter does not grow by padding.

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wide {
    high: u64,
    low: u64,
}

impl Wide {
    pub(super) fn get(self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }
}

impl From<u128> for Wide {
    fn from(value: u128) -> Self {
        Self { high: (value >> 64) as u64, low: value as u64 }
    }
}
