//! Proof that the billing system and this ledger agree: one digest over a span of time, and what differs.

use super::misplaced;
use crate::domain::ids::{Currency, PaymentRef};
use crate::domain::ledger::PaymentKind;
use crate::services::records::{EventPlace, LedgerRecord, PaymentRecord};
use crate::services::stored;
use crate::services::{Error, FieldError, Services, keys};
use crate::store::{MAX_SCAN, Table};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashSet};

/// Events that one digest covers; a longer span is to be asked for in parts.
pub const MAX_DIGEST_EVENTS: u64 = 1_000_000;
/// Event ids that one comparison takes and, of each kind of difference, tells.
pub const MAX_COMPARED: usize = 10_000;

/// From `from_ms` up to but not including `to_ms`, by when events occurred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub from_ms: i64,
    pub to_ms: i64,
}

impl Span {
    fn checked(self) -> Result<(), Error> {
        if self.from_ms < self.to_ms {
            return Ok(());
        }
        Err(Error::Invalid(vec![FieldError::new("/to", "not_after", "the span ends before or when it begins")]))
    }
}

/// The sum of all events of a span, whatever their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Digest {
    pub count: u64,
    /// Count and sum of amounts, by kind and by currency; of reversals without a currency by that of their top-up,
    /// None while that is missing.
    pub sums: BTreeMap<(PaymentKind, Option<Currency>), (u64, u128)>,
    /// The sum modulo 2^256 of the SHA-256 of every event, see `docs/billing.md`.
    pub hash: [u8; 32],
}

/// What one side has and the other has not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// In the list that was sent, not in this ledger.
    pub missing_here: Vec<PaymentRef>,
    /// In the list and in this ledger, but at a time outside of the span.
    pub elsewhere: Vec<PaymentRef>,
    /// In this ledger, not in the list.
    pub missing_there: Vec<PaymentRef>,
    /// More differ than are told.
    pub truncated: bool,
}

/// Errors: the span ends before it begins; it has more than [`MAX_DIGEST_EVENTS`].
pub fn digest(services: &Services, span: Span) -> Result<Digest, Error> {
    span.checked()?;
    let mut digest = Digest::default();
    services.each_entry(span, |account, entry| {
        let currency = services.currency_of(entry)?;
        let sum = digest.sums.entry((entry.kind, currency.clone())).or_default();
        sum.0 += 1;
        sum.1 += u128::from(entry.amount);
        digest.count += 1;
        add(&mut digest.hash, &hash_of(account, entry));
        Ok(())
    })?;
    Ok(digest)
}

/// Compares the events of a span with a list of event ids.
///
/// Errors: the span ends before it begins; it has more than [`MAX_DIGEST_EVENTS`], the list more than
/// [`MAX_COMPARED`].
pub fn reconcile(services: &Services, span: Span, theirs: &[PaymentRef]) -> Result<Difference, Error> {
    span.checked()?;
    if theirs.len() > MAX_COMPARED {
        let detail = format!("at most {MAX_COMPARED} event ids are compared at once: ask for shorter spans");
        return Err(Error::Invalid(vec![FieldError::new("/event_ids", "too_many", detail)]));
    }
    let listed: HashSet<&PaymentRef> = theirs.iter().collect();
    let mut found = HashSet::new();
    let mut difference = Difference::default();
    services.each_entry(span, |_, entry| {
        if let Some(id) = listed.get(&entry.event_id) {
            found.insert(*id);
        } else if difference.missing_there.len() < MAX_COMPARED {
            difference.missing_there.push(entry.event_id.clone());
        } else {
            difference.truncated = true;
        }
        Ok(())
    })?;
    let mut missing: Vec<&PaymentRef> = listed.into_iter().filter(|id| !found.contains(id)).collect();
    missing.sort_unstable();
    for id in missing {
        let known = stored::read::<EventPlace>(&*services.store, Table::PaymentEventIds, &keys::payment_ref(id))?;
        let list = if known.is_some() { &mut difference.elsewhere } else { &mut difference.missing_here };
        list.push(id.clone());
    }
    Ok(difference)
}

/// `event_id`, kind, account, `payment_id`, amount and time, joined by tabs: what no side can leave out.
fn hash_of(account: &str, entry: &LedgerRecord) -> [u8; 32] {
    let LedgerRecord { event_id, payment_id, kind, amount, occurred_at_ms, .. } = entry;
    let kind = kind.as_str();
    Sha256::digest(format!("{event_id}\t{kind}\t{account}\t{payment_id}\t{amount}\t{occurred_at_ms}")).into()
}

/// Adds modulo 2^256, big-endian.
fn add(sum: &mut [u8; 32], more: &[u8; 32]) {
    let mut carry = 0;
    for (to, from) in sum.iter_mut().zip(more).rev() {
        let digit = u16::from(*to) + u16::from(*from) + carry;
        *to = digit.to_be_bytes()[1];
        carry = digit >> 8;
    }
}

impl Services {
    /// Visits every entry of a span in the order of time.
    fn each_entry(
        &self,
        span: Span,
        mut visit: impl FnMut(&str, &LedgerRecord) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let prefix = keys::entries_by_time();
        let mut after = Some(keys::entries_before(span.from_ms));
        let mut seen = 0;
        loop {
            let rows = self.store.scan(Table::Index, &prefix, after.as_ref(), MAX_SCAN)?;
            let last = rows.len() < MAX_SCAN;
            after = rows.last().map(|(row, _)| row.clone());
            for (row, _) in rows {
                let (at, main, number) = keys::entry_at_parts(&row).ok_or_else(|| misplaced(&row))?;
                if at >= span.to_ms {
                    return Ok(());
                }
                seen += 1;
                if seen > MAX_DIGEST_EVENTS {
                    let most = MAX_DIGEST_EVENTS;
                    let detail = format!("there are more than {most} events between the two times: ask for less");
                    return Err(Error::Invalid(vec![FieldError::new("/to", "too_many", detail)]));
                }
                visit(main.as_str(), &self.ledger_record(&main, number)?.value)?;
            }
            if last {
                return Ok(());
            }
        }
    }

    fn currency_of(&self, entry: &LedgerRecord) -> Result<Option<Currency>, Error> {
        if entry.currency.is_some() {
            return Ok(entry.currency.clone());
        }
        let key = keys::payment_ref(&entry.payment_id);
        let payment = stored::read::<PaymentRecord>(&*self.store, Table::PaymentIds, &key)?;
        Ok(payment.and_then(|payment| payment.value.currency))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_carry_and_wrap() {
        let mut sum = [0xFF; 32];
        let mut one = [0; 32];
        one[31] = 1;

        add(&mut sum, &one);
        assert_eq!(sum, [0; 32]);

        sum[31] = 0xFF;
        add(&mut sum, &one);
        assert_eq!((sum[30], sum[31]), (1, 0));
    }
}
