//! What the records mean to the engine. Starting and following both go through here, so they cannot differ.

use super::records::{AccountRecord, CapRecord, ClampRecord, OverrideRecord, Role};
use super::{Error, Internal, keys, stored};
use crate::domain::account::{Clamp, MainFacts, Override, SubFacts};
use crate::domain::ids::AccountId;
use crate::domain::ledger::Timeline;
use crate::engine::Engine;
use crate::store::{AdminStore, Key, Table};
use compact_str::CompactString;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// An account as the engine takes it.
pub(super) enum Facts {
    Main(MainFacts),
    Sub { main: AccountId, facts: SubFacts },
}

/// `overrides` and `payments` are the main account's own.
pub(super) fn facts_of(record: &AccountRecord, overrides: Vec<Override>, payments: Arc<Timeline>) -> Facts {
    let suspended = record.suspended.is_some();
    match &record.role {
        Role::Main { floor, pin } => Facts::Main(MainFacts {
            created_at_ms: record.created_at_ms,
            suspended,
            floor: floor.clone(),
            pin: pin.as_ref().map(super::records::PinRecord::to_pin),
            payments,
            overrides,
        }),
        Role::Sub { main, caps } => Facts::Sub {
            main: main.clone(),
            facts: SubFacts { suspended, caps: caps.iter().map(CapRecord::to_cap).collect() },
        },
    }
}

/// The facts of one account, with all that belongs to it. None: there is no such account.
///
/// Its payments stay what the engine knows: it is told of those one by one.
pub(super) fn read_facts(store: &dyn AdminStore, engine: &Engine, id: &AccountId) -> Result<Option<Facts>, Error> {
    let Some(account) = stored::read::<AccountRecord>(store, Table::Accounts, &keys::account(id))? else {
        return Ok(None);
    };
    Ok(Some(match account.value.role {
        Role::Main { .. } => {
            facts_of(&account.value, overrides_of(store, id)?, engine.payments(id.as_str()).unwrap_or_default())
        }
        Role::Sub { .. } => facts_of(&account.value, Vec::new(), Arc::default()),
    }))
}

/// The overrides of a main account that were not revoked.
fn overrides_of(store: &dyn AdminStore, main: &AccountId) -> Result<Vec<Override>, Error> {
    let mut overrides = Vec::new();
    stored::each::<Value>(store, Table::Index, &keys::live_overrides_of(main), |row, _| {
        let id = keys::override_in(&row).unwrap_or_default();
        let record = read_override(store, &id)?;
        overrides.push(record.to_override(&id));
        Ok(())
    })?;
    Ok(overrides)
}

/// The same of every main account that has any.
pub(super) fn all_overrides(store: &dyn AdminStore) -> Result<HashMap<AccountId, Vec<Override>>, Error> {
    let mut overrides = HashMap::<AccountId, Vec<Override>>::new();
    stored::each::<Value>(store, Table::Index, &keys::live_overrides(), |row, _| {
        let id = keys::override_in(&row).unwrap_or_default();
        let record = read_override(store, &id)?;
        overrides.entry(record.account.clone()).or_default().push(record.to_override(&id));
        Ok(())
    })?;
    Ok(overrides)
}

fn read_override(store: &dyn AdminStore, id: &str) -> Result<OverrideRecord, Error> {
    let key = Key::text(id);
    let found = stored::read(store, Table::Overrides, &key)?;
    Ok(found.map(|found| found.value).ok_or_else(|| Internal::Record {
        table: Table::Overrides,
        key,
        why: "the index leads to it, but it is not there".to_owned(),
    })?)
}

/// All that are kept, those that have ended too.
pub(super) fn clamps(store: &dyn AdminStore) -> Result<Vec<Clamp>, Error> {
    let mut clamps = Vec::new();
    stored::each::<ClampRecord>(store, Table::Clamps, &Key::empty(), |key, clamp| {
        clamps.push(clamp.value.to_clamp(&key.read().text().unwrap_or_default()));
        Ok(())
    })?;
    Ok(clamps)
}

/// A clamp by its key, unless it is gone or has ended.
pub(super) fn clamp(store: &dyn AdminStore, key: &Key, now: i64) -> Result<(CompactString, Option<Clamp>), Error> {
    let id = key.read().text().unwrap_or_default();
    let found = stored::read::<ClampRecord>(store, Table::Clamps, key)?;
    let clamp = found.map(|found| found.value.to_clamp(&id)).filter(|clamp| !clamp.is_over(now));
    Ok((id.into(), clamp))
}
