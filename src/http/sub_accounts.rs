//! Sub-accounts of a main account.

use super::accounts::{AccountAnswer, location};
use super::change::{Change, ChangeQuery, IdempotencyKey};
use super::problem::Problem;
use super::query::{List, Listed, NoFilter, PageQuery};
use super::reply;
use super::views::{Item, NewAccountId};
use crate::domain::ids::AccountId;
use crate::services::accounts::{self, AccountFilter};
use crate::services::sub_accounts::{self, NewSubAccount};
use actix_web::web::Path;
use actix_web::{HttpResponse, get, post};
use serde::Deserialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A sub-account to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(example = json!({"id": "acme-eu", "name": "Acme in Europe"}))]
pub(crate) struct SubAccountRequest {
    #[schema(value_type = AccountId)]
    id: NewAccountId,
    #[serde(default)]
    #[schema(min_length = 1, max_length = 500)]
    name: Option<String>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

/// Create a sub-account
///
/// It spends its main account's buckets, by its main account's tier and overrides, and may have caps of its own. Ids
/// of main and sub-accounts share one name space.
#[utoipa::path(
    operation_id = "createSubAccount",
    tag = "accounts",
    params(("id" = AccountId, Path, description = "The main account", example = "acme"), ChangeQuery, IdempotencyKey),
    request_body = SubAccountRequest,
    responses(
        (status = 201, description = "Created", body = AccountAnswer, headers(("ETag" = String), ("Location" = String))),
        (status = 409, description = "`account_exists`, or `not_a_main_account`: there is one level only"),
    ),
)]
#[post("/v1/accounts/{id}/sub-accounts")]
pub(crate) async fn create(main: Path<AccountId>, change: Change<SubAccountRequest>) -> Result<HttpResponse, Problem> {
    let work = move |services: &_, context: &_, SubAccountRequest { id: NewAccountId(id), name, labels }| {
        sub_accounts::create(services, context, &main, NewSubAccount { id, name, labels: labels.unwrap_or_default() })
    };
    reply::created(change.run(work).await?, location, AccountAnswer::from)
}

/// List the sub-accounts of an account
///
/// In the order of their ids.
#[utoipa::path(
    operation_id = "listSubAccounts",
    tag = "accounts",
    params(("id" = AccountId, Path, description = "The main account", example = "acme"), PageQuery),
    responses((status = 200, description = "One page", body = Listed<Item<AccountAnswer>>)),
)]
#[get("/v1/accounts/{id}/sub-accounts")]
pub(crate) async fn list(main: Path<AccountId>, listing: List<NoFilter>) -> Result<HttpResponse, Problem> {
    listing
        .run(
            move |services, _, paging, now| {
                accounts::get(services, &main, now)?;
                let filter = AccountFilter { parent: Some(main.into_inner()), ..AccountFilter::default() };
                accounts::list(services, &filter, paging, now)
            },
            Item::<AccountAnswer>::of,
        )
        .await
}
