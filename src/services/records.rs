//! What the control plane's records hold. Times are milliseconds since the Unix epoch.
//!
//! A field may be added with a default; one that is there keeps its name and meaning for good.

use super::overrides::SupersededBy;
use crate::domain::account::{Cap, Clamp, ClampScope, LimitKey, Override, Shape};
use crate::domain::ids::{AccountId, Currency, PaymentRef, PolicyId};
use crate::domain::ledger::{PaymentEvent, PaymentKind};
use crate::domain::quantity::Quota;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `accounts`, by id: main accounts and sub-accounts, whose ids share one name space.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccountRecord {
    pub created_at_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<Act>,
    pub role: Role,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Main {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        floor: Option<PolicyId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pin: Option<PinRecord>,
    },
    Sub {
        main: AccountId,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        caps: Vec<CapRecord>,
    },
}

/// Who did something, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    pub at_ms: i64,
    pub by: String,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PinRecord {
    pub tier: PolicyId,
    /// None: until it is taken off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
    pub set: Act,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CapRecord {
    pub group: PolicyId,
    pub limit: PolicyId,
    pub shape: ShapeRecord,
    pub quota: Quota,
    /// Names the cap's counters, see [`Cap::owner`].
    pub owner: u64,
}

/// The stored form of [`Shape`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShapeRecord {
    Rate { unit: PolicyId, window_ms: i64 },
    Concurrency,
}

/// `index`, by (`tally`, main account): what is counted over records of one main account.
///
/// Changed together with what it counts and expected at the revision that was read, so that two changes at once
/// cannot both take the last place.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    #[serde(default)]
    pub sub_accounts: u32,
    /// The last number given to a cap of any of its sub-accounts.
    #[serde(default)]
    pub last_owner: u64,
    /// Raised by each override that is made.
    #[serde(default)]
    pub overrides_made: u64,
}

/// `overrides`, by id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OverrideRecord {
    pub account: AccountId,
    pub group: PolicyId,
    pub limit: PolicyId,
    pub shape: ShapeRecord,
    pub quota: Quota,
    /// None: from the moment it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at_ms: Option<i64>,
    /// None: for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<i64>,
    pub made: Act,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Act>,
    /// The raise request that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raise_request: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<SupersededBy>,
}

/// `clamps`, by id; one that was removed is in the audit log alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClampRecord {
    pub group: PolicyId,
    pub limit: PolicyId,
    pub scope: ScopeRecord,
    pub shape: ShapeRecord,
    pub quota: Quota,
    /// None: until it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<i64>,
    pub made: Act,
}

/// The stored form of [`ClampScope`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopeRecord {
    All,
    Tier(PolicyId),
    Account(AccountId),
}

/// `index`, by (`usage_resets`, main account, group, limit).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResetRecord {
    pub at_ms: i64,
}

/// `payments`, by (main account, number in its ledger): one payment event, never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRecord {
    pub kind: PaymentKind,
    pub event_id: PaymentRef,
    pub payment_id: PaymentRef,
    /// Minor units.
    pub amount: u64,
    /// Of a refund or chargeback: where it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    pub occurred_at_ms: i64,
    pub recorded_at_ms: i64,
    /// No time was given: it is when it was recorded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undated: bool,
    pub by: String,
    /// Whether its top-up was missing when it was recorded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pending: bool,
    /// Net paid by currency after all entries up to this one, whenever they count from.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub net: BTreeMap<Currency, u64>,
}

/// `payment_event_ids`, by event id: where the event is, for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventPlace {
    pub account: AccountId,
    pub number: u64,
}

/// `payment_ids`, by payment id: what is known of one payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRecord {
    pub account: AccountId,
    /// Of the top-up, else of the first reversal that named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// The top-up, once it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_up: Option<TopUpRecord>,
    /// The sum of its refunds and chargebacks.
    #[serde(default)]
    pub reversed: u64,
    /// Numbers of its entries in the account's ledger, in the order in which they came.
    pub entries: Vec<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopUpRecord {
    pub event_id: PaymentRef,
    pub amount: u64,
}

/// `index`, by (`ledger`, main account): the end of an account's ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEnd {
    pub entries: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub net: BTreeMap<Currency, u64>,
}

/// `index`, by (`due_of`, main account): when its tier changes next by time alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueOf {
    pub at_ms: i64,
}

/// `meta`, `clamps`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ClampsRecord {
    /// How many were ever made.
    pub made: u64,
    /// How many there are in the table. None: not counted yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<usize>,
}

