//! How a secret is written: `qg_` of a key, `qs_` of a session, `qt_` to set up, 28 random digits of base 62, and six that check the rest.
//!
//! The check digits tell a typing error from a wrong secret without looking anywhere, and let a scanner of leaked ones know
//! one when it sees it.

use crate::ids::Ids;
use crate::services::seal::Secret;
use ctutils::CtEq;
use sha2::{Digest, Sha256};
use std::hash::{Hash, Hasher};

const PREFIX_BYTES: usize = 3;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62^28 is more than 2^166.
const RANDOM_DIGITS: usize = 28;
/// 62^6 is more than 2^32.
const CHECK_DIGITS: usize = 6;
const BYTES: usize = PREFIX_BYTES + RANDOM_DIGITS + CHECK_DIGITS;

/// What a secret is for; its prefix says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Key,
    Session,
    /// Makes the first operator or key.
    Setup,
}

impl Kind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Key => "qg_",
            Self::Session => "qs_",
            Self::Setup => "qt_",
        }
    }
}

/// Draws a secret that nobody can guess.
pub(in crate::services) fn draw(ids: &Ids, kind: Kind) -> Secret {
    let mut text = String::with_capacity(BYTES);
    text.push_str(kind.prefix());
    while text.len() < PREFIX_BYTES + RANDOM_DIGITS {
        let bytes = ids.bytes::<32>();
        // Bytes past the last whole multiple of 62 would make some digits likelier than others.
        let fair = bytes.iter().filter(|&&byte| byte < 248).map(|byte| char::from(DIGITS[usize::from(byte % 62)]));
        text.extend(fair.take(PREFIX_BYTES + RANDOM_DIGITS - text.len()));
    }
    let check = check_digits(text.as_bytes());
    text.extend(check.map(char::from));
    Secret::new(text)
}

/// What it is the secret of; None: there is a typing error in it, or something was cut off.
pub(super) fn kind_of(text: &str) -> Option<Kind> {
    let (rest, check) = text.as_bytes().split_last_chunk::<CHECK_DIGITS>()?;
    let kind = [Kind::Key, Kind::Session, Kind::Setup].into_iter().find(|kind| text.starts_with(kind.prefix()))?;
    (text.len() == BYTES && check_digits(rest) == *check).then_some(kind)
}

fn check_digits(text: &[u8]) -> [u8; CHECK_DIGITS] {
    let mut left = crc32c::crc32c(text) as usize;
    let mut digits = [b'0'; CHECK_DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[left % 62];
        left /= 62;
    }
    digits
}

/// SHA-256 of a secret: what is kept of it. A secret has too much randomness for a slow hash to add anything.
#[derive(Debug, Clone, Copy)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// None: not 64 hexadecimal digits.
    pub(in crate::services) fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok().map(|()| Self(bytes))
    }

    pub(in crate::services) fn to_hex(self) -> String {
        hex::encode(self.0)
    }
}

/// Takes as long wherever the first difference is.
pub(in crate::services) fn same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).to_bool()
}

impl PartialEq for SecretHash {
    fn eq(&self, other: &Self) -> bool {
        same(&self.0, &other.0)
    }
}

impl Eq for SecretHash {}

impl Hash for SecretHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0[..8]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_drawn_is_well_formed_and_no_two_are_the_same() {
        let ids = Ids::seeded(1);

        let drawn: std::collections::BTreeSet<String> =
            (0..1_000).map(|_| draw(&ids, Kind::Key).expose().to_owned()).collect();

        assert_eq!(drawn.len(), 1_000);
        assert!(drawn.iter().all(|text| kind_of(text) == Some(Kind::Key) && text.len() == 37), "{drawn:?}");
    }

    #[test]
    fn one_wrong_character_anywhere_is_seen() {
        let text = draw(&Ids::seeded(2), Kind::Key).expose().to_owned();

        for at in 0..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[at] = if wrong[at] == b'7' { b'8' } else { b'7' };
            assert_eq!(kind_of(&String::from_utf8(wrong).unwrap()), None, "{at}");
        }
        for bad in ["", "qg_", &text[1..], &text[..36], &format!("{text}0"), "Basic YTpi", "qg_éééééééééééééééééé"]
        {
            assert_eq!(kind_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn hashes_compare_as_their_bytes() {
        let hash = SecretHash::of("a");

        assert_eq!(hash, SecretHash::from_hex(&hash.to_hex()).unwrap());
        assert_ne!(hash, SecretHash::of("b"));
        assert!(SecretHash::from_hex("00").is_none());
    }
}
