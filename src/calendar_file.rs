//! The file that says which days are worked, where another calendar is wanted than the one that is shipped.

use crate::calendar::{Calendar, CalendarError};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Largest calendar that is read.
const MAX_BYTES: u64 = 1024 * 1024;

/// Why a calendar cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CalendarFileError {
    #[error("cannot read the calendar `{}`: {why}", .file.display())]
    Read { file: PathBuf, why: io::Error },
    #[error("the calendar `{}` has {bytes} bytes, at most {MAX_BYTES} are read", .file.display())]
    TooLarge { file: PathBuf, bytes: u64 },
    #[error("the calendar `{}` is not valid: {error}", .file.display())]
    Invalid { file: PathBuf, error: CalendarError },
}

/// The calendar of a file; that of mainland China where none is named.
///
/// Errors: the file cannot be read, or is no calendar.
pub fn load(file: Option<&Path>) -> Result<Calendar, CalendarFileError> {
    let Some(path) = file else { return Ok(Calendar::china_mainland().clone()) };
    let file = path.to_owned();
    let bytes = fs::metadata(path).map_err(|why| CalendarFileError::Read { file: file.clone(), why })?.len();
    if bytes > MAX_BYTES {
        return Err(CalendarFileError::TooLarge { file, bytes });
    }
    let text = fs::read_to_string(path).map_err(|why| CalendarFileError::Read { file: file.clone(), why })?;
    Calendar::parse(&text).map_err(|error| CalendarFileError::Invalid { file, error })
}
