//! Everything of one main account: facts, tier, counters of it and of its sub-accounts' caps, reservations.

use super::counters::{CounterKey, Counters};
use super::minutes::SlotNumber;
use super::reservations::Reservations;
use super::snapshot::{CompiledLimit, Snapshot};
use super::stored::Parts;
use crate::domain::account::{Cap, MAIN_OWNER, MainFacts, Override, Pin, SubFacts};
use crate::domain::ids::{AccountId, PolicyId};
use crate::domain::ledger::Timeline;
use crate::domain::quantity::Quota;
use crate::fault::Fault;
use crate::limits::Terms;
use crate::policy::resolve::burst_for;
use crate::policy::tiers::{self, Standing, TierFacts};
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use std::sync::Arc;

/// INVARIANT: all access is under the lock of the record's shard, so a reservation and its charges change together.
#[derive(Debug)]
pub(crate) struct Record {
    pub id: AccountId,
    pub created_at: i64,
    /// The latest time the record has seen: time never runs backwards in it.
    pub seen: i64,
    /// The cached tier holds while `now < tier_until`, under `generation`.
    tier_until: i64,
    generation: u32,
    tier: u8,
    marks: Marks,
    /// Where the history of its present minute is kept; None: it was not active in it.
    pub slot: Option<SlotNumber>,
    facts: Option<Box<Facts>>,
    pub counters: Counters,
    pub reservations: Option<Box<Reservations>>,
}

/// A bit each: with bytes of their own every record would be a word longer.
#[derive(Debug, Clone, Copy)]
struct Marks(u8);

/// Made by a decision or by stored usage: nobody has told the engine of such an account.
const STRANGER: u8 = 1;
/// Changed since it was last handed to the store.
const DIRTY: u8 = 1 << 1;
/// Stands in its shard's list of dirty records.
const QUEUED: u8 = 1 << 2;

impl Marks {
    fn set(&mut self, mark: u8, on: bool) {
        self.0 = if on { self.0 | mark } else { self.0 & !mark };
    }
}

/// What most accounts have nothing of.
#[derive(Debug, Default)]
struct Facts {
    suspended: bool,
    /// The parts of its stored form, where that is split.
    stored_parts: Option<Box<Parts>>,
    /// The number of the last reset of usage that was done to it; 0: none.
    last_reset: u64,
    floor: Option<PolicyId>,
    pin: Option<Pin>,
    payments: Arc<Timeline>,
    overrides: Vec<Override>,
    subs: HashMap<AccountId, SubFacts, RandomState>,
}

impl Facts {
    fn is_plain(&self) -> bool {
        !self.suspended
            && self.stored_parts.is_none()
            && self.last_reset == 0
            && self.floor.is_none()
            && self.pin.is_none()
            && self.payments.events() == 0
            && self.overrides.is_empty()
            && self.subs.is_empty()
    }
}

impl Record {
    pub fn new(id: AccountId, created_at: i64) -> Self {
        Self {
            id,
            created_at,
            seen: i64::MIN,
            tier_until: i64::MIN,
            generation: 0,
            tier: 0,
            marks: Marks(STRANGER),
            slot: None,
            facts: None,
            counters: Counters::default(),
            reservations: None,
        }
    }

    /// Nobody has told the engine of such an account.
    pub fn is_stranger(&self) -> bool {
        self.marks.0 & STRANGER != 0
    }

    /// It changed: it is to be handed to the store.
    #[inline]
    pub fn touch(&mut self) {
        self.marks.0 |= DIRTY;
    }

    pub fn is_dirty(&self) -> bool {
        self.marks.0 & DIRTY != 0
    }

    pub fn set_dirty(&mut self, dirty: bool) {
        self.marks.set(DIRTY, dirty);
    }

    /// Whether it has to be put into its shard's list of dirty records, where it is from now on.
    #[inline]
    pub fn queue(&mut self) -> bool {
        let queued = self.marks.0 & (DIRTY | QUEUED) == DIRTY;
        if queued {
            self.marks.0 |= QUEUED;
        }
        queued
    }

    /// It is being handed to the store.
    pub fn hand_over(&mut self) {
        self.marks.set(DIRTY | QUEUED, false);
    }

    pub fn set_facts(&mut self, facts: MainFacts) {
        self.created_at = facts.created_at_ms;
        self.marks.set(STRANGER, false);
        self.tier_until = i64::MIN;
        let MainFacts { floor, pin, payments, overrides, suspended, .. } = facts;
        let before = self.facts.take().map(|before| *before).unwrap_or_default();
        let facts = Facts { suspended, floor, pin, payments, overrides, ..before };
        self.facts = (!facts.is_plain()).then(|| Box::new(facts));
    }

