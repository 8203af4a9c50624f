//! The numbers of the page.

use super::super::{EarlierRequest, LimitEvidence, Usage};
use super::{Reader, percent, quota, time};
use crate::charts::escape;
use crate::domain::quantity::Quota;
use crate::policy::{duration_text, number_text};
use std::fmt::Write;

/// Begins the section of a limit: what it is, the quota in force, where that comes from. The caller ends it.
pub(super) fn limit(out: &mut String, limit: &LimitEvidence, wanted: Option<Quota>, reader: Reader) {
    _ = writeln!(out, "<section>\n<h2><code>{}</code></h2>", escape(limit.limit.as_str()));
    _ = write!(out, "<p>It counts {}. In force <b>{}</b>", counts(limit), quota(limit.quota));
    if let Some(wanted) = wanted {
        _ = write!(out, ", asked for <b>{}</b>", quota(wanted));
        if let (Some(wanted), Some(held)) = (wanted.units(), limit.quota.units().filter(|held| *held > 0)) {
            let hundredths = u128::from(wanted) * 100 / u128::from(held);
            _ = write!(out, " ({}.{:02} times it)", number_text(hundredths / 100), hundredths % 100);
        }
    }
    out.push_str(".</p>\n");
    if let Some(usage) = &limit.usage {
        numbers(out, usage);
    }
    sources(out, limit);
    if let Some(pool) = limit.pool.filter(|_| reader == Reader::Operator) {
        let (capacity, promised) = (number_text(pool.capacity), number_text(pool.promised));
        let (count, own) = (number_text(pool.accounts), number_text(pool.own));
        let unlimited = match pool.unlimited {
            0 => String::new(),
            more => format!(" {} more have no limit.", number_text(more)),
        };
        let partial = if pool.complete { "" } else { " There are more overrides than were counted." };
        _ = writeln!(
            out,
            "<p>Of a pool of <b>{capacity}</b>, <b>{promised}</b> is promised to {count} accounts, <b>{own}</b> of it to this \
             one.{unlimited}{partial}</p>"
        );
    }
}

/// One line of a limit, and its numbers.
pub(super) fn short(out: &mut String, limit: &LimitEvidence) {
    let name = escape(limit.limit.as_str());
    _ = writeln!(out, "<h3><code>{name}</code></h3>\n<p>In force <b>{}</b>.</p>", quota(limit.quota));
    if let Some(usage) = &limit.usage {
        numbers(out, usage);
    }
}

fn counts(limit: &LimitEvidence) -> String {
    let text = match (&limit.unit, limit.window_ms) {
        (Some(unit), Some(window_ms)) => format!("{unit} in {}", duration_text(window_ms)),
        _ => "open reservations".to_owned(),
    };
    match &limit.algorithm {
        Some(algorithm) => escape(&format!("{text} ({})", algorithm.replace('_', " "))),
        None => escape(&text),
    }
}

fn numbers(out: &mut String, usage: &Usage) {
    let peak = usage.peak.as_ref().map_or_else(
        || "nothing".to_owned(),
        |peak| {
            let (used, of, share) = (number_text(peak.used), quota(peak.quota), percent(peak.utilisation));
            format!("{used} of {of}, {share} at {}", time(peak.at_ms))
        },
    );
    let both = |of: fn(&Usage) -> Option<u32>| percent(of(usage));
    let rows = [
        ("peak minute", peak),
        ("95 % of the minutes used about this at most", both(|usage| usage.utilisation_p95)),
        ("99 % of the minutes used about this at most", both(|usage| usage.utilisation_p99)),
        ("minutes at 80 % or more", number_text(usage.minutes_at_80)),
        ("minutes at 100 %", number_text(usage.minutes_at_100)),
        ("minutes with a decision", number_text(usage.active_minutes)),
        ("admitted", number_text(usage.admitted)),
        ("denied requests", number_text(usage.denied)),
    ];
    out.push_str("<div class=\"wide\"><table>\n");
    for (name, value) in rows {
        let value = if value.is_empty() { "unknown" } else { &value };
        _ = writeln!(out, "<tr><th>{name}<td class=\"n\">{}</tr>", escape(value));
    }
    out.push_str("</table></div>\n");
}

fn sources(out: &mut String, limit: &LimitEvidence) {
    out.push_str(
        "<h3>Where the quota comes from</h3>\n<div class=\"wide\"><table>\n<thead><tr><th>source<th class=\"n\">quota<th>outcome\
         <th>origin</tr></thead>\n",
    );
    for source in &limit.sources {
        let revision = source.revision.map(|revision| format!(", revision {revision}")).unwrap_or_default();
        _ = writeln!(
            out,
            "<tr><td>{}<td class=\"n\">{}<td>{}<td>{}{revision}</tr>",
            escape(&source.source),
            quota(source.quota),
            escape(&source.outcome),
            escape(&source.origin)
        );
    }
    out.push_str("</table></div>\n");
}

pub(super) fn weeks(out: &mut String, usage: &Usage) {
    out.push_str(
        "<h3>By weeks</h3>\n<div class=\"wide\"><table>\n<thead><tr><th>week from<th class=\"n\">admitted<th class=\"n\">growth\
         <th class=\"n\">denied</tr></thead>\n",
    );
    for week in &usage.weeks {
        let growth = week.growth_permille.map_or_else(String::new, |growth| {
            let (sign, parts) = (if growth < 0 { "-" } else { "+" }, growth.unsigned_abs());
            format!("{sign}{}.{} %", number_text(parts / 10), parts % 10)
        });
        _ = writeln!(
            out,
            "<tr><td>{}<td class=\"n\">{}<td class=\"n\">{growth}<td class=\"n\">{}</tr>",
            time(week.from_ms),
            number_text(week.admitted),
            number_text(week.denied)
        );
    }
    out.push_str("</table></div>\n");
}

pub(super) fn earlier(out: &mut String, earlier: &[EarlierRequest]) {
    out.push_str("<section>\n<h2>Earlier requests</h2>\n");
    if earlier.is_empty() {
        out.push_str("<p>There were none.</p>\n</section>\n");
        return;
    }
    out.push_str(
        "<div class=\"wide\"><table>\n<thead><tr><th>request<th>group<th>filed<th>outcome<th>asked for<th>given</tr></thead>\n",
    );
    for request in earlier {
        let list = |of: &dyn Fn(&super::super::EarlierLimit) -> Option<Quota>| {
            let texts =
                request.limits.iter().filter_map(|limit| Some(format!("{} {}", limit.limit, quota(of(limit)?))));
            escape(&texts.collect::<Vec<_>>().join(", "))
        };
        let reason = request.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        _ = writeln!(
            out,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{}<td>{}</tr>",
            escape(&request.id),
            escape(request.group.as_str()),
            time(request.filed_at_ms),
            escape(&format!("{}{reason}", request.state.as_str())),
            list(&|limit| Some(limit.wanted)),
            list(&|limit| limit.granted)
        );
    }
    out.push_str("</table></div>\n</section>\n");
}
