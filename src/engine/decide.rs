//! One decision: resolve, then spend, on one record under its lock (SEMANTICS, section 4).

use super::answer::{DecideError, Held, LimitState, Limits, Reason, Scope};
use super::counters::CounterKey;
use super::handle::Handle;
use super::minutes::{Notes, quota_of};
use super::record::{Record, caps, terms_of};
use super::request::{Request, Reserve};
use super::reservations::{Charge, Reservation, State};
use super::snapshot::{CompiledLimit, ResourceAt, Snapshot};
use super::{MAX_COUNTERS_PER_ACCOUNT, MAX_RESERVATIONS_PER_ACCOUNT};
use crate::domain::account::MAIN_OWNER;
use crate::domain::ids::AccountId;
use crate::domain::policy::{Rule, UnlistedResources};
use crate::domain::quantity::{MAX_RESERVATION_TTL_MS, Quota};
use crate::fault::Fault;
use crate::limits::{Counter, Mark, Reading, Terms, can_ever_pass};
use compact_str::CompactString;
use smallvec::SmallVec;

/// A decision without the snapshot it was made by.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub denied: Option<Reason>,
    pub group: Option<u16>,
    pub limits: Limits,
    pub retry_after_ms: Option<i64>,
    pub slot_expires_in_ms: Option<i64>,
    pub reservation: Option<Held>,
    pub replayed: bool,
}

/// One limit that takes part.
pub(super) struct Part<'a> {
    limit: &'a CompiledLimit,
    /// Index of the limit in its group.
    index: u8,
    scope: Scope,
    refuses: bool,
    position: Option<u32>,
    key: CounterKey,
    cost: u64,
    terms: Terms,
}

pub(super) type Parts<'a> = SmallVec<[Part<'a>; 4]>;

/// Who asks: the record's main account, or one of its sub-accounts.
pub(super) type Asker<'a> = Option<&'a AccountId>;

/// Fills in `outcome`, which is a new one; it is large, so it is written where it stays.
#[inline]
pub(super) fn decide(
    record: &mut Record,
    (asker, mut notes): (Asker<'_>, Notes<'_>),
    snapshot: &Snapshot,
    (request, now): (&Request<'_>, i64),
    outcome: &mut Outcome,
) -> Result<(), DecideError> {
    let now = record.bring(snapshot, now);
    if record.suspended() || asker.is_some_and(|sub| record.sub(sub.as_str()).is_some_and(|sub| sub.suspended)) {
        outcome.denied = Some(Reason::AccountSuspended);
        return Ok(());
    }
    let Some(at) = snapshot.resource(request.resource) else {
        if snapshot.policy.unlisted_resources == UnlistedResources::Deny {
            outcome.denied = Some(Reason::UnknownResource);
        }
        return Ok(());
    };
    let group = snapshot.group(at.group);
    if group.has_concurrency && request.reserve.is_none() && !request.dry_run {
        return Err(DecideError::ReservationRequired);
    }
    if !request.dry_run
        && let Some(id) = request.reserve.and_then(|reserve| reserve.id)
        && let Some(replayed) = replay(record, asker, snapshot, request, (id, at, now))?
    {
        *outcome = replayed;
        return Ok(());
    }

    let tier = record.tier(snapshot, now);
    let mut parts = Parts::new();
    find_parts(record, asker, snapshot, (at, tier, now), &mut parts);
    let mut refused = false;
    for part in &mut parts {
        part.cost = request.costs.of(&part.limit.unit);
        part.refuses = !with_counter(record, part, |counter, part| counter.admits(&part.terms, part.cost, now));
        refused |= part.refuses;
    }
    outcome.group = Some(at.group);
    if refused {
        if Fault::ChargeBeforeCheck.chosen() {
            for part in parts.iter().filter(|part| !part.refuses) {
                with_counter(record, part, |counter, part| counter.charge(&part.terms, part.cost, now));
            }
        }
        refusal(record, &parts, now, outcome);
        if !request.dry_run {
            note(record, &mut notes, &parts, outcome, now);
        }
        return Ok(());
    }
    if request.dry_run {
        outcome.limits.extend(parts.iter().map(|part| state(record, part, now)));
        return Ok(());
    }
    make_room(record, snapshot, (request, now), &mut parts)?;
    match request.reserve {
        None => spend(record, &mut parts, now, outcome),
        Some(reserve) => {
            let charges = parts.iter_mut().map(|part| part.charge(record, now)).collect();
            outcome.reservation = Some(hold(record, asker, snapshot, request, (reserve, charges, now)));
            record.pass_time(now);
            outcome.limits.extend(parts.iter().map(|part| state(record, part, now)));
        }
    }
    note(record, &mut notes, &parts, outcome, now);
    Ok(())
}

/// What became of the main account's limits goes into the history.
#[inline]
fn note(record: &mut Record, notes: &mut Notes<'_>, parts: &Parts<'_>, outcome: &Outcome, now: i64) {
    let Some(mut cells) = notes.cells(record, now) else { return };
    let own = parts.iter().zip(&outcome.limits).take_while(|(_, state)| state.scope == Scope::Account);
    let mut noted = 0;
    for (part, state) in own {
        let quota = quota_of(&part.terms);
        let Some(cell) = cells.of(part.key.limit, quota) else { continue };
        noted += 1;
        cell.peak(state.used, quota);
        match outcome.denied {
            None => cell.admit(if part.limit.rule == Rule::Concurrency { 1 } else { part.cost }),
            Some(_) if state.refuses => cell.deny(),
            Some(_) => {}
        }
    }
    cells.done(noted);
}

/// The limits that take part, in order: the main account's, then those the sub-account has caps for.
pub(super) fn parts<'a>(
    record: &Record,
    asker: Asker<'_>,
    snapshot: &'a Snapshot,
    at: (ResourceAt, usize, i64),
) -> Parts<'a> {
    let mut parts = Parts::new();
    find_parts(record, asker, snapshot, at, &mut parts);
    parts
}

