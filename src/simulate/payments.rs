//! The payment events of a trace: each once, whatever is sent again.

use super::trace::{BadLine, PaymentOp};
use crate::domain::ids::{AccountId, PaymentRef};
use crate::domain::ledger::{PaymentEvent, PaymentKind, Timeline};
use std::collections::HashMap;

#[derive(Debug, Default)]
pub(super) struct Payments {
    /// As first given; unique over all accounts.
    by_event: HashMap<PaymentRef, PaymentOp>,
    /// The top-up event of each payment.
    top_ups: HashMap<PaymentRef, PaymentRef>,
    by_account: HashMap<AccountId, Vec<PaymentEvent>>,
}

impl Payments {
    /// The account's payments with the event added; None where the event was known already.
    ///
    /// Errors: the event is refused.
    pub fn add(&mut self, payment: &PaymentOp, now: i64) -> Result<Option<Timeline>, BadLine> {
        if let Some(known) = self.by_event.get(&payment.event_id) {
            return if agrees(known, payment) {
                Ok(None)
            } else {
                Err(BadLine::new(format!("event {:?} was given before with other fields", payment.event_id)))
            };
        }
        if payment.kind == PaymentKind::TopUp {
            if let Some(other) = self.top_ups.get(&payment.payment_id) {
                return Err(BadLine::new(format!(
                    "payment {:?} was topped up already, by event {other:?}",
                    payment.payment_id
                )));
            }
            self.top_ups.insert(payment.payment_id.clone(), payment.event_id.clone());
        }
        self.by_event.insert(payment.event_id.clone(), payment.clone());
        let events = self.by_account.entry(payment.account.clone()).or_default();
        events.push(PaymentEvent {
            event_id: payment.event_id.clone(),
            payment_id: payment.payment_id.clone(),
            kind: payment.kind,
            amount: payment.amount,
            currency: payment.currency.clone(),
            occurred_at_ms: payment.occurred_at_ms.unwrap_or(now),
        });
        Ok(Some(Timeline::of(events)))
    }
}

/// Whether the fields given both times agree.
fn agrees(known: &PaymentOp, again: &PaymentOp) -> bool {
    let times_agree = match (known.occurred_at_ms, again.occurred_at_ms) {
        (Some(first), Some(second)) => first == second,
        _ => true,
    };
    times_agree
        && PaymentOp { occurred_at_ms: None, ..known.clone() } == PaymentOp { occurred_at_ms: None, ..again.clone() }
}
