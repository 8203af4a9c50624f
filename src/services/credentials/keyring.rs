//! All credentials in memory: who a secret belongs to, told without the store.
//!
//! Derived as the engine is: built from the store at the start, then told of every change by the follower.

use super::text::{Kind, SecretHash, draw, kind_of};
use crate::domain::ids::{AccountId, OperatorName};
use crate::ids::Ids;
use crate::services::api_keys::{KeyRecord, Scope};
use crate::services::operators::{IDLE_MS, Role, SessionRecord};
use crate::services::seal::Secret;
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
    /// Whether it may do what any of `needed` allows; nothing needed is that it is not for keys.
    #[must_use]
    pub fn has_any(&self, needed: &[Scope]) -> bool {
        !needed.is_empty() && self.scopes.iter().any(|scope| *scope == Scope::Admin || needed.contains(scope))
    }

    #[must_use]
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }
}

/// A login that has not ended.
#[derive(Debug)]
pub struct Session {
    pub id: CompactString,
    pub operator: OperatorName,
    pub ends_at_ms: i64,
    generation: CompactString,
    used: Used,
}

impl Session {
    /// To the minute; the login where it was not used since.
    #[must_use]
    pub fn last_used_ms(&self) -> i64 {
        self.used.at_ms.load(Ordering::Relaxed)
    }

    /// It was open too long, or idle.
    #[must_use]
    pub fn is_over(&self, now: i64) -> bool {
        self.ends_at_ms <= now || now.saturating_sub(self.last_used_ms()) >= IDLE_MS
    }
}

/// An operator as requests know one.
#[derive(Debug, Clone)]
pub struct Standing {
    pub role: Role,
    /// How far above a tier's quota; None: as far as anybody.
    pub ceiling_percent: Option<u32>,
    /// Of the password: sessions of another have ended.
    pub generation: CompactString,
    /// But for this one.
    pub kept_session: Option<CompactString>,
}

impl Standing {
    fn takes(&self, session: &Session) -> bool {
        self.generation == session.generation || self.kept_session.as_ref() == Some(&session.id)
    }
}

/// Whose secret was presented.
#[derive(Debug, Clone)]
pub enum Credential {
    Key(Arc<ApiKey>),
    Session(Arc<Session>, Role),
    /// The token that was printed at the start, as long as there is nothing else.
    Setup,
}

/// When something was last used, to the minute; outlives changes of a key.
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
pub enum NotValid {
    #[error(
        "this is not an API key, session or setup token: one starts with `qg_`, `qs_` or `qt_`, and its last six \
         characters check the others; copy all of it"
    )]
    Malformed,
    #[error("no such API key is valid: it was never made, was revoked or rotated away, or has expired")]
    Key,
    #[error("no such session is valid: log in again")]
    Session,
    #[error("this setup token is not valid: it made the first operator or key already, or is of an earlier start")]
    Setup,
}

/// All credentials. A reader sees a whole state; a change replaces it.
#[derive(Debug, Default)]
pub struct Keyring(ArcSwap<State>);

#[derive(Debug, Default, Clone)]
struct State {
    /// The secrets of keys that are taken, with the time from which one is not any more.
    keys: HashMap<SecretHash, (Arc<ApiKey>, Option<i64>)>,
    /// Every key that was ever made, revoked ones too.
    used: HashMap<CompactString, Arc<Used>>,
    operators: HashMap<OperatorName, Standing>,
    sessions: HashMap<SecretHash, Arc<Session>>,
    /// Kept nowhere else: a start without credentials draws another.
    setup: Option<SecretHash>,
}

