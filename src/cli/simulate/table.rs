//! The summary at the end of a run.

use super::Args;
use super::replay::Ran;
use super::text::{file as shown, share, time, wait};
use crate::domain::quantity::Quota;
use crate::policy::number_text as count;
use crate::simulate::compare::{Changes, Comparison, Tally};
use crate::simulate::summary::Summary;
use crate::simulate::uses::Use;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::Path;

/// Accounts with changes that the text lists; all of them are in the JSON.
const MAX_PAIRS_SHOWN: usize = 20;

type Count = fn(&Summary) -> u64;
/// Rows that are left out where they are 0.
const RARELY: [(&str, Count); 3] = [
    ("not decided", |summary| summary.not_decided),
    ("replayed", |summary| summary.replayed),
    ("dry runs", |summary| summary.dry_runs),
];

pub(super) fn print(args: &Args, ran: &Ran, to: &mut dyn Write) -> io::Result<()> {
    let summary = &ran.summary;
    let span = summary.span_ms.map(|(first, last)| format!(", {} to {}", time(first), time(last))).unwrap_or_default();
    writeln!(to, "{}: {} events{span}", args.trace.display(), count(summary.events))?;
    let mut runs = vec![(shown(&args.policy), summary)];
    if let (Some(comparison), Some(file)) = (&ran.comparison, &args.compare) {
        runs.push((shown(file), &comparison.summary));
    }
    writeln!(to, "{}", counts(&runs))?;
    for (policy, summary) in &runs {
        if summary.limits().next().is_some() {
            writeln!(to, "\nLimits of {policy}\n{}", limits(summary))?;
        }
    }
    if let (Some(comparison), Some(file)) = (&ran.comparison, &args.compare) {
        print_comparison(comparison, (&args.policy, file), to)?;
    }
    Ok(())
}

fn counts(runs: &[(String, &Summary)]) -> Table {
    let mut table = table(std::iter::once(String::new()).chain(runs.iter().map(|(policy, _)| policy.clone())));
    let mut row = |name: &str, cell: &dyn Fn(&Summary) -> String| {
        let cells: Vec<String> = runs.iter().map(|(_, summary)| cell(summary)).collect();
        table.add_row(std::iter::once(Cell::new(name)).chain(cells.into_iter().map(right)));
    };
    let of_all = |part: u64, summary: &Summary| format!("{}  {:>7}", count(part), share(part, summary.requests()));
    row("requests", &|summary| format!("{}         ", count(summary.requests())));
    row("allowed", &|summary| of_all(summary.allowed, summary));
    row("denied", &|summary| of_all(summary.denied, summary));
    let mut reasons: Vec<_> = runs.iter().flat_map(|(_, summary)| summary.denied_by_reason.keys().copied()).collect();
    reasons.sort_unstable();
    reasons.dedup();
    for reason in reasons {
        let denied = |summary: &Summary| summary.denied_by_reason.get(&reason).copied().unwrap_or(0);
        row(&format!("  {}", reason.as_str()), &|summary| of_all(denied(summary), summary));
    }
    for (name, value) in RARELY {
        if runs.iter().any(|(_, summary)| value(summary) > 0) {
            row(name, &|summary| format!("{}         ", count(value(summary))));
        }
    }
    let mut errors: Vec<&str> = runs.iter().flat_map(|(_, summary)| summary.errors.keys().copied()).collect();
    errors.sort_unstable();
    errors.dedup();
    for error in errors {
        let told = |summary: &Summary| summary.errors.get(error).copied().unwrap_or(0);
        row(&format!("  error {error}"), &|summary| format!("{}         ", count(told(summary))));
    }
    row("longest wait", &|summary| match &summary.longest_wait {
        None => "none".to_owned(),
        Some(longest) => format!("{} (line {})", wait(longest.retry_after_ms), longest.place.line),
    });
    table
}

