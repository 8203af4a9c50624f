//! Amounts and quotas.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The largest quota, burst, cost and payment amount.
pub const MAX_AMOUNT: u64 = 1_000_000_000_000_000;
/// The largest concurrency quota.
pub const MAX_CONCURRENCY: u64 = 100_000;
pub const MIN_WINDOW_MS: i64 = 1_000;
pub const MAX_WINDOW_MS: i64 = 31 * 86_400_000;
pub const MAX_RESERVATION_TTL_MS: i64 = 86_400_000;
/// How long an ended reservation is remembered.
pub const ENDED_MEMORY_MS: i64 = 600_000;
/// The last moment that a time may name: 9999-12-31T23:59:59.999Z.
pub const MAX_TIME_MS: i64 = 253_402_300_799_999;

/// What one limit allows. Ordered: `blocked` < integers < `unlimited`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quota {
    Blocked,
    Units(u64),
    Unlimited,
}

impl Quota {
    #[must_use]
    pub fn units(self) -> Option<u64> {
        match self {
            Self::Units(n) => Some(n),
            Self::Blocked | Self::Unlimited => None,
        }
    }

    /// Errors: zero, or above [`MAX_AMOUNT`].
    pub fn of(units: u64) -> Result<Self, InvalidQuota> {
        match units {
            1..=MAX_AMOUNT => Ok(Self::Units(units)),
            _ => Err(InvalidQuota(units.to_string())),
        }
    }

    /// Errors: neither of the two words.
    pub fn word(text: &str) -> Result<Self, InvalidQuota> {
        match text {
            "unlimited" => Ok(Self::Unlimited),
            "blocked" => Ok(Self::Blocked),
            _ => Err(InvalidQuota(text.chars().take(40).flat_map(char::escape_debug).collect())),
        }
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blocked => f.write_str("blocked"),
            Self::Unlimited => f.write_str("unlimited"),
            Self::Units(n) => write!(f, "{n}"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a quota: write an integer from 1 to 10^15, `unlimited` or `blocked`")]
pub struct InvalidQuota(String);

/// On the wire a quota is an integer or one of the words `unlimited`, `blocked`.
impl Serialize for Quota {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Units(n) => serializer.serialize_u64(*n),
            Self::Blocked => serializer.serialize_str("blocked"),
            Self::Unlimited => serializer.serialize_str("unlimited"),
        }
    }
}

impl<'de> Deserialize<'de> for Quota {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Quota;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer from 1 to 10^15, \"unlimited\" or \"blocked\"")
            }
            fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<Quota, E> {
                Quota::of(n).map_err(E::custom)
            }
            fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<Quota, E> {
                u64::try_from(n).map_err(|_| E::custom(InvalidQuota(n.to_string()))).and_then(|n| self.visit_u64(n))
            }
            fn visit_f64<E: serde::de::Error>(self, n: f64) -> Result<Quota, E> {
                whole(n).ok_or_else(|| E::custom(InvalidQuota(n.to_string()))).and_then(|n| self.visit_u64(n))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Quota, E> {
                Quota::word(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// JSON Schema calls `80.0` an integer, so whole floats up to [`MAX_AMOUNT`] are read as one.
fn whole(n: f64) -> Option<u64> {
    // Every integer up to 10^15 is exact in an f64.
    (n.fract() == 0.0 && (0.0..=1e15).contains(&n)).then_some(n as u64)
}

/// A cost or amount, 0 to 10^15. Whole floats such as `80.0` are read as integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct Amount(u64);

impl Amount {
    pub const ONE: Self = Self(1);

    /// Errors: above [`MAX_AMOUNT`].
    pub fn new(units: u64) -> Result<Self, InvalidAmount> {
        if units <= MAX_AMOUNT { Ok(Self(units)) } else { Err(InvalidAmount(units.to_string())) }
    }

    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an amount: write an integer from 0 to 10^15")]
pub struct InvalidAmount(String);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Amount;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer from 0 to 10^15")
            }
            fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<Amount, E> {
                Amount::new(n).map_err(E::custom)
            }
            fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<Amount, E> {
                u64::try_from(n).map_err(|_| E::custom(InvalidAmount(n.to_string()))).and_then(|n| self.visit_u64(n))
            }
            fn visit_f64<E: serde::de::Error>(self, n: f64) -> Result<Amount, E> {
                whole(n).ok_or_else(|| E::custom(InvalidAmount(n.to_string()))).and_then(|n| self.visit_u64(n))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_ordered_blocked_integers_unlimited() {
        assert!(Quota::Blocked < Quota::Units(1));
        assert!(Quota::Units(1) < Quota::Units(2));
        assert!(Quota::Units(MAX_AMOUNT) < Quota::Unlimited);
    }

    #[test]
    fn a_quota_is_read_from_an_integer_or_a_word() {
        let read = |text: &str| serde_json::from_str::<Quota>(text).ok();

        assert_eq!(read("5"), Some(Quota::Units(5)));
        assert_eq!(read("80.0"), Some(Quota::Units(80)));
        assert_eq!(read("\"blocked\""), Some(Quota::Blocked));
        for bad in ["0", "-1", "1.5", "1000000000000001", "\"Blocked\"", "null", "true", "1e300"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_amount_is_a_whole_number_up_to_the_maximum() {
        let read = |text: &str| serde_json::from_str::<Amount>(text).ok().map(Amount::get);

        assert_eq!(read("0"), Some(0));
        assert_eq!(read("1000000000000000"), Some(MAX_AMOUNT));
        assert_eq!(read("1e15"), Some(MAX_AMOUNT));
        for bad in ["-1", "0.5", "1000000000000001", "\"1\"", "null"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
