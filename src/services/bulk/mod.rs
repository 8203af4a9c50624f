//! Many accounts or payment events at once, for a platform that brings over what it has.
//!
//! Owns: one commit for many records, how far a file was taken in, the look ahead at what is not committed yet.
//! Deliberately absent: what an account or an event comes to. That is planned where a request is planned, so a record
//! that came this way is the same. Its audit entry tells of up to [`MAX_SUBJECTS`] accounts instead of one.
//!
//! Only for a store that nobody else writes to and that nobody decides by: no engine follows.
//!
//! INVARIANT: a commit carries how far the file was taken in, and expects it where the commit before left it. So a
//! commit never goes in without the one before, though what it rests on is not named record by record.

mod draft;

use super::accounts::{NewAccount, Past};
use super::commit::{Change, Plan};
use super::payments::NewPayment;
use super::records::{AccountRecord, ImportRecord, Role};
use super::stored::{self, Stored};
use super::sub_accounts::{NewSubAccount, has_usage};
use super::{Context, Error, FieldError, Internal, Services, keys};
use crate::domain::account::MainFacts;
use crate::domain::ids::AccountId;
use crate::domain::ledger::Timeline;
use crate::engine::{Engine, Identities, Options};
use crate::ids::Ids;
use crate::store::{AdminStore, Audit, Changeset, CounterStore, Expect, Key, Table, Ticket, Write};
use draft::Draft;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// Accounts that one audit entry names.
const MAX_SUBJECTS: usize = 64;
/// Records of one commit.
const MAX_RECORDS: usize = 256;
/// Commits that were handed in and not answered yet.
const MAX_WAITING: usize = 64;
/// Accounts whose payments are remembered added up.
const MAX_ADDED_UP: usize = 2_000;

/// What is taken in: each kind has a place of its own in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Accounts,
    Payments,
}

impl Kind {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Payments => "payments",
        }
    }

    const fn action(self) -> &'static str {
        match self {
            Self::Accounts => "account.import",
            Self::Payments => "payment.import",
        }
    }
}

/// An account to take in.
#[derive(Debug, Clone)]
pub struct ImportedAccount {
    pub new: NewAccount,
    /// None: a main account.
    pub parent: Option<AccountId>,
    pub past: Past,
}

/// What a record came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Became {
    New,
    /// It was there already, with the same content.
    Known,
}

/// How far the file of a kind was taken in, and the revision that says it.
pub fn progress(store: &dyn AdminStore, kind: Kind) -> Result<Option<Stored<ImportRecord>>, Error> {
    stored::read(store, Table::Meta, &keys::import(kind.as_str()))
}

/// Where an import begins.
pub struct Begin {
    pub kind: Kind,
    pub context: Context,
    /// The last change of the store.
    pub seq: u64,
    /// How far the file was taken in before; `revision` is that of the record that says so, 0 where there is none.
    pub from: Stored<ImportRecord>,
    /// Has seen the file up to there.
    pub hasher: Sha256,
}

/// Takes records in, many a commit.
pub struct Importer {
    kind: Kind,
    store: Arc<dyn AdminStore>,
    counters: Arc<dyn CounterStore>,
    draft: Arc<Draft>,
    /// Over the draft, with an engine that knows the accounts whose payments are added up.
    services: Services,
    context: Context,
    /// After the last line that was passed.
    at: ImportRecord,
    hasher: Sha256,
    /// The first line of the batch.
    batch_from: u64,
    batch: Batch,
    /// The last change that was handed in; 0 where the record of the progress is not there.
    revision: u64,
    seq: u64,
    waiting: VecDeque<(u64, Ticket)>,
    /// The last change that was handed in when something was last forgotten.
    forgotten_at: u64,
    strangers: Option<HashSet<String>>,
}

impl Importer {
    /// `services` are those of the store with its active policy.
    ///
    /// Errors: the store cannot be read.
    pub fn start(
        services: &Services,
        (store, counters): (Arc<dyn AdminStore>, Arc<dyn CounterStore>),
        begin: Begin,
    ) -> Result<Self, Error> {
        let Begin { kind, context, seq, from, hasher } = begin;
        let families = [
            (Table::Accounts, Key::empty()),
            (Table::PaymentEventIds, Key::empty()),
            (Table::PaymentIds, Key::empty()),
            (Table::Index, keys::ledger_ends()),
            (Table::Index, keys::dues_of()),
            (Table::Index, keys::tallies()),
        ];
        let draft = Arc::new(Draft::over(Arc::clone(&store), families.into())?);
        let services = over(&draft, &services.engine);
        Ok(Self {
            kind,
            store,
            counters,
            draft,
            services,
            context,
            batch_from: from.value.lines + 1,
            at: from.value,
            hasher,
            batch: Batch::default(),
            revision: from.revision,
            seq,
            waiting: VecDeque::new(),
            forgotten_at: 0,
            strangers: None,
        })
    }

