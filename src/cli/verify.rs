//! `quotagate verify`: whether what is stored is whole.

use super::anchor::anchor;
use super::data::DataFolder;
use super::{Failure, Streams};
use crate::store::embedded::{Anchor, Anchored, Area, Finding, VerifyReport, verify_against, verify_journal};
use serde_json::{Value, json};

/// Check a data folder: every checksum, the hash chain, and that the state equals a replay
///
/// Nothing is changed. Exit code 0: nothing is wrong. 1: something is; each finding is printed with where it is and
/// what to do. 2: the folder could not be checked.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A server holds its folder, so a full check needs it stopped (or a copy of the folder). --journal-only goes \
beside a running server: it checks every checksum and the chain of the journal, the truth from which all else \
is rebuilt. It cannot tell that the newest changes were cut off, nor that the journal was written anew with a chain of \
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
    let folder = &args.data.path;
    let checked =
        if args.journal_only { verify_journal(folder, args.anchor) } else { verify_against(folder, args.anchor) };
    let in_use = "stop the server to check everything, or check its journal beside it with `--journal-only`";
    let report = checked.map_err(|error| args.data.failed(&error, in_use))?;
    match args.format {
        Format::Text => print(args, &report, streams)?,
        Format::Json => writeln!(streams.out, "{:#}", document(args, &report))?,
    }
    let name = folder.display();
    match report.findings.len() {
        0 => Ok(()),
        1 => Err(Failure::Refused(format!("something is wrong in `{name}`"))),
        n => Err(Failure::Refused(format!("{n} things are wrong in `{name}`"))),
    }
}

fn print(args: &Args, report: &VerifyReport, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let out = &mut *streams.out;
    for finding in &report.findings {
        writeln!(out, "{}: {}", place(finding.area), finding.what)?;
    }
    let mut told: Vec<&str> = Vec::new();
    for advice in report.findings.iter().map(|finding| finding.area.advice()) {
        if !told.contains(&advice) {
            writeln!(out, "what to do: {advice}")?;
            told.push(advice);
        }
    }
    let VerifyReport { segments, entries, seq, .. } = report;
    writeln!(out, "journal   {entries} changes in {segments} segments; the last is {seq}, {}", head(report))?;
    if report.torn_bytes > 0 {
        let (segment, offset) = report.end;
        let bytes = report.torn_bytes;
        let what = "of no finished group: never acknowledged, or just being written";
        writeln!(out, "          then {bytes} bytes from byte {offset} of segment {segment} on, {what}")?;
    }
    if let (Some(Anchor { seq, .. }), Some(anchored)) = (args.anchor, report.anchor) {
        let found = match anchored {
            Anchored::Held => "as it was".to_owned(),
            Anchored::Differs { hash } => format!("another one, with the hash {}", hex::encode(hash)),
            Anchored::BeyondEnd => "not there: the journal ends before it".to_owned(),
            Anchored::Unreadable => "not readable".to_owned(),
        };
        writeln!(out, "anchor    change {seq} is {found}")?;
    }
    if args.journal_only {
        writeln!(out, "control   not checked\ncounters  not checked")?;
    } else {
        if report.journal_is_sound() {
            writeln!(out, "control   {} records compared with a replay of the journal", report.records)?;
        } else {
            writeln!(out, "control   not compared: the journal is not whole")?;
        }
        writeln!(out, "counters  {} records", report.counters)?;
    }
    if report.is_sound() {
        writeln!(out, "nothing is wrong in `{}`", args.data.path.display())?;
    }
    Ok(())
}

fn document(args: &Args, report: &VerifyReport) -> Value {
    let checked = |records: u64| if args.journal_only { Value::Null } else { json!({ "records": records }) };
    json!({
        "data": args.data.path.display().to_string(),
        "sound": report.is_sound(),
        "journal": {
            "segments": report.segments,
            "changes": report.entries,
            "last_change": report.seq,
            "head": head(report),
            "end": {"segment": report.end.0, "offset": report.end.1},
            "unacknowledged_bytes": report.torn_bytes,
        },
        "anchor": args.anchor.zip(report.anchor).map(|(anchor, found)| anchored(anchor, found)),
        "control": checked(report.records),
        "counters": checked(report.counters),
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

fn anchored(Anchor { seq, hash }: Anchor, found: Anchored) -> Value {
    let mut anchor = json!({"change": seq, "hash": hex::encode(hash), "found": found.as_str()});
    if let Anchored::Differs { hash } = found {
        anchor["found_hash"] = json!(hex::encode(hash));
    }
    anchor
}

fn finding(Finding { area, what }: &Finding) -> Value {
    let mut finding = match area {
        Area::Journal { segment, offset, after_seq } => {
            json!({"area": "journal", "segment": segment, "offset": offset, "after_change": after_seq})
        }
        Area::Control => json!({"area": "control"}),
        Area::Counters => json!({"area": "counters"}),
    };
    finding["what"] = json!(what);
    finding["advice"] = json!(area.advice());
    finding
}

fn place(area: Area) -> String {
    match area {
        Area::Journal { segment, offset, after_seq } => {
            format!("journal segment {segment}, byte {offset}, after change {after_seq}")
        }
        Area::Control => "control".to_owned(),
        Area::Counters => "counters".to_owned(),
    }
}

fn head(report: &VerifyReport) -> String {
    hex::encode(report.hash)
}
