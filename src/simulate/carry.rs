//! Carries an event of a trace over to a run under another policy.
//!
//! A tier, limit or unit that the other policy lacks means there what SEMANTICS, section 2, says of a revision that
//! lacks it: the tier counts as the default one, what was written for the limit is dormant.

use super::trace::{Event, Op};
use crate::domain::account::Shape;
use crate::domain::ids::PolicyId;
use crate::domain::policy::Policy;

/// How much of an event has a meaning under the other policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Carried {
    Whole,
    /// The event was changed.
    InPart(String),
    /// The event must be left out.
    Not(String),
}

/// Makes an event that was good under `from` good under `to`.
pub(super) fn carry(event: &mut Event<'_>, from: &Policy, to: &Policy) -> Carried {
    match &mut event.op {
        Op::Policy { file } => {
            Carried::Not(format!("policy `{}`: the policy compared with stays", file.escape_debug()))
        }
        Op::Account(op) => {
            let mut lost = lost_tier(&mut op.tier, to);
            if let Some(caps) = &mut op.caps {
                caps.retain(|(path, _)| {
                    let kept = path.split_once('/').is_some_and(|(group, limit)| same(from, to, group, limit));
                    if !kept {
                        lost = Some(format!("limit `{path}`"));
                    }
                    kept
                });
            }
            in_part(lost)
        }
        Op::Pin { tier, .. } => in_part(lost_tier(tier, to)),
        Op::Override(op) if op.quota.is_some() && !same(from, to, op.group.as_str(), op.limit.as_str()) => {
            Carried::Not(format!("limit `{}/{}`", op.group, op.limit))
        }
        Op::Clamp(op) if op.quota.is_some() && !same(from, to, op.group.as_str(), op.limit.as_str()) => {
            Carried::Not(format!("limit `{}/{}`", op.group, op.limit))
        }
        Op::Clamp(op) => match &op.tier {
            Some(tier) if to.tier_index(tier.as_str()).is_none() => Carried::Not(format!("tier `{tier}`")),
            _ => Carried::Whole,
        },
        Op::Decide(op) => in_part(lost_units(&mut op.units, to)),
        Op::Settle { amounts, .. } => in_part(lost_units(&mut amounts.units, to)),
        Op::Override(_) | Op::Payment(_) | Op::Cancel { .. } | Op::Renew { .. } | Op::Status { .. } => Carried::Whole,
    }
}

fn in_part(lost: Option<String>) -> Carried {
    lost.map_or(Carried::Whole, Carried::InPart)
}

/// Whether both policies have the limit, for the same unit and window.
fn same(from: &Policy, to: &Policy, group: &str, limit: &str) -> bool {
    let shape = |policy: &Policy| Some(Shape::of(policy, policy.group(group)?.limit(limit)?));
    shape(to).is_some_and(|found| shape(from) == Some(found))
}

fn lost_tier(tier: &mut Option<PolicyId>, to: &Policy) -> Option<String> {
    let named = tier.as_mut().filter(|named| to.tier_index(named.as_str()).is_none())?;
    let lost = std::mem::replace(named, to.tiers[to.default_tier].id.clone());
    Some(format!("tier `{lost}`"))
}

fn lost_units(units: &mut Vec<(PolicyId, u64)>, to: &Policy) -> Option<String> {
    let mut lost = None;
    units.retain(|(unit, _)| {
        let kept = to.unit_index(unit.as_str()).is_some();
        if !kept {
            lost = Some(format!("unit `{unit}`"));
        }
        kept
    });
    lost
}
