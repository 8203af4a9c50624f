//! What is given of a request: an approval or an offer, checked; and the overrides that it becomes.

use super::raisable::{self, Raise};
use super::record::{GrantRecord, RequestRecord};
use crate::domain::account::LimitKey;
use crate::domain::ids::{OperatorName, PolicyId};
use crate::domain::policy::MAX_LIMITS_IN_GROUP;
use crate::domain::quantity::Quota;
use crate::services::ceilings::{self, USUAL_CEILING_PERCENT};
use crate::services::checks::Checks;
use crate::services::operators::Action;
use crate::services::records::{Act, OverrideRecord, ShapeRecord};
use crate::services::{ActorKind, Context, Error, Services};
use compact_str::CompactString;

/// One limit of the request, and what is given of it; what is left out is as it was asked for.
#[derive(Debug, Clone)]
pub struct Grant {
    pub limit: PolicyId,
    pub quota: Option<Quota>,
    pub starts_at_ms: Option<i64>,
    pub expires_at_ms: Option<i64>,
    /// Says that having no end is meant.
    pub permanent: bool,
}

/// Whether it is less than was asked for: in limits, quota or time.
pub(super) fn is_partial(record: &RequestRecord, grants: &[GrantRecord], now: i64) -> bool {
    let asked_start = record.starts_at_ms.unwrap_or(now).max(now);
    record.limits.iter().any(|asked| {
        grants.iter().find(|grant| grant.limit == asked.limit).is_none_or(|grant| {
            let ends_early = record.expires_at_ms.zip(grant.expires_at_ms).is_some_and(|(asked, given)| given < asked);
            grant.quota < asked.quota || grant.starts_at_ms.unwrap_or(now) > asked_start || ends_early
        })
    })
}

/// One that was asked for, in full.
fn resolved(
    checks: &mut Checks,
    (record, now): (&RequestRecord, i64),
    (at, given): (&str, &Grant),
) -> Option<GrantRecord> {
    let pointer = |field: &str| format!("{at}/{field}");
    let Some(asked) = record.asked(&given.limit) else {
        checks.fail(&pointer("limit"), "not_asked_for", format!("the request does not ask for {:?}", given.limit));
        return None;
    };
    let quota = given.quota.unwrap_or(asked.quota);
    if quota > asked.quota {
        let detail = format!("`{quota}` is more than was asked for, `{}`", asked.quota);
        checks.fail(&pointer("quota"), "above_asked", detail);
    }
    let asked_start = record.starts_at_ms.unwrap_or(now).max(now);
    let start = given.starts_at_ms.unwrap_or(asked_start).max(now);
    if start < asked_start {
        checks.fail(&pointer("starts_at"), "before_asked", "it would start before it was asked for");
    }
    let end = if given.permanent { None } else { given.expires_at_ms.or(record.expires_at_ms) };
    let end_at = pointer("expires_at");
    match (end, given.permanent) {
        (None, false) => checks.fail(&end_at, "required", "give the time it ends, or say `permanent: true`"),
        _ if given.permanent && given.expires_at_ms.is_some() => {
            checks.fail(&pointer("permanent"), "misplaced", "what is permanent has no end");
        }
        (Some(end), _) if end <= start => checks.fail(&end_at, "not_ahead", "it would end before it starts"),
        _ => checks.ahead(&end_at, end, now),
    }
    let starts_at_ms = Some(start).filter(|&start| start > now);
    Some(GrantRecord { limit: given.limit.clone(), quota, starts_at_ms, expires_at_ms: end })
}

impl Services {
    /// What is given, limit by limit.
    ///
    /// Errors: it was not asked for, is no raise, or is above the policy's or the reviewer's ceiling.
    pub(super) fn grants(
        &self,
        context: &Context,
        record: &RequestRecord,
        given: &[Grant],
    ) -> Result<Vec<GrantRecord>, Error> {
        let mut checks = Checks::default();
        if given.is_empty() {
            checks.fail("/limits", "required", "name at least one limit");
        }
        let mut grants: Vec<GrantRecord> = Vec::with_capacity(record.limits.len());
        if given.len() > MAX_LIMITS_IN_GROUP {
            checks.fail("/limits", "too_many", format!("at most {MAX_LIMITS_IN_GROUP} limits are taken"));
        }
        for (at, one) in given.iter().enumerate().take(MAX_LIMITS_IN_GROUP) {
            let at = format!("/limits/{at}");
            if grants.iter().any(|before| before.limit == one.limit) {
                checks.fail(&format!("{at}/limit"), "duplicate", "each limit is named once");
                break;
            }
            grants.extend(resolved(&mut checks, (record, context.now), (&at, one)));
        }
        checks.done()?;
        self.within_ceiling(context, record, &grants)?;
        Ok(grants)
    }

