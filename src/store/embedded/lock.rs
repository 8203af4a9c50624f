//! One process a folder.

use crate::store::StoreError;
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Held until dropped; the kernel lets go when the process ends, however it ends.
pub(crate) struct Lock {
    /// None: nobody can serve from there, so there is nothing to hold.
    file: Option<File>,
    read_only: bool,
}

impl Drop for Lock {
    /// Closing the file alone would leave the lock with a child process that was being started at that moment.
    fn drop(&mut self) {
        if let Some(file) = &self.file
            && let Err(error) = flock(file, FlockOperation::Unlock)
        {
            tracing::warn!(%error, "the folder's lock was not let go of");
        }
    }
}

impl Lock {
    /// Errors: another process serves from the folder, or it cannot be written to.
    pub(crate) fn take(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join("LOCK");
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.map_err(StoreError::io("open the lock file"))?;
        hold(folder, &mut file)?;
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(StoreError::io("write the lock file"))?;
        Ok(Self { file: Some(file), read_only: false })
    }

    /// The same for whoever only reads; nobody can serve from where nothing can be written, but another mount of the
    /// same folder may be served from.
    pub(crate) fn take_to_read(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join("LOCK");
        match OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path) {
            Ok(_) => Self::take(folder),
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => match File::open(&path) {
                Ok(mut file) => {
                    hold(folder, &mut file)?;
                    Ok(Self { file: Some(file), read_only: true })
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self { file: None, read_only: true }),
                Err(error) => Err(StoreError::io("open the lock file")(error)),
            },
            Err(error) => Err(StoreError::io("open the lock file")(error)),
        }
    }

    /// Whether nothing can be written beside it.
    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only
    }
}

fn hold(folder: &Path, file: &mut File) -> Result<(), StoreError> {
    if flock(&*file, FlockOperation::NonBlockingLockExclusive).is_ok() {
        return Ok(());
    }
    let mut text = String::new();
    // The number is a help to the reader only; without it the answer is the same.
    let _ = file.read_to_string(&mut text);
    Err(StoreError::InUse { folder: folder.to_owned(), process: text.trim().parse().ok() })
}
