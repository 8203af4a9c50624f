//! Tiers that change by time alone: a grace that ends, an age that is reached, a pin that runs out.
//!
//! They act by comparison with `now`, whoever looks. This only notices them, for the audit log: `due` has a row for the
//! time of each account's next change, kept with every change of what it depends on.

use super::accounts::subject;
use super::commit::{Change, Plan};
use super::payments::bring_up;
use super::records::{AccountRecord, DueOf, LedgerEnd, Role};
use super::stored::{self, Stored};
use super::tier::standing_of;
use super::{Context, Error, Services, keys};
use crate::domain::ids::{AccountId, PolicyId};
use crate::domain::ledger::Timeline;
use crate::domain::policy::Policy;
use crate::policy::tiers::Standing;
use crate::store::{Key, MAX_SCAN, Table};
use serde_json::{Value, json};
use std::sync::Arc;

const PAYMENT: &str = "payment";
/// Changes that one call looks at; what is left is for the next one.
const MAX_NOTICED: usize = 5_000;
/// Accounts whose times are put right in one commit.
const SWEPT_AT_ONCE: usize = 200;

/// Writes an audit entry for each tier that has changed by time alone since it was last looked, and calls
/// `changed` for each.
pub fn notice(services: &Services, now: i64, mut changed: impl FnMut()) -> Result<(), Error> {
    let mut seen = 0;
    while seen < MAX_NOTICED {
        let rows = services.store.scan(Table::Due, &Key::empty(), None, MAX_SCAN)?;
        let come = rows.into_iter().filter_map(|(row, _)| keys::due_parts(&row)).take_while(|(at, _)| *at <= now);
        let come: Vec<(i64, AccountId)> = come.collect();
        if come.is_empty() {
            break;
        }
        for (at, main) in come {
            if services.notice_one(at, &main, now)? {
                changed();
            }
            seen += 1;
        }
    }
    Ok(())
}

/// Works out all times in `due` anew where the rules of tiers have changed. Does nothing where they have not.
pub fn catch_up(services: &Services, now: i64) -> Result<(), Error> {
    let Some(pending) = stored::read::<Value>(&*services.store, Table::Meta, &keys::due_pending())? else {
        return Ok(());
    };
    let mut after = None;
    loop {
        let rows = services.store.scan(Table::Accounts, &Key::empty(), after.as_ref(), SWEPT_AT_ONCE)?;
        after = rows.last().map(|(key, _)| key.clone());
        let last = rows.len() < SWEPT_AT_ONCE;
        let keys: Vec<Key> = rows.into_iter().map(|(key, _)| key).collect();
        match services.sweep(&keys, now) {
            // Where so many at once never stand still, one at a time does.
            Err(Error::Busy) => keys.chunks(1).try_for_each(|one| services.sweep(one, now))?,
            swept => swept?,
        }
        if last {
            break;
        }
    }
    services.change(&Context::system(now), || {
        let change = Change::new("tiers.due", "policy:active".to_owned())
            .expect(Table::Meta, keys::due_pending(), Some(pending.revision))
            .delete(Table::Meta, keys::due_pending());
        Ok(Plan::Change { value: (), change })
    })?;
    Ok(())
}

/// What the time of a main account's next change rests on, besides its own record, as it was read at one moment.
pub(super) struct Basis {
    pub policy: Arc<Policy>,
    /// Of all entries up to `ledger`; copied where the engine still has it too.
    pub payments: Arc<Timeline>,
    pub ledger: LedgerEnd,
    ledger_revision: Option<u64>,
    /// Of the mark that the rules have changed.
    rules_revision: Option<u64>,
    held: Option<Stored<DueOf>>,
}

impl Basis {
    /// The change is made only if all of it still is so.
    fn expected_by(&self, change: Change, id: &AccountId) -> Change {
        change
            .expect(Table::Meta, keys::due_pending(), self.rules_revision)
            .expect(Table::Index, keys::ledger_end(id), self.ledger_revision)
            .expect(Table::Index, keys::due_of(id), self.held.as_ref().map(|held| held.revision))
    }

    fn held_ms(&self) -> Option<i64> {
        self.held.as_ref().map(|held| held.value.at_ms)
    }
}

/// Whether two policies grant tiers by the same rules.
pub(super) fn same_rules(a: &Policy, b: &Policy) -> bool {
    let rules = |policy: &Policy| {
        let tiers = policy.tiers.iter().map(|tier| (tier.id.clone(), tier.reached_by.clone(), tier.grace_ms));
        (policy.default_tier, tiers.collect::<Vec<_>>())
    };
    rules(a) == rules(b)
}

/// Why a tier changed at a time.
fn cause(before: &Standing, after: &Standing, payments: &Timeline, at: i64) -> &'static str {
    match () {
        () if before.pinned != after.pinned => "pin_ended",
        () if before.reached.granted_until_ms == Some(at) => "grace_ended",
        () if payments.moments().binary_search_by_key(&at, |moment| moment.at_ms).is_ok() => PAYMENT,
        () => "age_reached",
    }
}

