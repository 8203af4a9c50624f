//! Payment events and the ledger that they make: top-ups, refunds and chargebacks.

use super::change::{Change, ChangeQuery, IdempotencyKey};
use super::problem::Problem;
use super::query::{List, Listed, PageQuery, Read};
use super::reply;
use super::tier::TierAnswer;
use super::views::{Item, Time, ms};
use super::wire::rfc3339;
use crate::domain::ids::{AccountId, Currency, PaymentRef};
use crate::domain::ledger::PaymentKind;
use crate::domain::quantity::Amount;
use crate::services::Done;
use crate::services::payments::{self, Entry, NewPayment, Recorded};
use actix_web::web::Path;
use actix_web::{HttpResponse, get, post};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// A payment event as it was recorded; it never changes, except that it may wait for its top-up no longer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LedgerEntry, example = json!({
    "number": 1, "kind": "top_up", "event_id": "evt-1001", "payment_id": "pay-2026-0001", "amount": 10000,
    "currency": "CNY", "occurred_at": "2026-01-31T08:00:00.000Z", "recorded_at": "2026-01-31T08:00:02.000Z",
    "by": "key_01kg8y2v0031gwr3b99bwpg6k4", "net_paid": {"CNY": 10000},
}))]
pub(crate) struct EntryAnswer {
    /// Counts from 1 in each account, in the order in which events were recorded.
    #[schema(minimum = 1, example = 1)]
    number: u64,
    kind: PaymentKind,
    event_id: PaymentRef,
    payment_id: PaymentRef,
    /// Minor units: fen, cents.
    #[schema(minimum = 1, example = 10000)]
    amount: u64,
    /// Of a refund or chargeback: where it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    currency: Option<Currency>,
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:00:00.000Z")]
    occurred_at: CompactString,
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:00:02.000Z")]
    recorded_at: CompactString,
    /// Who sent it.
    #[schema(example = "key_01kg8y2v0031gwr3b99bwpg6k4")]
    by: String,
    /// Minor units by currency, after all entries up to this one, whenever they count from.
    #[schema(value_type = BTreeMap<String, u64>, example = json!({"CNY": 10000}))]
    net_paid: BTreeMap<Currency, u64>,
    /// True for a refund or chargeback whose top-up is not there yet: it counts nothing until then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pending: bool,
}

impl From<Entry> for EntryAnswer {
    fn from(Entry { number, record, pending }: Entry) -> Self {
        Self {
            number,
            kind: record.kind,
            event_id: record.event_id,
            payment_id: record.payment_id,
            amount: record.amount,
            currency: record.currency,
            occurred_at: rfc3339(record.occurred_at_ms),
            recorded_at: rfc3339(record.recorded_at_ms),
            by: record.by,
            net_paid: record.net,
            pending,
        }
    }
}

/// What became of a payment event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Payment)]
pub(crate) struct PaymentAnswer {
    account: AccountId,
    #[serde(flatten)]
    entry: EntryAnswer,
    /// The event was recorded before; nothing was written now.
    duplicate: bool,
    /// The account's tier after it.
    tier: TierAnswer,
}

impl From<Recorded> for PaymentAnswer {
    fn from(recorded: Recorded) -> Self {
        Self {
            account: recorded.account,
            entry: recorded.entry.into(),
            duplicate: recorded.duplicate,
            tier: recorded.tier.into(),
        }
    }
}

/// Money that came in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(example = json!({
    "event_id": "evt-1001", "payment_id": "pay-2026-0001", "amount": 10000, "currency": "CNY",
}))]
pub(crate) struct TopUpRequest {
    /// Unique over all accounts, for ever: sent again it is the same event.
    event_id: PaymentRef,
    /// Topped up once; refunds and chargebacks name it.
    payment_id: PaymentRef,
    /// Minor units (fen, cents), at least 1.
    amount: Amount,
    currency: Currency,
    /// It counts from then on; absent: now.
    #[serde(default)]
    occurred_at: Option<Time>,
}

/// Money that went back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(example = json!({"event_id": "evt-1002", "payment_id": "pay-2026-0001", "amount": 2500}))]
pub(crate) struct RefundRequest {
    /// Unique over all accounts, for ever: sent again it is the same event.
    event_id: PaymentRef,
    /// Of the top-up, which may come later.
    payment_id: PaymentRef,
    /// Minor units, at least 1. All of a payment's together count at most what was topped up.
    amount: Amount,
    /// If given, that of the top-up.
    #[serde(default)]
    currency: Option<Currency>,
    /// It counts from then on, but not before its top-up; absent: now.
    #[serde(default)]
    occurred_at: Option<Time>,
    /// A chargeback gives no grace, and ends the one that is running.
    #[serde(default)]
    #[schema(inline)]
    kind: Option<Reversal>,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(default = "refund")]
pub(crate) enum Reversal {
    Refund,
    Chargeback,
}

/// Which entries to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LedgerQuery {
    /// Of this kind only.
    #[param(inline)]
    kind: Option<PaymentKind>,
}

