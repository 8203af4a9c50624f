//! The bounded log of logins and refusals.

use super::access;
use super::change::origin_of;
use super::problem::{Code, Problem};
use super::query::NoQuery;
use super::reply;
use super::request_id::RequestId;
use super::state::State;
use super::wire::rfc3339;
use crate::services::credentials::without_secrets;
use crate::store::embedded::Attempt;
use actix_web::dev::ServiceRequest;
use actix_web::web::{Data, block};
use actix_web::{HttpRequest, HttpResponse, get};
use compact_str::CompactString;
use parking_lot::Mutex;
use serde::Serialize;
use utoipa::ToSchema;

/// Attempts that are shown.
const SHOWN: usize = 200;

/// Refusals that are written down in one second: a flood of them costs no more than that.
const REFUSALS_A_SECOND: u32 = 10;

/// The present second, and how many refusals were written in it.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<(i64, u32)>);

impl Refusals {
    fn may_write(&self, now: i64) -> bool {
        let mut written = self.0.lock();
        let second = now.div_euclid(1_000);
        if written.0 != second {
            *written = (second, 0);
        }
        written.1 += 1;
        written.1 <= REFUSALS_A_SECOND
    }
}

/// Writes down that somebody was refused for lack of a credential, or of what it allows.
pub(crate) fn note_refusal(state: &State, request: &ServiceRequest, (problem, id): (&Problem, &RequestId)) {
    let kind = match problem.code() {
        Code::Unauthorized => "access.unauthorized",
        Code::Forbidden => "access.forbidden",
        _ => return,
    };
    let now = state.clock.now_ms();
    if !state.refusals.may_write(now) {
        return;
    }
    let asked = format!("{} {}", request.method(), without_secrets(request.path()));
    let origin = origin_of(request.request(), Some(id));
    let attempt = Attempt { at_ms: now, kind: kind.to_owned(), name: Some(asked), origin };
    let store = state.watched.store.clone();
    // Nobody waits for it: it is a help, not the truth.
    drop(block(move || {
        if let Err(error) = store.note_attempt(&attempt) {
            tracing::warn!(%error, "the security log cannot be written");
        }
    }));
}

/// Someone asked to be let in, or was refused.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
pub(crate) struct AttemptView {
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:00:00.000Z")]
    at: CompactString,
    /// `login.succeeded`, `login.failed`, `login.delayed`, `access.unauthorized` or `access.forbidden`.
    #[schema(example = "login.failed")]
    kind: String,
    /// The operator; absent where there is none of the name that was given, because that may be a password that was typed in the
    /// wrong field. Of a refusal what was asked for.
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
/// The latest 200 logins, those that failed and those that had to wait too, and refusals, ten a second at most; the newest
/// first. It is bounded and apart from the audit log, so that strangers cannot fill that.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_written_ten_times_a_second() {
        let refusals = Refusals::default();

        let written = |at: i64| (0..100).filter(|_| refusals.may_write(at)).count();

        assert_eq!([written(0), written(999), written(1_000)], [10, 0, 10]);
    }
}
