//! Caps of a sub-account.

use super::change::{Change, ChangeQuery, IfMatch};
use super::problem::{Place, Problem};
use super::query::Read;
use super::reply;
use crate::domain::account::LimitKey;
use crate::domain::ids::{AccountId, PolicyId};
use crate::domain::quantity::Quota;
use crate::services::caps;
use crate::services::records::{CapRecord, Role};
use actix_web::web::Path;
use actix_web::{HttpResponse, get, put};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A sub-account's own quotas.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Caps)]
pub(crate) struct CapsAnswer {
    /// By `<group>/<limit>`.
    #[schema(example = json!({"text.m2/rpm": 100}))]
    caps: BTreeMap<String, Quota>,
}

impl CapsAnswer {
    fn of(caps: &[CapRecord]) -> Self {
        let path = |cap: &CapRecord| format!("{}/{}", cap.group, cap.limit);
        Self { caps: caps.iter().map(|cap| (path(cap), cap.quota)).collect() }
    }
}

/// All caps that a sub-account is to have.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(example = json!({"caps": {"text.m2/rpm": 100, "text.m2/tpm": 200000}}))]
pub(crate) struct CapsRequest {
    /// By `<group>/<limit>` of the active policy.
    caps: BTreeMap<String, Quota>,
}

impl CapsRequest {
    fn by_key(&self) -> Result<BTreeMap<LimitKey, Quota>, Problem> {
        self.caps.iter().map(|(path, &quota)| Ok((key(path)?, quota))).collect()
    }
}

fn key(path: &str) -> Result<LimitKey, Problem> {
    let parts = path.split_once('/');
    let parsed = parts.and_then(|(group, limit)| Some((PolicyId::parse(group).ok()?, PolicyId::parse(limit).ok()?)));
    parsed.map(|(group, limit)| LimitKey { group, limit }).ok_or_else(|| {
        let shown: String = path.chars().take(80).flat_map(char::escape_debug).collect();
        let detail = format!("`{shown}` is not `<group>/<limit>`");
        Problem::field(Place::Body, "/caps", "invalid_value", detail)
    })
}

/// Read the caps of a sub-account
///
/// With the sub-account's `ETag`.
#[utoipa::path(
    operation_id = "getCaps",
    tag = "accounts",
    params(("id" = AccountId, Path, description = "The sub-account", example = "acme-eu")),
    responses(
        (status = 200, description = "The caps", body = CapsAnswer, headers(("ETag" = String))),
        (status = 409, description = "`not_a_sub_account`"),
    ),
)]
#[get("/v1/accounts/{id}/caps")]
pub(crate) async fn read(reading: Read, id: Path<AccountId>) -> Result<HttpResponse, Problem> {
    let caps = reading.run(move |services, _| caps::get(services, &id)).await?;
    reply::record(&CapsAnswer::of(&caps.value), caps.revision)
}

/// Replace the caps of a sub-account
///
/// All of them at once. A request of the sub-account must be admitted by its caps and by its main account's limits. A
/// cap that stays keeps its usage; one that goes takes its counters with it.
#[utoipa::path(
    operation_id = "replaceCaps",
    tag = "accounts",
    params(("id" = AccountId, Path, description = "The sub-account", example = "acme-eu"), ChangeQuery, IfMatch),
    request_body = CapsRequest,
    responses(
        (status = 200, description = "Replaced", body = CapsAnswer, headers(("ETag" = String))),
        (status = 409, description = "`not_a_sub_account`"),
    ),
)]
#[put("/v1/accounts/{id}/caps")]
pub(crate) async fn replace(id: Path<AccountId>, change: Change<CapsRequest>) -> Result<HttpResponse, Problem> {
    let caps = change.body.by_key()?;
    let done = change.run(move |services, context, _| caps::replace(services, context, &id, &caps)).await?;
    reply::changed(done, |account| match &account.record.role {
        Role::Sub { caps, .. } => CapsAnswer::of(caps),
        Role::Main { .. } => CapsAnswer::of(&[]),
    })
}
