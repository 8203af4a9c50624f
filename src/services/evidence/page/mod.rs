//! Evidence as a page for people: HTML with its style and plots inside, nothing loaded, no scripts.

mod plots;
mod tables;

use super::{Evidence, HistoryState, Snapshot};
use crate::charts::{self, escape};
use crate::domain::ids::{Currency, PolicyId};
use crate::domain::quantity::Quota;
use crate::policy::number_text;
use crate::policy::page::money;
use jiff::Timestamp;
use std::fmt::Write;

/// What stands in the one `style` element of the page: a content security policy names its hash.
pub const STYLE: &str = charts::STYLE;

const DAY_MS: i64 = 86_400_000;

/// Whom a page is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    Operator,
    /// Is shown nothing of pools, which tell of others.
    Customer,
}

/// What a page shows.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// Such as the id of the request.
    pub heading: &'a str,
    /// The oldest first; the last is shown in full, the others without their plots.
    pub snapshots: &'a [Snapshot],
    /// What is asked for.
    pub wanted: &'a [(PolicyId, Quota)],
    pub reader: Reader,
    /// What the customer says: what it is about, and the text.
    pub words: &'a [(&'a str, &'a str)],
}

/// The whole page.
#[must_use]
pub fn page(page: &Page<'_>) -> String {
    let mut out = charts::begin(&format!("Evidence for {}", page.heading));
    _ = writeln!(out, "<header>\n<p class=\"kind\">quotagate evidence</p>\n<h1>{}</h1>", escape(page.heading));
    let Some((last, before)) = page.snapshots.split_last() else {
        out.push_str("<p>No evidence was taken.</p>\n</header>\n");
        out.push_str(charts::END);
        return out;
    };
    heading(&mut out, last, page.reader);
    out.push_str("</header>\n");
    cards(&mut out, &last.evidence);
    words(&mut out, page.words);
    for limit in &last.evidence.limits {
        let wanted = page.wanted.iter().find(|(id, _)| *id == limit.limit).map(|(_, quota)| *quota);
        tables::limit(&mut out, limit, wanted, page.reader);
        if let Some(usage) = &limit.usage {
            plots::plots(&mut out, &last.evidence.span, (limit, usage), wanted);
            tables::weeks(&mut out, usage);
        }
        out.push_str("</section>\n");
    }
    tables::earlier(&mut out, &last.evidence.earlier);
    for snapshot in before.iter().rev() {
        older(&mut out, snapshot, page.reader);
    }
    out.push_str(charts::END);
    out
}

fn heading(out: &mut String, snapshot: &Snapshot, reader: Reader) {
    let evidence = &snapshot.evidence;
    let (account, group) = (escape(evidence.account.id.as_str()), escape(evidence.group.as_str()));
    _ = writeln!(
        out,
        "<p>Account <b>{account}</b>, group <b>{group}</b>, revision {}. Taken {}, over {} to {}.</p>",
        evidence.revision,
        time(evidence.taken_at_ms),
        time(evidence.span.from_ms),
        time(evidence.span.to_ms)
    );
    match evidence.history {
        HistoryState::Off => notice(out, "The server keeps no history: nothing is known of the usage."),
        HistoryState::On if evidence.span.first_ms.is_none() => notice(out, "Nothing was used in these 28 days."),
        HistoryState::On if !evidence.span.whole => {
            let first = evidence.span.first_ms.map(time).unwrap_or_default();
            notice(out, &format!("What is known of the usage begins at {first}, not at the beginning."));
        }
        HistoryState::On => {}
    }
    let hash = escape(&snapshot.hash);
    _ = match reader {
        Reader::Operator if snapshot.verify() => writeln!(out, "<p>SHA-256 <code>{hash}</code></p>"),
        Reader::Operator => {
            writeln!(out, "<p class=\"notice\">This is not what hashed to {hash} when it was taken.</p>")
        }
        // It may have come without what is said of others, which was hashed too.
        Reader::Customer => writeln!(out, "<p>SHA-256 of all that was taken <code>{hash}</code></p>"),
    };
}

fn notice(out: &mut String, text: &str) {
    _ = writeln!(out, "<p class=\"notice\">{}</p>", escape(text));
}

fn cards(out: &mut String, evidence: &Evidence) {
    let facts = &evidence.account;
    let sum = |amounts: Vec<String>| if amounts.is_empty() { "nothing".to_owned() } else { amounts.join(", ") };
    let net = facts.net_paid.iter().map(|(currency, net)| signed_money(*net, currency)).collect();
    let refunded = facts.refunded.iter().map(|(currency, amount)| money(*amount, currency)).collect();
    let age_days = evidence.taken_at_ms.saturating_sub(facts.created_at_ms) / DAY_MS;
    let last = facts.last_refund_ms.map(|at| format!("{}, the last {}", number_text(facts.refunds), time(at)));
    let suspended = if facts.suspended { "suspended" } else { "" };
    let cards = [
        ("tier", facts.tier.to_string(), suspended.to_owned()),
        (
            "account age",
            format!("{} days", number_text(age_days.unsigned_abs())),
            format!("made {}", time(facts.created_at_ms)),
        ),
        ("net paid", sum(net), String::new()),
        ("refunds and chargebacks", sum(refunded), last.unwrap_or_default()),
    ];
    out.push_str("<section class=\"cards\">\n");
    for (name, value, more) in cards {
        let (value, more) = (escape(&value), escape(&more));
        _ = writeln!(out, "<div class=\"card\"><span>{name}</span><b>{value}</b><small>{more}</small></div>");
    }
    out.push_str("</section>\n");
}

fn words(out: &mut String, words: &[(&str, &str)]) {
    if words.is_empty() {
        return;
    }
    out.push_str("<section>\n<h2>In the customer's words</h2>\n");
    for (about, text) in words {
        _ = writeln!(out, "<h3>{}</h3>\n<p class=\"words\">{}</p>", escape(about), escape(text));
    }
    out.push_str("</section>\n");
}

/// An earlier snapshot, in short.
fn older(out: &mut String, snapshot: &Snapshot, reader: Reader) {
    let taken = time(snapshot.evidence.taken_at_ms);
    _ = writeln!(out, "<section>\n<details>\n<summary>Evidence taken {taken}</summary>");
    heading(out, snapshot, reader);
    for limit in &snapshot.evidence.limits {
        tables::short(out, limit);
    }
    out.push_str("</details>\n</section>\n");
}

fn signed_money(minor: i64, currency: &Currency) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    format!("{sign}{}", money(minor.unsigned_abs(), currency))
}

/// `2026-11-24 10:00 UTC`.
fn time(ms: i64) -> String {
    let time = Timestamp::from_millisecond(ms).ok();
    time.map(|time| time.strftime("%Y-%m-%d %H:%M UTC").to_string()).unwrap_or_default()
}

/// A quota for people.
fn quota(quota: Quota) -> String {
    quota.units().map_or_else(|| quota.to_string(), number_text)
}

/// Parts of 10,000 as percent.
fn percent(parts: Option<u32>) -> String {
    parts.map_or_else(String::new, |parts| format!("{}.{} %", number_text(parts / 100), parts % 100 / 10))
}
