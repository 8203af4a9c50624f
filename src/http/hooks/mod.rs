//! Signed deliveries of payment events: the signature is checked on the bytes as they came, before anything is parsed.

mod generic;
mod stripe;

use super::body::{self, JsonBytes};
use super::change;
use super::payments::PaymentAnswer;
use super::problem::{self, Code, Place, Problem};
use super::query;
use super::reply;
use super::state::State;
use crate::domain::ids::{PaymentRef, SourceId};
use crate::services::billing_sources::{self, Delivery, NotTaken, SourceFormat};
use crate::services::payments::{self, NewPayment};
use crate::services::{Context, Services};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::web::{Bytes, Data, Path, block};
use actix_web::{HttpRequest, HttpResponse, post};
use compact_str::CompactString;
use generic::DeliveryRequest;
use metrics::counter;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

/// Most events of one delivery.
const MAX_EVENTS: usize = 256;
const SIGNATURE: &str = "quotagate-signature";
const STRIPE_SIGNATURE: &str = "stripe-signature";

/// Goes with every delivery.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes a header in the OpenAPI document")]
pub(crate) struct SignatureHeader {
    /// `t=<seconds since 1970>,v1=<HMAC-SHA256 of "t.body" with the secret, hexadecimal>`; `v1` as often as there are
    /// secrets. The time may be 300 s off. Stripe sends it as `Stripe-Signature`.
    #[param(
        rename = "Quotagate-Signature",
        required = false,
        example = "t=1790000000,v1=e41b57f1ef7ed23d89f42aa2943dfe43742e4abee227ae6b3a5aa5a4dc394ad6"
    )]
    signature: String,
}

/// What became of each event, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryAnswer {
    #[schema(min_items = 1, max_items = 256)]
    results: Vec<EventResult>,
}

/// What became of one event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventResult {
    result: Outcome,
    /// Absent where the event names none that is valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    event_id: Option<PaymentRef>,
    /// Of an event that is recorded, now or before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    payment: Option<Box<PaymentAnswer>>,
    /// Of an event that is ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    reason: Option<CompactString>,
    /// Of an event that is refused or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<problem::Body>,
}

/// `failed` is worth another try, `refused` needs someone to look, all else is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = EventOutcome)]
pub(crate) enum Outcome {
    Recorded,
    Duplicate,
    Ignored,
    Refused,
    Failed,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// What an event of a delivery says.
enum Said {
    Payment(NewPayment),
    /// A kind of event that says nothing about money that came in or went back.
    Nothing {
        event_id: PaymentRef,
        why: CompactString,
    },
}

/// An event that was read, or why it was not, with its id where it has one.
type Event = Result<Said, (Option<PaymentRef>, Problem)>;

/// What a delivery has.
enum Events {
    /// Answered as if it had come alone: a provider looks at the status only.
    One(Event),
    Batch(Vec<Event>),
}

/// Deliver payment events, signed
///
/// What `POST /v1/accounts/{id}/top-ups` and `/refunds` do, for a billing source that signs its deliveries: once each,
/// however often they come. A delivery with one event answers 200 or that event's error. A batch has up to 256, each with
/// a result of its own; it answers 200, or 503 where an event `failed` and the delivery should come again.
#[utoipa::path(
    operation_id = "deliverBillingEvents",
    tag = "money",
    params(("source" = SourceId, Path, description = "The billing source", example = "billing"), SignatureHeader),
    request_body(content = DeliveryRequest, examples(
        ("A top-up" = (value = json!({
            "kind": "top_up", "account": "acme", "event_id": "evt-1001", "payment_id": "pay-2026-0001", "amount": 10000,
            "currency": "CNY", "occurred_at": "2026-01-31T08:00:00Z",
        }))),
        ("A batch" = (value = json!({"events": [
            {"kind": "top_up", "account": "acme", "event_id": "evt-1001", "payment_id": "pay-2026-0001",
             "amount": 10000, "currency": "CNY"},
            {"kind": "refund", "account": "acme", "event_id": "evt-1002", "payment_id": "pay-2026-0001", "amount": 2500},
        ]}))),
        ("As Stripe sends it" = (value = json!({
            "id": "evt_1Q", "object": "event", "type": "charge.succeeded", "created": 1769846400,
            "data": {"object": {"id": "ch_3Q", "object": "charge", "amount": 10000, "currency": "cny",
                "captured": true, "metadata": {"account": "acme"}}},
        }))),
    )),
    responses(
        (status = 200, description = "All events were looked at", body = DeliveryAnswer),
        (status = 401, description = "`invalid_signature`: missing, malformed, wrong, too old or from the future"),
        (status = 403, description = "`source_disabled`"),
        (status = 404, description = "`not_found`: the account of the one event"),
        (status = 409, description = "Of the one event: `event_conflict`, `payment_conflict`, `not_a_main_account`"),
        (status = 503, description = "Not now: deliver it again", content(
            (problem::Body = "application/problem+json"), (DeliveryAnswer = "application/json"),
        )),
    ),
)]
#[post("/v1/hooks/billing/{source}")]
pub(crate) async fn deliver(
    source: Path<SourceId>,
    state: Data<State>,
    request: HttpRequest,
    bytes: JsonBytes,
) -> Result<HttpResponse, Problem> {
    query::none(&request)?;
    let now = state.clock.now_ms();
    let (id, JsonBytes(bytes)) = (source.into_inner(), bytes);
    let signatures = Signatures::of(request.headers());
    let context = billing_sources::context(&id, change::origin(&request), now);
    let work = move || take(&state.services, &context, &id, &signatures, &bytes);
    respond(&block(work).await.map_err(|error| Problem::internal(&error))??)
}