impl Keyring {
    /// Whether there is no operator and never was a key. INVARIANT: a revoked key counts, or revoking the last would open
    /// the server.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.load().is_empty()
    }

    /// Draws the token that the first operator or key is made with; an earlier one is not taken any more.
    ///
    /// None: there is an operator or a key.
    pub fn offer_setup(&self, ids: &Ids) -> Option<Secret> {
        self.is_empty().then(|| {
            let token = draw(ids, Kind::Setup);
            self.change(|state| state.setup = Some(SecretHash::of(token.expose())));
            token
        })
    }

    /// Whose secret it is. No I/O and no allocation.
    ///
    /// Errors: it is not one, or not taken at `now`.
    pub fn authenticate(&self, secret: &str, now: i64) -> Result<Credential, NotValid> {
        let kind = kind_of(secret).ok_or(NotValid::Malformed)?;
        let (state, hash) = (self.0.load(), SecretHash::of(secret));
        match kind {
            Kind::Key => {
                let (key, until_ms) = state.keys.get(&hash).ok_or(NotValid::Key)?;
                let over = |end: &Option<i64>| end.is_some_and(|end| end <= now);
                if over(until_ms) || over(&key.expires_at_ms) {
                    return Err(NotValid::Key);
                }
                key.used.note(now);
                Ok(Credential::Key(Arc::clone(key)))
            }
            Kind::Setup => {
                let fits = state.is_empty() && state.setup == Some(hash);
                fits.then_some(Credential::Setup).ok_or(NotValid::Setup)
            }
            Kind::Session => {
                let session = state.sessions.get(&hash).ok_or(NotValid::Session)?;
                let operator = state.operators.get(&session.operator).ok_or(NotValid::Session)?;
                if session.is_over(now) || !operator.takes(session) {
                    return Err(NotValid::Session);
                }
                session.used.note(now);
                Ok(Credential::Session(Arc::clone(session), operator.role))
            }
        }
    }

    /// How far above the tier's quota an operator may go; None: there is no ceiling, or no such operator.
    #[must_use]
    pub fn ceiling_percent(&self, name: &OperatorName) -> Option<u32> {
        self.0.load().operators.get(name).and_then(|operator| operator.ceiling_percent)
    }

    /// None: there is no such operator.
    #[must_use]
    pub fn role(&self, name: &str) -> Option<Role> {
        let name = OperatorName::parse(name).ok()?;
        self.0.load().operators.get(&name).map(|operator| operator.role)
    }

    /// None: it has ended with the password that it was opened by, or otherwise.
    #[must_use]
    pub fn session(&self, id: &str) -> Option<Arc<Session>> {
        let state = self.0.load();
        let session = state.sessions.values().find(|session| session.id == id)?;
        state.operators.get(&session.operator).is_some_and(|operator| operator.takes(session)).then(|| session.clone())
    }

    /// The last use of a key, in whole minutes.
    #[must_use]
    pub fn last_used_ms(&self, id: &str) -> Option<i64> {
        let at = self.0.load().used.get(id).map_or(NEVER, |used| used.at_ms.load(Ordering::Relaxed));
        (at != NEVER).then_some(at)
    }

    /// Keys that were used since it was last told to be written, at most `most` of them.
    pub(in crate::services) fn unwritten(&self, most: usize) -> Vec<(CompactString, i64)> {
        let state = self.0.load();
        let uses = state.used.iter().filter_map(|(id, used)| {
            let at = used.at_ms.load(Ordering::Relaxed);
            (at != used.written_ms.load(Ordering::Relaxed)).then(|| (id.clone(), at))
        });
        uses.take(most).collect()
    }

    pub(in crate::services) fn written(&self, uses: &[(CompactString, i64)]) {
        let state = self.0.load();
        for (id, at) in uses {
            if let Some(used) = state.used.get(id) {
                used.written_ms.store(*at, Ordering::Relaxed);
            }
        }
    }

    /// All keys at once: for the start.
    pub(in crate::services) fn fill(&self, records: Vec<(CompactString, KeyRecord, Option<i64>)>) {
        self.change(|state| records.iter().for_each(|(id, record, used_ms)| state.put_key(id, record, *used_ms)));
    }

    /// Takes over what a key's record holds now.
    pub(in crate::services) fn put_key(&self, id: &CompactString, record: &KeyRecord) {
        self.change(|state| state.put_key(id, record, None));
    }

    /// None: there is no such operator any more, and none of the sessions is taken.
    pub(in crate::services) fn put_operator(&self, name: &OperatorName, standing: Option<Standing>) {
        self.change(|state| match standing {
            Some(ref standing) => _ = state.operators.insert(name.clone(), standing.clone()),
            None => _ = state.operators.remove(name),
        });
    }

    /// None: the session has ended.
    pub(in crate::services) fn put_session(&self, (name, id): (&OperatorName, &str), record: Option<&SessionRecord>) {
        self.change(|state| {
            let Some((hash, record)) = record.and_then(|record| Some((SecretHash::from_hex(&record.hash)?, record)))
            else {
                state.sessions.retain(|_, session| session.id != *id);
                return;
            };
            // A session's record never changes: what is known of its use stays.
            state.sessions.entry(hash).or_insert_with(|| {
                let used = Used::at(record.created_at_ms);
                let SessionRecord { ends_at_ms, ref generation, .. } = *record;
                Arc::new(Session {
                    id: id.into(),
                    operator: name.clone(),
                    ends_at_ms,
                    generation: generation.clone(),
                    used,
                })
            });
        });
    }

    /// The start, the follower and those who open and end sessions change it.
    fn change(&self, change: impl Fn(&mut State)) {
        self.0.rcu(|state| {
            let mut state = State::clone(state);
            change(&mut state);
            state
        });
    }
}

impl State {
    fn is_empty(&self) -> bool {
        self.used.is_empty() && self.operators.is_empty()
    }

    fn put_key(&mut self, id: &CompactString, record: &KeyRecord, used_ms: Option<i64>) {
        let made = || Arc::new(Used::at(used_ms.unwrap_or(NEVER)));
        let used = Arc::clone(self.used.entry(id.clone()).or_insert_with(made));
        self.keys.retain(|_, (key, _)| key.id != *id);
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
            if let Some(hash) = SecretHash::from_hex(hash) {
                self.keys.insert(hash, (Arc::clone(&key), until_ms));
            }
        }
    }
}
