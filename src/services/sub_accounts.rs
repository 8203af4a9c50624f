//! Sub-accounts: accounts that spend their main account's buckets.

use super::accounts::{Account, Past, subject};
use super::checks::Checks;
use super::commit::{Change, Plan};
use super::records::{AccountRecord, Act, Role, Tally};
use super::stored::{self, Stored};
use super::{Context, Done, Error, MAX_SUB_ACCOUNTS, Services, keys};
use crate::domain::ids::AccountId;
use crate::store::Table;
use serde_json::json;
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
pub struct NewSubAccount {
    pub id: AccountId,
    pub name: Option<String>,
    pub labels: BTreeMap<String, String>,
}

/// Makes a sub-account of `main`. They are listed by [`super::accounts::list`] with a parent.
///
/// An id under which requests were allowed although it was never created is refused: that usage would be lost. Where
/// the first of them comes in after that was looked at, it is lost all the same, for the sub-account is on its way.
pub fn create(
    services: &Services,
    context: &Context,
    main: &AccountId,
    new: NewSubAccount,
) -> Result<Done<Account>, Error> {
    let _turn = services.turns.wait(Table::Index, &keys::tally(main));
    services.change(context, || services.plan_sub_account(context, main, &new, &Past::default()))
}

impl Services {
    pub(super) fn plan_sub_account(
        &self,
        context: &Context,
        main: &AccountId,
        new: &NewSubAccount,
        past: &Past,
    ) -> Result<Plan<Account>, Error> {
        self.main_record(main)?;
        let mut checks = Checks::default();
        checks.name("/name", new.name.as_deref());
        checks.labels("/labels", &new.labels);
        past.check(&mut checks, context.now);
        checks.done()?;
        self.must_be_free(&new.id)?;
        if self.engine.is_stranger(new.id.as_str()) == Some(true) {
            return Err(has_usage(&new.id));
        }
        let (tally, tally_revision) = self.tally(main)?;
        if tally.sub_accounts >= MAX_SUB_ACCOUNTS {
            return Err(Error::TableFull { what: "sub-accounts", most: MAX_SUB_ACCOUNTS as usize });
        }
        let record = AccountRecord {
            created_at_ms: past.created_at_ms.unwrap_or(context.now),
            name: new.name.clone(),
            labels: new.labels.clone(),
            suspended: past.suspended.as_deref().map(|reason| Act::of(context, reason)),
            role: Role::Sub { main: main.clone(), caps: Vec::new() },
        };
        let key = keys::account(&new.id);
        let change = Change::new("account.create", subject(&new.id))
            .subject(subject(main))
            .detail("after", &record)?
            .expect(Table::Accounts, key.clone(), None)
            .expect(Table::Index, keys::tally(main), tally_revision)
            .put(Table::Accounts, key, &record)?
            .put(Table::SubAccounts, keys::sub_account(main, &new.id), json!({}))?
            .put(Table::Index, keys::tally(main), Tally { sub_accounts: tally.sub_accounts + 1, ..tally })?
            .hold(self.place(&new.id)?);
        Ok(Plan::Change { value: self.account(new.id.clone(), record, context.now)?, change })
    }

    /// The counts of a main account, and the revision they are at.
    pub(super) fn tally(&self, main: &AccountId) -> Result<(Tally, Option<u64>), Error> {
        let found = stored::read::<Tally>(&*self.store, Table::Index, &keys::tally(main))?;
        Ok(found.map_or_else(Default::default, |Stored { revision, value }| (value, Some(revision))))
    }
}

pub(super) fn has_usage(id: &AccountId) -> Error {
    let detail = format!(
        "requests of account {id:?} were allowed although it was never created, so it has usage of its own: take \
         another id, or create it as a main account"
    );
    Error::conflict("account_exists", detail)
}
