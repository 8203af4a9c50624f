//! Payment events: top-ups, refunds and chargebacks, recorded exactly once, and the ledger that they make.
//!
//! INVARIANT: an event is one commit: the ledger entry, its event id, what is known of its payment, the end of the
//! account's ledger and the audit entry. The end of the ledger is expected at the revision that was read, so events of
//! one account are recorded one after the other, and an entry is written before all that leads to it.

mod digest;
mod follow;
mod plan;

pub use digest::{Difference, Digest, Span, digest, reconcile};
pub(super) use follow::{bring_up, follow, timelines};

use super::records::{LedgerRecord, PaymentRecord};
use super::stored::{self, Stored};
use super::tier::TierView;
use super::{Context, Done, Error, Internal, Page, Paging, Services, keys};
use crate::domain::ids::{AccountId, Currency, PaymentRef};
use crate::domain::ledger::{PaymentKind, Reversal, Timeline, reversals};
use crate::store::{Key, Table};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Entries of one main account's ledger.
pub const MAX_LEDGER_ENTRIES: u64 = 100_000;
/// Events that name one payment.
pub const MAX_EVENTS_PER_PAYMENT: usize = 256;
/// Net paid of one account in one currency, in minor units.
pub const MAX_NET_PAID: u64 = 1_000_000_000_000_000_000;

/// A payment event as the billing system gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPayment {
    pub account: AccountId,
    pub kind: PaymentKind,
    pub event_id: PaymentRef,
    pub payment_id: PaymentRef,
    /// Minor units, at least 1.
    pub amount: u64,
    /// A refund or chargeback may leave it out: it is in its top-up's.
    pub currency: Option<Currency>,
    /// None: now.
    pub occurred_at_ms: Option<i64>,
}

/// What became of a payment event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    pub account: AccountId,
    pub entry: Entry,
    /// The event was recorded before; nothing was written now.
    pub duplicate: bool,
    /// The account's tier after it.
    pub tier: TierView,
}

/// One entry of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Counts from 1 in each account, in the order in which events were recorded.
    pub number: u64,
    pub record: LedgerRecord,
    /// A refund or chargeback without its top-up: it waits for it and counts nothing until then.
    pub pending: bool,
}

/// Records a payment event, once however often it is sent.
///
/// Errors: the account is unknown or a sub-account; the event id was used with other content (`event_conflict`); the
/// payment is another account's, in another currency or topped up already (`payment_conflict`). A conflict leaves an
/// audit entry.
pub fn record(services: &Services, context: &Context, new: &NewPayment) -> Result<Done<Recorded>, Error> {
    // ORDER: the turn ends once the engine has followed, so an event sent twice at once is known only when it counts.
    let turn = services.turns.wait(Table::Index, &keys::ledger_end(&new.account));
    let done = services.change(context, || services.plan_payment(context, new));
    drop(turn);
    if let Err(Error::Conflict { code: code @ ("event_conflict" | "payment_conflict"), detail, .. }) = &done {
        services.note_conflict(context, new, (code, detail))?;
    }
    done
}

/// The ledger of a main account, the oldest entry first.
pub fn ledger(
    services: &Services,
    id: &AccountId,
    kind: Option<PaymentKind>,
    paging: &Paging,
) -> Result<Page<Stored<Entry>>, Error> {
    services.main_record(id)?;
    stored::page(&*services.store, (Table::Payments, &keys::entries(id)), paging, |key, found| {
        let (_, number) = keys::entry_in(key).ok_or_else(|| misplaced(key))?;
        let Stored { revision, value } = stored::decode::<LedgerRecord>(Table::Payments, key, found)?;
        if kind.is_some_and(|kind| value.kind != kind) {
            return Ok(None);
        }
        Ok(Some(Stored { revision, value: services.entry(number, value)? }))
    })
}

/// The main account that a payment was recorded for; None: nothing is known of it.
pub fn account_of(services: &Services, payment: &PaymentRef) -> Result<Option<AccountId>, Error> {
    let found = stored::read::<PaymentRecord>(&*services.store, Table::PaymentIds, &keys::payment_ref(payment))?;
    Ok(found.map(|payment| payment.value.account))
}

/// One entry of the ledger of a main account.
pub fn entry(services: &Services, id: &AccountId, number: u64) -> Result<Stored<Entry>, Error> {
    services.main_record(id)?;
    let found = stored::read::<LedgerRecord>(&*services.store, Table::Payments, &keys::entry(id, number))?;
    let Stored { revision, value } = found.ok_or_else(|| Error::not_found("ledger entry", number))?;
    Ok(Stored { revision, value: services.entry(number, value)? })
}

fn misplaced(key: &Key) -> Error {
    Internal::Record { table: Table::Payments, key: key.clone(), why: "its key is not a ledger's".to_owned() }.into()
}

impl Services {
    fn ledger_record(&self, main: &AccountId, number: u64) -> Result<Stored<LedgerRecord>, Error> {
        follow::entry(&*self.store, main, number)
    }

    /// Whether an entry still waits for its top-up changes when that comes; all else stays as it was recorded.
    fn entry(&self, number: u64, record: LedgerRecord) -> Result<Entry, Error> {
        let mut pending = record.pending;
        if pending {
            let key = keys::payment_ref(&record.payment_id);
            let payment = stored::read::<PaymentRecord>(&*self.store, Table::PaymentIds, &key)?;
            pending = payment.is_none_or(|payment| payment.value.top_up.is_none());
        }
        Ok(Entry { number, record, pending })
    }

    /// Whether what occurred at a time was recorded then or later, so that its own audit entries tell of it.
    pub(super) fn told_by_payments(&self, main: &AccountId, at: i64) -> Result<bool, Error> {
        let mut told = true;
        stored::each::<serde_json::Value>(&*self.store, Table::Index, &keys::entries_at(at, main), |row, _| {
            let (_, _, number) = keys::entry_at_parts(&row).ok_or_else(|| misplaced(&row))?;
            told &= self.ledger_record(main, number)?.value.recorded_at_ms >= at;
            Ok(())
        })?;
        Ok(told)
    }

    /// What was paid back to a main account, the earliest first: read from its whole ledger.
    pub(super) fn reversals(&self, main: &AccountId) -> Result<Vec<Reversal>, Error> {
        let mut events = Vec::new();
        stored::each::<LedgerRecord>(&*self.store, Table::Payments, &keys::entries(main), |_, entry| {
            events.push(entry.value.to_event());
            Ok(())
        })?;
        Ok(reversals(&events))
    }

    /// What the payments of a main account add up to, by the engine, which follows the store.
    pub(super) fn payments(&self, main: &AccountId) -> Arc<Timeline> {
        self.engine.payments(main.as_str()).unwrap_or_default()
    }
}
