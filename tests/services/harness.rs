//! A control plane over a store in a temporary folder, with a clock that the test moves.

use quotagate::calendar::Calendar;
use quotagate::domain::account::LimitKey;
use quotagate::domain::ids::{AccountId, PolicyId};
use quotagate::domain::quantity::Quota;
use quotagate::engine::{Costs, Decision, Engine, Options as Bounds, Request};
use quotagate::ids::Ids;
use quotagate::services::accounts::{self, Account, NewAccount};
use quotagate::services::history::History;
use quotagate::services::policies::{self, NewRevision, Published, Source, Warnings};
use quotagate::services::sub_accounts::{self, NewSubAccount};
use quotagate::services::{
    ActorKind, Context, Done, Error, Following, IdempotencyRequest, Origin, Services, boot, follow_with,
};
use quotagate::store::embedded::{EmbeddedStore, Options};
use quotagate::store::{AdminStore, AuditFilter, CounterStore};
use std::collections::BTreeMap;
use std::sync::Arc;
use tempfile::TempDir;

pub const START: i64 = 1_790_000_000_000;
pub const MINUTE: i64 = 60_000;

/// Two tiers of a text group (rpm, tpm), a music group and a concurrency limit.
pub const POLICY: &str = r#"
schema: quotagate.policy/v1
name: test
tiers: [{id: free}, {id: paid}, {id: vip}]
default_tier: free
groups:
  - id: text.m2
    resources: [MiniMax-M2]
    limits:
      - {id: rpm, unit: requests, window: 1m, quotas: {free: 3, paid: 500, vip: 1000}}
      - {id: tpm, unit: tokens, window: 1m, quotas: {free: 1000000, paid: 20000000, vip: 20000000}}
  - id: music
    resources: [music-2.0]
    limits:
      - {id: rpm, unit: requests, window: 1m, quotas: {free: 120, paid: 120, vip: 240}}
      - {id: conn, kind: concurrency, quotas: {free: 20, paid: 20, vip: 20}}
  - id: voice
    resources: [voice-cloning]
    limits:
      - {id: rpm, unit: requests, window: 1m, quotas: {free: blocked, paid: 60, vip: 60}}
"#;

pub struct Plane {
    pub services: Services,
    pub following: Following,
    pub store: Arc<EmbeddedStore>,
    pub history: Arc<History>,
    pub now: i64,
    bounds: Bounds,
    folder: TempDir,
}

impl Plane {
    /// An empty store.
    pub fn empty() -> Self {
        Self::bounded(Bounds { most_accounts: 1_000_000, ..Bounds::default() })
    }

    /// An empty store with an engine that takes so many accounts.
    pub fn with_room_for(most_accounts: usize) -> Self {
        Self::bounded(Bounds { most_accounts, ..Bounds::default() })
    }

    /// An empty store with such an engine.
    pub fn bounded(bounds: Bounds) -> Self {
        Self::start(tempfile::tempdir().unwrap(), bounds, (START, 1))
    }

    fn start(folder: TempDir, bounds: Bounds, (now, seed): (i64, u64)) -> Self {
        let (store, engine) = open(&folder, bounds);
        let board = boot::board(&*store, Calendar::china_mainland().clone()).unwrap();
        let following = follow_with(&store, &engine, (&Arc::default(), &board));
        let history = Arc::new(History::new(Arc::clone(&engine), store.clone()));
        let services = Services::new(store.clone(), engine, Ids::seeded(seed))
            .with_history(Arc::clone(&history))
            .with_board(board);
        Self { services, following, store, history, now, bounds, folder }
    }

    /// With [`POLICY`] as revision 1 and the account `acme`.
    pub fn new() -> Self {
        let plane = Self::empty();
        plane.publish(POLICY).unwrap();
        plane.create("acme");
        plane
    }

    /// Stops and starts again from what is stored.
    pub fn restart(self) -> Self {
        let bounds = self.bounds;
        self.restart_with(bounds)
    }

