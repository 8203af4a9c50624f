//! Sub-accounts: accounts that spend their main account's buckets.

use super::accounts::{Account, subject};
use super::checks::Checks;
use super::commit::{Change, Plan};
use super::records::{AccountRecord, Role, Tally};
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
    services.change(context, || {
        services.main_record(main)?;
        let mut checks = Checks::default();
        checks.name("/name", new.name.as_deref());
        checks.labels("/labels", &new.labels);
        checks.done()?;
        services.must_be_free(&new.id)?;
        if services.engine.is_stranger(new.id.as_str()) == Some(true) {
            let detail = format!(
                "requests of account {:?} were allowed although it was never created, so it has usage of its own: take \
                 another id, or create it as a main account",
                new.id
            );
            return Err(Error::conflict("account_exists", detail));
        }
        let (tally, tally_revision) = services.tally(main)?;
        if tally.sub_accounts >= MAX_SUB_ACCOUNTS {
            return Err(Error::TableFull { what: "sub-accounts", most: MAX_SUB_ACCOUNTS as usize });
        }
        let record = AccountRecord {
            created_at_ms: context.now,
            name: new.name.clone(),
            labels: new.labels.clone(),
            suspended: None,
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
            .hold(services.place(&new.id)?);
        Ok(Plan::Change { value: services.account(new.id.clone(), record, context.now)?, change })
    })
}

impl Services {
    /// The counts of a main account, and the revision they are at.
    pub(super) fn tally(&self, main: &AccountId) -> Result<(Tally, Option<u64>), Error> {
        let found = stored::read::<Tally>(&*self.store, Table::Index, &keys::tally(main))?;
        Ok(found.map_or_else(Default::default, |Stored { revision, value }| (value, Some(revision))))
    }
}
