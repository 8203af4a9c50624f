//! The audit log.

use super::problem::{Place, Problem};
use super::query::{List, Listed, PageQuery};
use super::views::{Time, ms};
use super::wire::rfc3339;
use crate::services::{ActorKind, audit};
use crate::store::{AuditEntry, AuditFilter};
use actix_web::{HttpResponse, get};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// One committed change.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(crate) struct EntryAnswer {
    /// Counts up by one with every change.
    #[schema(minimum = 1, example = 42)]
    seq: u64,
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:00:00.000Z")]
    at: CompactString,
    #[schema(example = "alice")]
    actor: String,
    /// `operator`, `api_key`, `console`, `system` or `billing_source`.
    #[schema(value_type = String, example = "operator")]
    actor_kind: &'static str,
    #[schema(example = "account.suspend")]
    action: String,
    /// What it was done to.
    #[schema(example = json!(["account:acme"]))]
    subject: Vec<String>,
    /// Where the request came from; `control.sock`: by the socket in the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "127.0.0.1")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request_id: Option<String>,
    /// Before and after, and the reason.
    #[schema(value_type = Object)]
    detail: Value,
    /// SHA-256 of the entry; it covers every entry before.
    hash: String,
}

impl From<AuditEntry> for EntryAnswer {
    fn from(entry: AuditEntry) -> Self {
        let audit = entry.audit;
        Self {
            seq: entry.seq,
            at: rfc3339(entry.at_ms),
            actor: audit.actor,
            actor_kind: audit.actor_kind.as_str(),
            action: audit.action,
            subject: audit.subject,
            address: audit.origin.address,
            request_id: audit.origin.request_id,
            detail: audit.detail,
            hash: hex::encode(entry.hash),
        }
    }
}

/// Which entries to list; every condition that is given must hold.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// Kind and name.
    #[param(example = "operator:alice", pattern = "^(operator|api_key|console|system|billing_source):.+$")]
    actor: Option<String>,
    /// What something was done to.
    #[param(example = "account:acme")]
    subject: Option<String>,
    /// What was done, in full.
    #[param(example = "account.suspend")]
    action: Option<String>,
    /// At or after.
    from: Option<Time>,
    /// Before.
    until: Option<Time>,
}

impl AuditQuery {
    fn filter(&self) -> Result<AuditFilter, Problem> {
        let actor = self.actor.as_deref().map(|actor| named(actor).ok_or_else(unknown_kind)).transpose()?;
        Ok(AuditFilter {
            actor,
            subject: self.subject.clone(),
            action: self.action.clone(),
            from_ms: ms(self.from),
            until_ms: ms(self.until),
        })
    }
}

fn named(actor: &str) -> Option<(ActorKind, String)> {
    let (kind, name) = actor.split_once(':')?;
    let kind = ActorKind::ALL.into_iter().find(|known| known.as_str() == kind)?;
    Some((kind, name.to_owned()))
}

fn unknown_kind() -> Problem {
    let detail = "write the kind of actor and its name, such as `operator:alice`; kinds are operator, api_key, console, system, \
         billing_source";
    Problem::field(Place::Query, "/actor", "invalid_value", detail)
}

/// List the audit log
///
/// Every change that was ever made, the newest first: who, what, to what, when, before and after. A page may be short,
/// even empty, while there is a next one.
#[utoipa::path(
    operation_id = "listAudit",
    tag = "audit",
    params(AuditQuery, PageQuery),
    responses((status = 200, description = "One page", body = Listed<EntryAnswer>)),
)]
#[get("/v1/audit")]
pub(crate) async fn list(listing: List<AuditQuery>) -> Result<HttpResponse, Problem> {
    let filter = listing.filter().filter()?;
    listing.run(move |services, _, paging, _| audit::list(services, &filter, paging), EntryAnswer::from).await
}
