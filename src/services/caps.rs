//! Caps: quotas of a sub-account's own, on top of its main account's.

use super::accounts::{Account, subject};
use super::checks::{Checks, Misfit};
use super::commit::{Change, Plan};
use super::records::{AccountRecord, CapRecord, Role, Tally};
use super::stored::Stored;
use super::{Context, Done, Error, MAX_CAPS, Services, keys};
use crate::domain::account::LimitKey;
use crate::domain::ids::AccountId;
use crate::domain::quantity::Quota;
use crate::store::Table;
use std::collections::BTreeMap;

/// Replaces all caps of a sub-account. One that stays keeps its usage; one that goes takes its counters with it.
pub fn replace(
    services: &Services,
    context: &Context,
    id: &AccountId,
    caps: &BTreeMap<LimitKey, Quota>,
) -> Result<Done<Account>, Error> {
    // Of the main account, which counts the caps; where there is none to be read the change is refused below.
    let main = services.account_record(id).ok().and_then(|found| main_of(&found.value).cloned());
    let _turn = main.map(|main| services.turns.wait(Table::Index, &keys::tally(&main)));
    services.change(context, || {
        let before = services.account_record(id)?;
        let (main, old) = of_sub_account(id, &before.value)?;
        context.must_match(before.revision)?;
        let (tally, tally_revision) = services.tally(main)?;
        let (new, last_owner) = numbered(services, caps, old, tally.last_owner)?;
        let after = AccountRecord { role: Role::Sub { main: main.clone(), caps: new }, ..before.value.clone() };
        let value = services.account(id.clone(), after.clone(), context.now)?;
        if after == before.value {
            return Ok(Plan::Unchanged { value, revision: before.revision });
        }
        let key = keys::account(id);
        let mut change = Change::new("account.caps", subject(id))
            .subject(subject(main))
            .detail("before", old)?
            .detail("after", caps_of(&after))?
            .expect(Table::Accounts, key.clone(), Some(before.revision))
            .put(Table::Accounts, key, &after)?;
        if last_owner != tally.last_owner {
            change = change.expect(Table::Index, keys::tally(main), tally_revision).put(
                Table::Index,
                keys::tally(main),
                Tally { last_owner, ..tally },
            )?;
        }
        Ok(Plan::Change { value, change })
    })
}

/// The caps of a sub-account, at the account's revision.
pub fn get(services: &Services, id: &AccountId) -> Result<Stored<Vec<CapRecord>>, Error> {
    let account = services.account_record(id)?;
    of_sub_account(id, &account.value)?;
    Ok(account.map(|record| caps_of(&record).to_vec()))
}

fn main_of(record: &AccountRecord) -> Option<&AccountId> {
    match &record.role {
        Role::Sub { main, .. } => Some(main),
        Role::Main { .. } => None,
    }
}

fn caps_of(record: &AccountRecord) -> &[CapRecord] {
    match &record.role {
        Role::Sub { caps, .. } => caps,
        Role::Main { .. } => &[],
    }
}

fn of_sub_account<'a>(id: &AccountId, record: &'a AccountRecord) -> Result<(&'a AccountId, &'a [CapRecord]), Error> {
    match &record.role {
        Role::Sub { main, caps } => Ok((main, caps)),
        Role::Main { .. } => Err(Error::conflict(
            "not_a_sub_account",
            format!("account {id:?} is a main account; caps are a sub-account's"),
        )),
    }
}

/// The caps with the numbers of their counters: a cap that stays keeps its own, a new one gets a fresh one.
fn numbered(
    services: &Services,
    caps: &BTreeMap<LimitKey, Quota>,
    old: &[CapRecord],
    mut last_owner: u64,
) -> Result<(Vec<CapRecord>, u64), Error> {
    let snapshot = services.engine.snapshot();
    let mut checks = Checks::default();
    if caps.len() > MAX_CAPS {
        checks.fail("/caps", "too_many", format!("at most {MAX_CAPS} caps are taken"));
    }
    let mut new = Vec::with_capacity(caps.len().min(MAX_CAPS));
    for (key, &quota) in caps.iter().take(MAX_CAPS) {
        let shape = match Misfit::check(&snapshot, key, quota) {
            Ok(shape) => shape,
            Err(misfit) => {
                let pointer = format!("/caps/{}~1{}", key.group.as_str(), key.limit.as_str());
                checks.fail(&pointer, misfit.code(), misfit.to_string());
                continue;
            }
        };
        let kept = old.iter().find(|cap| cap.group == key.group && cap.limit == key.limit).map(|cap| cap.owner);
        let owner = kept.unwrap_or_else(|| {
            last_owner += 1;
            last_owner
        });
        let LimitKey { group, limit } = key.clone();
        new.push(CapRecord { group, limit, shape: shape.into(), quota, owner });
    }
    checks.done()?;
    Ok((new, last_owner))
}
