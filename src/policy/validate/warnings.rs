//! What is allowed but looks like a mistake.

use super::super::document::Node;
use super::super::finding::{Code, Report};
use super::super::grammar::duration_text;
use crate::domain::policy::{Limit, Policy, ReachedBy, Rule, Tier};
use crate::domain::quantity::Quota;

/// Fewer tokens than this do not pass one usual request.
const FEW_TOKENS: u64 = 1_000;
const MINUTE_MS: i64 = 60_000;

pub(super) fn warn(policy: &Policy, root: Node<'_>, report: &mut Report) {
    for (rank, tier) in policy.tiers.iter().enumerate() {
        let node = root.field("tiers").and_then(|tiers| tiers.item(rank)).and_then(|tier| tier.field("reached_by"));
        if let Some((node, cause)) = node.zip(never_decides(policy, rank, tier)) {
            report.at_key(node, Code::TierUnreachable, cause);
        }
    }
    let Some(groups) = root.field("groups") else { return };
    for (group, group_node) in policy.groups.iter().zip(groups.children()) {
        let Some(limits) = group_node.field("limits") else { continue };
        for (limit, node) in group.limits.iter().zip(limits.children()) {
            if let Some(quotas) = node.field("quotas") {
                warn_of_quotas(policy, limit, quotas, report);
            }
        }
    }
}

/// Why payments can never decide about a tier that they are meant to reach.
///
/// A tier without `reached_by` is an operator's to set and no mistake.
fn never_decides(policy: &Policy, rank: usize, tier: &Tier) -> Option<String> {
    let rule = tier.reached_by.as_ref()?;
    if rank == policy.default_tier {
        return Some(format!("`{}` is the default tier: every account has it, whatever it paid", tier.id));
    }
    if rank < policy.default_tier {
        let default = &policy.tiers[policy.default_tier].id;
        return Some(format!("no payment reaches `{}`: it ranks below the default tier `{default}`", tier.id));
    }
    let above = policy.tiers.iter().skip(rank + 1);
    let covering = above
        .filter(|higher| higher.grace_ms >= tier.grace_ms)
        .find(|higher| higher.reached_by.as_ref().is_some_and(|other| implies(rule, other)))?;
    Some(format!("nobody stays at `{}`: whoever reaches it also reaches the higher tier `{}`", tier.id, covering.id))
}

/// Whether every account that meets `rule` also meets `other`.
fn implies(rule: &ReachedBy, other: &ReachedBy) -> bool {
    let age = other.account_age_at_least_ms.unwrap_or(0) <= rule.account_age_at_least_ms.unwrap_or(0);
    let paid = match (&rule.net_paid_at_least, &other.net_paid_at_least) {
        (_, None) => true,
        // Net paid is never negative, so a threshold of 0 asks for nothing.
        (_, Some(theirs)) if theirs.values().any(|amount| *amount == 0) => true,
        (None, Some(_)) => false,
        (Some(ours), Some(theirs)) => ours.iter().all(|(c, amount)| theirs.get(c).is_some_and(|least| least <= amount)),
    };
    age && paid
}

fn warn_of_quotas(policy: &Policy, limit: &Limit, node: Node<'_>, report: &mut Report) {
    if let [first, _, ..] = limit.quotas.as_slice()
        && limit.quotas.iter().all(|quota| quota == first)
    {
        report.at_key(node, Code::QuotasEqual, format!("every tier has the same quota `{first}`"));
    }
    for (rank, pair) in limit.quotas.windows(2).enumerate() {
        let (lower, higher) = (&policy.tiers[rank].id, &policy.tiers[rank + 1].id);
        if let [below, above] = pair
            && above < below
            && let Some(node) = node.field(higher.as_str())
        {
            let message = format!("`{higher}` has `{above}`, less than the `{below}` of the lower tier `{lower}`");
            report.at_key(node, Code::QuotaFalls, message);
        }
    }
    let Some(window_ms) = tokens_window_ms(policy, limit) else { return };
    for (quota, tier) in limit.quotas.iter().zip(&policy.tiers) {
        if let Quota::Units(n) = quota
            && is_few(*n, window_ms)
            && let Some(node) = node.field(tier.id.as_str())
        {
            let message = format!("{n} tokens in {} would not pass one usual request", duration_text(window_ms));
            report.at_key(node, Code::QuotaOutOfScale, message);
        }
    }
}

/// The window of a limit on tokens; `input_tokens` and its like count as tokens.
fn tokens_window_ms(policy: &Policy, limit: &Limit) -> Option<i64> {
    match limit.rule {
        Rule::Rate { unit, window_ms, .. } => policy.units[unit].id.as_str().ends_with("tokens").then_some(window_ms),
        Rule::Concurrency => None,
    }
}

/// Under 1,000 tokens a minute; of a longer window, under 1,000 in all, as a small daily quota may be meant.
fn is_few(tokens: u64, window_ms: i64) -> bool {
    let window = u128::from(window_ms.min(MINUTE_MS).unsigned_abs());
    u128::from(tokens) * u128::from(MINUTE_MS.unsigned_abs()) < u128::from(FEW_TOKENS) * window
}
