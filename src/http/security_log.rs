//! The bounded log of logins and refusals.

use super::access;
use super::problem::Problem;
use super::query::NoQuery;
use super::reply;
use super::state::State;
use super::wire::rfc3339;
use crate::store::embedded::Attempt;
use actix_web::web::{Data, block};
use actix_web::{HttpRequest, HttpResponse, get};
use compact_str::CompactString;
use serde::Serialize;
use utoipa::ToSchema;

/// Attempts that are shown.
const SHOWN: usize = 200;

/// Someone asked to be let in.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
pub(crate) struct AttemptView {
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:00:00.000Z")]
    at: CompactString,
    /// `login.succeeded`, `login.failed` or `login.delayed`.
    #[schema(example = "login.failed")]
    kind: String,
    /// The name that was given, true or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "alice")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "127.0.0.1")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request_id: Option<String>,
}

impl From<Attempt> for AttemptView {
    fn from(attempt: Attempt) -> Self {
        let Attempt { at_ms, kind, name, origin } = attempt;
        Self { at: rfc3339(at_ms), kind, name, address: origin.address, request_id: origin.request_id }
    }
}

/// The latest attempts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SecurityLog)]
pub(crate) struct SecurityLog {
    #[schema(max_items = 200)]
    items: Vec<AttemptView>,
}

/// Read the security log
///
/// The latest 200 logins, those that failed and those that had to wait too, the newest first. It is bounded and apart from
/// the audit log, so that strangers cannot fill that.
#[utoipa::path(
    operation_id = "listSecurityLog",
    tag = "operators",
    responses((status = 200, description = "The latest", body = SecurityLog)),
)]
#[get("/v1/security-log")]
pub(crate) async fn list(state: Data<State>, request: HttpRequest, _: NoQuery) -> Result<HttpResponse, Problem> {
    access::caller(&request)?;
    let store = state.watched.store.clone();
    let found = block(move || store.attempts(SHOWN)).await.map_err(|error| Problem::internal(&error))?;
    let items = found.map_err(|error| Problem::internal(&error))?.into_iter().map(AttemptView::from).collect();
    reply::view(&SecurityLog { items })
}
