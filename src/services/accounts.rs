//! Main accounts, and what is common to them and sub-accounts: read, list, change, suspend, resume.

use super::checks::{Checks, tier_must_exist};
use super::commit::{Change, Deed, Plan};
use super::records::{AccountRecord, Act, Role};
use super::stored::{self, Stored};
use super::tier::TierView;
use super::{Context, Done, Error, Internal, Page, Paging, Services, ceilings, keys};
use crate::domain::ids::{AccountId, PolicyId};
use crate::engine::{AccountsFull, Place};
use crate::store::{Key, Table};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An account as people see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Account {
    pub id: AccountId,
    pub record: AccountRecord,
    /// Its main account's, for a sub-account.
    pub tier: TierView,
}

#[derive(Debug, Clone)]
pub struct NewAccount {
    pub id: AccountId,
    /// Its floor; None: the policy's default tier.
    pub tier: Option<PolicyId>,
    pub name: Option<String>,
    pub labels: BTreeMap<String, String>,
}

/// What an account brings along that was one elsewhere.
#[derive(Debug, Clone, Default)]
pub struct Past {
    /// Not in the future; None: now.
    pub created_at_ms: Option<i64>,
    /// Why it is suspended, where it is.
    pub suspended: Option<String>,
}

impl Past {
    pub(super) fn check(&self, checks: &mut Checks, now: i64) {
        if self.created_at_ms.is_some_and(|at| !(0..=now).contains(&at)) {
            checks.fail("/created_at", "out_of_range", "the time is before 1970 or in the future");
        }
        if let Some(reason) = &self.suspended {
            checks.reason("/suspension/reason", reason);
        }
    }
}

/// What is to be changed; a field that is None stays.
#[derive(Debug, Clone, Default)]
pub struct AccountPatch {
    /// The floor; `Some(None)`: back to the policy's default tier.
    pub tier: Option<Option<PolicyId>>,
    pub name: Option<Option<String>>,
    /// Replaces all.
    pub labels: Option<BTreeMap<String, String>>,
}

/// Every condition that is named must hold.
#[derive(Debug, Clone, Default)]
pub struct AccountFilter {
    /// In force now.
    pub tier: Option<PolicyId>,
    /// The account itself; a sub-account may be held up by its main account's.
    pub suspended: Option<bool>,
    pub parent: Option<AccountId>,
    pub id_prefix: Option<String>,
}

/// Creates a main account. What was used under its id before, as an account that was never created, stays used.
pub fn create(services: &Services, context: &Context, new: NewAccount) -> Result<Done<Account>, Error> {
    services.change(context, || services.plan_account(context, &new, &Past::default()))
}

pub fn get(services: &Services, id: &AccountId, now: i64) -> Result<Stored<Account>, Error> {
    let Stored { revision, value } = services.account_record(id)?;
    Ok(Stored { revision, value: services.account(id.clone(), value, now)? })
}

/// In the order of their ids, sub-accounts among the others.
pub fn list(
    services: &Services,
    filter: &AccountFilter,
    paging: &Paging,
    now: i64,
) -> Result<Page<Stored<Account>>, Error> {
    let beginning = filter.id_prefix.as_deref().unwrap_or_default();
    let of_parent = filter.parent.as_ref();
    let (table, prefix) = match of_parent {
        Some(main) => (Table::SubAccounts, Key::build().text(main.as_str()).text_beginning(beginning).finish()),
        None => (Table::Accounts, Key::build().text_beginning(beginning).finish()),
    };
    stored::page(&*services.store, (table, &prefix), paging, |key, found| {
        let mut parts = key.read();
        if of_parent.is_some() {
            parts.text();
        }
        let id = parts.text().and_then(|id| AccountId::parse(&id).ok()).ok_or_else(|| not_an_id(table, key))?;
        let account = match of_parent {
            None => stored::decode::<AccountRecord>(table, key, found)?,
            Some(_) => services.account_record(&id)?,
        };
        if filter.suspended.is_some_and(|wanted| wanted != account.value.suspended.is_some()) {
            return Ok(None);
        }
        let Stored { revision, value } = account;
        let account = services.account(id, value, now)?;
        let kept = filter.tier.as_ref().is_none_or(|tier| account.tier.effective == *tier);
        Ok(kept.then_some(Stored { revision, value: account }))
    })
}

pub fn patch(
    services: &Services,
    context: &Context,
    id: &AccountId,
    patch: &AccountPatch,
) -> Result<Done<Account>, Error> {
    services.change_account(context, id, Deed { action: "account.update", reason: None }, |before| {
        context.must_match(before.revision)?;
        let mut after = before.value.clone();
        let mut checks = Checks::default();
        if let Some(name) = &patch.name {
            checks.name("/name", name.as_deref());
            after.name.clone_from(name);
        }
        if let Some(labels) = &patch.labels {
            checks.labels("/labels", labels);
            after.labels.clone_from(labels);
        }
        if let Some(tier) = &patch.tier {
            tier_must_exist(&mut checks, "/tier", tier.as_ref(), &services.engine.snapshot().policy);
            match &mut after.role {
                Role::Main { floor, .. } => floor.clone_from(tier),
                Role::Sub { .. } => {
                    checks.fail("/tier", "misplaced", "a sub-account has its main account's tier");
                }
            }
        }
        checks.done()?;
        if let Some(tier) = &patch.tier {
            ceilings::check_floor(services, context, Some(id), tier.as_ref())?;
        }
        Ok(after)
    })
}

/// Denies everything the account asks for. A suspended one stays as it is.
pub fn suspend(services: &Services, context: &Context, id: &AccountId, reason: &str) -> Result<Done<Account>, Error> {
    services.change_account(context, id, Deed { action: "account.suspend", reason: Some(reason) }, |before| {
        let mut after = before.value.clone();
        after.suspended.get_or_insert_with(|| Act::of(context, reason));
        Ok(after)
    })
}

