//! Backup and restore: one framed file with the journal up to a group's end, and the counters.
//!
//! ```text
//! file    magic 8 | frame …            the last frame is the end, nothing follows it
//! frame   kind u8 | length u32 | crc32c u32 of (kind, length, content) | content
//! begin   JSON: format, position (seq, hash, segment, length)
//! journal segment u64 | a piece of the segment, in order
//! counter key length u32 | key | value
//! end     JSON: counts, SHA-256 over everything before this frame
//! ```
//!
//! The journal is the truth, so a copy of it up to one position is consistent without stopping anything; the control
//! state is rebuilt from it. Counters go on while they are copied: each record is whole, the set is not one moment.

mod frames;
mod restore;

pub use restore::restore;

use super::counters::Counters;
use super::journal::passing::Passing;
use super::layer::{FileLayer, RealFiles};
use super::lock::Lock;
use super::scratch::Looked;
use super::{EmbeddedStore, format, journal};
use crate::store::{CounterStore, StoreError};
use frames::{BEGIN, Begin, COUNTER, END, FORMAT, FrameWriter};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What a backup does not hold, in words.
pub const NOT_IN_BACKUP: &str = "not in it: the history of usage, the security log, and the key that seals secrets \
    (`seal.key`), which is to be kept apart";
const CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// Room that is needed beside the journal, in percent of it: usage, frames.
const ROOM_PERCENT: u64 = 110;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupReport {
    /// The last change in it.
    pub seq: u64,
    /// Hash of that journal entry.
    #[serde(with = "hex::serde")]
    pub hash: [u8; 32],
    pub segments: u64,
    pub journal_bytes: u64,
    pub counters: u64,
    /// Records of usage that failed their checksum, and were left out.
    #[serde(default)]
    pub counters_left_out: u64,
    /// SHA-256 over the content, as the file's end records it.
    #[serde(with = "hex::serde")]
    pub digest: [u8; 32],
}

/// How a backup goes about it beside what else the process does.
#[derive(Clone, Copy)]
pub struct Pace<'a> {
    /// Most bytes of the journal a second; None: as fast as it goes.
    pub bytes_per_second: Option<u64>,
    /// Bytes that are to be left free on the disk that it is written to.
    pub reserve_bytes: u64,
    /// Asked now and then whether to give up.
    pub stop: &'a dyn Fn() -> bool,
}

impl Pace<'_> {
    /// Nothing else is done.
    pub const ALONE: Pace<'static> = Pace { bytes_per_second: None, reserve_bytes: 0, stop: &|| false };

    /// Errors: it is to give up.
    fn wait(&self, since: Instant, bytes: u64) -> Result<(), StoreError> {
        if (self.stop)() {
            return Err(StoreError::Interrupted);
        }
        if let Some(bytes_per_second) = self.bytes_per_second {
            let due = Duration::from_micros(bytes.saturating_mul(1_000_000) / bytes_per_second.max(1));
            std::thread::sleep(due.saturating_sub(since.elapsed()));
        }
        Ok(())
    }
}

impl EmbeddedStore {
    /// Writes a backup while serving; the file appears under its name once it is whole and durable.
    ///
    /// What is copied is checked: every checksum, the chain, and that it ends with the last change.
    /// Errors: the file exists or cannot be written, or the journal is damaged.
    pub fn backup(&self, file: &Path, pace: Pace<'_>) -> Result<BackupReport, StoreError> {
        let health = self.health();
        let (segment, len) = health.journal;
        // INVARIANT: this is a position between two groups, and everything before it never changes.
        let copy =
            Copy { journal: &self.folder.join("journal"), seq: health.seq, hash: health.hash, end: (segment, len) };
        write(file, &mut |out| copy.write(out, pace, &mut |visit| self.for_each(visit)))
    }
}

/// Whether nothing can be written into the folder.
///
/// Errors: another process serves from it.
pub fn is_read_only(folder: &Path) -> Result<bool, StoreError> {
    Lock::take_to_read(folder).map(|lock| lock.is_read_only())
}

/// Writes a backup of a folder that cannot be written to, as it is: what is behind the last whole group is left out.
///
/// Errors: another process serves from it, the file exists or cannot be written, or the journal is damaged.
pub fn backup_read_only(folder: &Path, file: &Path) -> Result<BackupReport, StoreError> {
    let lock = Lock::take_to_read(folder)?;
    let path = folder.join("journal");
    let (segments, _) = journal::scan::list(&path)?;
    let last = segments.last().ok_or_else(|| StoreError::NoStore(folder.to_owned()))?;
    let end = journal::scan::read(last, journal::scan::Then::End, &mut |_, _, _| Ok(()))?;
    let copy = Copy { journal: &path, seq: end.seq, hash: end.hash, end: (last.number, end.len) };
    let counters = folder.join("counters");
    let looked = counters.exists().then(|| Looked::at(counters, &lock)).transpose()?;
    let mut each = |visit: &mut dyn FnMut(&[u8], &[u8])| {
        let Some(looked) = &looked else { return Ok(0) };
        let opened = Counters::look(looked.path(), CACHE_BYTES)?;
        opened.map_err(|what| StoreError::Damaged { area: "usage", what })?.for_each(visit)
    };
    write(file, &mut |out| copy.write(out, Pace::ALONE, &mut each))
}

