//! What answers raise requests: pools of capacity, and rules.

use super::super::document::{Node, Shown, Value};
use super::super::finding::{Code, Report};
use super::super::nearest::nearest;
use super::super::read::{Fields, Prose, integer, items, mismatch, prose, text};
use super::duration;
use super::names::{Names, at};
use super::tiers::MAX_SPAN_MS;
use crate::domain::account::LimitKey;
use crate::domain::ids::PolicyId;
use crate::domain::policy::{Group, MAX_GROUPS, MAX_TIERS};
use crate::domain::quantity::MAX_AMOUNT;
use crate::domain::raise_rule::{Answer, Clause, MAX_PEAK_DAYS, MAX_POOLS, MAX_RAISE_RULES, Pool, RaiseRule};
use std::collections::HashMap;
use std::ops::RangeInclusive;

const WHEN: [&str; 9] = [
    "groups",
    "tiers",
    "account_age_at_least",
    "no_refund_in",
    "at_most_percent",
    "at_most_percent_of_tier",
    "peak_use",
    "peak_use_below",
    "pool_has_room",
];
const HOUR_MS: i64 = 3_600_000;
const SPANS: &str = "1h to 3660d";
/// As far as a ceiling of a reviewer goes.
const MAX_PERCENT: u64 = 1_000_000;

/// What pools and rules may mention; None where that could not be read.
#[derive(Clone, Copy)]
pub(super) struct Known<'n, 'd> {
    pub groups: Option<&'n [Group]>,
    pub tiers: &'n Names<'d>,
}

pub(super) fn pools(policy: &Fields<'_>, known: Known<'_, '_>, report: &mut Report) -> Option<Vec<Pool>> {
    let Some(node) = policy.get("pools") else { return Some(Vec::new()) };
    let list = items(node, "a list of pools", MAX_POOLS, report)?;
    let mut taken = HashMap::new();
    let mut pools = Vec::with_capacity(list.len());
    let mut complete = true;
    for node in list {
        let pool = pool(node, known, report);
        let first = pool.as_ref().and_then(|pool| taken.insert(pool.key.clone(), node));
        if let (Some(first), Some(pool)) = (first, &pool) {
            let LimitKey { group, limit } = &pool.key;
            report.at(node, Code::Duplicate, format!("the pool of `{group}/{limit}` is already {}", at(first)));
        }
        match pool {
            Some(pool) => pools.push(pool),
            None => complete = false,
        }
    }
    complete.then_some(pools)
}

fn pool(node: Node<'_>, known: Known<'_, '_>, report: &mut Report) -> Option<Pool> {
    let fields = Fields::open(node, &["group", "limit", "capacity"], report)?;
    let group = fields.require("group", report).and_then(|node| group(node, known, report));
    let limit = fields.require("limit", report).and_then(|node| limit(node, known, group.as_ref(), report));
    let capacity = fields
        .require("capacity", report)
        .and_then(|node| integer(node, 1..=MAX_AMOUNT, "an integer from 1 to 10^15", report));
    Some(Pool { key: LimitKey { group: group?, limit: limit? }, capacity: capacity? })
}

/// The id of a group. Errors: not text, there is no such group.
fn group(node: Node<'_>, known: Known<'_, '_>, report: &mut Report) -> Option<PolicyId> {
    let written = text(node, "the id of a group", report)?;
    // Which groups there are is not known where some could not be read.
    let groups = known.groups?;
    let found = groups.iter().find(|group| group.id.as_str() == written).map(|group| group.id.clone());
    if found.is_none() {
        absent(node, ("group", written), groups.iter().map(|group| group.id.as_str()), report);
    }
    found
}

/// The id of a limit of the group. Errors: not text, the group has no such limit.
fn limit(node: Node<'_>, known: Known<'_, '_>, group: Option<&PolicyId>, report: &mut Report) -> Option<PolicyId> {
    let written = text(node, "the id of a limit of the group", report)?;
    let group = known.groups?.iter().find(|known| Some(&known.id) == group)?;
    let found = group.limit(written).map(|limit| limit.id.clone());
    if found.is_none() {
        let what = format!("limit of `{}`", group.id);
        absent(node, (&what, written), group.limits.iter().map(|limit| limit.id.as_str()), report);
    }
    found
}

fn absent<'k>(
    node: Node<'_>,
    (what, written): (&str, &str),
    known: impl Iterator<Item = &'k str>,
    report: &mut Report,
) {
    let hint = nearest(written, known).map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
    report.at(node, Code::UnknownReference, format!("there is no {what} `{}`{hint}", Shown(written)));
}

pub(super) fn raise_rules(policy: &Fields<'_>, known: Known<'_, '_>, report: &mut Report) -> Option<Vec<RaiseRule>> {
    let Some(node) = policy.get("raise_rules") else { return Some(Vec::new()) };
    let list = items(node, "a list of raise rules, the first to be tried first", MAX_RAISE_RULES, report)?;
    let has_pools = policy.get("pools").is_some_and(|pools| pools.children().len() > 0);
    let mut names = Names::default();
    let mut rules = Vec::with_capacity(list.len());
    let mut complete = true;
    for node in list {
        match rule(node, &mut names, (known, has_pools), report) {
            Some(rule) => rules.push(rule),
            None => complete = false,
        }
    }
    complete.then_some(rules)
}

