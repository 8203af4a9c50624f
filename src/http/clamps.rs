//! Clamps: create, list, read, remove.

use super::change::{Act, Change, ChangeQuery, IdempotencyKey, IfMatch};
use super::problem::{Place, Problem};
use super::query::{List, Listed, PageQuery, Read};
use super::reply;
use super::views::{ActView, Item, ShapeView, Time, ms};
use super::wire::rfc3339;
use crate::domain::account::LimitKey;
use crate::domain::ids::{AccountId, PolicyId};
use crate::domain::quantity::Quota;
use crate::services::clamps::{self, ClampFilter, ClampView, NewClamp};
use crate::services::records::ScopeRecord;
use actix_web::web::Path;
use actix_web::{HttpResponse, delete, get, post};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// An emergency ceiling: it only lowers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Clamp, example = json!({
    "id": "cl_01kg8y2v0031gwr3b99bwpg6k4", "group": "text.m2", "limit": "rpm", "unit": "requests",
    "window_ms": 60000, "tier": "free", "quota": 5, "active": true, "dormant": false,
    "expires_at": "2026-01-31T09:00:00.000Z",
    "made": {"at": "2026-01-31T08:00:00.000Z", "by": "alice", "reason": "GPU shortage"},
}))]
pub(crate) struct ClampAnswer {
    #[schema(value_type = String, example = "cl_01kg8y2v0031gwr3b99bwpg6k4")]
    id: CompactString,
    group: PolicyId,
    limit: PolicyId,
    /// What the limit was when the clamp was made.
    #[serde(flatten)]
    shape: ShapeView,
    /// Accounts of this tier only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    tier: Option<PolicyId>,
    /// This main account only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    account: Option<AccountId>,
    quota: Quota,
    active: bool,
    /// The active policy has no such limit, or one of another unit or window: it changes nothing until it comes back.
    dormant: bool,
    /// Absent: until it is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    expires_at: Option<CompactString>,
    made: ActView,
}

impl From<ClampView> for ClampAnswer {
    fn from(view: ClampView) -> Self {
        let record = view.record;
        let (tier, account) = match record.scope {
            ScopeRecord::All => (None, None),
            ScopeRecord::Tier(tier) => (Some(tier), None),
            ScopeRecord::Account(account) => (None, Some(account)),
        };
        Self {
            id: view.id,
            group: record.group,
            limit: record.limit,
            shape: record.shape.into(),
            tier,
            account,
            quota: record.quota,
            active: view.active,
            dormant: view.dormant,
            expires_at: record.expires_at_ms.map(rfc3339),
            made: record.made.into(),
        }
    }
}

/// A clamp to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(example = json!({"group": "text.m2", "limit": "rpm", "tier": "free", "quota": 5, "reason": "GPU shortage"}))]
pub(crate) struct ClampRequest {
    group: PolicyId,
    limit: PolicyId,
    /// For accounts of this tier only.
    #[serde(default)]
    tier: Option<PolicyId>,
    /// For this main account only; not together with `tier`.
    #[serde(default)]
    account: Option<AccountId>,
    /// An integer, or `blocked`.
    quota: Quota,
    /// One hour from now where absent, unless it is `permanent`.
    #[serde(default)]
    expires_at: Option<Time>,
    /// It stays until it is removed.
    #[serde(default)]
    permanent: Option<bool>,
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

impl ClampRequest {
    fn scope(&self) -> Result<ScopeRecord, Problem> {
        match (&self.tier, &self.account) {
            (None, None) => Ok(ScopeRecord::All),
            (Some(tier), None) => Ok(ScopeRecord::Tier(tier.clone())),
            (None, Some(account)) => Ok(ScopeRecord::Account(account.clone())),
            (Some(_), Some(_)) => {
                let detail = "a clamp is for one tier or for one account, not for both";
                Err(Problem::field(Place::Body, "/account", "misplaced", detail))
            }
        }
    }
}

/// Which clamps to list; every condition that is given must hold.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ClampsQuery {
    /// On limits of this group.
    group: Option<PolicyId>,
    /// Not ended.
    active: Option<bool>,
}

/// Create a clamp
///
/// Lowers a limit at once, for everyone or for one tier or account, whatever override an account has. It ends after an
/// hour unless told otherwise.
#[utoipa::path(
    operation_id = "createClamp",
    tag = "clamps",
    params(ChangeQuery, IdempotencyKey),
    request_body = ClampRequest,
    responses(
        (status = 201, description = "Created", body = ClampAnswer, headers(("ETag" = String), ("Location" = String))),
        (status = 409, description = "`not_a_main_account`"),
    ),
)]
#[post("/v1/clamps")]
pub(crate) async fn create(change: Change<ClampRequest>) -> Result<HttpResponse, Problem> {
    let scope = change.body.scope()?;
    let work = move |services: &_, context: &_, body: ClampRequest| {
        let new = NewClamp {
            key: LimitKey { group: body.group, limit: body.limit },
            scope,
            quota: body.quota,
            expires_at_ms: ms(body.expires_at),
            permanent: body.permanent.unwrap_or_default(),
            reason: body.reason,
        };
        clamps::create(services, context, &new)
    };
    let done = change.run(work).await?;
    reply::created(done, |view| format!("/v1/clamps/{}", view.id), ClampAnswer::from)
}

/// List clamps
///
/// In the order in which they were made. Ended ones are listed for a week, or until one of
/// the 10,000 places is needed; removed ones are in the audit log alone.
#[utoipa::path(
    operation_id = "listClamps",
    tag = "clamps",
    params(ClampsQuery, PageQuery),
    responses((status = 200, description = "One page", body = Listed<Item<ClampAnswer>>)),
)]
#[get("/v1/clamps")]
pub(crate) async fn list(listing: List<ClampsQuery>) -> Result<HttpResponse, Problem> {
    listing
        .run(
            |services, query, paging, now| {
                let filter = ClampFilter { group: query.group.clone(), active: query.active };
                clamps::list(services, &filter, paging, now)
            },
            Item::<ClampAnswer>::of,
        )
        .await
}

/// Read a clamp
///
/// Its `ETag` is what its removal names in `If-Match`.
#[utoipa::path(
    operation_id = "getClamp",
    tag = "clamps",
    params(("id" = String, Path, description = "The clamp", example = "cl_01kg8y2v0031gwr3b99bwpg6k4")),
    responses((status = 200, description = "The clamp", body = ClampAnswer, headers(("ETag" = String)))),
)]
#[get("/v1/clamps/{id}")]
pub(crate) async fn read(reading: Read, id: Path<String>) -> Result<HttpResponse, Problem> {
    let view = reading.run(move |services, now| clamps::get(services, &id, now)).await?;
    reply::tagged(&ClampAnswer::from(view.value), view.revision)
}

/// Remove a clamp
///
/// What it lowered is back from the next decision on. Answers what it was.
#[utoipa::path(
    operation_id = "deleteClamp",
    tag = "clamps",
    params(("id" = String, Path, description = "The clamp", example = "cl_01kg8y2v0031gwr3b99bwpg6k4"), ChangeQuery, IfMatch),
    responses((status = 200, description = "Removed", body = ClampAnswer)),
)]
#[delete("/v1/clamps/{id}")]
pub(crate) async fn remove(id: Path<String>, act: Act) -> Result<HttpResponse, Problem> {
    let done = act.run(move |services, context| clamps::remove(services, context, &id, None)).await?;
    // What is gone has no entity tag.
    reply::ok(&ClampAnswer::from(done.value))
}
