//! Accounts: create, list, read, change, suspend, resume.

use super::change::{Change, ChangeQuery, IdempotencyKey, IfMatch};
use super::problem::Problem;
use super::query::{List, Listed, PageQuery, Read};
use super::reply;
use super::tier::TierAnswer;
use super::views::{ActView, Item, NewAccountId, Reason, nullable};
use super::wire::rfc3339;
use crate::domain::ids::{AccountId, PolicyId};
use crate::services::accounts::{self, Account, AccountFilter, AccountPatch, NewAccount};
use crate::services::records::Role;
use actix_web::web::Path;
use actix_web::{HttpResponse, get, patch, post};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// A main account or a sub-account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Account, example = json!({
    "id": "acme", "created_at": "2026-01-31T08:00:00.000Z", "suspended": false,
    "tier": {"effective": "free", "floor": "free", "reached": "free"},
}))]
pub(crate) struct AccountAnswer {
    id: AccountId,
    /// The main account of a sub-account; absent for a main account.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "acme")]
    parent: Option<AccountId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "Acme Ltd")]
    name: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false, example = json!({"region": "eu"}))]
    labels: BTreeMap<String, String>,
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:00:00.000Z")]
    created_at: CompactString,
    suspended: bool,
    /// By whom and why, while it is suspended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    suspension: Option<ActView>,
    /// A sub-account has its main account's.
    tier: TierAnswer,
}

impl From<Account> for AccountAnswer {
    fn from(account: Account) -> Self {
        let record = account.record;
        Self {
            id: account.id,
            parent: match record.role {
                Role::Main { .. } => None,
                Role::Sub { main, .. } => Some(main),
            },
            name: record.name,
            labels: record.labels,
            created_at: rfc3339(record.created_at_ms),
            suspended: record.suspended.is_some(),
            suspension: record.suspended.map(ActView::from),
            tier: account.tier.into(),
        }
    }
}

/// An account to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(example = json!({"id": "acme"}))]
pub(crate) struct AccountRequest {
    #[schema(value_type = AccountId)]
    id: NewAccountId,
    /// The tier that it has at least, whatever it pays; the policy's default tier where absent.
    #[serde(default)]
    tier: Option<PolicyId>,
    #[serde(default)]
    #[schema(min_length = 1, max_length = 500)]
    name: Option<String>,
    /// At most 16; their names follow the grammar of policy ids.
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

/// What to change of an account; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(example = json!({"tier": "paid"}))]
pub(crate) struct AccountPatchRequest {
    /// The tier that it has at least; null: the policy's default tier. Main accounts only.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<PolicyId>)]
    tier: Option<Option<PolicyId>>,
    /// Null takes it away.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 500)]
    name: Option<Option<String>>,
    /// Replaces all labels.
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

/// Which accounts to list; every condition that is given must hold.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AccountsQuery {
    /// The tier in force now.
    tier: Option<PolicyId>,
    /// The account itself, not its main account.
    suspended: Option<bool>,
    /// Sub-accounts of this main account.
    parent: Option<AccountId>,
    /// The id begins so.
    id_prefix: Option<AccountId>,
}

impl AccountsQuery {
    fn filter(&self) -> AccountFilter {
        let Self { tier, suspended, parent, id_prefix } = self;
        AccountFilter {
            tier: tier.clone(),
            suspended: *suspended,
            parent: parent.clone(),
            id_prefix: id_prefix.as_ref().map(ToString::to_string),
        }
    }
}

/// Create an account
///
/// It is known to the next decision. Its id is never used again for another one.
#[utoipa::path(
    operation_id = "createAccount",
    tag = "accounts",
    params(ChangeQuery, IdempotencyKey),
    request_body(content = AccountRequest, examples(
        ("A free account" = (value = json!({"id": "acme"}))),
        ("All there is to set" = (value = json!(
            {"id": "globex", "tier": "paid", "name": "Globex Ltd", "labels": {"region": "eu"}}
        ))),
    )),
    responses(
        (status = 201, description = "Created", body = AccountAnswer, headers(("ETag" = String), ("Location" = String))),
        (status = 409, description = "`account_exists`"),
    ),
)]
#[post("/v1/accounts")]
pub(crate) async fn create(change: Change<AccountRequest>) -> Result<HttpResponse, Problem> {
    let work = |services: &_, context: &_, AccountRequest { id: NewAccountId(id), tier, name, labels }| {
        accounts::create(services, context, NewAccount { id, tier, name, labels: labels.unwrap_or_default() })
    };
    reply::created(change.run(work).await?, location, AccountAnswer::from)
}

