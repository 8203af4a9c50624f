//! Integers of any width in as few bytes as they need (LEB128), texts with their length before them.

pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub fn unsigned(&mut self, mut value: u128) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// Zigzag: small negative numbers are short too.
    pub fn signed(&mut self, value: i64) {
        self.unsigned(u128::from((value << 1 ^ value >> 63) as u64));
    }

    pub fn text(&mut self, text: &str) {
        self.unsigned(text.len() as u128);
        self.raw(text.as_bytes());
    }

    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads what [`Writer`] wrote; None wherever the bytes do not allow it.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn unsigned(&mut self) -> Option<u128> {
        let mut value: u128 = 0;
        for shift in (0..128).step_by(7) {
            let byte = self.byte()?;
            let bits = u128::from(byte & 0x7f);
            value |= bits.checked_shl(shift).filter(|shifted| shifted >> shift == bits)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    pub fn signed(&mut self) -> Option<i64> {
        let coded = u64::try_from(self.unsigned()?).ok()?;
        Some((coded >> 1) as i64 ^ -((coded & 1) as i64))
    }

    pub fn small(&mut self) -> Option<u32> {
        u32::try_from(self.unsigned()?).ok()
    }

    pub fn amount(&mut self) -> Option<u64> {
        u64::try_from(self.unsigned()?).ok()
    }

    /// A count of things that take at least a byte each, so it cannot be larger than what is left.
    pub fn length(&mut self) -> Option<usize> {
        usize::try_from(self.unsigned()?).ok().filter(|&count| count <= self.0.len())
    }

    pub fn text(&mut self) -> Option<&'a str> {
        let length = self.length()?;
        std::str::from_utf8(self.take(length)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_texts_are_read_back() {
        let mut to = Writer::with_capacity(8);
        let unsigned = [0, 127, 128, u128::from(u64::MAX), u128::MAX];
        let signed = [0, -1, 1, i64::MIN, i64::MAX];
        unsigned.iter().for_each(|&value| to.unsigned(value));
        signed.iter().for_each(|&value| to.signed(value));
        to.text("té");
        let bytes = to.finish();

        let mut from = Reader::new(&bytes);

        assert!(unsigned.iter().all(|&value| from.unsigned() == Some(value)));
        assert!(signed.iter().all(|&value| from.signed() == Some(value)));
        assert_eq!(from.text(), Some("té"));
        assert!(from.is_empty());
    }

    #[test]
    fn bytes_that_end_too_soon_or_run_on_are_refused() {
        assert_eq!(Reader::new(&[0x80]).unsigned(), None);
        assert_eq!(Reader::new(&[0xff; 40]).unsigned(), None);
        assert_eq!(Reader::new(&[9, b'a']).text(), None);
    }
}
