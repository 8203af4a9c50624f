//! Reading records as what they mean, one at a time and in pages.

use super::{Cursor, Error, Internal, MAX_EXAMINED, MAX_PAGE, Page, Paging};
use crate::store::{AdminStore, Key, MAX_SCAN, Table, Versioned};
use serde::de::DeserializeOwned;

/// Something kept, and the revision it is at: its entity tag.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored<T> {
    pub revision: u64,
    pub value: T,
}

impl<T> Stored<T> {
    #[must_use]
    pub fn map<U>(self, to: impl FnOnce(T) -> U) -> Stored<U> {
        Stored { revision: self.revision, value: to(self.value) }
    }
}

pub(super) fn read<T: DeserializeOwned>(
    store: &dyn AdminStore,
    table: Table,
    key: &Key,
) -> Result<Option<Stored<T>>, Error> {
    store.get(table, key)?.map(|found| decode(table, key, found)).transpose()
}

pub(super) fn decode<T: DeserializeOwned>(table: Table, key: &Key, found: Versioned) -> Result<Stored<T>, Error> {
    let value = serde_json::from_value(found.value).map_err(|error| Internal::Record {
        table,
        key: key.clone(),
        why: error.to_string(),
    })?;
    Ok(Stored { revision: found.revision, value })
}

/// Visits every record under a prefix, in key order.
pub(super) fn each<T: DeserializeOwned>(
    store: &dyn AdminStore,
    table: Table,
    prefix: &Key,
    mut visit: impl FnMut(Key, Stored<T>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut after = None;
    loop {
        let batch = store.scan(table, prefix, after.as_ref(), MAX_SCAN)?;
        let last = batch.len() < MAX_SCAN;
        after = batch.last().map(|(key, _)| key.clone());
        for (key, found) in batch {
            let found = decode(table, &key, found)?;
            visit(key, found)?;
        }
        if last {
            return Ok(());
        }
    }
}

/// A page of what `keep` makes of the records under a prefix; it passes over those it gives None for.
///
/// A page ends early once [`MAX_EXAMINED`] records were looked at, so that no filter makes a read unbounded.
pub(super) fn page<T>(
    store: &dyn AdminStore,
    (table, prefix): (Table, &Key),
    paging: &Paging,
    mut keep: impl FnMut(&Key, Versioned) -> Result<Option<T>, Error>,
) -> Result<Page<T>, Error> {
    let size = paging.size.clamp(1, MAX_PAGE);
    let mut after = paging.after.clone().map(|Cursor(bytes)| Key::from_bytes(bytes));
    let mut items = Vec::new();
    let mut examined = 0;
    loop {
        // One more than may be needed tells whether anything is left.
        let asked = (size + 1).max(MAX_SCAN.min(examined));
        let batch = store.scan(table, prefix, after.as_ref(), asked)?;
        let short = batch.len() < asked;
        let mut records = batch.into_iter().peekable();
        while let Some((key, found)) = records.next() {
            examined += 1;
            items.extend(keep(&key, found)?);
            let more = !short || records.peek().is_some();
            if more && (items.len() == size || examined >= MAX_EXAMINED) {
                return Ok(Page { items, next: Some(Cursor(key.as_bytes().to_vec())) });
            }
            after = Some(key);
        }
        if short {
            return Ok(Page { items, next: None });
        }
    }
}
