//! Usage is written behind: what changed since the last time, as absolute states, every interval.
//!
//! Where the store asks for a renewal, everything is marked as changed, part by part, and goes the same way: calmly where
//! that is worth it, at once where what was written may be gone.

use super::history::History;
use crate::domain::ids::AccountId;
use crate::engine::{Engine, Group, STORED_PARTS};
use crate::store::{CounterStore, Renewal, StoreError};
use metrics::{gauge, histogram};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often what was written is made to outlive a power cut.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// How long a write waits after one that failed: nothing is encoded over and over for a disk that does not take it.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// The same for a renewal that was only worth it.
const RENEW_AFTER: Duration = Duration::from_secs(10);
/// How long a stop tries to write what memory still holds.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
const STOP_PAUSE: Duration = Duration::from_millis(100);
/// Records a second that a calm renewal marks as changed.
const RENEWED_EACH_SECOND: u128 = 80_000;
/// Marked at once at least, and in a renewal that is in a hurry.
const RENEWED_AT_ONCE: usize = 4_000;

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
    work: Mutex<Work>,
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

/// What the thread that writes has under way.
struct Work {
    pass: Option<Pass>,
    synced: Instant,
    history_synced: Instant,
    /// Nothing is written before.
    write_after: Instant,
    renew_after: Instant,
}

/// A renewal under way.
struct Pass {
    /// The part that is marked as changed next.
    next: usize,
    /// What was written may be gone: it does not take its time.
    heals: bool,
}

impl Work {
    fn new() -> Self {
        let now = Instant::now();
        Self { pass: None, synced: now, history_synced: now, write_after: now, renew_after: now }
    }

    fn passed(&self) -> bool {
        self.pass.as_ref().is_some_and(|pass| pass.next == STORED_PARTS)
    }
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
            work: Mutex::new(Work::new()),
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

    /// Writes what is left and makes it durable; nothing is written afterwards. Where the disk does not take it, it is
    /// tried again for a few seconds.
    pub fn stop(&self) -> Result<(), StoreError> {
        *self.shared.stopping.lock() = true;
        self.shared.woken.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            // A panic of the thread is in the log; what it left is written here.
            _ = thread.join();
        }
        let written = self.shared.write_last();
        // ORDER: the history last. Where it cannot be written, usage is not lost with it.
        let kept = self.shared.history.as_ref().map_or(Ok(()), |kept| kept.history.write_all());
        written.and(kept)
    }
}

impl Shared {
    fn run(&self, interval: Duration) {
        let mut stopping = self.stopping.lock();
        while !*stopping {
            self.woken.wait_for(&mut stopping, interval);
            parking_lot::MutexGuard::unlocked(&mut stopping, || {
                let mut work = self.work.lock();
                // ORDER: before the changed records are taken. What is charged during the write waits for the next.
                let begun = Instant::now();
                if begun >= work.write_after {
                    let written = self.step(&mut work, interval);
                    work.write_after = if written.is_err() { begun + RETRY_AFTER } else { begun };
                    self.note(begun, written);
                }
                self.keep_history(&mut work, interval);
            });
        }
    }

    fn write_last(&self) -> Result<(), StoreError> {
        let mut work = self.work.lock();
        let until = Instant::now() + STOP_PATIENCE;
        loop {
            let begun = Instant::now();
            let written = self.step(&mut work, Duration::ZERO).and_then(|()| self.store.sync());
            self.note(begun, written.clone());
            match written {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() >= until => {
                    let accounts = self.engine.dirty();
                    tracing::error!(%error, accounts, "what these accounts used since it was last written is lost");
                    return Err(error);
                }
                Err(_) => std::thread::sleep(STOP_PAUSE),
            }
        }
    }

    /// Writes what has changed, and a part of everything where there is a renewal; syncs when that is due.
    fn step(&self, work: &mut Work, interval: Duration) -> Result<(), StoreError> {
        self.begin_pass(work)?;
        loop {
            let Some(pass) = &mut work.pass else {
                self.write()?;
                break;
            };
            self.mark(pass, interval);
            self.write()?;
            if !pass.heals || pass.next == STORED_PARTS {
                break;
            }
        }
        if work.synced.elapsed() >= SYNC_EVERY || work.passed() {
            self.store.sync()?;
            work.synced = Instant::now();
        }
        self.end_pass(work)?;
        gauge!("quotagate_usage_bytes").set(self.store.bytes() as f64);
        Ok(())
    }

    fn begin_pass(&self, work: &mut Work) -> Result<(), StoreError> {
        let heals = match self.store.renewal() {
            Renewal::Needed => true,
            Renewal::Worth if work.pass.is_none() && Instant::now() >= work.renew_after => false,
            Renewal::Worth | Renewal::NotNow => return Ok(()),
        };
        match self.store.begin_renewal() {
            Ok(()) => work.pass = Some(Pass { next: 0, heals }),
            Err(error) if heals || self.store.renewal() == Renewal::Needed => return Err(error),
            Err(error) => Self::put_off(work, &error),
        }
        Ok(())
    }

    fn end_pass(&self, work: &mut Work) -> Result<(), StoreError> {
        if !work.passed() || Instant::now() < work.renew_after {
            return Ok(());
        }
        match (self.store.finish_renewal(), &work.pass) {
            (Ok(()), _) => work.pass = None,
            (Err(error), Some(Pass { heals: true, .. })) => return Err(error),
            (Err(error), _) if self.store.renewal() == Renewal::Needed => return Err(error),
            (Err(error), _) => Self::put_off(work, &error),
        }
        Ok(())
    }

    /// Everything is written and goes on being written: this can wait.
    fn put_off(work: &mut Work, error: &StoreError) {
        tracing::warn!(%error, "usage takes more room than it has to: it is tried again in a while");
        work.renew_after = Instant::now() + RENEW_AFTER;
    }

    /// Marks the next records of a renewal as changed.
    fn mark(&self, pass: &mut Pass, interval: Duration) {
        let in_time = usize::try_from(RENEWED_EACH_SECOND * interval.as_millis() / 1_000).unwrap_or(usize::MAX);
        let most = if pass.heals { RENEWED_AT_ONCE } else { in_time.max(RENEWED_AT_ONCE / 4) };
        let mut marked = 0;
        while marked < most && pass.next < STORED_PARTS {
            marked += self.engine.mark_part(pass.next);
            pass.next += 1;
        }
    }

    fn note(&self, begun: Instant, written: Result<(), StoreError>) {
        let mut lag = self.lag.lock();
        match written {
            Ok(()) => {
                if lag.trouble.is_some() {
                    tracing::info!("usage is written again, all of it");
                }
                *lag = Lag { since: Some(begun), trouble: None };
            }
            Err(error) => {
                if lag.trouble.is_none() {
                    tracing::error!(%error, "usage could not be written");
                }
                lag.trouble = Some(error.to_string());
            }
        }
    }

    /// What cannot be written waits in memory, bounded, and keeps usage from nothing.
    fn keep_history(&self, work: &mut Work, interval: Duration) {
        let Some(Kept { history, now }) = &self.history else { return };
        let now = now();
        let kept = history.write(now, interval).and_then(|()| history.tidy(now)).and_then(|_| {
            if work.history_synced.elapsed() < SYNC_EVERY {
                return Ok(());
            }
            work.history_synced = Instant::now();
            history.sync()
        });
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
