//! What differs between two policies, and which usage a switch from one to the other would drop.
//!
//! Owns the list of changes and their one-line wording. Deliberately absent: applying anything.

mod line;
mod raises;

use crate::domain::ids::{PolicyId, ResourceName};
use crate::domain::policy::{
    Adjustable, Algorithm, Group, Limit, Policy, ReachedBy, Rule, Share, Tier, UnlistedResources,
};
use crate::domain::quantity::Quota;
use crate::domain::raise_rule::{Pool, RaiseRule};
use std::collections::BTreeMap;

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub what: What,
    /// Counters of the old policy have no place in the new one: what they counted is gone once it becomes active.
    pub drops_usage: bool,
}

/// A value before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap<T> {
    pub from: T,
    pub to: T,
}

/// A limit by its group's id and its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitKey {
    pub group: PolicyId,
    pub limit: PolicyId,
}

/// What has changed. Tiers, units, groups and limits are the same where their ids are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Name(Swap<String>),
    UnlistedResources(Swap<UnlistedResources>),
    /// Milliseconds east of UTC.
    UtcOffset(Swap<i64>),
    ReservationTtl(Swap<i64>),
    DefaultTier(Swap<PolicyId>),
    UnitAdded(PolicyId),
    UnitRemoved(PolicyId),
    /// `above` is the tier below the new one.
    TierAdded {
        tier: PolicyId,
        above: Option<PolicyId>,
    },
    TierRemoved(PolicyId),
    /// The tiers that both have stand in another order, lowest first.
    TiersReordered(Swap<Vec<PolicyId>>),
    ReachedBy {
        tier: PolicyId,
        swap: Swap<Option<ReachedBy>>,
    },
    Grace {
        tier: PolicyId,
        swap: Swap<i64>,
    },
    GroupAdded(PolicyId),
    GroupRemoved(PolicyId),
    GroupShare {
        group: PolicyId,
        swap: Swap<Share>,
    },
    ResourceAdded {
        resource: ResourceName,
        group: PolicyId,
    },
    ResourceRemoved {
        resource: ResourceName,
        group: PolicyId,
    },
    ResourceMoved {
        resource: ResourceName,
        swap: Swap<PolicyId>,
    },
    LimitAdded(LimitKey),
    LimitRemoved(LimitKey),
    /// Limits that both have stand in another order, which is the order of `violated`.
    LimitsReordered(PolicyId),
    /// From a rate to a concurrency or back.
    Kind {
        limit: LimitKey,
        swap: Swap<&'static str>,
    },
    Unit {
        limit: LimitKey,
        swap: Swap<PolicyId>,
    },
    Window {
        limit: LimitKey,
        swap: Swap<i64>,
    },
    Algorithm {
        limit: LimitKey,
        swap: Swap<Algorithm>,
    },
    Quota {
        limit: LimitKey,
        tier: PolicyId,
        swap: Swap<Quota>,
    },
    /// None: the burst is the quota.
    Burst {
        limit: LimitKey,
        tier: PolicyId,
        swap: Swap<Option<u64>>,
    },
    Adjustable {
        limit: LimitKey,
        swap: Swap<Adjustable>,
    },
    PoolAdded(Pool),
    PoolRemoved(LimitKey),
    /// How much there is for all overrides of a limit together.
    PoolCapacity {
        limit: LimitKey,
        swap: Swap<u64>,
    },
    RaiseRuleAdded(RaiseRule),
    RaiseRuleRemoved(PolicyId),
    RaiseRule(Swap<RaiseRule>),
    /// Rules that both have are tried in another order.
    RaiseRulesReordered(Swap<Vec<PolicyId>>),
    /// Titles, notes or the source differ; what is limited does not.
    Wording {
        of: String,
    },
}

/// All differences, in the order of the document.
#[must_use]
pub fn diff(from: &Policy, to: &Policy) -> Vec<Change> {
    let mut list = Changes { from, to, changes: Vec::new() };
    list.policy();
    list.units();
    list.tiers();
    list.groups();
    list.resources();
    list.pools();
    list.raise_rules();
    list.changes
}

struct Changes<'p> {
    from: &'p Policy,
    to: &'p Policy,
    changes: Vec<Change>,
}

