//! The seam under the journal and the counters: real files, or what a test puts in their place.

use super::failpoint;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What they ask of a file system. Reading goes past it.
pub trait FileLayer: Send + Sync {
    /// A new, empty file; an existing one is an error.
    fn create(&self, path: &Path) -> io::Result<Box<dyn JournalFile>>;
    fn open(&self, path: &Path) -> io::Result<Box<dyn JournalFile>>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes created and removed names in the folder durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    fn free_bytes(&self, folder: &Path) -> io::Result<u64>;
}

pub trait JournalFile: Send {
    /// May write less than given, as `pwrite` may.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize>;
    fn set_len(&mut self, len: u64) -> io::Result<()>;
    /// Makes content and length durable (`fdatasync`).
    fn sync(&mut self) -> io::Result<()>;
}

#[derive(Debug, Clone, Copy, Default)]
pub struct RealFiles;

impl FileLayer for RealFiles {
    fn create(&self, path: &Path) -> io::Result<Box<dyn JournalFile>> {
        Ok(Box::new(RealFile(OpenOptions::new().write(true).create_new(true).open(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn JournalFile>> {
        Ok(Box::new(RealFile(OpenOptions::new().write(true).open(path)?)))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        if let Some(free_bytes) = failpoint::free_bytes() {
            return Ok(free_bytes);
        }
        let found = rustix::fs::statvfs(folder)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

struct RealFile(File);

impl JournalFile for RealFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_at(bytes, offset)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Writes all of `bytes`, however little the file takes at a time.
pub(crate) fn write_all(file: &mut dyn JournalFile, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(offset, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += written as u64;
                bytes = &bytes[written..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
