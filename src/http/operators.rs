//! Operators: people who log in.

use super::access::{self, Caller};
use super::approvals::{ApprovalAnswer, asked};
use super::billing_sources::Given;
use super::change::{Act, ChangeQuery, IfMatch, PrivateChange};
use super::problem::Problem;
use super::query::{List, Listed, NoFilter, NoQuery, PageQuery, Read};
use super::reply;
use super::state::State;
use super::views::Item;
use super::wire::rfc3339;
use crate::domain::ids::OperatorName;
use crate::services::approvals::{self, OperatorChange};
use crate::services::operators::{self, NewOperator, OperatorPatch, OperatorView, Role};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A person who logs in.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Operator, example = json!({
    "name": "alice", "role": "owner", "created_at": "2026-01-31T08:00:00.000Z", "by": "console",
    "password_at": "2026-01-31T08:00:00.000Z",
}))]
pub(crate) struct OperatorAnswer {
    name: OperatorName,
    role: RoleName,
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:00:00.000Z")]
    created_at: CompactString,
    /// Who made it.
    by: String,
    /// When the password was set.
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:00:00.000Z")]
    password_at: CompactString,
    /// Of a reviewer: how far overrides may go, in percent of the tier's quota.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 100, maximum = 1000000, example = 200)]
    ceiling_percent: Option<u32>,
}

impl From<OperatorView> for OperatorAnswer {
    fn from(view: OperatorView) -> Self {
        let OperatorView { name, role, created_at_ms, by, password_at_ms, ceiling_percent } = view;
        let (created_at, password_at) = (rfc3339(created_at_ms), rfc3339(password_at_ms));
        Self { name, role: role.into(), created_at, by, password_at, ceiling_percent }
    }
}

/// What an operator may do; the table is in `docs/access.md`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = OperatorRole)]
pub(crate) enum RoleName {
    Viewer,
    Support,
    Reviewer,
    Publisher,
    Owner,
}

impl From<Role> for RoleName {
    fn from(role: Role) -> Self {
        match role {
            Role::Viewer => Self::Viewer,
            Role::Support => Self::Support,
            Role::Reviewer => Self::Reviewer,
            Role::Publisher => Self::Publisher,
            Role::Owner => Self::Owner,
        }
    }
}

impl From<RoleName> for Role {
    fn from(role: RoleName) -> Self {
        match role {
            RoleName::Viewer => Self::Viewer,
            RoleName::Support => Self::Support,
            RoleName::Reviewer => Self::Reviewer,
            RoleName::Publisher => Self::Publisher,
            RoleName::Owner => Self::Owner,
        }
    }
}

/// An operator to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(example = json!({"name": "alice", "role": "owner", "password": "correct horse battery staple"}))]
pub(crate) struct OperatorRequest {
    name: OperatorName,
    role: RoleName,
    /// Of a reviewer: how far overrides may go, in percent of the tier's quota; 200 where it is left out.
    #[serde(default)]
    #[schema(minimum = 100, maximum = 1000000)]
    ceiling_percent: Option<u32>,
    #[schema(value_type = String, format = Password, min_length = 12, max_length = 1024)]
    password: Given,
}

/// What to change of an operator; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(example = json!({"role": "reviewer"}))]
pub(crate) struct OperatorPatchRequest {
    #[serde(default)]
    role: Option<RoleName>,
    /// Of a reviewer: how far overrides may go, in percent of the tier's quota.
    #[serde(default)]
    #[schema(minimum = 100, maximum = 1000000)]
    ceiling_percent: Option<u32>,
    /// A new one ends all sessions of the operator.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password, min_length = 12, max_length = 1024)]
    password: Option<Given>,
}

/// Who asks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Me {
    /// As the audit log has it.
    #[schema(example = "alice")]
    actor: String,
    /// `operator`, `api_key`, or `console`: by the control socket.
    #[schema(value_type = String, example = "operator")]
    actor_kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    role: Option<RoleName>,
}

/// Who am I
#[utoipa::path(
    operation_id = "getMe",
    tag = "operators",
    responses((status = 200, description = "Who asks", body = Me)),
)]
#[get("/v1/me")]
pub(crate) async fn me(request: HttpRequest, _: NoQuery) -> Result<HttpResponse, Problem> {
    let caller = access::caller(&request)?;
    let role = match &caller {
        Caller::Operator(_, role) => Some((*role).into()),
        Caller::Setup | Caller::Console | Caller::Key(_) => None,
    };
    reply::view(&Me { actor: caller.actor().to_owned(), actor_kind: caller.kind().as_str(), role })
}