    /// The same under other settings.
    pub fn restart_with(self, bounds: Bounds) -> Self {
        self.flush();
        self.after_kill_with(bounds)
    }

    /// Starts again from what is stored: usage that was not yet written is lost.
    pub fn after_kill(self) -> Self {
        let bounds = self.bounds;
        self.after_kill_with(bounds)
    }

    fn after_kill_with(self, bounds: Bounds) -> Self {
        let Self { services, following: _, store, history, now, bounds: _, folder } = self;
        drop((services, history));
        store.close().unwrap();
        drop(store);
        Self::start(folder, bounds, (now, 2))
    }

    /// Another engine, built from what is stored now.
    pub fn rebuilt(&self) -> Arc<Engine> {
        self.flush();
        boot::engine(&*self.store, &*self.store, self.bounds, None).unwrap().0
    }

    pub fn flush(&self) {
        let mut groups = Vec::new();
        self.engine().drain_dirty(|_, group| groups.push(group));
        self.store.put_groups(groups).unwrap();
    }

    pub fn engine(&self) -> &Arc<Engine> {
        self.services.engine()
    }

    pub fn context(&self) -> Context {
        Context {
            now: self.now,
            actor: "alice".to_owned(),
            actor_kind: ActorKind::Operator,
            origin: Origin::default(),
            if_match: None,
            idempotency: None,
            validate_only: false,
            ceiling_percent: None,
            approval: None,
        }
    }

    pub fn on(&self, revision: u64) -> Context {
        Context { if_match: Some(revision.into()), ..self.context() }
    }

    pub fn only_checked(&self) -> Context {
        Context { validate_only: true, ..self.context() }
    }

    /// With an idempotency key; `body` stands for the request.
    pub fn once(&self, key: &str, body: u8) -> Context {
        let request = IdempotencyRequest { key: key.as_bytes().to_vec(), fingerprint: [body; 32] };
        Context { idempotency: Some(request), ..self.context() }
    }

    pub fn create(&self, id: &str) -> Done<Account> {
        accounts::create(&self.services, &self.context(), new_account(id)).unwrap()
    }

    pub fn create_sub(&self, main: &str, id: &str) -> Done<Account> {
        sub_accounts::create(&self.services, &self.context(), &account(main), new_sub(id)).unwrap()
    }

    /// The present entity tag of an account.
    pub fn tag(&self, id: &str) -> u64 {
        accounts::get(&self.services, &account(id), self.now).unwrap().revision
    }

    pub fn account(&self, id: &str) -> Account {
        accounts::get(&self.services, &account(id), self.now).unwrap().value
    }

    pub fn publish(&self, yaml: &str) -> Result<Done<Published>, Error> {
        let if_match = policies::active(&self.services).unwrap().map(|active| active.revision.into());
        let context = Context { if_match, ..self.context() };
        policies::publish(&self.services, &context, &revision_of(yaml))
    }

    pub fn policy_tag(&self) -> u64 {
        policies::active(&self.services).unwrap().unwrap().revision
    }

    /// One request of one token.
    pub fn decide(&self, account: &str, resource: &str) -> Decision {
        decide(self.engine(), account, resource, self.now)
    }

    /// How many of `tries` requests are allowed.
    pub fn allowed(&self, account: &str, resource: &str, tries: usize) -> usize {
        (0..tries).filter(|_| self.decide(account, resource).allowed()).count()
    }

    /// Actions in the audit log, newest first.
    pub fn audited(&self, subject: &str) -> Vec<String> {
        let filter = AuditFilter { subject: Some(subject.to_owned()), ..AuditFilter::default() };
        let page = self.store.audit(&filter, None, 100).unwrap();
        page.entries.into_iter().map(|entry| entry.audit.action).collect()
    }

