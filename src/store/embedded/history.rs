//! The history in a tree of its own beside the counters: disposable, plain inserts.

use super::record::{self, INLINE};
use super::{EmbeddedStore, guarded, sled_failed};
use crate::store::{HistoryRecord, HistoryStore, MAX_COUNTER_BYTES, MAX_SCAN, StoreError};

const SCHEMA: u16 = 1;
const AREA: &str = "the history";

impl HistoryStore for EmbeddedStore {
    fn get_history(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        guarded(AREA, || {
            let bytes = self.counters.history.get(key).map_err(sled_failed)?;
            Ok(bytes.and_then(|bytes| payload(key, &bytes)))
        })
    }

    fn put_history(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        guarded(AREA, || {
            let history = &self.counters.history;
            let put = match value {
                Some(value) if value.len() > MAX_COUNTER_BYTES => {
                    return Err(StoreError::TooLarge { bytes: value.len(), most: MAX_COUNTER_BYTES });
                }
                Some(value) => history.insert(key, record::encode(key, INLINE, SCHEMA, &[value])),
                None => history.remove(key),
            };
            put.map(drop).map_err(sled_failed)
        })
    }

    fn scan_history(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<HistoryRecord>, StoreError> {
        guarded(AREA, || {
            let mut found = Vec::new();
            for item in self.counters.history.range(from..to) {
                if found.len() >= limit.min(MAX_SCAN) {
                    break;
                }
                let (key, bytes) = item.map_err(sled_failed)?;
                found.extend(payload(&key, &bytes).map(|value| (key.to_vec(), value)));
            }
            Ok(found)
        })
    }

    fn last_history(&self, from: &[u8], to: &[u8]) -> Result<Option<HistoryRecord>, StoreError> {
        guarded(AREA, || {
            for item in self.counters.history.range(from..to).rev() {
                let (key, bytes) = item.map_err(sled_failed)?;
                if let Some(value) = payload(&key, &bytes) {
                    return Ok(Some((key.to_vec(), value)));
                }
            }
            Ok(None)
        })
    }

    fn flush_history(&self) -> Result<(), StoreError> {
        guarded(AREA, || self.counters.db.flush().map(drop).map_err(sled_failed))
    }
}

/// None: it is damaged.
fn payload(key: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
    match record::decode(key, bytes) {
        Ok(record) if record.format == INLINE && record.schema == SCHEMA => Some(record.payload.to_vec()),
        Ok(_) | Err(_) => {
            tracing::error!(key = %key.escape_ascii(), "a record of the history is damaged and was passed over");
            None
        }
    }
}
