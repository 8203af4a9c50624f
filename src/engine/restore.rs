//! Usage from the store back into the engine, at start.

use super::record::Record;
use super::shards::Room;
use super::stored::{self, Piece, Usage};
use super::{Engine, UnknownAccounts};
use crate::domain::ids::AccountId;

/// Takes what [`Engine::drain_dirty`] gave and the store kept, in key order.
pub struct Restorer<'e> {
    engine: &'e Engine,
    /// Usage later than this is dropped; None keeps all.
    accept_until: Option<i64>,
    current: Current,
    report: RestoreReport,
    unwanted: Vec<Vec<u8>>,
}

/// What the parts that come next belong to.
enum Current {
    Nothing,
    /// The parts of this account go too.
    Unwanted {
        account: String,
    },
    Split {
        account: String,
        usage: Box<Usage>,
        chunks: u32,
        next: u32,
        counters: Vec<u8>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RestoreReport {
    pub accounts: u64,
    /// Of accounts that do not exist, or have no usage of their own.
    pub unknown: u64,
    /// Not readable; that usage is lost.
    pub damaged: u64,
    /// Later than the clock that was accepted.
    pub dropped: u64,
    /// The latest time that any record has seen.
    pub latest_ms: Option<i64>,
}

impl<'e> Restorer<'e> {
    pub(super) fn new(engine: &'e Engine, accept_until: Option<i64>) -> Self {
        let (report, unwanted) = (RestoreReport::default(), Vec::new());
        Self { engine, accept_until, current: Current::Nothing, report, unwanted }
    }

    pub fn record(&mut self, key: &[u8], value: &[u8]) {
        let Some((account, piece)) = stored::piece(key, value) else {
            self.report.damaged += 1;
            return;
        };
        match piece {
            None => {
                self.close();
                self.report.damaged += 1;
            }
            Some(Piece::Whole(usage)) => {
                self.close();
                if self.wanted(account, &usage, key) {
                    self.take(account, usage);
                }
            }
            Some(Piece::Header(usage, chunks)) => {
                self.close();
                if self.wanted(account, &usage, key) {
                    let (account, usage) = (account.to_owned(), Box::new(usage));
                    self.current = Current::Split { account, usage, chunks, next: 0, counters: Vec::new() };
                }
            }
            Some(part @ (Piece::Chunk(..) | Piece::Bucket(..))) => self.part(account, part, key),
        }
    }

    fn part(&mut self, account: &str, part: Piece<'_>, key: &[u8]) {
        match (&mut self.current, part) {
            (Current::Split { account: owner, next, chunks, counters, .. }, Piece::Chunk(number, bytes))
                if owner == account && *next == number && number < *chunks =>
            {
                counters.extend_from_slice(bytes);
                *next += 1;
            }
            (Current::Split { account: owner, usage, .. }, Piece::Bucket(number, bytes)) if owner == account => {
                if usage.add_bucket(number, bytes).is_none() {
                    self.report.damaged += 1;
                }
            }
            (Current::Unwanted { account: owner }, _) if owner == account => self.unwanted.push(key.to_vec()),
            // Its header is damaged or gone, or a chunk before it is.
            _ => self.stray(account, key),
        }
    }

    /// A part that nothing is made of: it goes with the next write of its account, or now where there is no account.
    fn stray(&mut self, account: &str, key: &[u8]) {
        self.report.damaged += 1;
        if let Current::Split { account: owner, usage, .. } = &mut self.current
            && owner == account
        {
            stored::note_part(&mut usage.parts, key);
        } else if self
            .engine
            .shards
            .with_main(account, |record| stored::note_part(record.stored_parts_mut(), key))
            .is_none()
        {
            self.unwanted.push(key.to_vec());
        }
    }

    /// Whether the account's usage is to be taken; its keys are noted where it is not.
    fn wanted(&mut self, account: &str, usage: &Usage, key: &[u8]) -> bool {
        self.report.latest_ms = self.report.latest_ms.max(Some(usage.seen));
        let late = self.accept_until.is_some_and(|until| usage.seen > until);
        // What was stored under a sub-account's id was of a stranger that it took the place of.
        let stranger = match self.engine.shards.main_of(account) {
            Some(main) => main.as_str() != account,
            None => self.engine.options.unknown_accounts == UnknownAccounts::Deny,
        };
        self.report.dropped += u64::from(late);
        self.report.unknown += u64::from(stranger && !late);
        if late || stranger {
            self.unwanted.push(key.to_vec());
            self.current = Current::Unwanted { account: account.to_owned() };
        }
        !late && !stranger
    }

    /// The account that came before has no more parts.
    fn close(&mut self) {
        let Current::Split { account, mut usage, chunks, next, counters } =
            std::mem::replace(&mut self.current, Current::Nothing)
        else {
            return;
        };
        if next != chunks || usage.add_counters(&counters).is_none() {
            self.report.damaged += 1;
            // What is used from now on replaces all of it.
            self.engine.shards.with_main(&account, |record| *record.stored_parts_mut() = usage.parts);
            return;
        }
        if let Some(table) = &mut usage.reservations {
            table.close_gaps();
        }
        self.take(&account, *usage);
    }

    fn take(&mut self, account: &str, usage: Usage) {
        let Ok(id) = AccountId::parse(account) else {
            self.report.damaged += 1;
            return;
        };
        let created_at = usage.created_at;
        let taken = self.engine.shards.with_made(
            &id,
            Room::Given,
            || Record::new(id.clone(), created_at),
            |record, _| {
                record.take_usage(usage);
                (true, ())
            },
        );
        match taken {
            Ok(Some(())) => self.report.accounts += 1,
            Ok(None) | Err(_) => self.report.damaged += 1,
        }
    }

    /// What was restored and what was not, and the keys that the store should forget: usage that was dropped must not
    /// come back at a later start.
    #[must_use]
    pub fn finish(mut self) -> (RestoreReport, Vec<Vec<u8>>) {
        self.close();
        (self.report, self.unwanted)
    }
}

impl Record {
    fn take_usage(&mut self, usage: Usage) {
        self.seen = self.seen.max(usage.seen);
        self.note_reset(usage.last_reset);
        if self.has_stored_parts() || usage.parts.is_some() {
            *self.stored_parts_mut() = usage.parts;
        }
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
