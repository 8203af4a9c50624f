//! Operators: people who log in.

use super::access::{self, Caller};
use super::billing_sources::{Given, private};
use super::body::{self, JsonBytes};
use super::change::{Act, Change, ChangeQuery, IfMatch, origin};
use super::problem::{Code, Problem};
use super::query::{self, List, Listed, NoFilter, NoQuery, PageQuery, Read};
use super::reply;
use super::state::State;
use super::views::Item;
use super::wire::rfc3339;
use crate::domain::ids::OperatorName;
use crate::services::operators::{self, LoggedIn, NotLoggedIn, OperatorPatch, OperatorView, Role};
use crate::services::{Context, Origin};
use crate::store::embedded::{Attempt, EmbeddedStore};
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{Data, Path, block};
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
}

impl From<OperatorView> for OperatorAnswer {
    fn from(view: OperatorView) -> Self {
        let OperatorView { name, role, created_at_ms, by, password_at_ms } = view;
        let (created_at, password_at) = (rfc3339(created_at_ms), rfc3339(password_at_ms));
        Self { name, role: role.into(), created_at, by, password_at }
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
    /// A new one ends all sessions of the operator.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password, min_length = 12, max_length = 1024)]
    password: Option<Given>,
}

/// Who logs in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(example = json!({"name": "alice", "password": "correct horse battery staple"}))]
pub(crate) struct LoginRequest {
    name: OperatorName,
    #[schema(value_type = String, format = Password)]
    password: Given,
}

/// A session that was opened.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LoginAnswer {
    /// Send it as `Authorization: Bearer qs_…`. It is told this once.
    #[schema(example = "qs_…")]
    token: String,
    #[schema(value_type = String, example = "ses_01m8695z4m2vegbk4pv3pxynbs")]
    session: CompactString,
    role: RoleName,
    /// It ends then, or after twelve hours without a request.
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:00:00.000Z")]
    ends_at: CompactString,
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

/// Log in
///
/// Opens a session. Name and password that do not fit are answered with 401 whichever is wrong; after a few failures the next
/// attempt has to wait, longer each time.
#[utoipa::path(
    operation_id = "login",
    tag = "operators",
    request_body = LoginRequest,
    responses(
        (status = 200, description = "Logged in", body = LoginAnswer),
        (status = 401, description = "`unauthorized`: name or password is wrong"),
        (status = 429, description = "`too_many_attempts`: wait for `Retry-After` seconds"),
        (status = 503, description = "`busy`: too many passwords are being checked"),
    ),
)]
#[post("/v1/sessions")]
pub(crate) async fn login(state: Data<State>, request: HttpRequest, body: JsonBytes) -> Result<HttpResponse, Problem> {
    query::none(&request)?;
    let LoginRequest { name, password: Given(password) } = body::parse(&body.0)?;
    let (origin, now) = (origin(&request), state.clock.now_ms());
    let address = origin.address.clone().unwrap_or_default();
    let turn = state.hashing.turn().await?;
    let done = block(move || {
        let note = |kind: &str| note(&state.watched.store, (kind, &name, &origin), now);
        if let Err(delayed) = state.delays.begin(name.as_str(), &address, now) {
            note("login.delayed");
            return Err(delayed.into());
        }
        let context = Context { origin: origin.clone(), ..Context::system(now) };
        let opened = operators::login(&state.services, &context, &name, &password);
        drop(turn);
        match &opened {
            Ok(_) => {
                state.delays.succeeded(name.as_str(), &address);
                note("login.succeeded");
            }
            Err(_) => note("login.failed"),
        }
        opened
    });
    let LoggedIn { id, role, ends_at_ms, secret } = done.await.map_err(|error| Problem::internal(&error))??;
    let token = secret.map(|secret| secret.expose().to_owned()).unwrap_or_default();
    let answer = LoginAnswer { token, session: id, role: role.into(), ends_at: rfc3339(ends_at_ms) };
    Ok(private(reply::ok(&answer)?))
}

/// A log that cannot be written keeps nobody out.
fn note(store: &EmbeddedStore, (kind, name, origin): (&str, &OperatorName, &Origin), now: i64) {
    let name = Some(name.as_str().to_owned());
    let attempt = Attempt { at_ms: now, kind: kind.to_owned(), name, origin: origin.clone() };
    if let Err(error) = store.note_attempt(&attempt) {
        tracing::warn!(%error, "the security log cannot be written");
    }
}

impl From<NotLoggedIn> for Problem {
    fn from(error: NotLoggedIn) -> Self {
        match error {
            NotLoggedIn::Wrong => Self::new(Code::Unauthorized, error.to_string()),
            NotLoggedIn::Delayed(delayed) => {
                let seconds = HeaderValue::from(delayed.retry_after_ms.div_ceil(1_000));
                Self::new(Code::TooManyAttempts, delayed.to_string()).with_header(header::RETRY_AFTER, seconds)
            }
            NotLoggedIn::Failed(error) => error.into(),
        }
    }
}

/// Log out
///
/// Ends the session that asks.
#[utoipa::path(
    operation_id = "logout",
    tag = "operators",
    params(ChangeQuery),
    responses(
        (status = 204, description = "Logged out"),
        (status = 409, description = "`conflict`: it is no session that asks"),
    ),
)]
#[delete("/v1/sessions/current")]
pub(crate) async fn logout(request: HttpRequest, act: Act) -> Result<HttpResponse, Problem> {
    let Caller::Operator(session, _) = access::caller(&request)? else {
        return Err(Problem::new(Code::Conflict, "it is no session that asks: only one of those is logged out"));
    };
    act.run(move |services, context| operators::logout(services, context, (&session.operator, &session.id))).await?;
    Ok(HttpResponse::NoContent().finish())
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
pub(crate) async fn create(state: Data<State>, change: Change<OperatorRequest>) -> Result<HttpResponse, Problem> {
    let turn = state.hashing.turn().await?;
    let work = move |services: &_, context: &_, body: OperatorRequest| {
        let _turn = turn;
        operators::create(services, context, (&body.name, body.role.into()), &body.password.0)
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
        (status = 409, description = "`last_owner`"),
    ),
)]
#[patch("/v1/operators/{name}")]
pub(crate) async fn update(
    state: Data<State>,
    name: Path<OperatorName>,
    change: Change<OperatorPatchRequest>,
) -> Result<HttpResponse, Problem> {
    let turn = state.hashing.turn().await?;
    let work = move |services: &_, context: &_, body: OperatorPatchRequest| {
        let _turn = turn;
        let patch = OperatorPatch { role: body.role.map(Role::from), password: body.password.map(|given| given.0) };
        operators::patch(services, context, &name, &patch)
    };
    reply::changed(change.run(work).await?, OperatorAnswer::from)
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
