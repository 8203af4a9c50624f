//! `quotagate verify`: whether what is stored is whole.

mod report;

use super::anchor::anchor;
use super::data::{DataFolder, NOT_LISTENING};
use super::server::Server;
use super::{Failure, Streams};
use crate::store::embedded::{Anchor, verify_against, verify_journal};
use report::{Extent, Report};

/// Check a data folder: every checksum, the hash chain, and that the state equals a replay
///
/// Nothing is changed. Exit code 0: nothing is wrong. 1: something is; each finding is printed with where it is and
/// what to do. 2: the folder could not be checked.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A server holds its folder. With one running, it is asked over the `control.sock` in the folder to check the journal that it \
writes: every checksum and the chain of the journal, the truth from which all else is rebuilt. The state that is derived \
from it is checked too where the server is stopped, or in a copy of the folder; what was checked is said. --journal-only \
reads the journal from outside, beside a server or not. \
It cannot tell that the newest changes were cut off, nor that the journal was written anew with a chain of \
its own: --anchor can, with what was kept elsewhere of `GET /v1/audit/head`.

Examples:
  quotagate verify                                   ./data, everything
  quotagate verify --data /var/lib/quotagate --journal-only
  quotagate verify --anchor 12:8d3f…                 and that change 12 is the one that was
  quotagate verify --format json | jq '.findings[]'
    {\"area\": \"journal\", \"segment\": 1, \"offset\": 4711, \"after_change\": 12,
     \"what\": \"the group fails its checksum\", \"advice\": \"…\"}")]
pub(super) struct Args {
    #[command(flatten)]
    data: DataFolder,
    /// Only the journal; also while a server runs
    #[arg(long)]
    journal_only: bool,
    /// A change and its hash, kept apart from the folder, which the journal must have
    #[arg(long, value_name = "SEQ:HASH", value_parser = anchor)]
    anchor: Option<Anchor>,
    /// How to report: text for people, json for programs
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let report = check(args)?;
    let name = args.data.path.display().to_string();
    match args.format {
        Format::Text => print(&name, &report, streams)?,
        Format::Json => writeln!(streams.out, "{:#}", report.document(&name))?,
    }
    match report.findings.len() {
        0 => Ok(()),
        1 => Err(Failure::Refused(format!("something is wrong in `{name}`"))),
        n => Err(Failure::Refused(format!("{n} things are wrong in `{name}`"))),
    }
}

fn check(args: &Args) -> Result<Report, Failure> {
    let (folder, anchor) = (&args.data.path, args.anchor);
    let in_use = format!("{NOT_LISTENING}; its journal is checked beside it with `--journal-only`");
    let failed = |error| args.data.failed(&error, &in_use);
    if args.journal_only {
        return Ok(Report::of(verify_journal(folder, anchor).map_err(failed)?, Extent::Journal, anchor));
    }
    match Server::of(folder)? {
        Some(server) => Report::by_server(&server, anchor),
        None => Ok(Report::of(verify_against(folder, anchor).map_err(failed)?, Extent::Everything, anchor)),
    }
}

fn print(name: &str, report: &Report, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let out = &mut *streams.out;
    for finding in &report.findings {
        writeln!(out, "{}: {}", finding.place, finding.what)?;
    }
    let mut told: Vec<&str> = Vec::new();
    for finding in &report.findings {
        if !told.contains(&&*finding.advice) {
            writeln!(out, "what to do: {}", finding.advice)?;
            told.push(&finding.advice);
        }
    }
    let Report { segments, changes, last, head, .. } = report;
    writeln!(out, "journal   {changes} changes in {segments} segments; the last is {last}, {head}")?;
    if report.torn_bytes > 0 {
        let (bytes, segment, offset) = (report.torn_bytes, report.end.segment, report.end.offset);
        let what = match (report.extent, report.records) {
            (Extent::ByServer, _) | (Extent::Everything, Some(_)) => {
                "of no finished group: never acknowledged, or just being written"
            }
            // The state that could tell was not asked, or is not readable.
            (Extent::Journal, _) | (Extent::Everything, None) => {
                "of no finished group: just being written, or left by a kill or a power cut, or acknowledged and lost by the disk"
            }
        };
        writeln!(out, "          then {bytes} bytes from byte {offset} of segment {segment} on, {what}")?;
    }
    if let Some(anchor) = &report.anchor {
        let found = match (anchor.found.as_str(), &anchor.found_hash) {
            ("held", _) => "as it was".to_owned(),
            ("differs", Some(hash)) => format!("another one, with the hash {hash}"),
            ("beyond_end", _) => "not there: the journal ends before it".to_owned(),
            _ => "not readable".to_owned(),
        };
        writeln!(out, "anchor    change {} is {found}", anchor.seq)?;
    }
    match (report.extent, report.records) {
        (Extent::Everything, Some(records)) => {
            writeln!(out, "control   {records} records compared with a replay of the journal")?;
        }
        (Extent::Everything, None) => writeln!(out, "control   not compared: the journal is not whole")?,
        (Extent::Journal, _) => writeln!(out, "control   not checked\ncounters  not checked")?,
        (Extent::ByServer, _) => {
            let why = "a server runs, and it checked the journal";
            writeln!(out, "control   not checked: {why}\ncounters  not checked: {why}")?;
        }
    }
    if report.extent == Extent::Everything {
        writeln!(out, "counters  {} records", report.counters)?;
    }
    if report.findings.is_empty() {
        writeln!(out, "nothing is wrong in `{name}`")?;
    }
    Ok(())
}
