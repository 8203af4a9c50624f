//! Numbers for the identities of counters (SEMANTICS, section 2).
//!
//! INVARIANT: an identity keeps its number while every activated revision has it, and gets a new one when it comes
//! back after a revision without it. So a counter under an old number is never found again: its usage is gone for
//! good, whether or not it was touched meanwhile.

use crate::domain::ids::{PolicyId, ResourceName};
use crate::domain::policy::{Algorithm, Group, Limit, Policy, Rule, Share};
use crate::fault::Fault;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const HOUR_MS: i64 = 3_600_000;

/// The resource part of a counter's key where a group shares one bucket.
pub(crate) const WHOLE_GROUP: u32 = 0;

/// What tells one limit's counters from another's, resource and account apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct LimitIdentity {
    group: PolicyId,
    by_resource: bool,
    limit: PolicyId,
    rate: Option<RateIdentity>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct RateIdentity {
    unit: PolicyId,
    window_ms: i64,
    algorithm: u8,
    offset_ms: i64,
}

/// The numbers in force. A pure function of the sequence of activated policies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identities {
    last: u32,
    limits: BTreeMap<LimitIdentity, u32>,
    resources: BTreeMap<(PolicyId, ResourceName), u32>,
}

/// The stored form of [`Identities`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentitiesRecord {
    last: u32,
    limits: Vec<(LimitIdentity, u32)>,
    resources: Vec<(PolicyId, ResourceName, u32)>,
}

impl Identities {
    /// The numbers once `policy` is the active revision.
    #[must_use]
    pub fn activate(&self, policy: &Policy) -> Self {
        let mut next = Self { last: self.last, ..Self::default() };
        if Fault::IdentityComesBack.chosen() {
            next = self.clone();
        }
        for group in &policy.groups {
            for limit in &group.limits {
                let identity = identity(policy, group, limit);
                let number = self.limits.get(&identity).copied().unwrap_or_else(|| next.fresh());
                next.limits.insert(identity, number);
            }
            for resource in group.resources.iter().filter(|_| group.share == Share::Resource) {
                let identity = (group.id.clone(), resource.clone());
                let number = self.resources.get(&identity).copied().unwrap_or_else(|| next.fresh());
                next.resources.insert(identity, number);
            }
        }
        next
    }

    pub(super) fn limit(&self, policy: &Policy, group: &Group, limit: &Limit) -> u32 {
        self.limits.get(&identity(policy, group, limit)).copied().unwrap_or_default()
    }

    pub(super) fn resource(&self, group: &Group, resource: &ResourceName) -> u32 {
        match group.share {
            Share::Group => WHOLE_GROUP,
            Share::Resource => self.resources.get(&(group.id.clone(), resource.clone())).copied().unwrap_or_default(),
        }
    }

    /// Numbers start at 1, so that 0 can stand for a whole group.
    fn fresh(&mut self) -> u32 {
        self.last += 1;
        self.last
    }

    #[must_use]
    pub fn to_record(&self) -> IdentitiesRecord {
        IdentitiesRecord {
            last: self.last,
            limits: self.limits.iter().map(|(identity, &number)| (identity.clone(), number)).collect(),
            resources: self.resources.iter().map(|((g, r), &number)| (g.clone(), r.clone(), number)).collect(),
        }
    }

    #[must_use]
    pub fn from_record(record: IdentitiesRecord) -> Self {
        Self {
            last: record.last,
            limits: record.limits.into_iter().collect(),
            resources: record.resources.into_iter().map(|(g, r, number)| ((g, r), number)).collect(),
        }
    }
}

/// Where windows of a limit align: the policy's offset for fixed windows of whole hours, else 0.
pub(super) fn offset_of(policy: &Policy, limit: &Limit) -> i64 {
    match limit.rule {
        Rule::Rate { algorithm: Algorithm::FixedWindow, window_ms, .. }
            if window_ms % HOUR_MS == 0 || Fault::OffsetEverywhere.chosen() =>
        {
            policy.utc_offset_ms
        }
        _ => 0,
    }
}

fn identity(policy: &Policy, group: &Group, limit: &Limit) -> LimitIdentity {
    let rate = match limit.rule {
        Rule::Concurrency => None,
        Rule::Rate { unit, window_ms, algorithm } => Some(RateIdentity {
            unit: policy.units[unit].id.clone(),
            window_ms,
            algorithm: match algorithm {
                Algorithm::FixedWindow => 0,
                Algorithm::SlidingWindow => 1,
                Algorithm::TokenBucket => 2,
            },
            offset_ms: offset_of(policy, limit),
        }),
    };
    LimitIdentity {
        group: group.id.clone(),
        by_resource: group.share == Share::Resource,
        limit: limit.id.clone(),
        rate,
    }
}