impl Services {
    pub(super) fn tier_basis(&self, id: &AccountId) -> Result<Basis, Error> {
        // ORDER: the mark before the pointer, which is written before it.
        let rules_revision = self.store.get(Table::Meta, &keys::due_pending())?.map(|found| found.revision);
        let policy = match self.active()? {
            None => Arc::clone(&self.engine.snapshot().policy),
            Some(active) => self.policy_at(active.value.revision)?,
        };
        let ledger = stored::read::<LedgerEnd>(&*self.store, Table::Index, &keys::ledger_end(id))?;
        let (ledger, ledger_revision) = match ledger {
            None => (LedgerEnd::default(), None),
            Some(Stored { revision, value }) => (value, Some(revision)),
        };
        let mut payments = self.payments(id);
        // The store may be ahead of the engine by what was committed just now.
        if payments.events() < ledger.entries {
            bring_up(&*self.store, id, Arc::make_mut(&mut payments), ledger.entries)?;
        }
        let held = stored::read::<DueOf>(&*self.store, Table::Index, &keys::due_of(id))?;
        Ok(Basis { policy, payments, ledger, ledger_revision, rules_revision, held })
    }

    /// Adds to a change of an account's record the time when its tier changes next by time alone.
    pub(super) fn with_due(
        &self,
        change: Change,
        id: &AccountId,
        record: &AccountRecord,
        now: i64,
    ) -> Result<Change, Error> {
        match record.role {
            Role::Sub { .. } => Ok(change),
            Role::Main { .. } => with_due_by(change, id, record, &self.tier_basis(id)?, now),
        }
    }

    fn notice_one(&self, at: i64, main: &AccountId, now: i64) -> Result<bool, Error> {
        let row = keys::due(at, main);
        let done = self.change(&Context::system(now), || {
            let Some(due) = stored::read::<Value>(&*self.store, Table::Due, &row)? else {
                return Ok(Plan::Unchanged { value: false, revision: 0 });
            };
            let basis = self.tier_basis(main)?;
            let account = self.main_record(main)?;
            let at_time = |time| standing_of(&basis.policy, &account.value, &basis.payments, time);
            let (Some(before), Some(after)) = (at_time(at.saturating_sub(1)), at_time(at)) else {
                return Ok(Plan::Unchanged { value: false, revision: 0 });
            };
            let cause = cause(&before, &after, &basis.payments, at);
            let told = cause == PAYMENT && self.told_by_payments(main, at)?;
            let changed = before.effective != after.effective && !told;
            let action = if changed { "account.tier_changed" } else { "account.tier_checked" };
            let id = |tier: usize| -> &PolicyId { &basis.policy.tiers[tier].id };
            let mut change = basis
                .expected_by(Change::new(action, subject(main)), main)
                .detail("at_ms", at)?
                .expect(Table::Accounts, keys::account(main), Some(account.revision))
                .expect(Table::Due, row.clone(), Some(due.revision))
                .delete(Table::Due, row.clone());
            if changed {
                change = change
                    .detail("tier", json!({"before": id(before.effective), "after": id(after.effective)}))?
                    .detail("cause", cause)?;
            }
            let next = Some(after.until_ms).filter(|&next| next < i64::MAX);
            let change = match next {
                _ if basis.held_ms() == Some(at) => lead_to(change, main, next)?,
                // A change came in between and leads to what comes after it; this is from before.
                Some(next) if next <= now => change.put(Table::Due, keys::due(next, main), json!({}))?,
                _ => change,
            };
            Ok(Plan::Change { value: changed, change })
        })?;
        Ok(done.value)
    }

    fn sweep(&self, accounts: &[Key], now: i64) -> Result<(), Error> {
        self.change(&Context::system(now), || {
            let mut change = Change::new("tiers.due", "policy:active".to_owned());
            for key in accounts {
                let account = stored::read::<AccountRecord>(&*self.store, Table::Accounts, key)?;
                let Some(Stored { revision, value }) = account else { continue };
                let id = super::boot::account_id(key)?;
                change = self.with_due(change, &id, &value, now)?;
                change = change.expect(Table::Accounts, key.clone(), Some(revision));
            }
            if change.is_empty() {
                return Ok(Plan::Unchanged { value: (), revision: 0 });
            }
            Ok(Plan::Change { value: (), change })
        })?;
        Ok(())
    }
}

/// Adds to a change when the tier changes next by time alone, once the account's record and payments are as given.
///
/// The change has to expect the record at the revision at which it was read.
pub(super) fn with_due_by(
    change: Change,
    id: &AccountId,
    record: &AccountRecord,
    basis: &Basis,
    now: i64,
) -> Result<Change, Error> {
    let Some(standing) = standing_of(&basis.policy, record, &basis.payments, now) else { return Ok(change) };
    let next = Some(standing.until_ms).filter(|&at| at < i64::MAX);
    let change = basis.expected_by(change, id);
    match basis.held_ms() {
        held if held == next => Ok(change),
        // What has come already stays for those who notice it.
        Some(held) if held > now => lead_to(change.delete(Table::Due, keys::due(held, id)), id, next),
        _ => lead_to(change, id, next),
    }
}

fn lead_to(change: Change, id: &AccountId, next: Option<i64>) -> Result<Change, Error> {
    match next {
        Some(at_ms) => change.put(Table::Due, keys::due(at_ms, id), json!({}))?.put(
            Table::Index,
            keys::due_of(id),
            DueOf { at_ms },
        ),
        None => Ok(change.delete(Table::Index, keys::due_of(id))),
    }
}
