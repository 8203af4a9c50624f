//! The lines of a file, each with its end, in bounded memory whatever the file is.

use std::io::{self, BufRead, Read};

/// The longest line that is taken, its end not counted.
pub(super) const MAX_LINE_BYTES: usize = 64 * 1024;
/// What is shown of a line that cannot be given back whole.
const SHOWN_BYTES: usize = 256;

/// A line as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Text(&'a str),
    /// Nothing but spaces.
    Blank,
    Bad {
        what: String,
        /// Its text, or what can be shown of it.
        text: String,
    },
}

/// Reads lines that end in `\n` or `\r\n`; the last one may do without.
pub(super) struct Lines<R> {
    source: R,
    buffer: Vec<u8>,
    /// Whether the line was read to its end.
    whole: bool,
}

impl<R: BufRead> Lines<R> {
    pub fn new(source: R) -> Self {
        Self { source, buffer: Vec::new(), whole: true }
    }

    /// The next line with its bytes; None at the end.
    ///
    /// ORDER: what is left of a line that is too long comes with [`Self::rest`], before the next one.
    pub fn next(&mut self) -> io::Result<Option<(&[u8], Line<'_>)>> {
        self.buffer.clear();
        let most = MAX_LINE_BYTES as u64 + 2;
        if self.source.by_ref().take(most).read_until(b'\n', &mut self.buffer)? == 0 {
            return Ok(None);
        }
        self.whole = self.buffer.ends_with(b"\n") || (self.buffer.len() as u64) < most;
        Ok(Some((&self.buffer, read(&self.buffer, self.whole))))
    }

    /// Goes to the end of the line; `more` gets the bytes, a piece at a time.
    pub fn rest(&mut self, mut more: impl FnMut(&[u8])) -> io::Result<()> {
        while !self.whole {
            let piece = self.source.fill_buf()?;
            let end = piece.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
            let len = end.unwrap_or(piece.len());
            more(&piece[..len]);
            self.source.consume(len);
            self.whole = end.is_some() || len == 0;
        }
        Ok(())
    }
}

fn read(bytes: &[u8], whole: bool) -> Line<'_> {
    let text = bytes.strip_suffix(b"\n").map_or(bytes, |text| text.strip_suffix(b"\r").unwrap_or(text));
    let shown = || String::from_utf8_lossy(&text[..text.len().min(SHOWN_BYTES)]).into_owned();
    if !whole || text.len() > MAX_LINE_BYTES {
        return Line::Bad { what: format!("the line is longer than {MAX_LINE_BYTES} bytes"), text: shown() };
    }
    match std::str::from_utf8(text) {
        Ok(text) if text.trim().is_empty() => Line::Blank,
        Ok(text) => Line::Text(text),
        Err(error) => {
            let byte = error.valid_up_to() + 1;
            Line::Bad { what: format!("the line is not UTF-8: byte {byte} is wrong"), text: shown() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line with the bytes that it took.
    fn all(bytes: &[u8]) -> Vec<(usize, String)> {
        let mut lines = Lines::new(io::BufReader::with_capacity(1_000, bytes));
        let mut all = Vec::new();
        loop {
            let Some((bytes, line)) = lines.next().unwrap() else { return all };
            let (mut len, line) = (bytes.len(), format!("{line:?}"));
            lines.rest(|more| len += more.len()).unwrap();
            all.push((len, line));
        }
    }

    #[test]
    fn every_byte_belongs_to_a_line() {
        let long = "x".repeat(MAX_LINE_BYTES);
        let bytes = [b"{}\r\n \n".as_slice(), long.as_bytes(), b"\n", long.as_bytes(), b"yyyyy\nab\xFF\nlast"].concat();

        let lines = all(&bytes);

        assert_eq!(lines.iter().map(|(len, _)| len).sum::<usize>(), bytes.len());
        let kinds: Vec<&str> = lines.iter().map(|(_, line)| &line[..5]).collect();
        assert_eq!(kinds, ["Text(", "Blank", "Text(", "Bad {", "Bad {", "Text("]);
        assert!(lines[3].1.contains("longer than 65536 bytes") && lines[3].1.len() < 500, "{}", lines[3].1);
        assert!(lines[4].1.contains("byte 3 is wrong"), "{}", lines[4].1);
    }

    #[test]
    fn a_file_of_one_endless_line_is_one_bad_line() {
        let bytes = vec![b'a'; 3 * MAX_LINE_BYTES];

        let lines = all(&bytes);

        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].0, bytes.len());
    }
}
