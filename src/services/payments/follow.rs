//! Ledger entries as the engine counts them: all at the start, then each as it is recorded.

use super::misplaced;
use crate::domain::ids::AccountId;
use crate::domain::ledger::{PaymentEvent, Timeline};
use crate::engine::Engine;
use crate::services::records::{LedgerRecord, PaymentRecord};
use crate::services::stored::{self, Stored};
use crate::services::{Error, Internal, keys};
use crate::store::{AdminStore, Key, Table};
use std::collections::HashMap;

/// What the payments of every account that has any add up to.
pub(in crate::services) fn timelines(store: &dyn AdminStore) -> Result<HashMap<AccountId, Timeline>, Error> {
    let mut timelines = HashMap::new();
    let mut open: Option<(AccountId, Vec<PaymentEvent>)> = None;
    let mut close = |open: Option<(AccountId, Vec<PaymentEvent>)>| {
        if let Some((main, events)) = open {
            timelines.insert(main, Timeline::of(&events));
        }
    };
    // In key order, so the entries of one account follow each other.
    stored::each::<LedgerRecord>(store, Table::Payments, &Key::empty(), |key, entry| {
        let (main, _) = keys::entry_in(&key).ok_or_else(|| misplaced(&key))?;
        let event = entry.value.to_event();
        match &mut open {
            Some((known, events)) if *known == main => events.push(event),
            _ => close(open.replace((main, vec![event]))),
        }
        Ok(())
    })?;
    close(open);
    Ok(timelines)
}

/// Tells the engine of the entries that a change wrote.
///
/// INVARIANT: entries of one account are numbered in the order of their commits, so all that an entry rests on has a
/// lower number, whatever the store has of later ones.
pub(in crate::services) fn follow(
    store: &dyn AdminStore,
    engine: &Engine,
    entries: &[(AccountId, u64)],
) -> Result<(), Error> {
    for (main, number) in entries {
        let events = Events::around(store, main, *number)?;
        if !engine.change_payments(main.as_str(), |timeline| events.add_to(timeline)) {
            return Err(Internal::Engine { account: main.clone() }.into());
        }
    }
    Ok(())
}

/// Adds the entries up to and including `last` that the timeline lacks.
pub(in crate::services) fn bring_up(
    store: &dyn AdminStore,
    main: &AccountId,
    timeline: &mut Timeline,
    last: u64,
) -> Result<(), Error> {
    for number in timeline.events() + 1..=last {
        Events::around(store, main, number)?.add_to(timeline);
    }
    Ok(())
}

/// The events of one payment before an entry and with it.
struct Events {
    number: u64,
    before: Vec<PaymentEvent>,
    with: Vec<PaymentEvent>,
}

impl Events {
    fn around(store: &dyn AdminStore, main: &AccountId, number: u64) -> Result<Self, Error> {
        let payment_id = entry(store, main, number)?.value.payment_id;
        let key = keys::payment_ref(&payment_id);
        let payment = stored::read::<PaymentRecord>(store, Table::PaymentIds, &key)?;
        let numbers = payment.map(|payment| payment.value.entries).unwrap_or_default();
        let (mut before, mut with) = (Vec::new(), Vec::new());
        for known in numbers.into_iter().filter(|known| *known <= number) {
            let event = entry(store, main, known)?.value.to_event();
            if known < number {
                before.push(event.clone());
            }
            with.push(event);
        }
        Ok(Self { number, before, with })
    }

    /// Once: an entry that is counted already is not counted again.
    fn add_to(&self, timeline: &mut Timeline) {
        if timeline.events() < self.number {
            timeline.replace(&self.before, &self.with);
        }
    }
}

pub(super) fn entry(store: &dyn AdminStore, main: &AccountId, number: u64) -> Result<Stored<LedgerRecord>, Error> {
    let key = keys::entry(main, number);
    stored::read(store, Table::Payments, &key)?.ok_or_else(|| misplaced(&key))
}
