//! The tier of an account: read, pin, unpin.

use super::accounts::AccountAnswer;
use super::approvals::{ApprovalAnswer, asked};
use super::change::{Act, Change, ChangeQuery, IfMatch};
use super::problem::Problem;
use super::query::Read;
use super::reply;
use super::views::{ActView, Time, ms};
use super::wire::rfc3339;
use crate::domain::ids::{AccountId, PolicyId};
use crate::services::approvals::{self, TierPin};
use crate::services::records::PinRecord;
use crate::services::tier::{self, NewPin, TierView};
use actix_web::web::Path;
use actix_web::{HttpResponse, delete, get, put};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An account's tier and all that it comes from.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccountTier)]
pub(crate) struct TierAnswer {
    /// The one in force: the pin where there is one, else the higher of `floor` and `reached`.
    effective: PolicyId,
    /// Given with the account, else the policy's default tier.
    floor: PolicyId,
    /// What its payments and age reach.
    reached: PolicyId,
    /// Where `reached` is kept by grace alone: when the grace ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    granted_until: Option<CompactString>,
    /// Set by an operator, while it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pin: Option<PinAnswer>,
}

/// A tier that an operator set over everything else.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Pin)]
pub(crate) struct PinAnswer {
    tier: PolicyId,
    /// Absent: until it is taken off.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    until: Option<CompactString>,
    set: ActView,
}

impl From<TierView> for TierAnswer {
    fn from(view: TierView) -> Self {
        Self {
            effective: view.effective,
            floor: view.floor,
            reached: view.reached,
            granted_until: view.granted_until_ms.map(rfc3339),
            pin: view.pin.map(|PinRecord { tier, until_ms, set }| PinAnswer {
                tier,
                until: until_ms.map(rfc3339),
                set: set.into(),
            }),
        }
    }
}

/// A tier to set.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(example = json!({"tier": "paid", "until": "2099-01-31T00:00:00Z", "reason": "contract 2026-17"}))]
pub(crate) struct PinRequest {
    /// May be higher or lower than what the account reached.
    tier: PolicyId,
    /// Absent: until it is taken off.
    #[serde(default)]
    until: Option<Time>,
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// Read the tier of an account
///
/// Of a sub-account: its main account's, with the main account's `ETag`.
#[utoipa::path(
    operation_id = "getAccountTier",
    tag = "accounts",
    params(("id" = AccountId, Path, description = "The account", example = "acme")),
    responses((status = 200, description = "The tier", body = TierAnswer, headers(("ETag" = String)))),
)]
#[get("/v1/accounts/{id}/tier")]
pub(crate) async fn read(reading: Read, id: Path<AccountId>) -> Result<HttpResponse, Problem> {
    let view = reading.run(move |services, now| tier::get(services, &id, now)).await?;
    reply::record(&TierAnswer::from(view.value), view.revision)
}

/// Pin the tier of an account
///
/// It wins over everything else until it ends or is taken off, and holds from the next decision on.
#[utoipa::path(
    operation_id = "pinAccountTier",
    tag = "accounts",
    params(("id" = AccountId, Path, description = "The main account", example = "acme"), ChangeQuery, IfMatch),
    request_body = PinRequest,
    responses(
        (status = 200, description = "Pinned", body = AccountAnswer, headers(("ETag" = String))),
        (status = 202, description = "Waits for a second operator", body = ApprovalAnswer, headers(("ETag" = String), ("Location" = String))),
        (status = 409, description = "`not_a_main_account`: a sub-account has its main account's tier"),
    ),
)]
#[put("/v1/accounts/{id}/tier")]
pub(crate) async fn pin(id: Path<AccountId>, change: Change<PinRequest>) -> Result<HttpResponse, Problem> {
    let work = move |services: &_, context: &_, PinRequest { tier, until, reason }| {
        let pin = NewPin { tier, until_ms: ms(until), reason };
        approvals::ask(services, context, &TierPin { account: id.into_inner(), pin })
    };
    asked(change.run(work).await?, |done| reply::changed(done, AccountAnswer::from))
}

/// Unpin the tier of an account
///
/// It falls back to what the account reached, and at least to its floor.
#[utoipa::path(
    operation_id = "unpinAccountTier",
    tag = "accounts",
    params(("id" = AccountId, Path, description = "The main account", example = "acme"), ChangeQuery, IfMatch),
    responses((status = 200, description = "Unpinned", body = AccountAnswer, headers(("ETag" = String)))),
)]
#[delete("/v1/accounts/{id}/tier")]
pub(crate) async fn unpin(id: Path<AccountId>, act: Act) -> Result<HttpResponse, Problem> {
    let done = act.run(move |services, context| tier::unpin(services, context, &id, None)).await?;
    reply::changed(done, AccountAnswer::from)
}
