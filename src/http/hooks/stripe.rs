//! How a provider's events are mapped, with Stripe's as the example (<https://docs.stripe.com/api/events/types>).
//!
//! | Stripe | here |
//! |---|---|
//! | `charge.succeeded`, captured | top-up of what was captured |
//! | `charge.captured` (authorised before) | the same |
//! | `charge.refunded` | refund of what was refunded since the event before |
//! | `charge.dispute.funds_withdrawn` | chargeback |
//!
//! The payment is the charge, the event id Stripe's own. The account stands in the charge's `metadata.account`; Stripe does
//! not copy it to disputes, so without it a dispute goes to the account that the charge was recorded for. All other events
//! are ignored.

use super::{Event, Said, id_of};
use crate::domain::ids::{AccountId, Currency, PaymentRef};
use crate::domain::ledger::PaymentKind;
use crate::domain::quantity::MAX_AMOUNT;
use crate::http::body;
use crate::http::problem::{Place, Problem};
use crate::services::Services;
use crate::services::payments::{self, NewPayment};
use serde::Deserialize;
use serde::de::DeserializeOwned;

#[derive(Deserialize)]
struct StripeEvent {
    id: PaymentRef,
    #[serde(rename = "type")]
    kind: String,
    /// Seconds since 1970.
    #[serde(default)]
    created: Option<i64>,
}

/// The same event, once it is known what it is about.
#[derive(Deserialize)]
struct Detailed<T> {
    data: Data<T>,
}

/// What an event is about, and what it was before.
#[derive(Deserialize)]
struct Data<T> {
    object: T,
    #[serde(default)]
    previous_attributes: Option<Previous>,
}

#[derive(Deserialize)]
struct Previous {
    #[serde(default)]
    amount_refunded: Option<u64>,
}

#[derive(Deserialize)]
struct Charge {
    id: PaymentRef,
    amount: u64,
    #[serde(default)]
    amount_captured: Option<u64>,
    /// Of all refunds so far together.
    #[serde(default)]
    amount_refunded: u64,
    currency: String,
    #[serde(default)]
    captured: Option<bool>,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Dispute {
    charge: PaymentRef,
    amount: u64,
    currency: String,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    account: Option<AccountId>,
}

pub(super) fn read(services: &Services, bytes: &[u8]) -> Event {
    let event: StripeEvent = body::parse(bytes).map_err(|problem| (id_of(bytes, "id"), problem))?;
    said(services, &event, bytes).map_err(|problem| (Some(event.id.clone()), problem))
}

fn said(services: &Services, event: &StripeEvent, bytes: &[u8]) -> Result<Said, Problem> {
    match event.kind.as_str() {
        "charge.succeeded" | "charge.captured" => {
            let Data { object: charge, .. } = data::<Charge>(bytes)?;
            if charge.captured == Some(false) {
                let why = "the charge is authorised and not captured: `charge.captured` tells when it is";
                return Ok(Said::Nothing { event_id: event.id.clone(), why: why.into() });
            }
            let amount = charge.amount_captured.unwrap_or(charge.amount);
            payment(event, PaymentKind::TopUp, amount, Of::charge(&charge)?)
        }
        "charge.refunded" => {
            let Data { object: charge, previous_attributes } = data::<Charge>(bytes)?;
            let before = previous_attributes.and_then(|previous| previous.amount_refunded).unwrap_or(0);
            let Some(amount) = charge.amount_refunded.checked_sub(before) else {
                let detail = "it is less than what `previous_attributes` says was refunded before";
                return Err(invalid("/data/object/amount_refunded", detail));
            };
            payment(event, PaymentKind::Refund, amount, Of::charge(&charge)?)
        }
        "charge.dispute.funds_withdrawn" => {
            let Data { object: dispute, .. } = data::<Dispute>(bytes)?;
            payment(event, PaymentKind::Chargeback, dispute.amount, Of::dispute(services, &dispute)?)
        }
        other => {
            let shown: String = other.chars().take(80).flat_map(char::escape_debug).collect();
            let why = format!("`{shown}` says nothing about money that came in or went back");
            Ok(Said::Nothing { event_id: event.id.clone(), why: why.into() })
        }
    }
}

fn data<T: DeserializeOwned>(bytes: &[u8]) -> Result<Data<T>, Problem> {
    Ok(body::parse::<Detailed<T>>(bytes)?.data)
}

/// What an event is of.
struct Of {
    account: AccountId,
    payment_id: PaymentRef,
    currency: Currency,
}

impl Of {
    fn charge(charge: &Charge) -> Result<Self, Problem> {
        let account = charge.metadata.account.clone().ok_or_else(no_account)?;
        Ok(Self { account, payment_id: charge.id.clone(), currency: currency(&charge.currency)? })
    }

    fn dispute(services: &Services, dispute: &Dispute) -> Result<Self, Problem> {
        let account = match &dispute.metadata.account {
            Some(account) => account.clone(),
            None => payments::account_of(services, &dispute.charge)?.ok_or_else(no_account)?,
        };
        Ok(Self { account, payment_id: dispute.charge.clone(), currency: currency(&dispute.currency)? })
    }
}

fn payment(event: &StripeEvent, kind: PaymentKind, amount: u64, of: Of) -> Result<Said, Problem> {
    if !(1..=MAX_AMOUNT).contains(&amount) {
        return Err(invalid("/data/object/amount", "an amount is from 1 to 10^15, in minor units"));
    }
    let occurred_at_ms = event
        .created
        .map(|seconds| seconds.checked_mul(1_000))
        .map(|at| at.ok_or_else(|| invalid("/created", "the time is beyond the year 9999")));
    Ok(Said::Payment(NewPayment {
        account: of.account,
        kind,
        event_id: event.id.clone(),
        payment_id: of.payment_id,
        amount,
        currency: Some(of.currency),
        occurred_at_ms: occurred_at_ms.transpose()?,
    }))
}

/// Stripe writes it in lower case.
fn currency(text: &str) -> Result<Currency, Problem> {
    let short: String = text.chars().take(8).collect();
    Currency::parse(&short.to_ascii_uppercase()).map_err(|error| invalid("/data/object/currency", &error.to_string()))
}

fn no_account() -> Problem {
    let detail = "no account: put the main account's id into the `metadata` of the charge, as `account`";
    Problem::field(Place::Body, "/data/object/metadata/account", "missing_field", detail)
}

fn invalid(pointer: &str, detail: &str) -> Problem {
    Problem::field(Place::Body, pointer, "invalid_value", detail)
}
