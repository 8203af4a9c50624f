//! Who asks, when, and on what condition; and what they get back.

use super::approvals::Approval;
use super::{ActorKind, Error, Origin, Services};
use std::sync::Arc;

/// The actor where whoever owns the machine acts: by a command, or by the control socket.
pub const CONSOLE: &str = "console";

/// Everything about a request that is not the request itself.
#[derive(Debug, Clone)]
pub struct Context {
    /// Milliseconds since the Unix epoch; the only clock there is here.
    pub now: i64,
    pub actor: String,
    pub actor_kind: ActorKind,
    pub origin: Origin,
    /// What the caller has seen of what it changes.
    pub if_match: Option<IfMatch>,
    pub idempotency: Option<IdempotencyRequest>,
    /// All checks, nothing written.
    pub validate_only: bool,
    /// How far above the tier's quota the actor may go, in percent of it; None: as far as anybody.
    pub ceiling_percent: Option<u32>,
    /// What it is done under, where it took a second operator.
    pub approval: Option<Arc<Approval>>,
}

/// Revisions that the caller has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// Whichever is there.
    Any,
    OneOf(Vec<u64>),
}

impl From<u64> for IfMatch {
    fn from(revision: u64) -> Self {
        Self::OneOf(vec![revision])
    }
}

/// Makes a repeated request the same request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyRequest {
    /// The caller's key together with the scope in which it is unique.
    pub key: Vec<u8>,
    /// Of method, path and body.
    pub fingerprint: [u8; 32],
}

/// What a change came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Done<T> {
    pub value: T,
    /// The entity tag of what was changed; None where nothing was written.
    pub revision: Option<u64>,
    /// The answer to an earlier request with the same idempotency key.
    pub replayed: bool,
}

impl<T> Done<T> {
    /// The same with another value.
    #[must_use]
    pub fn with<U>(self, value: U) -> Done<U> {
        Done { value, revision: self.revision, replayed: self.replayed }
    }
}

/// The actor of whoever has the setup token.
pub const SETUP: &str = "setup";

impl Context {
    /// Errors: the setup token has made a first operator or key already, though it was taken when this request began.
    pub(super) fn setup_once(&self, services: &Services) -> Result<(), Error> {
        let by_setup = self.actor_kind == ActorKind::Console && self.actor == SETUP;
        match by_setup && !services.keyring.is_empty() {
            true => Err(Error::conflict("conflict", "the setup token has made the first operator or key just now")),
            false => Ok(()),
        }
    }

    /// What the server does on its own.
    #[must_use]
    pub fn system(now: i64) -> Self {
        Self {
            now,
            actor: "quotagate".to_owned(),
            actor_kind: ActorKind::System,
            origin: Origin::default(),
            if_match: None,
            idempotency: None,
            validate_only: false,
            ceiling_percent: None,
            approval: None,
        }
    }

    /// Whether it is whoever could change the settings too.
    pub(super) fn owns_machine(&self) -> bool {
        matches!(self.actor_kind, ActorKind::Console | ActorKind::System)
    }

    /// Errors: no revision was named, or only others than `current`.
    pub(super) fn must_match(&self, current: u64) -> Result<(), Error> {
        match self.if_match {
            None => Err(Error::PreconditionRequired),
            Some(_) => self.may_match(current),
        }
    }

    /// Errors: revisions were named, and `current` is not among them.
    pub(super) fn may_match(&self, current: u64) -> Result<(), Error> {
        match &self.if_match {
            Some(IfMatch::OneOf(seen)) if !seen.contains(&current) => Err(Error::Stale { current: Some(current) }),
            Some(IfMatch::OneOf(_) | IfMatch::Any) | None => Ok(()),
        }
    }
}
