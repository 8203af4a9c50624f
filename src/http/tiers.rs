//! The tiers of the active revision, with every quota; and changing one quota.

use super::approvals::{ApprovalAnswer, asked};
use super::change::{Change, ChangeQuery, IfMatch};
use super::policies::PublishedAnswer;
use super::problem::Problem;
use super::query::Read;
use super::reply;
use crate::domain::account::LimitKey;
use crate::domain::ids::{Currency, PolicyId};
use crate::domain::policy::{Group, Limit, Policy, ReachedBy, Rule, Titles};
use crate::domain::quantity::Quota;
use crate::services::tiers::NewTierQuota;
use crate::services::{Error, approvals, policies};
use actix_web::web::Path;
use actix_web::{HttpResponse, get, put};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The tiers of the active revision.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tiers, example = json!({
    "revision": 1, "default_tier": "free",
    "tiers": [
        {"id": "free", "rank": 0, "title": {"en": "Free"}, "grace_ms": 2_592_000_000_i64, "quotas": [
            {"group": "text.m2", "limit": "rpm", "unit": "requests", "window_ms": 60000,
             "algorithm": "sliding_window", "quota": 20},
            {"group": "music.generation", "limit": "conn", "quota": 3},
        ]},
        {"id": "paid", "rank": 1, "title": {"en": "Topped up"}, "reached_by": {"net_paid_at_least": {"CNY": 1}},
         "grace_ms": 2_592_000_000_i64, "quotas": [
            {"group": "text.m2", "limit": "rpm", "unit": "requests", "window_ms": 60000,
             "algorithm": "sliding_window", "quota": 500},
            {"group": "music.generation", "limit": "conn", "quota": 20},
        ]},
    ],
}))]
pub(crate) struct TiersAnswer {
    #[schema(example = 7)]
    revision: u64,
    /// What accounts have that reached nothing and were given nothing.
    default_tier: PolicyId,
    /// Lowest first.
    tiers: Vec<TierAnswer>,
}

/// A class of accounts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tier)]
pub(crate) struct TierAnswer {
    id: PolicyId,
    /// From 0; of two tiers that an account has a right to, the higher rank wins.
    #[schema(example = 1)]
    rank: usize,
    /// By language.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false, value_type = BTreeMap<String, String>, example = json!({"en": "Paid"}))]
    title: Titles,
    /// How payments and age reach it; absent: only an operator can set it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reached_by: Option<ReachedByAnswer>,
    /// How long it is kept once it is no longer reached.
    #[schema(example = 2_592_000_000_i64)]
    grace_ms: i64,
    quotas: Vec<TierQuotaAnswer>,
}

/// Every condition that is given must hold.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReachedBy)]
pub(crate) struct ReachedByAnswer {
    /// Minor units; any one of the currencies suffices.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<BTreeMap<String, u64>>, example = json!({"CNY": 1}))]
    net_paid_at_least: Option<BTreeMap<Currency, u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    account_age_at_least_ms: Option<i64>,
}

/// One quota of a tier.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TierQuota)]
pub(crate) struct TierQuotaAnswer {
    group: PolicyId,
    limit: PolicyId,
    /// Absent for concurrency.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "requests")]
    unit: Option<PolicyId>,
    /// Absent for concurrency.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 60000)]
    window_ms: Option<i64>,
    /// Absent for concurrency.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "sliding_window")]
    algorithm: Option<&'static str>,
    quota: Quota,
    /// Where the policy names one (token buckets).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    burst: Option<u64>,
}

