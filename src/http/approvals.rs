//! Four eyes: what waits for a second operator, and what they say.

use super::access::{self, Caller};
use super::change::{Change, ChangeQuery, IdempotencyKey, IfMatch};
use super::problem::Problem;
use super::query::{List, Listed, PageQuery, Read};
use super::reply;
use super::views::{ActView, Item, Reason};
use super::wire::rfc3339;
use crate::services::approvals::{self, ApprovalState, ApprovalView, Asked, Closed, Override, Proposal};
use crate::services::operators::{Action, Role};
use crate::services::policies::{Source, Warnings};
use crate::services::{Done, Stored};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse, get, post};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

/// Something that one operator asked for, and another has to approve before it is done.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Approval, example = json!({
    "id": "ap_01kg8y2v0031gwr3b99bwpg6k4", "operation": "createOverride", "state": "pending",
    "requested": {"at": "2026-01-31T08:00:00.000Z", "by": "rita", "reason": "contract 2026-17"},
    "expires_at": "2026-02-07T08:00:00.000Z",
    "request": {"account": "acme", "group": "text.m2", "limit": "rpm", "quota": 5000,
        "expires_at": "2099-01-31T00:00:00.000Z", "reason": "contract 2026-17"},
}))]
pub(crate) struct ApprovalAnswer {
    #[schema(value_type = String, example = "ap_01kg8y2v0031gwr3b99bwpg6k4")]
    id: CompactString,
    /// The id of the operation that was asked for, in this document.
    #[schema(value_type = String, example = "createOverride")]
    operation: CompactString,
    state: Phase,
    requested: ActView,
    /// Then it is over, if nobody has approved it.
    #[schema(value_type = String, format = DateTime, example = "2026-02-07T08:00:00.000Z")]
    expires_at: CompactString,
    /// What was asked for: the parameters of the path and the fields of the body. Absent for a policy document in lists,
    /// and once it waits no more; and for a change of an operator where operators are not yours to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    request: Option<Value>,
    /// Who approved, rejected or withdrew it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    decided: Option<ActView>,
    /// What was made or changed, as the audit log names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "override:ov_01kg8y2v0031gwr3b99bwpg6k4")]
    made: Option<String>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ApprovalState)]
pub(crate) enum Phase {
    Pending,
    Approved,
    Rejected,
    /// By the one who asked.
    Withdrawn,
    Expired,
}

impl From<ApprovalState> for Phase {
    fn from(state: ApprovalState) -> Self {
        match state {
            ApprovalState::Pending => Self::Pending,
            ApprovalState::Approved => Self::Approved,
            ApprovalState::Rejected => Self::Rejected,
            ApprovalState::Withdrawn => Self::Withdrawn,
            ApprovalState::Expired => Self::Expired,
        }
    }
}

impl From<Phase> for ApprovalState {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Pending => Self::Pending,
            Phase::Approved => Self::Approved,
            Phase::Rejected => Self::Rejected,
            Phase::Withdrawn => Self::Withdrawn,
            Phase::Expired => Self::Expired,
        }
    }
}

/// What a reader may see of what was asked for.
#[derive(Debug, Clone, Copy)]
struct Sees {
    operators: bool,
    documents: bool,
}

impl Sees {
    fn of(request: &HttpRequest, documents: bool) -> Result<Self, Problem> {
        Ok(Self { operators: access::caller(request)?.may(Action::Credentials), documents })
    }

    fn shows(self, proposal: &Proposal) -> bool {
        match proposal {
            Proposal::ChangeOperator(_) => self.operators,
            Proposal::Publish(_) => self.documents,
            _ => true,
        }
    }
}

impl From<ApprovalView> for ApprovalAnswer {
    /// For one who asked, approved or rejected.
    fn from(view: ApprovalView) -> Self {
        Self::seen(view, Sees { operators: true, documents: false })
    }
}

impl ApprovalAnswer {
    fn seen(view: ApprovalView, sees: Sees) -> Self {
        let ApprovalView { id, record, state } = view;
        let (decided, made) = match record.closed {
            Some(Closed { done, made, .. }) => (Some(done.into()), made),
            None => (None, None),
        };
        Self {
            id,
            operation: record.operation,
            state: state.into(),
            requested: record.requested.into(),
            expires_at: rfc3339(record.expires_at_ms),
            request: record.proposal.as_ref().filter(|proposal| sees.shows(proposal)).map(request),
            decided,
            made,
        }
    }
}

/// What was asked for, with the names that its operation gives it.
fn request(proposal: &Proposal) -> Value {
    let mut request = match proposal {
        Proposal::Publish(new) => {
            let document = match &new.source {
                Source::Json(json) => json.clone(),
                Source::Text(text) => text.as_str().into(),
            };
            json!({"document": document, "strict": new.warnings == Warnings::Refused, "reason": new.reason})
        }
        Proposal::Activate(activate) => json!({"revision": activate.revision, "reason": activate.reason}),
        Proposal::SetTierQuota(new) => json!({
            "tier": new.tier, "group": new.key.group, "limit": new.key.limit, "quota": new.quota, "reason": new.reason,
        }),
        Proposal::CreateOverride(Override(new)) => json!({
            "account": new.account, "group": new.key.group, "limit": new.key.limit, "quota": new.quota,
            "starts_at": new.starts_at_ms.map(rfc3339), "expires_at": new.expires_at_ms.map(rfc3339),
            "permanent": new.permanent.then_some(true), "reason": new.reason,
        }),
        Proposal::Pin(pin) => json!({
            "account": pin.account, "tier": pin.pin.tier, "until": pin.pin.until_ms.map(rfc3339),
            "reason": pin.pin.reason,
        }),
        Proposal::ChangeOperator(grant) => json!(grant),
    };
    if let Value::Object(fields) = &mut request {
        fields.retain(|_, value| !value.is_null());
    }
    request
}

