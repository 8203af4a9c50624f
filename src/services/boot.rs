//! The engine is derived: built from the store at the start, then told of every committed change.

use super::facts::{self, Facts, facts_of, payments_of, read_facts};
use super::policies::{read_active, read_identities, read_policy};
use super::records::{AccountRecord, Role};
use super::{Error, keys, stored};
use crate::domain::ids::{AccountId, PolicyId};
use crate::domain::ledger::Timeline;
use crate::domain::policy::{Policy, Tier, Unit, UnlistedResources};
use crate::engine::{Engine, Identities, Options, RestoreReport};
use crate::store::embedded::EmbeddedStore;
use crate::store::{AdminStore, Changeset, CounterStore, Key, Table, Write};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

/// What the engine was built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BootReport {
    /// The active revision; 0: none was ever published.
    pub revision: u64,
    pub accounts: u64,
    pub sub_accounts: u64,
    pub usage: RestoreReport,
}

/// Builds the engine from what is stored. Usage later than `accept_until` is dropped.
///
/// Errors: a record is damaged or does not make sense; the accounts are more than `options` allow.
pub fn engine(
    store: &dyn AdminStore,
    counters: &dyn CounterStore,
    options: Options,
    accept_until: Option<i64>,
) -> Result<(Arc<Engine>, BootReport), Error> {
    let mut report = BootReport::default();
    let (policy, identities) = match read_active(store)? {
        None => (no_policy(), Identities::default()),
        Some(active) => {
            report.revision = active.value.revision;
            (read_policy(store, active.value.revision)?, read_identities(store)?)
        }
    };
    let engine = Engine::with_identities(Arc::new(policy), report.revision, &identities, options);
    put_accounts(store, &engine, &mut report)?;
    engine.set_clamps(facts::clamps(store)?);
    report.usage = restore_usage(counters, &engine, accept_until)?;
    Ok((Arc::new(engine), report))
}

/// Main accounts first: a sub-account is refused without its own.
fn put_accounts(store: &dyn AdminStore, engine: &Engine, report: &mut BootReport) -> Result<(), Error> {
    let everything = Key::empty();
    let mut overrides = facts::all_overrides(store)?;
    stored::each::<AccountRecord>(store, Table::Accounts, &everything, |key, account| {
        if !matches!(account.value.role, Role::Main { .. }) {
            return Ok(());
        }
        let id = account_id(&key)?;
        let own = overrides.remove(&id).unwrap_or_default();
        let facts = facts_of(&account.value, own, payments_of(store, &id)?);
        report.accounts += 1;
        put(engine, &id, facts)
    })?;
    stored::each::<AccountRecord>(store, Table::Accounts, &everything, |key, account| {
        if !matches!(account.value.role, Role::Sub { .. }) {
            return Ok(());
        }
        report.sub_accounts += 1;
        put(engine, &account_id(&key)?, facts_of(&account.value, Vec::new(), Timeline::default()))
    })
}

/// Usage comes back last: its records are read in the light of the accounts and the active revision.
fn restore_usage(
    counters: &dyn CounterStore,
    engine: &Engine,
    accept_until: Option<i64>,
) -> Result<RestoreReport, Error> {
    let mut restorer = engine.restorer(accept_until);
    let damaged = counters.for_each(&mut |key, value| restorer.record(key, value))?;
    let report = restorer.finish();
    Ok(RestoreReport { damaged: report.damaged + damaged, ..report })
}

fn account_id(key: &Key) -> Result<AccountId, Error> {
    key.read().text().and_then(|id| AccountId::parse(&id).ok()).ok_or_else(|| {
        super::Internal::Record { table: Table::Accounts, key: key.clone(), why: "not an account id".to_owned() }.into()
    })
}

fn put(engine: &Engine, id: &AccountId, facts: Facts) -> Result<(), Error> {
    let put = match facts {
        Facts::Main(facts) => engine.put_main(id, facts),
        Facts::Sub { main, facts } => engine.put_sub(id, &main, facts),
    };
    match put {
        Ok(true) => Ok(()),
        Ok(false) => Err(super::Internal::Engine { account: id.clone() }.into()),
        Err(crate::engine::AccountsFull) => Err(Error::TableFull { what: "accounts", most: engine.accounts() }),
    }
}

