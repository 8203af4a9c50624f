//! One process a folder.

use crate::store::StoreError;
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Held until dropped; the kernel lets go when the process ends, however it ends.
pub(crate) struct Lock(File);

impl Drop for Lock {
    /// Closing the file alone would leave the lock with a child process that was being started at that moment.
    fn drop(&mut self) {
        if let Err(error) = flock(&self.0, FlockOperation::Unlock) {
            tracing::warn!(%error, "the folder's lock was not let go of");
        }
    }
}

impl Lock {
    /// Errors: another process serves from the folder.
    pub(crate) fn take(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join("LOCK");
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.map_err(StoreError::io("open the lock file"))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut text = String::new();
            // The number is a help to the reader only; without it the answer is the same.
            let _ = file.read_to_string(&mut text);
            return Err(StoreError::InUse { folder: folder.to_owned(), process: text.trim().parse().ok() });
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(StoreError::io("write the lock file"))?;
        Ok(Self(file))
    }
}
