//! The limits of a group.

use super::super::document::{Node, Shown, Value};
use super::super::finding::{Code, Report};
use super::super::nearest::nearest;
use super::super::read::{Fields, integer, items, mismatch, word};
use super::groups::Scope;
use super::names::{Names, at};
use super::{Texts, duration, texts};
use crate::domain::policy::{Adjustable, Algorithm, Limit, MAX_LIMITS_IN_GROUP, Rule};
use crate::domain::quantity::{MAX_AMOUNT, MAX_CONCURRENCY, MAX_WINDOW_MS, MIN_WINDOW_MS, Quota};

const FIELDS: [&str; 10] =
    ["id", "title", "note", "kind", "unit", "window", "algorithm", "quotas", "burst", "adjustable"];
/// What only a rate limit has.
const RATE_FIELDS: [&str; 4] = ["unit", "window", "algorithm", "burst"];

/// What is unique within a group.
#[derive(Default)]
struct Taken<'d> {
    ids: Names<'d>,
    concurrency: Option<Node<'d>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rate,
    Concurrency,
}

pub(super) fn limits(node: Node<'_>, scope: &Scope<'_, '_>, report: &mut Report) -> Option<Vec<Limit>> {
    let list = items(node, "a list of limits", MAX_LIMITS_IN_GROUP, report)?;
    let mut taken = Taken::default();
    let mut limits = Vec::with_capacity(list.len());
    let mut complete = true;
    for node in list {
        match limit(node, &mut taken, scope, report) {
            Some(limit) => limits.push(limit),
            None => complete = false,
        }
    }
    complete.then_some(limits)
}

fn limit<'d>(node: Node<'d>, taken: &mut Taken<'d>, scope: &Scope<'_, '_>, report: &mut Report) -> Option<Limit> {
    let fields = Fields::open(node, &FIELDS, report)?;
    let id = taken.ids.take_id(&fields, "limit", report);
    let Texts { title, note } = texts(&fields, report);
    let kind = fields.get("kind").map_or(Some(Kind::Rate), |node| {
        word(node, &[("rate", Kind::Rate), ("concurrency", Kind::Concurrency)], report)
    });
    let (rule, bursts) = match kind {
        Some(Kind::Rate) => rate(&fields, scope, report),
        Some(Kind::Concurrency) => {
            one_at_most(node, &mut taken.concurrency, report);
            no_rate_fields(&fields, report);
            (Some(Rule::Concurrency), Some(None))
        }
        // Which fields belong here is not known, so none is reported as missing or misplaced.
        None => (None, Some(None)),
    };
    let most = if kind == Some(Kind::Concurrency) { MAX_CONCURRENCY } else { MAX_AMOUNT };
    let quotas = fields
        .require("quotas", report)
        .and_then(|node| per_tier(node, scope.tiers, report, |node, report| quota(node, most, report)));
    let adjustable = fields.get("adjustable").map_or(Some(Adjustable::Freely), |node| adjustable(node, most, report));
    Some(Limit {
        id: id?,
        title: title?,
        note: note?,
        rule: rule?,
        quotas: quotas?,
        bursts: bursts?,
        adjustable: adjustable?,
    })
}

