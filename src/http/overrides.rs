//! Overrides: create, list, read, revoke.

use super::approvals::{ApprovalAnswer, asked};
use super::change::{Change, ChangeQuery, IdempotencyKey};
use super::problem::Problem;
use super::query::{List, Listed, PageQuery, Read};
use super::renewals::{self, ProposalView, Within};
use super::reply;
use super::views::{ActView, Item, Reason, ShapeView, Time, ms};
use super::wire::rfc3339;
use crate::domain::account::LimitKey;
use crate::domain::ids::{AccountId, PolicyId};
use crate::domain::quantity::Quota;
use crate::services::approvals::{self, Override};
use crate::services::overrides::{self, NewOverride, OverrideFilter, OverrideState, OverrideView, SupersededBy};
use crate::services::renewals::Ending;
use actix_web::web::Path;
use actix_web::{HttpResponse, get, post};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A quota for one limit of one main account, over a span of time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Override, example = json!({
    "id": "ov_01kg8y2v0031gwr3b99bwpg6k4", "account": "acme", "group": "text.m2", "limit": "rpm",
    "unit": "requests", "window_ms": 60000, "quota": 2000, "state": "active", "dormant": false,
    "expires_at": "2099-01-31T00:00:00.000Z",
    "made": {"at": "2026-01-31T08:00:00.000Z", "by": "alice", "reason": "contract 2026-17"},
}))]
pub(crate) struct OverrideAnswer {
    #[schema(value_type = String, example = "ov_01kg8y2v0031gwr3b99bwpg6k4")]
    id: CompactString,
    account: AccountId,
    group: PolicyId,
    limit: PolicyId,
    /// What the limit was when the override was made.
    #[serde(flatten)]
    shape: ShapeView,
    quota: Quota,
    state: Phase,
    /// The active policy has no such limit, or one of another unit or window: it changes nothing until it comes back.
    dormant: bool,
    /// Absent: from when it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    starts_at: Option<CompactString>,
    /// Absent: for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    expires_at: Option<CompactString>,
    /// What to do at its end, where those that end soon are listed by `ending_within`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    proposal: Option<ProposalView>,
    made: ActView,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    revoked: Option<ActView>,
    /// The raise request that it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "rr_01kg8y2v0031gwr3b99bwpg6k4")]
    raise_request: Option<String>,
    /// What took its place before its own end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    superseded_by: Option<SupersededView>,
}

/// What took the place of an override before its own end.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Superseded)]
pub(crate) struct SupersededView {
    #[serde(rename = "override")]
    #[schema(example = "ov_01kg8y2v0031gwr3b99bwpg6k4")]
    override_id: String,
    #[schema(example = "rr_01kg8y2v0031gwr3b99bwpg6k4")]
    raise_request: String,
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:00:00.000Z")]
    at: CompactString,
}

impl From<SupersededBy> for SupersededView {
    fn from(by: SupersededBy) -> Self {
        Self { override_id: by.override_id, raise_request: by.raise_request, at: rfc3339(by.at_ms) }
    }
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = OverrideState)]
pub(crate) enum Phase {
    Scheduled,
    Active,
    Ended,
    Revoked,
}

impl From<OverrideState> for Phase {
    fn from(state: OverrideState) -> Self {
        match state {
            OverrideState::Scheduled => Self::Scheduled,
            OverrideState::Active => Self::Active,
            OverrideState::Ended => Self::Ended,
            OverrideState::Revoked => Self::Revoked,
        }
    }
}

impl From<Phase> for OverrideState {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Scheduled => Self::Scheduled,
            Phase::Active => Self::Active,
            Phase::Ended => Self::Ended,
            Phase::Revoked => Self::Revoked,
        }
    }
}

impl From<OverrideView> for OverrideAnswer {
    fn from(view: OverrideView) -> Self {
        let record = view.record;
        Self {
            id: view.id,
            account: record.account,
            group: record.group,
            limit: record.limit,
            shape: record.shape.into(),
            quota: record.quota,
            state: view.state.into(),
            dormant: view.dormant,
            starts_at: record.starts_at_ms.map(rfc3339),
            expires_at: record.expires_at_ms.map(rfc3339),
            proposal: None,
            made: record.made.into(),
            revoked: record.revoked.map(ActView::from),
            raise_request: record.raise_request,
            superseded_by: record.superseded_by.map(SupersededView::from),
        }
    }
}

impl From<Ending> for OverrideAnswer {
    fn from(ending: Ending) -> Self {
        Self { proposal: ending.proposal.map(ProposalView::from), ..Self::from(ending.view) }
    }
}

