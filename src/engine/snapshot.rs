//! The active policy with all that decisions look up, compiled once and swapped whole.

use super::clamps::Clamps;
use super::identities::{Identities, offset_of};
use super::record::terms_of;
use crate::domain::account::{Clamp, LimitKey, Shape};
use crate::domain::ids::PolicyId;
use crate::domain::policy::{Algorithm, Group, Limit, Policy, REQUESTS, Rule, Share, TOKENS};
use crate::domain::quantity::Quota;
use crate::limits::Terms;
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
    pub(crate) generation: u32,
    pub policy: Arc<Policy>,
    pub(crate) clamps: Clamps,
    compiled: Arc<Compiled>,
}

/// What follows from the policies that were activated, and from nothing else.
#[derive(Debug)]
struct Compiled {
    identities: Identities,
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
    /// Whether the rule is a token bucket.
    pub is_bucket: bool,
    pub unit: CostUnit,
    pub window_ms: i64,
    pub offset_ms: i64,
    pub key: LimitKey,
    pub shape: Shape,
    pub quotas: Vec<Quota>,
    pub bursts: Option<Vec<u64>>,
    /// What is in force under each tier, unless an override or a clamp says otherwise.
    pub terms: Vec<Terms>,
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

impl Compiled {
    fn new(policy: &Policy, identities: Identities) -> Self {
        let mut compiled = Self {
            identities,
            groups: Vec::with_capacity(policy.groups.len()),
            resources: HashMap::default(),
            by_limit: HashMap::default(),
            live_resources: HashSet::default(),
        };
        for (index, group) in policy.groups.iter().enumerate() {
            // The validator bounds groups at 4096 and limits at 16.
            let group_index = index as u16;
            let limits: Vec<_> = group.limits.iter().map(|limit| compiled.limit(policy, group, limit)).collect();
            for (position, limit) in limits.iter().enumerate() {
                compiled.by_limit.insert(limit.identity, (group_index, position as u8));
            }
            for resource in &group.resources {
                let identity = compiled.identities.resource(group, resource);
                if group.share == Share::Resource {
                    compiled.live_resources.insert(identity);
                }
                let at = ResourceAt { group: group_index, identity };
                compiled.resources.insert(CompactString::new(resource.as_str()), at);
            }
            compiled.groups.push(CompiledGroup { limits, has_concurrency: group.has_concurrency() });
        }
        compiled
    }

    fn limit(&self, policy: &Policy, group: &Group, limit: &Limit) -> CompiledLimit {
        let (unit, window_ms) = match limit.rule {
            Rule::Concurrency => (CostUnit::None, 0),
            Rule::Rate { unit: REQUESTS, window_ms, .. } => (CostUnit::Requests, window_ms),
            Rule::Rate { unit: TOKENS, window_ms, .. } => (CostUnit::Tokens, window_ms),
            Rule::Rate { unit, window_ms, .. } => (CostUnit::Other(policy.units[unit].id.clone()), window_ms),
        };
        let mut compiled = CompiledLimit {
            identity: self.identities.limit(policy, group, limit),
            rule: limit.rule,
            is_bucket: matches!(limit.rule, Rule::Rate { algorithm: Algorithm::TokenBucket, .. }),
            unit,
            window_ms,
            offset_ms: offset_of(policy, limit),
            key: LimitKey { group: group.id.clone(), limit: limit.id.clone() },
            shape: Shape::of(policy, limit),
            quotas: limit.quotas.clone(),
            bursts: limit.bursts.clone(),
            terms: Vec::new(),
        };
        compiled.terms =
            limit.quotas.iter().enumerate().map(|(tier, &quota)| terms_of(&compiled, quota, tier)).collect();
        compiled
    }
}

impl Snapshot {
    pub(super) fn compile(revision: u64, generation: u32, policy: Arc<Policy>, before: &Identities) -> Self {
        let identities = before.activate(&policy);
        let compiled = Arc::new(Compiled::new(&policy, identities));
        Self { revision, generation, policy, clamps: Clamps::default(), compiled }
    }

    /// The same policy with other clamps: nothing else is built anew.
    pub(super) fn with_clamps(&self, generation: u32, mut clamps: Clamps) -> Self {
        clamps.settle(self.limits());
        Self {
            revision: self.revision,
            generation,
            policy: Arc::clone(&self.policy),
            clamps,
            compiled: Arc::clone(&self.compiled),
        }
    }

    pub(super) fn identities(&self) -> &Identities {
        &self.compiled.identities
    }

    /// Every clamp that the engine has, in no order; those that have ended may be among them.
    pub fn clamps(&self) -> impl Iterator<Item = &Clamp> {
        self.clamps.iter()
    }

    #[inline]
    pub(crate) fn resource(&self, name: &str) -> Option<ResourceAt> {
        self.compiled.resources.get(name).copied()
    }

    #[inline]
    pub(crate) fn group(&self, index: u16) -> &CompiledGroup {
        &self.compiled.groups[usize::from(index)]
    }

    /// The limit that counters of this identity belong to, if the active revision has it.
    pub(crate) fn limit_of(&self, identity: u32) -> Option<&CompiledLimit> {
        self.limit_at(identity).map(|(_, _, limit)| limit)
    }

    /// The same with the indexes of its group and of itself.
    pub(crate) fn limit_at(&self, identity: u32) -> Option<(u16, u8, &CompiledLimit)> {
        let &(group, limit) = self.compiled.by_limit.get(&identity)?;
        Some((group, limit, &self.compiled.groups[usize::from(group)].limits[usize::from(limit)]))
    }

    pub(crate) fn limits(&self) -> impl Iterator<Item = &CompiledLimit> {
        self.compiled.groups.iter().flat_map(|group| &group.limits)
    }

    pub(crate) fn resources(&self) -> impl Iterator<Item = (&str, ResourceAt)> {
        self.compiled.resources.iter().map(|(name, at)| (name.as_str(), *at))
    }

    pub(crate) fn resource_lives(&self, identity: u32) -> bool {
        identity == super::identities::WHOLE_GROUP || self.compiled.live_resources.contains(&identity)
    }

    /// Whether the active revision lists the resource.
    #[must_use]
    pub fn knows_resource(&self, name: &str) -> bool {
        self.compiled.resources.contains_key(name)
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
}