pub fn resume(services: &Services, context: &Context, id: &AccountId, reason: &str) -> Result<Done<Account>, Error> {
    services.change_account(context, id, Deed { action: "account.resume", reason: Some(reason) }, |before| {
        Ok(AccountRecord { suspended: None, ..before.value.clone() })
    })
}

/// What the audit log calls an account.
pub(super) fn subject(id: &AccountId) -> String {
    format!("account:{}", id.as_str())
}

impl Services {
    pub(super) fn plan_account(
        &self,
        context: &Context,
        new: &NewAccount,
        past: &Past,
    ) -> Result<Plan<Account>, Error> {
        let mut checks = Checks::default();
        checks.name("/name", new.name.as_deref());
        checks.labels("/labels", &new.labels);
        tier_must_exist(&mut checks, "/tier", new.tier.as_ref(), &self.engine.snapshot().policy);
        past.check(&mut checks, context.now);
        checks.done()?;
        self.must_be_free(&new.id)?;
        ceilings::check_floor(self, context, None, new.tier.as_ref())?;
        let record = AccountRecord {
            created_at_ms: past.created_at_ms.unwrap_or(context.now),
            name: new.name.clone(),
            labels: new.labels.clone(),
            suspended: past.suspended.as_deref().map(|reason| Act::of(context, reason)),
            role: Role::Main { floor: new.tier.clone(), pin: None },
        };
        let key = keys::account(&new.id);
        let change = Change::new("account.create", subject(&new.id))
            .detail("after", &record)?
            .expect(Table::Accounts, key.clone(), None)
            .put(Table::Accounts, key, &record)?
            .hold(self.place(&new.id)?);
        let change = self.with_due(change, &new.id, &record, context.now)?;
        Ok(Plan::Change { value: self.account(new.id.clone(), record, context.now)?, change })
    }

    pub(super) fn account_record(&self, id: &AccountId) -> Result<Stored<AccountRecord>, Error> {
        stored::read(&*self.store, Table::Accounts, &keys::account(id))?
            .ok_or_else(|| Error::not_found("account", id.as_str()))
    }

    /// Errors: there is no such account, or it is a sub-account.
    pub(super) fn main_record(&self, id: &AccountId) -> Result<Stored<AccountRecord>, Error> {
        let account = self.account_record(id)?;
        match &account.value.role {
            Role::Main { .. } => Ok(account),
            Role::Sub { main, .. } => Err(Error::conflict(
                "not_a_main_account",
                format!("account {id:?} is a sub-account; this goes to its main account {main:?}"),
            )),
        }
    }

    pub(super) fn must_be_free(&self, id: &AccountId) -> Result<(), Error> {
        match self.store.get(Table::Accounts, &keys::account(id))? {
            Some(_) => Err(Error::conflict("account_exists", format!("account {id:?} exists already"))),
            None => Ok(()),
        }
    }

    /// A place for an account, so that one that is acknowledged is always taken.
    ///
    /// A place in memory and not a record that all creations would contend for: they share one sync of the disk.
    pub(super) fn place(&self, id: &AccountId) -> Result<Place, Error> {
        self.engine
            .hold_place(id)
            .map_err(|AccountsFull| Error::TableFull { what: "accounts", most: self.engine.most_accounts() })
    }

    pub(super) fn account(&self, id: AccountId, record: AccountRecord, now: i64) -> Result<Account, Error> {
        let tier = self.tier_of(&id, &record, now)?;
        Ok(Account { id, record, tier })
    }

    pub(super) fn tier_of(&self, id: &AccountId, record: &AccountRecord, now: i64) -> Result<TierView, Error> {
        let main = match &record.role {
            Role::Main { .. } => None,
            Role::Sub { main, .. } => Some((main, self.main_record(main)?.value)),
        };
        let (id, record) = main.as_ref().map_or((id, record), |(id, record)| (*id, record));
        let payments = self.payments(id);
        TierView::of(&self.engine.snapshot().policy, record, &payments, now)
            .ok_or_else(|| not_an_id(Table::Accounts, &keys::account(id)))
    }

    /// Makes another record of an account's; the same record is no change.
    pub(super) fn change_account(
        &self,
        context: &Context,
        id: &AccountId,
        deed: Deed<'_>,
        make: impl Fn(&Stored<AccountRecord>) -> Result<AccountRecord, Error>,
    ) -> Result<Done<Account>, Error> {
        self.change(context, || {
            let before = self.account_record(id)?;
            let mut checks = Checks::default();
            if let Some(reason) = deed.reason {
                checks.reason("/reason", reason);
            }
            checks.done()?;
            let after = make(&before)?;
            let value = self.account(id.clone(), after.clone(), context.now)?;
            if after == before.value {
                return Ok(Plan::Unchanged { value, revision: before.revision });
            }
            let key = keys::account(id);
            let mut change = Change::new(deed.action, subject(id));
            if let Role::Sub { main, .. } = &after.role {
                change = change.subject(subject(main));
            }
            let change = change
                .detail("reason", deed.reason)?
                .detail("before", &before.value)?
                .detail("after", &after)?
                .expect(Table::Accounts, key.clone(), Some(before.revision))
                .put(Table::Accounts, key, &after)?;
            let change = self.with_due(change, id, &after, context.now)?;
            Ok(Plan::Change { value, change })
        })
    }
}

fn not_an_id(table: Table, key: &Key) -> Error {
    Internal::Record { table, key: key.clone(), why: "it does not lead to a main account".to_owned() }.into()
}