    /// Errors: as [`super::accounts::create`] and [`super::sub_accounts::create`]; one that is there with other content.
    pub fn account(&mut self, account: &ImportedAccount) -> Result<Became, Error> {
        let ImportedAccount { new, parent, past } = account;
        let key = keys::account(&new.id);
        if let Some(known) = stored::read::<AccountRecord>(&*self.draft, Table::Accounts, &key)? {
            return same(account, &known.value).map(|()| Became::Known);
        }
        let plan = match parent {
            None => self.services.plan_account(&self.context, new, past)?,
            Some(main) => {
                if self.is_stranger(&new.id)? {
                    return Err(has_usage(&new.id));
                }
                let NewAccount { id, tier, name, labels } = new.clone();
                if tier.is_some() {
                    let detail = "a sub-account has its main account's tier";
                    return Err(Error::Invalid(vec![FieldError::new("/tier", "misplaced", detail)]));
                }
                self.services.plan_sub_account(&self.context, main, &NewSubAccount { id, name, labels }, past)?
            }
        };
        match plan {
            Plan::Unchanged { .. } => Ok(Became::Known),
            Plan::Change { change, .. } => self.take(change),
        }
    }

    /// Errors: as [`super::payments::record`]; a conflict leaves no audit entry.
    pub fn payment(&mut self, new: &NewPayment) -> Result<Became, Error> {
        let (plan, payments) = self.services.plan_event(&self.context, new)?;
        let Plan::Change { change, .. } = plan else { return Ok(Became::Known) };
        if let Some(payments) = payments {
            self.remember(&new.account, payments)?;
        }
        self.take(change)
    }

    /// A line was dealt with, whatever it came to: `bytes` with its end, and what all lines have come to by now.
    pub fn passed(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.at.bytes += bytes.len() as u64;
    }

    /// What the lines have come to.
    pub fn at(&mut self) -> &mut ImportRecord {
        &mut self.at
    }

    /// From now on it is so late.
    pub fn tick(&mut self, now: i64) {
        self.context.now = self.context.now.max(now);
    }

    /// Commits what is left and waits for all of it. Where nothing was new, nothing is written.
    pub fn finish(mut self) -> Result<ImportRecord, Error> {
        self.seal()?;
        self.settle(0)?;
        Ok(self.at)
    }

    fn take(&mut self, change: Change) -> Result<Became, Error> {
        let (writes, subjects, detail) = change.into_parts();
        if !self.batch.has_room_for(&subjects) {
            self.seal()?;
        }
        self.draft.write(&writes);
        self.batch.add(writes, subjects, detail);
        Ok(Became::New)
    }

    /// Hands the batch in, with how far the file was taken in by the line before.
    fn seal(&mut self) -> Result<(), Error> {
        if self.batch.records.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        let key = keys::import(self.kind.as_str());
        self.at.sha256 = hex::encode(self.hasher.clone().finalize());
        let expect = match self.revision {
            0 => Expect::Absent { table: Table::Meta, key: key.clone() },
            revision => Expect::Revision { table: Table::Meta, key: key.clone(), revision },
        };
        let progress = serde_json::to_value(&self.at).map_err(|_| Internal::Change("how far it is cannot be kept"))?;
        let lines = json!({"from": self.batch_from, "to": self.at.lines});
        self.batch_from = self.at.lines + 1;
        let mut writes = batch.writes;
        writes.push(Write::put(Table::Meta, key, progress));
        let change = Changeset {
            at_ms: self.context.now,
            expects: vec![expect],
            writes,
            audit: Audit {
                actor: self.context.actor.clone(),
                actor_kind: self.context.actor_kind,
                action: self.kind.action().to_owned(),
                subject: batch.subjects.into_iter().collect(),
                origin: self.context.origin.clone(),
                detail: json!({"file": self.at.file, "lines": lines, "records": batch.records}),
            },
            idempotency: None,
            accepted_clock: None,
        };
        self.seq += 1;
        self.revision = self.seq;
        self.waiting.push_back((self.seq, self.store.commit(change)));
        self.settle(MAX_WAITING)?;
        if self.draft.is_full() {
            // What is forgotten was planned before the last time, so the commits since then may be under way.
            while self.waiting.front().is_some_and(|(seq, _)| *seq <= self.forgotten_at) {
                self.settle(self.waiting.len() - 1)?;
            }
            self.draft.forget();
            self.forgotten_at = self.seq;
        }
        Ok(())
    }

