//! `quotagate policy show`.

use super::super::{Failure, Streams};
use super::valid;
use crate::policy::page::{Lang, Page, PageGroup, page};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use std::io;
use std::path::PathBuf;

/// Show a policy as its limits page
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  quotagate policy show policies/minimax.yaml --lang zh
  quotagate policy show policies/minimax.yaml --format md > limits.md")]
pub(super) struct Args {
    /// A policy document, YAML or JSON; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How to draw it: table for a terminal, md for Markdown, json for programs
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Language of titles and words: zh or en
    #[arg(long, default_value_t = Lang::En, value_name = "zh|en")]
    lang: Lang,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Md,
    Json,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let policy = valid(&args.file, streams)?.policy;
    let page = page(&policy, args.lang);
    match args.format {
        Format::Table => draw(&page, streams)?,
        Format::Md => write!(streams.out, "{}", page.markdown())?,
        Format::Json => writeln!(streams.out, "{:#}", page.json(&policy))?,
    }
    Ok(())
}

fn draw(page: &Page, streams: &mut Streams<'_>) -> io::Result<()> {
    writeln!(streams.out, "{}", page.title)?;
    for text in page.note.iter().chain(&page.remarks) {
        writeln!(streams.out, "{}", text.trim_end())?;
    }
    let mut tiers = table([page.labels.tier.to_owned(), page.labels.reached_by.to_owned()]);
    for tier in &page.tiers {
        tiers.add_row([with_id(&tier.title, &tier.id), tier.reached_by.clone()]);
    }
    writeln!(streams.out, "\n{tiers}")?;
    for group in &page.groups {
        draw_group(page, group, streams)?;
    }
    for (label, lines) in [
        (page.labels.pools, page.pools.clone()),
        (page.labels.raise_rules, page.raise_rules.iter().map(|(id, text)| format!("{id}: {text}")).collect()),
    ] {
        if !lines.is_empty() {
            writeln!(streams.out, "\n{label}\n{}", lines.join("\n"))?;
        }
    }
    match &page.source {
        Some(source) => writeln!(streams.out, "\n{}: {}", page.labels.source, source.trim_end()),
        None => Ok(()),
    }
}

fn draw_group(page: &Page, group: &PageGroup, streams: &mut Streams<'_>) -> io::Result<()> {
    let share = group.share.as_deref().map(|share| format!(" ({share})")).unwrap_or_default();
    writeln!(streams.out, "\n{}", with_id(&group.title, &group.id))?;
    writeln!(streams.out, "{}: {}{share}", page.labels.resources, group.resources.join(", "))?;
    if let Some(note) = &group.note {
        writeln!(streams.out, "{}", note.trim_end())?;
    }
    if group.limits.is_empty() {
        return Ok(());
    }
    let tiers = page.tiers.iter().map(|tier| tier.title.clone());
    let head = [page.labels.limit.to_owned(), page.labels.counts.to_owned()];
    let mut limits = table(head.into_iter().chain(tiers).chain([page.labels.algorithm.to_owned()]));
    for limit in &group.limits {
        let start = [with_id(&limit.title, &limit.id), limit.counts.clone()];
        limits.add_row(start.into_iter().chain(limit.quotas.clone()).chain([limit.algorithm.clone()]));
    }
    writeln!(streams.out, "{limits}")?;
    for (limit, note) in group.limits.iter().filter_map(|limit| Some((limit, limit.note.as_ref()?))) {
        writeln!(streams.out, "{}: {}", limit.id, note.trim_end())?;
    }
    Ok(())
}

/// A table as wide as the terminal, where there is one.
fn table(head: impl IntoIterator<Item = String>) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(head.into_iter().collect::<Vec<_>>());
    table
}

fn with_id(title: &str, id: &str) -> String {
    if title == id { id.to_owned() } else { format!("{title} ({id})") }
}
