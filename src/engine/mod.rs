//! The engine: resolve, then spend.
//!
//! Owns: one record an account (facts, counters, reservations) in a sharded map, the active policy as a snapshot
//! swapped whole, and every answer of SEMANTICS, sections 2 to 5. Synchronous; a decision takes one short lock.
//! Deliberately absent: I/O, a clock (`now` is passed in, milliseconds since the epoch), a second copy of any fact.

mod accounts;
pub mod answer;
mod clamps;
mod codec;
mod counters;
mod decide;
mod ending;
mod explain;
pub mod handle;
mod history;
mod identities;
mod minutes;
mod preview;
mod record;
pub mod request;
mod reservations;
mod restore;
mod shards;
mod snapshot;
mod stored;
mod usage;
mod way_out;
pub(crate) mod wire;

pub use accounts::Place;
pub use answer::{
    DecideError, Decision, EndError, Ended, Held, LimitState, Limits, Reason, Scope, Status, StatusError,
};
pub use ending::Change;
pub use explain::{Explanation, LimitExplained, Outcome as SourceOutcome, Source, SourceKind};
pub use handle::{Handle, InvalidHandle};
pub use history::HISTORY_PARTS;
pub use identities::{Identities, IdentitiesRecord};
pub use request::{Amounts, Costs, Request, Reserve};
pub use reservations::How;
pub use restore::{RestoreReport, Restorer};
pub use shards::AccountsFull;
pub use snapshot::Snapshot;
pub use stored::{Group, PART_BYTES};
pub use usage::{ReservationView, ResetWhat, UsageRow};
pub use way_out::{Ascent, WayOut};

use crate::domain::ids::AccountId;
use crate::domain::ledger::Timeline;
use crate::domain::policy::{Policy, UnlistedResources};
use crate::policy::tiers::Standing;
use arc_swap::{ArcSwap, Guard};
use decide::Outcome;
use ending::EndOutcome;
use history::Retired;
use parking_lot::Mutex;
use record::Record;
use shards::{Room, Shards};
use std::sync::Arc;

/// Open and remembered reservations of one main account, its sub-accounts' included.
pub const MAX_RESERVATIONS_PER_ACCOUNT: usize = 1 << 18;
/// Parts in which everything can be handed out again, see [`Engine::mark_part`].
pub const STORED_PARTS: usize = shards::SHARDS;
/// Counters of one main account, its sub-accounts' caps included.
pub const MAX_COUNTERS_PER_ACCOUNT: usize = 1 << 16;

#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Main and sub-accounts together.
    pub most_accounts: usize,
    pub unknown_accounts: UnknownAccounts,
    /// Whether what is decided is noted for [`Engine::drain_history`]; who asks for it has to take it out.
    pub history: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { most_accounts: 10_000_000, unknown_accounts: UnknownAccounts::Deny, history: false }
    }
}

/// What an account that was never created is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownAccounts {
    /// Denied with `unknown_account`.
    Deny,
    /// An account of the default tier, made by its first allowed request.
    DefaultTier,
}

pub struct Engine {
    shards: Shards,
    snapshot: ArcSwap<Snapshot>,
    /// Held while a new snapshot is built from the last.
    swapping: Mutex<()>,
    retired: Retired,
    options: Options,
}

impl Engine {
    /// An engine without accounts, with `policy` active as revision 1.
    #[must_use]
    pub fn new(policy: Arc<Policy>, options: Options) -> Self {
        Self::with_identities(policy, 1, &Identities::default(), options)
    }

    /// An engine whose counters have had `identities` before `policy` became active as `revision`.
    #[must_use]
    pub fn with_identities(policy: Arc<Policy>, revision: u64, identities: &Identities, options: Options) -> Self {
        Self {
            shards: Shards::new(options.most_accounts, options.history),
            snapshot: ArcSwap::from_pointee(Snapshot::compile(revision, 1, policy, identities)),
            swapping: Mutex::new(()),
            retired: Retired::default(),
            options,
        }
    }

    /// The active policy, compiled.
    #[must_use]
    pub fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    /// Makes a policy active. Usage of limits that it does not have is gone for good.
    pub fn activate(&self, policy: Arc<Policy>, revision: u64) {
        let _swapping = self.swapping.lock();
        let before = self.snapshot.load();
        let generation = before.generation + 1;
        let next = Snapshot::compile(revision, generation, policy, before.identities());
        // ORDER: before it is in force, so that the name of a limit is always in one of the two.
        self.retired.note(&before, &next);
        self.snapshot.store(Arc::new(next.with_clamps(generation, before.clamps.clone())));
    }

    /// The numbers of counters' identities in force, for the store.
    #[must_use]
    pub fn identities(&self) -> Identities {
        self.snapshot.load().identities().clone()
    }

    /// What the payments of a main account add up to. None: there is no such main account.
    #[must_use]
    pub fn payments(&self, main: &str) -> Option<Arc<Timeline>> {
        self.shards.with_main(main, |record| record.payments())
    }

