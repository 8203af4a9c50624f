//! A document to a policy: every rule of the policy document, all errors at once.
//!
//! Owns what is an error and what a warning. Deliberately absent: how text becomes a document (`yaml`, `json`), and
//! what a policy means when a decision is made.

mod groups;
mod limits;
mod names;
mod raises;
mod tiers;
mod warnings;

use super::document::{Document, Node, Shown, Value};
use super::finding::{Code, Report};
use super::grammar::{duration_ms, is_language_tag, utc_offset_ms};
use super::json;
use super::read::{Fields, Prose, items, mismatch, prose, text, word};
use crate::domain::ids::PolicyId;
use crate::domain::policy::{MAX_UNITS, Policy, Titles, Unit, UnlistedResources};
use crate::domain::quantity::MAX_RESERVATION_TTL_MS;
use names::Names;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::ops::RangeInclusive;

/// What a document's `schema` must say.
pub const SCHEMA: &str = "quotagate.policy/v1";
const DEFAULT_RESERVATION_TTL_MS: i64 = 600_000;

const FIELDS: [&str; 14] = [
    "schema",
    "name",
    "title",
    "note",
    "source",
    "unlisted_resources",
    "utc_offset",
    "units",
    "tiers",
    "default_tier",
    "reservation_ttl",
    "groups",
    "pools",
    "raise_rules",
];

/// Reads a whole policy. None: the report has errors. Else it may have warnings.
pub(crate) fn policy(document: &Document, report: &mut Report) -> Option<Policy> {
    let Some(root) = document.root() else {
        report.push(String::new(), None, Code::Empty, "the document is empty".to_owned());
        return None;
    };
    let policy = checked(root, report)?;
    if report.has_errors() {
        return None;
    }
    warnings::warn(&policy, root, report);
    Some(policy)
}

fn checked(root: Node<'_>, report: &mut Report) -> Option<Policy> {
    let fields = Fields::open(root, &FIELDS, report)?;
    schema(&fields, report);
    let name = fields.require("name", report).and_then(|node| prose(node, Prose::Line, report));
    let Texts { title, note } = texts(&fields, report);
    let source = fields.get("source").map(|node| prose(node, Prose::Paragraphs, report));
    let unlisted_resources = fields.get("unlisted_resources").map_or(Some(UnlistedResources::Deny), |node| {
        word(node, &[("deny", UnlistedResources::Deny), ("allow", UnlistedResources::Allow)], report)
    });
    let utc_offset_ms = fields.get("utc_offset").map_or(Some(0), |node| utc_offset(node, report));
    let (units, unit_names) = units(&fields, report);
    let (tiers, tier_names) = tiers::tiers(&fields, report);
    let default_tier =
        fields.require("default_tier", report).and_then(|node| tier_names.of_value(node, "tier", report));
    let reservation_ttl_ms = fields.get("reservation_ttl").map_or(Some(DEFAULT_RESERVATION_TTL_MS), |node| {
        duration(node, 1..=MAX_RESERVATION_TTL_MS, "1ms to 24h", report)
    });
    let scope = groups::Scope { units: &unit_names, tiers: &tier_names };
    let groups = groups::groups(&fields, &scope, report);
    let known = raises::Known { groups: groups.as_deref(), tiers: &tier_names };
    let pools = raises::pools(&fields, known, report);
    let raise_rules = raises::raise_rules(&fields, known, report);
    if report.has_errors() {
        return None;
    }
    let canonical_json = json::canonical(root);
    let content_hash = Sha256::digest(&canonical_json).into();
    Some(Policy {
        name: name?,
        title: title?,
        note: note?,
        source: source.map_or(Some(None), |text| text.map(Some))?,
        unlisted_resources: unlisted_resources?,
        utc_offset_ms: utc_offset_ms?,
        units: units?,
        tiers: tiers?,
        default_tier: default_tier?,
        reservation_ttl_ms: reservation_ttl_ms?,
        groups: groups?,
        pools: pools?,
        raise_rules: raise_rules?,
        canonical_json,
        content_hash,
    })
}

fn schema(fields: &Fields<'_>, report: &mut Report) {
    let Some(node) = fields.require("schema", report) else { return };
    if let Some(found) = text(node, &format!("`{SCHEMA}`"), report)
        && found != SCHEMA
    {
        report.at(node, Code::Invalid, format!("`{}` is not a schema known here: expected `{SCHEMA}`", Shown(found)));
    }
}