    /// Errors: who made the offer could not make it now: not a reviewer any more, or the ceiling is lower than it was.
    pub(super) fn still_offered(&self, context: &Context, record: &RequestRecord) -> Result<(), Error> {
        let Some(offer) = &record.offer else { return Ok(()) };
        let over = |why: &str| {
            let detail = format!("the offer does not hold any more: {why}; decline it, and a reviewer answers anew");
            Err(Error::conflict("offer_over", detail))
        };
        let by_operator = offer.made.kind == ActorKind::Operator;
        if by_operator && !self.keyring.role(&offer.made.by).is_some_and(|role| role.may(Action::Answer)) {
            return over("who made it does not answer requests any more");
        }
        let name = OperatorName::parse(&offer.made.by).ok().filter(|_| by_operator);
        let ceiling_percent = name.and_then(|name| self.keyring.ceiling_percent(&name));
        let (actor, actor_kind) = (offer.made.by.clone(), offer.made.kind);
        let maker = Context { actor, actor_kind, ceiling_percent, ..context.clone() };
        match self.within_ceiling(&maker, record, &offer.grants) {
            Err(Error::AboveCeiling { .. }) => over("it is above the ceiling by now"),
            checked => checked,
        }
    }

    fn within_ceiling(&self, context: &Context, record: &RequestRecord, grants: &[GrantRecord]) -> Result<(), Error> {
        let context = self.alone(context, record);
        for grant in grants {
            let key = LimitKey { group: record.group.clone(), limit: grant.limit.clone() };
            ceilings::check_quota(self, &context, &record.account, (&key, grant.quota))?;
        }
        Ok(())
    }

    /// Where overrides take two operators: who decides alone what no operator has filed has the usual ceiling at most.
    ///
    /// A key that filed is no second one, since whoever made it would be two.
    fn alone(&self, context: &Context, record: &RequestRecord) -> Context {
        let by_two = record.filed.kind == ActorKind::Operator && context.actor_kind == ActorKind::Operator;
        let ceiling_percent = match self.four_eyes.overrides && !by_two && !context.owns_machine() {
            true => context.ceiling_percent.or(Some(USUAL_CEILING_PERCENT)),
            false => context.ceiling_percent,
        };
        Context { ceiling_percent, ..context.clone() }
    }

    /// The overrides that grants become now, each with its id.
    ///
    /// Errors: the active revision has no such limit any more, or it is no raise any more, or one too far.
    pub(super) fn overrides_of_grants(
        &self,
        context: &Context,
        (id, record): (&str, &RequestRecord),
        grants: &[GrantRecord],
        drawn: &[CompactString],
    ) -> Result<Vec<(CompactString, OverrideRecord)>, Error> {
        let snapshot = self.engine.snapshot();
        let mut made = Vec::with_capacity(grants.len());
        for (at, (grant, override_id)) in grants.iter().zip(drawn).enumerate() {
            let key = LimitKey { group: record.group.clone(), limit: grant.limit.clone() };
            let place = format!("/limits/{at}");
            let mut checks = Checks::default();
            let shape = raisable::shape(&mut checks, &snapshot, (&place, &key), grant.quota);
            checks.done()?;
            let from_ms = grant.starts_at_ms.unwrap_or(context.now).max(context.now);
            let pointer = format!("{place}/quota");
            let account = &record.account;
            self.must_be_raise(&Raise { account, key: &key, quota: grant.quota, from_ms, pointer: &pointer })?;
            let new = OverrideRecord {
                account: record.account.clone(),
                group: key.group,
                limit: key.limit,
                // INVARIANT: without a shape the checks have failed above.
                shape: shape.map_or(ShapeRecord::Concurrency, ShapeRecord::from),
                quota: grant.quota,
                starts_at_ms: grant.starts_at_ms.filter(|&start| start > context.now),
                expires_at_ms: grant.expires_at_ms,
                made: Act::of(context, &format!("raise request {id}")),
                revoked: None,
                raise_request: Some(id.to_owned()),
                superseded_by: None,
            };
            made.push((override_id.clone(), new));
        }
        Ok(made)
    }
}