pub(super) fn location(account: &Account) -> String {
    format!("/v1/accounts/{}", account.id)
}

/// List accounts
///
/// Main and sub-accounts in the order of their ids.
#[utoipa::path(
    operation_id = "listAccounts",
    tag = "accounts",
    params(AccountsQuery, PageQuery),
    responses((status = 200, description = "One page", body = Listed<Item<AccountAnswer>>)),
)]
#[get("/v1/accounts")]
pub(crate) async fn list(listing: List<AccountsQuery>) -> Result<HttpResponse, Problem> {
    listing
        .run(
            |services, query, paging, now| accounts::list(services, &query.filter(), paging, now),
            Item::<AccountAnswer>::of,
        )
        .await
}

/// Read an account
///
/// Its `ETag` is what a change of it names in `If-Match`.
#[utoipa::path(
    operation_id = "getAccount",
    tag = "accounts",
    params(("id" = AccountId, Path, description = "The account", example = "acme")),
    responses((status = 200, description = "The account", body = AccountAnswer, headers(("ETag" = String)))),
)]
#[get("/v1/accounts/{id}")]
pub(crate) async fn read(reading: Read, id: Path<AccountId>) -> Result<HttpResponse, Problem> {
    let account = reading.run(move |services, now| accounts::get(services, &id, now)).await?;
    reply::record(&AccountAnswer::from(account.value), account.revision)
}

/// Change an account
///
/// Its floor tier, name or labels. A new floor holds from the next decision on, with what was used still counted.
#[utoipa::path(
    operation_id = "updateAccount",
    tag = "accounts",
    params(("id" = AccountId, Path, description = "The account", example = "acme"), ChangeQuery, IfMatch),
    request_body = AccountPatchRequest,
    responses((status = 200, description = "Changed", body = AccountAnswer, headers(("ETag" = String)))),
)]
#[patch("/v1/accounts/{id}")]
pub(crate) async fn update(id: Path<AccountId>, change: Change<AccountPatchRequest>) -> Result<HttpResponse, Problem> {
    let work = move |services: &_, context: &_, AccountPatchRequest { tier, name, labels }| {
        accounts::patch(services, context, &id, &AccountPatch { tier, name, labels })
    };
    reply::changed(change.run(work).await?, AccountAnswer::from)
}

/// Suspend an account
///
/// Everything it asks for is denied with `account_suspended` from the next decision on; a main account's sub-accounts
/// with it. One that is suspended already stays as it is.
#[utoipa::path(
    operation_id = "suspendAccount",
    tag = "accounts",
    params(("id" = AccountId, Path, description = "The account", example = "acme"), ChangeQuery, IdempotencyKey),
    request_body = Reason,
    responses((status = 200, description = "Suspended", body = AccountAnswer, headers(("ETag" = String)))),
)]
#[post("/v1/accounts/{id}/suspend")]
pub(crate) async fn suspend(id: Path<AccountId>, change: Change<Reason>) -> Result<HttpResponse, Problem> {
    let work = move |services: &_, context: &_, Reason { reason }| accounts::suspend(services, context, &id, &reason);
    reply::changed(change.run(work).await?, AccountAnswer::from)
}

/// Resume an account
///
/// Ends a suspension. An account that is not suspended stays as it is.
#[utoipa::path(
    operation_id = "resumeAccount",
    tag = "accounts",
    params(("id" = AccountId, Path, description = "The account", example = "acme"), ChangeQuery, IdempotencyKey),
    request_body = Reason,
    responses((status = 200, description = "Resumed", body = AccountAnswer, headers(("ETag" = String)))),
)]
#[post("/v1/accounts/{id}/resume")]
pub(crate) async fn resume(id: Path<AccountId>, change: Change<Reason>) -> Result<HttpResponse, Problem> {
    let work = move |services: &_, context: &_, Reason { reason }| accounts::resume(services, context, &id, &reason);
    reply::changed(change.run(work).await?, AccountAnswer::from)
}
