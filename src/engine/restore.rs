//! Usage from the store back into the engine, at start.

use super::codec::{self, Piece, Usage};
use super::record::Record;
use super::{Engine, UnknownAccounts};
use crate::domain::ids::AccountId;

/// Takes the pairs that [`Engine::drain_dirty`] gave, in key order.
pub struct Restorer<'e> {
    engine: &'e Engine,
    /// Usage later than this is dropped; None keeps all.
    accept_until: Option<i64>,
    pending: Option<Pending>,
    report: RestoreReport,
}

struct Pending {
    account: String,
    set: u8,
    parts: u32,
    next: u32,
    bytes: usize,
    checksum: u64,
    body: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RestoreReport {
    pub accounts: u64,
    /// Of accounts that do not exist.
    pub unknown: u64,
    /// Not readable; their usage is lost.
    pub damaged: u64,
    /// Later than the clock that was accepted.
    pub dropped: u64,
    /// The latest time that any record has seen.
    pub latest_ms: Option<i64>,
}

impl<'e> Restorer<'e> {
    pub(super) fn new(engine: &'e Engine, accept_until: Option<i64>) -> Self {
        Self { engine, accept_until, pending: None, report: RestoreReport::default() }
    }

    pub fn record(&mut self, key: &[u8], value: &[u8]) {
        match codec::piece(key, value) {
            None => self.report.damaged += 1,
            Some(Piece::Whole { account, body }) => {
                self.give_up_pending();
                self.restore(account, body, 0);
            }
            Some(Piece::Header { account, set, parts, bytes, checksum }) => {
                self.give_up_pending();
                let account = account.to_owned();
                self.pending = Some(Pending { account, set, parts, next: 0, bytes, checksum, body: Vec::new() });
            }
            Some(Piece::Part { account, set, number, bytes }) => self.part(account, set, number, bytes),
        }
    }

    fn part(&mut self, account: &str, set: u8, number: u32, bytes: &[u8]) {
        let Some(pending) = &mut self.pending else { return };
        // Parts of the other set, or beyond the last, are left from before.
        if pending.account != account || pending.set != set || pending.next != number {
            return;
        }
        pending.body.extend_from_slice(bytes);
        pending.next += 1;
        if pending.next == pending.parts
            && let Some(whole) = self.pending.take()
        {
            if codec::parts_match(&whole.body, whole.bytes, whole.checksum) {
                self.restore(&whole.account, &whole.body, whole.set);
            } else {
                self.report.damaged += 1;
            }
        }
    }

    fn give_up_pending(&mut self) {
        if self.pending.take().is_some() {
            self.report.damaged += 1;
        }
    }

    fn restore(&mut self, account: &str, body: &[u8], part_set: u8) {
        let (Some(usage), Ok(id)) = (codec::decode(body), AccountId::parse(account)) else {
            self.report.damaged += 1;
            return;
        };
        let usage = Usage { part_set, ..usage };
        self.report.latest_ms = self.report.latest_ms.max(Some(usage.seen));
        if self.accept_until.is_some_and(|until| usage.seen > until) {
            self.report.dropped += 1;
            return;
        }
        if self.engine.shards.with_main(id.as_str(), |_| ()).is_none() {
            match self.engine.options.unknown_accounts {
                UnknownAccounts::Deny => {
                    self.report.unknown += 1;
                    return;
                }
                UnknownAccounts::DefaultTier => {
                    let created_at = usage.created_at;
                    let made =
                        self.engine.shards.with_made(&id, || Record::new(id.clone(), created_at), |_| (true, ()));
                    if made.is_err() {
                        self.report.damaged += 1;
                        return;
                    }
                }
            }
        }
        self.engine.shards.with_main(id.as_str(), |record| record.take_usage(usage));
        self.report.accounts += 1;
    }

    /// What was restored and what was not.
    #[must_use]
    pub fn finish(mut self) -> RestoreReport {
        self.give_up_pending();
        self.report
    }
}

impl Record {
    fn take_usage(&mut self, usage: Usage) {
        self.seen = self.seen.max(usage.seen);
        self.part_set = usage.part_set;
        for (key, counter) in usage.counters {
            if self.owner_lives(key.owner) && self.counters.position(key, 0).is_none() {
                self.counters.reserve(1);
                self.counters.push(key, counter);
            }
        }
        self.reservations = usage.reservations;
        if let Some(reservations) = &self.reservations {
            reservations.take_all_slots(&mut self.counters);
        }
    }
}
