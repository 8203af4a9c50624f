//! Logins and refusals: a log of its own and bounded, so that strangers cannot fill the disk or the audit log.
//!
//! JSON lines in two files that take turns. It is a help to the operator, not the truth: it is not fsynced, and a
//! line that was cut is passed over.

use crate::store::{Origin, StoreError};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

/// Length at which a file gives way to the other one, in bytes: the log keeps between one and two of it.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// Longest text kept of what a stranger sent, in characters.
const MAX_TEXT: usize = 256;
/// Most events that are read back.
const MAX_READ: usize = 1_000;

/// Someone asked to be let in, or was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Such as `login.succeeded`, `login.failed`, `access.refused`.
    pub kind: String,
    /// The name given, true or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default)]
    pub origin: Origin,
}

pub(crate) struct SecurityLog {
    folder: PathBuf,
    max_file_bytes: u64,
    open: Mutex<(File, u64)>,
}

impl SecurityLog {
    pub(crate) fn open(folder: &Path) -> Result<Self, StoreError> {
        Self::bounded(folder, MAX_FILE_BYTES)
    }

    fn bounded(folder: &Path, max_file_bytes: u64) -> Result<Self, StoreError> {
        let opened = append(&current(folder)).map_err(StoreError::io("open the security log"))?;
        Ok(Self { folder: folder.to_owned(), max_file_bytes, open: Mutex::new(opened) })
    }

    pub(crate) fn note(&self, attempt: &Attempt) -> Result<(), StoreError> {
        let line = line(attempt);
        let mut open = self.open.lock();
        let mut write = || -> io::Result<()> {
            if open.1 + line.len() as u64 > self.max_file_bytes {
                // ORDER: the file to go on in is open before the other gives way: where no file can be opened, nothing
                // has changed and the next note tries again.
                let fresh = append(&next(&self.folder))?;
                match std::fs::rename(current(&self.folder), earlier(&self.folder)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
                std::fs::rename(next(&self.folder), current(&self.folder))?;
                *open = fresh;
            }
            open.0.write_all(&line)?;
            open.1 += line.len() as u64;
            Ok(())
        };
        write().map_err(StoreError::io("write the security log"))
    }

    /// Newest first.
    pub(crate) fn recent(&self, limit: usize) -> Result<Vec<Attempt>, StoreError> {
        let limit = limit.min(MAX_READ);
        let mut newest = VecDeque::with_capacity(limit);
        let mut read = |path: &Path| -> io::Result<()> {
            let file = match File::open(path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            };
            for line in BufReader::new(file).split(b'\n') {
                if let Ok(attempt) = serde_json::from_slice::<Attempt>(&line?) {
                    newest.push_front(attempt);
                    newest.truncate(limit);
                }
            }
            Ok(())
        };
        let _turn = self.open.lock();
        let both = read(&earlier(&self.folder)).and_then(|()| read(&current(&self.folder)));
        both.map_err(StoreError::io("read the security log"))?;
        Ok(newest.into())
    }
}

fn current(folder: &Path) -> PathBuf {
    folder.join("security.log")
}

fn earlier(folder: &Path) -> PathBuf {
    folder.join("security.earlier.log")
}

/// Of a moment only, while the files take turns.
fn next(folder: &Path) -> PathBuf {
    folder.join("security.next.log")
}

/// A file to append to, and its length. A line that a kill cut is ended, so that the next one stands alone.
fn append(path: &Path) -> io::Result<(File, u64)> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    let mut len = file.metadata()?.len();
    if len > 0 {
        file.write_all(b"\n")?;
        len += 1;
    }
    Ok((file, len))
}

fn line(attempt: &Attempt) -> Vec<u8> {
    let short = |text: &String| text.chars().take(MAX_TEXT).collect::<String>();
    let bounded = Attempt {
        at_ms: attempt.at_ms,
        kind: short(&attempt.kind),
        name: attempt.name.as_ref().map(short),
        origin: Origin {
            address: attempt.origin.address.as_ref().map(short),
            request_id: attempt.origin.request_id.as_ref().map(short),
        },
    };
    // Text and numbers always make JSON.
    let mut line = serde_json::to_vec(&bounded).unwrap_or_default();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(at_ms: i64) -> Attempt {
        let name = Some("mallory\n".repeat(100));
        Attempt { at_ms, kind: "login.failed".to_owned(), name, origin: Origin::default() }
    }

    #[test]
    fn the_log_is_bounded_and_keeps_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let log = SecurityLog::bounded(folder.path(), 10_000).unwrap();

        for at_ms in 0..1_000 {
            log.note(&attempt(at_ms)).unwrap();
        }

        let size = |path: PathBuf| std::fs::metadata(path).unwrap().len();
        assert!(size(current(folder.path())) <= 10_000 && size(earlier(folder.path())) <= 10_000);
        let recent = log.recent(20).unwrap();
        assert_eq!(recent.iter().map(|found| found.at_ms).collect::<Vec<_>>(), (980..1_000).rev().collect::<Vec<_>>());
        assert_eq!(recent[0].name.as_ref().unwrap().chars().count(), MAX_TEXT);
    }

    #[test]
    fn a_turn_that_failed_half_way_is_made_up_for() {
        let folder = tempfile::tempdir().unwrap();
        let log = SecurityLog::bounded(folder.path(), 2_000).unwrap();
        // In the way of the file that is to be opened, and gone again.
        std::fs::create_dir(next(folder.path())).unwrap();
        let failed = (0..20).map(|at_ms| log.note(&attempt(at_ms))).filter(Result::is_err).count();
        std::fs::remove_dir(next(folder.path())).unwrap();
        // As an interrupted turn of an earlier version left it.
        std::fs::remove_file(current(folder.path())).unwrap();

        for at_ms in 100..120 {
            log.note(&attempt(at_ms)).unwrap();
        }

        assert!(failed > 0);
        assert_eq!(log.recent(1).unwrap()[0].at_ms, 119);
    }

    #[test]
    fn a_line_cut_by_a_kill_costs_that_line_only() {
        let folder = tempfile::tempdir().unwrap();
        SecurityLog::open(folder.path()).unwrap().note(&attempt(1)).unwrap();
        let whole = std::fs::read(current(folder.path())).unwrap();
        std::fs::write(current(folder.path()), [&whole[..], &whole[..20]].concat()).unwrap();

        let log = SecurityLog::open(folder.path()).unwrap();
        log.note(&attempt(2)).unwrap();

        assert_eq!(log.recent(10).unwrap().iter().map(|found| found.at_ms).collect::<Vec<_>>(), [2, 1]);
    }
}
