//! Tiers that change by time alone: a grace that ends, an age that is reached, a pin that runs out.
//!
//! They act by comparison with `now`, whoever looks. This only notices them, for the audit log: `due` has a row for the
//! time of each account's next change, kept with every change of what it depends on.

use super::accounts::subject;
use super::commit::{Change, Plan};
use super::records::{AccountRecord, DueOf, PinRecord, Role};
use super::stored::{self, Stored};
use super::{Context, Error, Services, keys};
use crate::domain::ids::{AccountId, PolicyId};
use crate::domain::ledger::Timeline;
use crate::domain::policy::Policy;
use crate::policy::tiers::{Standing, TierFacts, standing};
use crate::store::{Key, MAX_SCAN, Table};
use serde_json::{Value, json};

/// Changes that one call looks at; what is left is for the next one.
const MAX_NOTICED: usize = 5_000;
/// Accounts whose times are put right in one commit.
const SWEPT_AT_ONCE: usize = 200;

/// Writes an audit entry for each tier that has changed by time alone since it was last looked. Returns how many had.
pub fn notice(services: &Services, now: i64) -> Result<usize, Error> {
    let mut changed = 0;
    let mut seen = 0;
    while seen < MAX_NOTICED {
        let rows = services.store.scan(Table::Due, &Key::empty(), None, MAX_SCAN)?;
        let come = rows.into_iter().filter_map(|(row, _)| keys::due_parts(&row)).take_while(|(at, _)| *at <= now);
        let come: Vec<(i64, AccountId)> = come.collect();
        if come.is_empty() {
            break;
        }
        for (at, main) in come {
            changed += usize::from(services.notice_one(at, &main, now)?);
            seen += 1;
        }
    }
    Ok(changed)
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
        services.sweep(&rows.into_iter().map(|(key, _)| key).collect::<Vec<_>>(), now)?;
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

/// Whether two policies grant tiers by the same rules.
pub(super) fn same_rules(a: &Policy, b: &Policy) -> bool {
    let rules = |policy: &Policy| {
        let tiers = policy.tiers.iter().map(|tier| (tier.id.clone(), tier.reached_by.clone(), tier.grace_ms));
        (policy.default_tier, tiers.collect::<Vec<_>>())
    };
    rules(a) == rules(b)
}

/// None: a sub-account, which has its main account's tier.
fn standing_of(policy: &Policy, record: &AccountRecord, payments: &Timeline, now: i64) -> Option<Standing> {
    let Role::Main { floor, pin } = &record.role else { return None };
    let pin = pin.as_ref().map(PinRecord::to_pin);
    let facts = TierFacts {
        created_at_ms: record.created_at_ms,
        floor: floor.as_ref(),
        pin: pin.as_ref(),
        payments: Some(payments),
    };
    Some(standing(policy, facts, now))
}

/// Why a tier changed at a time.
fn cause(before: &Standing, after: &Standing, at: i64) -> &'static str {
    match () {
        () if before.pinned != after.pinned => "pin_ended",
        () if before.reached.granted_until_ms == Some(at) => "grace_ended",
        () if after.reached.tier > before.reached.tier => "reached",
        () => "payment",
    }
}

impl Services {
    /// Adds to a change of an account's facts the time when its tier changes next by time alone.
    pub(super) fn with_due(
        &self,
        change: Change,
        id: &AccountId,
        (record, payments): (&AccountRecord, &Timeline),
        now: i64,
    ) -> Result<Change, Error> {
        let policy = &self.engine.snapshot().policy;
        let Some(standing) = standing_of(policy, record, payments, now) else { return Ok(change) };
        let next = Some(standing.until_ms).filter(|&at| at < i64::MAX);
        let held = stored::read::<DueOf>(&*self.store, Table::Index, &keys::due_of(id))?.map(|held| held.value.at_ms);
        due_at(change, id, held, next)
    }

    fn notice_one(&self, at: i64, main: &AccountId, now: i64) -> Result<bool, Error> {
        let row = keys::due(at, main);
        let done = self.change(&Context::system(now), || {
            let Some(due) = stored::read::<Value>(&*self.store, Table::Due, &row)? else {
                return Ok(Plan::Unchanged { value: false, revision: 0 });
            };
            let held = stored::read::<DueOf>(&*self.store, Table::Index, &keys::due_of(main))?;
            let account = self.main_record(main)?.value;
            let payments = self.payments(main);
            let policy = &self.engine.snapshot().policy;
            let at_time = |time| standing_of(policy, &account, &payments, time);
            let (Some(before), Some(after)) = (at_time(at.saturating_sub(1)), at_time(at)) else {
                return Ok(Plan::Unchanged { value: false, revision: 0 });
            };
            let changed = before.effective != after.effective;
            let action = if changed { "account.tier_changed" } else { "account.tier_checked" };
            let id = |tier: usize| -> &PolicyId { &policy.tiers[tier].id };
            let mut change = Change::new(action, subject(main))
                .detail("at_ms", at)?
                .expect(Table::Due, row.clone(), Some(due.revision))
                .expect(Table::Index, keys::due_of(main), held.as_ref().map(|held| held.revision));
            if changed {
                change = change
                    .detail("tier", json!({"before": id(before.effective), "after": id(after.effective)}))?
                    .detail("cause", cause(&before, &after, at))?;
            }
            let next = Some(after.until_ms).filter(|&next| next < i64::MAX);
            let held = held.map(|held| held.value.at_ms);
            // A row that nothing leads to any more is from a change that came in between: it only goes.
            let change = if held == Some(at) {
                due_at(change, main, held, next)?
            } else {
                change.delete(Table::Due, row.clone())
            };
            Ok(Plan::Change { value: changed, change })
        })?;
        Ok(done.value)
    }

    fn sweep(&self, accounts: &[Key], now: i64) -> Result<(), Error> {
        self.change(&Context::system(now), || {
            let mut change = Change::new("tiers.due", "policy:active".to_owned());
            for key in accounts {
                let Some(Stored { value, .. }) = stored::read::<AccountRecord>(&*self.store, Table::Accounts, key)? else {
                    continue;
                };
                let id = super::boot::account_id(key)?;
                let payments = self.payments(&id);
                change = self.with_due(change, &id, (&value, &payments), now)?;
            }
            if change.is_empty() {
                return Ok(Plan::Unchanged { value: (), revision: 0 });
            }
            Ok(Plan::Change { value: (), change })
        })?;
        Ok(())
    }
}

fn due_at(mut change: Change, id: &AccountId, held: Option<i64>, next: Option<i64>) -> Result<Change, Error> {
    if held == next {
        return Ok(change);
    }
    if let Some(held) = held {
        change = change.delete(Table::Due, keys::due(held, id));
    }
    match next {
        Some(at_ms) => change
            .put(Table::Due, keys::due(at_ms, id), json!({}))?
            .put(Table::Index, keys::due_of(id), DueOf { at_ms }),
        None => Ok(change.delete(Table::Index, keys::due_of(id))),
    }
}
