//! What the records mean to the engine. Starting and following both go through here, so they cannot differ.

use super::records::{AccountRecord, CapRecord, Role};
use super::{Error, keys, stored};
use crate::domain::account::{MainFacts, Override, SubFacts};
use crate::domain::ids::AccountId;
use crate::domain::ledger::Timeline;
use crate::store::{AdminStore, Table};

/// An account as the engine takes it.
pub(super) enum Facts {
    Main(MainFacts),
    Sub { main: AccountId, facts: SubFacts },
}

/// `overrides` and `payments` are the main account's own.
pub(super) fn facts_of(record: &AccountRecord, overrides: Vec<Override>, payments: Timeline) -> Facts {
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
pub(super) fn read_facts(store: &dyn AdminStore, id: &AccountId) -> Result<Option<Facts>, Error> {
    let Some(account) = stored::read::<AccountRecord>(store, Table::Accounts, &keys::account(id))? else {
        return Ok(None);
    };
    Ok(Some(match account.value.role {
        Role::Main { .. } => facts_of(&account.value, overrides_of(store, id)?, payments_of(store, id)?),
        Role::Sub { .. } => facts_of(&account.value, Vec::new(), Timeline::default()),
    }))
}

/// The overrides of a main account that have not been revoked.
pub(super) fn overrides_of(_store: &dyn AdminStore, _main: &AccountId) -> Result<Vec<Override>, Error> {
    Ok(Vec::new())
}

/// What a main account's payments add up to. Payments are not taken yet, so nothing.
pub(super) fn payments_of(_store: &dyn AdminStore, _main: &AccountId) -> Result<Timeline, Error> {
    Ok(Timeline::default())
}
