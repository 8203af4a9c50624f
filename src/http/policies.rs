//! Revisions of the policy: publish, list, read, activate.

use super::access;
use super::approvals::{ApprovalAnswer, asked};
use super::change::{Change, ChangeQuery, IdempotencyKey, IfMatch};
use super::problem::Problem;
use super::query::{List, Listed, NoFilter, PageQuery, Read};
use super::reply;
use super::views::ActView;
use crate::services::approvals::{self, Activate};
use crate::services::policies::{self, NewRevision, Published, Revision, Source, Warnings};
use crate::services::records::{ActivationRecord, RevisionRecord, WarningRecord};
use crate::services::{Error, Stored};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};

/// A published policy without its document.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Revision)]
pub(crate) struct RevisionAnswer {
    #[schema(minimum = 1, example = 7)]
    revision: u64,
    #[schema(example = "minimax")]
    name: String,
    /// SHA-256 over the canonical document.
    #[schema(example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    content_hash: String,
    published: ActView,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    warnings: Vec<WarningAnswer>,
}

/// What may be a mistake in a document.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PolicyWarning)]
pub(crate) struct WarningAnswer {
    #[schema(example = "groups[0].limits[0].quotas.paid")]
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    line: Option<u32>,
    #[schema(example = "quota_falls")]
    code: String,
    message: String,
}

/// A published policy with its document.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RevisionWithDocument)]
pub(crate) struct RevisionDocumentAnswer {
    #[serde(flatten)]
    head: RevisionAnswer,
    active: bool,
    /// Canonical JSON of the policy document.
    #[schema(value_type = Object)]
    document: Value,
}

/// A revision that became the active one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Activation)]
pub(crate) struct ActivationAnswer {
    /// Counts up by one with every activation.
    #[schema(minimum = 1, example = 9)]
    activation: u64,
    #[schema(minimum = 1, example = 7)]
    revision: u64,
    /// The revision that was active before; absent for the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 6)]
    previous: Option<u64>,
    done: ActView,
}

/// A revision and how it became active.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Published)]
pub(crate) struct PublishedAnswer {
    revision: RevisionAnswer,
    activation: ActivationAnswer,
}

impl From<RevisionRecord> for RevisionAnswer {
    fn from(head: RevisionRecord) -> Self {
        Self {
            revision: head.revision,
            name: head.name,
            content_hash: head.content_hash,
            published: head.published.into(),
            warnings: head.warnings.into_iter().map(WarningAnswer::from).collect(),
        }
    }
}

impl From<WarningRecord> for WarningAnswer {
    fn from(warning: WarningRecord) -> Self {
        let WarningRecord { path, line, code, message } = warning;
        Self { path, line, code, message }
    }
}

impl From<ActivationRecord> for ActivationAnswer {
    fn from(record: ActivationRecord) -> Self {
        let ActivationRecord { activation, revision, previous, done } = record;
        Self { activation, revision, previous, done: done.into() }
    }
}

impl From<Published> for PublishedAnswer {
    fn from(published: Published) -> Self {
        Self { revision: published.head.into(), activation: published.activation.into() }
    }
}

impl From<Revision> for RevisionDocumentAnswer {
    fn from(revision: Revision) -> Self {
        Self { head: revision.head.into(), active: revision.active, document: revision.document }
    }
}

/// What of a document is not for customers.
const INTERNAL: [&str; 2] = ["pools", "raise_rules"];

fn keep_for_customers(revision: &mut Revision) {
    if let Some(document) = revision.document.as_object_mut() {
        INTERNAL.iter().for_each(|field| _ = document.remove(*field));
    }
    revision.head.published.by.clear();
    revision.head.published.reason.clear();
}

/// A whole document to publish.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
pub(crate) struct PublishRequest {
    /// The policy document as an object, or as a text in YAML or JSON.
    #[schema(schema_with = document_schema)]
    document: Value,
    #[serde(default)]
    #[schema(max_length = 500)]
    reason: Option<String>,
    /// Refuse a document that has warnings.
    #[serde(default)]
    strict: Option<bool>,
}