    /// Changes what the payments of a main account add up to. False: there is no such main account.
    pub fn change_payments(&self, main: &str, change: impl FnOnce(&mut Timeline)) -> bool {
        self.shards.with_main(main, |record| record.change_payments(change)).is_some()
    }

    /// The number of the last reset of a main account's usage; 0: none. None: there is no such main account.
    #[must_use]
    pub fn last_reset(&self, main: &str) -> Option<u64> {
        self.shards.with_main(main, |record| record.last_reset())
    }

    /// Allow or deny; all of it or nothing.
    ///
    /// Errors: as SEMANTICS, sections 4 and 5; nothing was charged then.
    pub fn decide(&self, request: &Request<'_>, now: i64) -> Result<Decision, DecideError> {
        let mut snapshot = self.snapshot.load();
        let mut outcome = Outcome::default();
        match self.decide_known(request, &mut snapshot, now, &mut outcome) {
            Some(decided) => decided?,
            None => self.decide_unknown(request, &mut snapshot, now, &mut outcome)?,
        }
        let Outcome { denied, group, limits, retry_after_ms, slot_expires_in_ms, reservation, replayed } = outcome;
        Ok(Decision { snapshot, denied, group, limits, retry_after_ms, slot_expires_in_ms, reservation, replayed })
    }

    /// None: there is no such account.
    #[inline]
    fn decide_known(
        &self,
        request: &Request<'_>,
        snapshot: &mut Guard<Arc<Snapshot>>,
        now: i64,
        outcome: &mut Outcome,
    ) -> Option<Result<(), DecideError>> {
        self.shards.with_notes(request.account, |record, asker, notes| {
            self.catch_up(record, snapshot);
            decide::decide(record, (asker, notes), snapshot, (request, now), outcome)
        })
    }

    #[cold]
    fn decide_unknown(
        &self,
        request: &Request<'_>,
        snapshot: &mut Guard<Arc<Snapshot>>,
        now: i64,
        outcome: &mut Outcome,
    ) -> Result<(), DecideError> {
        let id = match self.options.unknown_accounts {
            UnknownAccounts::Deny => None,
            UnknownAccounts::DefaultTier => AccountId::parse(request.account).ok(),
        };
        let Some(id) = id else {
            outcome.denied = Some(Reason::UnknownAccount);
            return Ok(());
        };
        let decided = self.shards.with_made(
            &id,
            Room::Needed,
            || Record::new(id.clone(), now),
            |record, notes| {
                self.catch_up(record, snapshot);
                let decided = decide::decide(record, (None, notes), snapshot, (request, now), outcome);
                (record.is_dirty(), decided)
            },
        );
        match decided.map_err(|AccountsFull| DecideError::Capacity)? {
            Some(decided) => decided,
            // It became a sub-account in between, which it stays.
            None => self.decide_known(request, snapshot, now, outcome).unwrap_or_else(|| {
                outcome.denied = Some(Reason::UnknownAccount);
                Ok(())
            }),
        }
    }

    /// The true cost of what a reservation stood for; it has ended then.
    pub fn settle(&self, handle: &Handle, amounts: &Amounts, now: i64) -> Result<Ended, EndError> {
        self.end(handle, Change::Settle(amounts), now)
    }

    /// The request never ran: all is given back.
    pub fn cancel(&self, handle: &Handle, now: i64) -> Result<Ended, EndError> {
        self.end(handle, Change::Cancel, now)
    }

    /// The reservation expires `ttl_ms` from now, at most 24 h after it was made.
    pub fn renew(&self, handle: &Handle, ttl_ms: i64, now: i64) -> Result<Ended, EndError> {
        self.end(handle, Change::Renew { ttl_ms }, now)
    }

    /// Any of the three.
    pub fn end(&self, handle: &Handle, change: Change<'_>, now: i64) -> Result<Ended, EndError> {
        let mut snapshot = self.snapshot.load();
        let changed = self.shards.with_main_notes(handle.main.as_str(), |record, notes| {
            self.catch_up(record, &mut snapshot);
            ending::change(record, Some(notes), &snapshot, handle, (change, now))
        });
        unpack(snapshot, changed)
    }

    /// The limits of an account on a resource as they stand; changes nothing.
    pub fn status(&self, account: &str, resource: &str, now: i64) -> Result<Status, StatusError> {
        let mut snapshot = self.snapshot.load();
        let read = self.shards.with(account, |record, asker| {
            self.catch_up(record, &mut snapshot);
            let now = record.bring(&snapshot, now);
            let Some(at) = snapshot.resource(resource) else {
                return match snapshot.policy.unlisted_resources {
                    UnlistedResources::Deny => Err(StatusError::UnknownResource),
                    UnlistedResources::Allow => Ok((None, Limits::new())),
                };
            };
            let tier = record.tier(&snapshot, now);
            let parts = decide::parts(record, asker, &snapshot, (at, tier, now));
            Ok((Some(at.group), decide::states(record, &parts, now)))
        });
        let (group, limits) = read.unwrap_or(Err(StatusError::UnknownAccount))?;
        Ok(Status { snapshot, group, limits })
    }

