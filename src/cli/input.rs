//! Reads what a command is given: files, or `-` for standard input.

use super::Failure;
use crate::policy::MAX_TEXT_BYTES;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The text of a policy document.
///
/// Errors: the file cannot be read or is not UTF-8. One that is too long comes back long enough to be refused.
pub(super) fn read(file: &Path) -> Result<String, Failure> {
    let bytes = if file == Path::new("-") { bounded(io::stdin().lock()) } else { File::open(file).and_then(bounded) };
    let bytes = bytes.map_err(|error| Failure::Unreadable(format!("cannot read `{}`: {error}", file.display())))?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::Unreadable(format!("`{}` is not UTF-8 text: a wrong byte at offset {at}", file.display()))
    })
}

fn bounded(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(MAX_TEXT_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    // Cut in the middle of a character, a document that is too long would seem to be no text at all.
    if bytes.len() > MAX_TEXT_BYTES {
        bytes = vec![b' '; MAX_TEXT_BYTES + 1];
    }
    Ok(bytes)
}
