//! A copy of a database that cannot be written to where it lies: sled writes when it is opened.

use super::lock::Lock;
use crate::store::StoreError;
use std::io;
use std::path::{Path, PathBuf};

/// Deepest folder in a database.
const MAX_DEPTH: usize = 4;

/// Where a database is looked at: where it lies, or in a copy.
pub(crate) enum Looked {
    There(PathBuf),
    Copied(Scratch),
}

impl Looked {
    pub(crate) fn at(folder: PathBuf, lock: &Lock) -> Result<Self, StoreError> {
        match lock.is_read_only() && folder.exists() {
            true => Scratch::of(&folder).map(Self::Copied),
            false => Ok(Self::There(folder)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::There(path) => path,
            Self::Copied(scratch) => scratch.path(),
        }
    }
}

/// Removed when dropped.
pub(crate) struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, folder = %self.0.display(), "a temporary copy was not removed");
        }
    }
}

impl Scratch {
    /// Copies the folder to where the system has room for such things (`TMPDIR`).
    ///
    /// Errors: it cannot be read, or there is no room.
    pub(crate) fn of(folder: &Path) -> Result<Self, StoreError> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let parent = std::env::temp_dir();
        let doing = format!("copy `{}` to `{}`, because it cannot be written to", folder.display(), parent.display());
        let target = parent.join(format!("quotagate-{name}-{}", std::process::id()));
        // INVARIANT: a folder that is there already is somebody else's.
        std::fs::create_dir(&target).map_err(StoreError::io(doing.clone()))?;
        let scratch = Self(target);
        copy(folder, &scratch.0, MAX_DEPTH).map_err(StoreError::io(doing))?;
        Ok(scratch)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

fn copy(from: &Path, to: &Path, depth: usize) -> io::Result<()> {
    for item in std::fs::read_dir(from)? {
        let item = item?;
        let target = to.join(item.file_name());
        if !item.file_type()?.is_dir() {
            std::fs::copy(item.path(), &target)?;
        } else if depth > 0 {
            std::fs::create_dir(&target)?;
            copy(&item.path(), &target, depth - 1)?;
        }
    }
    Ok(())
}