/// The rule of a rate limit, and its bursts: None where they are there but wrong.
fn rate(fields: &Fields<'_>, scope: &Scope<'_, '_>, report: &mut Report) -> (Option<Rule>, Option<Option<Vec<u64>>>) {
    let unit = fields.require("unit", report).and_then(|node| scope.units.of_value(node, "unit", report));
    let window_ms = fields
        .require("window", report)
        .and_then(|node| duration(node, MIN_WINDOW_MS..=MAX_WINDOW_MS, "1s to 31d", report));
    let algorithms =
        [Algorithm::FixedWindow, Algorithm::SlidingWindow, Algorithm::TokenBucket].map(|a| (a.as_str(), a));
    let algorithm =
        fields.get("algorithm").map_or(Some(Algorithm::SlidingWindow), |node| word(node, &algorithms, report));
    let bursts = match fields.get("burst") {
        None => Some(None),
        Some(node) => {
            if algorithm.is_some_and(|algorithm| algorithm != Algorithm::TokenBucket) {
                report.at_key(node, Code::Misplaced, "only a limit with `algorithm: token_bucket` has a burst");
            }
            per_tier(node, scope.tiers, report, burst).map(Some)
        }
    };
    let rule = unit.zip(window_ms).zip(algorithm);
    (rule.map(|((unit, window_ms), algorithm)| Rule::Rate { unit, window_ms, algorithm }), bursts)
}

fn one_at_most<'d>(node: Node<'d>, concurrency: &mut Option<Node<'d>>, report: &mut Report) {
    match concurrency {
        None => *concurrency = Some(node),
        Some(first) => {
            let message = format!("a group has at most one concurrency limit: the first is {}", at(*first));
            report.at(node, Code::TooMany, message);
        }
    }
}

fn no_rate_fields(fields: &Fields<'_>, report: &mut Report) {
    for name in RATE_FIELDS {
        if let Some(node) = fields.get(name) {
            report.at_key(node, Code::Misplaced, format!("a concurrency limit has no `{name}`"));
        }
    }
}

/// One value for each tier, by rank. Errors: a tier without its value, a value for a tier that is not there.
fn per_tier<T>(
    node: Node<'_>,
    tiers: &Names<'_>,
    report: &mut Report,
    read: impl Fn(Node<'_>, &mut Report) -> Option<T>,
) -> Option<Vec<T>> {
    if !matches!(node.value(), Value::Map(_)) {
        mismatch(node, "a map of tier to value, with every tier", report);
        return None;
    }
    let mut values: Vec<Option<T>> = tiers.iter().map(|_| None).collect();
    let mut present = vec![false; values.len()];
    for child in node.children() {
        let rank = tiers.of_key(child, "tier", report);
        let value = read(child, report);
        if let Some(rank) = rank {
            values[rank] = value;
            present[rank] = true;
        }
    }
    for (tier, _) in tiers.iter().zip(present).filter(|(_, present)| !present) {
        report.at_absent(node, tier, Code::MissingTier, format!("the tier `{}` has no value here", Shown(tier)));
    }
    values.into_iter().collect()
}

fn quota(node: Node<'_>, most: u64, report: &mut Report) -> Option<Quota> {
    let shown_most = if most == MAX_AMOUNT { "10^15".to_owned() } else { most.to_string() };
    let expected = format!("an integer from 1 to {shown_most}, `unlimited` or `blocked`");
    if let Value::Text(written) = node.value() {
        if let Ok(quota) = Quota::word(written) {
            return Some(quota);
        }
        if let Some(near) = nearest(written, ["unlimited", "blocked"]) {
            let message = format!("`{}` is not a quota: did you mean `{near}`?", Shown(written));
            report.at(node, Code::Invalid, message);
            return None;
        }
    }
    integer(node, 1..=most, &expected, report).map(Quota::Units)
}

fn burst(node: Node<'_>, report: &mut Report) -> Option<u64> {
    integer(node, 1..=MAX_AMOUNT, "an integer from 1 to 10^15", report)
}

fn adjustable(node: Node<'_>, most: u64, report: &mut Report) -> Option<Adjustable> {
    match node.value() {
        Value::Bool(false) => Some(Adjustable::Fixed),
        Value::Map(_) => {
            let fields = Fields::open(node, &["max"], report)?;
            let max = fields.require("max", report)?;
            integer(max, 1..=most, &format!("an integer from 1 to {most}"), report).map(Adjustable::UpTo)
        }
        _ => {
            mismatch(node, "`false` or a ceiling such as {max: 5000}", report);
            None
        }
    }
}
