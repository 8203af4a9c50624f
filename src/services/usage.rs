//! What accounts have used and may use: read from the engine; and resetting it.

use super::accounts::subject;
use super::boot::account_id;
use super::checks::Checks;
use super::commit::{Change, Plan};
use super::records::{ResetRecord, cut_reason};
use super::{Context, Done, Error, Services, keys, stored};
use crate::domain::ids::{AccountId, PolicyId};
use crate::domain::policy::Group;
use crate::engine::{Engine, Explanation, ResetWhat, UsageRow};
use crate::store::{AdminStore, Key, Table};
use serde::{Deserialize, Serialize};

/// Which usage of a main account to forget; None means all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selector {
    pub group: Option<PolicyId>,
    pub limit: Option<PolicyId>,
}

/// A reset that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    pub account: AccountId,
    pub what: Selector,
    pub at_ms: i64,
}

/// Every quota of an account with all that it comes from.
pub fn limits(services: &Services, id: &AccountId, now: i64) -> Result<Explanation, Error> {
    services.engine.explain(id.as_str(), now).ok_or_else(|| Error::not_found("account", id.as_str()))
}

/// The same as its customer may know it: without the reasons of overrides and clamps.
#[must_use]
pub fn for_customers(mut limits: Explanation) -> Explanation {
    let sources = limits.limits.iter_mut().flat_map(|limit| &mut limit.sources);
    sources.for_each(|source| cut_reason(&mut source.origin));
    limits
}

/// How every counter of an account stands, its main account's for a sub-account too.
pub fn usage(services: &Services, id: &AccountId, now: i64) -> Result<Vec<UsageRow>, Error> {
    services.engine.usage(id.as_str(), now).ok_or_else(|| Error::not_found("account", id.as_str()))
}

/// Forgets what a main account has used of rate limits; reservations stay open.
pub fn reset(
    services: &Services,
    context: &Context,
    id: &AccountId,
    what: &Selector,
    reason: &str,
) -> Result<Done<Reset>, Error> {
    services.change(context, || {
        services.main_record(id)?;
        let mut checks = Checks::default();
        checks.reason("/reason", reason);
        services.must_exist(&mut checks, what);
        checks.done()?;
        let text = |id: &Option<PolicyId>| id.as_ref().map_or_else(String::new, ToString::to_string);
        let key = keys::usage_reset(id, &text(&what.group), &text(&what.limit));
        let change = Change::new("account.reset_usage", subject(id))
            .detail("reason", reason)?
            .detail("group", &what.group)?
            .detail("limit", &what.limit)?
            .put(Table::Index, key, ResetRecord { at_ms: context.now })?;
        let done = Reset { account: id.clone(), what: what.clone(), at_ms: context.now };
        Ok(Plan::Change { value: done, change })
    })
}

impl Services {
    fn must_exist(&self, checks: &mut Checks, what: &Selector) {
        let snapshot = self.engine.snapshot();
        let policy = &snapshot.policy;
        let has = |group: &Group, limit: &PolicyId| group.limit(limit.as_str()).is_some();
        match (&what.group, &what.limit) {
            (None, None) => {}
            (None, Some(limit)) if policy.groups.iter().any(|group| has(group, limit)) => {}
            (None, Some(limit)) => {
                checks.fail(
                    "/limit",
                    "unknown_limit",
                    format!("no group of the active revision has a limit {limit:?}"),
                );
            }
            (Some(group), limit) => match (policy.group(group.as_str()), limit) {
                (None, _) => {
                    let detail = format!("group {group:?} does not exist in the active revision");
                    checks.fail("/group", "unknown_group", detail);
                }
                (Some(found), Some(limit)) if !has(found, limit) => {
                    checks.fail(
                        "/limit",
                        "unknown_limit",
                        format!("limit {limit:?} does not exist in group {group:?}"),
                    );
                }
                (Some(_), _) => {}
            },
        }
    }
}

pub(super) fn is_reset(row: &Key) -> bool {
    row.as_bytes().starts_with(keys::usage_resets().as_bytes())
}

/// Does what a committed row says; `seq` is that of the change which wrote it.
pub(super) fn reset_by(engine: &Engine, seq: u64, row: &Key) -> Result<(), Error> {
    let (main, what) = parts_of(row)?;
    let what = ResetWhat {
        group: what.group.as_ref().map(PolicyId::as_str),
        limit: what.limit.as_ref().map(PolicyId::as_str),
    };
    engine.reset_usage(main.as_str(), what, seq);
    Ok(())
}

/// At the start: does those resets again, in order, that the usage which came back has not seen.
///
/// Usage is written behind, so it may have been lost with the run that did them.
pub(super) fn redo_resets(store: &dyn AdminStore, engine: &Engine) -> Result<(), Error> {
    let mut of_one: Option<(AccountId, Vec<(u64, Key)>)> = None;
    stored::each::<ResetRecord>(store, Table::Index, &keys::usage_resets(), |row, reset| {
        let (main, _) = parts_of(&row)?;
        match &mut of_one {
            Some((account, resets)) if *account == main => resets.push((reset.revision, row)),
            _ => {
                let before = of_one.replace((main, vec![(reset.revision, row)]));
                before.map_or(Ok(()), |(account, resets)| redo(engine, &account, resets))?;
            }
        }
        Ok(())
    })?;
    of_one.map_or(Ok(()), |(account, resets)| redo(engine, &account, resets))
}

/// Where nothing was used there is nothing to do again, but what is used later must be known to come after them.
fn redo(engine: &Engine, account: &AccountId, mut resets: Vec<(u64, Key)>) -> Result<(), Error> {
    let last = engine.last_reset(account.as_str()).unwrap_or(0);
    // ORDER: as they were done, or the number of a later one would hide an earlier one.
    resets.sort_unstable_by_key(|(seq, _)| *seq);
    resets.iter().filter(|(seq, _)| *seq > last).try_for_each(|(seq, row)| reset_by(engine, *seq, row))
}

/// Reads back what [`keys::usage_reset`] built.
fn parts_of(row: &Key) -> Result<(AccountId, Selector), Error> {
    let mut parts = row.read();
    parts.text();
    let main = parts.text().unwrap_or_default();
    let mut id = || parts.text().and_then(|text| PolicyId::parse(&text).ok());
    let (group, limit) = (id(), id());
    Ok((account_id(&Key::text(&main))?, Selector { group, limit }))
}
