//! Proof that the billing system and the ledger agree: a digest of a span of time, and what differs.

use super::body::{self, JsonBytes};
use super::problem::Problem;
use super::query::{Read, ReadWith};
use super::reply;
use super::views::Time;
use super::wire::rfc3339;
use crate::domain::ids::{Currency, PaymentRef};
use crate::domain::ledger::PaymentKind;
use crate::services::payments::{self, Difference, Digest, Span};
use actix_web::{HttpResponse, get, post};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which span of time, by when events occurred.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SpanQuery {
    /// At or after.
    #[param(example = "2026-01-01T00:00:00Z")]
    from: Time,
    /// Before.
    #[param(example = "2027-01-01T00:00:00Z")]
    to: Time,
}

/// The sum of all payment events of a span, whatever their order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LedgerDigest)]
struct DigestAnswer {
    #[schema(value_type = String, format = DateTime, example = "2026-01-01T00:00:00.000Z")]
    from: CompactString,
    #[schema(value_type = String, format = DateTime, example = "2027-01-01T00:00:00.000Z")]
    to: CompactString,
    #[schema(example = 1)]
    count: u64,
    /// 64 hexadecimal digits; `docs/billing.md` says how to compute it.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    digest: String,
    sums: Vec<Sum>,
}

/// Of one kind in one currency.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LedgerSum)]
struct Sum {
    kind: PaymentKind,
    /// Of a reversal that names none, its payment's; absent while that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    currency: Option<Currency>,
    #[schema(example = 1)]
    count: u64,
    /// Minor units; refunds and chargebacks in full, whatever counts of them.
    #[schema(value_type = u64, example = 10000)]
    amount: u128,
}

impl DigestAnswer {
    fn of(span: Span, of: Digest) -> Self {
        let sum = |((kind, currency), (count, amount)): ((_, _), _)| Sum { kind, currency, count, amount };
        Self {
            from: rfc3339(span.from_ms),
            to: rfc3339(span.to_ms),
            count: of.count,
            digest: hex::encode(of.hash),
            sums: of.sums.into_iter().map(sum).collect(),
        }
    }
}

/// The events that the billing system has of a span.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(example = json!({
    "from": "2026-01-01T00:00:00Z", "to": "2099-01-01T00:00:00Z", "event_ids": ["evt-1001", "evt-1002"],
}))]
pub(crate) struct ReconcileRequest {
    /// At or after.
    from: Time,
    /// Before.
    to: Time,
    #[schema(max_items = 10000)]
    event_ids: Vec<PaymentRef>,
}

/// What one side has and the other has not; all empty where they agree.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LedgerDifference)]
struct DifferenceAnswer {
    /// In the list, not in this ledger: send them.
    missing_here: Vec<PaymentRef>,
    /// In the list and in this ledger, but at a time outside of the span.
    elsewhere: Vec<PaymentRef>,
    /// In this ledger, not in the list. At most 10,000 are told.
    missing_there: Vec<PaymentRef>,
    /// True where more differ than are told.
    truncated: bool,
}

impl From<Difference> for DifferenceAnswer {
    fn from(difference: Difference) -> Self {
        let Difference { missing_here, elsewhere, missing_there, truncated } = difference;
        Self { missing_here, elsewhere, missing_there, truncated }
    }
}

/// Read the digest of the ledger
///
/// Over all accounts. Two sides that have the same events have the same digest, in whatever order they came. At most a
/// million events: ask for a longer span in parts.
#[utoipa::path(
    operation_id = "getLedgerDigest",
    tag = "money",
    params(SpanQuery),
    responses((status = 200, description = "The digest", body = DigestAnswer)),
)]
#[get("/v1/ledger/digest")]
pub(crate) async fn digest(reading: ReadWith<SpanQuery>) -> Result<HttpResponse, Problem> {
    let ReadWith { query: SpanQuery { from, to }, read } = reading;
    let span = Span { from_ms: from.0, to_ms: to.0 };
    let digest = read.run(move |services, _| payments::digest(services, span)).await;
    reply::view(&DigestAnswer::of(span, digest.map_err(Problem::in_query)?))
}

/// Compare the ledger with a list
///
/// Where digests differ: which events are missing on which side. It changes nothing.
#[utoipa::path(
    operation_id = "reconcileLedger",
    tag = "money",
    request_body = ReconcileRequest,
    responses((status = 200, description = "What differs", body = DifferenceAnswer)),
)]
#[post("/v1/ledger/reconcile")]
pub(crate) async fn reconcile(reading: Read, bytes: JsonBytes) -> Result<HttpResponse, Problem> {
    let ReconcileRequest { from, to, event_ids } = body::parse(&bytes.0)?;
    let span = Span { from_ms: from.0, to_ms: to.0 };
    let difference = reading.run(move |services, _| payments::reconcile(services, span, &event_ids)).await?;
    reply::ok(&DifferenceAnswer::from(difference))
}
