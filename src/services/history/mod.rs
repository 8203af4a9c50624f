//! What accounts used in the past, by limit: single minutes for 48 hours, hours for 90 days (docs/history.md).
//!
//! Owns: taking minutes out of the engine and adding them to the hours in the store ([`History::write`]), thinning and
//! dropping old hours ([`History::tidy`]), reading ranges ([`read`]) and sums of them ([`summary`]), and which limits
//! were busiest of late ([`top`]).
//! Deliberately absent: what is counted (`engine`), a clock.

pub(super) mod histogram;
mod hour;
mod read;
mod summary;
mod tidy;
mod top;

pub use read::{MAX_POINTS, Point, Range, Series, Step, read};
pub use summary::{ByHour, Summary, Week, any_before, by_hour, summary};
pub use top::{MAX_TOP, TopBy, TopRow, top};

use super::{Error, Services};
use crate::domain::account::LimitKey;
use crate::domain::history::{MINUTE_MS, Tally};
use crate::domain::ids::{AccountId, PolicyId};
use crate::engine::{Engine, HISTORY_PARTS};
use crate::store::{HistoryStore, Key, StoreError};
use hour::Hour;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tidy::Walk;
use top::Top;

pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Single minutes are kept so long.
pub const MINUTES_KEPT_MS: i64 = 48 * HOUR_MS;
/// Hours are kept so long.
pub const HOURS_KEPT_MS: i64 = 90 * 24 * HOUR_MS;
/// Minutes that have passed are written within this time.
const ROUND: Duration = Duration::from_secs(5);
/// Hours that wait to be written; what comes beyond is dropped.
const MAX_WAITING: usize = 1 << 20;

/// What one group of an account waits to have added to an hour.
type Waiting = BTreeMap<(AccountId, PolicyId, u32), Hour>;

/// Keeps the history.
pub struct History {
    engine: Arc<Engine>,
    store: Arc<dyn HistoryStore>,
    /// INVARIANT: what was decided is in the engine, here or in the store, in one of them only, whenever nobody holds
    /// this for writing.
    waiting: RwLock<Waiting>,
    next_part: AtomicUsize,
    dropped: AtomicU64,
    walk: Mutex<Walk>,
    top: Mutex<Top>,
}

impl History {
    #[must_use]
    pub fn new(engine: Arc<Engine>, store: Arc<dyn HistoryStore>) -> Self {
        Self {
            engine,
            store,
            waiting: RwLock::default(),
            next_part: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            walk: Mutex::default(),
            top: Mutex::default(),
        }
    }

    /// Writes minutes that have passed: a share of them, such that all are written in [`ROUND`] if it is called every
    /// `interval`.
    ///
    /// Errors: the store cannot be written; what was not written waits.
    pub fn write(&self, now: i64, interval: Duration) -> Result<(), StoreError> {
        let rounds = (ROUND.as_micros() / interval.as_micros().max(1)).clamp(1, HISTORY_PARTS as u128) as usize;
        let parts = HISTORY_PARTS.div_ceil(rounds);
        let first = self.next_part.fetch_add(parts, Ordering::Relaxed);
        self.write_parts((first..first + parts).map(|part| part % HISTORY_PARTS), now)
    }

    /// Writes everything, the present minute too.
    ///
    /// Errors: as for [`Self::write`].
    pub fn write_all(&self) -> Result<(), StoreError> {
        self.write_parts(0..HISTORY_PARTS, i64::MAX)
    }

