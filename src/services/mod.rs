//! The control plane's use cases: one function each, from a checked request to one durable change.
//!
//! Owns: who may be what (accounts, caps, overrides, clamps, revisions), the bounds of it all, what the records mean
//! ([`records`]), the audit entry of every change, how the engine is built from the store ([`boot`]) and follows it
//! ([`Follower`]).
//! Deliberately absent: HTTP, permissions, a clock (`Context::now`), decisions (the engine's own).
//!
//! Everything here blocks on the store: call it from the blocking pool, never on an async thread.
//!
//! INVARIANT: nothing here tells the engine anything. A change is committed, and what it means reaches the engine
//! through [`Follower::apply`], which reads it back from the store; so a restart gives the same engine.

pub mod accounts;
pub mod api_keys;
pub mod approvals;
pub mod audit;
pub mod backups;
pub mod billing_sources;
pub mod boot;
pub mod bulk;
pub mod caps;
pub mod ceilings;
mod checks;
pub mod clamps;
mod commit;
mod context;
pub mod credentials;
pub mod due;
mod error;
pub mod evidence;
mod facts;
pub mod flush;
mod follow;
pub mod history;
mod keys;
pub mod operators;
pub mod overrides;
pub mod payments;
pub mod policies;
pub mod raise_requests;
pub mod raise_rules;
pub mod records;
pub mod renewals;
pub mod seal;
mod stored;

pub mod sub_accounts;
pub mod tier;
pub mod tiers;
mod turns;
pub mod usage;

pub use crate::store::{ActorKind, Origin};
pub use context::{CONSOLE, Context, Done, IdempotencyRequest, IfMatch, SETUP};
pub use error::{Ends, Error, FieldError, Internal, NotRaisable};
pub use follow::{Follower, Following, follow, follow_with};
pub use stored::Stored;

use crate::domain::four_eyes::FourEyes;
use crate::engine::Engine;
use crate::ids::Ids;
use crate::store::AdminStore;
use credentials::Keyring;
use history::History;
use raise_requests::Board;
use seal::Seal;
use std::sync::Arc;
use turns::Turns;

/// How long an answer is kept under its idempotency key.
pub const IDEMPOTENCY_KEPT_MS: i64 = 25 * 3_600_000;
pub const MAX_SUB_ACCOUNTS: u32 = 10_000;
pub const MAX_CAPS: usize = 256;
/// Of one account, those that have ended not counted.
pub const MAX_OVERRIDES: usize = 1_000;
pub const MAX_CLAMPS: usize = 10_000;
pub const MAX_BILLING_SOURCES: usize = 100;
/// Those that were revoked count.
pub const MAX_API_KEYS: usize = 10_000;
pub const MAX_OPERATORS: usize = 1_000;
/// Of one operator: a login beyond ends the oldest.
pub const MAX_SESSIONS: usize = 20;
/// That wait at once.
pub const MAX_OPEN_APPROVALS: usize = 100;
/// Of what is asked for, in sum.
pub const MAX_OPEN_APPROVALS_BYTES: usize = 16 * 1024 * 1024;
/// Of one billing source.
pub const MAX_SECRETS: usize = 2;
/// Names and reasons, in characters.
pub const MAX_TEXT: usize = 500;
pub const MAX_LABELS: usize = 16;
/// Entries of one page.
pub const MAX_PAGE: usize = 200;
/// Records that one page of a list looks at: a page may be short of its size while there is a next one.
pub const MAX_EXAMINED: usize = 4_000;

/// What every use case works on.
pub struct Services {
    store: Arc<dyn AdminStore>,
    engine: Arc<Engine>,
    ids: Ids,
    turns: Turns,
    seal: Option<Seal>,
    keyring: Arc<Keyring>,
    history: Option<Arc<History>>,
    board: Arc<Board>,
    four_eyes: FourEyes,
}

impl Services {
    /// The engine must be the one that follows the store.
    #[must_use]
    pub fn new(store: Arc<dyn AdminStore>, engine: Arc<Engine>, ids: Ids) -> Self {
        Self {
            store,
            engine,
            ids,
            turns: Turns::new(),
            seal: None,
            keyring: Arc::default(),
            history: None,
            board: Arc::default(),
            four_eyes: FourEyes::default(),
        }
    }

    /// With the key that seals secrets; without one there can be none.
    #[must_use]
    pub fn with_seal(self, seal: Seal) -> Self {
        Self { seal: Some(seal), ..self }
    }

    /// With the history that is kept; without one there is none to read.
    #[must_use]
    pub fn with_history(self, history: Arc<History>) -> Self {
        Self { history: Some(history), ..self }
    }

    /// With the keyring that follows the store; without one no key was ever used.
    #[must_use]
    pub fn with_keyring(self, keyring: Arc<Keyring>) -> Self {
        Self { keyring, ..self }
    }

    /// With the board that follows the store, and its calendar; without one there is the usual calendar, and nothing is noticed.
    #[must_use]
    pub fn with_board(self, board: Arc<Board>) -> Self {
        Self { board, ..self }
    }

    /// The open raise requests, and how fast others were answered.
    #[must_use]
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// With what takes two operators; without it nothing does.
    #[must_use]
    pub fn with_four_eyes(self, four_eyes: FourEyes) -> Self {
        Self { four_eyes, ..self }
    }

    /// The keys that requests are checked against.
    #[must_use]
    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// The engine that follows the store.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Where the next page begins; None: this is the last.
    pub next: Option<Cursor>,
}

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub Vec<u8>);

/// Which page of a list is asked for.
#[derive(Debug, Clone, Default)]
pub struct Paging {
    pub after: Option<Cursor>,
    /// At most [`MAX_PAGE`] are given, at least 1.
    pub size: usize,
}
