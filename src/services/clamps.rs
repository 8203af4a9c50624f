//! Clamps: emergency ceilings. They only lower, and they end by themselves unless told otherwise.

use super::accounts::subject as account_subject;
use super::checks::{Checks, tier_must_exist};
use super::commit::{Change, Plan};
use super::records::{Act, ClampRecord, ClampsRecord, ScopeRecord, ShapeRecord};
use super::stored::{self, Stored};
use super::{Context, Done, Error, MAX_CLAMPS, Page, Paging, Services, keys};
use crate::domain::account::LimitKey;
use crate::domain::ids::PolicyId;
use crate::domain::quantity::Quota;
use crate::ids::IdKind;
use crate::store::{Key, Table};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// How long a clamp lasts where nothing is said.
pub const DEFAULT_CLAMP_MS: i64 = 3_600_000;
/// How long one that has ended is still listed; it goes when another one is made.
pub const ENDED_CLAMP_MS: i64 = 7 * 86_400_000;
/// How many of those go at once.
const MAX_SWEPT: usize = 100;

#[derive(Debug, Clone)]
pub struct NewClamp {
    pub key: LimitKey,
    pub scope: ScopeRecord,
    pub quota: Quota,
    /// None: [`DEFAULT_CLAMP_MS`] from now, unless it is permanent.
    pub expires_at_ms: Option<i64>,
    pub permanent: bool,
    pub reason: String,
}

/// A clamp as people see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClampView {
    pub id: CompactString,
    pub record: ClampRecord,
    pub active: bool,
    /// The active revision has no such limit, or one of another kind, unit or window.
    pub dormant: bool,
}

/// Every condition that is named must hold.
#[derive(Debug, Clone, Default)]
pub struct ClampFilter {
    pub group: Option<PolicyId>,
    pub active: Option<bool>,
}

pub fn create(services: &Services, context: &Context, new: &NewClamp) -> Result<Done<ClampView>, Error> {
    let id = services.ids.draw(IdKind::Clamp, context.now);
    let _turn = services.turns.wait(Table::Meta, &keys::clamps());
    services.change(context, || {
        let record = checked(services, context, new)?;
        if let ScopeRecord::Account(account) = &new.scope {
            services.main_record(account)?;
        }
        let guard = stored::read::<ClampsRecord>(&*services.store, Table::Meta, &keys::clamps())?;
        let made = guard.as_ref().map_or(0, |guard| guard.value.made);
        let (mut running, mut swept) = (0, Vec::new());
        stored::each::<ClampRecord>(&*services.store, Table::Clamps, &Key::empty(), |key, clamp| {
            let ended_at = clamp.value.expires_at_ms.unwrap_or(i64::MAX);
            running += usize::from(context.now < ended_at);
            if ended_at.saturating_add(ENDED_CLAMP_MS) <= context.now && swept.len() < MAX_SWEPT {
                swept.push(key);
            }
            Ok(())
        })?;
        if running >= MAX_CLAMPS {
            return Err(Error::TableFull { what: "clamps", most: MAX_CLAMPS });
        }
        let mut change = Change::new("clamp.create", subject(&id))
            .detail("reason", &new.reason)?
            .detail("after", &record)?
            .expect(Table::Meta, keys::clamps(), guard.map(|guard| guard.revision))
            .put(Table::Meta, keys::clamps(), ClampsRecord { made: made + 1 })?
            .put(Table::Clamps, Key::text(&id), &record)?;
        if let ScopeRecord::Account(account) = &new.scope {
            change = change.subject(account_subject(account));
        }
        for key in swept {
            change = change.delete(Table::Clamps, key);
        }
        Ok(Plan::Change { value: services.clamp_view(id.clone(), record, context.now), change })
    })
}

fn checked(services: &Services, context: &Context, new: &NewClamp) -> Result<ClampRecord, Error> {
    let snapshot = services.engine.snapshot();
    let mut checks = Checks::default();
    checks.reason("/reason", &new.reason);
    checks.ahead("/expires_at", new.expires_at_ms, context.now);
    if new.permanent {
        checks.one_end(new.expires_at_ms.is_some(), new.permanent);
    }
    if new.quota == Quota::Unlimited {
        checks.fail("/quota", "out_of_range", "a clamp only lowers: an integer or `blocked`");
    }
    if let ScopeRecord::Tier(tier) = &new.scope {
        tier_must_exist(&mut checks, "/tier", Some(tier), &snapshot.policy);
    }
    let shape = checks.limit(&snapshot, &new.key, new.quota);
    checks.done()?;
    let by_default = context.now.saturating_add(DEFAULT_CLAMP_MS);
    let LimitKey { group, limit } = new.key.clone();
    Ok(ClampRecord {
        group,
        limit,
        scope: new.scope.clone(),
        // INVARIANT: without a shape the checks have failed above.
        shape: shape.map_or(ShapeRecord::Concurrency, ShapeRecord::from),
        quota: new.quota,
        expires_at_ms: if new.permanent { None } else { new.expires_at_ms.or(Some(by_default)) },
        made: Act::of(context, &new.reason),
    })
}

pub fn get(services: &Services, id: &str, now: i64) -> Result<Stored<ClampView>, Error> {
    Ok(services.clamp_record(id)?.map(|record| services.clamp_view(id.into(), record, now)))
}

/// In the order in which they were made.
pub fn list(
    services: &Services,
    filter: &ClampFilter,
    paging: &Paging,
    now: i64,
) -> Result<Page<Stored<ClampView>>, Error> {
    stored::page(&*services.store, (Table::Clamps, &Key::empty()), paging, |key, found| {
        let id = key.read().text().unwrap_or_default();
        let found = stored::decode::<ClampRecord>(Table::Clamps, key, found)?;
        let view = found.map(|record| services.clamp_view(id.into(), record, now));
        let kept = filter.group.as_ref().is_none_or(|group| view.value.record.group == *group)
            && filter.active.is_none_or(|active| view.value.active == active);
        Ok(kept.then_some(view))
    })
}

/// Removes a clamp, whether it has ended or not; returns what it was.
pub fn remove(
    services: &Services,
    context: &Context,
    id: &str,
    reason: Option<&str>,
) -> Result<Done<ClampView>, Error> {
    services.change(context, || {
        let before = services.clamp_record(id)?;
        context.must_match(before.revision)?;
        let mut checks = Checks::default();
        if let Some(reason) = reason {
            checks.reason("/reason", reason);
        }
        checks.done()?;
        let change = Change::new("clamp.remove", subject(id))
            .detail("reason", reason)?
            .detail("before", &before.value)?
            .expect(Table::Clamps, Key::text(id), Some(before.revision))
            .delete(Table::Clamps, Key::text(id));
        let view = services.clamp_view(id.into(), before.value, context.now);
        Ok(Plan::Change { value: ClampView { active: false, ..view }, change })
    })
}

fn subject(id: &str) -> String {
    format!("clamp:{id}")
}

impl Services {
    fn clamp_record(&self, id: &str) -> Result<Stored<ClampRecord>, Error> {
        stored::read(&*self.store, Table::Clamps, &Key::text(id))?.ok_or_else(|| Error::not_found("clamp", id))
    }

    fn clamp_view(&self, id: CompactString, record: ClampRecord, now: i64) -> ClampView {
        let shape = self.engine.snapshot().shape_of(record.group.as_str(), record.limit.as_str());
        let dormant = shape.map(ShapeRecord::from).as_ref() != Some(&record.shape);
        ClampView { id, active: record.expires_at_ms.is_none_or(|end| now < end), dormant, record }
    }
}
