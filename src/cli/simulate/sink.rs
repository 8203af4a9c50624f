//! Where the answers go: nowhere, to a stream, or to a file.

use std::io::{self, Write};

/// Answers are written once this many bytes of them are waiting.
const CHUNK_BYTES: usize = 1 << 18;

/// Answers on their way out.
pub(super) struct Sink<'w> {
    waiting: Vec<u8>,
    to: Option<&'w mut dyn Write>,
}

impl<'w> Sink<'w> {
    pub fn new(to: Option<&'w mut dyn Write>) -> Self {
        Self { waiting: Vec::new(), to }
    }

    /// The buffer to append a line to; None where nobody reads it.
    pub fn buffer(&mut self) -> Option<&mut Vec<u8>> {
        self.to.is_some().then_some(&mut self.waiting)
    }

    /// Writes the buffer where it is full.
    pub fn write_full(&mut self) -> io::Result<()> {
        if self.waiting.len() < CHUNK_BYTES { Ok(()) } else { self.write() }
    }

    /// Writes what is left.
    pub fn finish(mut self) -> io::Result<()> {
        self.write()?;
        self.to.map_or(Ok(()), Write::flush)
    }

    fn write(&mut self) -> io::Result<()> {
        if let Some(to) = &mut self.to {
            to.write_all(&self.waiting)?;
        }
        self.waiting.clear();
        Ok(())
    }
}
