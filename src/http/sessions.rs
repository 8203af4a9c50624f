//! Sessions: login, logout, which there are, and one's own password.

use super::access::{self, Caller};
use super::billing_sources::{Given, private};
use super::body::{self, JsonBytes};
use super::change::{Act, ChangeQuery, PrivateChange, origin};
use super::operators::{OperatorAnswer, RoleName};
use super::problem::{Code, Problem};
use super::query::{self, NoQuery, Read};
use super::reply;
use super::state::State;
use super::wire::rfc3339;
use crate::domain::ids::OperatorName;
use crate::services::credentials::Session;
use crate::services::operators::{self, LoggedIn, NotLoggedIn, SessionView};
use crate::services::{Context, Error, Origin};
use crate::store::embedded::{Attempt, EmbeddedStore};
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{Data, Path, block};
use actix_web::{HttpRequest, HttpResponse, delete, get, post};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

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

/// A session that has not ended, without its token.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Session, example = json!({
    "id": "ses_01m8695z4m2vegbk4pv3pxynbs", "opened_at": "2026-01-31T08:00:00.000Z", "ends_at": "2026-02-07T08:00:00.000Z",
    "last_used_at": "2026-01-31T08:05:00.000Z", "address": "127.0.0.1", "current": true,
}))]
pub(crate) struct SessionAnswer {
    #[schema(example = "ses_01m8695z4m2vegbk4pv3pxynbs")]
    id: String,
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:00:00.000Z")]
    opened_at: CompactString,
    /// It ends then, or after twelve hours without a request.
    #[schema(value_type = String, format = DateTime, example = "2026-02-07T08:00:00.000Z")]
    ends_at: CompactString,
    /// To the minute, as far as this run of the server knows; the login where it was not used since.
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:05:00.000Z")]
    last_used_at: CompactString,
    /// Where the login came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "127.0.0.1")]
    address: Option<String>,
    /// It is the one that asks.
    current: bool,
}

/// All of them: an operator has 20 at most.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Sessions {
    items: Vec<SessionAnswer>,
}

impl Sessions {
    fn of(views: Vec<SessionView>, current: Option<&str>) -> Self {
        let answer = |view: SessionView| SessionAnswer {
            current: current == Some(view.id.as_str()),
            id: view.id,
            opened_at: rfc3339(view.record.created_at_ms),
            ends_at: rfc3339(view.record.ends_at_ms),
            last_used_at: rfc3339(view.last_used_ms),
            address: view.record.address,
        };
        Self { items: views.into_iter().map(answer).collect() }
    }
}

/// A new password in place of the present one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(example = json!({"current": "correct horse battery staple", "password": "another long password"}))]
pub(crate) struct PasswordRequest {
    #[schema(value_type = String, format = Password)]
    current: Given,
    #[schema(value_type = String, format = Password, min_length = 12, max_length = 1024)]
    password: Given,
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
    let LoginRequest { name, password: Given(password) } = body::parse_private(&body.0)?;
    let (origin, now) = (origin(&request), state.clock.now_ms());
    let address = origin.address.clone().unwrap_or_default();
    let turn = state.hashing.turn().await?;
    let done = block(move || {
        // A password that was typed as the name is kept nowhere.
        let known = Some(&name).filter(|name| state.services.keyring().role(name.as_str()).is_some());
        let note = |kind: &str| note(&state.watched.store, (kind, known, &origin), now);
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
fn note(store: &EmbeddedStore, (kind, name, origin): (&str, Option<&OperatorName>, &Origin), now: i64) {
    let name = name.map(|name| name.as_str().to_owned());
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
    let session = own(&request)?;
    act.run(move |services, context| operators::logout(services, context, (&session.operator, &session.id))).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The session that asks.
///
/// Errors: something else asks.
fn own(request: &HttpRequest) -> Result<Arc<Session>, Problem> {
    match access::caller(request)? {
        Caller::Operator(session, _) => Ok(session),
        Caller::Setup | Caller::Console | Caller::Key(_) => {
            Err(Problem::new(Code::Conflict, "it is no session that asks: only an operator who has logged in has one"))
        }
    }
}

/// List my sessions
///
/// Those of the operator who asks that have not ended, the newest first.
#[utoipa::path(
    operation_id = "listSessions",
    tag = "operators",
    responses(
        (status = 200, description = "The sessions", body = Sessions),
        (status = 409, description = "`conflict`: it is no session that asks"),
    ),
)]
#[get("/v1/sessions")]
pub(crate) async fn list(request: HttpRequest, reading: Read, _: NoQuery) -> Result<HttpResponse, Problem> {
    let session = own(&request)?;
    let name = session.operator.clone();
    let views = reading.run(move |services, now| operators::sessions(services, &name, now)).await?;
    reply::view(&Sessions::of(views, Some(session.id.as_str())))
}

/// End one of my sessions
///
/// Its token is refused from the next request on.
#[utoipa::path(
    operation_id = "endSession",
    tag = "operators",
    params(("id" = String, Path, description = "The session", example = "ses_01m8695z4m2vegbk4pv3pxynbs"), ChangeQuery),
    responses(
        (status = 204, description = "Ended"),
        (status = 409, description = "`conflict`: it is no session that asks"),
    ),
)]
#[delete("/v1/sessions/{id}")]
pub(crate) async fn end(request: HttpRequest, id: Path<String>, act: Act) -> Result<HttpResponse, Problem> {
    let session = own(&request)?;
    act.run(move |services, context| operators::end_session(services, context, (&session.operator, &id))).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// List an operator's sessions
///
/// Those that have not ended, the newest first.
#[utoipa::path(
    operation_id = "listOperatorSessions",
    tag = "operators",
    params(("name" = OperatorName, Path, description = "The operator", example = "alice")),
    responses((status = 200, description = "The sessions", body = Sessions)),
)]
#[get("/v1/operators/{name}/sessions")]
pub(crate) async fn list_of(reading: Read, name: Path<OperatorName>, _: NoQuery) -> Result<HttpResponse, Problem> {
    let views = reading.run(move |services, now| operators::sessions(services, &name, now)).await?;
    reply::view(&Sessions::of(views, None))
}

