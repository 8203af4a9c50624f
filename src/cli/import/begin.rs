//! What an import works on: the folder, its policy, and where the file was left.

use super::super::data::by_console;
use super::super::{Failure, Streams};
use super::Args;
use crate::app;
use crate::clock::{self, Clock};
use crate::engine::{Engine, Identities, Options};
use crate::ids::Ids;
use crate::services::bulk::{self, Begin, Importer};
use crate::services::records::ImportRecord;
use crate::services::{Error, Services, Stored, boot, follow, policies};
use crate::store::embedded::{self, EmbeddedStore};
use crate::store::{
    AdminStore, AuditCursor, AuditFilter, AuditPage, Changeset, CounterStore, Key, StoreError, StoredAnswer, Table,
    Ticket, Versioned, Write,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of the file that are read at once to compare it with what was read of it before.
const COMPARED_BYTES: usize = 1 << 18;

/// The folder, and for a check one beside it that takes the writes.
pub(super) struct Stores {
    store: Arc<EmbeddedStore>,
    scratch: Option<Scratch>,
}

struct Scratch {
    store: Arc<EmbeddedStore>,
    folder: PathBuf,
}

impl Stores {
    pub fn open(args: &Args, streams: &mut Streams<'_>) -> Result<Self, Failure> {
        let folder = &args.data.path;
        let failed = |error| store_failed(args, &error);
        // ORDER: before opening, which would make a store in whatever folder was named.
        if args.policy.is_none() {
            embedded::must_hold_store(folder).map_err(|error| match error {
                StoreError::NoStore(_) => Failure::Unreadable(format!(
                    "{error}: name the folder that the server was given as `--data`, or begin one with `--policy`"
                )),
                other => failed(other),
            })?;
        }
        writeln!(streams.err, "opening `{}`", folder.display())?;
        let (store, _) = EmbeddedStore::open(folder, options(args)).map_err(failed)?;
        let store = Arc::new(store);
        let scratch = args.check.then(|| Scratch::make(folder)).transpose().map_err(failed)?;
        Ok(Self { store, scratch })
    }

    /// Where records are looked for and where they go.
    fn admin(&self) -> Arc<dyn AdminStore> {
        match &self.scratch {
            None => self.store.clone(),
            Some(scratch) => Arc::new(Above { top: scratch.store.clone(), below: self.store.clone() }),
        }
    }

    pub fn close(self, args: &Args) -> Result<(), Failure> {
        if let Some(Scratch { store, folder }) = self.scratch {
            drop(store);
            _ = std::fs::remove_dir_all(folder);
        }
        self.store.close().map_err(|error| store_failed(args, &error))
    }
}

impl Scratch {
    fn make(folder: &Path) -> Result<Self, StoreError> {
        let folder = folder.join("check");
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::Io { doing: "remove what a check left".to_owned(), why: error.to_string() });
            }
            _ => {}
        }
        let (store, _) = EmbeddedStore::open(&folder, embedded::Options::default())?;
        Ok(Self { store: Arc::new(store), folder })
    }
}

/// The counters are looked at once at most.
fn options(args: &Args) -> embedded::Options {
    let control_cache_bytes = args.cache_mib << 20;
    embedded::Options { control_cache_bytes, counter_cache_bytes: 16 << 20, ..embedded::Options::default() }
}

/// An import that can go on.
pub(super) struct Begun {
    pub importer: Importer,
    /// Behind what was dealt with before.
    pub file: File,
    pub bytes: u64,
    pub before: ImportRecord,
    pub clock: Clock,
}

/// Errors: a file that would overwrite the one that is read.
pub(super) fn check_files(args: &Args) -> Result<(), Failure> {
    let same = |a: &Path, b: &Path| matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if args.bad.as_deref().is_some_and(|bad| same(bad, &args.file)) {
        return Err(Failure::BadInput(format!("`{}` is read and would be overwritten", args.file.display())));
    }
    Ok(())
}

pub(super) fn begin(args: &Args, stores: &Stores, streams: &mut Streams<'_>) -> Result<Begun, Failure> {
    let unreadable = |error| Failure::Unreadable(format!("cannot read `{}`: {error}", args.file.display()));
    let mut file = File::open(&args.file).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    if !about.is_file() {
        let why = "it is no file: what is piped in could not be gone on with after a kill";
        return Err(Failure::Unreadable(format!("cannot read `{}`: {why}", args.file.display())));
    }
    let start_ms = clock::start_ms(clock::wall_ms(), stores.store.health().last_at_ms)
        .map_err(|error| Failure::Unreadable(error.to_string()))?;
    let clock = Clock::system(start_ms);
    publish(args, stores, clock.now_ms())?;
    let store = stores.admin();
    let services = with_policy(args, &store)?;

    let kind = args.what.kind();
    let failed = |error| failed(args, error);
    let known = bulk::progress(&*store, kind).map_err(failed)?;
    let revision = known.as_ref().map_or(0, |known| known.revision);
    let known = known.map(|known| known.value).filter(|_| !args.check);
    let resumed = match known {
        Some(known) => resume(args, &mut file, about.len(), known, streams).map_err(unreadable)?,
        None => None,
    };
    let name = args.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (before, hasher) = resumed.unwrap_or_else(|| (ImportRecord::default(), Sha256::new()));
    let before = ImportRecord { file: name, ..before };
    file.seek(SeekFrom::Start(before.bytes)).map_err(unreadable)?;
    let context = by_console(clock.now_ms());
    let seq = stores.scratch.as_ref().map_or_else(|| stores.store.health().seq, |_| 0);
    let from = Stored { revision: if args.check { 0 } else { revision }, value: before.clone() };
    let counters: Arc<dyn CounterStore> = stores.store.clone();
    let begin = Begin { kind, context, seq, from, hasher };
    let importer = Importer::start(&services, (store, counters), begin).map_err(failed)?;
    Ok(Begun { importer, file, bytes: about.len(), before, clock })
}