fn limits(summary: &Summary) -> Table {
    let mut table = table(["limit", "refused", "peak use", "of", "", "first at line", "time"].map(str::to_owned));
    for limit in summary.limits() {
        let Use { used, .. } = limit.peak.level;
        table.add_row([
            Cell::new(&limit.name),
            right(count(limit.refused)),
            right(count(used)),
            right(room(&limit.peak.level)),
            right(limit.peak.level.percent().map(|percent| format!("{} %", count(percent))).unwrap_or_default()),
            right(limit.peak.place.line.to_string()),
            Cell::new(time(limit.peak.place.at_ms)),
        ]);
    }
    table
}

/// What a limit has room for, as it is named: its quota, or the burst of a token bucket.
pub(super) fn room(level: &Use) -> String {
    match (level.quota, level.room()) {
        (Quota::Units(_), Some(room)) => count(room),
        (quota, _) => quota.to_string(),
    }
}

fn print_comparison(comparison: &Comparison, files: (&Path, &Path), to: &mut dyn Write) -> io::Result<()> {
    let (before, after) = (shown(files.0), shown(files.1));
    writeln!(to, "\nFrom {before} to {after}")?;
    for (what, tally) in changes_in_words(&comparison.totals) {
        writeln!(to, "  {what}: {}", tally_text(tally))?;
    }
    let pairs = comparison.pairs();
    if !pairs.is_empty() {
        let mut table =
            table(["account", "resource", "newly denied", "newly allowed", "decided by one"].map(str::to_owned));
        for pair in pairs.iter().take(MAX_PAIRS_SHOWN) {
            let cells = changes_in_words(&pair.changes).map(|(_, tally)| right(tally_text(tally)));
            table.add_row([Cell::new(&pair.account), Cell::new(&pair.resource)].into_iter().chain(cells));
        }
        writeln!(to, "{table}")?;
    }
    let hidden = pairs.len().saturating_sub(MAX_PAIRS_SHOWN);
    if hidden > 0 {
        writeln!(to, "  and {} more (all are in --format json)", count(hidden as u64))?;
    }
    if comparison.of_other_pairs.total() > 0 {
        writeln!(to, "  {} changes of accounts beyond those told apart", count(comparison.of_other_pairs.total()))?;
    }
    for note in notes(comparison, &after) {
        writeln!(to, "  {note}")?;
    }
    Ok(())
}

pub(super) fn changes_in_words(changes: &Changes) -> [(&'static str, Tally); 3] {
    [
        ("newly denied", changes.newly_denied),
        ("newly allowed", changes.newly_allowed),
        ("decided by one only", changes.decided_by_one),
    ]
}

pub(super) fn tally_text(tally: Tally) -> String {
    match tally.first_line {
        None => "0".to_owned(),
        Some(line) => format!("{} (first at line {line})", count(tally.count)),
    }
}

/// What of the trace did not reach the other run.
pub(super) fn notes(comparison: &Comparison, after: &str) -> Vec<String> {
    let mut notes = Vec::new();
    if comparison.policy_events.count > 0 {
        let told = tally_text(comparison.policy_events);
        notes.push(format!("policy events left out under {after}, which stays in force throughout: {told}"));
    }
    if let Some(first) = &comparison.not_carried.first {
        let told = tally_text(comparison.not_carried.tally);
        notes.push(format!("events that {after} has no or only some place for: {told}, for {first}"));
    }
    notes
}

/// The summary as one JSON object.
pub(super) fn json(args: &Args, ran: &Ran) -> Value {
    let mut object = json!({
        "trace": args.trace.display().to_string(),
        "policy": args.policy.display().to_string(),
        "summary": &ran.summary,
    });
    if let (Some(comparison), Some(file)) = (&ran.comparison, &args.compare) {
        object["comparison"] = json!({
            "policy": file.display().to_string(),
            "summary": &comparison.summary,
            "totals": comparison.totals,
            "pairs": comparison.pairs(),
            "of_other_pairs": comparison.of_other_pairs,
            "policy_events_left_out": comparison.policy_events,
            "not_carried": &comparison.not_carried,
        });
    }
    object
}

fn right(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

/// A table as wide as the terminal, where there is one.
fn table(head: impl IntoIterator<Item = String>) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(head.into_iter().collect::<Vec<_>>());
    table
}
