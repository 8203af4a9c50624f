//! What an account may use and has used, and resetting it.

use super::access;
use super::change::{Change, ChangeQuery, IdempotencyKey};
use super::problem::Problem;
use super::query::Read;
use super::reply;
use super::wire::{ScopeValue, bounded, rfc3339};
use crate::domain::ids::{AccountId, PolicyId};
use crate::domain::quantity::Quota;
use crate::engine::{Explanation, LimitExplained, Source, UsageRow};
use crate::services::usage::{self, Reset, Selector};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse, get, post};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Every quota of an account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccountLimits)]
pub(crate) struct LimitsAnswer {
    /// The main account.
    #[schema(example = "acme")]
    account: AccountId,
    /// The active revision of the policy.
    #[schema(example = 7)]
    revision: u64,
    /// The tier in force.
    #[schema(example = "paid")]
    tier: String,
    /// In the order of the policy; a sub-account's caps follow the limits of their group.
    limits: Vec<LimitAnswer>,
}

/// A quota and all that it comes from.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EffectiveLimit)]
pub(crate) struct LimitAnswer {
    #[schema(example = "text.m2")]
    group: String,
    #[schema(example = "rpm")]
    id: String,
    #[schema(value_type = ScopeValue)]
    scope: &'static str,
    /// Absent for concurrency.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "requests")]
    unit: Option<String>,
    /// Absent for concurrency.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1000, example = 60000)]
    window_ms: Option<i64>,
    /// Absent for concurrency.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "sliding_window")]
    algorithm: Option<&'static str>,
    /// The quota in force.
    quota: Quota,
    /// Token buckets with an integer quota.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0)]
    burst: Option<u64>,
    /// Every source that was considered, in order.
    sources: Vec<SourceAnswer>,
}

/// A source of a quota and what became of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QuotaSource)]
pub(crate) struct SourceAnswer {
    /// `override`, `tier`, `clamp` or `cap`.
    #[schema(value_type = String, example = "tier")]
    kind: &'static str,
    quota: Quota,
    /// `set`, `shadowed`, `lowered` or `inactive`.
    #[schema(value_type = String, example = "set")]
    outcome: &'static str,
    /// The tier, or an id and the reason; for a key bound to an account the id alone.
    #[schema(example = "paid")]
    origin: String,
    /// Of the policy, where it comes from there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 7)]
    revision: Option<u64>,
}

impl From<Explanation> for LimitsAnswer {
    fn from(explained: Explanation) -> Self {
        Self {
            account: explained.main,
            revision: explained.revision,
            tier: explained.tier,
            limits: explained.limits.into_iter().map(LimitAnswer::from).collect(),
        }
    }
}

impl From<LimitExplained> for LimitAnswer {
    fn from(limit: LimitExplained) -> Self {
        Self {
            group: limit.group,
            id: limit.limit,
            scope: limit.scope.as_str(),
            unit: limit.unit,
            window_ms: limit.window_ms,
            algorithm: limit.algorithm.map(crate::domain::policy::Algorithm::as_str),
            quota: limit.quota,
            burst: limit.burst.map(bounded),
            sources: limit.sources.into_iter().map(SourceAnswer::from).collect(),
        }
    }
}

impl From<Source> for SourceAnswer {
    fn from(source: Source) -> Self {
        Self {
            kind: source.kind.as_str(),
            quota: source.quota,
            outcome: source.outcome.as_str(),
            origin: source.origin,
            revision: source.revision,
        }
    }
}

/// What an account has used.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccountUsage)]
pub(crate) struct UsageAnswer {
    /// Counters that were never charged are left out.
    usage: Vec<UsageRowAnswer>,
}

/// How one counter stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageRow)]
pub(crate) struct UsageRowAnswer {
    #[schema(example = "text.m2")]
    group: String,
    /// Where the group gives each resource a bucket of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "MiniMax-M2")]
    resource: Option<String>,
    #[schema(example = "rpm")]
    id: String,
    #[schema(value_type = ScopeValue)]
    scope: &'static str,
    /// Absent for concurrency.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "requests")]
    unit: Option<String>,
    /// Absent for concurrency.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1000, example = 60000)]
    window_ms: Option<i64>,
    quota: Quota,
    #[schema(minimum = 0, example = 31)]
    used: u64,
    /// Absent for an unlimited quota.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, example = 469)]
    remaining: Option<u64>,
    /// Time until nothing is used if nothing else happens; absent for concurrency.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, example = 59000)]
    reset_after_ms: Option<i64>,
}

