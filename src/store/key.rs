//! Keys that keep their parts apart and sort by them.

use std::fmt;

/// Longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 1_024;

const ESCAPE: u8 = 0x00;
const ESCAPED_ZERO: u8 = 0xFF;
const END: u8 = 0x01;

/// A record's key within its table, or the beginning of one (a prefix to scan).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Key(Vec<u8>);

impl Key {
    #[must_use]
    pub fn build() -> KeyBuilder {
        KeyBuilder(Vec::with_capacity(32))
    }

    /// A key of one text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::build().text(text).finish()
    }

    /// A key of one number.
    #[must_use]
    pub fn number(number: u64) -> Self {
        Self::build().u64(number).finish()
    }

    /// The prefix of every key.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads the parts back in the order in which they were built.
    #[must_use]
    pub fn read(&self) -> KeyReader<'_> {
        KeyReader(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0.escape_ascii())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// Joins parts so that different parts never give the same key and keys sort as their parts do.
#[derive(Debug, Default)]
pub struct KeyBuilder(Vec<u8>);

impl KeyBuilder {
    /// A whole text. INVARIANT: it ends with a mark that no text contains, so `("a", "bc")` and `("ab", "c")` differ.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        let mut open = self.text_beginning(text);
        open.0.extend_from_slice(&[ESCAPE, END]);
        open
    }

    /// The beginning of a text: only as the last part of a prefix to scan.
    #[must_use]
    pub fn text_beginning(mut self, text: &str) -> Self {
        for byte in text.bytes() {
            self.0.push(byte);
            if byte == ESCAPE {
                self.0.push(ESCAPED_ZERO);
            }
        }
        self
    }

    #[must_use]
    pub fn u8(mut self, number: u8) -> Self {
        self.0.push(number);
        self
    }

    #[must_use]
    pub fn u32(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    #[must_use]
    pub fn u64(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// The sign is flipped, so that negative numbers sort first.
    #[must_use]
    pub fn i64(mut self, number: i64) -> Self {
        self.0.extend_from_slice(&(number ^ i64::MIN).to_be_bytes());
        self
    }

    #[must_use]
    pub fn finish(self) -> Key {
        Key(self.0)
    }
}

/// Takes the parts of a key from its front; `None` where the key has no such part.
#[derive(Debug, Clone, Copy)]
pub struct KeyReader<'a>(&'a [u8]);

impl KeyReader<'_> {
    pub fn text(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        loop {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            if byte != ESCAPE {
                bytes.push(byte);
                continue;
            }
            let (&mark, rest) = self.0.split_first()?;
            self.0 = rest;
            match mark {
                END => return String::from_utf8(bytes).ok(),
                ESCAPED_ZERO => bytes.push(ESCAPE),
                _ => return None,
            }
        }
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    pub fn i64(&mut self) -> Option<i64> {
        self.take().map(|bytes| i64::from_be_bytes(bytes) ^ i64::MIN)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_join_to_the_same_text_give_different_keys() {
        let left = Key::build().text("a").text("bc").finish();
        let right = Key::build().text("ab").text("c").finish();
        let zero = Key::build().text("a\u{0}\u{1}bc").finish();

        assert_ne!(left, right);
        assert_ne!(left, zero);
    }

    #[test]
    fn keys_sort_as_their_parts() {
        let key = |text: &str, number: i64| Key::build().text(text).i64(number).finish();
        let sorted = [key("", 9), key("a", -5), key("a", 0), key("a", 7), key("a\u{0}", 0), key("ab", -9), key("b", 0)];

        assert!(sorted.is_sorted());
    }

    #[test]
    fn parts_are_read_back() {
        let key = Key::build().text("a\u{0}b").u8(3).u32(4).u64(5).i64(-6).finish();
        let mut parts = key.read();

        assert_eq!(parts.text().as_deref(), Some("a\u{0}b"));
        assert_eq!((parts.u8(), parts.u32(), parts.u64(), parts.i64()), (Some(3), Some(4), Some(5), Some(-6)));
        assert!(parts.is_empty());
        assert_eq!(parts.u8(), None);
    }

    #[test]
    fn a_whole_text_is_not_a_prefix_of_a_longer_one() {
        let whole = Key::text("acme");
        let longer = Key::text("acme2");
        let beginning = Key::build().text_beginning("acme").finish();

        assert!(!longer.as_bytes().starts_with(whole.as_bytes()));
        assert!(longer.as_bytes().starts_with(beginning.as_bytes()));
    }
}
