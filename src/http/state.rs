//! What every handler shares.

use super::front::Front;
use super::metrics::Metrics;
use super::port::Admission;
use super::problem::{Code, Problem};
use crate::clock::Clock;
use crate::engine::Engine;
use crate::peers::Caps;
use crate::services::flush::Flusher;
use crate::services::operators::Delays;
use crate::services::{self, Following, Services, api_keys, due, raise_requests};
use crate::store::embedded::EmbeddedStore;
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How often it is written down when keys were last used.
const WRITE_USES_EVERY_MS: i64 = 15 * 60_000;

pub struct State {
    pub(crate) engine: Arc<Engine>,
    pub(crate) services: Arc<Services>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) metrics: Metrics,
    pub(crate) watched: Watched,
    pub(crate) max_body_bytes: usize,
    pub(crate) front: Front,
    pub(crate) admission: Arc<Admission>,
    pub(crate) traffic: Traffic,
    pub(crate) in_flight_keys: super::idempotency::InFlight,
    /// Failed logins.
    pub(crate) delays: Delays,
    pub(crate) hashing: Hashing,
    pub(crate) refusals: super::security_log::Refusals,
    uses_written_ms: AtomicI64,
    /// Held by the one verification of the audit log that may be under way.
    pub(crate) verifying: Arc<Semaphore>,
}

/// What readiness and the metrics look at.
pub struct Watched {
    pub store: Arc<EmbeddedStore>,
    pub following: Following,
    pub flusher: Arc<Flusher>,
    pub recorder: PrometheusHandle,
}

impl State {
    /// Install the metrics recorder before.
    #[must_use]
    pub fn new(services: Arc<Services>, clock: Arc<Clock>, watched: Watched, max_body_bytes: usize) -> Self {
        Self {
            uses_written_ms: AtomicI64::new(clock.now_ms()),
            engine: Arc::clone(services.engine()),
            services,
            clock,
            metrics: Metrics::new(),
            watched,
            max_body_bytes,
            front: Front::Local,
            admission: Admission::new(Caps::of_one_kind(usize::MAX)),
            traffic: Traffic::default(),
            in_flight_keys: super::idempotency::InFlight::default(),
            delays: Delays::default(),
            hashing: Hashing::default(),
            refusals: super::security_log::Refusals::default(),
            verifying: Arc::new(Semaphore::new(1)),
        }
    }

    /// How many connections there may be, any number of them otherwise.
    #[must_use]
    pub fn with_caps(self, caps: Caps) -> Self {
        Self { admission: Admission::new(caps), ..self }
    }

    /// Where requests come from, which is plain HTTP on a loopback address otherwise.
    #[must_use]
    pub fn with_front(self, front: Front) -> Self {
        Self { front, ..self }
    }
}

/// Logins at work: while one is hashed, which one at a time is, another one may be written down.
const AT_WORK: usize = 2;
/// Requests that wait for that.
const MAX_WAITING: usize = 32;

/// Turns at hashing passwords.
pub(crate) struct Hashing {
    waiting: Semaphore,
    turns: Arc<Semaphore>,
}

impl Default for Hashing {
    fn default() -> Self {
        Self { waiting: Semaphore::new(MAX_WAITING), turns: Arc::new(Semaphore::new(AT_WORK)) }
    }
}

impl Hashing {
    /// Waits for a turn, which lasts until what is returned is dropped.
    ///
    /// Errors: too many wait.
    pub(crate) async fn turn(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let busy = |_| Problem::new(Code::Busy, "too many passwords are being checked: try again");
        let _waiting = self.waiting.try_acquire().map_err(busy)?;
        Arc::clone(&self.turns).acquire_owned().await.map_err(|error| Problem::internal(&error))
    }
}

/// Requests in flight, and whether the server is about to stop.
#[derive(Debug, Default)]
pub struct Traffic {
    requests: AtomicUsize,
    draining: AtomicBool,
}

impl Traffic {
    /// Counts one request until what is returned is dropped.
    pub(crate) fn enter(&self) -> InTraffic<'_> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        InTraffic(self)
    }

    /// From now on every answer closes its connection.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.requests.load(Ordering::Relaxed) == 0
    }
}

pub(crate) struct InTraffic<'a>(&'a Traffic);

impl Drop for InTraffic<'_> {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

impl State {
    /// What has to be looked at every second: the wall clock, the recorder's own upkeep.
    pub fn tick(&self) {
        self.clock.observe();
        self.watched.recorder.run_upkeep();
    }

    /// Notices tiers that have changed, and raise requests that have expired, by time alone, and writes now and then which keys were used. It blocks on the store.
    ///
    /// Errors: a record cannot be read or written; what is left is for the next time.
    pub fn notice(&self) -> Result<(), services::Error> {
        if self.watched.store.health().read_only.is_some() {
            return Ok(());
        }
        let now = self.clock.now_ms();
        due::catch_up(&self.services, now)?;
        due::notice(&self.services, now, || self.metrics.tier_changes.increment(1))?;
        raise_requests::expire(&self.services, now, || self.metrics.raises_expired.increment(1))?;
        // ORDER: last, because it is the least of it.
        if now - self.uses_written_ms.load(Ordering::Relaxed) >= WRITE_USES_EVERY_MS {
            self.write_uses()?;
        }
        Ok(())
    }

    /// Writes down when keys were last used. It blocks on the store.
    ///
    /// Errors: it cannot be written; it is tried again later.
    pub fn write_uses(&self) -> Result<(), services::Error> {
        let now = self.clock.now_ms();
        self.uses_written_ms.store(now, Ordering::Relaxed);
        api_keys::write_uses(&self.services, now)
    }

    #[must_use]
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }
}
