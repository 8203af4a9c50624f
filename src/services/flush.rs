//! Usage is written behind: what changed since the last time, as absolute states, every interval.

use super::history::History;
use crate::domain::ids::AccountId;
use crate::engine::{Engine, Group};
use crate::store::{CounterStore, StoreError};
use metrics::{gauge, histogram};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often what was written is made to outlive a power cut.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// Writes until it is stopped.
pub struct Flusher {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    engine: Arc<Engine>,
    store: Arc<dyn CounterStore>,
    history: Option<Kept>,
    history_troubled: AtomicBool,
    stopping: Mutex<bool>,
    woken: Condvar,
    /// Since when changes may wait, and why they could not be written.
    lag: Mutex<Lag>,
}

/// The history, and what tells the time: a minute is written once it has passed.
pub struct Kept {
    pub history: Arc<History>,
    pub now: Box<dyn Fn() -> i64 + Send + Sync>,
}

#[derive(Debug, Clone, Default)]
struct Lag {
    since: Option<Instant>,
    trouble: Option<String>,
}

impl Flusher {
    #[must_use]
    pub fn start(engine: Arc<Engine>, store: Arc<dyn CounterStore>, interval: Duration, history: Option<Kept>) -> Self {
        let shared = Arc::new(Shared {
            engine,
            store,
            history,
            history_troubled: AtomicBool::new(false),
            stopping: Mutex::new(false),
            woken: Condvar::new(),
            lag: Mutex::new(Lag { since: Some(Instant::now()), trouble: None }),
        });
        let running = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("quotagate-flush".to_owned());
        let thread = thread.spawn(move || running.run(interval)).ok();
        Self { shared, thread: Mutex::new(thread) }
    }

    /// A kill now loses nothing that was charged longer ago than this.
    #[must_use]
    pub fn lag(&self) -> Duration {
        self.shared.lag.lock().since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Why the last write failed, if it did.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.shared.lag.lock().trouble.clone()
    }

    /// Writes what is left and makes it durable; nothing is written afterwards.
    pub fn stop(&self) -> Result<(), StoreError> {
        *self.shared.stopping.lock() = true;
        self.shared.woken.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            // A panic of the thread is in the log; what it left is written here.
            _ = thread.join();
        }
        self.shared.write()?;
        // ORDER: the history last. Where it cannot be written, usage is not lost with it.
        let kept = self.shared.history.as_ref().map_or(Ok(()), |kept| kept.history.write_all());
        self.shared.store.sync().and(kept)
    }
}

impl Shared {
    fn run(&self, interval: Duration) {
        let mut synced = Instant::now();
        let mut stopping = self.stopping.lock();
        while !*stopping {
            self.woken.wait_for(&mut stopping, interval);
            parking_lot::MutexGuard::unlocked(&mut stopping, || {
                // ORDER: before the changed records are taken. What is charged during the write waits for the next.
                let begun = Instant::now();
                let written = self.write();
                self.keep_history(interval);
                let written = written.and_then(|()| {
                    if synced.elapsed() < SYNC_EVERY {
                        return Ok(());
                    }
                    synced = Instant::now();
                    self.store.sync()
                });
                self.note(begun, written);
            });
        }
    }

    fn note(&self, begun: Instant, written: Result<(), StoreError>) {
        let mut lag = self.lag.lock();
        match written {
            Ok(()) => *lag = Lag { since: Some(begun), trouble: None },
            Err(error) => {
                if lag.trouble.is_none() {
                    tracing::error!(%error, "usage could not be written");
                }
                lag.trouble = Some(error.to_string());
            }
        }
    }

    /// What cannot be written waits in memory, bounded, and keeps usage from nothing.
    fn keep_history(&self, interval: Duration) {
        let Some(Kept { history, now }) = &self.history else { return };
        let now = now();
        let kept = history.write(now, interval).and_then(|()| history.tidy(now));
        let troubled = kept.is_err();
        if let Err(error) = kept
            && !self.history_troubled.load(Ordering::Relaxed)
        {
            tracing::error!(%error, "the history of usage could not be written");
        }
        self.history_troubled.store(troubled, Ordering::Relaxed);
    }

    fn write(&self) -> Result<(), StoreError> {
        let begun = Instant::now();
        // Of each account what a write that failed would have to be known by.
        let mut removals: Vec<(AccountId, Group)> = Vec::new();
        let mut groups = Vec::new();
        self.engine.drain_dirty(|account, group| {
            removals.push((account.clone(), group.iter().filter(|(_, value)| value.is_none()).cloned().collect()));
            groups.push(group);
        });
        gauge!("quotagate_flush_dirty_records").set(groups.len() as f64);
        if groups.is_empty() {
            return Ok(());
        }
        let written = self.store.put_groups(groups);
        if written.is_err() {
            self.engine.put_back(&removals);
        }
        histogram!("quotagate_flush_seconds").record(begun.elapsed().as_secs_f64());
        written
    }
}
