//! The engine is derived: this builds it from the store, at the start.

use super::credentials::Keyring;
use super::facts::{self, Facts, facts_of};
use super::payments;
use super::policies::{read_active, read_identities, read_policy};
use super::raise_requests::Board;
use super::records::{AccountRecord, Role};
use super::{Context, Error, IDEMPOTENCY_KEPT_MS, Internal, Services, stored, usage};
use super::{api_keys, operators};
use crate::calendar::Calendar;
use crate::domain::ids::{AccountId, PolicyId};
use crate::domain::policy::{Policy, Tier, Unit, UnlistedResources};
use crate::engine::{Engine, Identities, Options, RestoreReport};
use crate::ids::Ids;
use crate::store::{AcceptedClock, AdminStore, Audit, Changeset, CounterStore, Key, Table, Write};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

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
/// All accounts are taken, also where `options` allow fewer by now; no others are created then.
/// Errors: a record is damaged or does not make sense.
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
    // ORDER: usage is read in the light of the accounts and the active revision, and resets in that of the usage.
    report.usage = restore_usage(counters, &engine, accept_until)?;
    usage::redo_resets(store, &engine)?;
    let (accounts, most) = (engine.accounts(), engine.most_accounts());
    if accounts > most {
        tracing::warn!(accounts, most, "more accounts than the maximum: all are served, no others can be created");
    }
    Ok((Arc::new(engine), report))
}

/// All credentials as they are stored.
///
/// Errors: a record is damaged or does not make sense.
pub fn keyring(store: &dyn AdminStore, now: i64) -> Result<Arc<Keyring>, Error> {
    take_over_notes(store, now)?;
    let keyring = Keyring::default();
    api_keys::read_into(&keyring, store)?;
    operators::read_into(&keyring, store)?;
    Ok(Arc::new(keyring))
}

/// Sessions and uses of keys that an older version kept in the journal become notes, once.
fn take_over_notes(store: &dyn AdminStore, now: i64) -> Result<(), Error> {
    let done = Key::text("notes_taken_over");
    let mut notes = operators::sessions_of_journal(store)?;
    notes.extend(api_keys::uses_of_journal(store)?);
    let rows: Vec<Write> = notes.iter().map(|note| Write::delete(note.table, note.key.clone())).collect();
    if store.notes(Table::Meta, &done)?.is_empty() {
        notes.push(Write::put(Table::Meta, done, Value::Bool(true)));
        store.note(&notes)?;
    }
    // ORDER: once they are notes. What was left here would come back where the notes are lost, or not in a backup.
    for rows in rows.chunks(MAX_TAKEN_OVER) {
        let context = Context::system(now);
        let audit = Audit {
            actor: context.actor,
            actor_kind: context.actor_kind,
            action: "notes.take_over".to_owned(),
            subject: vec!["notes".to_owned()],
            origin: context.origin,
            detail: json!({"records": rows.len()}),
        };
        let writes = rows.to_vec();
        let change =
            Changeset { at_ms: now, expects: Vec::new(), writes, audit, idempotency: None, accepted_clock: None };
        store.commit(change).wait()?;
    }
    Ok(())
}

/// Records that one change takes out of the journal's state.
const MAX_TAKEN_OVER: usize = 1_000;

/// The open raise requests by a calendar, and how fast the others were answered.
///
/// Errors: a record is damaged or does not make sense.
pub fn board(store: &dyn AdminStore, calendar: Calendar) -> Result<Arc<Board>, Error> {
    let board = Board::new(calendar);
    board.read_from(store)?;
    Ok(Arc::new(board))
}

/// Services for what no account and no policy has a part in, such as billing sources: their engine is empty.
#[must_use]
pub fn without_accounts(store: Arc<dyn AdminStore>, ids: Ids) -> Services {
    let engine = Engine::with_identities(Arc::new(no_policy()), 0, &Identities::default(), Options::default());
    Services::new(store, Arc::new(engine), ids)
}

/// Main accounts first: a sub-account is refused without its own.
fn put_accounts(store: &dyn AdminStore, engine: &Engine, report: &mut BootReport) -> Result<(), Error> {
    let everything = Key::empty();
    let mut overrides = facts::all_overrides(store)?;
    let mut payments = payments::timelines(store)?;
    stored::each::<AccountRecord>(store, Table::Accounts, &everything, |key, account| {
        if !matches!(account.value.role, Role::Main { .. }) {
            return Ok(());
        }
        let id = account_id(&key)?;
        let own = overrides.remove(&id).unwrap_or_default();
        let facts = facts_of(&account.value, own, payments.remove(&id).map(Arc::new).unwrap_or_default());
        report.accounts += 1;
        put(engine, &id, facts)
    })?;
    stored::each::<AccountRecord>(store, Table::Accounts, &everything, |key, account| {
        if !matches!(account.value.role, Role::Sub { .. }) {
            return Ok(());
        }
        report.sub_accounts += 1;
        put(engine, &account_id(&key)?, facts_of(&account.value, Vec::new(), Arc::default()))
    })
}

fn restore_usage(
    counters: &dyn CounterStore,
    engine: &Engine,
    accept_until: Option<i64>,
) -> Result<RestoreReport, Error> {
    let mut restorer = engine.restorer(accept_until);
    let damaged = counters.for_each(&mut |key, value| restorer.record(key, value))?;
    let (report, unwanted) = restorer.finish();
    // What was dropped now must not come back at a later start, after a power cut neither.
    if !unwanted.is_empty() {
        counters.remove(&unwanted)?;
        counters.sync()?;
    }
    Ok(RestoreReport { damaged: report.damaged + damaged, ..report })
}

/// Writes down that the wall clock was right at `now`, and times stored so far wrong by `behind_ms` or less.
///
/// ORDER: after usage later than `now` was dropped. From here on the last stored time is `now`, so the next start needs
/// no telling.
pub fn accept_clock(services: &Services, now: i64, behind_ms: i64) -> Result<(), Error> {
    let context = Context::system(now);
    let change = Changeset {
        at_ms: now,
        expects: Vec::new(),
        writes: Vec::new(),
        audit: Audit {
            actor: context.actor,
            actor_kind: context.actor_kind,
            action: "server.accept_clock".to_owned(),
            subject: vec!["server".to_owned()],
            origin: context.origin,
            detail: json!({"wall_ms": now, "behind_ms": behind_ms}),
        },
        idempotency: None,
        accepted_clock: Some(AcceptedClock { answers_until_ms: now.saturating_add(IDEMPOTENCY_KEPT_MS) }),
    };
    services.store.commit(change).wait()?;
    Ok(())
}

pub(super) fn account_id(key: &Key) -> Result<AccountId, Error> {
    key.read().text().and_then(|id| AccountId::parse(&id).ok()).ok_or_else(|| {
        Internal::Record { table: Table::Accounts, key: key.clone(), why: "not an account id".to_owned() }.into()
    })
}

/// Tells the engine of an account.
pub(super) fn put(to: &Engine, id: &AccountId, facts: Facts) -> Result<(), Error> {
    let put = match facts {
        Facts::Main(facts) => to.follow_main(id, facts),
        Facts::Sub { main, facts } => to.follow_sub(id, &main, facts),
    };
    if !put {
        return Err(Internal::Engine { account: id.clone() }.into());
    }
    Ok(())
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
        pools: Vec::new(),
        raise_rules: Vec::new(),
        canonical_json: "{}".to_owned(),
        content_hash: [0; 32],
    }
}