fn location(operator: &OperatorView) -> String {
    format!("/v1/operators/{}", operator.name)
}

/// Make an operator
///
/// The first operator is made with the setup token that the server prints at its start, and is an owner. `Idempotency-Key`
/// is passed over, because nothing of a password is kept but its slow hash.
#[utoipa::path(
    operation_id = "createOperator",
    tag = "operators",
    params(ChangeQuery),
    request_body = OperatorRequest,
    responses(
        (status = 201, description = "Made", body = OperatorAnswer, headers(("ETag" = String), ("Location" = String))),
        (status = 409, description = "`operator_exists`"),
    ),
)]
#[post("/v1/operators")]
pub(crate) async fn create(
    state: Data<State>,
    PrivateChange(change): PrivateChange<OperatorRequest>,
) -> Result<HttpResponse, Problem> {
    let turn = state.hashing.turn().await?;
    let work = move |services: &_, context: &_, body: OperatorRequest| {
        let _turn = turn;
        let OperatorRequest { name, role, ceiling_percent, password: Given(password) } = body;
        operators::create(services, context, &NewOperator { name, role: role.into(), ceiling_percent, password })
    };
    reply::created(change.run(work).await?, location, OperatorAnswer::from)
}

/// List operators
///
/// In the order of their names.
#[utoipa::path(
    operation_id = "listOperators",
    tag = "operators",
    params(PageQuery),
    responses((status = 200, description = "One page", body = Listed<Item<OperatorAnswer>>)),
)]
#[get("/v1/operators")]
pub(crate) async fn list(listing: List<NoFilter>) -> Result<HttpResponse, Problem> {
    let work = |services: &_, _: &NoFilter, paging: &_, _| operators::list(services, paging);
    listing.run(work, Item::<OperatorAnswer>::of).await
}

/// Read an operator
#[utoipa::path(
    operation_id = "getOperator",
    tag = "operators",
    params(("name" = OperatorName, Path, description = "The operator", example = "alice")),
    responses((status = 200, description = "The operator", body = OperatorAnswer, headers(("ETag" = String)))),
)]
#[get("/v1/operators/{name}")]
pub(crate) async fn read(reading: Read, name: Path<OperatorName>) -> Result<HttpResponse, Problem> {
    let found = reading.run(move |services, _| operators::get(services, &name)).await?;
    reply::record(&OperatorAnswer::from(found.value), found.revision)
}

/// Change an operator
///
/// The role, from the next request on, or the password, which ends all sessions.
#[utoipa::path(
    operation_id = "updateOperator",
    tag = "operators",
    params(("name" = OperatorName, Path, description = "The operator", example = "alice"), ChangeQuery, IfMatch),
    request_body = OperatorPatchRequest,
    responses(
        (status = 200, description = "Changed", body = OperatorAnswer, headers(("ETag" = String))),
        (status = 202, description = "Waits for a second operator", body = ApprovalAnswer, headers(("ETag" = String), ("Location" = String))),
        (status = 409, description = "`last_owner`"),
    ),
)]
#[patch("/v1/operators/{name}")]
pub(crate) async fn update(
    state: Data<State>,
    name: Path<OperatorName>,
    PrivateChange(change): PrivateChange<OperatorPatchRequest>,
) -> Result<HttpResponse, Problem> {
    let turn = state.hashing.turn().await?;
    let work = move |services: &_, context: &_, body: OperatorPatchRequest| {
        let _turn = turn;
        let OperatorPatchRequest { role, ceiling_percent, password } = body;
        let password = password.map(|given| given.0);
        let patch = OperatorPatch { role: role.map(Role::from), ceiling_percent, password };
        approvals::ask(services, context, &OperatorChange { name: name.into_inner(), patch })
    };
    asked(change.run(work).await?, |done| reply::changed(done, OperatorAnswer::from))
}

/// Remove an operator
///
/// With all sessions. The last owner stays.
#[utoipa::path(
    operation_id = "removeOperator",
    tag = "operators",
    params(("name" = OperatorName, Path, description = "The operator", example = "alice"), ChangeQuery, IfMatch),
    responses(
        (status = 200, description = "What it was", body = OperatorAnswer),
        (status = 409, description = "`last_owner`"),
    ),
)]
#[delete("/v1/operators/{name}")]
pub(crate) async fn remove(name: Path<OperatorName>, act: Act) -> Result<HttpResponse, Problem> {
    let done = act.run(move |services, context| operators::remove(services, context, &name));
    reply::changed(done.await?, OperatorAnswer::from)
}
