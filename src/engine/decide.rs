//! One decision: resolve, then spend, on one record under its lock (SEMANTICS, section 4).

use super::answer::{DecideError, Held, LimitState, Limits, Reason, Scope};
use super::counters::CounterKey;
use super::handle::Handle;
use super::record::{Record, caps, terms_of};
use super::request::{Request, Reserve};
use super::reservations::{Charge, Reservation, State};
use super::snapshot::{CompiledGroup, ResourceAt, Snapshot};
use super::{MAX_COUNTERS_PER_ACCOUNT, MAX_RESERVATIONS_PER_ACCOUNT};
use crate::domain::account::MAIN_OWNER;
use crate::domain::ids::AccountId;
use crate::domain::policy::{Algorithm, Rule, UnlistedResources};
use crate::domain::quantity::{MAX_RESERVATION_TTL_MS, Quota};
use crate::fault::Fault;
use crate::limits::{Counter, Mark, Terms, can_ever_pass};
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

impl Outcome {
    pub(super) fn deny(reason: Reason) -> Self {
        Self { denied: Some(reason), ..Self::default() }
    }
}

/// One limit that takes part.
pub(super) struct Part {
    limit: u8,
    scope: Scope,
    rule: Rule,
    key: CounterKey,
    terms: Terms,
    cost: u64,
    position: Option<usize>,
    refuses: bool,
}

pub(super) type Parts = SmallVec<[Part; 4]>;

/// Who asks: the record's main account, or one of its sub-accounts.
pub(super) type Asker<'a> = Option<&'a AccountId>;

pub(super) fn decide(
    record: &mut Record,
    asker: Asker<'_>,
    snapshot: &Snapshot,
    request: &Request<'_>,
    now: i64,
) -> Result<Outcome, DecideError> {
    let now = record.bring(snapshot, now);
    if record.suspended || asker.is_some_and(|sub| record.sub(sub.as_str()).is_some_and(|sub| sub.suspended)) {
        return Ok(Outcome::deny(Reason::AccountSuspended));
    }
    let Some(at) = snapshot.resource(request.resource) else {
        return Ok(match snapshot.policy.unlisted_resources {
            UnlistedResources::Deny => Outcome::deny(Reason::UnknownResource),
            UnlistedResources::Allow => Outcome::default(),
        });
    };
    let group = snapshot.group(at.group);
    if group.has_concurrency && request.reserve.is_none() && !request.dry_run {
        return Err(DecideError::ReservationRequired);
    }
    if !request.dry_run
        && let Some(id) = request.reserve.and_then(|reserve| reserve.id)
        && let Some(outcome) = replay(record, asker, snapshot, request, (id, at, now))?
    {
        return Ok(outcome);
    }

    let tier = record.tier(snapshot, now);
    let mut parts = parts(record, asker, snapshot, (at, tier, now));
    let mut refused = false;
    for part in &mut parts {
        part.cost = request.costs.of(&group.limits[usize::from(part.limit)].unit);
        part.refuses = !with_counter(record, part, |counter, part| counter.admits(&part.terms, part.cost, now));
        refused |= part.refuses;
    }
    if refused {
        if Fault::ChargeBeforeCheck.chosen() {
            for part in parts.iter().filter(|part| !part.refuses) {
                with_counter(record, part, |counter, part| counter.charge(&part.terms, part.cost, now));
            }
        }
        return Ok(refusal(record, &parts, at, now));
    }
    let mut outcome = Outcome { group: Some(at.group), ..Outcome::default() };
    if !request.dry_run {
        outcome.reservation = spend(record, asker, snapshot, request, (&mut parts, group, now))?;
        record.pass_time(now);
    }
    outcome.limits = states(record, &parts, now);
    Ok(outcome)
}

