//! Is it alive, is it ready, and what has it counted.

use super::metrics;
use super::problem::Problem;
use super::query::NoQuery;
use super::reply;
use super::state::State;
use ::metrics::gauge;
use actix_web::http::header;
use actix_web::web::{Data, block};
use actix_web::{HttpResponse, get};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// Usage that has waited longer than this to be written makes the server not ready.
const MAX_FLUSH_LAG: Duration = Duration::from_secs(10);

#[derive(Debug, Serialize, ToSchema)]
struct Alive {
    #[schema(value_type = String, example = "alive")]
    status: &'static str,
}

/// Whether the process is alive
///
/// It answers, so it is. Whether it should be sent requests is what `/readyz` says.
#[utoipa::path(
    operation_id = "getHealth",
    tag = "server",
    responses((status = 200, description = "Alive", body = Alive)),
)]
#[get("/healthz")]
pub(crate) async fn healthz(_: NoQuery) -> Result<HttpResponse, Problem> {
    reply::ok(&Alive { status: "alive" })
}

#[derive(Debug, Serialize, ToSchema)]
struct Readiness {
    ready: bool,
    /// Why it is not ready, in words; empty where it is.
    #[schema(example = json!([]))]
    reasons: Vec<String>,
    /// The active revision of the policy.
    #[schema(minimum = 0, example = 1)]
    revision: u64,
    /// The last change of the control plane.
    #[schema(minimum = 0, example = 12)]
    last_change: u64,
    /// A kill now would lose no charge that is older than this.
    #[schema(minimum = 0, example = 20)]
    flush_lag_ms: u64,
    /// How far the wall clock has stepped since the start. Steps are not followed.
    #[schema(example = 0)]
    clock_stepped_ms: i64,
}

impl Readiness {
    fn of(state: &State) -> Self {
        let watched = &state.watched;
        let store = watched.store.health();
        let lag = watched.flusher.lag();
        let mut reasons = Vec::new();
        if let Some(why) = &store.read_only {
            reasons.push(format!("the store takes no changes: {why}"));
        }
        if let Some(why) = watched.following.trouble() {
            reasons.push(format!("the engine no longer follows the store, restart: {why}"));
        }
        // ORDER: trouble first. It is there with the first failure, long before the lag says so.
        if let Some(why) = watched.flusher.trouble() {
            reasons.push(format!("usage was last written {} ms ago: {why}", lag.as_millis()));
        } else if lag > MAX_FLUSH_LAG {
            reasons.push(format!("usage was last written {} ms ago: the disk does not keep up", lag.as_millis()));
        }
        if state.traffic.is_draining() {
            reasons.push("the server is stopping".to_owned());
        }
        Self {
            ready: reasons.is_empty(),
            reasons,
            revision: state.engine.snapshot().revision,
            last_change: store.seq,
            flush_lag_ms: u64::try_from(lag.as_millis()).unwrap_or(u64::MAX),
            clock_stepped_ms: state.clock.stepped_ms(),
        }
    }
}

/// Whether to send it requests
///
/// Ready: changes are taken, usage is being written, the engine follows the store.
#[utoipa::path(
    operation_id = "getReadiness",
    tag = "server",
    responses(
        (status = 200, description = "Ready", body = Readiness),
        (status = 503, description = "Not ready; `reasons` say why", body = Readiness, content_type = "application/json"),
    ),
)]
#[get("/readyz")]
pub(crate) async fn readyz(state: Data<State>, _: NoQuery) -> Result<HttpResponse, Problem> {
    let readiness = Readiness::of(&state);
    let mut response = reply::ok(&readiness)?;
    if !readiness.ready {
        *response.status_mut() = actix_web::http::StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(response)
}

/// Metrics in the Prometheus text format
#[utoipa::path(
    operation_id = "getMetrics",
    tag = "server",
    responses((status = 200, description = "Everything that is counted", body = String, content_type = "text/plain")),
)]
#[get("/metrics")]
pub(crate) async fn scrape(state: Data<State>, _: NoQuery) -> Result<HttpResponse, Problem> {
    let (services, now) = (Arc::clone(&state.services), state.clock.now_ms());
    let standing = block(move || services.board().standing(now)).await;
    metrics::tell(&standing.map_err(|error| Problem::internal(&error))?);
    let readiness = Readiness::of(&state);
    let store = state.watched.store.health();
    gauge!("quotagate_ready").set(f64::from(u8::from(readiness.ready)));
    gauge!("quotagate_policy_revision").set(readiness.revision as f64);
    gauge!("quotagate_accounts").set(state.engine.accounts() as f64);
    gauge!("quotagate_store_changes").set(store.seq as f64);
    gauge!("quotagate_store_read_only").set(f64::from(u8::from(store.read_only.is_some())));
    gauge!("quotagate_flush_lag_seconds").set(state.watched.flusher.lag().as_secs_f64());
    gauge!("quotagate_flush_waiting_records").set(state.engine.dirty() as f64);
    gauge!("quotagate_history_dropped").set(state.services.history_dropped() as f64);
    gauge!("quotagate_history_damaged").set(state.watched.store.history_damaged() as f64);
    gauge!("quotagate_clock_stepped_seconds").set(readiness.clock_stepped_ms as f64 / 1_000.0);
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"))
        .body(state.watched.recorder.render()))
}