    pub fn suspended(&self) -> bool {
        self.facts.as_deref().is_some_and(|facts| facts.suspended)
    }

    pub fn has_stored_parts(&self) -> bool {
        self.facts.as_deref().is_some_and(|facts| facts.stored_parts.is_some())
    }

    pub fn take_stored_parts(&mut self) -> Option<Box<Parts>> {
        self.facts.as_deref_mut()?.stored_parts.take()
    }

    pub fn stored_parts_mut(&mut self) -> &mut Option<Box<Parts>> {
        &mut self.facts.get_or_insert_default().stored_parts
    }

    /// The number of the last reset of usage that was done to it; 0: none.
    pub fn last_reset(&self) -> u64 {
        self.facts.as_deref().map_or(0, |facts| facts.last_reset)
    }

    /// Resets up to this number were done to it.
    pub fn note_reset(&mut self, number: u64) {
        if number > self.last_reset() {
            self.facts.get_or_insert_default().last_reset = number;
        }
    }

    /// What its payments add up to.
    pub fn payments(&self) -> Arc<Timeline> {
        self.facts.as_deref().map(|facts| Arc::clone(&facts.payments)).unwrap_or_default()
    }

    pub fn change_payments(&mut self, change: impl FnOnce(&mut Timeline)) {
        change(Arc::make_mut(&mut self.facts.get_or_insert_default().payments));
        self.tier_until = i64::MIN;
    }

    /// Creates or replaces a sub-account; counters of caps that are gone go with them.
    pub fn set_sub(&mut self, id: AccountId, sub: SubFacts) {
        let facts = self.facts.get_or_insert_default();
        let removed = facts.subs.get(&id).map(|old| {
            let stays = |owner: u64| sub.caps.iter().any(|cap| cap.owner == owner);
            old.caps.iter().map(|cap| cap.owner).filter(|&owner| !stays(owner)).collect::<Vec<_>>()
        });
        facts.subs.insert(id, sub);
        if let Some(removed) = removed.filter(|removed| !removed.is_empty()) {
            self.counters.retain(|(key, _)| !removed.contains(&key.owner));
            self.touch();
        }
    }

    pub fn sub(&self, id: &str) -> Option<&SubFacts> {
        self.facts.as_ref()?.subs.get(id)
    }

    pub fn owner_lives(&self, owner: u64) -> bool {
        owner == MAIN_OWNER
            || self
                .facts
                .as_ref()
                .is_some_and(|facts| facts.subs.values().any(|sub| sub.caps.iter().any(|cap| cap.owner == owner)))
    }

    /// Makes the record current: time, dead counters, expired reservations.
    ///
    /// Returns the time to use, which is `now` or the latest time the record has seen.
    #[inline]
    pub fn bring(&mut self, snapshot: &Snapshot, now: i64) -> i64 {
        let now = now.max(self.seen);
        self.seen = now;
        self.keep_up(snapshot);
        if self.reservations.is_some() {
            self.pass_time(now);
        }
        now
    }

    /// Drops dead counters; no time passes.
    #[inline]
    pub fn keep_up(&mut self, snapshot: &Snapshot) {
        if self.generation != snapshot.generation {
            self.adopt(snapshot);
        }
    }

    pub fn pass_time(&mut self, now: i64) {
        if let Some(reservations) = &mut self.reservations
            && reservations.next_due() <= now
            && reservations.pass_time(now, &mut self.counters)
        {
            self.touch();
        }
    }

    /// Drops counters without usage that no reservation refers to, to make room.
    ///
    /// Returns whether any was dropped; positions found before are stale then.
    #[cold]
    pub fn sweep_idle(&mut self, snapshot: &Snapshot, now: i64) -> bool {
        if !self.counters.begin_sweep(now) {
            return false;
        }
        let tier = self.tier(snapshot, now);
        let mut counters = std::mem::take(&mut self.counters);
        let referred: HashSet<CounterKey, RandomState> = self
            .reservations
            .iter()
            .flat_map(|reservations| reservations.iter())
            .flat_map(|(_, reservation)| reservation.charges.iter().map(|charge| charge.key))
            .collect();
        let facts = self.facts.as_deref();
        let caps: HashMap<u64, &Cap, RandomState> = facts
            .iter()
            .flat_map(|facts| facts.subs.values())
            .flat_map(|sub| sub.caps.iter().map(|cap| (cap.owner, cap)))
            .collect();
        let before = counters.len();
        counters.retain(|(key, counter)| {
            let Some(limit) = snapshot.limit_of(key.limit) else { return false };
            let terms = match (key.owner, caps.get(&key.owner)) {
                (MAIN_OWNER, _) => self.terms(snapshot, limit, tier, now),
                (_, Some(cap)) => terms_of(limit, cap.quota, tier),
                (_, None) => return true,
            };
            referred.contains(key) || !counter.is_idle(&terms, now)
        });
        drop((referred, caps));
        let dropped = counters.len() < before;
        self.counters = counters;
        if dropped {
            self.touch();
        }
        dropped
    }

