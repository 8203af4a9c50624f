//! What happens to a reservation after the decision: settle, cancel, renew (SEMANTICS, section 5).

use super::answer::{EndError, Limits};
use super::decide::{parts, states};
use super::handle::Handle;
use super::minutes::{Notes, quota_of};
use super::record::Record;
use super::request::Amounts;
use super::reservations::{Charge, How, Reservation, State};
use super::snapshot::Snapshot;
use crate::domain::account::MAIN_OWNER;
use crate::domain::quantity::MAX_RESERVATION_TTL_MS;
use crate::fault::Fault;
use crate::limits::Mark;
use smallvec::SmallVec;

/// An end without the snapshot it was made by.
#[derive(Debug)]
pub(super) struct EndOutcome {
    pub group: Option<u16>,
    pub limits: Limits,
    pub late: bool,
    pub replayed: bool,
    pub expires_at_ms: i64,
}

/// How the holder changes a reservation.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    Settle(&'a Amounts),
    Cancel,
    Renew { ttl_ms: i64 },
}

/// Without `notes` it leaves no trace in the history.
pub(super) fn change(
    record: &mut Record,
    notes: Option<Notes<'_>>,
    snapshot: &Snapshot,
    handle: &Handle,
    (change, now): (Change<'_>, i64),
) -> Result<EndOutcome, EndError> {
    let now = record.bring(snapshot, now);
    let reservation = find(record, handle).ok_or(EndError::UnknownReservation)?;
    let ended = reservation.ended();
    let same_settle = matches!(
        (&reservation.state, change),
        (State::Settled { amounts, .. }, Change::Settle(again)) if amounts == again
    );
    let made_at = reservation.made_at;
    let charges = reservation.charges.clone();

    let mut late = false;
    match (ended, change) {
        (None, Change::Settle(amounts)) => {
            correct(record, notes, snapshot, &charges, (Some(amounts), now));
            end(record, handle.slot, State::Settled { ended_at: now, amounts: amounts.clone() });
        }
        (None, Change::Cancel) => {
            correct(record, notes, snapshot, &charges, (None, now));
            end(record, handle.slot, State::Cancelled { ended_at: now });
        }
        (None, Change::Renew { ttl_ms }) => {
            let latest = made_at.saturating_add(MAX_RESERVATION_TTL_MS);
            let expires_at = now.saturating_add(ttl_ms.max(0)).min(latest);
            if let Some(reservations) = &mut record.reservations {
                reservations.renew(handle.slot, expires_at, &mut record.counters);
            }
            record.touch();
            record.pass_time(now);
        }
        (Some((How::Expired, ended_at)), Change::Settle(amounts)) => {
            correct(record, notes, snapshot, &charges, (Some(amounts), now));
            let ended_at = if Fault::LateSettleRenewsMemory.chosen() { now } else { ended_at };
            end(record, handle.slot, State::Settled { ended_at, amounts: amounts.clone() });
            late = true;
        }
        (Some(_), Change::Settle(_)) if same_settle => {}
        (Some((how, _)), _) => return Err(EndError::ReservationEnded(how)),
    }
    Ok(outcome(record, snapshot, handle, (late, same_settle), now))
}

pub(super) fn find<'r>(record: &'r Record, handle: &Handle) -> Option<&'r Reservation> {
    let reservation = record.reservations.as_deref()?.get(handle.slot)?;
    (reservation.number == handle.number && reservation.made_at == handle.made_at).then_some(reservation)
}

fn end(record: &mut Record, slot: u32, state: State) {
    if let Some(reservations) = &mut record.reservations {
        reservations.end(slot, state, &mut record.counters);
    }
    record.touch();
}

/// Brings every charge to its true cost: `amounts`, or nothing at all where it is None (a cancel).
fn correct(
    record: &mut Record,
    mut notes: Option<Notes<'_>>,
    snapshot: &Snapshot,
    charges: &SmallVec<[Charge; 2]>,
    (amounts, now): (Option<&Amounts>, i64),
) {
    let tier = record.tier(snapshot, now);
    for charge in charges.iter().filter(|charge| charge.mark != Mark::Open) {
        let Some(limit) = snapshot.limit_of(charge.key.limit) else { continue };
        let Some(terms) = record.terms_of_owner(snapshot, limit, charge.key.owner, (tier, now)) else { continue };
        let Some(counter) = record.counters.get(charge.key) else { continue };
        let true_cost = amounts.map_or(0, |amounts| amounts.of(&limit.unit).unwrap_or(charge.cost));
        counter.bring(&terms, now);
        if true_cost > charge.cost {
            counter.charge(&terms, true_cost - charge.cost, now);
        } else if true_cost < charge.cost {
            counter.give_back(&terms, charge.mark, charge.cost - true_cost, now);
        }
        let used = counter.read(&terms, now).used;
        if let Some(notes) = notes.as_mut().filter(|_| charge.key.owner == MAIN_OWNER && true_cost != charge.cost)
            && let Some(mut cells) = notes.cells(record, now)
            && let Some(cell) = cells.of(charge.key.limit, quota_of(&terms))
        {
            // Amounts are at most 10^15.
            cell.correct(true_cost as i64 - charge.cost as i64);
            cell.peak(used, quota_of(&terms));
        }
    }
}

fn outcome(
    record: &mut Record,
    snapshot: &Snapshot,
    handle: &Handle,
    (late, replayed): (bool, bool),
    now: i64,
) -> EndOutcome {
    let mut outcome = EndOutcome { group: None, limits: Limits::new(), late, replayed, expires_at_ms: now };
    let Some(reservation) = find(record, handle) else { return outcome };
    outcome.expires_at_ms = reservation.expires_at;
    let sub = reservation.sub.clone();
    if let Some(at) = snapshot.resource(&reservation.resource) {
        let tier = record.tier(snapshot, now);
        let parts = parts(record, sub.as_ref(), snapshot, (at, tier, now));
        outcome.limits = states(record, &parts, now);
        outcome.group = Some(at.group);
    }
    outcome
}