    /// Waits until so many commits at most are not answered.
    fn settle(&mut self, most: usize) -> Result<(), Error> {
        while self.waiting.len() > most {
            let Some((seq, ticket)) = self.waiting.pop_front() else { break };
            let committed = ticket.wait()?.committed();
            if committed.is_none_or(|committed| committed.seq != seq) {
                return Err(Internal::Change("another one wrote to the store meanwhile").into());
            }
        }
        Ok(())
    }

    /// The engine serves as the memory of what payments add up to.
    fn remember(&mut self, main: &AccountId, payments: Arc<Timeline>) -> Result<(), Error> {
        if self.services.engine.accounts() >= MAX_ADDED_UP {
            self.services = over(&self.draft, &self.services.engine);
        }
        let facts = MainFacts { payments, ..MainFacts::created(self.context.now) };
        if self.services.engine.follow_main(main, facts) {
            return Ok(());
        }
        Err(Internal::Engine { account: main.clone() }.into())
    }

    /// Whether the id has usage although it was never created.
    fn is_stranger(&mut self, id: &AccountId) -> Result<bool, Error> {
        if self.strangers.is_none() {
            let mut with_usage = HashSet::new();
            self.counters.for_each(&mut |key, _| {
                let account = key.split(|&byte| byte == 0).next().unwrap_or_default();
                with_usage.extend(std::str::from_utf8(account).map(str::to_owned));
            })?;
            self.strangers = Some(with_usage);
        }
        // Looked at only for an id that no account has.
        Ok(self.strangers.as_ref().is_some_and(|strangers| strangers.contains(id.as_str())))
    }
}

/// Services over a draft, with an engine that has the policy and no accounts.
fn over(draft: &Arc<Draft>, engine: &Engine) -> Services {
    let snapshot = engine.snapshot();
    let options = Options { most_accounts: usize::MAX, ..Options::default() };
    let policy = Arc::clone(&snapshot.policy);
    let empty = Engine::with_identities(policy, snapshot.revision, &Identities::default(), options);
    let store: Arc<dyn AdminStore> = draft.clone();
    Services::new(store, Arc::new(empty), Ids::seeded(0))
}

/// Whether an account that is there already says the same. A field that may be left out says nothing then.
fn same(account: &ImportedAccount, known: &AccountRecord) -> Result<(), Error> {
    let ImportedAccount { new, parent, past } = account;
    let (main, floor) = match &known.role {
        Role::Main { floor, .. } => (None, floor.as_ref()),
        Role::Sub { main, .. } => (Some(main), None),
    };
    let suspended = known.suspended.as_ref().map(|act| act.reason.as_str());
    let differ: Vec<&str> = [
        ("parent", parent.as_ref() == main),
        ("tier", new.tier.as_ref() == floor),
        ("name", new.name == known.name),
        ("labels", new.labels == known.labels),
        ("created_at", past.created_at_ms.is_none_or(|at| at == known.created_at_ms)),
        ("suspension", past.suspended.as_deref() == suspended),
    ]
    .into_iter()
    .filter_map(|(name, same)| (!same).then_some(name))
    .collect();
    if differ.is_empty() {
        return Ok(());
    }
    let detail = format!("account {:?} exists already, with another {}", new.id, differ.join(", "));
    Err(Error::conflict("account_exists", detail))
}

/// What goes into one commit.
#[derive(Default)]
struct Batch {
    writes: Vec<Write>,
    places: HashMap<(Table, Key), usize>,
    subjects: BTreeSet<String>,
    records: Vec<Value>,
}

impl Batch {
    fn has_room_for(&self, subjects: &[String]) -> bool {
        let more = subjects.iter().filter(|subject| is_account(subject) && !self.subjects.contains(*subject)).count();
        self.records.len() < MAX_RECORDS && self.subjects.len() + more <= MAX_SUBJECTS
    }

    fn add(&mut self, writes: Vec<Write>, mut subjects: Vec<String>, mut detail: Value) {
        for write in writes {
            // A record that is written again is written once, as it is last.
            match self.places.entry((write.table, write.key.clone())) {
                std::collections::hash_map::Entry::Occupied(place) => self.writes[*place.get()] = write,
                std::collections::hash_map::Entry::Vacant(place) => {
                    place.insert(self.writes.len());
                    self.writes.push(write);
                }
            }
        }
        if !subjects.is_empty() {
            detail["subject"] = Value::String(subjects[0].clone());
        }
        subjects.retain(|subject| is_account(subject));
        self.subjects.extend(subjects);
        self.records.push(detail);
    }
}

fn is_account(subject: &str) -> bool {
    subject.starts_with("account:")
}
