//! What has to be known of all open requests at any time: how many there are, which expire when, how fast others were
//! answered. Derived from the store: it sees every change of a request once, in order.

use super::record::RequestRecord;
use super::timing::{DueAt, LIMIT_DAYS, TARGET_DAYS};
use crate::calendar::{Calendar, Pause};
use crate::domain::ids::AccountId;
use crate::domain::raise_request::State;
use crate::services::history::histogram::{Histogram, amount_bucket, amount_of};
use crate::services::{Error, stored};
use crate::store::{AdminStore, Key, Table, Versioned, Write};
use compact_str::CompactString;
use parking_lot::Mutex;
use std::collections::BTreeMap;

const MINUTE_MS: i64 = 60_000;
const OPEN_STATES: [State; 4] = [State::Submitted, State::InReview, State::NeedsInfo, State::CounterOffered];

/// Open requests, and how long the answers took.
pub struct Board {
    calendar: Calendar,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// INVARIANT: as many as are open, which [`super::MAX_OPEN`] bounds.
    open: BTreeMap<CompactString, Entry>,
    /// Working time from filing to a reviewer's decision, in minutes.
    answers: Histogram,
    /// Of those that are closed: past the target, past the limit.
    breaches: [u64; 2],
}

#[derive(Clone)]
struct Entry {
    account: AccountId,
    state: State,
    filed_at_ms: i64,
    pauses: Vec<Pause>,
    target: DueAt,
    limit: DueAt,
    answer_by: Option<DueAt>,
}

/// How all requests stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub open: [(State, usize); 4],
    /// The most working time that an open request has waited for its answer.
    pub oldest_ms: i64,
    /// Requests of any state that had no answer within the target, and within the limit.
    pub breaches: [u64; 2],
    pub answers: u64,
    /// Working time that half of all answers took at most, and 95 % of them; to an eighth. None: there are none.
    pub p50_ms: Option<i64>,
    pub p95_ms: Option<i64>,
}

impl Default for Board {
    fn default() -> Self {
        Self::new(Calendar::china_mainland().clone())
    }
}

impl Board {
    #[must_use]
    pub fn new(calendar: Calendar) -> Self {
        Self { calendar, inner: Mutex::default() }
    }

    #[must_use]
    pub fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// Takes in every request that is stored.
    pub(in crate::services) fn read_from(&self, store: &dyn AdminStore) -> Result<(), Error> {
        stored::each::<RequestRecord>(store, Table::RaiseRequests, &Key::empty(), |key, found| {
            let id = key.read().text().unwrap_or_default();
            if found.value.state.is_closed() {
                self.inner.lock().close(&self.calendar, &found.value);
            } else {
                self.put(id.into(), &found.value);
            }
            Ok(())
        })
    }

    /// Takes in a write that was committed.
    pub(in crate::services) fn follow(&self, write: &Write) -> Result<(), Error> {
        let (Table::RaiseRequests, Some(value)) = (write.table, &write.value) else { return Ok(()) };
        let found = Versioned { revision: 0, value: value.clone() };
        let record = stored::decode::<RequestRecord>(write.table, &write.key, found)?.value;
        let id = CompactString::from(write.key.read().text().unwrap_or_default());
        if !record.state.is_closed() {
            self.put(id, &record);
            return Ok(());
        }
        let mut inner = self.inner.lock();
        // One that was closed before has been counted.
        if inner.open.remove(&id).is_some() {
            inner.close(&self.calendar, &record);
        }
        Ok(())
    }

    fn put(&self, id: CompactString, record: &RequestRecord) {
        let entry = Entry {
            target: record.due(&self.calendar, TARGET_DAYS),
            limit: record.due(&self.calendar, LIMIT_DAYS),
            answer_by: record.answer_by(&self.calendar),
            account: record.account.clone(),
            state: record.state,
            filed_at_ms: record.filed.at_ms,
            pauses: record.pauses(),
        };
        self.inner.lock().open.insert(id, entry);
    }

    /// How many are open, and how many of them are an account's.
    pub(super) fn open(&self, account: &AccountId) -> (usize, usize) {
        let inner = self.inner.lock();
        (inner.open.len(), inner.open.values().filter(|entry| entry.account == *account).count())
    }

    /// Those whose question or offer was to be answered by now.
    pub(super) fn expired(&self, now: i64) -> Vec<CompactString> {
        let come = |entry: &Entry| entry.answer_by.as_ref().is_some_and(|by| by.has_come(now));
        self.inner.lock().open.iter().filter(|(_, entry)| come(entry)).map(|(id, _)| id.clone()).collect()
    }

    /// Counts everything. It goes over all open requests: not for an async thread.
    #[must_use]
    pub fn standing(&self, now: i64) -> Standing {
        // The committer waits for the lock: what takes long is counted without it.
        let (entries, mut standing) = self.inner.lock().begin_count();

        for entry in entries {
            let past = [&entry.target, &entry.limit].map(|due| due.has_come(now));
            past.into_iter().zip(&mut standing.breaches).for_each(|(past, count)| *count += u64::from(past));
            if entry.answer_by.as_ref().is_some_and(|by| by.has_come(now)) {
                continue;
            }
            let count = standing.open.iter_mut().find(|(state, _)| *state == entry.state);
            count.into_iter().for_each(|(_, count)| *count += 1);
            let waited = self.calendar.worked_ms(entry.filed_at_ms, now, &entry.pauses).unwrap_or(0);
            standing.oldest_ms = standing.oldest_ms.max(waited);
        }
        standing
    }
}

impl Inner {
    /// The open ones, and a standing in which only those that are closed are counted.
    fn begin_count(&self) -> (Vec<Entry>, Standing) {
        let standing = Standing {
            open: OPEN_STATES.map(|state| (state, 0)),
            oldest_ms: 0,
            breaches: self.breaches,
            answers: self.answers.total(),
            p50_ms: self.percentile(50),
            p95_ms: self.percentile(95),
        };
        (self.open.values().cloned().collect(), standing)
    }

    fn close(&mut self, calendar: &Calendar, record: &RequestRecord) {
        // Those that a rule decided were never open, and say nothing about how fast reviewers are.
        let Some(end) = record.closed_at_ms().filter(|_| !record.is_decided_by_rule()) else { return };
        for (days, count) in [TARGET_DAYS, LIMIT_DAYS].into_iter().zip(&mut self.breaches) {
            *count += u64::from(record.due(calendar, days).has_come(end));
        }
        let answered = matches!(record.state, State::Approved | State::PartiallyApproved | State::Denied);
        // What the calendar does not cover has no length.
        if let Some(took_ms) = record.worked_ms(calendar, end).filter(|_| answered) {
            self.answers.count(amount_bucket((took_ms / MINUTE_MS).unsigned_abs()));
        }
    }

    fn percentile(&self, percent: u64) -> Option<i64> {
        let minutes = amount_of(self.answers.percentile(percent)?);
        Some(i64::try_from(minutes).unwrap_or(i64::MAX).saturating_mul(MINUTE_MS))
    }
}