/// [`parts`], written where they stay: they are large.
#[inline]
fn find_parts<'a>(
    record: &Record,
    asker: Asker<'_>,
    snapshot: &'a Snapshot,
    (at, tier, now): (ResourceAt, usize, i64),
    parts: &mut Parts<'a>,
) {
    let group = snapshot.group(at.group);
    let mut likely = 0;
    // The validator bounds the limits of a group at 16, so an index fits a byte.
    for (index, limit) in group.limits.iter().enumerate() {
        let key = CounterKey { owner: MAIN_OWNER, limit: limit.identity, resource: at.identity };
        let position = record.counters.position(key, likely);
        likely = position.map_or(likely, |position| position + 1);
        let terms = record.terms(snapshot, limit, tier, now);
        let (index, scope) = (index as u8, Scope::Account);
        parts.push(Part { limit, index, scope, refuses: false, position, key, cost: 0, terms });
    }
    let Some(sub) = asker.and_then(|sub| record.sub(sub.as_str())).filter(|_| !Fault::CapIgnored.chosen()) else {
        return;
    };
    for (index, limit) in group.limits.iter().enumerate() {
        let Some(cap) = sub.caps.iter().find(|cap| caps(cap, limit)) else { continue };
        let key = CounterKey { owner: cap.owner, limit: limit.identity, resource: at.identity };
        let position = record.counters.position(key, likely);
        likely = position.map_or(likely, |position| position + 1);
        let terms = terms_of(limit, cap.quota, tier);
        let (index, scope) = (index as u8, Scope::SubAccount);
        parts.push(Part { limit, index, scope, refuses: false, position, key, cost: 0, terms });
    }
}

/// Acts on the part's counter, or on an empty one where nothing was ever charged.
#[inline]
fn with_counter<R>(record: &mut Record, part: &Part<'_>, act: impl FnOnce(&mut Counter, &Part<'_>) -> R) -> R {
    match part.position {
        Some(position) => act(record.counters.at(position), part),
        None => act(&mut Counter::empty(part.limit.rule), part),
    }
}

pub(super) fn states(record: &mut Record, parts: &Parts<'_>, now: i64) -> Limits {
    parts.iter().map(|part| state(record, part, now)).collect()
}

#[inline]
fn state(record: &mut Record, part: &Part<'_>, now: i64) -> LimitState {
    let reading = with_counter(record, part, |counter, part| counter.read(&part.terms, now));
    part.state(reading)
}

impl Part<'_> {
    #[inline]
    fn state(&self, reading: Reading) -> LimitState {
        let burst = (self.limit.is_bucket && self.terms.quota.units().is_some()).then_some(self.terms.burst);
        LimitState {
            limit: self.index,
            scope: self.scope,
            refuses: self.refuses,
            quota: self.terms.quota,
            burst,
            used: reading.used,
            reset_after_ms: reading.reset_after_ms,
        }
    }

    /// The counter to charge, made where it is missing; there is room for it.
    #[inline]
    fn counter<'r>(&mut self, record: &'r mut Record) -> &'r mut Counter {
        let position = match self.position {
            Some(position) => position,
            None => record.counters.push(self.key, Counter::empty(self.limit.rule)),
        };
        self.position = Some(position);
        record.counters.at(position)
    }

    fn charge(&mut self, record: &mut Record, now: i64) -> Charge {
        let mark = self.counter(record).charge(&self.terms, self.cost, now);
        Charge { key: self.key, cost: self.cost, mark }
    }
}