/// 201 for a new event, 200 for one that was known.
fn recorded(done: Done<Recorded>) -> Result<HttpResponse, Problem> {
    if done.value.duplicate {
        return reply::changed(done, PaymentAnswer::from);
    }
    let location = |made: &Recorded| format!("/v1/accounts/{}/ledger/{}", made.account, made.entry.number);
    reply::created(done, location, PaymentAnswer::from)
}

/// Record a top-up
///
/// Once, however often it is sent: `event_id` is kept for ever. It counts for the account's tier from the next decision
/// on, with what was used still counted.
#[utoipa::path(
    operation_id = "recordTopUp",
    tag = "money",
    params(("id" = AccountId, Path, description = "The main account", example = "acme"), ChangeQuery, IdempotencyKey),
    request_body = TopUpRequest,
    responses(
        (status = 201, description = "Recorded", body = PaymentAnswer, headers(("ETag" = String), ("Location" = String))),
        (status = 200, description = "Known already (`duplicate`), or in order and not written (`validate_only`)", body = PaymentAnswer),
        (status = 409, description = "`event_conflict`: the event id was used with other content; `payment_conflict`: the payment is another account's, in another currency or topped up already; `not_a_main_account`"),
    ),
)]
#[post("/v1/accounts/{id}/top-ups")]
pub(crate) async fn top_up(id: Path<AccountId>, change: Change<TopUpRequest>) -> Result<HttpResponse, Problem> {
    let account = id.into_inner();
    let work = move |services: &_, context: &_, body: TopUpRequest| {
        let new = NewPayment {
            account,
            kind: PaymentKind::TopUp,
            event_id: body.event_id,
            payment_id: body.payment_id,
            amount: body.amount.get(),
            currency: Some(body.currency),
            occurred_at_ms: ms(body.occurred_at),
        };
        payments::record(services, context, &new)
    };
    recorded(change.run(work).await?)
}

/// Record a refund or chargeback
///
/// Once, however often it is sent. It may come before its top-up: then it is `pending` and counts nothing until that is
/// there. A tier that is lost by a refund is kept for the tier's grace; a chargeback gives none.
#[utoipa::path(
    operation_id = "recordRefund",
    tag = "money",
    params(("id" = AccountId, Path, description = "The main account", example = "acme"), ChangeQuery, IdempotencyKey),
    request_body = RefundRequest,
    responses(
        (status = 201, description = "Recorded", body = PaymentAnswer, headers(("ETag" = String), ("Location" = String))),
        (status = 200, description = "Known already (`duplicate`), or in order and not written (`validate_only`)", body = PaymentAnswer),
        (status = 409, description = "`event_conflict`: the event id was used with other content; `payment_conflict`: the payment is another account's or in another currency; `not_a_main_account`"),
    ),
)]
#[post("/v1/accounts/{id}/refunds")]
pub(crate) async fn refund(id: Path<AccountId>, change: Change<RefundRequest>) -> Result<HttpResponse, Problem> {
    let account = id.into_inner();
    let work = move |services: &_, context: &_, body: RefundRequest| {
        let new = NewPayment {
            account,
            kind: match body.kind {
                None | Some(Reversal::Refund) => PaymentKind::Refund,
                Some(Reversal::Chargeback) => PaymentKind::Chargeback,
            },
            event_id: body.event_id,
            payment_id: body.payment_id,
            amount: body.amount.get(),
            currency: body.currency,
            occurred_at_ms: ms(body.occurred_at),
        };
        payments::record(services, context, &new)
    };
    recorded(change.run(work).await?)
}

/// List the ledger of an account
///
/// Every payment event in the order in which they were recorded, each with the net paid after it.
#[utoipa::path(
    operation_id = "listLedger",
    tag = "money",
    params(("id" = AccountId, Path, description = "The main account", example = "acme"), LedgerQuery, PageQuery),
    responses(
        (status = 200, description = "One page", body = Listed<Item<EntryAnswer>>),
        (status = 409, description = "`not_a_main_account`"),
    ),
)]
#[get("/v1/accounts/{id}/ledger")]
pub(crate) async fn ledger(id: Path<AccountId>, listing: List<LedgerQuery>) -> Result<HttpResponse, Problem> {
    listing
        .run(
            move |services, query, paging, _| payments::ledger(services, &id, query.kind, paging),
            Item::<EntryAnswer>::of,
        )
        .await
}

/// Read an entry of a ledger
#[utoipa::path(
    operation_id = "getLedgerEntry",
    tag = "money",
    params(
        ("id" = AccountId, Path, description = "The main account", example = "acme"),
        ("number" = u64, Path, description = "The entry's number", example = 1),
    ),
    responses(
        (status = 200, description = "The entry", body = EntryAnswer, headers(("ETag" = String))),
        (status = 409, description = "`not_a_main_account`"),
    ),
)]
#[get("/v1/accounts/{id}/ledger/{number}")]
pub(crate) async fn entry(reading: Read, path: Path<(AccountId, u64)>) -> Result<HttpResponse, Problem> {
    let (id, number) = path.into_inner();
    let entry = reading.run(move |services, _| payments::entry(services, &id, number)).await?;
    reply::record(&EntryAnswer::from(entry.value), entry.revision)
}
