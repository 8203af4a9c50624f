//! Payment events: top-ups, refunds and chargebacks, recorded exactly once, and the ledger that they make.
//!
//! INVARIANT: an event is one commit: the ledger entry, its event id, what is known of its payment, the end of the
//! account's ledger and the audit entry. The end of the ledger is expected at the revision that was read, so events of
//! one account are recorded one after the other.

mod digest;
mod follow;

pub use digest::{Difference, Digest, Span, digest, reconcile};
pub(super) use follow::{follow, timelines};

use super::accounts::subject;
use super::checks::Checks;
use super::commit::{Change, Plan};
use super::records::{EventPlace, LedgerEnd, LedgerRecord, PaymentRecord, TopUpRecord};
use super::stored::{self, Stored};
use super::tier::TierView;
use super::{Context, Done, Error, Internal, Page, Paging, Services, keys};
use crate::domain::ids::{AccountId, Currency, PaymentRef};
use crate::domain::ledger::{PaymentEvent, PaymentKind, Timeline};
use crate::domain::quantity::{MAX_AMOUNT, MAX_TIME_MS};
use crate::store::{Key, Table};
use serde::{Deserialize, Serialize};
use serde_json::json;

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
    let done = services.change(context, || services.plan_payment(context, new));
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

fn misplaced(key: &Key) -> Error {
    Internal::Record { table: Table::Payments, key: key.clone(), why: "its key is not a ledger's".to_owned() }.into()
}

fn checked(new: &NewPayment) -> Result<(), Error> {
    let mut checks = Checks::default();
    if !(1..=MAX_AMOUNT).contains(&new.amount) {
        checks.fail("/amount", "out_of_range", "an amount is an integer from 1 to 10^15, in minor units");
    }
    if new.occurred_at_ms.is_some_and(|at| !(0..=MAX_TIME_MS).contains(&at)) {
        checks.fail("/occurred_at", "out_of_range", "the time is before 1970 or beyond the year 9999");
    }
    if new.kind == PaymentKind::TopUp && new.currency.is_none() {
        checks.fail("/currency", "required", "a top-up names its currency");
    }
    checks.done()
}

/// Whether an event that comes again says what was recorded. A field that is left out says nothing.
fn agrees(entry: &LedgerRecord, at: &AccountId, new: &NewPayment) -> bool {
    let same_currency = match (&entry.currency, &new.currency) {
        (Some(known), Some(given)) => known == given,
        _ => true,
    };
    *at == new.account
        && entry.kind == new.kind
        && entry.payment_id == new.payment_id
        && entry.amount == new.amount
        && same_currency
        && new.occurred_at_ms.is_none_or(|at| at == entry.occurred_at_ms)
}

