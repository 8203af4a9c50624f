//! Which accounts there are, and how many there may be.
//!
//! The engine is told of an account that was created; one that was not it makes by itself where
//! [`super::UnknownAccounts`] says so: a stranger. Both take a place. A main account that is created under a
//! stranger's id takes the record over with its usage, so creating one gives nobody a fresh quota. A sub-account
//! spends another's buckets, so the stranger's usage goes, its reservations with it.

use super::Engine;
use super::record::Record;
use super::shards::{AccountsFull, Room};
use crate::domain::account::{MainFacts, SubFacts};
use crate::domain::ids::AccountId;
use std::sync::Arc;

/// A place held for an account that is being created; dropping it lets go.
///
/// INVARIANT: it is held until the engine was told of the account, or it is known that it never will be.
pub struct Place {
    engine: Arc<Engine>,
    id: AccountId,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.engine.shards.let_go(&self.id);
    }
}

impl Engine {
    /// Creates a main account or replaces its facts; usage stays. False: the id is a sub-account's.
    pub fn put_main(&self, id: &AccountId, facts: MainFacts) -> Result<bool, AccountsFull> {
        self.main(id, facts, Room::Needed)
    }

    /// Creates a sub-account or replaces its facts. False: there is no such main account, or the id is taken.
    pub fn put_sub(&self, id: &AccountId, main: &AccountId, facts: SubFacts) -> Result<bool, AccountsFull> {
        self.sub(id, main, facts, Room::Needed)
    }

    /// The same as [`Self::put_main`] for an account that was acknowledged: a full table is no reason to refuse it.
    #[must_use]
    pub fn follow_main(&self, id: &AccountId, facts: MainFacts) -> bool {
        self.main(id, facts, Room::Given).unwrap_or_default()
    }

    /// The same as [`Self::put_sub`] for an account that was acknowledged: a full table is no reason to refuse it.
    #[must_use]
    pub fn follow_sub(&self, id: &AccountId, main: &AccountId, facts: SubFacts) -> bool {
        self.sub(id, main, facts, Room::Given).unwrap_or_default()
    }

    fn main(&self, id: &AccountId, facts: MainFacts, room: Room) -> Result<bool, AccountsFull> {
        let created_at = facts.created_at_ms;
        let put = self.shards.with_made(
            id,
            room,
            || Record::new(id.clone(), created_at),
            |record, _| {
                record.set_facts(facts);
                (true, ())
            },
        )?;
        Ok(put.is_some())
    }

    fn sub(&self, id: &AccountId, main: &AccountId, facts: SubFacts, room: Room) -> Result<bool, AccountsFull> {
        // A stranger may give way to a sub-account, so it has none of its own.
        if self.is_stranger(main.as_str()) != Some(false) || !self.shards.add_sub(id, main, room)? {
            return Ok(false);
        }
        Ok(self.shards.with_main(main.as_str(), |record| record.set_sub(id.clone(), facts)).is_some())
    }

    /// Holds a place for an account that is to be created, so that it can be acknowledged.
    pub fn hold_place(self: &Arc<Self>, id: &AccountId) -> Result<Place, AccountsFull> {
        self.shards.hold(id)?;
        Ok(Place { engine: Arc::clone(self), id: id.clone() })
    }

    /// Whether a main account was made by the engine itself. None: there is no main account of this id.
    #[must_use]
    pub fn is_stranger(&self, main: &str) -> Option<bool> {
        self.shards.with_main(main, |record| record.is_stranger())
    }

    /// The main account of a known account.
    #[must_use]
    pub fn main_of(&self, account: &str) -> Option<AccountId> {
        self.shards.main_of(account)
    }

    /// Known accounts, main and sub together; those that are being created count already.
    #[must_use]
    pub fn accounts(&self) -> usize {
        self.shards.taken()
    }

    /// The most of them there may be; more only where more were acknowledged under a larger maximum.
    #[must_use]
    pub fn most_accounts(&self) -> usize {
        self.options.most_accounts
    }
}