impl Changes<'_> {
    fn keep(&mut self, what: What) {
        self.changes.push(Change { what, drops_usage: false });
    }

    fn drop_if(&mut self, drops_usage: bool, what: What) {
        self.changes.push(Change { what, drops_usage });
    }

    fn policy(&mut self) {
        let (from, to) = (self.from, self.to);
        if let Some(swap) = swap(&from.name, &to.name) {
            self.keep(What::Name(swap));
        }
        if (&from.title, &from.note, &from.source) != (&to.title, &to.note, &to.source) {
            self.keep(What::Wording { of: "the policy".to_owned() });
        }
        if let Some(swap) = swap(&from.unlisted_resources, &to.unlisted_resources) {
            self.keep(What::UnlistedResources(swap));
        }
        if let Some(swap) = swap(&from.utc_offset_ms, &to.utc_offset_ms) {
            let aligned = from.groups.iter().flat_map(|group| &group.limits).any(|limit| follows_the_day(&limit.rule));
            self.drop_if(aligned, What::UtcOffset(swap));
        }
        if let Some(swap) = swap(&from.reservation_ttl_ms, &to.reservation_ttl_ms) {
            self.keep(What::ReservationTtl(swap));
        }
    }

    fn units(&mut self) {
        let (from, to) = (self.from, self.to);
        for unit in from.units.iter().filter(|unit| to.unit_index(unit.id.as_str()).is_none()) {
            self.keep(What::UnitRemoved(unit.id.clone()));
        }
        for unit in &to.units {
            match from.unit_index(unit.id.as_str()).map(|index| &from.units[index]) {
                None => self.keep(What::UnitAdded(unit.id.clone())),
                Some(old) if (&old.title, &old.note) != (&unit.title, &unit.note) => {
                    self.keep(What::Wording { of: format!("unit `{}`", unit.id) });
                }
                Some(_) => {}
            }
        }
    }

    fn tiers(&mut self) {
        let (from, to) = (self.from, self.to);
        for tier in from.tiers.iter().filter(|tier| to.tier_index(tier.id.as_str()).is_none()) {
            self.keep(What::TierRemoved(tier.id.clone()));
        }
        for (rank, tier) in to.tiers.iter().enumerate() {
            match from.tier_index(tier.id.as_str()) {
                Some(index) => self.tier(&from.tiers[index], tier),
                None => {
                    let above = rank.checked_sub(1).map(|below| to.tiers[below].id.clone());
                    self.keep(What::TierAdded { tier: tier.id.clone(), above });
                }
            }
        }
        if let Some(swap) = reordered(from.tiers.iter().map(|t| &t.id), to.tiers.iter().map(|t| &t.id)) {
            self.keep(What::TiersReordered(swap));
        }
        if let Some(swap) = swap(&from.tiers[from.default_tier].id, &to.tiers[to.default_tier].id) {
            self.keep(What::DefaultTier(swap));
        }
    }

    fn tier(&mut self, old: &Tier, new: &Tier) {
        let tier = || new.id.clone();
        if let Some(swap) = swap(&old.reached_by, &new.reached_by) {
            self.keep(What::ReachedBy { tier: tier(), swap });
        }
        if let Some(swap) = swap(&old.grace_ms, &new.grace_ms) {
            self.keep(What::Grace { tier: tier(), swap });
        }
        if (&old.title, &old.note) != (&new.title, &new.note) {
            self.keep(What::Wording { of: format!("tier `{}`", new.id) });
        }
    }

    fn groups(&mut self) {
        let (from, to) = (self.from, self.to);
        for group in from.groups.iter().filter(|group| to.group(group.id.as_str()).is_none()) {
            self.drop_if(!group.limits.is_empty(), What::GroupRemoved(group.id.clone()));
        }
        for group in &to.groups {
            match from.group(group.id.as_str()) {
                None => self.keep(What::GroupAdded(group.id.clone())),
                Some(old) => self.group(old, group),
            }
        }
    }

    fn group(&mut self, old: &Group, new: &Group) {
        if let Some(swap) = swap(&old.share, &new.share) {
            self.drop_if(!old.limits.is_empty(), What::GroupShare { group: new.id.clone(), swap });
        }
        if (&old.title, &old.note) != (&new.title, &new.note) {
            self.keep(What::Wording { of: format!("group `{}`", new.id) });
        }
        let key = |limit: &Limit| LimitKey { group: new.id.clone(), limit: limit.id.clone() };
        for limit in old.limits.iter().filter(|limit| new.limit(limit.id.as_str()).is_none()) {
            self.drop_if(true, What::LimitRemoved(key(limit)));
        }
        for limit in &new.limits {
            match old.limit(limit.id.as_str()) {
                None => self.keep(What::LimitAdded(key(limit))),
                Some(before) => self.limit(&key(limit), before, limit),
            }
        }
        if reordered(old.limits.iter().map(|l| &l.id), new.limits.iter().map(|l| &l.id)).is_some() {
            self.keep(What::LimitsReordered(new.id.clone()));
        }
    }

    fn limit(&mut self, key: &LimitKey, old: &Limit, new: &Limit) {
        self.rule(key, &old.rule, &new.rule);
        for (rank, tier) in self.to.tiers.iter().enumerate() {
            let Some(old_rank) = self.from.tier_index(tier.id.as_str()) else { continue };
            let (limit, tier) = (key.clone(), tier.id.clone());
            if let Some(swap) = swap(&old.quotas[old_rank], &new.quotas[rank]) {
                self.keep(What::Quota { limit: limit.clone(), tier: tier.clone(), swap });
            }
            let burst = |limit: &Limit, rank: usize| limit.bursts.as_ref().map(|bursts| bursts[rank]);
            if let Some(swap) = swap(&burst(old, old_rank), &burst(new, rank)) {
                self.keep(What::Burst { limit, tier, swap });
            }
        }
        if let Some(swap) = swap(&old.adjustable, &new.adjustable) {
            self.keep(What::Adjustable { limit: key.clone(), swap });
        }
        if (&old.title, &old.note) != (&new.title, &new.note) {
            self.keep(What::Wording { of: format!("limit `{key}`") });
        }
    }

    /// Kind, unit, window and algorithm are all part of a counter's identity.
    fn rule(&mut self, key: &LimitKey, old: &Rule, new: &Rule) {
        let limit = || key.clone();
        match (*old, *new) {
            (Rule::Concurrency, Rule::Concurrency) => {}
            (
                Rule::Rate { unit, window_ms, algorithm },
                Rule::Rate { unit: unit2, window_ms: window2, algorithm: algorithm2 },
            ) => {
                if let Some(swap) = swap(&self.from.units[unit].id, &self.to.units[unit2].id) {
                    self.drop_if(true, What::Unit { limit: limit(), swap });
                }
                if let Some(swap) = swap(&window_ms, &window2) {
                    self.drop_if(true, What::Window { limit: limit(), swap });
                }
                if let Some(swap) = swap(&algorithm, &algorithm2) {
                    self.drop_if(true, What::Algorithm { limit: limit(), swap });
                }
            }
            (Rule::Rate { .. }, Rule::Concurrency) => {
                self.drop_if(true, What::Kind { limit: limit(), swap: Swap { from: "rate", to: "concurrency" } });
            }
            (Rule::Concurrency, Rule::Rate { .. }) => {
                self.drop_if(true, What::Kind { limit: limit(), swap: Swap { from: "concurrency", to: "rate" } });
            }
        }
    }

    fn resources(&mut self) {
        let (from, to) = (homes(self.from), homes(self.to));
        for (resource, old) in &from {
            let resource = || (*resource).clone();
            // Only where each resource has its own bucket does usage belong to the resource.
            let own_usage = old.share == Share::Resource && !old.limits.is_empty();
            match to.get(&resource()) {
                None => {
                    self.drop_if(own_usage, What::ResourceRemoved { resource: resource(), group: old.id.clone() });
                }
                Some(new) => {
                    if let Some(swap) = swap(&old.id, &new.id) {
                        self.drop_if(own_usage, What::ResourceMoved { resource: resource(), swap });
                    }
                }
            }
        }
        for (resource, group) in to.iter().filter(|(resource, _)| !from.contains_key(*resource)) {
            self.keep(What::ResourceAdded { resource: (*resource).clone(), group: group.id.clone() });
        }
    }
}