/// An override to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(example = json!({
    "account": "acme", "group": "text.m2", "limit": "rpm", "quota": 2000,
    "expires_at": "2099-01-31T00:00:00Z", "reason": "contract 2026-17",
}))]
pub(crate) struct OverrideRequest {
    /// A main account.
    account: AccountId,
    group: PolicyId,
    limit: PolicyId,
    quota: Quota,
    /// Absent: at once.
    #[serde(default)]
    starts_at: Option<Time>,
    /// Required, unless it is to be `permanent`.
    #[serde(default)]
    expires_at: Option<Time>,
    /// Says that having no end is meant.
    #[serde(default)]
    permanent: Option<bool>,
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// Which overrides to list; every condition that is given must hold.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OverridesQuery {
    /// Of this main account.
    account: Option<AccountId>,
    /// On limits of this group.
    group: Option<PolicyId>,
    /// As it stands now.
    #[param(inline)]
    state: Option<Phase>,
    /// Not over yet, but by then.
    ending_before: Option<Time>,
    /// Not over yet, but by so long from now, each with a proposal of what to do then. Such as `12h` or `7d`, at most `366d`.
    #[serde(default)]
    #[param(value_type = Option<String>, pattern = r"^[1-9][0-9]{0,5}[mhd]$", example = "7d")]
    ending_within: Option<Within>,
}

/// Create an override
///
/// It sets the quota in place of the tier's while it is active; clamps still lower it. No two for one limit of an
/// account may overlap in time.
#[utoipa::path(
    operation_id = "createOverride",
    tag = "overrides",
    params(ChangeQuery, IdempotencyKey),
    request_body = OverrideRequest,
    responses(
        (status = 201, description = "Created", body = OverrideAnswer, headers(("ETag" = String), ("Location" = String))),
        (status = 202, description = "Waits for a second operator", body = ApprovalAnswer, headers(("ETag" = String), ("Location" = String))),
        (status = 409, description = "`override_overlaps`: `detail` names the other one; `not_a_main_account`"),
    ),
)]
#[post("/v1/overrides")]
pub(crate) async fn create(change: Change<OverrideRequest>) -> Result<HttpResponse, Problem> {
    let work = |services: &_, context: &_, body: OverrideRequest| {
        let new = NewOverride {
            account: body.account,
            key: LimitKey { group: body.group, limit: body.limit },
            quota: body.quota,
            starts_at_ms: ms(body.starts_at),
            expires_at_ms: ms(body.expires_at),
            permanent: body.permanent.unwrap_or_default(),
            reason: body.reason,
        };
        approvals::ask(services, context, &Override(new))
    };
    let location = |view: &OverrideView| format!("/v1/overrides/{}", view.id);
    asked(change.run(work).await?, |done| reply::created(done, location, OverrideAnswer::from))
}

/// List overrides
///
/// In the order in which they were made, those that are over among them. With `ending_within`, those that are about to end
/// come with a proposal: to renew, to shrink to about 1.25 times the peak, or to let end, by the most that was in use at once
/// in the last 28 days while the override was in force.
#[utoipa::path(
    operation_id = "listOverrides",
    tag = "overrides",
    params(OverridesQuery, PageQuery),
    responses((status = 200, description = "One page", body = Listed<Item<OverrideAnswer>>)),
)]
#[get("/v1/overrides")]
pub(crate) async fn list(listing: List<OverridesQuery>) -> Result<HttpResponse, Problem> {
    listing
        .run(
            |services, query, paging, now| {
                let filter = OverrideFilter {
                    account: query.account.clone(),
                    group: query.group.clone(),
                    state: query.state.map(OverrideState::from),
                    ending_before_ms: renewals::earlier(ms(query.ending_before), query.ending_within, now),
                };
                match query.ending_within {
                    Some(_) => crate::services::renewals::list(services, &filter, paging, now),
                    None => overrides::list(services, &filter, paging, now).map(renewals::unproposed),
                }
            },
            Item::<OverrideAnswer>::of,
        )
        .await
}

/// Read an override
///
/// Also one that is over.
#[utoipa::path(
    operation_id = "getOverride",
    tag = "overrides",
    params(("id" = String, Path, description = "The override", example = "ov_01kg8y2v0031gwr3b99bwpg6k4")),
    responses((status = 200, description = "The override", body = OverrideAnswer, headers(("ETag" = String)))),
)]
#[get("/v1/overrides/{id}")]
pub(crate) async fn read(reading: Read, id: Path<String>) -> Result<HttpResponse, Problem> {
    let view = reading.run(move |services, now| overrides::get(services, &id, now)).await?;
    reply::record(&OverrideAnswer::from(view.value), view.revision)
}

/// Revoke an override
///
/// Ends it now. What it was stays on record.
#[utoipa::path(
    operation_id = "revokeOverride",
    tag = "overrides",
    params(("id" = String, Path, description = "The override", example = "ov_01kg8y2v0031gwr3b99bwpg6k4"), ChangeQuery, IdempotencyKey),
    request_body = Reason,
    responses(
        (status = 200, description = "Revoked", body = OverrideAnswer, headers(("ETag" = String))),
        (status = 409, description = "`override_ended`: it is over already"),
    ),
)]
#[post("/v1/overrides/{id}/revoke")]
pub(crate) async fn revoke(id: Path<String>, change: Change<Reason>) -> Result<HttpResponse, Problem> {
    let work = move |services: &_, context: &_, Reason { reason }| overrides::revoke(services, context, &id, &reason);
    reply::changed(change.run(work).await?, OverrideAnswer::from)
}
