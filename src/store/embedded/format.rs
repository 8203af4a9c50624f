//! Two small files: `FORMAT` says which version reads the folder, `RUN` how the last run ended.

use super::image_log::Mark;
use crate::store::StoreError;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// The format of the folder as a whole, raised when an older version could no longer read it.
pub(crate) const FORMAT: u32 = 2;

#[derive(Serialize, Deserialize)]
struct Format {
    format: u32,
    /// The oldest version that reads it.
    needs: String,
}

/// How the process that served last left the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Of the machine, new at every boot: what an unclean stop left in the page cache is gone if it differs.
    pub(crate) boot_id: String,
    /// Everything was flushed and made durable.
    pub(crate) clean: bool,
    /// Last journal entry: at the end if clean, else at the start of that run.
    pub(crate) seq: u64,
    /// Where the log of counters ended, and if clean what was in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) counters: Option<Mark>,
}

/// Refuses a newer folder; marks a new one, and one of an older format, which an older version must not open again.
pub(crate) fn check(folder: &Path) -> Result<(), StoreError> {
    refuse_newer(folder)?;
    let found = read::<Format>(&folder.join("FORMAT"))?;
    if found.is_ok_and(|found| found.is_some_and(|found| found.format == FORMAT)) {
        return Ok(());
    }
    let format = Format { format: FORMAT, needs: "0.1.0".to_owned() };
    replace(&folder.join("FORMAT"), &format).map_err(StoreError::io("write the format file"))
}

/// Whether the folder is marked, changing nothing.
///
/// Errors: by a newer version.
pub(crate) fn refuse_newer(folder: &Path) -> Result<bool, StoreError> {
    let found = read::<Format>(&folder.join("FORMAT"))?;
    let found = found.map_err(|what| StoreError::BadFormatFile { folder: folder.to_owned(), what })?;
    match found {
        Some(found) if found.format > FORMAT => {
            Err(StoreError::NewerFormat { found: found.format, known: FORMAT, needs: found.needs })
        }
        found => Ok(found.is_some()),
    }
}

/// The journal of a restore that is under way; it takes its name last.
pub(crate) const RESTORING: &str = "journal.restoring";

/// Errors: a restore into the folder was not finished, so what is there is no store.
pub(crate) fn refuse_restoring(folder: &Path) -> Result<(), StoreError> {
    match folder.join(RESTORING).exists() {
        true => Err(StoreError::Restoring(folder.to_owned())),
        false => Ok(()),
    }
}

/// How the last run ended; None: it is not known, also where the file cannot be understood. Then nothing is taken for
/// granted that a clean stop would have promised.
pub(crate) fn last_run(folder: &Path) -> Result<Option<Run>, StoreError> {
    let found = read(&folder.join("RUN"))?;
    Ok(found.unwrap_or_else(|what| {
        tracing::warn!(what, "`RUN` cannot be understood: as after a stop of which nothing is known");
        None
    }))
}

pub(crate) fn record_run(folder: &Path, run: &Run) -> Result<(), StoreError> {
    replace(&folder.join("RUN"), run).map_err(StoreError::io("write the run file"))
}

/// As before the first run.
pub(crate) fn forget_run(folder: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(folder.join("RUN")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io("remove the run file")(error)),
        _ => Ok(()),
    }
}

/// Empty where the system does not tell, which then never equals a recorded one.
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// The inner error says why what is there cannot be understood.
fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Result<Option<T>, String>, StoreError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ok(None)),
        Err(error) => return Err(StoreError::io(format!("read {name}"))(error)),
    };
    if bytes.is_empty() {
        return Ok(Err("empty".to_owned()));
    }
    Ok(serde_json::from_slice(&bytes).map(Some).map_err(|error| format!("not what was written there ({error})")))
}

/// ORDER: the new content is durable before it takes the name, and the name before the caller goes on.
fn replace<T: Serialize>(path: &Path, content: &T) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh)?;
    file.write_all(&serde_json::to_vec(content)?)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
