//! `quotagate import`: accounts and payments of a platform that was there before.

mod bad;
mod begin;
mod lines;
mod progress;
mod record;

use super::data::DataFolder;
use super::{Failure, Streams};
use crate::services::bulk::{Became, Kind};
use crate::services::records::ImportRecord;
use bad::BadLines;
use begin::{Begun, Stores};
use lines::{Line, Lines};
use progress::{Progress, grouped, rate};
use record::Refused;
use std::io::BufReader;
use std::path::PathBuf;
use std::time::Duration;

/// Lines between two looks at the clock and the progress bar.
const LINES_A_TICK: u64 = 256;
const READ_AHEAD_BYTES: usize = 1 << 18;

/// Bring over accounts or payment events from a file, one JSON object a line
///
/// The fields are those of the API. A line that was taken in before is counted as already there, so a file may be
/// given again; one that is cut short by a kill goes on where it was. Bad lines are told and the others are taken in.
///
/// Exit code 0: all lines are in. 1: there were bad lines. 2: it could not be done.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
accounts  POST /v1/accounts: id, and if you like tier (the floor), name, labels; besides
          parent (a sub-account's main account, on an earlier line), created_at (when it became a customer; tiers may
          ask for an age), suspension ({\"reason\": \"...\"})
payments  POST /v1/accounts/{id}/top-ups and /refunds: account, kind (top_up, refund, chargeback), event_id, payment_id,
          amount, currency (a refund may leave it out), occurred_at (give it, or it is now)

A running server holds its folder: stop it before. Accounts come first. Payments are fastest sorted by account.

Examples:
  quotagate import accounts accounts.jsonl --policy policy.yaml     begin a new folder, ./data
  quotagate import payments payments.jsonl --check                  check every line, write nothing
  quotagate import payments payments.jsonl --bad bad.jsonl          keep what is wrong, to be mended
  jq -r .text bad.jsonl > mended.jsonl                              the bad lines as they were

  {\"id\": \"acme\", \"tier\": \"paid\", \"created_at\": \"2024-05-01T00:00:00Z\"}
  {\"id\": \"acme-eu\", \"parent\": \"acme\"}

  {\"account\": \"acme\", \"kind\": \"top_up\", \"event_id\": \"evt-1\", \"payment_id\": \"pay-1\", \"amount\": 10000,
   \"currency\": \"CNY\", \"occurred_at\": \"2025-01-31T08:00:00Z\"}      (on one line)")]
pub(super) struct Args {
    /// What the file has
    #[arg(value_enum)]
    what: What,
    /// JSON Lines, at most 64 KiB a line
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    data: DataFolder,
    /// Policy document to publish first, if it differs from the active revision; begins a new folder
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    policy: Option<PathBuf>,
    /// Check every line against what is there and write nothing
    #[arg(long)]
    check: bool,
    /// Memory for the store's pages; more is faster where there are millions of payments
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(16..=65_536))]
    cache_mib: u64,
    /// Write every bad line there: number, code, where, what, and the line
    #[arg(long, value_name = "OUT.jsonl")]
    bad: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    Accounts,
    Payments,
}

impl What {
    fn kind(self) -> Kind {
        match self {
            Self::Accounts => Kind::Accounts,
            Self::Payments => Kind::Payments,
        }
    }
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<(), Failure> {
    begin::check_files(args)?;
    let stores = Stores::open(args, streams)?;
    let done = begin::begin(args, &stores, streams).and_then(|begun| work(args, begun, streams));
    stores.close(args).and(done)
}

/// Takes all lines in; what was taken in before a failure stays.
fn work(args: &Args, begun: Begun, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let Begun { mut importer, file, bytes, before, clock } = begun;
    let kind = args.what.kind();
    let mut bad = BadLines::open(kind, args.bad.as_deref(), before.bad_bytes)?;
    let mut progress = Progress::of(bytes, before.lines);
    let mut lines = Lines::new(BufReader::with_capacity(READ_AHEAD_BYTES, file));
    let failed = |error| begin::failed(args, error);
    let unreadable = |error| Failure::Unreadable(format!("cannot read `{}`: {error}", args.file.display()));
    while let Some((line_bytes, line)) = lines.next().map_err(unreadable)? {
        let number = importer.at().lines + 1;
        let taken = match line {
            Line::Blank => None,
            Line::Text(text) => Some((record::take(kind, &mut importer, text), text)),
            Line::Bad { what, ref text } => Some((Err(Refused::Line(record::unreadable(what))), text.as_str())),
        };
        match taken {
            None => {}
            Some((Ok(Became::New), _)) => importer.at().new += 1,
            Some((Ok(Became::Known), _)) => importer.at().known += 1,
            Some((Err(Refused::All(error)), _)) => return Err(failed(error)),
            Some((Err(Refused::Line(problem)), text)) => {
                let told = progress.around(|| bad.tell(number, &problem, text, streams.err))?;
                importer.at().bad += 1;
                importer.at().bad_bytes += told;
            }
        }
        importer.passed(line_bytes);
        lines.rest(|more| importer.passed(more)).map_err(unreadable)?;
        importer.at().lines = number;
        if number % LINES_A_TICK == 0 {
            importer.tick(clock.now_ms());
            progress.tell(importer.at().bytes, number, streams.err)?;
        }
    }
    let at = importer.finish().map_err(failed)?;
    summarise(args, (&before, &at), progress.end(), streams)
}

fn summarise(
    args: &Args,
    (before, at): (&ImportRecord, &ImportRecord),
    took: Duration,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let lines = at.lines - before.lines;
    let new = match (args.check, args.what) {
        (true, _) => "would be new",
        (false, What::Accounts) => "created",
        (false, What::Payments) => "recorded",
    };
    let bad = at.bad - before.bad;
    let mut rows = vec![
        ("lines", grouped(lines)),
        (new, grouped(at.new - before.new)),
        ("already there", grouped(at.known - before.known)),
        ("bad", grouped(bad)),
        ("time", format!("{}.{:03} s, {} lines/s", took.as_secs(), took.subsec_millis(), grouped(rate(lines, took)))),
    ];
    if before.lines > 0 {
        let told = if before.bad > 0 { format!(", {} of them bad", grouped(before.bad)) } else { String::new() };
        rows.insert(0, ("by a run before", format!("{} lines{told}", grouped(before.lines))));
    }
    for (name, value) in rows {
        writeln!(streams.out, "{name:<16}{value}")?;
    }
    match at.bad {
        0 => Ok(()),
        1 => Err(Failure::Refused(format!("1 line of `{}` is bad", args.file.display()))),
        n => Err(Failure::Refused(format!("{} lines of `{}` are bad", grouped(n), args.file.display()))),
    }
}