/// End an operator's session
///
/// Its token is refused from the next request on.
#[utoipa::path(
    operation_id = "endOperatorSession",
    tag = "operators",
    params(
        ("name" = OperatorName, Path, description = "The operator", example = "alice"),
        ("id" = String, Path, description = "The session", example = "ses_01m8695z4m2vegbk4pv3pxynbs"),
        ChangeQuery,
    ),
    responses((status = 204, description = "Ended")),
)]
#[delete("/v1/operators/{name}/sessions/{id}")]
pub(crate) async fn end_of(path: Path<(OperatorName, String)>, act: Act) -> Result<HttpResponse, Problem> {
    let (name, id) = path.into_inner();
    act.run(move |services, context| operators::end_session(services, context, (&name, &id))).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Change my password
///
/// Takes the present one too; guesses at it wait as failed logins do. All other sessions end. An owner sets another's with `PATCH
/// /v1/operators/{name}`.
#[utoipa::path(
    operation_id = "changePassword",
    tag = "operators",
    params(("name" = OperatorName, Path, description = "The operator who asks", example = "alice"), ChangeQuery),
    request_body = PasswordRequest,
    responses(
        (status = 200, description = "Changed", body = OperatorAnswer, headers(("ETag" = String))),
        (status = 403, description = "`forbidden`: it is another operator's"),
        (status = 409, description = "`conflict`: it is no session that asks"),
        (status = 429, description = "`too_many_attempts`: wait for `Retry-After` seconds"),
    ),
)]
#[post("/v1/operators/{name}/password")]
pub(crate) async fn change_password(
    state: Data<State>,
    request: HttpRequest,
    name: Path<OperatorName>,
    PrivateChange(change): PrivateChange<PasswordRequest>,
) -> Result<HttpResponse, Problem> {
    let session = own(&request)?;
    if session.operator != *name {
        let detail = "this changes one's own password: an owner sets another's with `PATCH /v1/operators/{name}`";
        return Err(Problem::new(Code::Forbidden, detail));
    }
    let address = origin(&request).address.unwrap_or_default();
    state.delays.begin(name.as_str(), &address, state.clock.now_ms()).map_err(NotLoggedIn::Delayed)?;
    let turn = state.hashing.turn().await?;
    let work = move |services: &_, context: &_, body: PasswordRequest| {
        let _turn = turn;
        let passwords = (&body.current.0, &body.password.0);
        let done = operators::change_password(services, context, (&session.operator, &session.id), passwords);
        let is_wrong = matches!(&done, Err(Error::Invalid(errors)) if errors.iter().any(|error| error.code == "wrong"));
        if !is_wrong {
            state.delays.succeeded(session.operator.as_str(), &address);
        }
        done
    };
    reply::changed(change.run(work).await?, OperatorAnswer::from)
}
