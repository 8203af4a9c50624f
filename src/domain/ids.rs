//! Names that came from outside and were checked on the way in.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A name that does not follow its grammar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{shown}` is not valid: {rule}")]
pub struct InvalidName {
    what: &'static str,
    shown: String,
    rule: &'static str,
}

impl InvalidName {
    fn new(what: &'static str, text: &str, rule: &'static str) -> Self {
        let shown = text.chars().take(80).flat_map(char::escape_debug).collect();
        Self { what, shown, rule }
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "CompactString", into = "CompactString")]
        pub struct $type(CompactString);

        impl $type {
            /// Errors: the text does not follow the grammar of its kind.
            pub fn parse(text: &str) -> Result<Self, InvalidName> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(CompactString::new(text)))
                } else {
                    Err(InvalidName::new($what, text, $rule))
                }
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<CompactString> for $type {
            type Error = InvalidName;
            fn try_from(text: CompactString) -> Result<Self, InvalidName> {
                Self::parse(&text)
            }
        }

        impl From<$type> for CompactString {
            fn from(name: $type) -> CompactString {
                name.0
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "`{}`", self.0)
            }
        }
    };
}

name!(
    /// A main account or a sub-account: `[A-Za-z0-9._:-]{1,64}`.
    AccountId, "account id", "1 to 64 of A-Z a-z 0-9 . _ : -", is_account_id
);
name!(
    /// A caller's own name for a reservation, unique within the main account: `[A-Za-z0-9._:-]{1,64}`.
    ReservationId, "reservation id", "1 to 64 of A-Z a-z 0-9 . _ : -", is_account_id
);
name!(
    /// A payment or payment event, named by the billing system: 1 to 255 printable ASCII characters, no space.
    PaymentRef, "payment reference", "1 to 255 printable ASCII characters without spaces",
    |text| bounded(text, 255) && text.bytes().all(|b| b.is_ascii_graphic())
);
name!(
    /// A tier, group, limit or unit of a policy: `[a-z0-9][a-z0-9._-]{0,63}`.
    PolicyId, "id", "1 to 64 of a-z 0-9 . _ -, starting with a letter or digit", is_policy_id
);
name!(
    /// A billing system that delivers events: `[a-z0-9][a-z0-9._-]{0,63}`.
    SourceId, "billing source", "1 to 64 of a-z 0-9 . _ -, starting with a letter or digit", is_policy_id
);
name!(
    /// A person who logs in: `[a-z0-9][a-z0-9._-]{0,63}`.
    OperatorName, "operator name", "1 to 64 of a-z 0-9 . _ -, starting with a letter or digit", is_policy_id
);
name!(
    /// What a caller wants to use, compared as written: `[A-Za-z0-9._:/@+-]{1,128}`.
    ResourceName, "resource", "1 to 128 of A-Z a-z 0-9 . _ : / @ + -",
    |text| bounded(text, 128) && text.bytes().all(|b| is_account_byte(b) || matches!(b, b'/' | b'@' | b'+'))
);
name!(
    /// An ISO 4217 currency code.
    Currency, "currency", "an ISO 4217 code such as CNY or USD", super::currency::is_iso_4217
);

fn bounded(text: &str, most: usize) -> bool {
    !text.is_empty() && text.len() <= most
}

fn is_account_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-')
}

fn is_account_id(text: &str) -> bool {
    bounded(text, 64) && text.bytes().all(is_account_byte)
}

fn is_policy_id(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    bounded(text, 64)
        && text.as_bytes().first().copied().is_some_and(plain)
        && text.bytes().all(|b| plain(b) || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_ids_follow_their_grammar() {
        assert!(AccountId::parse("acme-eu:1._Z").is_ok());
        assert!(AccountId::parse(&"a".repeat(64)).is_ok());
        for bad in ["", "a b", "a/b", "a\u{0}", "é", &"a".repeat(65)] {
            assert!(AccountId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn policy_ids_start_with_a_letter_or_digit() {
        assert!(PolicyId::parse("text.m2").is_ok());
        for bad in ["", ".a", "A", "a/b", "-a"] {
            assert!(PolicyId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_error_shows_control_characters_escaped() {
        let error = AccountId::parse("a\u{7}b").unwrap_err().to_string();

        assert_eq!(error, "account id `a\\u{7}b` is not valid: 1 to 64 of A-Z a-z 0-9 . _ : -");
    }
}