impl Services {
    fn plan_payment(&self, context: &Context, new: &NewPayment) -> Result<Plan<Recorded>, Error> {
        checked(new)?;
        let account = self.main_record(&new.account)?;
        if let Some(known) = self.known_event(new)? {
            let Stored { revision, value: entry } = known;
            let tier = self.tier_of(&new.account, &account.value, context.now)?;
            let value = Recorded { account: new.account.clone(), entry, duplicate: true, tier };
            return Ok(Plan::Unchanged { value, revision });
        }
        let payment = stored::read::<PaymentRecord>(&*self.store, Table::PaymentIds, &keys::payment_ref(&new.payment_id))?;
        let end = stored::read::<LedgerEnd>(&*self.store, Table::Index, &keys::ledger_end(&new.account))?;
        let (payment, payment_revision) = split(payment);
        let (end, end_revision) = split(end);
        let mut next = joined(payment.as_ref(), new)?;
        let end = end.unwrap_or_default();
        if end.entries >= MAX_LEDGER_ENTRIES {
            return Err(Error::TableFull { what: "entries of one ledger", most: MAX_LEDGER_ENTRIES as usize });
        }
        let number = end.entries + 1;
        next.entries.push(number);
        let end = LedgerEnd { entries: number, net: net_after(end.net, payment.as_ref(), &next)? };

        let record = LedgerRecord {
            kind: new.kind,
            event_id: new.event_id.clone(),
            payment_id: new.payment_id.clone(),
            amount: new.amount,
            currency: new.currency.clone(),
            occurred_at_ms: new.occurred_at_ms.unwrap_or(context.now),
            recorded_at_ms: context.now,
            by: context.actor.clone(),
            pending: next.top_up.is_none(),
            net: end.net.clone(),
        };
        let mut payments = self.engine.payments(new.account.as_str()).unwrap_or_default();
        let before = TierView::of(&self.engine.snapshot().policy, &account.value, &payments, context.now);
        let known = self.events_of(&new.account, payment.as_ref())?;
        let after: Vec<PaymentEvent> = known.iter().cloned().chain([record.to_event()]).collect();
        payments.replace(&known, &after);
        let tier = TierView::of(&self.engine.snapshot().policy, &account.value, &payments, context.now)
            .ok_or_else(|| misplaced(&keys::account(&new.account)))?;
        let moved = before.filter(|before| before.effective != tier.effective);

        let change = Change::new(action(new.kind), subject(&new.account))
            .subject(format!("payment:{}", shortened(&new.payment_id)))
            .detail("entry", number)?
            .detail("event", &record)?
            .detail("tier", moved.map(|before| json!({"before": before.effective, "after": tier.effective})))?
            .expect(Table::PaymentEventIds, keys::payment_ref(&new.event_id), None)
            .expect(Table::PaymentIds, keys::payment_ref(&new.payment_id), payment_revision)
            .expect(Table::Index, keys::ledger_end(&new.account), end_revision)
            .put(Table::Payments, keys::entry(&new.account, number), &record)?
            .put(Table::PaymentEventIds, keys::payment_ref(&new.event_id), EventPlace {
                account: new.account.clone(),
                number,
            })?
            .put(Table::PaymentIds, keys::payment_ref(&new.payment_id), &next)?
            .put(Table::Index, keys::ledger_end(&new.account), &end)?
            .put(Table::Index, keys::entry_at(record.occurred_at_ms, &new.account, number), json!({}))?;
        let change = self.with_due(change, &new.account, (&account.value, &payments), context.now)?;
        let pending = next.top_up.is_none();
        let entry = Entry { number, record, pending };
        Ok(Plan::Change { value: Recorded { account: new.account.clone(), entry, duplicate: false, tier }, change })
    }

    /// The entry that the event id stands for already.
    ///
    /// Errors: it says something else.
    fn known_event(&self, new: &NewPayment) -> Result<Option<Stored<Entry>>, Error> {
        let Some(place) =
            stored::read::<EventPlace>(&*self.store, Table::PaymentEventIds, &keys::payment_ref(&new.event_id))?
        else {
            return Ok(None);
        };
        let EventPlace { account, number } = place.value;
        let entry = self.ledger_record(&account, number)?;
        if !agrees(&entry.value, &account, new) {
            let detail = format!(
                "event {:?} was recorded before with other content, as entry {number} of account {account:?}",
                new.event_id
            );
            return Err(Error::conflict("event_conflict", detail));
        }
        let Stored { revision, value } = entry;
        Ok(Some(Stored { revision, value: self.entry(number, value)? }))
    }

