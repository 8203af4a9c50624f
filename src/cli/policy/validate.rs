//! `quotagate policy validate`.

use super::super::{Failure, Streams, input};
use super::print;
use crate::policy::{Finding, Parsed, parse};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Check policy documents and report every error at once
///
/// Each finding is printed to standard error as `FILE:LINE:COL: error: path: message`. Exit code 0: every file is valid.
/// 1: there are errors, or warnings under --strict. 2: a file cannot be read.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  quotagate policy validate policies/*.yaml
  quotagate policy validate --strict --format json policy.yaml
  kubectl get cm limits -o jsonpath='{.data.policy}' | quotagate policy validate -")]
pub(super) struct Args {
    /// Policy documents, YAML or JSON; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Warnings fail too
    #[arg(long)]
    strict: bool,
    /// How to report: text for people, json (to standard output) for programs
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let mut unreadable = None;
    let mut refused = 0_usize;
    let mut reports = Vec::new();
    for file in &args.files {
        let text = match input::read(file) {
            Ok(text) => text,
            Err(failure) => {
                // The others are still worth checking; the last one that cannot be read is told at the end.
                if let Some(earlier) = unreadable.replace(failure) {
                    writeln!(streams.err, "quotagate: {earlier}")?;
                }
                continue;
            }
        };
        let parsed = parse(&text);
        refused += usize::from(parsed.as_ref().map_or(true, |parsed| args.strict && !parsed.warnings.is_empty()));
        match args.format {
            Format::Text => print_text(file, &parsed, streams)?,
            Format::Json => reports.push(report(file, &parsed)),
        }
    }
    if args.format == Format::Json {
        writeln!(streams.out, "{:#}", Value::Array(reports))?;
    }
    match (unreadable, refused) {
        (Some(failure), _) => Err(failure),
        (None, 0) => Ok(()),
        (None, n) => Err(Failure::Refused(format!("{n} of {} policies refused", args.files.len()))),
    }
}

fn print_text(file: &Path, parsed: &Result<Parsed, Vec<Finding>>, streams: &mut Streams<'_>) -> Result<(), Failure> {
    match parsed {
        Err(errors) => print(file, errors, streams),
        Ok(Parsed { policy, warnings }) => {
            print(file, warnings, streams)?;
            let limits: usize = policy.groups.iter().map(|group| group.limits.len()).sum();
            let hash = hex::encode(policy.content_hash);
            let (tiers, groups) = (policy.tiers.len(), policy.groups.len());
            let counts = format!("{tiers} tiers, {groups} groups, {limits} limits, {} warnings", warnings.len());
            writeln!(streams.out, "{}: valid: {counts}, sha256 {hash}", file.display())?;
            Ok(())
        }
    }
}

fn report(file: &Path, parsed: &Result<Parsed, Vec<Finding>>) -> Value {
    let file = file.display().to_string();
    match parsed {
        Err(errors) => json!({"file": file, "valid": false, "errors": errors, "warnings": []}),
        Ok(Parsed { policy, warnings }) => json!({
            "file": file,
            "valid": true,
            "content_hash": hex::encode(policy.content_hash),
            "errors": [],
            "warnings": warnings,
        }),
    }
}
