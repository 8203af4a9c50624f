//! Reservations: read, settle, cancel, renew. In memory, like decisions.

use super::body::{self, JsonBytes};
use super::change::ChangeQuery;
use super::decisions::request::known;
use super::problem::{Code, Place, Problem};
use super::query::NoQuery;
use super::reply;
use super::state::State;
use super::wire::{LimitView, TtlMs, Units, limit_views, rfc3339};
use crate::domain::ids::PolicyId;
use crate::domain::quantity::Amount;
use crate::engine::{Amounts, Change, EndError, Handle, InvalidHandle, ReservationView};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, get, post};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A reservation as it stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Reservation)]
struct ReservationState {
    /// The caller's own id for it, where one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "job-7")]
    id: Option<String>,
    #[schema(example = "rs_AAAAAAAAAAAAAAABAAABnXqO4AphY21lLWV1")]
    handle: String,
    /// The account that asked.
    #[schema(example = "acme")]
    account: String,
    #[schema(example = "music-2.0")]
    resource: String,
    state: ReservationPhase,
    /// What was charged, before any settle.
    #[schema(minimum = 0)]
    requests: u64,
    #[schema(minimum = 0)]
    tokens: u64,
    /// Costs in the policy's own units.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false)]
    units: BTreeMap<String, u64>,
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:00:00.000Z")]
    made_at: CompactString,
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:01:00.000Z")]
    expires_at: CompactString,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    ended_at: Option<CompactString>,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ReservationPhase {
    Open,
    Settled,
    Cancelled,
    Expired,
}

impl ReservationState {
    fn of(handle: &Handle, view: ReservationView) -> Self {
        use crate::engine::How;
        let state = match view.ended {
            None => ReservationPhase::Open,
            Some((How::Settled, _)) => ReservationPhase::Settled,
            Some((How::Cancelled, _)) => ReservationPhase::Cancelled,
            Some((How::Expired, _)) => ReservationPhase::Expired,
        };
        Self {
            id: view.id,
            handle: handle.to_string(),
            account: view.account.to_string(),
            resource: view.resource,
            state,
            requests: view.costs.requests,
            tokens: view.costs.tokens,
            units: view.costs.others().iter().map(|(unit, cost)| (unit.to_string(), *cost)).collect(),
            made_at: rfc3339(view.made_at_ms),
            expires_at: rfc3339(view.expires_at_ms),
            ended_at: view.ended.map(|(_, at_ms)| rfc3339(at_ms)),
        }
    }
}

/// What a settle, cancel or renew came to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReservationChanged)]
struct Changed<'a> {
    /// The settle corrected a reservation that had expired.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(required = false)]
    late: bool,
    /// The same settle as before: nothing was charged.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(required = false)]
    replayed: bool,
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:01:00.000Z")]
    expires_at: CompactString,
    /// The limits of the reservation's account and resource, after it.
    #[schema(value_type = Vec<LimitView>)]
    limits: &'a [LimitView<'a>],
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// The true cost of what was reserved; what is left out stays as charged.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"tokens": 950}))]
struct Settle {
    #[serde(default)]
    requests: Option<Amount>,
    /// Input and output together.
    #[serde(default)]
    tokens: Option<Amount>,
    /// In the policy's own units, by name.
    #[serde(default)]
    units: Option<Units>,
}

/// How long the reservation is to go on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"ttl_ms": 60000}))]
struct Renew {
    /// From now on; it never lasts more than 24 h from when it was made.
    ttl_ms: TtlMs,
}

/// Read a reservation
///
/// Open ones, and ended ones for ten minutes.
#[utoipa::path(
    operation_id = "getReservation",
    tag = "reservations",
    params(("handle" = Handle, Path, description = "The `handle` that came with the decision")),
    responses(
        (status = 200, description = "The reservation", body = ReservationState),
        (status = 404, description = "`unknown_reservation`: it ended more than ten minutes ago, or never was"),
    ),
)]
#[get("/v1/reservations/{handle}")]
pub(crate) async fn read(state: Data<State>, path: Path<String>, _: NoQuery) -> Result<HttpResponse, Problem> {
    let handle = handle(&path)?;
    let view = state.engine.reservation(&handle, state.clock.now_ms()).ok_or(EndError::UnknownReservation)?;
    reply::view(&ReservationState::of(&handle, view))
}