/// `meta`, by (`import`, kind): how far a file was taken in, kept with what was taken in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportRecord {
    /// By its name alone.
    pub file: String,
    /// Of the file, those that were dealt with; they end with a line.
    pub bytes: u64,
    /// SHA-256 of these bytes, hexadecimal.
    pub sha256: String,
    pub lines: u64,
    pub new: u64,
    pub known: u64,
    pub bad: u64,
    /// Length of the report of bad lines by then.
    #[serde(default)]
    pub bad_bytes: u64,
}

/// `meta`, `active`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveRecord {
    pub revision: u64,
    /// Of the active revision, hexadecimal.
    pub content_hash: String,
    /// The number of the activation that made it active.
    pub activation: u64,
    /// The last revision that was published.
    pub last_revision: u64,
}

/// `policies`: all of a revision but its document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RevisionRecord {
    pub revision: u64,
    pub name: String,
    pub content_hash: String,
    /// The reason may be empty.
    pub published: Act,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<WarningRecord>,
}

/// The stored form of a finding that did not stop a publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarningRecord {
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    pub code: String,
    pub message: String,
}

/// `activations`, by number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActivationRecord {
    pub activation: u64,
    pub revision: u64,
    /// None: the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<u64>,
    /// The reason may be empty.
    pub done: Act,
}

impl From<Shape> for ShapeRecord {
    fn from(shape: Shape) -> Self {
        match shape {
            Shape::Rate { unit, window_ms } => Self::Rate { unit, window_ms },
            Shape::Concurrency => Self::Concurrency,
        }
    }
}

impl From<ShapeRecord> for Shape {
    fn from(shape: ShapeRecord) -> Self {
        match shape {
            ShapeRecord::Rate { unit, window_ms } => Self::Rate { unit, window_ms },
            ShapeRecord::Concurrency => Self::Concurrency,
        }
    }
}

impl LedgerRecord {
    #[must_use]
    pub fn to_event(&self) -> PaymentEvent {
        PaymentEvent {
            event_id: self.event_id.clone(),
            payment_id: self.payment_id.clone(),
            kind: self.kind,
            amount: self.amount,
            currency: self.currency.clone(),
            occurred_at_ms: self.occurred_at_ms,
        }
    }
}

impl CapRecord {
    #[must_use]
    pub fn key(&self) -> LimitKey {
        LimitKey { group: self.group.clone(), limit: self.limit.clone() }
    }

    #[must_use]
    pub fn to_cap(&self) -> Cap {
        Cap { key: self.key(), shape: self.shape.clone().into(), quota: self.quota, owner: self.owner }
    }
}

impl OverrideRecord {
    #[must_use]
    pub fn key(&self) -> LimitKey {
        LimitKey { group: self.group.clone(), limit: self.limit.clone() }
    }

    #[must_use]
    pub fn to_override(&self, id: &str) -> Override {
        Override {
            key: self.key(),
            shape: self.shape.clone().into(),
            quota: self.quota,
            starts_at_ms: self.starts_at_ms,
            expires_at_ms: self.expires_at_ms,
            origin: origin_of(id, &self.made.reason),
        }
    }
}

impl ClampRecord {
    #[must_use]
    pub fn key(&self) -> LimitKey {
        LimitKey { group: self.group.clone(), limit: self.limit.clone() }
    }

    #[must_use]
    pub fn to_clamp(&self, id: &str) -> Clamp {
        Clamp {
            id: id.into(),
            key: self.key(),
            scope: self.scope.clone().into(),
            shape: self.shape.clone().into(),
            quota: self.quota,
            expires_at_ms: self.expires_at_ms,
            origin: origin_of(id, &self.made.reason),
        }
    }
}

impl From<ScopeRecord> for ClampScope {
    fn from(scope: ScopeRecord) -> Self {
        match scope {
            ScopeRecord::All => Self::All,
            ScopeRecord::Tier(tier) => Self::Tier(tier),
            ScopeRecord::Account(account) => Self::Account(account),
        }
    }
}

/// Between an id and a reason; no id and no tier has it.
const BEFORE_REASON: &str = ": ";

/// An id and a reason, as explanations show it.
fn origin_of(id: &str, reason: &str) -> CompactString {
    compact_str::format_compact!("{id}{BEFORE_REASON}{reason}")
}

/// Leaves the id of an origin: reasons are the house's own words, not for customers.
pub fn cut_reason(origin: &mut String) {
    if let Some(end) = origin.find(BEFORE_REASON) {
        origin.truncate(end);
    }
}