impl TiersAnswer {
    fn of(policy: &Policy, revision: u64) -> Self {
        let tier = |rank: usize| {
            let tier = &policy.tiers[rank];
            let limits = policy.groups.iter().flat_map(|group| group.limits.iter().map(move |limit| (group, limit)));
            TierAnswer {
                id: tier.id.clone(),
                rank,
                title: tier.title.clone(),
                reached_by: tier.reached_by.as_ref().map(|ReachedBy { net_paid_at_least, account_age_at_least_ms }| {
                    ReachedByAnswer {
                        net_paid_at_least: net_paid_at_least.clone(),
                        account_age_at_least_ms: *account_age_at_least_ms,
                    }
                }),
                grace_ms: tier.grace_ms,
                quotas: limits.map(|(group, limit)| TierQuotaAnswer::of(policy, group, limit, rank)).collect(),
            }
        };
        Self {
            revision,
            default_tier: policy.tiers[policy.default_tier].id.clone(),
            tiers: (0..policy.tiers.len()).map(tier).collect(),
        }
    }
}

impl TierQuotaAnswer {
    fn of(policy: &Policy, group: &Group, limit: &Limit, rank: usize) -> Self {
        let (unit, window_ms, algorithm) = match limit.rule {
            Rule::Concurrency => (None, None, None),
            Rule::Rate { unit, window_ms, algorithm } => {
                (Some(policy.units[unit].id.clone()), Some(window_ms), Some(algorithm.as_str()))
            }
        };
        Self {
            group: group.id.clone(),
            limit: limit.id.clone(),
            unit,
            window_ms,
            algorithm,
            quota: limit.quotas[rank],
            burst: limit.bursts.as_ref().map(|bursts| bursts[rank]),
        }
    }
}

/// A quota to set.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(example = json!({"quota": 30, "reason": "more room for newcomers"}))]
pub(crate) struct TierQuotaRequest {
    quota: Quota,
    /// Kept in the audit log.
    #[serde(default)]
    #[schema(max_length = 500)]
    reason: Option<String>,
}

/// List the tiers
///
/// Of the active revision, with every quota. The `ETag` is that of the active revision.
#[utoipa::path(
    operation_id = "listTiers",
    tag = "tiers",
    responses((status = 200, description = "The tiers", body = TiersAnswer, headers(("ETag" = String)))),
)]
#[get("/v1/tiers")]
pub(crate) async fn list(reading: Read) -> Result<HttpResponse, Problem> {
    let none = || Error::NotFound { what: "revision", id: "active".to_owned() };
    let active = reading.run(move |services, _| policies::active(services)?.ok_or_else(none)).await?;
    reply::record(&TiersAnswer::of(&active.value.policy, active.value.active.revision), active.revision)
}

/// Set one quota of a tier
///
/// Publishes the next revision in one step: the active document with this quota in it, checked as a whole. It holds
/// from the next decision on, with what was used still counted.
#[utoipa::path(
    operation_id = "setTierQuota",
    tag = "tiers",
    params(
        ("tier" = PolicyId, Path, description = "A tier of the active revision", example = "free"),
        ("group" = PolicyId, Path, description = "A group of resources", example = "text.m2"),
        ("limit" = PolicyId, Path, description = "One of the group's limits", example = "rpm"),
        ChangeQuery, IfMatch,
    ),
    request_body = TierQuotaRequest,
    responses(
        (status = 200, description = "Published and active", body = PublishedAnswer, headers(("ETag" = String))),
        (status = 202, description = "Waits for a second operator", body = ApprovalAnswer, headers(("ETag" = String), ("Location" = String))),
        (status = 409, description = "`unchanged`: the quota is that already"),
    ),
)]
#[put("/v1/tiers/{tier}/quotas/{group}/{limit}")]
pub(crate) async fn set_quota(
    path: Path<(PolicyId, PolicyId, PolicyId)>,
    change: Change<TierQuotaRequest>,
) -> Result<HttpResponse, Problem> {
    let (tier, group, limit) = path.into_inner();
    let key = LimitKey { group, limit };
    let work = |services: &_, context: &_, TierQuotaRequest { quota, reason }| {
        approvals::ask(services, context, &NewTierQuota { tier, key, quota, reason: reason.unwrap_or_default() })
    };
    asked(change.run(work).await?, |done| reply::changed(done, PublishedAnswer::from))
}
