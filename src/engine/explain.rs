//! Why a quota is what it is: every source considered, in order (SEMANTICS, section 2).

use super::answer::Scope;
use super::record::{Record, caps, overrides, terms_of};
use super::snapshot::{CompiledLimit, Snapshot};
use crate::domain::account::Clamp;
use crate::domain::ids::AccountId;
use crate::domain::policy::{Algorithm, Rule};
use crate::domain::quantity::Quota;
use crate::policy::tiers::Standing;

/// The effective quotas of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    pub main: AccountId,
    pub revision: u64,
    /// The tier in force, by id.
    pub tier: String,
    pub standing: Standing,
    /// In policy order; for a sub-account its caps follow the main account's limits of the group.
    pub limits: Vec<LimitExplained>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitExplained {
    pub group: String,
    pub limit: String,
    pub scope: Scope,
    /// None: concurrency.
    pub unit: Option<String>,
    pub window_ms: Option<i64>,
    pub algorithm: Option<Algorithm>,
    pub quota: Quota,
    /// Token buckets with an integer quota.
    pub burst: Option<u128>,
    pub sources: Vec<Source>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub kind: SourceKind,
    pub quota: Quota,
    pub outcome: Outcome,
    /// An id, a reason, or the tier.
    pub origin: String,
    /// Of the policy, where it came from there.
    pub revision: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    Override,
    Tier,
    Clamp,
    Cap,
}

/// What became of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Set,
    /// Another one came first, or lowered it no further.
    Shadowed,
    Lowered,
    /// Not begun, ended (an override; ended clamps are left out), or dormant because its limit has changed.
    Inactive,
}

impl SourceKind {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Override => "override",
            Self::Tier => "tier",
            Self::Clamp => "clamp",
            Self::Cap => "cap",
        }
    }
}

impl Outcome {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Shadowed => "shadowed",
            Self::Lowered => "lowered",
            Self::Inactive => "inactive",
        }
    }
}

pub(super) fn explain(record: &mut Record, asker: Option<&AccountId>, snapshot: &Snapshot, now: i64) -> Explanation {
    let tier = record.tier(snapshot, now);
    let mut limits = Vec::new();
    for index in 0..snapshot.policy.groups.len() {
        // The validator bounds groups at 4096.
        let group = snapshot.group(index as u16);
        for limit in &group.limits {
            let (quota, sources) = sources(record, snapshot, limit, (tier, now));
            limits.push(explained(snapshot, limit, Scope::Account, (quota, tier), sources));
        }
        let Some(sub) = asker.and_then(|sub| record.sub(sub.as_str())) else { continue };
        for limit in &group.limits {
            for cap in sub.caps.iter().filter(|cap| cap.key == limit.key) {
                let outcome = if caps(cap, limit) { Outcome::Set } else { Outcome::Inactive };
                let source = Source {
                    kind: SourceKind::Cap,
                    quota: cap.quota,
                    outcome,
                    origin: "cap".to_owned(),
                    revision: None,
                };
                limits.push(explained(snapshot, limit, Scope::SubAccount, (cap.quota, tier), vec![source]));
            }
        }
    }
    Explanation {
        main: record.id.clone(),
        revision: snapshot.revision,
        tier: snapshot.policy.tiers[tier].id.to_string(),
        standing: record.standing(snapshot, now),
        limits,
    }
}

fn sources(
    record: &Record,
    snapshot: &Snapshot,
    limit: &CompiledLimit,
    (tier, now): (usize, i64),
) -> (Quota, Vec<Source>) {
    let mut sources = Vec::new();
    let mut quota = None;
    for set in record.overrides().iter().filter(|set| set.key == limit.key) {
        let outcome = match quota {
            _ if !overrides(set, limit) || !set.active(now) => Outcome::Inactive,
            None => Outcome::Set,
            Some(_) => Outcome::Shadowed,
        };
        if outcome == Outcome::Set {
            quota = Some(set.quota);
        }
        let origin = set.origin.to_string();
        sources.push(Source { kind: SourceKind::Override, quota: set.quota, outcome, origin, revision: None });
    }
    let tier_id = &snapshot.policy.tiers[tier].id;
    sources.push(Source {
        kind: SourceKind::Tier,
        quota: limit.quotas[tier],
        outcome: if quota.is_none() { Outcome::Set } else { Outcome::Shadowed },
        origin: tier_id.to_string(),
        revision: Some(snapshot.revision),
    });
    let mut quota = quota.unwrap_or(limit.quotas[tier]);
    let meant = |clamp: &Clamp| !clamp.is_over(now) && clamp.is_for(record.id.as_str(), tier_id.as_str());
    // One that has ended is no source any more, whether or not it was dropped since.
    for clamp in snapshot.clamps.of(&limit.key).iter().filter(|clamp| meant(clamp)) {
        let outcome = match clamp.shape == limit.shape {
            false => Outcome::Inactive,
            true if clamp.quota < quota => Outcome::Lowered,
            true => Outcome::Shadowed,
        };
        if outcome == Outcome::Lowered {
            quota = clamp.quota;
        }
        let origin = clamp.origin.to_string();
        sources.push(Source { kind: SourceKind::Clamp, quota: clamp.quota, outcome, origin, revision: None });
    }
    (quota, sources)
}

fn explained(
    snapshot: &Snapshot,
    limit: &CompiledLimit,
    scope: Scope,
    (quota, tier): (Quota, usize),
    sources: Vec<Source>,
) -> LimitExplained {
    let (unit, algorithm) = match limit.rule {
        Rule::Concurrency => (None, None),
        Rule::Rate { unit, algorithm, .. } => (Some(snapshot.policy.units[unit].id.to_string()), Some(algorithm)),
    };
    let bucket = algorithm == Some(Algorithm::TokenBucket);
    let burst = terms_of(limit, quota, tier).burst;
    LimitExplained {
        group: limit.key.group.to_string(),
        limit: limit.key.limit.to_string(),
        scope,
        unit,
        window_ms: algorithm.map(|_| limit.window_ms),
        algorithm,
        quota,
        burst: (bucket && quota.units().is_some()).then_some(burst),
        sources,
    }
}