/// The limits that take part, in order: the main account's, then those the sub-account has caps for.
pub(super) fn parts(
    record: &Record,
    asker: Asker<'_>,
    snapshot: &Snapshot,
    (at, tier, now): (ResourceAt, usize, i64),
) -> Parts {
    let group = snapshot.group(at.group);
    let mut parts = Parts::new();
    let part = |position: usize, scope, owner, terms| {
        let limit = &group.limits[position];
        let key = CounterKey { owner, limit: limit.identity, resource: at.identity };
        // The validator bounds the limits of a group at 16.
        let limit_index = position as u8;
        let position = record.counters.position(key);
        Part { limit: limit_index, scope, rule: limit.rule, key, terms, cost: 0, position, refuses: false }
    };
    for (position, limit) in group.limits.iter().enumerate() {
        parts.push(part(position, Scope::Account, MAIN_OWNER, record.terms(snapshot, limit, tier, now)));
    }
    if let Some(sub) = asker.and_then(|sub| record.sub(sub.as_str())).filter(|_| !Fault::CapIgnored.chosen()) {
        for (position, limit) in group.limits.iter().enumerate() {
            if let Some(cap) = sub.caps.iter().find(|cap| caps(cap, limit)) {
                parts.push(part(position, Scope::SubAccount, cap.owner, terms_of(limit, cap.quota, tier)));
            }
        }
    }
    parts
}

/// Acts on the part's counter, or on an empty one where nothing was ever charged.
#[inline]
fn with_counter<R>(record: &mut Record, part: &Part, act: impl FnOnce(&mut Counter, &Part) -> R) -> R {
    match part.position {
        Some(position) => act(record.counters.at(position), part),
        None => act(&mut Counter::empty(part.rule), part),
    }
}

pub(super) fn states(record: &mut Record, parts: &Parts, now: i64) -> Limits {
    parts.iter().map(|part| state(record, part, now)).collect()
}

#[inline]
fn state(record: &mut Record, part: &Part, now: i64) -> LimitState {
    let reading = with_counter(record, part, |counter, part| counter.read(&part.terms, now));
    let burst = (is_bucket(part.rule) && part.terms.quota.units().is_some()).then_some(part.terms.burst);
    LimitState {
        limit: part.limit,
        scope: part.scope,
        refuses: part.refuses,
        quota: part.terms.quota,
        burst,
        used: reading.used,
        reset_after_ms: reading.reset_after_ms,
    }
}

#[inline]
pub(super) fn is_bucket(rule: Rule) -> bool {
    matches!(rule, Rule::Rate { algorithm: Algorithm::TokenBucket, .. })
}

/// A refusal costs nothing anywhere: this only reads.
fn refusal(record: &mut Record, parts: &Parts, at: ResourceAt, now: i64) -> Outcome {
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
    Outcome {
        denied: Some(reason),
        group: Some(at.group),
        limits: states(record, parts, now),
        retry_after_ms: retry_after.filter(|_| !blocked && !never),
        slot_expires_in_ms: slot_expires_in,
        ..Outcome::default()
    }
}

/// Charges every part and makes the reservation asked for.
///
/// ORDER: all that can fail comes before the first charge.
fn spend(
    record: &mut Record,
    asker: Asker<'_>,
    snapshot: &Snapshot,
    request: &Request<'_>,
    (parts, group, now): (&mut Parts, &CompiledGroup, i64),
) -> Result<Option<Held>, DecideError> {
    let missing = parts.iter().filter(|part| part.position.is_none()).count();
    let held = record.reservations.as_ref().map_or(0, |reservations| reservations.len());
    if record.counters.len() + missing > MAX_COUNTERS_PER_ACCOUNT
        || (request.reserve.is_some() && held >= MAX_RESERVATIONS_PER_ACCOUNT)
    {
        return Err(DecideError::Capacity);
    }
    debug_assert!(parts.len() >= group.limits.len());

    record.dirty = true;
    if missing > 0 {
        record.counters.reserve(missing);
    }
    let mut charges: SmallVec<[Charge; 2]> = SmallVec::new();
    for part in parts.iter_mut() {
        let position = match part.position {
            Some(position) => position,
            None => record.counters.push(part.key, Counter::empty(part.rule)),
        };
        part.position = Some(position);
        let mark = record.counters.at(position).charge(&part.terms, part.cost, now);
        if request.reserve.is_some() {
            charges.push(Charge { key: part.key, cost: part.cost, mark });
        }
    }
    Ok(request.reserve.map(|reserve| hold(record, asker, snapshot, request, (reserve, charges, now))))
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