    /// Makes what was written outlive a power cut.
    ///
    /// Errors: the store cannot be written.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.store.sync_history()
    }

    fn write_parts(&self, parts: impl Iterator<Item = usize>, until: i64) -> Result<(), StoreError> {
        let mut waiting = self.waiting.write();
        for part in parts {
            self.engine.drain_history(part, until, |account, minute, limits| {
                for (key, tally) in limits {
                    self.take(&mut waiting, account, minute, key, &tally);
                }
            });
        }
        let wrote = !waiting.is_empty();
        // In the order of the keys, so that neighbours find their leaf at hand.
        while let Some(next) = waiting.first_entry() {
            let (account, group, hour) = next.key();
            let key = key(account, group, *hour);
            let stored = self.store.get_history(key.as_bytes())?;
            let mut sum = stored.and_then(|bytes| Hour::read(&bytes)).unwrap_or_default();
            for (limit, minute, tally) in next.get().minutes() {
                sum.add(limit.clone(), minute, tally);
            }
            self.store.put_history(key.as_bytes(), Some(&sum.write()))?;
            next.remove();
        }
        if wrote { self.store.flush_history() } else { Ok(()) }
    }

    fn take(&self, waiting: &mut Waiting, account: &AccountId, minute: i64, key: LimitKey, tally: &Tally) {
        self.top.lock().note(account, minute, &key, tally);
        let Some((hour, place)) = place(minute) else { return };
        let LimitKey { group, limit } = key;
        let at = (account.clone(), group, hour);
        if waiting.len() >= MAX_WAITING && !waiting.contains_key(&at) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.entry(at).or_default().add(limit, place, tally);
    }

    /// Adds what was decided in a minute to what waits to be written, as if it came from the engine: for measurements.
    pub fn add(&self, account: &AccountId, minute: i64, key: LimitKey, tally: &Tally) {
        self.take(&mut self.waiting.write(), account, minute, key, tally);
    }

    /// How often something was left out because there was no room.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed) + self.engine.history_dropped()
    }

    /// Every hour of a group from `first` on and before `end`, in order, with what is not written yet.
    ///
    /// Errors: the store cannot be read.
    fn hours(&self, account: &AccountId, group: &PolicyId, (first, end): (u32, u32)) -> Result<Hours, StoreError> {
        let waiting = self.waiting.read();
        let mut hours = Hours::new();
        let end_key = key(account, group, end);
        let mut from = key(account, group, first).as_bytes().to_vec();
        loop {
            let found = self.store.scan_history(&from, end_key.as_bytes(), crate::store::MAX_SCAN)?;
            let Some((last, _)) = found.last() else { break };
            from = last.iter().copied().chain([0]).collect();
            hours.extend(found.iter().filter_map(|(key, value)| Some((hour_of(key)?, Hour::read(value)?))));
        }
        let within = |hour: u32| (first..end).contains(&hour);
        for ((its, of, hour), waits) in waiting.range((account.clone(), group.clone(), first)..) {
            if its != account || of != group || !within(*hour) {
                break;
            }
            for (limit, minute, tally) in waits.minutes() {
                hours.entry(*hour).or_default().add(limit.clone(), minute, tally);
            }
        }
        for (minute, key, tally) in self.engine.history(account.as_str()) {
            if let Some((hour, minute)) = place(minute).filter(|(hour, _)| within(*hour) && key.group == *group) {
                hours.entry(hour).or_default().add(key.limit, minute, &tally);
            }
        }
        Ok(hours)
    }
}

type Hours = BTreeMap<u32, Hour>;

impl Hour {
    /// The single minutes; there are no others where nothing was thinned.
    fn minutes(&self) -> impl Iterator<Item = (&PolicyId, u8, &Tally)> {
        self.0.iter().flat_map(|(limit, kept)| {
            let minutes = match kept {
                hour::Kept::Minutes(minutes) => Some(minutes),
                hour::Kept::Whole(_) => None,
            };
            minutes.into_iter().flatten().map(move |(minute, tally)| (limit, *minute, tally))
        })
    }
}

/// The hour of a minute since the epoch, and its place in it. None: it is before the epoch or too far ahead.
fn place(minute: i64) -> Option<(u32, u8)> {
    Some((u32::try_from(minute.div_euclid(60)).ok()?, minute.rem_euclid(60) as u8))
}

/// The hour that a moment is in.
fn hour_at(ms: i64) -> u32 {
    u32::try_from(ms.div_euclid(HOUR_MS).max(0)).unwrap_or(u32::MAX)
}

fn key(account: &AccountId, group: &PolicyId, hour: u32) -> Key {
    Key::build().text(account.as_str()).text(group.as_str()).u32(hour).finish()
}

/// The hour of a stored key: its last part.
fn hour_of(key: &[u8]) -> Option<u32> {
    key.last_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

impl Services {
    /// How often something is not in the history because there was no room for it.
    #[must_use]
    pub fn history_dropped(&self) -> u64 {
        self.history.as_ref().map_or(0, |history| history.dropped())
    }

    fn history(&self) -> Result<&History, Error> {
        self.history.as_deref().ok_or_else(|| Error::not_found("history", "of any account"))
    }

    /// The history, and the main account that an account's is kept under.
    fn history_of(&self, account: &AccountId) -> Result<(&History, AccountId), Error> {
        let main = self.engine.main_of(account.as_str()).ok_or_else(|| Error::not_found("account", account))?;
        Ok((self.history()?, main))
    }
}
