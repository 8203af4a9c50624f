//! `quotagate backup`: everything in one file.

use super::data::DataFolder;
use super::{Failure, Streams};
use crate::store::embedded::{self, BackupReport, EmbeddedStore};
use std::path::PathBuf;

/// Write a data folder into one file: every change with its audit entry, and the usage
///
/// The file carries checksums, counts and a digest, and appears under its name only once it is whole and durable.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The folder is opened as a server would open it, so what a kill left is put in order first. A server that runs \
holds the folder: stop it before.

Example:
  quotagate backup --data /var/lib/quotagate one.quotagate
  quotagate restore one.quotagate --data look
  quotagate serve --data look")]
pub(super) struct Args {
    /// File to write; it must not exist
    #[arg(value_name = "OUT")]
    file: PathBuf,
    #[command(flatten)]
    data: DataFolder,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let (folder, file) = (args.data.path.display(), args.file.display());
    let failed = |error| args.data.failed(&error, "stop the server to back its folder up");
    if args.file.exists() {
        return Err(Failure::BadInput(format!("`{file}` exists: a backup is never written over another file")));
    }
    // ORDER: before opening, which would make a store in whatever folder was named.
    embedded::must_hold_store(&args.data.path).map_err(failed)?;
    writeln!(streams.err, "opening `{folder}`")?;
    let (store, _) = EmbeddedStore::open(&args.data.path, embedded::Options::default()).map_err(failed)?;
    writeln!(streams.err, "writing `{file}`")?;
    let report = store.backup(&args.file).map_err(failed)?;
    store.close().map_err(failed)?;
    writeln!(streams.out, "`{folder}` is in `{file}`: {}", summary(&report))?;
    writeln!(streams.out, "sha256 {}", hex::encode(report.digest))?;
    Ok(())
}

pub(super) fn summary(report: &BackupReport) -> String {
    let BackupReport { seq, segments, journal_bytes, counters, .. } = report;
    format!("{seq} changes in {segments} segments ({journal_bytes} bytes), usage in {counters} records")
}
