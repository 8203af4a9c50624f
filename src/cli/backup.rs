//! `quotagate backup`: everything in one file.

use super::data::{DataFolder, NOT_LISTENING};
use super::server::{Ask, Server};
use super::{Failure, Streams};
use crate::store::StoreError;
use crate::store::embedded::{self, BackupReport, EmbeddedStore, NOT_IN_BACKUP, Pace};
use serde::Deserialize;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Write a data folder into one file: every change with its audit entry, and the usage
///
/// What is copied is checked: every checksum and the chain. The file carries counts and a digest, and appears under its name
/// only once it is whole and durable.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Where a server holds the folder, it is asked over the `control.sock` in the folder: it writes the backup into its own \
folder of backups while it goes on, and the file is taken from there. Else the folder is opened as a server would open it, \
so what a kill left is put in order first; one on a read-only mount is read as it is.

Not in it are the history of usage, sessions, when keys were last used, the security log, and the key that seals secrets (`seal.key`): keep that apart.

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

/// What `POST /v1/backups` answers.
#[derive(Deserialize)]
struct Made {
    file: PathBuf,
    holds: Holds,
}

#[derive(Deserialize)]
struct Holds {
    last_change: u64,
    segments: u64,
    journal_bytes: u64,
    usage_records: u64,
    usage_left_out: u64,
    sha256: String,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let (folder, file) = (args.data.path.display(), args.file.display());
    if args.file.exists() {
        return Err(Failure::BadInput(format!("`{file}` exists: a backup is never written over another file")));
    }
    if let Some(parent) = args.file.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.is_dir()) {
        return Err(Failure::BadInput(format!("cannot write the backup: there is no folder `{}`", parent.display())));
    }
    let holds = match Server::of(&args.data.path)? {
        Some(server) => by_server(&server, args, streams)?,
        None => here(args, streams)?,
    };
    writeln!(streams.out, "`{folder}` is in `{file}`: {}", holds.summary())?;
    if holds.usage_left_out > 0 {
        writeln!(streams.out, "left out: {} damaged records of usage", holds.usage_left_out)?;
    }
    writeln!(streams.out, "{NOT_IN_BACKUP}")?;
    writeln!(streams.out, "sha256 {}", holds.sha256)?;
    Ok(())
}

/// Lets the server make it, and takes it from where it lies.
fn by_server(server: &Server, args: &Args, streams: &mut Streams<'_>) -> Result<Holds, Failure> {
    writeln!(streams.err, "asking the server that holds `{}`", args.data.path.display())?;
    let made: Made = server.ask(Ask::act("/v1/backups").patiently())?;
    writeln!(streams.err, "writing `{}`", args.file.display())?;
    take(&made.file, &args.file).map_err(|error| {
        let (from, to) = (made.file.display(), args.file.display());
        Failure::Unreadable(format!("the backup is whole and lies at `{from}`, but cannot be taken to `{to}`: {error}"))
    })?;
    Ok(made.holds)
}

/// Moves a file, never over another one; durable before it goes from where it was.
fn take(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
        // Another disk, or one without links.
        Err(_) => {
            // INVARIANT: never readable by others, not while it is being written either.
            let fresh = File::options().write(true).create_new(true).mode(0o600).open(to);
            let copied = fresh.and_then(|mut copy| {
                io::copy(&mut File::open(from)?, &mut copy)?;
                copy.sync_all()
            });
            if copied.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::AlreadyExists) {
                _ = fs::remove_file(to);
            }
            copied?;
        }
    }
    let folder = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()?;
    fs::remove_file(from)
}

fn here(args: &Args, streams: &mut Streams<'_>) -> Result<Holds, Failure> {
    let (folder, file) = (args.data.path.display(), args.file.display());
    let failed = |error| args.data.failed(&error, NOT_LISTENING);
    // ORDER: before opening, which would make a store in whatever folder was named.
    embedded::must_hold_store(&args.data.path).map_err(failed)?;
    if embedded::is_read_only(&args.data.path).map_err(failed)? {
        writeln!(streams.err, "reading `{folder}`, which cannot be written to\nwriting `{file}`")?;
        return Ok(embedded::backup_read_only(&args.data.path, &args.file).map_err(not_made)?.into());
    }
    writeln!(streams.err, "opening `{folder}`")?;
    let (store, _) = EmbeddedStore::open(&args.data.path, embedded::Options::default()).map_err(failed)?;
    writeln!(streams.err, "writing `{file}`")?;
    let report = store.backup(&args.file, Pace::ALONE).map_err(not_made)?;
    store.close().map_err(failed)?;
    Ok(report.into())
}

fn not_made(error: StoreError) -> Failure {
    match error {
        StoreError::JournalDamaged { .. } => Failure::Unreadable(format!("the backup was not made: {error}")),
        other => Failure::Unreadable(other.to_string()),
    }
}

impl From<BackupReport> for Holds {
    fn from(report: BackupReport) -> Self {
        Self {
            last_change: report.seq,
            segments: report.segments,
            journal_bytes: report.journal_bytes,
            usage_records: report.counters,
            usage_left_out: report.counters_left_out,
            sha256: hex::encode(report.digest),
        }
    }
}

impl Holds {
    fn summary(&self) -> String {
        let Self { last_change, segments, journal_bytes, usage_records, .. } = self;
        format!(
            "{last_change} changes in {segments} segments ({journal_bytes} bytes), usage in {usage_records} records"
        )
    }
}

pub(super) fn summary(report: &BackupReport) -> String {
    Holds::from(report.clone()).summary()
}
