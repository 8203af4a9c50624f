//! Billing sources: who may deliver signed events, and with which secrets.

use super::change::{Act as Deed, Change, ChangeQuery, IdempotencyKey, IfMatch, PrivateChange};
use super::problem::Problem;
use super::query::{List, Listed, NoFilter, PageQuery, Read};
use super::reply;
use super::views::{ActView, Item, Reason};
use super::wire::rfc3339;
use crate::domain::ids::SourceId;
use crate::services::billing_sources::{self, NewSource, SecretRecord, SourceFormat, SourceView};
use crate::services::seal::Secret;
use actix_web::web::Path;
use actix_web::{HttpResponse, delete, get, post};
use compact_str::CompactString;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// A billing system that delivers signed events.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BillingSource, example = json!({
    "id": "billing", "format": "generic", "created_at": "2026-01-31T08:00:00.000Z", "by": "alice", "enabled": true,
    "secrets": [{"number": 1, "added_at": "2026-01-31T08:00:00.000Z", "by": "alice"}],
}))]
pub(crate) struct SourceAnswer {
    id: SourceId,
    format: Format,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    name: Option<String>,
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:00:00.000Z")]
    created_at: CompactString,
    /// Who made it.
    by: String,
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    disabled: Option<ActView>,
    /// Deliveries signed with any of them are taken.
    #[schema(min_items = 1, max_items = 2)]
    secrets: Vec<SecretAnswer>,
    /// The secret that was made just now. It is told this once: keep it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "qgwh_…")]
    secret: Option<String>,
}

/// A secret, without what is secret about it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BillingSecret)]
pub(crate) struct SecretAnswer {
    /// Counts from 1 in each source.
    #[schema(minimum = 1, example = 1)]
    number: u32,
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:00:00.000Z")]
    added_at: CompactString,
    by: String,
}

impl From<SecretRecord> for SecretAnswer {
    fn from(secret: SecretRecord) -> Self {
        Self { number: secret.number, added_at: rfc3339(secret.added_at_ms), by: secret.by }
    }
}

impl From<SourceView> for SourceAnswer {
    fn from(SourceView { id, record, secret }: SourceView) -> Self {
        Self {
            id,
            format: record.format.into(),
            name: record.name,
            created_at: rfc3339(record.created_at_ms),
            by: record.by,
            enabled: record.disabled.is_none(),
            disabled: record.disabled.map(ActView::from),
            secrets: record.secrets.into_iter().map(SecretAnswer::from).collect(),
            // The one place where it is told.
            secret: secret.map(|secret| secret.expose().to_owned()),
        }
    }
}

/// What the deliveries look like: `generic` is this server's own form, `stripe` that of Stripe's events.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = BillingFormat)]
pub(crate) enum Format {
    Generic,
    Stripe,
}

impl From<SourceFormat> for Format {
    fn from(format: SourceFormat) -> Self {
        match format {
            SourceFormat::Generic => Self::Generic,
            SourceFormat::Stripe => Self::Stripe,
        }
    }
}

impl From<Format> for SourceFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Generic => Self::Generic,
            Format::Stripe => Self::Stripe,
        }
    }
}

/// A secret that the sender has made; wiped after use.
#[derive(Debug)]
pub(crate) struct Given(pub(super) Secret);

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}

/// A billing source to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(example = json!({"id": "billing", "name": "Our billing system"}))]
pub(crate) struct SourceRequest {
    id: SourceId,
    #[serde(default)]
    #[schema(default = "generic")]
    format: Option<Format>,
    #[serde(default)]
    #[schema(min_length = 1, max_length = 500)]
    name: Option<String>,
    /// The sender's own; absent: one is made and told in the answer.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 24, max_length = 255, pattern = "^[!-~]+$")]
    secret: Option<Given>,
}

/// A secret to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(example = json!({}))]
pub(crate) struct SecretRequest {
    /// The sender's own; absent: one is made and told in the answer.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 24, max_length = 255, pattern = "^[!-~]+$")]
    secret: Option<Given>,
}

fn location(source: &SourceView) -> String {
    format!("/v1/billing-sources/{}", source.id)
}

/// Create a billing source
///
/// It may deliver events to `POST /v1/hooks/billing/{source}`, signed with its secret, which is told in this answer and
/// never again.
#[utoipa::path(
    operation_id = "createBillingSource",
    tag = "money",
    params(ChangeQuery, IdempotencyKey),
    request_body = SourceRequest,
    responses(
        (status = 201, description = "Created", body = SourceAnswer, headers(("ETag" = String), ("Location" = String))),
        (status = 409, description = "`source_exists`"),
    ),
)]
#[post("/v1/billing-sources")]
pub(crate) async fn create(PrivateChange(change): PrivateChange<SourceRequest>) -> Result<HttpResponse, Problem> {
    let work = |services: &_, context: &_, body: SourceRequest| {
        let new = NewSource {
            id: body.id,
            format: body.format.map_or(SourceFormat::Generic, SourceFormat::from),
            name: body.name,
            secret: body.secret.map(|Given(secret)| secret),
        };
        billing_sources::create(services, context, &new)
    };
    Ok(private(reply::created(change.run(work).await?, location, SourceAnswer::from)?))
}