/// The group of each resource.
fn homes(policy: &Policy) -> BTreeMap<&ResourceName, &Group> {
    policy.groups.iter().flat_map(|group| group.resources.iter().map(move |resource| (resource, group))).collect()
}

/// Whether the windows of a limit begin where the policy's `utc_offset` says.
fn follows_the_day(rule: &Rule) -> bool {
    const HOUR_MS: i64 = 3_600_000;
    matches!(rule, Rule::Rate { window_ms, algorithm: Algorithm::FixedWindow, .. } if window_ms % HOUR_MS == 0)
}

fn swap<T: Clone + PartialEq>(from: &T, to: &T) -> Option<Swap<T>> {
    (from != to).then(|| Swap { from: from.clone(), to: to.clone() })
}

/// The ids that both have, where their order differs.
fn reordered<'p>(
    from: impl Iterator<Item = &'p PolicyId>,
    to: impl Iterator<Item = &'p PolicyId>,
) -> Option<Swap<Vec<PolicyId>>> {
    let (from, to): (Vec<_>, Vec<_>) = (from.collect(), to.collect());
    let common = |these: &[&PolicyId], those: &[&PolicyId]| -> Vec<PolicyId> {
        these.iter().filter(|id| those.contains(id)).map(|id| (*id).clone()).collect()
    };
    swap(&common(&from, &to), &common(&to, &from))
}

#[cfg(test)]
mod tests;
