//! The history of usage in a sled of its own: disposable, plain inserts.

use super::record::{self, INLINE};
use super::{EmbeddedStore, guarded, sled_db, sled_failed};
use crate::store::{HistoryRecord, HistoryStore, MAX_COUNTER_BYTES, MAX_SCAN, StoreError};
use parking_lot::Mutex;
use sled::{Db, Tree};
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) const SCHEMA: u16 = 1;
const AREA: &str = "the history";
/// sled cleans its file up in the background at this pace; what it flushes is flushed by then anyway.
const FLUSH_EVERY_MS: u64 = 500;

pub(crate) struct HistoryDb {
    pub(super) db: Db,
    tree: Tree,
    folder: PathBuf,
    /// Files beside the data itself that are known to be durable.
    durable: Mutex<HashSet<OsString>>,
    /// How often a record was found damaged.
    damaged: AtomicU64,
}

impl HistoryDb {
    /// Opens the history and moves nothing; the inner error says why it is broken.
    pub(super) fn look(folder: &Path, cache_bytes: u64) -> Result<Result<Self, String>, StoreError> {
        sled_db::open(folder, &sled_db::Tuning { cache_bytes, flush_every_ms: None }, |db| Self::of(db, folder))
    }

    /// Opens the history; a broken one is moved aside, and the second value says why.
    pub(super) fn open(folder: &Path, cache_bytes: u64) -> Result<(Self, Option<String>), StoreError> {
        let tuning = sled_db::Tuning { cache_bytes, flush_every_ms: Some(FLUSH_EVERY_MS) };
        let broken = match sled_db::open(folder, &tuning, |db| Self::of(db, folder))? {
            Ok(history) => return history.settled().map(|history| (history, None)),
            Err(why) => why,
        };
        tracing::error!(why = broken, "the history of usage is broken: moved aside, it begins anew");
        sled_db::move_aside(folder)?;
        match sled_db::open(folder, &tuning, |db| Self::of(db, folder))? {
            Ok(history) => history.settled().map(|history| (history, Some(broken))),
            Err(what) => Err(StoreError::Damaged { area: "a fresh history", what }),
        }
    }

    fn of(db: Db, folder: &Path) -> sled::Result<Self> {
        let tree = db.open_tree("history")?;
        let (durable, damaged) = (Mutex::default(), AtomicU64::new(0));
        Ok(Self { db, tree, folder: folder.to_owned(), durable, damaged })
    }

    /// Without this a power cut could take the folder away together with all that was synced in it.
    fn settled(self) -> Result<Self, StoreError> {
        self.sync()?;
        super::format::sync_folder(self.folder.parent().unwrap_or(Path::new(".")))
            .map_err(StoreError::io("make the history's folder durable"))?;
        Ok(self)
    }

    /// sled makes neither its data nor its other files nor its folder durable.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        guarded(AREA, || sled_db::sync(&self.db, &self.folder))?;
        self.sync_others().map_err(StoreError::io("make the history durable"))
    }

    fn sync_others(&self) -> io::Result<()> {
        let mut durable = self.durable.lock();
        let mut names = HashSet::new();
        for item in std::fs::read_dir(&self.folder)? {
            let item = item?;
            names.insert(item.file_name());
            let known = durable.contains(&item.file_name()) || item.file_name() == "db";
            if !known && item.file_type()?.is_file() {
                match File::open(item.path()) {
                    // sled replaces some of its files in the background.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    opened => opened?.sync_all()?,
                }
            }
        }
        if *durable != names {
            File::open(&self.folder)?.sync_all()?;
            *durable = names;
        }
        Ok(())
    }

    /// How many records there are, and how many are damaged.
    pub(super) fn check(&self) -> Result<(u64, u64), StoreError> {
        guarded(AREA, || {
            let (mut sound, mut damaged) = (0, 0);
            for item in self.tree.iter() {
                let (key, bytes) = item.map_err(sled_failed)?;
                match record::decode(&key, &bytes) {
                    Ok(_) => sound += 1,
                    Err(_) => damaged += 1,
                }
            }
            Ok((sound, damaged))
        })
    }

    /// None: it is damaged.
    fn payload(&self, key: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
        match record::decode(key, bytes) {
            Ok(record) if record.format == INLINE && record.schema == SCHEMA => Some(record.payload.to_vec()),
            Ok(_) | Err(_) => {
                if self.damaged.fetch_add(1, Ordering::Relaxed) == 0 {
                    let key = key.escape_ascii();
                    tracing::error!(%key, "a record of the history is damaged: it and others like it are passed over");
                }
                None
            }
        }
    }
}

impl EmbeddedStore {
    /// How often a record of the history was found damaged since the start, and passed over.
    #[must_use]
    pub fn history_damaged(&self) -> u64 {
        self.history.damaged.load(Ordering::Relaxed)
    }
}

impl HistoryStore for EmbeddedStore {
    fn get_history(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        guarded(AREA, || {
            let bytes = self.history.tree.get(key).map_err(sled_failed)?;
            Ok(bytes.and_then(|bytes| self.history.payload(key, &bytes)))
        })
    }

    fn put_history(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        guarded(AREA, || {
            let tree = &self.history.tree;
            let put = match value {
                Some(value) if value.len() > MAX_COUNTER_BYTES => {
                    return Err(StoreError::TooLarge { bytes: value.len(), most: MAX_COUNTER_BYTES });
                }
                Some(value) => tree.insert(key, record::encode(key, INLINE, SCHEMA, &[value])),
                None => tree.remove(key),
            };
            put.map(drop).map_err(sled_failed)
        })
    }

    fn scan_history(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<HistoryRecord>, StoreError> {
        guarded(AREA, || {
            let mut found = Vec::new();
            for item in self.history.tree.range(from..to) {
                if found.len() >= limit.min(MAX_SCAN) {
                    break;
                }
                let (key, bytes) = item.map_err(sled_failed)?;
                found.extend(self.history.payload(&key, &bytes).map(|value| (key.to_vec(), value)));
            }
            Ok(found)
        })
    }

    fn last_history(&self, from: &[u8], to: &[u8]) -> Result<Option<HistoryRecord>, StoreError> {
        guarded(AREA, || {
            for item in self.history.tree.range(from..to).rev() {
                let (key, bytes) = item.map_err(sled_failed)?;
                if let Some(value) = self.history.payload(&key, &bytes) {
                    return Ok(Some((key.to_vec(), value)));
                }
            }
            Ok(None)
        })
    }

    fn flush_history(&self) -> Result<(), StoreError> {
        guarded(AREA, || self.history.db.flush().map(drop).map_err(sled_failed))
    }

    fn sync_history(&self) -> Result<(), StoreError> {
        self.history.sync()
    }
}