    /// Whether the record has already been used with a newer snapshot than this one.
    pub fn is_ahead_of(&self, snapshot: &Snapshot) -> bool {
        self.generation > snapshot.generation
    }

    #[cold]
    fn adopt(&mut self, snapshot: &Snapshot) {
        self.generation = snapshot.generation;
        self.tier_until = i64::MIN;
        let before = self.counters.len();
        self.counters
            .retain(|(key, _)| snapshot.limit_of(key.limit).is_some() && snapshot.resource_lives(key.resource));
        if self.counters.len() != before {
            self.touch();
        }
    }

    /// Index of the tier in force; the record must have been brought to `now` and the snapshot.
    #[inline]
    pub fn tier(&mut self, snapshot: &Snapshot, now: i64) -> usize {
        if now >= self.tier_until {
            let standing = self.standing(snapshot, now);
            // The validator bounds tiers at 64.
            self.tier = standing.effective as u8;
            self.tier_until = standing.until_ms;
        }
        usize::from(self.tier)
    }

    pub fn standing(&self, snapshot: &Snapshot, now: i64) -> Standing {
        tiers::standing(&snapshot.policy, self.tier_facts(), now)
    }

    pub fn tier_facts(&self) -> TierFacts<'_> {
        let facts = self.facts.as_deref();
        TierFacts {
            created_at_ms: self.created_at,
            floor: facts.and_then(|facts| facts.floor.as_ref()),
            pin: facts.and_then(|facts| facts.pin.as_ref()),
            payments: facts.map(|facts| &*facts.payments),
        }
    }

    /// What is in force for one of the main account's limits.
    #[inline]
    pub fn terms(&self, snapshot: &Snapshot, limit: &CompiledLimit, tier: usize, now: i64) -> Terms {
        if self.facts.is_none() && snapshot.clamps.lower_nothing() {
            return limit.terms[tier];
        }
        self.special_terms(snapshot, limit, tier, now)
    }

    fn special_terms(&self, snapshot: &Snapshot, limit: &CompiledLimit, tier: usize, now: i64) -> Terms {
        let mut quota = limit.quotas[tier];
        if let Some(facts) = self.facts.as_deref()
            && let Some(set) = facts.overrides.iter().find(|o| overrides(o, limit) && o.active(now))
        {
            quota = set.quota;
        }
        for clamp in snapshot.clamps.live(limit) {
            if clamp.in_force(self.id.as_str(), snapshot.policy.tiers[tier].id.as_str(), now) {
                quota = if Fault::ClampRaises.chosen() { clamp.quota } else { quota.min(clamp.quota) };
            }
        }
        terms_of(limit, quota, tier)
    }

    pub fn overrides(&self) -> &[Override] {
        self.facts.as_deref().map_or(&[], |facts| &facts.overrides)
    }

    /// What is in force for the counters of an owner; None for a cap that is gone or dormant.
    pub fn terms_of_owner(
        &self,
        snapshot: &Snapshot,
        limit: &CompiledLimit,
        owner: u64,
        (tier, now): (usize, i64),
    ) -> Option<Terms> {
        if owner == MAIN_OWNER {
            return Some(self.terms(snapshot, limit, tier, now));
        }
        let facts = self.facts.as_deref()?;
        let cap = facts.subs.values().flat_map(|sub| &sub.caps).find(|cap| cap.owner == owner)?;
        caps(cap, limit).then(|| terms_of(limit, cap.quota, tier))
    }
}

/// The terms of a limit under a quota that is in force.
#[inline]
pub(crate) fn terms_of(limit: &CompiledLimit, quota: Quota, tier: usize) -> Terms {
    let burst = match &limit.bursts {
        None => quota.units().map_or(0, u128::from),
        Some(bursts) => burst_for(quota, limit.quotas[tier], bursts.get(tier).copied()),
    };
    Terms { quota, burst, window_ms: limit.window_ms, offset_ms: limit.offset_ms }
}

pub(crate) fn overrides(set: &Override, limit: &CompiledLimit) -> bool {
    set.key == limit.key && set.shape == limit.shape
}

#[inline]
pub(crate) fn caps(cap: &Cap, limit: &CompiledLimit) -> bool {
    cap.key == limit.key && cap.shape == limit.shape
}
