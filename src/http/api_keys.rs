//! API keys: what machines present.

use super::billing_sources::private;
use super::change::{Change, ChangeQuery, IdempotencyKey};
use super::problem::Problem;
use super::query::{List, Listed, NoFilter, PageQuery, Read};
use super::reply;
use super::views::{ActView, Item, Reason, Time, ms};
use super::wire::rfc3339;
use crate::domain::ids::AccountId;
use crate::services::api_keys::{self, KeyView, NewKey, Scope};
use actix_web::web::Path;
use actix_web::{HttpResponse, get, post};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How long a rotated secret goes on being taken where nothing is said: a day.
const USUAL_OVERLAP_MS: i64 = 24 * 3_600_000;

/// An API key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey, example = json!({
    "id": "key_01m8695z4m2vegbk4pv3pxynbs", "name": "gateway", "scopes": ["decide"],
    "created_at": "2026-01-31T08:00:00.000Z", "by": "alice", "last_used_at": "2026-01-31T08:05:00.000Z",
}))]
pub(crate) struct KeyAnswer {
    #[schema(value_type = String, example = "key_01m8695z4m2vegbk4pv3pxynbs")]
    id: CompactString,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "gateway")]
    name: Option<String>,
    #[schema(min_items = 1)]
    scopes: Vec<KeyScope>,
    /// The main account that it is bound to: it sees and decides for that one and its sub-accounts only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "acme")]
    account: Option<AccountId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    expires_at: Option<CompactString>,
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:00:00.000Z")]
    created_at: CompactString,
    /// Who made it.
    by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    rotated_at: Option<CompactString>,
    /// Until then the secret before the last rotation is taken too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    previous_until: Option<CompactString>,
    /// To the minute; a kill may forget the last quarter of an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    last_used_at: Option<CompactString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    revoked: Option<ActView>,
    /// The secret that was made just now. It is told this once: keep it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "qg_…")]
    secret: Option<String>,
}

impl From<KeyView> for KeyAnswer {
    fn from(KeyView { id, record, last_used_ms, secret }: KeyView) -> Self {
        Self {
            id,
            name: record.name,
            scopes: record.scopes.into_iter().map(KeyScope::from).collect(),
            account: record.account,
            expires_at: record.expires_at_ms.map(rfc3339),
            created_at: rfc3339(record.created_at_ms),
            by: record.by,
            rotated_at: record.rotated_at_ms.map(rfc3339),
            previous_until: record.previous.map(|previous| rfc3339(previous.until_ms)),
            last_used_at: last_used_ms.map(rfc3339),
            revoked: record.revoked.map(ActView::from),
            // The one place where it is told.
            secret: secret.map(|secret| secret.expose().to_owned()),
        }
    }
}

/// What a key may do: decisions and reservations; payments and the ledger; all reads but that of keys; raise requests;
/// everything.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = KeyScope)]
pub(crate) enum KeyScope {
    Decide,
    Billing,
    Read,
    Raise,
    Admin,
}

impl From<Scope> for KeyScope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Decide => Self::Decide,
            Scope::Billing => Self::Billing,
            Scope::Read => Self::Read,
            Scope::Raise => Self::Raise,
            Scope::Admin => Self::Admin,
        }
    }
}

impl From<KeyScope> for Scope {
    fn from(scope: KeyScope) -> Self {
        match scope {
            KeyScope::Decide => Self::Decide,
            KeyScope::Billing => Self::Billing,
            KeyScope::Read => Self::Read,
            KeyScope::Raise => Self::Raise,
            KeyScope::Admin => Self::Admin,
        }
    }
}

/// A key to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(example = json!({"name": "automation", "scopes": ["admin"]}))]
pub(crate) struct KeyRequest {
    #[serde(default)]
    #[schema(min_length = 1, max_length = 500)]
    name: Option<String>,
    #[schema(min_items = 1)]
    scopes: Vec<KeyScope>,
    /// Binds it to this main account. Such a key has `decide`, `read` and `raise` at most.
    #[serde(default)]
    account: Option<AccountId>,
    /// It is refused from then on; absent: it has no end.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Time>,
}

/// How to rotate.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(example = json!({"overlap_ms": 86_400_000}))]
pub(crate) struct RotateRequest {
    /// How long the present secret goes on being taken, at most 30 days; 0: it is refused at once.
    #[serde(default)]
    #[schema(default = 86_400_000, minimum = 0, maximum = 2_592_000_000_i64)]
    overlap_ms: Option<i64>,
}

