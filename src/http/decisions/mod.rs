//! Decisions: the hot path. Synchronous and in memory, so a handler decides where it stands.

pub(crate) mod answer;
mod headers;
pub(crate) mod request;

use super::access::{self, Caller};
use super::body::{self, JsonBytes, Object};
use super::problem::{Code, Place, Problem};
use super::query;
use super::reply;
use super::state::State;
use crate::engine::DecideError;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, post};
use answer::DecisionView;
use request::DecisionRequest;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// Most decisions of one batch.
const MAX_BATCH: usize = 256;
/// Room for a usual answer: two limits and a reservation.
const ANSWER_BYTES: usize = 768;

/// Decide one request
///
/// Checks every limit of the account on the resource at once and, where all admit, charges all. A denial is an answer
/// with status 200: forward its `headers` with a status of your own, usually 429. A group that limits concurrency
/// needs `reserve`.
#[utoipa::path(
    operation_id = "decide",
    tag = "decisions",
    request_body(content = DecisionRequest, examples(
        ("A chat completion" = (value = json!({"account": "acme", "resource": "MiniMax-M2", "tokens": 1200}))),
        ("With a reservation" = (value = json!(
            {"account": "acme", "resource": "music-2.0", "reserve": {"id": "job-7", "ttl_ms": 60000}}
        ))),
        ("The verdict only" = (value = json!({"account": "acme", "resource": "MiniMax-M2", "dry_run": true}))),
    )),
    responses(
        (status = 200, description = "Allowed or denied", body = DecisionView, examples(
            ("Allowed" = (value = json!({"decision": "allow", "revision": 1, "limits": [
                {"group": "text.m2", "id": "rpm", "scope": "account", "unit": "requests", "window_ms": 60000,
                 "quota": 20, "used": 1, "remaining": 19, "reset_after_ms": 60000},
                {"group": "text.m2", "id": "tpm", "scope": "account", "unit": "tokens", "window_ms": 60000,
                 "quota": 1000000, "used": 1200, "remaining": 998800, "reset_after_ms": 60000},
            ]}))),
            ("Denied" = (value = json!({
                "decision": "deny", "revision": 1, "reason": "quota_exceeded", "violated": ["rpm"],
                "retry_after_ms": 57304,
                "headers": {"Retry-After": "58", "retry-after-ms": "57304",
                    "RateLimit-Policy": "\"rpm\";q=20;w=60, \"tpm\";q=1000000;w=60",
                    "RateLimit": "\"rpm\";r=0;t=58, \"tpm\";r=976000;t=60"},
                "way_out": {"tier": "paid", "needs": {"net_paid": {"CNY": 1}, "have": {"CNY": 0}},
                    "raise_request": true},
                "limits": [
                    {"group": "text.m2", "id": "rpm", "scope": "account", "unit": "requests", "window_ms": 60000,
                     "quota": 20, "used": 20, "remaining": 0, "reset_after_ms": 59304},
                    {"group": "text.m2", "id": "tpm", "scope": "account", "unit": "tokens", "window_ms": 60000,
                     "quota": 1000000, "used": 24000, "remaining": 976000, "reset_after_ms": 59304},
                ],
            }))),
        )),
        (status = 409, description = "`reservation_conflict`: the reservation id is in use for something else; \
            `reservation_ended`: it has ended less than ten minutes ago"),
        (status = 503, description = "`capacity`: a table is full"),
    ),
)]
#[post("/v1/decisions")]
pub(crate) async fn decide(state: Data<State>, request: HttpRequest, body: JsonBytes) -> Result<HttpResponse, Problem> {
    no_parameters(&request)?;
    let caller = access::caller(&request)?;
    let mut request: DecisionRequest = body::parse(&body.0)?;
    let mut answer = Vec::with_capacity(ANSWER_BYTES);
    let now = state.clock.now_ms();
    decide_into(&mut answer, &state, (&caller, &mut request), now)?;
    Ok(reply::json_bytes(answer))
}

/// Errors: 422 with the parameter; who asks for `validate_only` is told what decisions have instead.
fn no_parameters(request: &HttpRequest) -> Result<(), Problem> {
    query::none(request).map_err(|problem| match form_urlencoded::parse(request.query_string().as_bytes()).next() {
        Some((name, _)) if name == "validate_only" => {
            let detail = "a decision has `dry_run: true` in its body in place of `validate_only`";
            Problem::field(Place::Query, "/validate_only", "unknown_field", detail)
        }
        _ => problem,
    })
}