    /// The audit log as text, newest first.
    pub fn store_audit_text(&self) -> String {
        let page = self.store.audit(&AuditFilter::default(), None, 100).unwrap();
        page.entries.into_iter().map(|entry| format!("{} {}\n", entry.audit.action, entry.audit.detail)).collect()
    }

    /// Bytes of the folders of counters and history.
    pub fn counters_on_disk(&self) -> u64 {
        let mut folders: Vec<_> = ["counters", "history"].iter().map(|name| self.folder.path().join(name)).collect();
        folders.retain(|folder| folder.exists());
        let mut bytes = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                match entry.file_type().unwrap().is_dir() {
                    true => folders.push(entry.path()),
                    false => bytes += entry.metadata().unwrap().len(),
                }
            }
        }
        bytes
    }

    /// The last committed change.
    pub fn seq(&self) -> u64 {
        self.store.health().seq
    }
}

fn open(folder: &TempDir, bounds: Bounds) -> (Arc<EmbeddedStore>, Arc<Engine>) {
    let options = Options {
        segment_bytes: 4 * 1024 * 1024,
        reserve_bytes: 0,
        ballast_bytes: 0,
        control_cache_bytes: 16 * 1024 * 1024,
        counter_cache_bytes: 16 * 1024 * 1024,
        ..Options::default()
    };
    let store = Arc::new(EmbeddedStore::open(folder.path(), options).unwrap().0);
    let engine = boot::engine(&*store, &*store, bounds, None).unwrap().0;
    (store, engine)
}

pub fn decide(engine: &Engine, account: &str, resource: &str, now: i64) -> Decision {
    let costs = Costs::new(1, 1, []);
    let reserve = None;
    engine.decide(&Request { account, resource, costs: &costs, reserve, dry_run: false }, now).unwrap()
}

pub fn account(id: &str) -> AccountId {
    AccountId::parse(id).unwrap()
}

pub fn id(id: &str) -> PolicyId {
    PolicyId::parse(id).unwrap()
}

pub fn key(group: &str, limit: &str) -> LimitKey {
    LimitKey { group: id(group), limit: id(limit) }
}

pub fn units(n: u64) -> Quota {
    Quota::Units(n)
}

pub fn new_account(id: &str) -> NewAccount {
    NewAccount { id: account(id), tier: None, name: None, labels: BTreeMap::new() }
}

pub fn new_sub(id: &str) -> NewSubAccount {
    NewSubAccount { id: account(id), name: None, labels: BTreeMap::new() }
}

pub fn revision_of(yaml: &str) -> NewRevision {
    NewRevision { source: Source::Text(yaml.to_owned()), reason: "test".to_owned(), warnings: Warnings::Told }
}

/// The conflict's code, or what else it is.
pub fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result.unwrap_err() {
        Error::Conflict { code, .. } => code.to_owned(),
        Error::Invalid(errors) => {
            errors.iter().map(|error| format!("{} {}", error.pointer, error.code)).collect::<Vec<_>>().join(", ")
        }
        Error::NotFound { what, .. } => format!("no {what}"),
        Error::PreconditionRequired => "precondition required".to_owned(),
        Error::Stale { .. } => "stale".to_owned(),
        Error::IdempotencyMismatch => "mismatch".to_owned(),
        Error::TableFull { what, .. } => format!("full: {what}"),
        Error::NotRaisable(why) => format!("{} {}", why.pointer, why.code),
        Error::RaiseRequestOpen { .. } => "raise_request_open".to_owned(),
        Error::OwnRequest { .. } => "own_request".to_owned(),
        Error::AboveCeiling { .. } => "above_ceiling".to_owned(),
        other => format!("{other:?}"),
    }
}

/// Copies a folder with all that is in it.
pub fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for item in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        match item.file_type().unwrap().is_dir() {
            true => copy(&item.path(), &to.join(item.file_name())),
            false => _ = std::fs::copy(item.path(), to.join(item.file_name())).unwrap(),
        }
    }
}
