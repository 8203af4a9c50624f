//! Every committed change reaches the engine here, as what its records mean now.

use super::boot::{account_id, put};
use super::credentials::Keyring;
use super::facts::{self, read_facts};
use super::policies::{read_active, read_policy};
use super::raise_requests::Board;
use super::{Error, api_keys, keys, operators, payments, usage};
use crate::domain::ids::AccountId;
use crate::engine::Engine;
use crate::store::embedded::EmbeddedStore;
use crate::store::{AdminStore, Changeset, Key, Table, Write};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

/// Tells the engine of every change from now on. Call it before the first commit.
///
/// ORDER: close the store before letting go of it while changes may be on their way, or the last hold on it may be the
/// one that its own committer takes here.
pub fn follow(store: &Arc<EmbeddedStore>, engine: &Arc<Engine>) -> Following {
    follow_with(store, engine, (&Arc::default(), &Arc::default()))
}

/// The same, and tells the keyring and the board of raise requests too.
pub fn follow_with(
    store: &Arc<EmbeddedStore>,
    engine: &Arc<Engine>,
    (keyring, board): (&Arc<Keyring>, &Arc<Board>),
) -> Following {
    let weak = Arc::downgrade(store);
    let store_of_follower: Weak<dyn AdminStore> = weak;
    let follower = Follower::new(store_of_follower, Arc::clone(engine))
        .with_keyring(Arc::clone(keyring))
        .with_board(Arc::clone(board));
    let following = follower.following.clone();
    store.on_apply(Box::new(move |seq, change| follower.apply(seq, change)));
    following
}

/// Whether the engine still follows: for readiness.
#[derive(Debug, Clone, Default)]
pub struct Following(Arc<Mutex<Option<String>>>);

impl Following {
    /// The first change that could not be told to the engine, and why: only a restart mends that.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.0.lock().clone()
    }
}

/// Hands changes on to the engine.
pub struct Follower {
    /// Weak: the store owns the callback that owns this.
    store: Weak<dyn AdminStore>,
    engine: Arc<Engine>,
    keyring: Arc<Keyring>,
    board: Arc<Board>,
    following: Following,
}

impl Follower {
    #[must_use]
    pub fn new(store: Weak<dyn AdminStore>, engine: Arc<Engine>) -> Self {
        Self { store, engine, keyring: Arc::default(), board: Arc::default(), following: Following::default() }
    }

    #[must_use]
    pub fn with_keyring(self, keyring: Arc<Keyring>) -> Self {
        Self { keyring, ..self }
    }

    #[must_use]
    pub fn with_board(self, board: Arc<Board>) -> Self {
        Self { board, ..self }
    }

    /// Reads back what a committed change touched and tells the engine what it means now.
    ///
    /// The store may be ahead of `seq` by what was committed in the same group: telling the engine of a later state
    /// twice is harmless.
    pub fn apply(&self, seq: u64, change: &Changeset) {
        let Some(store) = self.store.upgrade() else { return };
        let touched = Touched::by(change);
        let told = touched.tell(&*store, (&self.engine, &self.keyring), seq);
        // From the change itself and not read back, so that each state of a request is seen once, in its turn.
        let seen = change.writes.iter().try_for_each(|write| self.board.follow(write));
        if let Err(error) = told.and(seen) {
            tracing::error!(seq, %error, "the engine could not follow a change");
            self.following.0.lock().get_or_insert_with(|| format!("change {seq}: {error}"));
        }
    }
}

/// What of the engine a change may have moved.
#[derive(Default)]
struct Touched {
    at_ms: i64,
    accounts: BTreeSet<AccountId>,
    clamps: Vec<Key>,
    active: bool,
    api_keys: Vec<Key>,
    operators: Vec<Key>,
    resets: Vec<Key>,
    /// Ledger entries, by main account and number.
    entries: Vec<(AccountId, u64)>,
}

impl Touched {
    fn by(change: &Changeset) -> Self {
        let mut touched = Self { at_ms: change.at_ms, ..Self::default() };
        for write in &change.writes {
            match write.table {
                Table::Accounts => touched.accounts.extend(account_id(&write.key)),
                Table::Overrides => touched.accounts.extend(account_of(write)),
                Table::Index if usage::is_reset(&write.key) => touched.resets.push(write.key.clone()),
                Table::Index => {}
                Table::Clamps => touched.clamps.push(write.key.clone()),
                Table::Payments => touched.entries.extend(keys::entry_in(&write.key)),
                Table::Meta => touched.active |= write.key == keys::active(),
                Table::ApiKeys => touched.api_keys.push(write.key.clone()),
                Table::Operators => touched.operators.push(write.key.clone()),
                // Of versions that kept them in the journal.
                Table::Sessions
                | Table::SubAccounts
                | Table::Policies
                | Table::Activations
                | Table::Drafts
                | Table::Schedules
                | Table::PaymentIds
                | Table::PaymentEventIds
                | Table::RaiseRequests
                | Table::Evidence
                | Table::Secrets
                | Table::Due
                | Table::Approvals
                | Table::Idempotency => {}
            }
        }
        touched
    }

    fn tell(&self, store: &dyn AdminStore, (engine, keyring): (&Engine, &Keyring), seq: u64) -> Result<(), Error> {
        // ORDER: first, so that nothing else that goes wrong keeps a revoked key alive.
        for key in &self.api_keys {
            api_keys::follow(store, keyring, key)?;
        }
        for key in &self.operators {
            operators::follow(store, keyring, key)?;
        }
        if self.active
            && let Some(active) = read_active(store)?
        {
            engine.activate(Arc::new(read_policy(store, active.value.revision)?), active.value.revision);
        }
        if !self.clamps.is_empty() {
            let changed = self.clamps.iter().map(|key| facts::clamp(store, key, self.at_ms));
            engine.change_clamps(changed.collect::<Result<_, _>>()?, self.at_ms);
        }
        for id in &self.accounts {
            if let Some(facts) = read_facts(store, engine, id)? {
                put(engine, id, facts)?;
            }
        }
        // ORDER: an account that is new comes before its payments.
        payments::follow(store, engine, &self.entries)?;
        for row in &self.resets {
            usage::reset_by(engine, seq, row)?;
        }
        Ok(())
    }
}

/// Whose override a write is about. Overrides are never deleted.
fn account_of(write: &Write) -> Option<AccountId> {
    AccountId::parse(write.value.as_ref()?.get("account")?.as_str()?).ok()
}
