//! How far a limit of an account can be raised.

use crate::domain::account::{LimitKey, Shape};
use crate::domain::ids::AccountId;
use crate::domain::policy::Adjustable;
use crate::domain::quantity::Quota;
use crate::engine::Snapshot;
use crate::services::checks::{Checks, Misfit};
use crate::services::records::ShapeRecord;
use crate::services::{Error, NotRaisable, Services};

/// A quota that is wanted or given of one limit, from a time on.
pub(super) struct Raise<'a> {
    pub account: &'a AccountId,
    pub key: &'a LimitKey,
    pub quota: Quota,
    pub from_ms: i64,
    /// Of what was written, in the request's body.
    pub pointer: &'a str,
}

/// A raise that is none, or is too much. Errors are told before it: the limit has to exist.
pub(super) fn shape(
    checks: &mut Checks,
    snapshot: &Snapshot,
    (at, key): (&str, &LimitKey),
    quota: Quota,
) -> Option<Shape> {
    match Misfit::check(snapshot, key, quota) {
        Ok(shape) => Some(shape),
        Err(misfit) => {
            let pointer = match misfit {
                Misfit::Group(_) => "/group".to_owned(),
                Misfit::Limit { .. } => format!("{at}/limit"),
                Misfit::Quota(_) => format!("{at}/quota"),
            };
            checks.fail(&pointer, misfit.code(), misfit.to_string());
            None
        }
    }
}

impl Services {
    /// What sets the quota at that time, as far as is known: an override, else the tier. Clamps do not count, since they
    /// only lower for a while.
    ///
    /// Errors: the quota is not above that, or the policy does not let it be raised so far.
    pub(super) fn must_be_raise(&self, raise: &Raise<'_>) -> Result<Quota, Error> {
        let Raise { account, key, quota, from_ms, pointer } = raise;
        let snapshot = self.engine.snapshot();
        let policy = &snapshot.policy;
        let limit = policy.group(key.group.as_str()).and_then(|group| group.limit(key.limit.as_str()));
        let Some(limit) = limit else { return Ok(Quota::Blocked) };
        let tier = self.tier_of(account, &self.main_record(account)?.value, *from_ms)?.effective;
        let of_tier = limit.quotas[policy.tier_index(tier.as_str()).unwrap_or(policy.default_tier)];
        let shape = ShapeRecord::from(Shape::of(policy, limit));
        let live = self.live_overrides(account)?;
        let set = live.iter().map(|(_, held)| &held.value).find(|held| {
            held.key() == **key
                && held.shape == shape
                && held.starts_at_ms.is_none_or(|start| start <= *from_ms)
                && held.expires_at_ms.is_none_or(|end| *from_ms < end)
        });
        let in_force = set.map_or(of_tier, |held| held.quota);
        let (ceiling, code) = match limit.adjustable {
            Adjustable::Freely => (None, ""),
            Adjustable::UpTo(most) => (Some(Quota::Units(most)), "above_maximum"),
            Adjustable::Fixed => (Some(of_tier), "not_adjustable"),
        };
        let name = format!("`{}/{}`", key.group, key.limit);
        let refused = |code, detail| {
            let (pointer, limit) = ((*pointer).to_owned(), (*key).clone());
            Err(Error::NotRaisable(Box::new(NotRaisable { code, detail, pointer, limit, in_force, ceiling })))
        };
        match (limit.adjustable, ceiling) {
            (Adjustable::Fixed, _) => refused(code, format!("{name} is fixed: the tier's quota is `{of_tier}`")),
            _ if *quota <= in_force => refused(
                "already_satisfied",
                format!("`{quota}` of {name} is not above what is in force then, `{in_force}`"),
            ),
            (_, Some(most)) if *quota > most => {
                refused(code, format!("`{quota}` of {name} is above what the policy lets it be raised to, `{most}`"))
            }
            _ => Ok(in_force),
        }
    }
}
