//! The report: one HTML file with its style and its plots inside, nothing loaded from elsewhere.

mod plots;

use super::Args;
use super::replay::Ran;
use super::table::{changes_in_words, notes, room, tally_text};
use super::text::{file as shown, share, time, wait};
use crate::charts::{self, Failed, escape, figure};
use crate::policy::duration_text;
use crate::policy::number_text as count;
use crate::simulate::compare::Comparison;
use crate::simulate::summary::Summary;
use crate::simulate::uses::LimitName;
use std::fmt::Write;
use std::path::Path;

/// Limits with a plot of their own; the table has all of them.
const MAX_USE_PLOTS: usize = 24;
/// Accounts with changes that are listed.
const MAX_PAIRS_SHOWN: usize = 100;

/// The whole page.
pub(super) fn page(args: &Args, ran: &Ran) -> Result<String, Failed> {
    let title = format!("{} on {}", ran.policy, shown(&args.trace));
    let mut page = charts::begin(&title);
    header(&mut page, args, ran)?;
    cards(&mut page, &ran.summary)?;
    figures(&mut page, ran)?;
    tables(&mut page, &ran.summary)?;
    if let (Some(comparison), Some(file)) = (&ran.comparison, &args.compare) {
        compared(&mut page, comparison, (&args.policy, file))?;
    }
    page.push_str(charts::END);
    Ok(page)
}

fn header(page: &mut String, args: &Args, ran: &Ran) -> Result<(), Failed> {
    writeln!(page, "<header>\n<p class=\"kind\">quotagate simulate</p>\n<h1>{}</h1>", escape(&ran.policy))?;
    write!(
        page,
        "<p>Trace <b>{}</b> under policy <b>{}</b>",
        escape(&shown(&args.trace)),
        escape(&shown(&args.policy))
    )?;
    if let Some(caller) = &ran.caller {
        write!(page, ", account <b>{}</b>", caller.account)?;
        if let Some(tier) = &caller.tier {
            write!(page, " of tier <b>{tier}</b>")?;
        }
        write!(page, " on <b>{}</b>", caller.resource)?;
    }
    if let Some((first, last)) = ran.summary.span_ms {
        write!(page, ".<br>{} events from {} to {}", count(ran.summary.events), time(first), time(last))?;
    }
    writeln!(page, ".</p>\n</header>")?;
    Ok(())
}

fn cards(page: &mut String, summary: &Summary) -> Result<(), Failed> {
    let requests = summary.requests();
    let longest = summary.longest_wait.map_or_else(
        || ("none".to_owned(), String::new()),
        |longest| (wait(longest.retry_after_ms), format!("line {}", longest.place.line)),
    );
    let cards = [
        ("requests", count(requests), String::new(), ""),
        ("allowed", count(summary.allowed), share(summary.allowed, requests), "allowed"),
        ("denied", count(summary.denied), share(summary.denied, requests), "denied"),
        ("longest wait", longest.0, longest.1, ""),
    ];
    writeln!(page, "<section class=\"cards\">")?;
    for (name, value, more, class) in cards {
        writeln!(page, "<div class=\"card {class}\"><span>{name}</span><b>{value}</b><small>{more}</small></div>")?;
    }
    writeln!(page, "</section>")?;
    Ok(())
}

fn figures(page: &mut String, ran: &Ran) -> Result<(), Failed> {
    // Without requests there is no time to draw them over.
    let Some(series) = ran.series.as_ref().filter(|series| !series.bins.is_empty()) else { return Ok(()) };
    let bin = plots::bin_name(series);
    let legend = "<i class=\"allowed\"></i>allowed <i class=\"denied\"></i>denied";
    page.push_str(&figure("decisions", &format!("Decisions {bin}"), legend, &plots::decisions(series)?));
    let nearest = if ran.caller.is_some() { "" } else { " Of the account nearest its quota." };
    for (number, name) in series.limits().iter().enumerate().take(MAX_USE_PLOTS) {
        let legend = format!(
            "<i class=\"use\"></i>highest use {bin} <i class=\"quota\"></i>quota. {}{nearest}",
            escape(&limit_in_words(name))
        );
        let title = format!("Use of <code>{}</code>", escape(&name.to_string()));
        page.push_str(&figure("use", &title, &legend, &plots::uses(series, number, name)?));
    }
    let hidden = series.limits().len().saturating_sub(MAX_USE_PLOTS) + series.limits_left_out();
    if hidden > 0 {
        writeln!(page, "<p>{} more limits are only in the table below.</p>", count(hidden as u64))?;
    }
    let mut legend = "Denied requests by the time after which they would have been admitted.".to_owned();
    if series.denied_without_wait > 0 {
        write!(legend, " {} more were told no time.", count(series.denied_without_wait))?;
    }
    if series.waits.is_empty() {
        writeln!(page, "<section><h2>Retry after</h2>\n<p>No request was told to wait.</p></section>")?;
        return Ok(());
    }
    page.push_str(&figure("waits", "Retry after", &legend, &plots::waits(series)?));
    Ok(())
}

