//! Counters in a sled of their own: disposable, written behind, plain inserts.

use super::record::{self, INLINE};
use super::{guarded, sled_db, sled_failed};
use crate::store::{CounterGroup, MAX_COUNTER_BYTES, StoreError};
use sled::{Db, Tree};
use std::path::{Path, PathBuf};

const SCHEMA: u16 = 1;
/// sled cleans its file up in the background at this pace; what it flushes is flushed by then anyway.
const FLUSH_EVERY_MS: u64 = 500;

pub(crate) struct Counters {
    pub(super) db: Db,
    /// What accounts used in the past: see `history`.
    pub(super) history: Tree,
    folder: PathBuf,
}

impl Counters {
    /// Opens the counters and moves nothing; the inner error says why they are broken.
    pub(crate) fn look(folder: &Path, cache_bytes: u64) -> Result<Result<Self, String>, StoreError> {
        let tuning = sled_db::Tuning { cache_bytes, flush_every_ms: None };
        sled_db::open(folder, &tuning, |db| Self::of(db, folder))
    }

    /// Opens the counters; broken ones are moved aside, and the second value says why.
    pub(crate) fn open(folder: &Path, cache_bytes: u64) -> Result<(Self, Option<String>), StoreError> {
        let tuning = sled_db::Tuning { cache_bytes, flush_every_ms: Some(FLUSH_EVERY_MS) };
        let broken = match sled_db::open(folder, &tuning, |db| Self::of(db, folder))? {
            Ok(counters) => return Ok((counters, None)),
            Err(why) => why,
        };
        tracing::error!(why = broken, "the counters are broken: moved aside, usage starts from zero");
        sled_db::move_aside(folder)?;
        match sled_db::open(folder, &tuning, |db| Self::of(db, folder))? {
            Ok(counters) => Ok((counters, Some(broken))),
            Err(what) => Err(StoreError::Damaged { area: "a fresh counter store", what }),
        }
    }

    fn of(db: Db, folder: &Path) -> sled::Result<Self> {
        let history = db.open_tree("history")?;
        Ok(Self { db, history, folder: folder.to_owned() })
    }

    pub(crate) fn put_batch(&self, batch: &[(Vec<u8>, Vec<u8>)]) -> Result<(), StoreError> {
        if let Some((_, value)) = batch.iter().find(|(_, value)| value.len() > MAX_COUNTER_BYTES) {
            return Err(StoreError::TooLarge { bytes: value.len(), most: MAX_COUNTER_BYTES });
        }
        guarded("the counters", || {
            for (key, value) in batch {
                let bytes = record::encode(key, INLINE, SCHEMA, &[value]);
                self.db.insert(key, bytes).map_err(sled_failed)?;
            }
            self.db.flush().map(|_| ()).map_err(sled_failed)
        })
    }

    pub(crate) fn put_groups(&self, mut groups: Vec<CounterGroup>) -> Result<(), StoreError> {
        let values = groups.iter().flatten().filter_map(|(_, value)| value.as_ref());
        if let Some(value) = values.clone().find(|value| value.len() > MAX_COUNTER_BYTES) {
            return Err(StoreError::TooLarge { bytes: value.len(), most: MAX_COUNTER_BYTES });
        }
        // Neighbours are in the same leaf, which is at hand then.
        groups.sort_unstable_by(|one, other| one.first().map(|(key, _)| key).cmp(&other.first().map(|(key, _)| key)));
        guarded("the counters", || {
            for group in groups {
                match &group[..] {
                    [(key, Some(value))] => {
                        let bytes = record::encode(key, INLINE, SCHEMA, &[value]);
                        self.db.insert(key, bytes).map_err(sled_failed)?;
                    }
                    // A batch holds up every other write of the process, so it is for what must stay together.
                    _ => self.db.apply_batch(together(group)).map_err(sled_failed)?,
                }
            }
            self.db.flush().map(|_| ()).map_err(sled_failed)
        })
    }

    pub(crate) fn remove(&self, keys: &[Vec<u8>]) -> Result<(), StoreError> {
        guarded("the counters", || {
            for key in keys {
                self.db.remove(key).map_err(sled_failed)?;
            }
            Ok(())
        })
    }

    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        guarded("the counters", || sled_db::sync(&self.db, &self.folder))
    }

    pub(crate) fn for_each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<u64, StoreError> {
        guarded("the counters", || {
            let mut damaged = 0;
            for item in self.db.iter() {
                let (key, bytes) = item.map_err(sled_failed)?;
                match record::decode(&key, &bytes) {
                    Ok(record) if record.format == INLINE && record.schema == SCHEMA => visit(&key, record.payload),
                    Ok(_) | Err(_) => damaged += 1,
                }
            }
            if damaged > 0 {
                tracing::error!(damaged, "counter records are damaged and were passed over");
            }
            Ok(damaged)
        })
    }
}

fn together(group: CounterGroup) -> sled::Batch {
    let mut batch = sled::Batch::default();
    for (key, value) in group {
        match value {
            Some(value) => {
                let bytes = record::encode(&key, INLINE, SCHEMA, &[&value]);
                batch.insert(key, bytes);
            }
            None => batch.remove(key),
        }
    }
    batch
}