/// Whose override a write is about. Overrides are never deleted.
fn account_of(write: &Write) -> Option<AccountId> {
    AccountId::parse(write.value.as_ref()?.get("account")?.as_str()?).ok()
}

/// What is active before the first publish: one tier and nothing to ask for.
fn no_policy() -> Policy {
    let plain = |id: &str| PolicyId::parse(id).expect("the built-in ids follow the grammar");
    let unit = |id: &str| Unit { id: plain(id), title: BTreeMap::new(), note: None };
    Policy {
        name: "none".to_owned(),
        title: BTreeMap::new(),
        note: None,
        source: None,
        unlisted_resources: UnlistedResources::Deny,
        utc_offset_ms: 0,
        units: vec![unit("requests"), unit("tokens")],
        tiers: vec![Tier { id: plain("default"), title: BTreeMap::new(), note: None, reached_by: None, grace_ms: 0 }],
        default_tier: 0,
        reservation_ttl_ms: 600_000,
        groups: Vec::new(),
        canonical_json: "{}".to_owned(),
        content_hash: [0; 32],
    }
}

/// Tells the engine of every change from now on. Call it before the first commit.
pub fn follow(store: &Arc<EmbeddedStore>, engine: &Arc<Engine>) -> Following {
    let weak = Arc::downgrade(store);
    let store_of_follower: Weak<dyn AdminStore> = weak;
    let follower = Follower::new(store_of_follower, Arc::clone(engine));
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
    following: Following,
}

impl Follower {
    #[must_use]
    pub fn new(store: Weak<dyn AdminStore>, engine: Arc<Engine>) -> Self {
        Self { store, engine, following: Following::default() }
    }

    /// Reads back what a committed change touched and tells the engine what it means now.
    ///
    /// The store may be ahead of `seq` by what was committed in the same group: telling the engine of a later state
    /// twice is harmless.
    pub fn apply(&self, seq: u64, change: &Changeset) {
        let Some(store) = self.store.upgrade() else { return };
        let touched = Touched::by(change);
        if let Err(error) = touched.tell(&*store, &self.engine) {
            tracing::error!(seq, %error, "the engine could not follow a change");
            self.following.0.lock().get_or_insert_with(|| format!("change {seq}: {error}"));
        }
    }
}

/// What of the engine a change may have moved.
#[derive(Default)]
struct Touched {
    accounts: BTreeSet<AccountId>,
    clamps: bool,
    active: bool,
}

impl Touched {
    fn by(change: &Changeset) -> Self {
        let mut touched = Self::default();
        for write in &change.writes {
            match write.table {
                Table::Accounts => touched.accounts.extend(account_id(&write.key)),
                Table::Overrides => touched.accounts.extend(account_of(write)),
                Table::Clamps => touched.clamps = true,
                Table::Meta => touched.active |= write.key == keys::active(),
                Table::SubAccounts
                | Table::Policies
                | Table::Activations
                | Table::Drafts
                | Table::Schedules
                | Table::Payments
                | Table::PaymentIds
                | Table::PaymentEventIds
                | Table::Operators
                | Table::Sessions
                | Table::ApiKeys
                | Table::RaiseRequests
                | Table::Secrets
                | Table::Due
                | Table::Index
                | Table::Idempotency => {}
            }
        }
        touched
    }

    fn tell(&self, store: &dyn AdminStore, engine: &Engine) -> Result<(), Error> {
        if self.active
            && let Some(active) = read_active(store)?
        {
            engine.activate(Arc::new(read_policy(store, active.value.revision)?), active.value.revision);
        }
        if self.clamps {
            engine.set_clamps(facts::clamps(store)?);
        }
        for id in &self.accounts {
            if let Some(facts) = read_facts(store, id)? {
                put(engine, id, facts)?;
            }
        }
        Ok(())
    }
}