/// The headers that may bear the signature; of one that is there twice neither counts.
struct Signatures {
    own: Option<String>,
    stripe: Option<String>,
}

impl Signatures {
    fn of(headers: &HeaderMap) -> Self {
        let only = |name: &str| {
            let mut lines = headers.get_all(name);
            let line = lines.next().filter(|_| lines.next().is_none())?;
            line.to_str().ok().map(str::to_owned)
        };
        Self { own: only(SIGNATURE), stripe: only(STRIPE_SIGNATURE) }
    }
}

fn take(
    services: &Services,
    context: &Context,
    id: &SourceId,
    signatures: &Signatures,
    bytes: &Bytes,
) -> Result<DeliveryAnswer, Problem> {
    // A sender may use either name; what is signed is the same.
    let signature = signatures.own.as_deref().or(signatures.stripe.as_deref());
    let delivery = Delivery { signature, body: bytes };
    let format =
        billing_sources::authenticate(services, id, delivery, context.now).map_err(|why| not_taken(&why, id))?;
    let events = match format {
        SourceFormat::Generic => generic::read(bytes)?,
        SourceFormat::Stripe => Events::One(stripe::read(services, bytes)),
    };
    let results = match events {
        Events::One(event) => vec![record(services, context, event).map_err(|(_, problem)| problem)?],
        Events::Batch(events) => {
            let recorded = events.into_iter().map(|event| record(services, context, event));
            recorded.map(|done| done.unwrap_or_else(|(id, problem)| not_recorded(id, &problem))).collect()
        }
    };
    Ok(DeliveryAnswer { results })
}

/// 503 where a part of it should come again: what was recorded is a duplicate then.
fn respond(answer: &DeliveryAnswer) -> Result<HttpResponse, Problem> {
    let mut response = reply::ok(answer)?;
    if answer.results.iter().any(|result| result.result == Outcome::Failed) {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    Ok(response)
}

fn not_taken(why: &NotTaken, id: &SourceId) -> Problem {
    let reason = match why {
        NotTaken::Refused(refused) => refused.as_str(),
        NotTaken::Disabled(_) => "disabled",
        NotTaken::Failed(_) => "failed",
    };
    counter!("quotagate_billing_deliveries_refused_total", "reason" => reason).increment(1);
    tracing::warn!(source = %id, reason, "a delivery of payment events was refused");
    match why {
        NotTaken::Refused(refused) => Problem::new(Code::InvalidSignature, refused.to_string()),
        NotTaken::Disabled(_) => Problem::new(Code::SourceDisabled, why.to_string()),
        NotTaken::Failed(error) => Problem::internal(error),
    }
}

fn record(services: &Services, context: &Context, event: Event) -> Result<EventResult, (Option<PaymentRef>, Problem)> {
    let done = event.and_then(|said| match said {
        Said::Nothing { event_id, why } => Ok(EventResult {
            result: Outcome::Ignored,
            event_id: Some(event_id),
            payment: None,
            reason: Some(why),
            error: None,
        }),
        Said::Payment(new) => match payments::record(services, context, &new) {
            Ok(done) => Ok(EventResult {
                result: if done.value.duplicate { Outcome::Duplicate } else { Outcome::Recorded },
                event_id: Some(new.event_id),
                payment: Some(Box::new(done.value.into())),
                reason: None,
                error: None,
            }),
            Err(error) => Err((Some(new.event_id), error.into())),
        },
    });
    let outcome = match &done {
        Ok(result) => result.result,
        Err((_, problem)) => outcome_of(problem),
    };
    counter!("quotagate_billing_events_total", "result" => outcome.as_str()).increment(1);
    done
}

fn outcome_of(problem: &Problem) -> Outcome {
    if problem.code().status().is_server_error() { Outcome::Failed } else { Outcome::Refused }
}

fn not_recorded(event_id: Option<PaymentRef>, problem: &Problem) -> EventResult {
    let error = Some(problem.body().clone());
    EventResult { result: outcome_of(problem), event_id, payment: None, reason: None, error }
}

fn bad_batch(events: usize) -> Problem {
    let detail = format!("a delivery has 1 to {MAX_EVENTS} events, this one has {events}");
    Problem::field(Place::Body, "/events", "invalid_value", detail)
}

/// The event's id, where the rest of it cannot be read.
fn id_of(bytes: &[u8], name: &str) -> Option<PaymentRef> {
    let value: serde_json::Value = body::parse(bytes).ok()?;
    PaymentRef::parse(value.get(name)?.as_str()?).ok()
}
