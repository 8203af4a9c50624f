//! How a key is written: `qg_`, 28 random digits of base 62, and six that check the rest.
//!
//! The check digits tell a typing error from a wrong key without looking anywhere, and let a scanner of leaked secrets
//! know one when it sees it.

use crate::ids::Ids;
use crate::services::seal::Secret;
use sha2::{Digest, Sha256};
use std::hash::{Hash, Hasher};
use std::hint::black_box;

const PREFIX: &str = "qg_";
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62^28 is more than 2^166.
const RANDOM_DIGITS: usize = 28;
/// 62^6 is more than 2^32.
const CHECK_DIGITS: usize = 6;
const BYTES: usize = PREFIX.len() + RANDOM_DIGITS + CHECK_DIGITS;

/// Draws a key that nobody can guess.
pub(super) fn draw(ids: &Ids) -> Secret {
    let mut text = String::with_capacity(BYTES);
    text.push_str(PREFIX);
    while text.len() < PREFIX.len() + RANDOM_DIGITS {
        let bytes = ids.bytes::<32>();
        // Bytes past the last whole multiple of 62 would make some digits likelier than others.
        let fair = bytes.iter().filter(|&&byte| byte < 248).map(|byte| char::from(DIGITS[usize::from(byte % 62)]));
        text.extend(fair.take(PREFIX.len() + RANDOM_DIGITS - text.len()));
    }
    let check = check_digits(text.as_bytes());
    text.extend(check.map(char::from));
    Secret::new(text)
}

/// Whether it is written as a key is: no typing error, nothing cut off.
#[must_use]
pub fn is_well_formed(text: &str) -> bool {
    let Some((rest, check)) = text.as_bytes().split_last_chunk::<CHECK_DIGITS>() else { return false };
    text.len() == BYTES && text.starts_with(PREFIX) && check_digits(rest) == *check
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

/// SHA-256 of a key: what is kept of it. A key has too much randomness for a slow hash to add anything.
#[derive(Debug, Clone, Copy)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// None: not 64 hexadecimal digits.
    pub(super) fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok().map(|()| Self(bytes))
    }

    pub(super) fn to_hex(self) -> String {
        hex::encode(self.0)
    }
}

impl PartialEq for KeyHash {
    /// Takes as long wherever the first difference is.
    fn eq(&self, other: &Self) -> bool {
        let differences = self.0.iter().zip(&other.0).fold(0, |found, (own, theirs)| black_box(found | (own ^ theirs)));
        differences == 0
    }
}

impl Eq for KeyHash {}

impl Hash for KeyHash {
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

        let drawn: std::collections::BTreeSet<String> = (0..1_000).map(|_| draw(&ids).expose().to_owned()).collect();

        assert_eq!(drawn.len(), 1_000);
        assert!(drawn.iter().all(|text| is_well_formed(text) && text.len() == 37), "{drawn:?}");
    }

    #[test]
    fn one_wrong_character_anywhere_is_seen() {
        let text = draw(&Ids::seeded(2)).expose().to_owned();

        for at in 0..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[at] = if wrong[at] == b'7' { b'8' } else { b'7' };
            assert!(!is_well_formed(&String::from_utf8(wrong).unwrap()), "{at}");
        }
        for bad in ["", "qg_", &text[1..], &text[..36], &format!("{text}0"), "Basic YTpi", "qg_éééééééééééééééééé"]
        {
            assert!(!is_well_formed(bad), "{bad}");
        }
    }

    #[test]
    fn hashes_compare_as_their_bytes() {
        let hash = KeyHash::of("a");

        assert_eq!(hash, KeyHash::from_hex(&hash.to_hex()).unwrap());
        assert_ne!(hash, KeyHash::of("b"));
        assert!(KeyHash::from_hex("00").is_none());
    }
}
