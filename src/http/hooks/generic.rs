//! The form of deliveries for billing systems that can choose it.

use super::{Event, Events, MAX_EVENTS, Said, bad_batch, id_of};
use crate::domain::ids::{AccountId, Currency, PaymentRef};
use crate::domain::ledger::PaymentKind;
use crate::domain::quantity::Amount;
use crate::http::body;
use crate::http::problem::Problem;
use crate::http::views::{Time, ms};
use crate::services::payments::NewPayment;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// One event, a batch of them, or an event as a provider sends it, by the source's `format`.
#[derive(ToSchema)]
#[schema(as = Delivery)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes what is read piece by piece in the OpenAPI document")]
pub(crate) enum DeliveryRequest {
    #[schema(title = "One event")]
    One(EventRequest),
    #[schema(title = "A batch")]
    Batch(BatchRequest),
    #[schema(title = "A provider's own form")]
    Provider(ProviderEvent),
}

/// An event as a provider sends it, with whatever else that has.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes what `stripe` reads in the OpenAPI document")]
pub(crate) struct ProviderEvent {
    /// Of the event, for ever.
    id: PaymentRef,
    #[schema(example = "charge.succeeded")]
    r#type: String,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

/// Up to 256 events, each looked at on its own, in their order.
#[derive(ToSchema)]
#[schema(as = DeliveryBatch)]
#[expect(dead_code, reason = "describes `Batch` in the OpenAPI document")]
pub(crate) struct BatchRequest {
    #[schema(min_items = 1, max_items = 256)]
    events: Vec<EventRequest>,
}

/// Money that came in or went back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(as = DeliveredEvent)]
pub(crate) struct EventRequest {
    kind: PaymentKind,
    /// A main account.
    account: AccountId,
    /// Unique over all accounts, for ever: sent again it is the same event.
    event_id: PaymentRef,
    /// Of a refund or chargeback: that of its top-up, which may come later.
    payment_id: PaymentRef,
    /// Minor units (fen, cents), at least 1.
    amount: Amount,
    /// A refund or chargeback may leave it out.
    #[serde(default)]
    currency: Option<Currency>,
    /// It counts from then on; absent: now.
    #[serde(default)]
    occurred_at: Option<Time>,
}

#[derive(Deserialize)]
struct Probe {
    #[serde(default)]
    events: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    events: Vec<Box<RawValue>>,
}

/// Errors: not JSON, or a batch with no events or too many.
pub(super) fn read(bytes: &[u8]) -> Result<Events, Problem> {
    let Probe { events } = body::parse(bytes)?;
    if events.is_none() {
        return Ok(Events::One(read_one(bytes)));
    }
    let Batch { events } = body::parse(bytes)?;
    if !(1..=MAX_EVENTS).contains(&events.len()) {
        return Err(bad_batch(events.len()));
    }
    Ok(Events::Batch(events.iter().map(|event| read_one(event.get().as_bytes())).collect()))
}

fn read_one(bytes: &[u8]) -> Event {
    let event: EventRequest = body::parse(bytes).map_err(|problem| (id_of(bytes, "event_id"), problem))?;
    Ok(Said::Payment(NewPayment {
        account: event.account,
        kind: event.kind,
        event_id: event.event_id,
        payment_id: event.payment_id,
        amount: event.amount.get(),
        currency: event.currency,
        occurred_at_ms: ms(event.occurred_at),
    }))
}