/// Names the file once `content` has written it and it is durable.
fn write(
    file: &Path,
    content: &mut dyn FnMut(&Path) -> Result<BackupReport, StoreError>,
) -> Result<BackupReport, StoreError> {
    if file.exists() {
        let why = "a file of this name exists".to_owned();
        return Err(StoreError::Io { doing: format!("write `{}`", file.display()), why });
    }
    let fresh = part(file);
    let written = content(&fresh);
    if written.is_err() {
        // What is left of a failed backup is of no use; the first error is the one to tell.
        let _ = std::fs::remove_file(&fresh);
    }
    let report = written?;
    let finish = || {
        std::fs::rename(&fresh, file)?;
        format::sync_folder(folder_of(file))
    };
    finish().map_err(StoreError::io("name the backup"))?;
    Ok(report)
}

/// Under which name a backup is written; a killed one leaves it, and the next one of the name begins it anew.
fn part(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    file.with_file_name(format!(".{name}{PART}"))
}

/// How the name of a backup ends that is being written.
pub const PART: &str = ".part";

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A journal up to a position between two groups.
struct Copy<'a> {
    journal: &'a Path,
    seq: u64,
    hash: [u8; 32],
    /// The last segment, and how much of it.
    end: (u64, u64),
}

/// Shows every record of usage, and says how many were damaged.
type EachCounter<'a> = dyn FnMut(&mut dyn FnMut(&[u8], &[u8])) -> Result<u64, StoreError> + 'a;

impl Copy<'_> {
    fn write(&self, fresh: &Path, pace: Pace<'_>, each: &mut EachCounter<'_>) -> Result<BackupReport, StoreError> {
        let writing = || StoreError::io("write the backup");
        self.must_have_room(fresh, pace.reserve_bytes)?;
        let mut out = FrameWriter::create(fresh).map_err(writing())?;
        out.json(BEGIN, &Begin { format: FORMAT, seq: self.seq, hash: self.hash }).map_err(writing())?;
        let journal_bytes = self.copy(&mut out, pace)?;
        let (mut counters, mut failed) = (0, None);
        let counters_left_out = each(&mut |key, value| {
            if failed.is_none() {
                counters += 1;
                let len = (key.len() as u32).to_be_bytes();
                failed = out.frame(COUNTER, &[&len, key, value]).err();
            }
        })?;
        if let Some(error) = failed {
            return Err(writing()(error));
        }
        let report = BackupReport {
            seq: self.seq,
            hash: self.hash,
            segments: self.end.0,
            journal_bytes,
            counters,
            counters_left_out,
            digest: out.digest(),
        };
        out.json(END, &report).and_then(|()| out.finish()).map_err(writing())?;
        Ok(report)
    }

    /// Copies the segments; returns their length.
    fn copy(&self, out: &mut FrameWriter, pace: Pace<'_>) -> Result<u64, StoreError> {
        let (last, last_len) = self.end;
        let (mut passing, since) = (Passing::new(), Instant::now());
        let (mut journal_bytes, mut checked) = (0, 0);
        for number in 1..=last {
            let path = journal::path(self.journal, number);
            let limit = if number == last { last_len } else { u64::MAX };
            journal_bytes += out.segment((number, &path), limit, &mut |piece| {
                passing.take(number, piece)?;
                checked += piece.len() as u64;
                pace.wait(since, checked)
            })?;
        }
        let (seq, hash) = passing.finish()?;
        if (seq, hash) != (self.seq, self.hash) {
            let what = format!("the journal ends with change {seq}, and change {} was written", self.seq);
            return Err(journal::scan::damaged(last, last_len, what));
        }
        Ok(journal_bytes)
    }

    /// Errors: the disk would be fuller than it may be. One that does not tell is written to until it refuses.
    fn must_have_room(&self, fresh: &Path, reserve_bytes: u64) -> Result<(), StoreError> {
        if reserve_bytes == 0 {
            return Ok(());
        }
        let len = |number| std::fs::metadata(journal::path(self.journal, number)).map_or(0, |found| found.len());
        let journal_bytes: u64 = (1..=self.end.0).map(len).sum();
        let needed_bytes = journal_bytes / 100 * ROOM_PERCENT + reserve_bytes;
        match RealFiles.free_bytes(folder_of(fresh)) {
            Ok(free_bytes) if free_bytes < needed_bytes => Err(StoreError::NoRoom { free_bytes, needed_bytes }),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}
