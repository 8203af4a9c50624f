//! `quotagate restore`: a data folder from a backup.

use super::data::DataFolder;
use super::{Failure, Streams, backup};
use crate::store::embedded::{self, EmbeddedStore, verify};
use std::path::PathBuf;

/// Make a data folder from a backup, and check it
///
/// The file is read through and checked before anything is written, and the folder must hold no store. Interrupted, it
/// leaves no store behind: run it again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Where the journal of the old folder still reads, --newer-journal brings back what was changed after the \
backup. Usage is as it was at the backup.

Examples:
  quotagate restore one.quotagate --data new
  quotagate restore one.quotagate --data new --newer-journal old/journal")]
pub(super) struct Args {
    /// Backup to read
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    data: DataFolder,
    /// The `journal` folder that the backup was taken of, for the changes after it
    #[arg(long, value_name = "FOLDER")]
    newer_journal: Option<PathBuf>,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let (folder, file) = (args.data.path.display(), args.file.display());
    let failed = |error| args.data.failed(&error, "stop the server, or restore into another folder");
    if let Some(newer) = args.newer_journal.as_ref().filter(|newer| !newer.is_dir()) {
        return Err(Failure::BadInput(format!("`{}` is no folder", newer.display())));
    }
    writeln!(streams.err, "reading `{file}`")?;
    let report = embedded::restore(&args.file, &args.data.path, args.newer_journal.as_deref()).map_err(failed)?;
    writeln!(streams.err, "making the state from the journal")?;
    let (store, started) = EmbeddedStore::open(&args.data.path, embedded::Options::default()).map_err(failed)?;
    store.close().map_err(failed)?;
    drop(store);
    writeln!(streams.err, "checking `{folder}`")?;
    let checked = verify(&args.data.path).map_err(failed)?;
    if let Some(finding) = checked.findings.first() {
        let why = format!("`{folder}` was restored and is not sound: {}: run `quotagate verify`", finding.what);
        return Err(Failure::Refused(why));
    }
    writeln!(streams.out, "`{folder}` is restored from `{file}`: {}", backup::summary(&report))?;
    let newer = started.seq - report.seq;
    if newer > 0 {
        writeln!(streams.out, "and {newer} newer changes from the journal")?;
    }
    writeln!(streams.out, "start it with: quotagate serve --data {folder}")?;
    Ok(())
}