fn document_schema() -> Schema {
    let object = ObjectBuilder::new().schema_type(Type::Object).title(Some("Object"));
    let text = ObjectBuilder::new().schema_type(Type::String).title(Some("Text")).min_length(Some(1));
    let about = "The policy document as an object, or as a text in YAML or JSON.";
    OneOfBuilder::new().item(object).item(text).description(Some(about)).build().into()
}

impl From<PublishRequest> for NewRevision {
    fn from(request: PublishRequest) -> Self {
        Self {
            source: match request.document {
                Value::String(text) => Source::Text(text),
                json => Source::Json(json),
            },
            reason: request.reason.unwrap_or_default(),
            warnings: if request.strict.unwrap_or_default() { Warnings::Refused } else { Warnings::Told },
        }
    }
}

/// Why an earlier revision is to be active again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(example = json!({"reason": "back to the quotas of last week"}))]
pub(crate) struct ActivateRequest {
    #[serde(default)]
    #[schema(max_length = 500)]
    reason: Option<String>,
}

/// Publish a policy
///
/// The whole document becomes the next revision, active from the next decision on; usage of limits that it keeps is
/// still counted. Every error of the document is told with a pointer to it. `If-Match` names the `ETag` of the active
/// revision, so that of two publishers one wins.
#[utoipa::path(
    operation_id = "publishPolicy",
    tag = "policies",
    params(ChangeQuery, IfMatch, IdempotencyKey),
    request_body(content = PublishRequest, examples(
        ("A document" = (value = json!({
            "reason": "quotas of the limits page",
            "document": {
                "schema": "quotagate.policy/v1", "name": "minimax", "default_tier": "free",
                "tiers": [
                    {"id": "free"},
                    {"id": "paid", "reached_by": {"net_paid_at_least": {"CNY": 1}}},
                ],
                "groups": [{
                    "id": "text.m2", "resources": ["MiniMax-M2"],
                    "limits": [
                        {"id": "rpm", "unit": "requests", "window": "1m", "quotas": {"free": 20, "paid": 500}},
                        {"id": "tpm", "unit": "tokens", "window": "1m", "quotas": {"free": 1_000_000, "paid": 20_000_000}},
                    ],
                }],
            },
        }))),
        ("YAML as a text" = (value = json!({
            "document": "schema: quotagate.policy/v1\nname: minimax\ntiers: [{id: free}, {id: paid}]\n\
                default_tier: free\ngroups:\n  - id: text.m2\n    resources: [MiniMax-M2]\n    limits:\n      \
                - {id: rpm, unit: requests, window: 1m, quotas: {free: 20, paid: 500}}\n",
            "strict": false,
        }))),
    )),
    responses(
        (status = 201, description = "Published and active", body = PublishedAnswer, headers(("ETag" = String), ("Location" = String))),
        (status = 202, description = "Waits for a second operator", body = ApprovalAnswer, headers(("ETag" = String), ("Location" = String))),
        (status = 409, description = "`unchanged`: the content is what is active already"),
    ),
)]
#[post("/v1/policies/revisions")]
pub(crate) async fn publish(change: Change<PublishRequest>) -> Result<HttpResponse, Problem> {
    let work =
        |services: &_, context: &_, body: PublishRequest| approvals::ask(services, context, &NewRevision::from(body));
    let location = |done: &Published| format!("/v1/policies/revisions/{}", done.head.revision);
    asked(change.run(work).await?, |done| reply::created(done, location, PublishedAnswer::from))
}

/// List revisions
///
/// The newest first, without their documents.
#[utoipa::path(
    operation_id = "listRevisions",
    tag = "policies",
    params(PageQuery),
    responses((status = 200, description = "One page", body = Listed<RevisionAnswer>)),
)]
#[get("/v1/policies/revisions")]
pub(crate) async fn list(listing: List<NoFilter>) -> Result<HttpResponse, Problem> {
    let view = |stored: Stored<RevisionRecord>| RevisionAnswer::from(stored.value);
    listing.run(|services, _, paging, _| policies::list(services, paging), view).await
}