/// Where the file was left and what has seen it up to there; None: it is to be read from its start.
fn resume(
    args: &Args,
    file: &mut File,
    len: u64,
    known: ImportRecord,
    streams: &mut Streams<'_>,
) -> std::io::Result<Option<(ImportRecord, Sha256)>> {
    let reported =
        args.bad.as_ref().is_some_and(|bad| std::fs::metadata(bad).is_ok_and(|bad| bad.len() >= known.bad_bytes));
    // Bad lines are told again rather than not at all, and tried again once the file was read to its end.
    let again = known.bad > 0 && (known.bytes == len || known.bad_bytes == 0 || !reported);
    if known.bytes == 0 || known.bytes > len || again {
        return Ok(None);
    }
    let mut hasher = Sha256::new();
    let mut left = known.bytes;
    let mut piece = vec![0; COMPARED_BYTES];
    while left > 0 {
        let most = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        file.read_exact(&mut piece[..most])?;
        hasher.update(&piece[..most]);
        left -= most as u64;
    }
    if hex::encode(hasher.clone().finalize()) != known.sha256 {
        return Ok(None);
    }
    writeln!(streams.err, "going on behind line {}, where a run before has left it", known.lines)?;
    Ok(Some((known, hasher)))
}

/// Publishes the policy that was named. The engine that this takes is built from all that is stored.
fn publish(args: &Args, stores: &Stores, now: i64) -> Result<(), Failure> {
    let Some(policy) = &args.policy else { return Ok(()) };
    let refused = |error: &dyn std::fmt::Display| Failure::BadInput(error.to_string());
    let store = &stores.store;
    let options = Options { most_accounts: usize::MAX, ..Options::default() };
    let (engine, _) = boot::engine(&**store, &**store, options, None).map_err(|error| refused(&error))?;
    follow(store, &engine);
    let services = Services::new(store.clone(), engine, Ids::from_system());
    app::publish(&services, Some(policy), now).map_err(|error| refused(&error))?;
    store.on_apply(Box::new(|_, _| {}));
    Ok(())
}

/// Services with the active policy and an engine without accounts.
fn with_policy(args: &Args, store: &Arc<dyn AdminStore>) -> Result<Services, Failure> {
    let (policy, revision) = policies::in_force(&**store).map_err(|error| failed(args, error))?.ok_or_else(|| {
        let folder = args.data.path.display();
        Failure::BadInput(format!("no policy is active in `{folder}`: name one with `--policy`"))
    })?;
    let engine = Engine::with_identities(Arc::new(policy), revision, &Identities::default(), Options::default());
    Ok(Services::new(store.clone(), Arc::new(engine), Ids::from_system()))
}

pub(super) fn failed(args: &Args, error: Error) -> Failure {
    let folder = args.data.path.display();
    Failure::Unreadable(format!("stopped: {error}; what was taken in before is kept in `{folder}`, run it again"))
}

fn store_failed(args: &Args, error: &StoreError) -> Failure {
    args.data.failed(error, "stop the server to import into its folder")
}

/// A store above another: changes go into the upper one.
struct Above {
    top: Arc<EmbeddedStore>,
    below: Arc<EmbeddedStore>,
}

impl AdminStore for Above {
    fn get(&self, table: Table, key: &Key) -> Result<Option<Versioned>, StoreError> {
        match self.top.get(table, key)? {
            Some(found) => Ok(Some(found)),
            None => self.below.get(table, key),
        }
    }

    /// Of the lower one: whoever scans looks for what was there before.
    fn scan(
        &self,
        table: Table,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Versioned)>, StoreError> {
        self.below.scan(table, prefix, after, limit)
    }

    fn recall(&self, idempotency_key: &[u8], at_ms: i64) -> Result<Option<StoredAnswer>, StoreError> {
        self.below.recall(idempotency_key, at_ms)
    }

    fn commit(&self, change: Changeset) -> Ticket {
        self.top.commit(change)
    }

    fn note(&self, notes: &[Write]) -> Result<(), StoreError> {
        self.top.note(notes)
    }

    fn notes(&self, table: Table, prefix: &Key) -> Result<Vec<(Key, Value)>, StoreError> {
        self.top.notes(table, prefix)
    }

    fn audit(&self, filter: &AuditFilter, after: Option<AuditCursor>, limit: usize) -> Result<AuditPage, StoreError> {
        self.below.audit(filter, after, limit)
    }
}
