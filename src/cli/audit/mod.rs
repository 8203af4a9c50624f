//! `quotagate audit`: the journal as the audit log that it is, read beside a running server.

mod export;
mod tail;

use super::data::DataFolder;
use super::{Failure, Streams};

/// Export the audit log so that anybody can verify it, or watch it
///
/// Both read the journal of the data folder and change nothing, also while a server runs on it. What is just being
/// written is left out.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  quotagate audit export --out audit.jsonl           every change, with the chain of hashes; see docs/audit.md
  quotagate audit export --from 1000 --to 1999 | gzip > part.jsonl.gz
  quotagate audit tail                               the last 20 changes
  quotagate audit tail -n 100 --follow               the last 100, then each as it is made")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    data: DataFolder,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Export(export::Args),
    Tail(tail::Args),
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<(), Failure> {
    match &args.command {
        Command::Export(export) => export::run(export, &args.data, streams),
        Command::Tail(tail) => tail::run(tail, &args.data, streams),
    }
}