/// Read a revision
///
/// With its document.
#[utoipa::path(
    operation_id = "getRevision",
    tag = "policies",
    params(("revision" = u64, Path, minimum = 1, description = "Its number", example = 1)),
    responses((status = 200, description = "The revision", body = RevisionDocumentAnswer, headers(("ETag" = String)))),
)]
#[get("/v1/policies/revisions/{revision}")]
pub(crate) async fn read(reading: Read, path: Path<String>) -> Result<HttpResponse, Problem> {
    let number = revision_in_path(&path)?;
    let revision = reading.run(move |services, _| policies::get(services, number)).await?;
    reply::record(&RevisionDocumentAnswer::from(revision.value), revision.revision)
}

/// Activate a revision
///
/// Makes an earlier revision active again, from the next decision on. Usage of limits that the two share stays.
#[utoipa::path(
    operation_id = "activateRevision",
    tag = "policies",
    params(("revision" = u64, Path, minimum = 1, description = "Its number", example = 1), ChangeQuery, IdempotencyKey),
    request_body = ActivateRequest,
    responses(
        (status = 200, description = "Active", body = PublishedAnswer, headers(("ETag" = String))),
        (status = 202, description = "Waits for a second operator", body = ApprovalAnswer, headers(("ETag" = String), ("Location" = String))),
        (status = 409, description = "`already_active`"),
    ),
)]
#[post("/v1/policies/revisions/{revision}/activate")]
pub(crate) async fn activate(path: Path<String>, change: Change<ActivateRequest>) -> Result<HttpResponse, Problem> {
    let number = revision_in_path(&path)?;
    let work = move |services: &_, context: &_, ActivateRequest { reason }| {
        approvals::ask(services, context, &Activate { revision: number, reason: reason.unwrap_or_default() })
    };
    asked(change.run(work).await?, |done| reply::changed(done, PublishedAnswer::from))
}

/// Read the active revision
///
/// With its document; for a key bound to an account without its `pools` and `raise_rules`, and without who published it and
/// why. Its `ETag` is what a publish names in `If-Match`.
#[utoipa::path(
    operation_id = "getActiveRevision",
    tag = "policies",
    responses((status = 200, description = "The active revision", body = RevisionDocumentAnswer, headers(("ETag" = String)))),
)]
#[get("/v1/policies/active")]
pub(crate) async fn active(request: HttpRequest, reading: Read) -> Result<HttpResponse, Problem> {
    let bound = access::caller(&request)?.is_bound();
    let work = |services: &_, _| {
        let none = || Error::NotFound { what: "revision", id: "active".to_owned() };
        let active = policies::active(services)?.ok_or_else(none)?;
        Ok((policies::get(services, active.value.active.revision)?.value, active.revision))
    };
    let (mut revision, etag) = reading.run(work).await?;
    if bound {
        keep_for_customers(&mut revision);
    }
    reply::record(&RevisionDocumentAnswer::from(revision), etag)
}

/// List activations
///
/// What was active when, the newest first.
#[utoipa::path(
    operation_id = "listActivations",
    tag = "policies",
    params(PageQuery),
    responses((status = 200, description = "One page", body = Listed<ActivationAnswer>)),
)]
#[get("/v1/policies/activations")]
pub(crate) async fn activations(listing: List<NoFilter>) -> Result<HttpResponse, Problem> {
    let view = |stored: Stored<ActivationRecord>| ActivationAnswer::from(stored.value);
    listing.run(|services, _, paging, _| policies::activations(services, paging), view).await
}

/// A revision that cannot be is one that does not exist.
fn revision_in_path(text: &str) -> Result<u64, Problem> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
        Error::NotFound { what: "revision", id: shown }.into()
    })
}