/// Settle a reservation
///
/// Names what it truly cost. Less than was charged is given back, more is charged even past the quota; the slot is
/// freed. Settling the same again changes nothing; one that has expired may still be settled for ten minutes.
#[utoipa::path(
    operation_id = "settleReservation",
    tag = "reservations",
    params(("handle" = Handle, Path, description = "The `handle` that came with the decision"), ChangeQuery),
    request_body = Settle,
    responses(
        (status = 200, description = "Settled", body = Changed),
        (status = 404, description = "`unknown_reservation`: it ended more than ten minutes ago, or never was"),
        (status = 409, description = "`reservation_ended`: it was cancelled, or settled with other amounts"),
    ),
)]
#[post("/v1/reservations/{handle}/settle")]
pub(crate) async fn settle(
    state: Data<State>,
    path: Path<String>,
    request: HttpRequest,
    body: JsonBytes,
) -> Result<HttpResponse, Problem> {
    let query = ChangeQuery::read(&request)?;
    let Settle { requests, tokens, units } = body::parse(&body.0)?;
    let handle = handle(&path)?;
    let units = units.unwrap_or_default();
    settleable(&state, &handle, &units)?;
    let amounts = Amounts::new(requests.map(Amount::get), tokens.map(Amount::get), units.0);
    end(&state, &query, &handle, Change::Settle(&amounts))
}

/// A unit that a later revision has lost goes with what the reservation was charged in it.
///
/// Errors: a unit that neither the active policy nor the reservation has.
fn settleable(state: &State, handle: &Handle, units: &Units) -> Result<(), Problem> {
    let snapshot = state.engine.snapshot();
    if known(units, &snapshot).is_ok() {
        return Ok(());
    }
    let view = state.engine.reservation(handle, state.clock.now_ms()).ok_or(EndError::UnknownReservation)?;
    let carried = |unit: &PolicyId| view.costs.others().iter().any(|(carried, _)| carried == unit);
    let others = Units(units.0.iter().filter(|(unit, _)| !carried(unit)).cloned().collect());
    known(&others, &snapshot)
}

/// Cancel a reservation
///
/// The request never ran: everything it was charged is given back, and the slot is freed.
#[utoipa::path(
    operation_id = "cancelReservation",
    tag = "reservations",
    params(("handle" = Handle, Path, description = "The `handle` that came with the decision"), ChangeQuery),
    responses(
        (status = 200, description = "Cancelled", body = Changed),
        (status = 404, description = "`unknown_reservation`: it ended more than ten minutes ago, or never was"),
        (status = 409, description = "`reservation_ended`: it has ended already"),
    ),
)]
#[post("/v1/reservations/{handle}/cancel")]
pub(crate) async fn cancel(
    state: Data<State>,
    path: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    end(&state, &ChangeQuery::read(&request)?, &handle(&path)?, Change::Cancel)
}

/// Renew a reservation
///
/// It expires `ttl_ms` from now, but never later than 24 h after it was made.
#[utoipa::path(
    operation_id = "renewReservation",
    tag = "reservations",
    params(("handle" = Handle, Path, description = "The `handle` that came with the decision"), ChangeQuery),
    request_body = Renew,
    responses(
        (status = 200, description = "Renewed", body = Changed),
        (status = 404, description = "`unknown_reservation`: it ended more than ten minutes ago, or never was"),
        (status = 409, description = "`reservation_ended`: it has ended already"),
    ),
)]
#[post("/v1/reservations/{handle}/renew")]
pub(crate) async fn renew(
    state: Data<State>,
    path: Path<String>,
    request: HttpRequest,
    body: JsonBytes,
) -> Result<HttpResponse, Problem> {
    let query = ChangeQuery::read(&request)?;
    let Renew { ttl_ms } = body::parse(&body.0)?;
    end(&state, &query, &handle(&path)?, Change::Renew { ttl_ms: ttl_ms.0 })
}

fn handle(text: &str) -> Result<Handle, Problem> {
    Handle::parse(text).map_err(|error| not_a_handle(&error))
}

pub(super) fn not_a_handle(error: &InvalidHandle) -> Problem {
    Problem::field(Place::Path, "/handle", "invalid_value", error)
}

fn end(state: &State, query: &ChangeQuery, handle: &Handle, change: Change<'_>) -> Result<HttpResponse, Problem> {
    let now = state.clock.now_ms();
    let ended = match query.validate_only() {
        true => state.engine.preview(handle, change, now),
        false => state.engine.end(handle, change, now),
    }?;
    let limits = limit_views(&ended.snapshot, ended.group, &ended.limits);
    let expires_at = rfc3339(ended.expires_at_ms);
    reply::ok(&Changed { late: ended.late, replayed: ended.replayed, expires_at, limits: &limits })
}

impl From<EndError> for Problem {
    fn from(error: EndError) -> Self {
        match error {
            EndError::UnknownReservation => Self::new(
                Code::UnknownReservation,
                "no such reservation is remembered: it ended more than ten minutes ago, or never was",
            ),
            EndError::ReservationEnded(how) => {
                Self::new(Code::ReservationEnded, error.to_string()).with_ended(how.as_str())
            }
        }
    }
}