    /// Every source that was considered for each limit of an account, in order. None: unknown.
    #[must_use]
    pub fn explain(&self, account: &str, now: i64) -> Option<Explanation> {
        let mut snapshot = self.snapshot.load();
        self.shards.with(account, |record, asker| {
            self.catch_up(record, &mut snapshot);
            let now = record.bring(&snapshot, now);
            explain::explain(record, asker, &snapshot, now)
        })
    }

    /// How every counter of an account stands, its main account's for a sub-account too. None: unknown.
    #[must_use]
    pub fn usage(&self, account: &str, now: i64) -> Option<Vec<UsageRow>> {
        let mut snapshot = self.snapshot.load();
        self.shards.with(account, |record, asker| {
            self.catch_up(record, &mut snapshot);
            let now = record.bring(&snapshot, now);
            usage::rows(record, asker, &snapshot, now)
        })
    }

    /// Forgets the usage of rate limits of a main account; reservations stay, what they charged there is forgotten.
    ///
    /// Resets have growing numbers, and the last one's is stored with the usage: so it tells which of them it has
    /// seen. A reset has no time of its own, so that one done again changes no answer.
    /// Returns how many counters were dropped. None: there is no such main account.
    pub fn reset_usage(&self, main: &str, what: ResetWhat<'_>, number: u64) -> Option<usize> {
        let mut snapshot = self.snapshot.load();
        self.shards.with_main(main, |record| {
            self.catch_up(record, &mut snapshot);
            record.keep_up(&snapshot);
            record.note_reset(number);
            usage::reset(record, &snapshot, what)
        })
    }

    /// A reservation that is open or remembered.
    #[must_use]
    pub fn reservation(&self, handle: &Handle, now: i64) -> Option<ReservationView> {
        let mut snapshot = self.snapshot.load();
        self.shards.with_main(handle.main.as_str(), |record| {
            self.catch_up(record, &mut snapshot);
            record.bring(&snapshot, now);
            usage::reservation(record, handle)
        })?
    }

    /// The tier of an account, its main account's for a sub-account. None: unknown.
    #[must_use]
    pub fn standing(&self, account: &str, now: i64) -> Option<Standing> {
        let mut snapshot = self.snapshot.load();
        self.shards.with(account, |record, _| {
            self.catch_up(record, &mut snapshot);
            let now = record.bring(&snapshot, now);
            record.standing(&snapshot, now)
        })
    }

    /// Hands what must be stored of every changed record to `take`: what is of one account is written together.
    ///
    /// Returns how many records there were. What is written is absolute, so writing it again is harmless.
    pub fn drain_dirty(&self, mut take: impl FnMut(&AccountId, Group)) -> usize {
        self.shards.drain_dirty(|record| {
            let group = stored::encode(record);
            take(&record.id, group);
        })
    }

    /// Takes back what [`Self::drain_dirty`] gave and could not be written, or only in part: it is to be written again.
    pub fn put_back(&self, groups: &[(AccountId, Group)]) {
        for (account, group) in groups {
            self.shards.with_main(account.as_str(), |record| stored::put_back(record, group));
        }
    }

    /// Marks what there is to store of one of [`STORED_PARTS`] as changed, all of it. Returns how many records that is.
    pub fn mark_part(&self, part: usize) -> usize {
        let mut marked = 0;
        self.shards.with_shard(part, |record| marked += usize::from(stored::mark_all(record)));
        marked
    }

    /// Records that changed and were not handed out yet.
    #[must_use]
    pub fn dirty(&self) -> usize {
        self.shards.dirty()
    }

    /// Takes stored usage back, after all accounts are known. Usage later than `accept_until` is dropped.
    #[must_use]
    pub fn restorer(&self, accept_until: Option<i64>) -> Restorer<'_> {
        Restorer::new(self, accept_until)
    }

    /// A record may have been used with a newer snapshot than the one loaded before its lock was taken.
    #[inline]
    fn catch_up(&self, record: &Record, snapshot: &mut Guard<Arc<Snapshot>>) {
        if record.is_ahead_of(snapshot) {
            *snapshot = self.snapshot.load();
        }
    }
}

/// None: there is no such account, so the reservation is not known either.
fn unpack(snapshot: Guard<Arc<Snapshot>>, ended: Option<Result<EndOutcome, EndError>>) -> Result<Ended, EndError> {
    let EndOutcome { group, limits, late, replayed, expires_at_ms } =
        ended.unwrap_or(Err(EndError::UnknownReservation))?;
    Ok(Ended { snapshot, group, limits, late, replayed, expires_at_ms })
}
