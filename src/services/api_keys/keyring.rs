//! The keys in memory: who a secret belongs to, told without the store.
//!
//! Derived as the engine is: built from the store at the start, then told of every change by the follower.

use super::record::{KeyRecord, Scope};
use super::text::{KeyHash, is_well_formed};
use crate::domain::ids::AccountId;
use arc_swap::ArcSwap;
use compact_str::CompactString;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

const MINUTE_MS: i64 = 60_000;
const NEVER: i64 = i64::MIN;

/// A key as requests know it.
#[derive(Debug)]
pub struct ApiKey {
    pub id: CompactString,
    /// The main account that it is bound to: it sees and decides for that one and its sub-accounts only.
    pub account: Option<AccountId>,
    scopes: Vec<Scope>,
    expires_at_ms: Option<i64>,
    used: Arc<Used>,
}

impl ApiKey {
    /// Whether it may do what any of `needed` allows.
    #[must_use]
    pub fn has_any(&self, needed: &[Scope]) -> bool {
        self.scopes.iter().any(|scope| *scope == Scope::Admin || needed.contains(scope))
    }

    #[must_use]
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }
}

/// When a key was last used, to the minute; outlives changes of the key.
#[derive(Debug)]
struct Used {
    at_ms: AtomicI64,
    written_ms: AtomicI64,
}

impl Used {
    fn at(at_ms: i64) -> Self {
        Self { at_ms: AtomicI64::new(at_ms), written_ms: AtomicI64::new(at_ms) }
    }

    fn note(&self, now: i64) {
        let minute = now - now.rem_euclid(MINUTE_MS);
        // Written once a minute only, so that cores do not fight over it.
        if self.at_ms.load(Ordering::Relaxed) < minute {
            self.at_ms.fetch_max(minute, Ordering::Relaxed);
        }
    }
}

/// Why a secret is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAKey {
    #[error(
        "this is not an API key: it starts with `qg_` and its last six characters check the others; copy all of it"
    )]
    Malformed,
    #[error("no such API key is valid: it was never made, was revoked or rotated away, or has expired")]
    Unknown,
}

/// All keys. A reader sees a whole state; a change replaces it.
#[derive(Debug, Default)]
pub struct Keyring(ArcSwap<Keys>);

#[derive(Debug, Default, Clone)]
struct Keys {
    /// The secrets that are taken, with the time from which one is not any more.
    by_hash: HashMap<KeyHash, (Arc<ApiKey>, Option<i64>)>,
    /// Every key that was ever made, revoked ones too.
    used: HashMap<CompactString, Arc<Used>>,
}

impl Keyring {
    /// Whether there was never any key. INVARIANT: a revoked one counts, or revoking the last would open the server.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.load().used.is_empty()
    }

    /// Whose secret it is. No I/O and no allocation.
    ///
    /// Errors: it is not one, or not taken at `now`.
    pub fn authenticate(&self, secret: &str, now: i64) -> Result<Arc<ApiKey>, NotAKey> {
        if !is_well_formed(secret) {
            return Err(NotAKey::Malformed);
        }
        let keys = self.0.load();
        let (key, until_ms) = keys.by_hash.get(&KeyHash::of(secret)).ok_or(NotAKey::Unknown)?;
        let over = |end: &Option<i64>| end.is_some_and(|end| end <= now);
        if over(until_ms) || over(&key.expires_at_ms) {
            return Err(NotAKey::Unknown);
        }
        key.used.note(now);
        Ok(Arc::clone(key))
    }

    /// The last use, in whole minutes.
    #[must_use]
    pub fn last_used_ms(&self, id: &str) -> Option<i64> {
        let at = self.0.load().used.get(id).map_or(NEVER, |used| used.at_ms.load(Ordering::Relaxed));
        (at != NEVER).then_some(at)
    }

    /// What was used since it was last told to be written, at most `most` of them.
    pub(super) fn unwritten(&self, most: usize) -> Vec<(CompactString, i64)> {
        let keys = self.0.load();
        let uses = keys.used.iter().filter_map(|(id, used)| {
            let at = used.at_ms.load(Ordering::Relaxed);
            (at != used.written_ms.load(Ordering::Relaxed)).then(|| (id.clone(), at))
        });
        uses.take(most).collect()
    }

    pub(super) fn written(&self, uses: &[(CompactString, i64)]) {
        let keys = self.0.load();
        for (id, at) in uses {
            if let Some(used) = keys.used.get(id) {
                used.written_ms.store(*at, Ordering::Relaxed);
            }
        }
    }

    /// All of them at once: for the start.
    pub(super) fn fill(&self, records: impl IntoIterator<Item = (CompactString, KeyRecord, Option<i64>)>) {
        let mut keys = Keys::default();
        for (id, record, used_ms) in records {
            keys.put(&id, &record, used_ms);
        }
        self.0.store(Arc::new(keys));
    }

    /// Takes over what a record holds now. The follower alone calls it, so no two changes meet.
    pub(super) fn put(&self, id: &CompactString, record: &KeyRecord) {
        let mut keys = Keys::clone(&self.0.load());
        keys.put(id, record, None);
        self.0.store(Arc::new(keys));
    }
}

impl Keys {
    fn put(&mut self, id: &CompactString, record: &KeyRecord, used_ms: Option<i64>) {
        let made = || Arc::new(Used::at(used_ms.unwrap_or(NEVER)));
        let used = Arc::clone(self.used.entry(id.clone()).or_insert_with(made));
        self.by_hash.retain(|_, (key, _)| key.id != *id);
        if record.revoked.is_some() {
            return;
        }
        let key = Arc::new(ApiKey {
            id: id.clone(),
            account: record.account.clone(),
            scopes: record.scopes.clone(),
            expires_at_ms: record.expires_at_ms,
            used,
        });
        let previous = record.previous.as_ref().map(|previous| (&previous.hash, Some(previous.until_ms)));
        for (hash, until_ms) in [(&record.hash, None)].into_iter().chain(previous) {
            // What cannot be read is nobody's secret.
            if let Some(hash) = KeyHash::from_hex(hash) {
                self.by_hash.insert(hash, (Arc::clone(&key), until_ms));
            }
        }
    }
}
