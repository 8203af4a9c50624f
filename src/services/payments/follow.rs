//! Ledger entries as the engine counts them: all at the start, then those of each change.

use super::misplaced;
use crate::domain::ids::{AccountId, PaymentRef};
use crate::domain::ledger::{PaymentEvent, Timeline};
use crate::engine::Engine;
use crate::services::records::{LedgerRecord, PaymentRecord};
use crate::services::stored::{self, Stored};
use crate::services::{Error, keys};
use crate::store::{AdminStore, Key, Table};
use std::collections::{BTreeSet, HashMap};

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

/// Tells the engine of the entries that change `seq` wrote.
///
/// INVARIANT: once for each change, in their order: what the store has from later ones is left out by its revision.
pub(in crate::services) fn follow(
    store: &dyn AdminStore,
    engine: &Engine,
    seq: u64,
    entries: &[(AccountId, u64)],
) -> Result<(), Error> {
    let mut touched = BTreeSet::<(&AccountId, PaymentRef)>::new();
    for (main, number) in entries {
        touched.insert((main, entry(store, main, *number)?.value.payment_id));
    }
    for (main, payment_id) in touched {
        let key = keys::payment_ref(&payment_id);
        let payment = stored::read::<PaymentRecord>(store, Table::PaymentIds, &key)?;
        let numbers = payment.map(|payment| payment.value.entries).unwrap_or_default();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for number in numbers {
            let Stored { revision, value } = entry(store, main, number)?;
            let event = value.to_event();
            if revision < seq {
                before.push(event.clone());
            }
            if revision <= seq {
                after.push(event);
            }
        }
        engine.change_payments(main.as_str(), |timeline| timeline.replace(&before, &after));
    }
    Ok(())
}

fn entry(store: &dyn AdminStore, main: &AccountId, number: u64) -> Result<Stored<LedgerRecord>, Error> {
    let key = keys::entry(main, number);
    stored::read(store, Table::Payments, &key)?.ok_or_else(|| misplaced(&key))
}
