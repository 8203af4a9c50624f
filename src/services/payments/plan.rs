//! What an event comes to: known already, refused, or one more entry with all that goes with it.

use super::{Entry, MAX_EVENTS_PER_PAYMENT, MAX_LEDGER_ENTRIES, MAX_NET_PAID, NewPayment, Recorded, misplaced};
use crate::domain::ids::{AccountId, Currency, PaymentRef};
use crate::domain::ledger::{PaymentEvent, PaymentKind, Timeline};
use crate::domain::quantity::{MAX_AMOUNT, MAX_TIME_MS};
use crate::services::accounts::subject;
use crate::services::checks::Checks;
use crate::services::commit::{Change, Plan};
use crate::services::due::with_due_by;
use crate::services::records::{EventPlace, LedgerEnd, LedgerRecord, PaymentRecord, TopUpRecord};
use crate::services::stored::{self, Stored};
use crate::services::tier::TierView;
use crate::services::{Context, Error, Services, keys};
use crate::store::Table;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

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
        && (entry.undated || new.occurred_at_ms.is_none_or(|at| at == entry.occurred_at_ms))
}

impl Services {
    pub(super) fn plan_payment(&self, context: &Context, new: &NewPayment) -> Result<Plan<Recorded>, Error> {
        Ok(self.plan_event(context, new)?.0)
    }

    /// The plan, and what the account's payments add up to with the event; None where it is known already.
    pub(in crate::services) fn plan_event(
        &self,
        context: &Context,
        new: &NewPayment,
    ) -> Result<(Plan<Recorded>, Option<Arc<Timeline>>), Error> {
        checked(new)?;
        let account = self.main_record(&new.account)?;
        if let Some(known) = self.known_event(new)? {
            let Stored { revision, value: entry } = known;
            let tier = self.tier_of(&new.account, &account.value, context.now)?;
            let value = Recorded { account: new.account.clone(), entry, duplicate: true, tier };
            return Ok((Plan::Unchanged { value, revision }, None));
        }
        let payment =
            stored::read::<PaymentRecord>(&*self.store, Table::PaymentIds, &keys::payment_ref(&new.payment_id))?;
        let (payment, payment_revision) = split(payment);
        let mut basis = self.tier_basis(&new.account)?;
        let end = std::mem::take(&mut basis.ledger);
        let mut next = joined(payment.as_ref(), new)?;
        if end.entries >= MAX_LEDGER_ENTRIES {
            return Err(Error::TableFull { what: "entries of one ledger", most: MAX_LEDGER_ENTRIES as usize });
        }
        let number = end.entries + 1;
        next.entries.push(number);
        let end = LedgerEnd { entries: number, net: net_after(end.net, payment.as_ref(), &next)? };
        let record = new_entry(context, new, &next, end.net.clone());

        let before = TierView::of(&basis.policy, &account.value, &basis.payments, context.now);
        let known = self.events_of(&new.account, payment.as_ref())?;
        let after: Vec<PaymentEvent> = known.iter().cloned().chain([record.to_event()]).collect();
        Arc::make_mut(&mut basis.payments).replace(&known, &after);
        let tier = TierView::of(&basis.policy, &account.value, &basis.payments, context.now)
            .ok_or_else(|| misplaced(&keys::account(&new.account)))?;
        let moved = before.filter(|before| before.effective != tier.effective);
        let change = recording(new, number, &record)?
            .detail("tier", moved.map(|before| json!({"before": before.effective, "after": tier.effective})))?
            .expect(Table::PaymentIds, keys::payment_ref(&new.payment_id), payment_revision)
            .expect(Table::Accounts, keys::account(&new.account), Some(account.revision))
            .put(Table::PaymentIds, keys::payment_ref(&new.payment_id), &next)?
            .put(Table::Index, keys::ledger_end(&new.account), &end)?;
        let change = with_due_by(change, &new.account, &account.value, &basis, context.now)?;
        let entry = Entry { number, pending: record.pending, record };
        let value = Recorded { account: new.account.clone(), entry, duplicate: false, tier };
        Ok((Plan::Change { value, change }, Some(basis.payments)))
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

    fn events_of(&self, main: &AccountId, payment: Option<&PaymentRecord>) -> Result<Vec<PaymentEvent>, Error> {
        let numbers = payment.map_or(&[][..], |payment| &payment.entries);
        numbers.iter().map(|&number| Ok(self.ledger_record(main, number)?.value.to_event())).collect()
    }

    pub(super) fn note_conflict(
        &self,
        context: &Context,
        new: &NewPayment,
        (code, detail): (&str, &str),
    ) -> Result<(), Error> {
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

/// The entry of an event that is new, `next` being its payment with it and `net` the account's net after it.
fn new_entry(context: &Context, new: &NewPayment, next: &PaymentRecord, net: BTreeMap<Currency, u64>) -> LedgerRecord {
    LedgerRecord {
        kind: new.kind,
        event_id: new.event_id.clone(),
        payment_id: new.payment_id.clone(),
        amount: new.amount,
        currency: new.currency.clone(),
        occurred_at_ms: new.occurred_at_ms.unwrap_or(context.now),
        recorded_at_ms: context.now,
        undated: new.occurred_at_ms.is_none(),
        by: context.actor.clone(),
        pending: next.top_up.is_none(),
        net,
    }
}

/// The change that writes an entry and what leads to it. ORDER: the entry first.
fn recording(new: &NewPayment, number: u64, record: &LedgerRecord) -> Result<Change, Error> {
    Change::new(action(new.kind), subject(&new.account))
        .subject(format!("payment:{}", shortened(&new.payment_id)))
        .detail("entry", number)?
        .detail("event", record)?
        .expect(Table::PaymentEventIds, keys::payment_ref(&new.event_id), None)
        .put(Table::Payments, keys::entry(&new.account, number), record)?
        .put(
            Table::PaymentEventIds,
            keys::payment_ref(&new.event_id),
            EventPlace { account: new.account.clone(), number },
        )?
        .put(Table::Index, keys::entry_at(record.occurred_at_ms, &new.account, number), json!({}))
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
    mut net: BTreeMap<Currency, u64>,
    before: Option<&PaymentRecord>,
    after: &PaymentRecord,
) -> Result<BTreeMap<Currency, u64>, Error> {
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
