//! The tier of an account as people see it, and pinning it.

use super::accounts::Account;
use super::checks::{Checks, tier_must_exist};
use super::commit::Deed;
use super::records::{AccountRecord, Act, PinRecord, Role};
use super::{Context, Done, Error, Services, Stored, ceilings};
use crate::domain::account::Pin;
use crate::domain::ids::{AccountId, PolicyId};
use crate::domain::ledger::Timeline;
use crate::domain::policy::Policy;
use crate::policy::tiers::{Eligibility, Standing, TierFacts, eligibility as eligibility_of, standing};
use serde::{Deserialize, Serialize};

/// A main account's tier and all that it comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TierView {
    /// The one in force.
    pub effective: PolicyId,
    /// Given with the account, else the policy's default.
    pub floor: PolicyId,
    /// Set by an operator, while it holds.
    pub pin: Option<PinRecord>,
    /// What payments and age reach.
    pub reached: PolicyId,
    /// Where what was reached is kept by grace alone: when the grace ends.
    pub granted_until_ms: Option<i64>,
}

/// A tier to set over everything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewPin {
    pub tier: PolicyId,
    /// None: until it is taken off.
    pub until_ms: Option<i64>,
    pub reason: String,
}

/// The tier of an account, its main account's for a sub-account, at the main account's revision.
pub fn get(services: &Services, id: &AccountId, now: i64) -> Result<Stored<TierView>, Error> {
    let (id, account) = main_of(services, id)?;
    let view = services.tier_of(&id, &account.value, now)?;
    Ok(account.map(|_| view))
}

/// What each tier takes of an account and what it has, its main account's for a sub-account.
#[derive(Debug, Clone, PartialEq)]
pub struct EligibilityView {
    pub tier: TierView,
    /// In the order of their ranks.
    pub tiers: Vec<(PolicyId, Eligibility)>,
}

/// How an account stands with every tier, at the main account's revision.
pub fn eligibility(services: &Services, id: &AccountId, now: i64) -> Result<Stored<EligibilityView>, Error> {
    let (id, account) = main_of(services, id)?;
    // INVARIANT: one policy and one set of payments for all of the answer.
    let (policy, payments) = (&services.engine.snapshot().policy, services.payments(&id));
    let tier = TierView::of(policy, &account.value, &payments, now).ok_or_else(|| Error::not_found("account", &id))?;
    let tiers = eligibility_of(policy, &payments, account.value.created_at_ms, now)
        .into_iter()
        .map(|eligibility| (policy.tiers[eligibility.tier].id.clone(), eligibility))
        .collect();
    Ok(account.map(|_| EligibilityView { tier, tiers }))
}

/// The main account that an account is or belongs to.
fn main_of(services: &Services, id: &AccountId) -> Result<(AccountId, Stored<AccountRecord>), Error> {
    let account = services.account_record(id)?;
    Ok(match &account.value.role {
        Role::Main { .. } => (id.clone(), account),
        Role::Sub { main, .. } => (main.clone(), services.main_record(main)?),
    })
}

/// Sets the tier of a main account whatever its payments reach; replaces the pin it has.
pub fn pin(services: &Services, context: &Context, id: &AccountId, new: &NewPin) -> Result<Done<Account>, Error> {
    services.change_account(context, id, Deed { action: "account.pin", reason: Some(&new.reason) }, |before| {
        services.main_record(id)?;
        context.must_match(before.revision)?;
        let mut checks = Checks::default();
        tier_must_exist(&mut checks, "/tier", Some(&new.tier), &services.engine.snapshot().policy);
        checks.ahead("/until", new.until_ms, context.now);
        checks.done()?;
        ceilings::check_tier(services, context, id, &new.tier)?;
        let set = Act::of(context, &new.reason);
        let pin = PinRecord { tier: new.tier.clone(), until_ms: new.until_ms, set };
        Ok(with_pin(&before.value, Some(pin)))
    })
}

/// Takes the pin off.
///
/// Errors: none is set.
pub fn unpin(
    services: &Services,
    context: &Context,
    id: &AccountId,
    reason: Option<&str>,
) -> Result<Done<Account>, Error> {
    services.change_account(context, id, Deed { action: "account.unpin", reason }, |before| {
        services.main_record(id)?;
        context.must_match(before.revision)?;
        if matches!(before.value.role, Role::Main { pin: None, .. }) {
            return Err(Error::not_found("the pin of account", id.as_str()));
        }
        Ok(with_pin(&before.value, None))
    })
}

fn with_pin(record: &AccountRecord, pin: Option<PinRecord>) -> AccountRecord {
    let mut record = record.clone();
    if let Role::Main { pin: held, .. } = &mut record.role {
        *held = pin;
    }
    record
}

/// None: a sub-account's record, which has its main account's tier.
pub(super) fn standing_of(policy: &Policy, record: &AccountRecord, payments: &Timeline, now: i64) -> Option<Standing> {
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

impl TierView {
    /// None: as [`standing_of`].
    pub(super) fn of(policy: &Policy, record: &AccountRecord, payments: &Timeline, now: i64) -> Option<Self> {
        let standing = standing_of(policy, record, payments, now)?;
        let Role::Main { pin, .. } = &record.role else { return None };
        let id = |tier: usize| policy.tiers[tier].id.clone();
        Some(Self {
            effective: id(standing.effective),
            floor: id(standing.floor),
            pin: pin.clone().filter(|pin| pin.to_pin().holds(now)),
            reached: id(standing.reached.tier),
            granted_until_ms: standing.reached.granted_until_ms,
        })
    }
}

impl PinRecord {
    #[must_use]
    pub fn to_pin(&self) -> Pin {
        Pin { tier: self.tier.clone(), until_ms: self.until_ms }
    }
}

impl Act {
    pub(super) fn of(context: &Context, reason: &str) -> Self {
        Self { at_ms: context.now, by: context.actor.clone(), reason: reason.to_owned() }
    }
}
