//! Overrides: a quota for one limit of one main account, over a span of time.

mod plan;

pub use plan::SupersededBy;
pub(super) use plan::{Adding, Overlap};

use super::accounts::subject as account_subject;
use super::checks::Checks;
use super::commit::{Change, Plan};
use super::records::{Act, OverrideRecord, ShapeRecord};
use super::stored::{self, Stored};
use super::{Context, Done, Error, Page, Paging, Services, ceilings, keys};
use crate::domain::account::LimitKey;
use crate::domain::ids::{AccountId, PolicyId};
use crate::domain::quantity::Quota;
use crate::ids::IdKind;
use crate::store::{Key, Table};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewOverride {
    pub account: AccountId,
    #[serde(flatten)]
    pub key: LimitKey,
    pub quota: Quota,
    /// None, or a time that has come: at once.
    pub starts_at_ms: Option<i64>,
    pub expires_at_ms: Option<i64>,
    /// Says that having no end is meant.
    pub permanent: bool,
    pub reason: String,
}

/// An override as people see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OverrideView {
    pub id: CompactString,
    pub record: OverrideRecord,
    pub state: OverrideState,
    /// The active revision has no such limit, or one of another kind, unit or window.
    pub dormant: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverrideState {
    Scheduled,
    Active,
    Ended,
    Revoked,
}

impl OverrideState {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Active => "active",
            Self::Ended => "ended",
            Self::Revoked => "revoked",
        }
    }
}

/// Every condition that is named must hold.
#[derive(Debug, Clone, Default)]
pub struct OverrideFilter {
    pub account: Option<AccountId>,
    pub group: Option<PolicyId>,
    pub state: Option<OverrideState>,
    /// Not over yet, but by then.
    pub ending_before_ms: Option<i64>,
}

/// Sets a quota.
///
/// Errors: another one for the same limit overlaps it in time (a conflict that names it).
pub fn create(services: &Services, context: &Context, new: &NewOverride) -> Result<Done<OverrideView>, Error> {
    let id = services.ids.draw(IdKind::Override, context.now);
    let _turn = services.turns.wait(Table::Index, &keys::tally(&new.account));
    services.change(context, || {
        let record = checked(services, context, new)?;
        services.main_record(&new.account)?;
        ceilings::check_quota(services, context, &new.account, (&new.key, new.quota))?;
        let change = Change::new("override.create", subject(&id))
            .subject(account_subject(&new.account))
            .detail("reason", &new.reason)?
            .detail("after", &record)?;
        let made = [(id.clone(), record)];
        let adding = Adding { account: &new.account, made: &made, overlap: Overlap::Refused };
        let change = services.add_overrides(context, change, &adding)?.change;
        let [(id, record)] = made;
        Ok(Plan::Change { value: services.override_view(id, record, context.now), change })
    })
}

fn checked(services: &Services, context: &Context, new: &NewOverride) -> Result<OverrideRecord, Error> {
    let mut checks = Checks::default();
    checks.reason("/reason", &new.reason);
    checks.ahead("/expires_at", new.expires_at_ms, context.now);
    checks.one_end(new.expires_at_ms.is_some(), new.permanent);
    if let (Some(start), Some(end)) = (new.starts_at_ms, new.expires_at_ms)
        && start >= end
    {
        checks.fail("/expires_at", "not_ahead", "it would end before it starts");
    }
    let shape = checks.limit(&services.engine.snapshot(), &new.key, new.quota);
    checks.done()?;
    let LimitKey { group, limit } = new.key.clone();
    Ok(OverrideRecord {
        account: new.account.clone(),
        group,
        limit,
        // INVARIANT: without a shape the checks have failed above.
        shape: shape.map_or(ShapeRecord::Concurrency, ShapeRecord::from),
        quota: new.quota,
        starts_at_ms: new.starts_at_ms.filter(|&start| start > context.now),
        expires_at_ms: new.expires_at_ms,
        made: Act::of(context, &new.reason),
        revoked: None,
        raise_request: None,
        superseded_by: None,
    })
}

pub fn get(services: &Services, id: &str, now: i64) -> Result<Stored<OverrideView>, Error> {
    let found = services.override_record(id)?;
    Ok(found.map(|record| services.override_view(id.into(), record, now)))
}

