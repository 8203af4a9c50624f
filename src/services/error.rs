//! Why a use case was not done, free of any transport.

use crate::domain::account::LimitKey;
use crate::domain::ids::AccountId;
use crate::domain::quantity::Quota;
use crate::store::{CommitError, Key, StoreError, Table};
use std::borrow::Cow;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what} `{id}` does not exist")]
    NotFound { what: &'static str, id: String },
    /// The request is in order, but not in this state of things.
    #[error("{detail}")]
    Conflict { code: &'static str, detail: String, allowed_transitions: Vec<&'static str> },
    /// Whoever has a higher ceiling may.
    #[error("{detail}")]
    AboveCeiling { detail: String },
    /// Of raise requests: the one who filed it does not decide it.
    #[error("you filed raise request `{id}` yourself: somebody else decides it")]
    OwnRequest { id: String },
    /// There can be one open raise request for a limit of an account.
    #[error("raise request `{id}` for `{key}` is open: it has to be closed before another is made")]
    RaiseRequestOpen { id: String, key: String },
    #[error(transparent)]
    NotRaisable(Box<NotRaisable>),
    /// Neither role nor ceiling would change it: somebody else has to, or another way.
    #[error("{detail}")]
    Forbidden { detail: String },
    #[error("say with If-Match which revision of it is to be changed")]
    PreconditionRequired,
    #[error("it was changed since the revision named")]
    Stale { current: Option<u64> },
    #[error("{}", summary(.0))]
    Invalid(Vec<FieldError>),
    #[error("the idempotency key was used before with another request")]
    IdempotencyMismatch,
    #[error("no room for another of {what}: the most is {most}")]
    TableFull { what: &'static str, most: usize },
    #[error("nothing can be written for now: {why}")]
    ReadOnly { why: String, ends: Ends },
    /// Time, or an end of what was filed before, makes room.
    #[error("{detail}")]
    FiledTooOften { detail: String, retry_after_ms: Option<i64> },
    #[error("too many changes at once: try again")]
    Busy,
    /// The change may be there after a restart, or not.
    #[error("it is not known whether the change was kept: {why}")]
    Uncertain { why: String },
    #[error("the change has {bytes} bytes, at most {most} are taken")]
    TooLarge { bytes: usize, most: usize },
    #[error(transparent)]
    Internal(#[from] Internal),
}

/// When a store that takes no changes takes them again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    ByItself,
    WithRestart,
}

/// What is wrong on this side.
#[derive(Debug, thiserror::Error)]
pub enum Internal {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("record {key} of `{}` cannot be understood: {why}", .table.name())]
    Record { table: Table, key: Key, why: String },
    #[error("the engine has `{account}` as something else")]
    Engine { account: AccountId },
    #[error("a change was not well formed: {0}")]
    Change(&'static str),
    #[error("the stored revision {revision} is not a valid policy any more: {why}")]
    Policy { revision: u64, why: String },
}

/// Why a limit cannot be raised to what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct NotRaisable {
    pub code: &'static str,
    pub detail: String,
    pub pointer: String,
    pub limit: LimitKey,
    /// What sets the quota at the wanted start, clamps aside.
    pub in_force: Quota,
    /// The most it can be raised to; None: there is no ceiling.
    pub ceiling: Option<Quota>,
}

/// What is wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// JSON pointer into the request's body, such as `/quota`; empty where it is about the whole.
    pub pointer: String,
    pub code: Cow<'static, str>,
    pub detail: String,
}

impl FieldError {
    pub(super) fn new(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code: code.into(), detail: detail.into() }
    }
}

impl Error {
    pub(super) fn not_found(what: &'static str, id: impl std::fmt::Display) -> Self {
        let id = id.to_string().chars().take(80).flat_map(char::escape_debug).collect();
        Self::NotFound { what, id }
    }

    pub(super) fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Conflict { code, detail: detail.into(), allowed_transitions: Vec::new() }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            // The disk's doing and known as such: the readiness says it, and it is no defect of the server.
            StoreError::Unreadable(why) => {
                let ends = if why.ends_by_itself() { Ends::ByItself } else { Ends::WithRestart };
                Self::ReadOnly { why: why.to_string(), ends }
            }
            error => Self::Internal(error.into()),
        }
    }
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict { current, .. } => Self::Stale { current },
            CommitError::IdempotencyMismatch => Self::IdempotencyMismatch,
            CommitError::Invalid(why) => Internal::Change(why).into(),
            CommitError::TooLarge { bytes, most } => Self::TooLarge { bytes, most },
            CommitError::Busy => Self::Busy,
            CommitError::ReadOnly(why) => {
                let ends = if why.ends_by_itself() { Ends::ByItself } else { Ends::WithRestart };
                Self::ReadOnly { why: why.to_string(), ends }
            }
            CommitError::Uncertain { why } => Self::Uncertain { why },
            CommitError::Store(error) => error.into(),
        }
    }
}

fn summary(errors: &[FieldError]) -> String {
    match errors {
        [] => "the request is not valid".to_owned(),
        [only] => only.detail.clone(),
        [first, rest @ ..] => format!("{}, and {} more", first.detail, rest.len()),
    }
}