    fn ledger_record(&self, main: &AccountId, number: u64) -> Result<Stored<LedgerRecord>, Error> {
        let key = keys::entry(main, number);
        let found = stored::read(&*self.store, Table::Payments, &key)?;
        found.ok_or_else(|| misplaced(&key))
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

    fn events_of(&self, main: &AccountId, payment: Option<&PaymentRecord>) -> Result<Vec<PaymentEvent>, Error> {
        let numbers = payment.map_or(&[][..], |payment| &payment.entries);
        numbers.iter().map(|&number| Ok(self.ledger_record(main, number)?.value.to_event())).collect()
    }

    fn note_conflict(&self, context: &Context, new: &NewPayment, (code, detail): (&str, &str)) -> Result<(), Error> {
        if context.validate_only {
            return Ok(());
        }
        let context = Context { if_match: None, idempotency: None, ..context.clone() };
        let refused = json!({
            "kind": new.kind, "event_id": new.event_id, "payment_id": new.payment_id, "amount": new.amount,
            "currency": new.currency, "occurred_at_ms": new.occurred_at_ms,
        });
        self.change(&context, || {
            let change = Change::new("payment.refuse", subject(&new.account))
                .detail("code", code)?
                .detail("reason", detail)?
                .detail("event", &refused)?;
            Ok(Plan::Change { value: (), change })
        })?;
        Ok(())
    }
}

fn split<T>(found: Option<Stored<T>>) -> (Option<T>, Option<u64>) {
    match found {
        None => (None, None),
        Some(Stored { revision, value }) => (Some(value), Some(revision)),
    }
}

fn action(kind: PaymentKind) -> &'static str {
    match kind {
        PaymentKind::TopUp => "payment.top_up",
        PaymentKind::Refund => "payment.refund",
        PaymentKind::Chargeback => "payment.chargeback",
    }
}

/// As the audit log can name it.
fn shortened(payment: &PaymentRef) -> &str {
    let text = payment.as_str();
    &text[..text.len().min(200)]
}

/// What is known of the payment once the event belongs to it; the entry's number is still to be added.
///
/// Errors: the event cannot belong to it.
fn joined(payment: Option<&PaymentRecord>, new: &NewPayment) -> Result<PaymentRecord, Error> {
    let mut next = payment.cloned().unwrap_or_else(|| PaymentRecord {
        account: new.account.clone(),
        currency: None,
        top_up: None,
        reversed: 0,
        entries: Vec::new(),
    });
    let conflict = |detail: String| Err(Error::conflict("payment_conflict", detail));
    let id = &new.payment_id;
    if next.account != new.account {
        return conflict(format!("payment {id:?} belongs to account {:?}", next.account));
    }
    if let (Some(known), Some(given)) = (&next.currency, &new.currency)
        && known != given
    {
        return conflict(format!("payment {id:?} is in {known}, not in {given}"));
    }
    if next.entries.len() >= MAX_EVENTS_PER_PAYMENT {
        return Err(Error::TableFull { what: "events of one payment", most: MAX_EVENTS_PER_PAYMENT });
    }
    match (new.kind, &next.top_up) {
        (PaymentKind::TopUp, Some(known)) => {
            return conflict(format!("payment {id:?} was topped up already, by event {:?}", known.event_id));
        }
        (PaymentKind::TopUp, None) => {
            next.top_up = Some(TopUpRecord { event_id: new.event_id.clone(), amount: new.amount });
        }
        // At most 256 events of at most 10^15.
        (PaymentKind::Refund | PaymentKind::Chargeback, _) => next.reversed += new.amount,
    }
    if next.currency.is_none() {
        next.currency.clone_from(&new.currency);
    }
    Ok(next)
}

impl PaymentRecord {
    fn net(&self) -> u64 {
        self.top_up.as_ref().map_or(0, |top_up| top_up.amount.saturating_sub(self.reversed))
    }
}

fn net_after(
    mut net: std::collections::BTreeMap<Currency, u64>,
    before: Option<&PaymentRecord>,
    after: &PaymentRecord,
) -> Result<std::collections::BTreeMap<Currency, u64>, Error> {
    let Some(currency) = after.currency.as_ref().filter(|_| after.top_up.is_some()) else { return Ok(net) };
    let held = net.entry(currency.clone()).or_default();
    // INVARIANT: what a payment counted is a part of the account's net.
    *held = held.saturating_sub(before.map_or(0, PaymentRecord::net)) + after.net();
    if *held > MAX_NET_PAID {
        let mut checks = Checks::default();
        checks.fail("/amount", "out_of_range", "the account's net paid would be above 10^18 minor units");
        checks.done()?;
    }
    Ok(net)
}

/// What the payments of a main account add up to, by the engine, which follows the store.
impl Services {
    pub(super) fn payments(&self, main: &AccountId) -> Timeline {
        self.engine.payments(main.as_str()).unwrap_or_default()
    }
}