/// A refusal costs nothing anywhere: this only reads.
fn refusal(record: &mut Record, parts: &Parts<'_>, now: i64, outcome: &mut Outcome) {
    let mut blocked = false;
    let mut never = false;
    let mut rate_refuses = false;
    let mut retry_after = None;
    let mut slot_expires_in = None;
    for part in parts.iter().filter(|part| part.refuses) {
        blocked |= part.terms.quota == Quota::Blocked;
        with_counter(record, part, |counter, part| match (&*counter, part.terms.quota) {
            (Counter::Concurrency(state), Quota::Units(quota)) => {
                slot_expires_in = slot_expires_in.max(state.slot_expires_in_ms(quota, now));
            }
            (Counter::Concurrency(_), _) => {}
            _ => {
                rate_refuses = true;
                never |= !can_ever_pass(counter, &part.terms, part.cost);
                retry_after = retry_after.max(counter.retry_after_ms(&part.terms, part.cost, now));
            }
        });
    }
    let reason = match () {
        () if blocked => Reason::Blocked,
        () if never => Reason::CostExceedsQuota,
        () if rate_refuses => Reason::QuotaExceeded,
        () => Reason::ConcurrencyExceeded,
    };
    outcome.denied = Some(reason);
    outcome.retry_after_ms = retry_after.filter(|_| !blocked && !never);
    outcome.slot_expires_in_ms = slot_expires_in;
    outcome.limits.extend(parts.iter().map(|part| state(record, part, now)));
}

/// Room for what the request would add; nothing was charged where there is none.
///
/// ORDER: all that can fail comes before the first charge.
#[inline]
fn make_room(
    record: &mut Record,
    snapshot: &Snapshot,
    (request, now): (&Request<'_>, i64),
    parts: &mut Parts<'_>,
) -> Result<(), DecideError> {
    let mut missing = parts.iter().filter(|part| part.position.is_none()).count();
    if record.counters.len() + missing > MAX_COUNTERS_PER_ACCOUNT && record.sweep_idle(snapshot, now) {
        for part in parts.iter_mut() {
            part.position = record.counters.position(part.key, 0);
        }
        missing = parts.iter().filter(|part| part.position.is_none()).count();
    }
    let held = record.reservations.as_ref().map_or(0, |reservations| reservations.len());
    if record.counters.len() + missing > MAX_COUNTERS_PER_ACCOUNT
        || (request.reserve.is_some() && held >= MAX_RESERVATIONS_PER_ACCOUNT)
    {
        return Err(DecideError::Capacity);
    }
    record.touch();
    if missing > 0 {
        record.counters.reserve(missing);
    }
    Ok(())
}

/// Charges every part, and says how each stands then.
#[inline]
fn spend(record: &mut Record, parts: &mut Parts<'_>, now: i64, outcome: &mut Outcome) {
    for part in parts {
        let (terms, cost) = (part.terms, part.cost);
        let reading = part.counter(record).charge_and_read(&terms, cost, now);
        outcome.limits.push(part.state(reading));
    }
}

fn hold(
    record: &mut Record,
    asker: Asker<'_>,
    snapshot: &Snapshot,
    request: &Request<'_>,
    (reserve, charges, now): (Reserve<'_>, SmallVec<[Charge; 2]>, i64),
) -> Held {
    let ttl = reserve.ttl_ms.unwrap_or(snapshot.policy.reservation_ttl_ms).clamp(0, MAX_RESERVATION_TTL_MS);
    let expires_at = now + ttl;
    let reservations = record.reservations.get_or_insert_default();
    let (slot, number) = reservations.peek_next();
    for charge in charges.iter().filter(|charge| charge.mark == Mark::Open) {
        if let Some(Counter::Concurrency(state)) = record.counters.get(charge.key) {
            state.take(expires_at, slot);
        }
    }
    let id = reserve.id.map(CompactString::new);
    reservations.insert(Reservation {
        number,
        id: id.clone(),
        sub: asker.cloned(),
        resource: CompactString::new(request.resource),
        costs: request.costs.clone(),
        charges,
        made_at: now,
        expires_at,
        state: State::Open,
    });
    Held { id, handle: Handle { main: record.id.clone(), slot, number, made_at: now }, expires_at_ms: expires_at }
}

/// The answer to an id that is remembered; None where it is free.
fn replay(
    record: &mut Record,
    asker: Asker<'_>,
    snapshot: &Snapshot,
    request: &Request<'_>,
    (id, at, now): (&str, ResourceAt, i64),
) -> Result<Option<Outcome>, DecideError> {
    let Some(reservations) = record.reservations.as_deref() else { return Ok(None) };
    let Some(slot) = reservations.by_id(id) else { return Ok(None) };
    let Some(reservation) = reservations.get(slot) else { return Ok(None) };
    if let Some((how, _)) = reservation.ended() {
        return Err(DecideError::ReservationEnded(how));
    }
    let same = Fault::ReplayUnchecked.chosen()
        || reservation.sub.as_ref() == asker
            && reservation.resource == request.resource
            && reservation.costs == *request.costs;
    if !same {
        return Err(DecideError::ReservationConflict);
    }
    let held = Held {
        id: reservation.id.clone(),
        handle: Handle { main: record.id.clone(), slot, number: reservation.number, made_at: reservation.made_at },
        expires_at_ms: reservation.expires_at,
    };
    let tier = record.tier(snapshot, now);
    let parts = parts(record, asker, snapshot, (at, tier, now));
    let limits = states(record, &parts, now);
    Ok(Some(Outcome { group: Some(at.group), limits, reservation: Some(held), replayed: true, ..Outcome::default() }))
}