impl From<UsageRow> for UsageRowAnswer {
    fn from(row: UsageRow) -> Self {
        Self {
            group: row.group,
            resource: row.resource,
            id: row.limit,
            scope: row.state.scope.as_str(),
            unit: row.unit,
            window_ms: row.window_ms,
            quota: row.state.quota,
            used: bounded(row.state.used),
            remaining: row.state.remaining().map(bounded),
            reset_after_ms: row.state.reset_after_ms,
        }
    }
}

/// Which usage to forget: of one limit, of one group, of limits of that name, or all.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(example = json!({"group": "text.m2", "limit": "rpm", "reason": "an outage of ours"}))]
pub(crate) struct ResetRequest {
    /// Absent: every group.
    #[serde(default)]
    group: Option<PolicyId>,
    /// Absent: every limit.
    #[serde(default)]
    limit: Option<PolicyId>,
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// A reset that was done.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageReset)]
pub(crate) struct ResetAnswer {
    account: AccountId,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    group: Option<PolicyId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    limit: Option<PolicyId>,
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:00:00.000Z")]
    at: CompactString,
}

impl From<Reset> for ResetAnswer {
    fn from(done: Reset) -> Self {
        let Selector { group, limit } = done.what;
        Self { account: done.account, group, limit, at: rfc3339(done.at_ms) }
    }
}

/// Read the limits of an account
///
/// Every quota in force, and where it comes from: override, tier, clamps, caps; for a key bound to an account without the
/// reasons of overrides and clamps.
#[utoipa::path(
    operation_id = "getAccountLimits",
    tag = "usage",
    params(("id" = AccountId, Path, description = "The account", example = "acme")),
    responses((status = 200, description = "The limits", body = LimitsAnswer)),
)]
#[get("/v1/accounts/{id}/limits")]
pub(crate) async fn limits(request: HttpRequest, reading: Read, id: Path<AccountId>) -> Result<HttpResponse, Problem> {
    let bound = access::caller(&request)?.is_bound();
    let explained = reading.run(move |services, now| usage::limits(services, &id, now)).await?;
    reply::view(&LimitsAnswer::from(if bound { usage::for_customers(explained) } else { explained }))
}

/// Read the usage of an account
///
/// Of a sub-account: its main account's counters and those of its own caps.
#[utoipa::path(
    operation_id = "getAccountUsage",
    tag = "usage",
    params(("id" = AccountId, Path, description = "The account", example = "acme")),
    responses((status = 200, description = "The usage", body = UsageAnswer)),
)]
#[get("/v1/accounts/{id}/usage")]
pub(crate) async fn read(reading: Read, id: Path<AccountId>) -> Result<HttpResponse, Problem> {
    let rows = reading.run(move |services, now| usage::usage(services, &id, now)).await?;
    reply::view(&UsageAnswer { usage: rows.into_iter().map(UsageRowAnswer::from).collect() })
}

/// Reset the usage of an account
///
/// Rate limits begin anew from the next decision on. Open reservations stay, and what they charged is forgotten.
#[utoipa::path(
    operation_id = "resetAccountUsage",
    tag = "usage",
    params(("id" = AccountId, Path, description = "The main account", example = "acme"), ChangeQuery, IdempotencyKey),
    request_body = ResetRequest,
    responses(
        (status = 200, description = "Reset", body = ResetAnswer, headers(("ETag" = String))),
        (status = 409, description = "`not_a_main_account`"),
    ),
)]
#[post("/v1/accounts/{id}/usage/reset")]
pub(crate) async fn reset(id: Path<AccountId>, change: Change<ResetRequest>) -> Result<HttpResponse, Problem> {
    let work = move |services: &_, context: &_, ResetRequest { group, limit, reason }| {
        usage::reset(services, context, &id, &Selector { group, limit }, &reason)
    };
    reply::changed(change.run(work).await?, ResetAnswer::from)
}
