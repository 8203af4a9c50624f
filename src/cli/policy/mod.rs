//! `quotagate policy`: check, show and compare policy documents.

mod show;
mod validate;

use super::{Failure, Streams, input};
use crate::policy::{Finding, Parsed, diff, parse};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Validate(validate::Args),
    Show(show::Args),
    Diff(DiffArgs),
}

/// List what changes from one policy to another, and which usage a switch drops
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  quotagate policy diff policies/minimax.yaml new.yaml
    limit `text.m2/rpm`: quota of `paid` 500 -> 600
    limit `music.generation/rpm`: window 1m -> 1h (usage so far is dropped)")]
struct DiffArgs {
    /// The policy before
    #[arg(value_name = "A")]
    from: PathBuf,
    /// The policy after
    #[arg(value_name = "B")]
    to: PathBuf,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<(), Failure> {
    match &args.action {
        Action::Validate(args) => validate::run(args, streams),
        Action::Show(args) => show::run(args, streams),
        Action::Diff(args) => print_diff(&args.from, &args.to, streams),
    }
}

fn print_diff(from: &Path, to: &Path, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let (from, to) = (valid(from, streams)?, valid(to, streams)?);
    let changes = diff::diff(&from.policy, &to.policy);
    if changes.is_empty() {
        writeln!(streams.out, "no difference")?;
    }
    for change in changes {
        writeln!(streams.out, "{change}")?;
    }
    Ok(())
}

/// The policy in a file, with its errors printed where it has some.
fn valid(file: &Path, streams: &mut Streams<'_>) -> Result<Parsed, Failure> {
    parse(&input::read(file)?).or_else(|errors| {
        print(file, &errors, streams)?;
        Err(Failure::Refused(format!("`{}` is not a valid policy", file.display())))
    })
}

/// Prints findings as `FILE:LINE:COL: error: path: message`.
pub(super) fn print(file: &Path, findings: &[Finding], streams: &mut Streams<'_>) -> Result<(), Failure> {
    for finding in findings {
        let space = if finding.line.is_some() { "" } else { " " };
        writeln!(streams.err, "{}:{space}{finding}", file.display())?;
    }
    Ok(())
}
