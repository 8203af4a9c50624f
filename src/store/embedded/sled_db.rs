//! Opening sled, which may panic, leave things behind or hold its lock a moment longer.

use crate::store::StoreError;
use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

/// How long a database that this process has just let go of may stay locked.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

pub(crate) struct Tuning {
    pub(crate) cache_bytes: u64,
    pub(crate) flush_every_ms: Option<u64>,
}

/// Opens the database; the inner error says why it is broken, in words.
///
/// Errors: the folder cannot be read or written, which says nothing about the database.
pub(crate) fn open<T>(
    folder: &Path,
    tuning: &Tuning,
    over: impl Fn(sled::Db) -> sled::Result<T>,
) -> Result<Result<T, String>, StoreError> {
    remove_unfinished_snapshots(folder).map_err(StoreError::io("remove an unfinished snapshot"))?;
    let config =
        || sled::Config::new().path(folder).cache_capacity(tuning.cache_bytes).flush_every_ms(tuning.flush_every_ms);
    for _ in 0..LOCK_TRIES {
        // sled panics on some kinds of damage.
        let opened = catch_unwind(AssertUnwindSafe(|| config().open().and_then(&over)));
        match opened {
            Ok(Ok(opened)) => return Ok(Ok(opened)),
            Ok(Err(sled::Error::Io(error))) if error.to_string().contains("could not acquire lock") => {
                std::thread::sleep(LOCK_PAUSE);
            }
            Ok(Err(sled::Error::Io(error))) if !says_damage(&error) => {
                return Err(StoreError::io(format!("open `{}`", folder.display()))(error));
            }
            Ok(Err(error)) => return Ok(Err(error.to_string())),
            Err(panic) => return Ok(Err(panic_text(&*panic))),
        }
    }
    Err(StoreError::InUse { folder: folder.to_owned(), process: None })
}

fn says_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
}

pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("it panicked: {}", text.unwrap_or("no reason given"))
}

/// A kill during an earlier open leaves `snap.*.generating`, and every later open would fail.
fn remove_unfinished_snapshots(folder: &Path) -> io::Result<()> {
    let items = match std::fs::read_dir(folder) {
        Ok(items) => items,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for item in items {
        let item = item?;
        let name = item.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            std::fs::remove_file(item.path())?;
        }
    }
    Ok(())
}

/// Moves a broken database to `<name>.broken`, in place of an earlier one.
pub(crate) fn move_aside(folder: &Path) -> Result<(), StoreError> {
    move_aside_as(folder, "broken")
}

/// The same under another ending.
pub(crate) fn move_aside_as(folder: &Path, ending: &str) -> Result<(), StoreError> {
    let aside = folder.with_extension(ending);
    let moved = || -> io::Result<()> {
        match std::fs::remove_dir_all(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        match std::fs::rename(folder, &aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    };
    moved().map_err(StoreError::io(format!("move `{}` aside", folder.display())))
}

/// Makes what sled wrote durable: its own flush never does on Linux.
pub(crate) fn sync(db: &sled::Db, folder: &Path) -> Result<(), StoreError> {
    db.flush().map_err(super::sled_failed)?;
    File::open(folder.join("db"))
        .and_then(|file| file.sync_data())
        .map_err(StoreError::io(format!("make `{}` durable", folder.display())))
}