/// Which to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ApprovalsQuery {
    /// In this state.
    #[param(inline)]
    state: Option<Phase>,
}

/// What an approver says of it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(example = json!({"reason": "checked with sales"}))]
pub(crate) struct ApproveRequest {
    /// Kept with it and in the audit log.
    #[serde(default)]
    #[schema(max_length = 500)]
    reason: Option<String>,
}

/// What an operation came to, or 202 where it waits for a second operator.
pub(crate) fn asked<T>(
    asked: Asked<T>,
    answer: impl FnOnce(Done<T>) -> Result<HttpResponse, Problem>,
) -> Result<HttpResponse, Problem> {
    match asked {
        Asked::Done(done) => answer(done),
        Asked::Waits(done) => reply::accepted(*done, |view| format!("/v1/approvals/{}", view.id), ApprovalAnswer::from),
    }
}

/// None: no operator, which may be whoever owns the machine.
fn role(request: &HttpRequest) -> Result<Option<Role>, Problem> {
    Ok(match access::caller(request)? {
        Caller::Operator(_, role) => Some(role),
        Caller::Setup | Caller::Console | Caller::Key(_) => None,
    })
}

/// List approvals
///
/// What waits for a second operator, or did, in the order in which it was asked for. The setting `four_eyes` says what
/// waits.
#[utoipa::path(
    operation_id = "listApprovals",
    tag = "approvals",
    params(ApprovalsQuery, PageQuery),
    responses((status = 200, description = "One page", body = Listed<Item<ApprovalAnswer>>)),
)]
#[get("/v1/approvals")]
pub(crate) async fn list(http: HttpRequest, listing: List<ApprovalsQuery>) -> Result<HttpResponse, Problem> {
    let sees = Sees::of(&http, false)?;
    let work = |services: &_, query: &ApprovalsQuery, paging: &_, now| {
        approvals::list(services, query.state.map(ApprovalState::from), paging, now)
    };
    let view = |found: Stored<ApprovalView>| Item::tagged(found.revision, ApprovalAnswer::seen(found.value, sees));
    listing.run(work, view).await
}

/// Read an approval
#[utoipa::path(
    operation_id = "getApproval",
    tag = "approvals",
    params(("id" = String, Path, description = "The approval", example = "ap_01kg8y2v0031gwr3b99bwpg6k4")),
    responses((status = 200, description = "The approval", body = ApprovalAnswer, headers(("ETag" = String)))),
)]
#[get("/v1/approvals/{id}")]
pub(crate) async fn read(http: HttpRequest, reading: Read, id: Path<String>) -> Result<HttpResponse, Problem> {
    let sees = Sees::of(&http, true)?;
    let view = reading.run(move |services, now| approvals::get(services, &id, now)).await?;
    reply::record(&ApprovalAnswer::seen(view.value, sees), view.revision)
}

/// Approve
///
/// Does what was asked for at once, as the one who approves: another operator than the one who asked, with a role and a
/// ceiling that suffice for it. What it was to change must still be as it was seen then.
#[utoipa::path(
    operation_id = "approve",
    tag = "approvals",
    params(
        ("id" = String, Path, description = "The approval", example = "ap_01kg8y2v0031gwr3b99bwpg6k4"),
        ChangeQuery, IfMatch, IdempotencyKey,
    ),
    request_body = ApproveRequest,
    responses(
        (status = 200, description = "Done", body = ApprovalAnswer, headers(("ETag" = String))),
        (status = 403, description = "`forbidden`: it is your own, or your role does not suffice; `above_ceiling`"),
        (status = 409, description = "`approval_closed`, or whatever is in the way of it by now"),
        (status = 412, description = "`stale`: what it was to change has moved on since, or it has itself"),
    ),
)]
#[post("/v1/approvals/{id}/approve")]
pub(crate) async fn approve(
    http: HttpRequest,
    id: Path<String>,
    change: Change<ApproveRequest>,
) -> Result<HttpResponse, Problem> {
    let role = role(&http)?;
    let work = move |services: &_, context: &_, ApproveRequest { reason }| {
        approvals::approve(services, context, &id, (role, reason.as_deref().unwrap_or_default()))
    };
    reply::changed(change.run(work).await?, ApprovalAnswer::from)
}

/// Reject or withdraw
///
/// Closes it without doing it: whoever could approve it rejects it, the one who asked withdraws it.
#[utoipa::path(
    operation_id = "reject",
    tag = "approvals",
    params(
        ("id" = String, Path, description = "The approval", example = "ap_01kg8y2v0031gwr3b99bwpg6k4"),
        ChangeQuery, IfMatch, IdempotencyKey,
    ),
    request_body = Reason,
    responses(
        (status = 200, description = "Closed", body = ApprovalAnswer, headers(("ETag" = String))),
        (status = 403, description = "`forbidden`: your role does not suffice"),
        (status = 409, description = "`approval_closed`"),
    ),
)]
#[post("/v1/approvals/{id}/reject")]
pub(crate) async fn reject(
    http: HttpRequest,
    id: Path<String>,
    change: Change<Reason>,
) -> Result<HttpResponse, Problem> {
    let role = role(&http)?;
    let work =
        move |services: &_, context: &_, Reason { reason }| approvals::reject(services, context, &id, (role, &reason));
    reply::changed(change.run(work).await?, ApprovalAnswer::from)
}
