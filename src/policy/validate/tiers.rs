//! Tiers, and how payments reach them.

use super::super::document::{Node, Value};
use super::super::finding::{Code, Report};
use super::super::read::{Fields, integer, items, mismatch};
use super::names::Names;
use super::{Texts, duration, texts};
use crate::domain::ids::Currency;
use crate::domain::policy::{MAX_TIERS, ReachedBy, Tier};
use crate::domain::quantity::MAX_AMOUNT;
use std::collections::BTreeMap;

/// The longest grace and the greatest account age that a policy may ask for: ten years and some days.
pub(super) const MAX_SPAN_MS: i64 = 3_660 * 86_400_000;
const DEFAULT_GRACE_MS: i64 = 30 * 86_400_000;

/// The tiers, lowest first, and their ids as written.
pub(super) fn tiers<'d>(policy: &Fields<'d>, report: &mut Report) -> (Option<Vec<Tier>>, Names<'d>) {
    let mut names = Names::default();
    let list = policy
        .require("tiers", report)
        .and_then(|node| items(node, "a list of tiers, lowest first", MAX_TIERS, report).map(|list| (node, list)));
    let Some((node, list)) = list else {
        names.incomplete();
        return (None, names);
    };
    if list.len() == 0 {
        report.at(node, Code::Empty, "there must be at least one tier");
        names.incomplete();
    }
    let mut tiers = Vec::with_capacity(list.len());
    let mut complete = true;
    for node in list {
        match tier(node, &mut names, report) {
            Some(tier) => tiers.push(tier),
            None => complete = false,
        }
    }
    (complete.then_some(tiers), names)
}

fn tier<'d>(node: Node<'d>, names: &mut Names<'d>, report: &mut Report) -> Option<Tier> {
    let Some(fields) = Fields::open(node, &["id", "title", "note", "reached_by", "grace"], report) else {
        names.incomplete();
        return None;
    };
    let id = names.take_id(&fields, "tier", report);
    let Texts { title, note } = texts(&fields, report);
    let reached_by = match fields.get("reached_by") {
        None => Some(None),
        Some(node) => reached_by(node, report).map(Some),
    };
    let grace_ms = fields
        .get("grace")
        .map_or(Some(DEFAULT_GRACE_MS), |node| duration(node, 0..=MAX_SPAN_MS, "0d to 3660d", report));
    Some(Tier { id: id?, title: title?, note: note?, reached_by: reached_by?, grace_ms: grace_ms? })
}

fn reached_by(node: Node<'_>, report: &mut Report) -> Option<ReachedBy> {
    let fields = Fields::open(node, &["net_paid_at_least", "account_age_at_least"], report)?;
    if node.children().len() == 0 {
        let hint = "name a condition, or leave the field out where only an operator sets this tier";
        report.at(node, Code::Empty, format!("`reached_by` names no condition: {hint}"));
        return None;
    }
    let net_paid = fields.get("net_paid_at_least").map(|node| net_paid(node, report));
    let age = fields.get("account_age_at_least").map(|node| duration(node, 0..=MAX_SPAN_MS, "0d to 3660d", report));
    // The outer option says whether the field is there, the inner one whether it is right.
    Some(ReachedBy {
        net_paid_at_least: net_paid.map_or(Some(None), |right| right.map(Some))?,
        account_age_at_least_ms: age.map_or(Some(None), |right| right.map(Some))?,
    })
}

fn net_paid(node: Node<'_>, report: &mut Report) -> Option<BTreeMap<Currency, u64>> {
    if !matches!(node.value(), Value::Map(_)) {
        mismatch(node, "a map of currency to minor units such as {CNY: 100}", report);
        return None;
    }
    if node.children().len() == 0 {
        report.at(node, Code::Empty, "`net_paid_at_least` names no currency");
        return None;
    }
    let mut thresholds = BTreeMap::new();
    let mut complete = true;
    for child in node.children() {
        let currency =
            Currency::parse(child.key()).map_err(|error| report.at_key(child, Code::Invalid, error.to_string()));
        let amount = integer(child, 0..=MAX_AMOUNT, "minor units, an integer from 0 to 10^15", report);
        match (currency, amount) {
            (Ok(currency), Some(amount)) => _ = thresholds.insert(currency, amount),
            _ => complete = false,
        }
    }
    complete.then_some(thresholds)
}