fn location(key: &KeyView) -> String {
    format!("/v1/api-keys/{}", key.id)
}

/// Make an API key
///
/// Its secret is told in this answer and never again; send it as `Authorization: Bearer qg_…`. Where
/// there is no operator the first key is made with the setup token, and has the scope `admin` and no end.
#[utoipa::path(
    operation_id = "createApiKey",
    tag = "keys",
    params(ChangeQuery, IdempotencyKey),
    request_body = KeyRequest,
    responses(
        (status = 201, description = "Made", body = KeyAnswer, headers(("ETag" = String), ("Location" = String))),
        (status = 409, description = "`not_a_main_account`: a key is bound to a main account"),
    ),
)]
#[post("/v1/api-keys")]
pub(crate) async fn create(change: Change<KeyRequest>) -> Result<HttpResponse, Problem> {
    let work = |services: &_, context: &_, body: KeyRequest| {
        let new = NewKey {
            name: body.name,
            scopes: body.scopes.into_iter().map(Scope::from).collect(),
            account: body.account,
            expires_at_ms: ms(body.expires_at),
        };
        api_keys::create(services, context, &new)
    };
    Ok(private(reply::created(change.run(work).await?, location, KeyAnswer::from)?))
}

/// List API keys
///
/// In the order in which they were made, revoked ones too, without their secrets.
#[utoipa::path(
    operation_id = "listApiKeys",
    tag = "keys",
    params(PageQuery),
    responses((status = 200, description = "One page", body = Listed<Item<KeyAnswer>>)),
)]
#[get("/v1/api-keys")]
pub(crate) async fn list(listing: List<NoFilter>) -> Result<HttpResponse, Problem> {
    let work = |services: &_, _: &NoFilter, paging: &_, _| api_keys::list(services, paging);
    listing.run(work, Item::<KeyAnswer>::of).await
}

/// Read an API key
///
/// Without its secret.
#[utoipa::path(
    operation_id = "getApiKey",
    tag = "keys",
    params(("id" = String, Path, description = "The key's id", example = "key_01m8695z4m2vegbk4pv3pxynbs")),
    responses((status = 200, description = "The key", body = KeyAnswer, headers(("ETag" = String)))),
)]
#[get("/v1/api-keys/{id}")]
pub(crate) async fn read(reading: Read, id: Path<String>) -> Result<HttpResponse, Problem> {
    let found = reading.run(move |services, _| api_keys::get(services, &id)).await?;
    reply::record(&KeyAnswer::from(found.value), found.revision)
}

/// Rotate an API key
///
/// Makes another secret, told in this answer and never again. The present one goes on being taken for `overlap_ms`; one
/// that was rotated away before is refused at once.
#[utoipa::path(
    operation_id = "rotateApiKey",
    tag = "keys",
    params(
        ("id" = String, Path, description = "The key's id", example = "key_01m8695z4m2vegbk4pv3pxynbs"),
        ChangeQuery,
        IdempotencyKey,
    ),
    request_body = RotateRequest,
    responses(
        (status = 200, description = "Rotated", body = KeyAnswer, headers(("ETag" = String))),
        (status = 409, description = "`conflict`: it is revoked or has expired"),
    ),
)]
#[post("/v1/api-keys/{id}/rotate")]
pub(crate) async fn rotate(id: Path<String>, change: Change<RotateRequest>) -> Result<HttpResponse, Problem> {
    let work = move |services: &_, context: &_, body: RotateRequest| {
        api_keys::rotate(services, context, &id, body.overlap_ms.unwrap_or(USUAL_OVERLAP_MS))
    };
    Ok(private(reply::changed(change.run(work).await?, KeyAnswer::from)?))
}

/// Revoke an API key
///
/// Both of its secrets are refused from the next request on, for good. One that is revoked already stays as it is.
#[utoipa::path(
    operation_id = "revokeApiKey",
    tag = "keys",
    params(
        ("id" = String, Path, description = "The key's id", example = "key_01m8695z4m2vegbk4pv3pxynbs"),
        ChangeQuery,
        IdempotencyKey,
    ),
    request_body = Reason,
    responses((status = 200, description = "Revoked", body = KeyAnswer, headers(("ETag" = String)))),
)]
#[post("/v1/api-keys/{id}/revoke")]
pub(crate) async fn revoke(id: Path<String>, change: Change<Reason>) -> Result<HttpResponse, Problem> {
    let work = move |services: &_, context: &_, Reason { reason }| api_keys::revoke(services, context, &id, &reason);
    reply::changed(change.run(work).await?, KeyAnswer::from)
}
