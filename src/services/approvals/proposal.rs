//! The operations that may wait for a second operator.

use super::ApprovalView;
use crate::domain::ids::{AccountId, OperatorName};
use crate::services::accounts::{self, Account};
use crate::services::operators::{self, Action, OperatorPatch, OperatorView, Role};
use crate::services::overrides::{self, NewOverride, OverrideView};
use crate::services::policies::{self, NewRevision, Published};
use crate::services::tier::{self, NewPin};
use crate::services::tiers::{self, NewTierQuota};
use crate::services::{Context, Done, Error, FieldError, Services, ceilings};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What an operation came to.
#[derive(Debug)]
pub enum Asked<T> {
    Done(Done<T>),
    /// Nothing is done before a second operator approves it.
    Waits(Box<Done<ApprovalView>>),
}

/// An operation that waits for a second operator where the settings say so.
pub trait Held {
    type Made: Serialize + DeserializeOwned;

    /// Whether it has to wait, asked for by an operator or a key.
    ///
    /// Errors: what it is about does not exist.
    fn needs_second(&self, services: &Services, context: &Context) -> Result<bool, Error>;

    fn run(&self, services: &Services, context: &Context) -> Result<Done<Self::Made>, Error>;

    /// What is kept of it.
    ///
    /// Errors: a part of it must not be kept.
    fn proposal(&self) -> Result<Proposal, Error>;
}

/// What is kept of an operation that waits, by the operation's id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "operation", content = "request")]
pub enum Proposal {
    #[serde(rename = "publishPolicy")]
    Publish(NewRevision),
    #[serde(rename = "activateRevision")]
    Activate(Activate),
    #[serde(rename = "setTierQuota")]
    SetTierQuota(NewTierQuota),
    #[serde(rename = "createOverride")]
    CreateOverride(Override),
    #[serde(rename = "pinAccountTier")]
    Pin(TierPin),
    #[serde(rename = "updateOperator")]
    ChangeOperator(Grant),
}

/// An earlier revision to activate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activate {
    pub revision: u64,
    /// May be empty.
    pub reason: String,
}

/// An override to make.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Override(pub NewOverride);

/// A tier to set over everything else, for one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierPin {
    pub account: AccountId,
    #[serde(flatten)]
    pub pin: NewPin,
}

/// What to change of an operator.
#[derive(Debug, Clone)]
pub struct OperatorChange {
    pub name: OperatorName,
    pub patch: OperatorPatch,
}

/// The part of [`OperatorChange`] that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub name: OperatorName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling_percent: Option<u32>,
}

impl Held for NewRevision {
    type Made = Published;

    fn needs_second(&self, services: &Services, _: &Context) -> Result<bool, Error> {
        Ok(services.four_eyes.publish)
    }

    fn run(&self, services: &Services, context: &Context) -> Result<Done<Published>, Error> {
        policies::publish(services, context, self)
    }

    fn proposal(&self) -> Result<Proposal, Error> {
        Ok(Proposal::Publish(self.clone()))
    }
}

impl Held for Activate {
    type Made = Published;

    fn needs_second(&self, services: &Services, _: &Context) -> Result<bool, Error> {
        Ok(services.four_eyes.publish)
    }

    fn run(&self, services: &Services, context: &Context) -> Result<Done<Published>, Error> {
        policies::activate(services, context, self.revision, &self.reason)
    }

    fn proposal(&self) -> Result<Proposal, Error> {
        Ok(Proposal::Activate(self.clone()))
    }
}

impl Held for NewTierQuota {
    type Made = Published;

    fn needs_second(&self, services: &Services, _: &Context) -> Result<bool, Error> {
        Ok(services.four_eyes.publish)
    }

    fn run(&self, services: &Services, context: &Context) -> Result<Done<Published>, Error> {
        tiers::set_quota(services, context, self)
    }

    fn proposal(&self) -> Result<Proposal, Error> {
        Ok(Proposal::SetTierQuota(self.clone()))
    }
}

impl Held for Override {
    type Made = OverrideView;

    fn needs_second(&self, services: &Services, context: &Context) -> Result<bool, Error> {
        let NewOverride { account, key, quota, .. } = &self.0;
        let above = || ceilings::check_quota(services, &held_to_usual(context), account, (key, *quota));
        Ok(services.four_eyes.overrides && is_above(above())?)
    }

    fn run(&self, services: &Services, context: &Context) -> Result<Done<OverrideView>, Error> {
        overrides::create(services, context, &self.0)
    }

    fn proposal(&self) -> Result<Proposal, Error> {
        Ok(Proposal::CreateOverride(self.clone()))
    }
}

impl Held for TierPin {
    type Made = Account;

