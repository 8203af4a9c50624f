//! One quota of one tier, changed in one step: the active document with that number in it is the next revision.

use super::commit::Deed;
use super::policies::{self, Published, Source, Warnings};
use super::{Context, Done, Error, Services};
use crate::domain::account::LimitKey;
use crate::domain::ids::PolicyId;
use crate::domain::quantity::Quota;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewTierQuota {
    pub tier: PolicyId,
    #[serde(flatten)]
    pub key: LimitKey,
    pub quota: Quota,
    /// May be empty.
    pub reason: String,
}

/// Publishes the next revision with one quota changed; the whole document is checked again.
///
/// Errors: the active revision lacks the tier, group or limit; the quota is that already.
pub fn set_quota(services: &Services, context: &Context, new: &NewTierQuota) -> Result<Done<Published>, Error> {
    services.change(context, || {
        let active = services.active()?.ok_or_else(|| Error::not_found("tier", new.tier.as_str()))?;
        let mut document = policies::document(&*services.store, active.value.revision)?;
        let quota = quota_in(&mut document, &new.tier, &new.key)?;
        context.must_match(active.revision)?;
        *quota = serde_json::to_value(new.quota).unwrap_or_default();
        let parsed = policies::parse(&Source::Json(document), Warnings::Told)?;
        let deed = Deed { action: "policy.set_quota", reason: Some(&new.reason) };
        services.next_revision(context, Some(active), &parsed, deed)
    })
}

/// The place of a quota in a valid document.
fn quota_in<'d>(document: &'d mut Value, tier: &PolicyId, key: &LimitKey) -> Result<&'d mut Value, Error> {
    let group =
        find(document, "groups", key.group.as_str()).ok_or_else(|| Error::not_found("group", key.group.as_str()))?;
    let limit =
        find(group, "limits", key.limit.as_str()).ok_or_else(|| Error::not_found("limit", key.limit.as_str()))?;
    limit
        .get_mut("quotas")
        .and_then(|quotas| quotas.get_mut(tier.as_str()))
        .ok_or_else(|| Error::not_found("tier", tier.as_str()))
}

fn find<'d>(parent: &'d mut Value, list: &str, id: &str) -> Option<&'d mut Value> {
    parent.get_mut(list)?.as_array_mut()?.iter_mut().find(|item| item["id"].as_str() == Some(id))
}