fn limit_in_words(name: &LimitName) -> String {
    match (&name.unit, name.window_ms) {
        (Some(unit), Some(window_ms)) => format!("It counts {unit} in {}.", duration_text(window_ms)),
        _ => "It counts open reservations.".to_owned(),
    }
}

fn tables(page: &mut String, summary: &Summary) -> Result<(), Failed> {
    writeln!(
        page,
        "<section>\n<h2>Limits</h2>\n<div class=\"wide\"><table>\n<thead><tr><th>limit<th class=\"n\">refused\
         <th class=\"n\">peak use<th class=\"n\">of<th class=\"n\">share<th class=\"n\">first at line<th>time</tr></thead>"
    )?;
    for limit in summary.limits() {
        let (level, place) = (limit.peak.level, limit.peak.place);
        let percent = level.percent().map(|percent| format!("{} %", count(percent))).unwrap_or_default();
        writeln!(
            page,
            "<tr><td><code>{}</code><td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{percent}\
             <td class=\"n\">{}<td>{}</tr>",
            escape(&limit.name.to_string()),
            count(limit.refused),
            count(level.used),
            room(&level),
            place.line,
            time(place.at_ms)
        )?;
    }
    writeln!(page, "</table></div>\n</section>\n<section>\n<h2>Reasons</h2>\n<div class=\"wide\"><table>")?;
    writeln!(page, "<thead><tr><th>what<th class=\"n\">requests<th class=\"n\">share</tr></thead>")?;
    let allowed = ("allowed", summary.allowed);
    let denied = summary.denied_by_reason.iter().map(|(reason, number)| (reason.as_str(), *number));
    let rarely = [("dry runs (apart)", summary.dry_runs), ("replayed, of the allowed", summary.replayed)];
    let rarely = rarely.into_iter().filter(|(_, number)| *number > 0);
    for (what, number) in std::iter::once(allowed).chain(denied).chain(rarely) {
        let share = share(number, summary.requests());
        writeln!(page, "<tr><td>{what}<td class=\"n\">{}<td class=\"n\">{share}</tr>", count(number))?;
    }
    // Not only requests end in errors, so these are no share of them.
    for (error, number) in &summary.errors {
        writeln!(page, "<tr><td>error {error}<td class=\"n\">{}<td></tr>", count(*number))?;
    }
    writeln!(page, "</table></div>\n</section>")?;
    Ok(())
}

fn compared(page: &mut String, comparison: &Comparison, files: (&Path, &Path)) -> Result<(), Failed> {
    let (before, after) = (shown(files.0), shown(files.1));
    writeln!(page, "<section>\n<h2>From {} to {}</h2>\n<ul>", escape(&before), escape(&after))?;
    for (what, tally) in changes_in_words(&comparison.totals) {
        writeln!(page, "<li>{what}: {}</li>", tally_text(tally))?;
    }
    for note in notes(comparison, &after) {
        writeln!(page, "<li>{}</li>", escape(&note))?;
    }
    writeln!(page, "</ul>")?;
    let pairs = comparison.pairs();
    if !pairs.is_empty() {
        writeln!(
            page,
            "<div class=\"wide\"><table>\n<thead><tr><th>account<th>resource<th class=\"n\">newly denied\
             <th class=\"n\">newly allowed<th class=\"n\">decided by one only</tr></thead>"
        )?;
        for pair in pairs.iter().take(MAX_PAIRS_SHOWN) {
            write!(page, "<tr><td>{}<td>{}", escape(&pair.account), escape(&pair.resource))?;
            for (_, tally) in changes_in_words(&pair.changes) {
                write!(page, "<td class=\"n\">{}", tally_text(tally))?;
            }
            writeln!(page, "</tr>")?;
        }
        writeln!(page, "</table></div>")?;
    }
    let hidden = pairs.len().saturating_sub(MAX_PAIRS_SHOWN);
    if hidden > 0 {
        writeln!(page, "<p>{} more accounts have changes.</p>", count(hidden as u64))?;
    }
    writeln!(page, "</section>")?;
    Ok(())
}