fn rule<'d>(
    node: Node<'d>,
    names: &mut Names<'d>,
    known: (Known<'_, '_>, bool),
    report: &mut Report,
) -> Option<RaiseRule> {
    let fields = Fields::open(node, &["id", "note", "when", "approve", "request_info"], report)?;
    let id = names.take_id(&fields, "raise rule", report);
    let note = match fields.get("note") {
        None => Some(None),
        Some(node) => prose(node, Prose::Paragraphs, report).map(Some),
    };
    let when = fields.require("when", report).and_then(|node| when(node, known, report));
    let answer = match (fields.get("approve"), fields.get("request_info")) {
        (Some(node), None) => approve(node, report),
        (None, Some(node)) => prose(node, Prose::Paragraphs, report).map(|text| Answer::RequestInfo { text }),
        (Some(_), Some(second)) => {
            report.at_key(second, Code::Misplaced, "a rule has one answer: `approve` or `request_info`");
            None
        }
        (None, None) => {
            let hint = "`approve: {for: 90d}`, or `request_info` with what the customer is asked";
            report.at_absent(node, "approve", Code::MissingField, format!("the rule has no answer: {hint}"));
            None
        }
    };
    Some(RaiseRule { id: id?, note: note?, when: when?, answer: answer? })
}

fn approve(node: Node<'_>, report: &mut Report) -> Option<Answer> {
    let fields = Fields::open(node, &["for"], report)?;
    let for_ms = fields.require("for", report).and_then(|node| span(node, report))?;
    Some(Answer::Approve { for_ms })
}

fn span(node: Node<'_>, report: &mut Report) -> Option<i64> {
    duration(node, HOUR_MS..=MAX_SPAN_MS, SPANS, report)
}

fn when(node: Node<'_>, (known, has_pools): (Known<'_, '_>, bool), report: &mut Report) -> Option<Vec<Clause>> {
    let fields = Fields::open(node, &WHEN, report)?;
    if node.children().len() == 0 {
        report.at(node, Code::Empty, "`when` names no condition, and a rule that always holds is no rule");
        return None;
    }
    let mut clauses = Vec::new();
    let mut complete = true;
    for name in WHEN {
        let Some(node) = fields.get(name) else { continue };
        match clause(name, node, (known, has_pools), report) {
            Some(clause) => clauses.push(clause),
            None => complete = false,
        }
    }
    complete.then_some(clauses)
}

fn clause(
    name: &str,
    node: Node<'_>,
    (known, has_pools): (Known<'_, '_>, bool),
    report: &mut Report,
) -> Option<Clause> {
    Some(match name {
        "groups" => {
            Clause::Groups(some_of(node, ("groups", MAX_GROUPS), report, |node, report| group(node, known, report))?)
        }
        "tiers" => Clause::Tiers(some_of(node, ("tiers", MAX_TIERS), report, |node, report| {
            known.tiers.of_value(node, "tier", report)?;
            text(node, "the id of a tier", report).and_then(|id| PolicyId::parse(id).ok())
        })?),
        "account_age_at_least" => Clause::AccountAgeAtLeast { ms: span(node, report)? },
        "no_refund_in" => Clause::NoRefundIn { ms: span(node, report)? },
        "at_most_percent" => Clause::AtMostPercent(percent(node, 101..=MAX_PERCENT, report)?),
        "at_most_percent_of_tier" => Clause::AtMostPercentOfTier(percent(node, 100..=MAX_PERCENT, report)?),
        "peak_use" => peak_use(node, report)?,
        "peak_use_below" => Clause::PeakUseBelow { percent: percent(node, 1..=100, report)? },
        _ => return pool_has_room(node, has_pools, report),
    })
}

/// Percent as a plain integer.
fn percent(node: Node<'_>, range: RangeInclusive<u64>, report: &mut Report) -> Option<u64> {
    let expected = format!("percent, an integer from {} to {}", range.start(), range.end());
    integer(node, range, &expected, report)
}

fn peak_use(node: Node<'_>, report: &mut Report) -> Option<Clause> {
    let fields = Fields::open(node, &["percent", "days"], report)?;
    let percent = fields.require("percent", report).and_then(|node| percent(node, 1..=100, report));
    let expected = format!("days of the last {MAX_PEAK_DAYS}, an integer from 1 to {MAX_PEAK_DAYS}");
    let days = fields.require("days", report).and_then(|node| integer(node, 1..=MAX_PEAK_DAYS, &expected, report));
    Some(Clause::PeakUse { percent: percent?, days: days? })
}

fn pool_has_room(node: Node<'_>, has_pools: bool, report: &mut Report) -> Option<Clause> {
    match node.value() {
        Value::Bool(true) if has_pools => Some(Clause::PoolHasRoom),
        Value::Bool(true) => {
            report.at_key(node, Code::Misplaced, "the policy declares no `pools`, so this would never hold");
            None
        }
        _ => {
            mismatch(node, "`true`", report);
            None
        }
    }
}

/// A list with at least one id, each once.
fn some_of(
    node: Node<'_>,
    (what, most): (&str, usize),
    report: &mut Report,
    read: impl Fn(Node<'_>, &mut Report) -> Option<PolicyId>,
) -> Option<Vec<PolicyId>> {
    let list = items(node, &format!("a list of {what}"), most, report)?;
    if list.len() == 0 {
        report.at(node, Code::Empty, format!("the list of {what} is empty, so this would never hold"));
        return None;
    }
    let mut found: Vec<PolicyId> = Vec::with_capacity(list.len());
    let mut complete = true;
    for node in list {
        match read(node, report) {
            Some(id) if found.contains(&id) => {
                report.at(node, Code::Duplicate, format!("`{id}` stands there twice"));
                complete = false;
            }
            Some(id) => found.push(id),
            None => complete = false,
        }
    }
    complete.then_some(found)
}
