//! Room on the disk: stop before it is full, go on when there is room again.
//!
//! sled does not recover from a full disk while it is open, so commits stop while a reserve is still free, and where
//! something else takes the reserve too, a ballast file is given up for what sled writes behind.

use super::layer::FileLayer;
use crate::store::ReadOnly;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) struct Room {
    folder: PathBuf,
    layer: Arc<dyn FileLayer>,
    reserve_bytes: u64,
    ballast_bytes: u64,
    full: bool,
}

impl Room {
    pub(crate) fn new(folder: &Path, layer: Arc<dyn FileLayer>, reserve_bytes: u64, ballast_bytes: u64) -> Self {
        let room = Self { folder: folder.to_owned(), layer, reserve_bytes, ballast_bytes, full: false };
        room.lay_ballast();
        room
    }

    /// Whether there is room for another group. Once full, there must be room for the ballast too.
    pub(crate) fn check(&mut self) -> Result<(), ReadOnly> {
        // A file system that does not tell how much is free is written to until it refuses.
        let free_bytes = self.layer.free_bytes(&self.folder).unwrap_or(u64::MAX);
        let needed_bytes = self.reserve_bytes + if self.full { self.ballast_bytes } else { 0 };
        if free_bytes < needed_bytes {
            self.full = true;
            if free_bytes < self.ballast_bytes {
                self.give_up_ballast();
            }
            return Err(ReadOnly::DiskFull { free_bytes, needed_bytes });
        }
        if self.full {
            self.full = false;
            self.lay_ballast();
        }
        Ok(())
    }

    /// A write found the disk full: gives up the ballast.
    pub(crate) fn ran_out(&mut self) -> ReadOnly {
        self.full = true;
        self.give_up_ballast();
        let free_bytes = self.layer.free_bytes(&self.folder).unwrap_or(0);
        ReadOnly::DiskFull { free_bytes, needed_bytes: self.reserve_bytes + self.ballast_bytes }
    }

    fn give_up_ballast(&self) {
        if let Err(error) = std::fs::remove_file(self.ballast())
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the ballast file cannot be removed");
        }
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("BALLAST")
    }

    fn lay_ballast(&self) {
        let lay = || -> io::Result<()> {
            let file = File::options().write(true).create(true).truncate(false).open(self.ballast())?;
            Ok(rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, self.ballast_bytes)?)
        };
        if self.ballast_bytes > 0
            && let Err(error) = lay()
        {
            tracing::warn!(%error, "no ballast file: a full disk may need a restart");
        }
    }
}

/// Whether an error says that there is no room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
