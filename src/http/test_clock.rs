//! A door to the manual clock. Only with the feature `manual-clock`, which is for tests.

use super::body::{self, JsonBytes};
use super::problem::Problem;
use super::reply;
use super::state::State;
use actix_web::web::Data;
use actix_web::{HttpResponse, post};
use serde::Deserialize;
use std::time::Duration;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_ms: u64,
}

/// Moves the clock forward and says what it shows.
#[post("/test/clock")]
pub(crate) async fn advance(state: Data<State>, body: JsonBytes) -> Result<HttpResponse, Problem> {
    let Advance { advance_ms } = body::parse(&body.0)?;
    let now_ms = state.clock.advance(Duration::from_millis(advance_ms));
    reply::ok(&serde_json::json!({ "now_ms": now_ms }))
}
