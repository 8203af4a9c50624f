//! The lines of a trace, read one at a time and never longer than [`MAX_LINE_BYTES`].

use super::trace::BadLine;
use std::io::{self, BufRead, Read};

/// The longest line, its end not counted.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// A line that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    #[error("cannot read the trace: {0}")]
    Unreadable(#[from] io::Error),
    #[error(transparent)]
    Bad(#[from] BadLine),
}

/// One line without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// From 1.
    pub number: u64,
    pub text: &'a str,
}

/// Reads lines that end in `\n` or `\r\n`; the last one may do without.
#[derive(Debug)]
pub struct Lines<R> {
    source: R,
    buffer: Vec<u8>,
    read: u64,
    bytes: u64,
}

impl<R: BufRead> Lines<R> {
    #[must_use]
    pub fn new(source: R) -> Self {
        Self { source, buffer: Vec::new(), read: 0, bytes: 0 }
    }

    /// The next line; None at the end.
    ///
    /// Errors: a line that is too long or not UTF-8, or a source that fails. [`Self::read`] counts the line then.
    pub fn next_line(&mut self) -> Result<Option<Line<'_>>, LineError> {
        self.buffer.clear();
        let most = MAX_LINE_BYTES as u64 + 2;
        let read = self.source.by_ref().take(most).read_until(b'\n', &mut self.buffer)?;
        if read == 0 {
            return Ok(None);
        }
        self.read += 1;
        self.bytes += read as u64;
        let text =
            self.buffer.strip_suffix(b"\n").map_or(&*self.buffer, |text| text.strip_suffix(b"\r").unwrap_or(text));
        if text.len() > MAX_LINE_BYTES {
            return Err(BadLine::new(format!("the line is longer than {MAX_LINE_BYTES} bytes")).into());
        }
        match std::str::from_utf8(text) {
            Ok(text) => Ok(Some(Line { number: self.read, text })),
            Err(error) => {
                let byte = error.valid_up_to() + 1;
                Err(BadLine::new(format!("the line is not UTF-8: byte {byte} is wrong")).into())
            }
        }
    }

    /// Lines read so far, a bad one included.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.read
    }

    /// Bytes read so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Vec<Result<String, String>> {
        let mut lines = Lines::new(bytes);
        let mut all = Vec::new();
        while let Some(line) = lines.next_line().map(|line| line.map(|line| line.text.to_owned())).transpose() {
            all.push(line.map_err(|error| error.to_string()));
        }
        all
    }

    #[test]
    fn both_line_ends_are_taken_off_and_the_last_end_makes_no_line() {
        let expected = [Ok("a".to_owned()), Ok(String::new()), Ok("b\r".to_owned())];

        assert_eq!(all(b"a\r\n\nb\r\r\n"), expected);
        assert_eq!(all(b"a\n\nb\r"), expected);
        assert!(all(b"").is_empty());
    }

    #[test]
    fn a_line_of_the_largest_size_is_read_and_a_longer_one_is_not() {
        let longest = "x".repeat(MAX_LINE_BYTES);

        assert_eq!(all(format!("{longest}\r\n").as_bytes()), [Ok(longest.clone())]);
        assert_eq!(all(longest.as_bytes()), [Ok(longest.clone())]);
        for bad in [format!("{longest}x\n"), format!("{longest}xx\r\n"), format!("{longest}xxxxxxx")] {
            assert_eq!(all(bad.as_bytes())[0], Err("the line is longer than 1048576 bytes".to_owned()));
        }
    }

    #[test]
    fn a_line_that_is_not_utf8_is_bad_and_counted() {
        let mut lines = Lines::new(&b"ok\nab\xFFc\n"[..]);
        lines.next_line().unwrap();

        let error = lines.next_line().unwrap_err().to_string();

        assert_eq!(error, "the line is not UTF-8: byte 3 is wrong");
        assert_eq!((lines.read(), lines.bytes()), (2, 8));
    }
}