/// The units, `requests` and `tokens` first, and their ids as written.
fn units<'d>(fields: &Fields<'d>, report: &mut Report) -> (Option<Vec<Unit>>, Names<'d>) {
    let mut names = Names::default();
    let mut units = Vec::new();
    for built_in in ["requests", "tokens"] {
        names.built_in(built_in);
        units.extend(PolicyId::parse(built_in).map(|id| Unit { id, title: Titles::new(), note: None }));
    }
    let most = MAX_UNITS - units.len();
    let Some(list) = fields.get("units") else { return (Some(units), names) };
    let Some(list) = items(list, "a list of units", most, report) else {
        names.incomplete();
        return (None, names);
    };
    let mut complete = true;
    for node in list {
        match unit(node, &mut names, report) {
            Some(unit) => units.push(unit),
            None => complete = false,
        }
    }
    (complete.then_some(units), names)
}

fn unit<'d>(node: Node<'d>, names: &mut Names<'d>, report: &mut Report) -> Option<Unit> {
    let Some(fields) = Fields::open(node, &["id", "title", "note"], report) else {
        names.incomplete();
        return None;
    };
    let id = names.take_id(&fields, "unit", report);
    let Texts { title, note } = texts(&fields, report);
    Some(Unit { id: id?, title: title?, note: note? })
}

/// What may stand on policy, unit, tier, group and limit. None: there, but wrong.
struct Texts {
    title: Option<Titles>,
    note: Option<Option<String>>,
}

fn texts(fields: &Fields<'_>, report: &mut Report) -> Texts {
    let title = fields.get("title").map_or(Some(Titles::new()), |node| titles(node, report));
    let note = match fields.get("note") {
        None => Some(None),
        Some(node) => prose(node, Prose::Paragraphs, report).map(Some),
    };
    Texts { title, note }
}

fn titles(node: Node<'_>, report: &mut Report) -> Option<Titles> {
    if !matches!(node.value(), Value::Map(_)) {
        mismatch(node, "a map of language to text such as {en: Text}", report);
        return None;
    }
    let mut titles = Titles::new();
    let mut taken = HashSet::new();
    let mut complete = true;
    for child in node.children() {
        let tag = child.key();
        if !is_language_tag(tag) {
            let message = format!("`{}` is not a language tag (BCP 47) such as `en` or `zh-Hans`", Shown(tag));
            report.at_key(child, Code::Invalid, message);
            complete = false;
        } else if !taken.insert(tag.to_ascii_lowercase()) {
            report.at_key(child, Code::Duplicate, format!("the language `{tag}` is given twice"));
            complete = false;
        }
        match prose(child, Prose::Line, report) {
            Some(text) => _ = titles.insert(tag.to_owned(), text),
            None => complete = false,
        }
    }
    complete.then_some(titles)
}

/// A duration within bounds, which `bounds` says in words.
fn duration(node: Node<'_>, range: RangeInclusive<i64>, bounds: &str, report: &mut Report) -> Option<i64> {
    let expected = "a duration such as `30s`, `1m`, `24h` or `7d`";
    let written = match node.value() {
        Value::Text(written) => written,
        _ => {
            mismatch(node, expected, report);
            return None;
        }
    };
    let Some(ms) = duration_ms(written) else {
        let message = format!("`{}` is not {expected}: an integer and one of ms, s, m, h, d", Shown(written));
        report.at(node, Code::Invalid, message);
        return None;
    };
    if !range.contains(&ms) {
        report.at(node, Code::OutOfRange, format!("`{written}` is out of range: expected {bounds}"));
        return None;
    }
    Some(ms)
}

fn utc_offset(node: Node<'_>, report: &mut Report) -> Option<i64> {
    let written = text(node, "an offset such as \"+08:00\"", report)?;
    let offset = utc_offset_ms(written);
    if offset.is_none() {
        let rule = "write \"+HH:MM\" or \"-HH:MM\", at most 14 hours";
        report.at(node, Code::Invalid, format!("`{}` is not a UTC offset: {rule}", Shown(written)));
    }
    offset
}