/// List billing sources
///
/// In the order of their ids, without their secrets.
#[utoipa::path(
    operation_id = "listBillingSources",
    tag = "money",
    params(PageQuery),
    responses((status = 200, description = "One page", body = Listed<Item<SourceAnswer>>)),
)]
#[get("/v1/billing-sources")]
pub(crate) async fn list(listing: List<NoFilter>) -> Result<HttpResponse, Problem> {
    let work = |services: &_, _: &NoFilter, paging: &_, _| billing_sources::list(services, paging);
    listing.run(work, Item::<SourceAnswer>::of).await
}

/// Read a billing source
///
/// Without its secrets.
#[utoipa::path(
    operation_id = "getBillingSource",
    tag = "money",
    params(("source" = SourceId, Path, description = "The billing source", example = "billing")),
    responses((status = 200, description = "The source", body = SourceAnswer, headers(("ETag" = String)))),
)]
#[get("/v1/billing-sources/{source}")]
pub(crate) async fn read(reading: Read, source: Path<SourceId>) -> Result<HttpResponse, Problem> {
    let found = reading.run(move |services, _| billing_sources::get(services, &source)).await?;
    reply::record(&SourceAnswer::from(found.value), found.revision)
}

/// Add a secret to a billing source
///
/// To rotate: add one, give it to the sender, and once it signs with it remove the old one. Both are taken meanwhile; a
/// source has two at most. One that is made here is told in this answer and never again.
#[utoipa::path(
    operation_id = "addBillingSecret",
    tag = "money",
    params(("source" = SourceId, Path, description = "The billing source", example = "billing"), ChangeQuery, IdempotencyKey),
    request_body = SecretRequest,
    responses(
        (status = 201, description = "Added", body = SourceAnswer, headers(("ETag" = String), ("Location" = String))),
        (status = 409, description = "`too_many_secrets`"),
    ),
)]
#[post("/v1/billing-sources/{source}/secrets")]
pub(crate) async fn add_secret(
    source: Path<SourceId>,
    PrivateChange(change): PrivateChange<SecretRequest>,
) -> Result<HttpResponse, Problem> {
    let work = move |services: &_, context: &_, body: SecretRequest| {
        billing_sources::add_secret(services, context, &source, body.secret.as_ref().map(|Given(secret)| secret))
    };
    Ok(private(reply::created(change.run(work).await?, location, SourceAnswer::from)?))
}

/// Remove a secret of a billing source
///
/// Deliveries signed with it are refused at once. The last one cannot be removed: disable the source instead.
#[utoipa::path(
    operation_id = "removeBillingSecret",
    tag = "money",
    params(
        ("source" = SourceId, Path, description = "The billing source", example = "billing"),
        ("number" = u32, Path, description = "The secret's number", example = 1),
        ChangeQuery,
        IfMatch,
    ),
    responses(
        (status = 200, description = "The source without it", body = SourceAnswer, headers(("ETag" = String))),
        (status = 409, description = "`last_secret`"),
    ),
)]
#[delete("/v1/billing-sources/{source}/secrets/{number}")]
pub(crate) async fn remove_secret(path: Path<(SourceId, u32)>, act: Deed) -> Result<HttpResponse, Problem> {
    let (source, number) = path.into_inner();
    let done = act.run(move |services, context| billing_sources::remove_secret(services, context, &source, number));
    reply::changed(done.await?, SourceAnswer::from)
}

/// Disable a billing source
///
/// Its deliveries are answered with 403 until it is enabled again; a provider sends them again later.
#[utoipa::path(
    operation_id = "disableBillingSource",
    tag = "money",
    params(("source" = SourceId, Path, description = "The billing source", example = "billing"), ChangeQuery, IdempotencyKey),
    request_body = Reason,
    responses((status = 200, description = "Disabled", body = SourceAnswer, headers(("ETag" = String)))),
)]
#[post("/v1/billing-sources/{source}/disable")]
pub(crate) async fn disable(source: Path<SourceId>, change: Change<Reason>) -> Result<HttpResponse, Problem> {
    let work = move |services: &_, context: &_, body: Reason| {
        billing_sources::disable(services, context, &source, &body.reason)
    };
    reply::changed(change.run(work).await?, SourceAnswer::from)
}

/// Enable a billing source
#[utoipa::path(
    operation_id = "enableBillingSource",
    tag = "money",
    params(("source" = SourceId, Path, description = "The billing source", example = "billing"), ChangeQuery, IdempotencyKey),
    request_body = Reason,
    responses((status = 200, description = "Enabled", body = SourceAnswer, headers(("ETag" = String)))),
)]
#[post("/v1/billing-sources/{source}/enable")]
pub(crate) async fn enable(source: Path<SourceId>, change: Change<Reason>) -> Result<HttpResponse, Problem> {
    let work = move |services: &_, context: &_, body: Reason| {
        billing_sources::enable(services, context, &source, &body.reason)
    };
    reply::changed(change.run(work).await?, SourceAnswer::from)
}

/// What holds a secret is kept nowhere on the way.
pub(super) fn private(mut response: HttpResponse) -> HttpResponse {
    use actix_web::http::header::{CACHE_CONTROL, HeaderValue};
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
