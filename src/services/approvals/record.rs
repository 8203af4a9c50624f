//! What is kept of a request that waits for a second operator.

use super::Proposal;
use crate::services::records::Act;
use crate::services::{Context, Error, IfMatch, Internal};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How long a request waits.
pub const KEPT_OPEN_MS: i64 = 7 * 24 * 3_600_000;

/// `approvals`, by id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApprovalRecord {
    /// The operation's id in the OpenAPI document.
    pub operation: CompactString,
    /// What is asked for. None: it is closed, and was too large to keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<Proposal>,
    /// Of what is asked for, as it is stored.
    #[serde(default)]
    pub bytes: usize,
    /// What it is about, as the audit log names it.
    pub about: Vec<String>,
    /// The revisions that who asked had seen of what it changes. None: none were named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<Seen>,
    /// The reason is what the request gave as its own; may be empty.
    pub requested: Act,
    pub expires_at_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Closed>,
}

/// The stored form of [`IfMatch`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Seen {
    Any,
    OneOf(Vec<u64>),
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    pub state: ApprovalState,
    /// The reason may be empty.
    pub done: Act,
    /// What was made or changed, as the audit log names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    Pending,
    Approved,
    Rejected,
    /// By the one who asked.
    Withdrawn,
    Expired,
}

impl ApprovalState {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
        }
    }
}

/// A request that waits, or waited, as people see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApprovalView {
    /// Its name tells it from other answers that are kept under an idempotency key.
    #[serde(rename = "approval_id")]
    pub id: CompactString,
    pub record: ApprovalRecord,
    pub state: ApprovalState,
}

impl ApprovalView {
    pub(super) fn of(id: &str, record: ApprovalRecord, now: i64) -> Self {
        Self { id: id.into(), state: record.state(now), record }
    }

    /// The one that was answered; None: it was another answer.
    pub(super) fn replayed(answer: &Value) -> Option<Self> {
        answer.get("approval_id")?;
        Self::deserialize(answer).ok()
    }
}

impl ApprovalRecord {
    /// Errors: it cannot be written.
    pub(super) fn new(context: &Context, proposal: &Proposal) -> Result<Self, Error> {
        let written = serde_json::to_vec(proposal);
        let bytes = written.map_err(|_| Internal::Change("a proposal cannot be written as JSON"))?.len();
        Ok(Self {
            bytes,
            operation: proposal.operation().into(),
            about: proposal.about(),
            seen: context.if_match.as_ref().map(|seen| match seen {
                IfMatch::Any => Seen::Any,
                IfMatch::OneOf(revisions) => Seen::OneOf(revisions.clone()),
            }),
            requested: Act::of(context, proposal.reason()),
            expires_at_ms: context.now.saturating_add(KEPT_OPEN_MS),
            closed: None,
            proposal: Some(proposal.clone()),
        })
    }

    /// Without a document, which may be large.
    #[must_use]
    pub fn brief(self) -> Self {
        let proposal = self.proposal.filter(|proposal| !matches!(proposal, Proposal::Publish(_)));
        Self { proposal, ..self }
    }

    #[must_use]
    pub fn state(&self, now: i64) -> ApprovalState {
        match &self.closed {
            Some(closed) => closed.state,
            None if self.expires_at_ms <= now => ApprovalState::Expired,
            None => ApprovalState::Pending,
        }
    }

    /// What is asked for.
    ///
    /// Errors: it does not wait any more.
    pub(super) fn open_proposal(&self, id: &str, now: i64) -> Result<&Proposal, Error> {
        match (self.state(now), &self.proposal) {
            (ApprovalState::Pending, Some(proposal)) => Ok(proposal),
            (state, _) => {
                let detail = format!("approval `{id}` is closed: {}", state.as_str());
                Err(Error::conflict("approval_closed", detail))
            }
        }
    }

    pub(super) fn if_match(&self) -> Option<IfMatch> {
        self.seen.as_ref().map(|seen| match seen {
            Seen::Any => IfMatch::Any,
            Seen::OneOf(revisions) => IfMatch::OneOf(revisions.clone()),
        })
    }

    pub(super) fn closed(self, closed: Closed) -> Self {
        // Published, a document is a revision.
        Self { closed: Some(closed), ..self.brief() }
    }
}
