//! `quotagate audit export`: JSON Lines with everything that the chain of hashes is made of.

use crate::cli::data::DataFolder;
use crate::cli::{Failure, Streams};
use crate::store::StoreError;
use crate::store::embedded::{JournalEntry, JournalReader};
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Write the changes as JSON Lines that a third party can verify
///
/// Each line has the number of a change, the hash of the one before, its own hash, and the text that was hashed.
/// docs/audit.md has the format and a short Python program that checks it. Which change is the last, and its hash, is
/// told in the end: keep that elsewhere.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// First change
    #[arg(long, value_name = "SEQ", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    from: u64,
    /// Last change [default: the last there is]
    #[arg(long, value_name = "SEQ")]
    to: Option<u64>,
    /// File to write; it must not exist [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// One line of an export.
#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    #[serde(with = "hex::serde")]
    prev_hash: [u8; 32],
    #[serde(with = "hex::serde")]
    hash: [u8; 32],
    /// JSON as it was hashed, to the byte.
    payload: &'a str,
}

/// What was written.
#[derive(Default)]
struct Exported {
    first: Option<u64>,
    last: Option<(u64, [u8; 32])>,
}

pub(super) fn run(args: &Args, data: &DataFolder, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let to = args.to.unwrap_or(u64::MAX);
    if to < args.from {
        return Err(Failure::BadInput(format!("change {to} is before change {}: give --to after --from", args.from)));
    }
    let exported = match &args.out {
        None => export(data, args.from, to, streams.out)?,
        Some(file) => into_file(file, |out| export(data, args.from, to, out))?,
    };
    match (exported.first, exported.last) {
        (Some(first), Some((last, hash))) => {
            let head = hex::encode(hash);
            writeln!(streams.err, "exported changes {first} to {last}; keep this elsewhere: {last}:{head}")?;
        }
        _ => writeln!(streams.err, "there is no change from {} on", args.from)?,
    }
    Ok(())
}

/// The file appears under its name once it is whole and durable.
fn into_file(
    file: &Path,
    export: impl FnOnce(&mut dyn Write) -> Result<Exported, Failure>,
) -> Result<Exported, Failure> {
    if file.exists() {
        let name = file.display();
        return Err(Failure::BadInput(format!("`{name}` exists: an export is never written over another file")));
    }
    let mut fresh = file.as_os_str().to_owned();
    fresh.push(".part");
    let fresh = PathBuf::from(fresh);
    let mut out = BufWriter::new(File::create(&fresh)?);
    let exported = export(&mut out).and_then(|exported| {
        out.flush()?;
        out.get_ref().sync_all()?;
        std::fs::rename(&fresh, file)?;
        Ok(exported)
    });
    if exported.is_err() {
        // A part of an export is of no use; the first error is the one to tell.
        _ = std::fs::remove_file(&fresh);
    }
    exported
}

fn export(data: &DataFolder, from: u64, to: u64, out: &mut dyn Write) -> Result<Exported, Failure> {
    let mut exported = Exported::default();
    let mut failed = None;
    let read = JournalReader::before(&data.path, from).and_then(|mut reader| {
        reader.read(&mut |entry| {
            if entry.seq > to {
                return Err(StoreError::Closed);
            }
            write_line(entry, out).map_err(|error| {
                failed = Some(error);
                StoreError::Closed
            })?;
            exported.first.get_or_insert(entry.seq);
            exported.last = Some((entry.seq, entry.hash));
            Ok(())
        })
    });
    match (read, failed) {
        (_, Some(error)) => Err(Failure::Output(error)),
        // The last one that was asked for has been written.
        (Ok(()) | Err(StoreError::Closed), None) => Ok(exported),
        (Err(error), None) => Err(data.failed(&error, "")),
    }
}

fn write_line(entry: &JournalEntry<'_>, out: &mut dyn Write) -> io::Result<()> {
    let payload = std::str::from_utf8(entry.payload).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidData, format!("change {} of the journal is not text", entry.seq))
    })?;
    let JournalEntry { seq, prev_hash, hash, .. } = *entry;
    serde_json::to_writer(&mut *out, &Line { seq, prev_hash, hash, payload })?;
    out.write_all(b"\n")
}
