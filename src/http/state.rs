//! What every handler shares.

use super::metrics::Metrics;
use crate::clock::Clock;
use crate::engine::Engine;
use std::sync::Arc;

pub struct State {
    pub engine: Arc<Engine>,
    pub clock: Arc<Clock>,
    pub metrics: Metrics,
    pub max_body_bytes: usize,
}
