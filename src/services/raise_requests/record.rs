//! What is kept of a raise request: all of it in one record.

use crate::domain::ids::{AccountId, PolicyId};
use crate::domain::quantity::Quota;
use crate::domain::raise_request::{Side, State, Step};
use crate::services::Context;
use crate::services::raise_rules::Verdict;
use crate::services::records::ShapeRecord;
use crate::store::ActorKind;
use serde::{Deserialize, Serialize};

/// `raise_requests`, by id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// A main account.
    pub account: AccountId,
    pub group: PolicyId,
    /// At least one, each limit once.
    pub limits: Vec<AskedRecord>,
    /// None: from when it is approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at_ms: Option<i64>,
    /// None: nothing was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<i64>,
    pub use_case: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_peak: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    pub filed: By,
    pub state: State,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_to: Option<String>,
    /// Since it was filed, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepRecord>,
    /// Between the customer and the reviewers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<MessageRecord>,
    /// Among the reviewers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<NoteRecord>,
    /// The last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<OfferRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionRecord>,
    /// In the order in which it was taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<EvidenceRef>,
    /// What the rules of the policy said when it was filed. None: it had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The request before this one for the same account and group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
}

/// Leads to a snapshot of evidence, which is a record of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceRef {
    /// From 1.
    pub number: u32,
    pub taken_at_ms: i64,
    /// SHA-256, hexadecimal.
    pub hash: String,
}

/// A limit and the quota that is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AskedRecord {
    pub limit: PolicyId,
    pub quota: Quota,
    /// What the limit was when it was asked for.
    pub shape: ShapeRecord,
    /// What set the quota at the wanted start then, clamps aside.
    pub in_force: Quota,
}

/// Who did something, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    pub at_ms: i64,
    pub by: String,
    pub kind: ActorKind,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    pub step: Step,
    /// After it.
    pub state: State,
    #[serde(flatten)]
    pub done: By,
    /// Who was assigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The rule that took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<PolicyId>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MessageRecord {
    /// Whose words they are.
    pub from: Side,
    pub text: String,
    #[serde(flatten)]
    pub written: By,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NoteRecord {
    pub text: String,
    #[serde(flatten)]
    pub written: By,
}

/// What is given of one limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GrantRecord {
    pub limit: PolicyId,
    pub quota: Quota,
    /// None: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at_ms: Option<i64>,
    /// None: for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OfferRecord {
    pub grants: Vec<GrantRecord>,
    #[serde(flatten)]
    pub made: By,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionRecord {
    #[serde(flatten)]
    pub made: By,
    /// Of a denial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<DenyReason>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub granted: Vec<GrantedRecord>,
}

/// A grant that took effect, and by what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GrantedRecord {
    #[serde(flatten)]
    pub grant: GrantRecord,
    pub override_id: String,
    /// Overrides whose place it took.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub superseded: Vec<String>,
}

/// Why a request is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DenyReason {
    /// What is there is not used.
    LowUsage,
    /// The account is too young, or has too little history.
    ShortHistory,
    /// Refunds, chargebacks, or too little paid.
    PaymentRisk,
    /// There is no capacity for it.
    NoCapacity,
    /// What it would be used for is not allowed.
    NotPermittedUse,
    /// What was asked was not answered well enough.
    NotEnoughInformation,
    /// The text says it.
    Other,
}

impl By {
    pub(super) fn of(context: &Context) -> Self {
        Self { at_ms: context.now, by: context.actor.clone(), kind: context.actor_kind }
    }

    /// Whether it was whoever asks now.
    pub(super) fn is(&self, context: &Context) -> bool {
        self.by == context.actor && self.kind == context.actor_kind
    }
}

impl DenyReason {
    pub const ALL: [Self; 7] = [
        Self::LowUsage,
        Self::ShortHistory,
        Self::PaymentRisk,
        Self::NoCapacity,
        Self::NotPermittedUse,
        Self::NotEnoughInformation,
        Self::Other,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LowUsage => "low_usage",
            Self::ShortHistory => "short_history",
            Self::PaymentRisk => "payment_risk",
            Self::NoCapacity => "no_capacity",
            Self::NotPermittedUse => "not_permitted_use",
            Self::NotEnoughInformation => "not_enough_information",
            Self::Other => "other",
        }
    }
}

impl RequestRecord {
    pub(super) fn asked(&self, limit: &PolicyId) -> Option<&AskedRecord> {
        self.limits.iter().find(|asked| asked.limit == *limit)
    }

    /// Whether a rule decided it, and nobody else.
    pub(super) fn is_decided_by_rule(&self) -> bool {
        self.state.is_closed() && self.steps.last().is_some_and(|step| step.rule.is_some())
    }

    /// When it was closed.
    #[must_use]
    pub fn closed_at_ms(&self) -> Option<i64> {
        self.steps.last().filter(|step| step.state.is_closed()).map(|step| step.done.at_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_written_as_they_are_named() {
        for reason in DenyReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }
}
