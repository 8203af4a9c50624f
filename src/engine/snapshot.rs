//! The active policy with all that decisions look up, compiled once and swapped whole.

use super::identities::{Identities, offset_of};
use crate::domain::account::{Clamp, ClampScope, LimitKey, Shape};
use crate::domain::ids::PolicyId;
use crate::domain::policy::{Policy, REQUESTS, Rule, Share, TOKENS};
use crate::domain::quantity::Quota;
use compact_str::CompactString;
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use std::sync::Arc;

/// Everything a decision needs besides the account's record.
#[derive(Debug)]
pub struct Snapshot {
    /// The revision that is active; 0 before the first.
    pub revision: u64,
    /// Raised by every swap.
    pub(crate) generation: u64,
    pub policy: Arc<Policy>,
    pub(crate) identities: Identities,
    pub clamps: Vec<Clamp>,
    groups: Vec<CompiledGroup>,
    resources: HashMap<CompactString, ResourceAt, RandomState>,
    by_limit: HashMap<u32, (u16, u8), RandomState>,
    live_resources: HashSet<u32, RandomState>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct ResourceAt {
    pub group: u16,
    pub identity: u32,
}

#[derive(Debug)]
pub(crate) struct CompiledGroup {
    pub limits: Vec<CompiledLimit>,
    pub has_concurrency: bool,
}

#[derive(Debug)]
pub(crate) struct CompiledLimit {
    pub identity: u32,
    pub rule: Rule,
    pub unit: CostUnit,
    pub window_ms: i64,
    pub offset_ms: i64,
    pub key: LimitKey,
    pub shape: Shape,
    pub quotas: Vec<Quota>,
    pub bursts: Option<Vec<u64>>,
    /// Indexes in [`Snapshot::clamps`] of those that are not dormant.
    pub clamps: Vec<u32>,
}

/// Which part of a request's cost a limit takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CostUnit {
    Requests,
    Tokens,
    Other(PolicyId),
    /// Concurrency takes one slot.
    None,
}

impl Snapshot {
    pub(super) fn compile(revision: u64, generation: u64, policy: Arc<Policy>, before: &Identities) -> Self {
        let identities = before.activate(&policy);
        Self::with(revision, generation, policy, identities, Vec::new())
    }

    pub(super) fn with(
        revision: u64,
        generation: u64,
        policy: Arc<Policy>,
        identities: Identities,
        clamps: Vec<Clamp>,
    ) -> Self {
        let mut snapshot = Self {
            revision,
            generation,
            identities,
            clamps,
            groups: Vec::with_capacity(policy.groups.len()),
            resources: HashMap::default(),
            by_limit: HashMap::default(),
            live_resources: HashSet::default(),
            policy,
        };
        let policy = Arc::clone(&snapshot.policy);
        for (index, group) in policy.groups.iter().enumerate() {
            // The validator bounds groups at 4096 and limits at 16.
            let group_index = index as u16;
            let limits: Vec<CompiledLimit> = group.limits.iter().map(|limit| snapshot.limit(group, limit)).collect();
            for (position, limit) in limits.iter().enumerate() {
                snapshot.by_limit.insert(limit.identity, (group_index, position as u8));
            }
            for resource in &group.resources {
                let identity = snapshot.identities.resource(group, resource);
                if group.share == Share::Resource {
                    snapshot.live_resources.insert(identity);
                }
                let at = ResourceAt { group: group_index, identity };
                snapshot.resources.insert(CompactString::new(resource.as_str()), at);
            }
            snapshot.groups.push(CompiledGroup { limits, has_concurrency: group.has_concurrency() });
        }
        snapshot
    }

    fn limit(&self, group: &crate::domain::policy::Group, limit: &crate::domain::policy::Limit) -> CompiledLimit {
        let policy = &self.policy;
        let key = LimitKey { group: group.id.clone(), limit: limit.id.clone() };
        let shape = Shape::of(policy, limit);
        let clamps = self.clamps.iter().zip(0u32..).filter(|(clamp, _)| clamp.key == key && clamp.shape == shape);
        let (unit, window_ms) = match limit.rule {
            Rule::Concurrency => (CostUnit::None, 0),
            Rule::Rate { unit: REQUESTS, window_ms, .. } => (CostUnit::Requests, window_ms),
            Rule::Rate { unit: TOKENS, window_ms, .. } => (CostUnit::Tokens, window_ms),
            Rule::Rate { unit, window_ms, .. } => (CostUnit::Other(policy.units[unit].id.clone()), window_ms),
        };
        CompiledLimit {
            identity: self.identities.limit(policy, group, limit),
            rule: limit.rule,
            unit,
            window_ms,
            offset_ms: offset_of(policy, limit),
            clamps: clamps.map(|(_, index)| index).collect(),
            key,
            shape,
            quotas: limit.quotas.clone(),
            bursts: limit.bursts.clone(),
        }
    }

    #[inline]
    pub(crate) fn resource(&self, name: &str) -> Option<ResourceAt> {
        self.resources.get(name).copied()
    }

    #[inline]
    pub(crate) fn group(&self, index: u16) -> &CompiledGroup {
        &self.groups[usize::from(index)]
    }

    /// The limit that counters of this identity belong to, if the active revision has it.
    pub(crate) fn limit_of(&self, identity: u32) -> Option<&CompiledLimit> {
        self.limit_at(identity).map(|(_, _, limit)| limit)
    }

    /// The same with the indexes of its group and of itself.
    pub(crate) fn limit_at(&self, identity: u32) -> Option<(u16, u8, &CompiledLimit)> {
        let &(group, limit) = self.by_limit.get(&identity)?;
        Some((group, limit, &self.groups[usize::from(group)].limits[usize::from(limit)]))
    }

    pub(crate) fn resources(&self) -> impl Iterator<Item = (&str, ResourceAt)> {
        self.resources.iter().map(|(name, at)| (name.as_str(), *at))
    }

    pub(crate) fn resource_lives(&self, identity: u32) -> bool {
        identity == super::identities::WHOLE_GROUP || self.live_resources.contains(&identity)
    }

    /// Whether the active revision lists the resource.
    #[must_use]
    pub fn knows_resource(&self, name: &str) -> bool {
        self.resources.contains_key(name)
    }

    #[must_use]
    pub fn knows_unit(&self, id: &str) -> bool {
        self.policy.unit_index(id).is_some()
    }

    /// The shape of a limit, for an override, clamp or cap written now.
    #[must_use]
    pub fn shape_of(&self, group: &str, limit: &str) -> Option<Shape> {
        let group = self.policy.group(group)?;
        group.limit(limit).map(|limit| Shape::of(&self.policy, limit))
    }

    pub(super) fn with_clamps(&self, generation: u64, clamps: Vec<Clamp>) -> Self {
        Self::with(self.revision, generation, Arc::clone(&self.policy), self.identities.clone(), clamps)
    }
}

impl Clamp {
    /// Whether it lowers anything for this account at this moment.
    pub(crate) fn in_force(&self, main: &str, tier: &str, now: i64) -> bool {
        self.expires_at_ms.is_none_or(|end| now < end)
            && match &self.scope {
                ClampScope::All => true,
                ClampScope::Tier(id) => id.as_str() == tier,
                ClampScope::Account(id) => id.as_str() == main,
            }
    }
}
