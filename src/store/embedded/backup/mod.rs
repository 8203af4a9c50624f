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

use super::{EmbeddedStore, format, journal};
use crate::store::{CounterStore, StoreError};
use frames::{BEGIN, Begin, COUNTER, END, FORMAT, FrameWriter};
use serde::{Deserialize, Serialize};
use std::path::Path;

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
    /// SHA-256 over the content, as the file's end records it.
    #[serde(with = "hex::serde")]
    pub digest: [u8; 32],
}

impl EmbeddedStore {
    /// Writes a backup while serving; the file appears under its name once it is whole and durable.
    ///
    /// Errors: the file exists, or cannot be written.
    pub fn backup(&self, file: &Path) -> Result<BackupReport, StoreError> {
        if file.exists() {
            let why = "a file of this name exists".to_owned();
            return Err(StoreError::Io { doing: format!("write `{}`", file.display()), why });
        }
        let fresh = file.with_extension("part");
        let written = self.write_backup(&fresh);
        if written.is_err() {
            // What is left of a failed backup is of no use; the first error is the one to tell.
            let _ = std::fs::remove_file(&fresh);
        }
        let report = written?;
        let finish = || {
            std::fs::rename(&fresh, file)?;
            format::sync_folder(file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
        };
        finish().map_err(StoreError::io("name the backup"))?;
        Ok(report)
    }

    fn write_backup(&self, fresh: &Path) -> Result<BackupReport, StoreError> {
        let writing = || StoreError::io("write the backup");
        // INVARIANT: this is a position between two groups, and everything before it never changes.
        let health = self.health();
        let (last_segment, last_len) = health.journal;
        let mut out = FrameWriter::create(fresh).map_err(writing())?;
        let begin = Begin { format: FORMAT, seq: health.seq, hash: health.hash };
        out.json(BEGIN, &begin).map_err(writing())?;
        let mut journal_bytes = 0;
        for number in 1..=last_segment {
            let path = journal::path(&self.folder.join("journal"), number);
            let limit = if number == last_segment { last_len } else { u64::MAX };
            journal_bytes += out.segment(number, &path, limit).map_err(writing())?;
        }
        let (mut counters, mut failed) = (0, None);
        self.for_each(&mut |key, value| {
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
            seq: health.seq,
            hash: health.hash,
            segments: last_segment,
            journal_bytes,
            counters,
            digest: out.digest(),
        };
        out.json(END, &report).and_then(|()| out.finish()).map_err(writing())?;
        Ok(report)
    }
}
