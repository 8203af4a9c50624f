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
use serde_json::json;

/// How long a clamp lasts where nothing is said.
pub const DEFAULT_CLAMP_MS: i64 = 3_600_000;
/// How long one that has ended is still listed, unless its place is needed; it goes when another one is made.
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
        let kept = services.kept_clamps()?;
        let swept = services.clamps_to_sweep(kept.count, context.now)?;
        let count = kept.count.saturating_sub(swept.len());
        if count >= MAX_CLAMPS {
            return Err(Error::TableFull { what: "clamps", most: MAX_CLAMPS });
        }
        let mut change = Change::new("clamp.create", subject(&id))
            .detail("reason", &new.reason)?
            .detail("after", &record)?
            .put(Table::Clamps, Key::text(&id), &record)?;
        if let ScopeRecord::Account(account) = &new.scope {
            change = change.subject(account_subject(account));
        }
        let ends = record.expires_at_ms.map(|end| keys::clamp_end(end, &id));
        for row in kept.without_row.iter().cloned().chain(ends) {
            change = change.put(Table::Index, row, json!({}))?;
        }
        for (row, ended) in swept {
            change = change.delete(Table::Index, row).delete(Table::Clamps, Key::text(&ended));
        }
        let change = kept.counted(change, kept.made + 1, count + 1)?;
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

/// What is known of all clamps without reading them.
struct Kept {
    made: u64,
    count: usize,
    revision: Option<u64>,
    /// The rows of clamps that were made before there were such rows.
    without_row: Vec<Key>,
}

impl Kept {
    fn counted(&self, change: Change, made: u64, count: usize) -> Result<Change, Error> {
        change.expect(Table::Meta, keys::clamps(), self.revision).put(
            Table::Meta,
            keys::clamps(),
            ClampsRecord { made, kept: Some(count) },
        )
    }
}

/// Removes a clamp, whether it has ended or not; returns what it was.
pub fn remove(
    services: &Services,
    context: &Context,
    id: &str,
    reason: Option<&str>,
) -> Result<Done<ClampView>, Error> {
    let _turn = services.turns.wait(Table::Meta, &keys::clamps());
    services.change(context, || {
        let before = services.clamp_record(id)?;
        context.must_match(before.revision)?;
        let mut checks = Checks::default();
        if let Some(reason) = reason {
            checks.reason("/reason", reason);
        }
        checks.done()?;
        let kept = services.kept_clamps()?;
        let mut change = Change::new("clamp.remove", subject(id))
            .detail("reason", reason)?
            .detail("before", &before.value)?
            .expect(Table::Clamps, Key::text(id), Some(before.revision))
            .delete(Table::Clamps, Key::text(id));
        if let ScopeRecord::Account(account) = &before.value.scope {
            change = change.subject(account_subject(account));
        }
        let ends = before.value.expires_at_ms.map(|end| keys::clamp_end(end, id));
        for row in kept.without_row.iter().filter(|row| ends.as_ref() != Some(row)) {
            change = change.put(Table::Index, row.clone(), json!({}))?;
        }
        if let Some(row) = ends {
            change = change.delete(Table::Index, row);
        }
        let change = kept.counted(change, kept.made, kept.count.saturating_sub(1))?;
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

    fn kept_clamps(&self) -> Result<Kept, Error> {
        let found = stored::read::<ClampsRecord>(&*self.store, Table::Meta, &keys::clamps())?;
        let revision = found.as_ref().map(|found| found.revision);
        let ClampsRecord { made, kept } = found.map(|found| found.value).unwrap_or_default();
        let mut all = Kept { made, count: kept.unwrap_or_default(), revision, without_row: Vec::new() };
        if made > 0 && kept.is_none() {
            stored::each::<ClampRecord>(&*self.store, Table::Clamps, &Key::empty(), |key, clamp| {
                all.count += 1;
                let id = key.read().text().unwrap_or_default();
                all.without_row.extend(clamp.value.expires_at_ms.map(|end| keys::clamp_end(end, &id)));
                Ok(())
            })?;
        }
        Ok(all)
    }

    /// Rows and ids of the clamps that go when another one is made: those that ended long ago, and where there is no
    /// place else the first that has ended.
    fn clamps_to_sweep(&self, kept: usize, now: i64) -> Result<Vec<(Key, String)>, Error> {
        let rows = self.store.scan(Table::Index, &keys::clamp_ends(), None, MAX_SWEPT)?;
        let ends = rows.into_iter().filter_map(|(row, _)| keys::clamp_end_in(&row).map(|(end, id)| (row, end, id)));
        let over = ends.take_while(|(_, end, _)| *end <= now).enumerate().take_while(|(before, (_, end, _))| {
            end.saturating_add(ENDED_CLAMP_MS) <= now || kept.saturating_sub(*before) >= MAX_CLAMPS
        });
        Ok(over.map(|(_, (row, _, id))| (row, id)).collect())
    }

    fn clamp_view(&self, id: CompactString, record: ClampRecord, now: i64) -> ClampView {
        let shape = self.engine.snapshot().shape_of(record.group.as_str(), record.limit.as_str());
        let dormant = shape.map(ShapeRecord::from).as_ref() != Some(&record.shape);
        ClampView { id, active: record.expires_at_ms.is_none_or(|end| now < end), dormant, record }
    }
}