    fn needs_second(&self, services: &Services, context: &Context) -> Result<bool, Error> {
        let above = || ceilings::check_tier(services, &held_to_usual(context), &self.account, &self.pin.tier);
        Ok(services.four_eyes.overrides && is_above(above())?)
    }

    fn run(&self, services: &Services, context: &Context) -> Result<Done<Account>, Error> {
        tier::pin(services, context, &self.account, &self.pin)
    }

    fn proposal(&self) -> Result<Proposal, Error> {
        Ok(Proposal::Pin(self.clone()))
    }
}

impl Held for OperatorChange {
    type Made = OperatorView;

    fn needs_second(&self, services: &Services, context: &Context) -> Result<bool, Error> {
        let grants = self.patch.role.is_some() || self.patch.ceiling_percent.is_some();
        if services.four_eyes.roles && self.patch.password.is_some() && context.actor != self.name.as_str() {
            // Else one could be two.
            let detail = "here nobody sets the password of another: on the server's machine it is `quotagate operator \
                reset-password`";
            return Err(Error::Forbidden { detail: detail.to_owned() });
        }
        Ok(services.four_eyes.roles && grants)
    }

    fn run(&self, services: &Services, context: &Context) -> Result<Done<OperatorView>, Error> {
        operators::patch(services, context, &self.name, &self.patch)
    }

    fn proposal(&self) -> Result<Proposal, Error> {
        let OperatorPatch { role, ceiling_percent, ref password } = self.patch;
        if password.is_some() {
            let detail = "the role waits for a second operator and a password is not kept for that long: send it in a \
                request of its own";
            return Err(Error::Invalid(vec![FieldError::new("/password", "misplaced", detail)]));
        }
        Ok(Proposal::ChangeOperator(Grant { name: self.name.clone(), role, ceiling_percent }))
    }
}

/// Those who have no ceiling of their own are held to the usual one.
fn held_to_usual(context: &Context) -> Context {
    let ceiling_percent = context.ceiling_percent.or(Some(ceilings::USUAL_CEILING_PERCENT));
    Context { ceiling_percent, ..context.clone() }
}

fn is_above(checked: Result<(), Error>) -> Result<bool, Error> {
    match checked {
        Ok(()) => Ok(false),
        Err(Error::AboveCeiling { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

impl Proposal {
    /// The id in the OpenAPI document.
    #[must_use]
    pub const fn operation(&self) -> &'static str {
        match self {
            Self::Publish(_) => "publishPolicy",
            Self::Activate(_) => "activateRevision",
            Self::SetTierQuota(_) => "setTierQuota",
            Self::CreateOverride(_) => "createOverride",
            Self::Pin(_) => "pinAccountTier",
            Self::ChangeOperator(_) => "updateOperator",
        }
    }

    /// What it takes to do it.
    #[must_use]
    pub const fn action(&self) -> Action {
        match self {
            Self::Publish(_) | Self::Activate(_) | Self::SetTierQuota(_) => Action::Policies,
            Self::CreateOverride(_) | Self::Pin(_) => Action::Overrides,
            Self::ChangeOperator(_) => Action::Credentials,
        }
    }

    /// Why it is asked for; may be empty.
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Publish(new) => &new.reason,
            Self::Activate(activate) => &activate.reason,
            Self::SetTierQuota(new) => &new.reason,
            Self::CreateOverride(Override(new)) => &new.reason,
            Self::Pin(pin) => &pin.pin.reason,
            Self::ChangeOperator(_) => "",
        }
    }

    /// What it is about, as the audit log names it.
    pub(super) fn about(&self) -> Vec<String> {
        match self {
            Self::Publish(_) | Self::SetTierQuota(_) => Vec::new(),
            Self::Activate(activate) => vec![policies::subject(activate.revision)],
            Self::CreateOverride(Override(new)) => vec![accounts::subject(&new.account)],
            Self::Pin(pin) => vec![accounts::subject(&pin.account)],
            Self::ChangeOperator(grant) => vec![operators::subject(&grant.name)],
        }
    }

    pub(super) fn run(&self, services: &Services, context: &Context) -> Result<Done<()>, Error> {
        match self {
            Self::Publish(new) => new.run(services, context).map(|done| done.with(())),
            Self::Activate(activate) => activate.run(services, context).map(|done| done.with(())),
            Self::SetTierQuota(new) => new.run(services, context).map(|done| done.with(())),
            Self::CreateOverride(new) => new.run(services, context).map(|done| done.with(())),
            Self::Pin(pin) => pin.run(services, context).map(|done| done.with(())),
            Self::ChangeOperator(Grant { name, role, ceiling_percent }) => {
                let patch = OperatorPatch { role: *role, ceiling_percent: *ceiling_percent, password: None };
                operators::patch(services, context, name, &patch).map(|done| done.with(()))
            }
        }
    }
}