fn decide_into(
    out: &mut Vec<u8>,
    state: &State,
    (caller, request): (&Caller, &mut DecisionRequest),
    now: i64,
) -> Result<(), Problem> {
    caller.must_reach(&state.engine, request.account())?;
    let costs = request.costs(&state.engine.snapshot())?;
    let request = request.to_engine(&costs);
    let decided = state.engine.decide(&request, now);
    state.metrics.count(&decided);
    answer::write(out, state, &request, &decided?, now);
    Ok(())
}

impl From<DecideError> for Problem {
    fn from(error: DecideError) -> Self {
        match error {
            DecideError::ReservationRequired => Self::new(Code::ReservationRequired, error.to_string()),
            DecideError::ReservationConflict => Self::new(Code::ReservationConflict, error.to_string()),
            DecideError::ReservationEnded(how) => {
                Self::new(Code::ReservationEnded, error.to_string()).with_ended(how.as_str())
            }
            DecideError::Capacity => Self::new(Code::Capacity, error.to_string()),
        }
    }
}

/// A batch, its decisions read as `T`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch<T> {
    decisions: Vec<T>,
}

/// Several requests, each decided on its own, in their order.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes `Batch` in the OpenAPI document")]
pub(crate) struct BatchRequest {
    #[schema(min_items = 1, max_items = 256)]
    decisions: Vec<DecisionRequest>,
}

/// One result for each request, in their order.
#[derive(Serialize, ToSchema)]
pub(crate) struct BatchAnswer<'a> {
    results: Vec<BatchResult<'a>>,
}

/// A decision, or why there is none.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes what is written piece by piece")]
pub(crate) enum BatchResult<'a> {
    #[schema(title = "Decided")]
    Decided(DecisionView<'a>),
    #[schema(title = "NotDecided")]
    NotDecided(BatchError),
}

#[derive(Serialize, ToSchema)]
pub(crate) struct BatchError {
    error: super::problem::Body,
}

/// Decide a batch
///
/// Up to 256 requests in one call. Each is decided on its own, in their order: one that is denied or not valid does
/// not stop the others. `results` has one entry for each, a decision or an `error`.
#[utoipa::path(
    operation_id = "decideBatch",
    tag = "decisions",
    request_body(content = BatchRequest, example = json!({"decisions": [
        {"account": "acme", "resource": "MiniMax-M2", "tokens": 1200},
        {"account": "acme", "resource": "speech-02-hd"},
    ]})),
    responses((status = 200, description = "One result for each request", body = BatchAnswer)),
)]
#[post("/v1/decisions/batch")]
pub(crate) async fn decide_batch(
    state: Data<State>,
    request: HttpRequest,
    body: JsonBytes,
) -> Result<HttpResponse, Problem> {
    no_parameters(&request)?;
    let caller = access::caller(&request)?;
    let now = state.clock.now_ms();
    // The usual batch is valid and read in one go; only a bad one is taken apart.
    let batch = match serde_json::from_slice::<Object<Batch<Object<DecisionRequest>>>>(&body.0) {
        Ok(Object(batch)) => batch.decisions.into_iter().map(|Object(request)| Ok(request)).collect(),
        Err(_) => one_by_one(&body.0)?,
    };
    if !(1..=MAX_BATCH).contains(&batch.len()) {
        let detail = format!("a batch has 1 to {MAX_BATCH} decisions, this one has {}", batch.len());
        return Err(Problem::field(Place::Body, "/decisions", "invalid_value", detail));
    }
    let mut answer = Vec::with_capacity(ANSWER_BYTES * batch.len());
    answer.extend_from_slice(b"{\"results\":[");
    for (position, item) in batch.into_iter().enumerate() {
        if position > 0 {
            answer.push(b',');
        }
        let decided = item.and_then(|mut request| decide_into(&mut answer, &state, (&caller, &mut request), now));
        if let Err(problem) = decided {
            answer.extend_from_slice(b"{\"error\":");
            // Writing to memory cannot fail.
            _ = serde_json::to_writer(&mut answer, problem.body());
            answer.push(b'}');
        }
    }
    answer.extend_from_slice(b"]}");
    Ok(reply::json_bytes(answer))
}

fn one_by_one(bytes: &[u8]) -> Result<Vec<Result<DecisionRequest, Problem>>, Problem> {
    let batch: Batch<Box<RawValue>> = body::parse(bytes)?;
    let most = batch.decisions.iter().take(MAX_BATCH + 1);
    Ok(most.map(|item| body::parse(item.get().as_bytes())).collect())
}
