//! A change in one line for people.

use super::{Change, LimitKey, Swap, What};
use crate::domain::ids::PolicyId;
use crate::domain::policy::{Adjustable, ReachedBy, Share, UnlistedResources};
use crate::domain::quantity::Quota;
use crate::policy::grammar::{duration_text, number_text, utc_offset_text};
use crate::policy::page::Lang;
use crate::policy::raises::{pool_text, rule_text};
use std::fmt;

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        if self.drops_usage { f.write_str(" (usage so far is dropped)") } else { Ok(()) }
    }
}

impl fmt::Display for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.limit)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(swap) => write!(f, "name: {}", arrow(swap, |name| format!("`{name}`"))),
            Self::UnlistedResources(swap) => write!(f, "unlisted resources: {}", arrow(swap, unlisted)),
            Self::UtcOffset(swap) => write!(f, "utc offset: {}", arrow(swap, |ms| utc_offset_text(*ms))),
            Self::ReservationTtl(swap) => write!(f, "reservation ttl: {}", arrow(swap, |ms| duration_text(*ms))),
            Self::DefaultTier(swap) => write!(f, "default tier: {}", arrow(swap, |id| format!("`{id}`"))),
            Self::UnitAdded(unit) => write!(f, "unit `{unit}` added"),
            Self::UnitRemoved(unit) => write!(f, "unit `{unit}` removed"),
            Self::TierAdded { tier, above: Some(above) } => write!(f, "tier `{tier}` added above `{above}`"),
            Self::TierAdded { tier, above: None } => write!(f, "tier `{tier}` added as the lowest"),
            Self::TierRemoved(tier) => {
                write!(f, "tier `{tier}` removed: its accounts fall to the default tier or what they paid for")
            }
            Self::TiersReordered(swap) => write!(f, "order of tiers: {}", arrow(swap, |ids| ladder(ids))),
            Self::ReachedBy { tier, swap } => write!(f, "tier `{tier}`: reached by {}", arrow(swap, reached_by)),
            Self::Grace { tier, swap } => write!(f, "tier `{tier}`: grace {}", arrow(swap, |ms| duration_text(*ms))),
            Self::GroupAdded(group) => write!(f, "group `{group}` added"),
            Self::GroupRemoved(group) => write!(f, "group `{group}` removed"),
            Self::GroupShare { group, swap } => write!(f, "group `{group}`: share {}", arrow(swap, share)),
            Self::ResourceAdded { resource, group } => write!(f, "resource `{resource}` added to `{group}`"),
            Self::ResourceRemoved { resource, group } => write!(f, "resource `{resource}` removed from `{group}`"),
            Self::ResourceMoved { resource, swap } => {
                write!(f, "resource `{resource}` moved: {}", arrow(swap, |group| format!("`{group}`")))
            }
            Self::LimitAdded(limit) => write!(f, "limit `{limit}` added"),
            Self::LimitRemoved(limit) => write!(f, "limit `{limit}` removed"),
            Self::LimitsReordered(group) => write!(f, "group `{group}`: order of limits"),
            Self::Kind { limit, swap } => write!(f, "limit `{limit}`: kind {}", arrow(swap, |kind| (*kind).to_owned())),
            Self::Unit { limit, swap } => write!(f, "limit `{limit}`: unit {}", arrow(swap, PolicyId::to_string)),
            Self::Window { limit, swap } => {
                write!(f, "limit `{limit}`: window {}", arrow(swap, |ms| duration_text(*ms)))
            }
            Self::Algorithm { limit, swap } => {
                write!(f, "limit `{limit}`: algorithm {}", arrow(swap, |algorithm| algorithm.as_str().to_owned()))
            }
            Self::Quota { limit, tier, swap } => {
                write!(f, "limit `{limit}`: quota of `{tier}` {}", arrow(swap, quota))
            }
            Self::Burst { limit, tier, swap } => write!(f, "limit `{limit}`: burst of `{tier}` {}", arrow(swap, burst)),
            Self::Adjustable { limit, swap } => write!(f, "limit `{limit}`: adjustable {}", arrow(swap, adjustable)),
            Self::PoolAdded(pool) => write!(f, "pool added: {}", pool_text(pool, Lang::En)),
            Self::PoolRemoved(limit) => write!(f, "pool of `{limit}` removed"),
            Self::PoolCapacity { limit, swap } => {
                write!(f, "pool of `{limit}`: capacity {}", arrow(swap, |capacity| number_text(*capacity)))
            }
            Self::RaiseRuleAdded(rule) => write!(f, "raise rule `{}` added: {}", rule.id, rule_text(rule, Lang::En)),
            Self::RaiseRuleRemoved(rule) => write!(f, "raise rule `{rule}` removed"),
            Self::RaiseRule(swap) => {
                write!(
                    f,
                    "raise rule `{}`: {}",
                    swap.to.id,
                    arrow(swap, |rule| format!("[{}]", rule_text(rule, Lang::En)))
                )
            }
            Self::RaiseRulesReordered(swap) => {
                let names = |ids: &Vec<PolicyId>| ids.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ");
                write!(f, "order of raise rules: {}", arrow(swap, names))
            }
            Self::Wording { of } => write!(f, "wording of {of}"),
        }
    }
}

fn arrow<T>(swap: &Swap<T>, text: impl Fn(&T) -> String) -> String {
    format!("{} -> {}", text(&swap.from), text(&swap.to))
}

fn unlisted(value: &UnlistedResources) -> String {
    match value {
        UnlistedResources::Deny => "deny".to_owned(),
        UnlistedResources::Allow => "allow".to_owned(),
    }
}

fn share(value: &Share) -> String {
    match value {
        Share::Group => "group".to_owned(),
        Share::Resource => "resource".to_owned(),
    }
}

fn ladder(ids: &[PolicyId]) -> String {
    ids.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(" < ")
}

fn quota(value: &Quota) -> String {
    value.units().map_or_else(|| value.to_string(), number_text)
}

fn burst(value: &Option<u64>) -> String {
    value.map_or_else(|| "as the quota".to_owned(), number_text)
}

fn adjustable(value: &Adjustable) -> String {
    match value {
        Adjustable::Freely => "without a ceiling".to_owned(),
        Adjustable::UpTo(most) => format!("up to {}", number_text(*most)),
        Adjustable::Fixed => "not at all".to_owned(),
    }
}

fn reached_by(value: &Option<ReachedBy>) -> String {
    let Some(rule) = value else { return "an operator only".to_owned() };
    let mut conditions = Vec::new();
    if let Some(thresholds) = &rule.net_paid_at_least {
        let any: Vec<_> = thresholds.iter().map(|(c, n)| format!("{} {c} minor units", number_text(*n))).collect();
        conditions.push(format!("net paid {}", any.join(" or ")));
    }
    if let Some(age) = rule.account_age_at_least_ms {
        conditions.push(format!("age {}", duration_text(age)));
    }
    conditions.join(" and ")
}