/// In the order in which they were made.
pub fn list(
    services: &Services,
    filter: &OverrideFilter,
    paging: &Paging,
    now: i64,
) -> Result<Page<Stored<OverrideView>>, Error> {
    let (table, prefix) = match &filter.account {
        Some(account) => (Table::Index, keys::overrides_of(account)),
        None => (Table::Overrides, Key::empty()),
    };
    stored::page(&*services.store, (table, &prefix), paging, |key, found| {
        let (id, found) = match table {
            Table::Overrides => (key.read().text().unwrap_or_default(), stored::decode(table, key, found)?),
            _ => {
                let id = keys::override_in(key).unwrap_or_default();
                let found = services.override_record(&id)?;
                (id, found)
            }
        };
        let view = found.map(|record| services.override_view(id.as_str().into(), record, now));
        Ok(filter.keeps(&view.value).then_some(view))
    })
}

/// Ends an override now; what it was stays on record.
///
/// Errors: it has ended already.
pub fn revoke(services: &Services, context: &Context, id: &str, reason: &str) -> Result<Done<OverrideView>, Error> {
    services.change(context, || {
        let before = services.override_record(id)?;
        context.may_match(before.revision)?;
        let mut checks = Checks::default();
        checks.reason("/reason", reason);
        checks.done()?;
        if before.value.is_over(context.now) {
            let state = before.value.state(context.now).as_str();
            return Err(Error::conflict("override_ended", format!("override `{id}` is over already: {state}")));
        }
        let after = OverrideRecord { revoked: Some(Act::of(context, reason)), ..before.value.clone() };
        let change = Change::new("override.revoke", subject(id))
            .subject(account_subject(&after.account))
            .detail("reason", reason)?
            .detail("before", &before.value)?
            .expect(Table::Overrides, Key::text(id), Some(before.revision))
            .put(Table::Overrides, Key::text(id), &after)?
            .delete(Table::Index, keys::live_override(&after.account, id));
        Ok(Plan::Change { value: services.override_view(id.into(), after, context.now), change })
    })
}

pub(super) fn subject(id: &str) -> String {
    format!("override:{id}")
}

impl OverrideFilter {
    fn keeps(&self, view: &OverrideView) -> bool {
        let record = &view.record;
        let open = matches!(view.state, OverrideState::Scheduled | OverrideState::Active);
        self.group.as_ref().is_none_or(|group| record.group == *group)
            && self.state.is_none_or(|state| view.state == state)
            && self.ending_before_ms.is_none_or(|by| open && record.expires_at_ms.is_some_and(|end| end < by))
    }
}

impl OverrideRecord {
    #[must_use]
    pub fn state(&self, now: i64) -> OverrideState {
        match () {
            () if self.revoked.is_some() => OverrideState::Revoked,
            () if self.expires_at_ms.is_some_and(|end| end <= now) => OverrideState::Ended,
            () if self.starts_at_ms.is_some_and(|start| now < start) => OverrideState::Scheduled,
            () => OverrideState::Active,
        }
    }

    fn is_over(&self, now: i64) -> bool {
        matches!(self.state(now), OverrideState::Ended | OverrideState::Revoked)
    }

    fn overlaps(&self, other: &Self) -> bool {
        let span = |record: &Self| {
            (record.starts_at_ms.unwrap_or(record.made.at_ms), record.expires_at_ms.unwrap_or(i64::MAX))
        };
        let ((start, end), (other_start, other_end)) = (span(self), span(other));
        start < other_end && other_start < end
    }
}

impl Services {
    fn override_record(&self, id: &str) -> Result<Stored<OverrideRecord>, Error> {
        stored::read(&*self.store, Table::Overrides, &Key::text(id))?.ok_or_else(|| Error::not_found("override", id))
    }

    /// Those of a main account that were not revoked, the ones that have ended lately among them.
    pub(super) fn live_overrides(&self, main: &AccountId) -> Result<Vec<(String, Stored<OverrideRecord>)>, Error> {
        let mut live = Vec::new();
        stored::each::<serde_json::Value>(&*self.store, Table::Index, &keys::live_overrides_of(main), |row, _| {
            let id = keys::override_in(&row).unwrap_or_default();
            let record = self.override_record(&id)?;
            live.push((id, record));
            Ok(())
        })?;
        Ok(live)
    }

    fn override_view(&self, id: CompactString, record: OverrideRecord, now: i64) -> OverrideView {
        let shape = self.engine.snapshot().shape_of(record.group.as_str(), record.limit.as_str());
        let dormant = shape.map(ShapeRecord::from).as_ref() != Some(&record.shape);
        OverrideView { id, state: record.state(now), dormant, record }
    }
}
