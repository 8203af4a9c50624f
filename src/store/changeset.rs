//! The words of a change: what is expected, what is written, who did it.

use super::{CommitError, Key, Table};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// Everything that one act changes: committed together, durably, with its audit entry, or not at all.
#[derive(Debug, Clone)]
pub struct Changeset {
    /// Milliseconds since the Unix epoch.
    pub at_ms: i64,
    pub expects: Vec<Expect>,
    /// No two for one record.
    pub writes: Vec<Write>,
    pub audit: Audit,
    pub idempotency: Option<Idempotency>,
    /// Only where the wall clock was behind what is stored, and was accepted all the same.
    pub accepted_clock: Option<AcceptedClock>,
}

/// The times stored so far may lie in the future: from this change on the store's last time is the change's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedClock {
    /// When the answers kept under idempotency keys so far end at the latest, as they were to end by the old times.
    pub answers_until_ms: i64,
}

#[derive(Debug, Clone)]
pub struct Write {
    pub table: Table,
    pub key: Key,
    /// None deletes the record, which may be absent.
    pub value: Option<Value>,
}

impl Write {
    #[must_use]
    pub fn put(table: Table, key: Key, value: Value) -> Self {
        Self { table, key, value: Some(value) }
    }

    #[must_use]
    pub fn delete(table: Table, key: Key) -> Self {
        Self { table, key, value: None }
    }
}

/// What must hold for the change to be made. A record that no expectation names is written whatever it was.
#[derive(Debug, Clone)]
pub enum Expect {
    Absent { table: Table, key: Key },
    Revision { table: Table, key: Key, revision: u64 },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    pub actor: String,
    pub actor_kind: ActorKind,
    /// Noun and verb, such as `account.suspend`.
    pub action: String,
    /// What it was done to, such as `account:acme`; the log can be searched by each.
    #[serde(default)]
    pub subject: Vec<String>,
    #[serde(default)]
    pub origin: Origin,
    /// Before and after, the reason given, and the like.
    #[serde(default)]
    pub detail: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    Operator,
    ApiKey,
    /// A command run on the machine itself.
    Console,
    /// The server on its own: a schedule, an expiry.
    System,
    /// A billing system whose delivery bore a valid signature.
    BillingSource,
}

impl ActorKind {
    pub const ALL: [Self; 5] = [Self::Operator, Self::ApiKey, Self::Console, Self::System, Self::BillingSource];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::ApiKey => "api_key",
            Self::Console => "console",
            Self::System => "system",
            Self::BillingSource => "billing_source",
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// Makes a repeated request the same request.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// The caller's key together with the scope in which it is unique; at most [`super::MAX_KEY_BYTES`].
    pub key: Vec<u8>,
    /// Of the request; another one under the same key is refused.
    pub fingerprint: [u8; 32],
    /// What to answer again, without any secret.
    pub response: Value,
    pub expires_at_ms: i64,
}

/// The answer that an earlier request with the same idempotency key was given.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredAnswer {
    pub fingerprint: [u8; 32],
    pub response: Value,
    pub expires_at_ms: i64,
    /// The journal entry that carried it.
    pub seq: u64,
}

/// A record and the revision it is at.
#[derive(Debug, Clone, PartialEq)]
pub struct Versioned {
    /// Sequence number of the journal entry that wrote it: the entity tag.
    pub revision: u64,
    pub value: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Also the new revision of every record written.
    pub seq: u64,
    /// Of the journal entry; it covers every entry before.
    pub hash: [u8; 32],
}

#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Committed(Committed),
    /// The same request was committed before; nothing was written now.
    Replayed(StoredAnswer),
}

impl Outcome {
    /// The new commit, where there is one.
    #[must_use]
    pub fn committed(self) -> Option<Committed> {
        match self {
            Self::Committed(committed) => Some(committed),
            Self::Replayed(_) => None,
        }
    }
}

pub type Answer = Result<Outcome, CommitError>;

/// The pending answer to a commit: await it, or block on it outside async code.
#[derive(Debug)]
pub struct Ticket(oneshot::Receiver<Answer>);

/// For backends: the side that answers, and the ticket that the caller holds.
#[must_use]
pub fn ticket() -> (oneshot::Sender<Answer>, Ticket) {
    let (sender, receiver) = oneshot::channel();
    (sender, Ticket(receiver))
}

impl Ticket {
    /// A ticket that was answered at once.
    #[must_use]
    pub fn refused(error: CommitError) -> Self {
        let (sender, ticket) = ticket();
        // The receiver is held right here, so the answer cannot be lost.
        let _ = sender.send(Err(error));
        ticket
    }

    /// Blocks the thread until the answer is there; panics inside an async context.
    pub fn wait(self) -> Answer {
        self.0.blocking_recv().unwrap_or_else(|_| Err(unanswered()))
    }
}

impl Future for Ticket {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or_else(|_| Err(unanswered())))
    }
}

fn unanswered() -> CommitError {
    CommitError::Uncertain { why: "the store stopped before it answered".to_owned() }
}
