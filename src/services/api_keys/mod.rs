//! API keys: what machines present, each with scopes, perhaps an end, perhaps one account that it is bound to.
//!
//! A secret is told once, when it is made; its SHA-256 is kept. Requests are checked against the [`Keyring`] in memory.

mod record;

pub use record::{KeyRecord, PreviousSecret, Scope};

use super::checks::Checks;
use super::commit::{Change, Plan};
use super::credentials::{self, Keyring, Kind, SecretHash};
use super::records::Act;
use super::seal::Secret;
use super::stored::{self, Stored};
use super::{Context, Done, Error, Internal, MAX_API_KEYS, Page, Paging, Services, keys};
use crate::domain::ids::AccountId;
use crate::ids::IdKind;
use crate::store::{AdminStore, Key, MAX_SCAN, Table, Write};
use compact_str::CompactString;
use record::UsedRecord;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Longest time for which a rotated secret goes on being taken.
pub const MAX_OVERLAP_MS: i64 = 30 * 24 * 3_600_000;
/// Uses that one change writes.
const MAX_USES: usize = 500;

#[derive(Debug, Clone)]
pub struct NewKey {
    pub name: Option<String>,
    pub scopes: Vec<Scope>,
    pub account: Option<AccountId>,
    pub expires_at_ms: Option<i64>,
}

/// A key as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    pub id: CompactString,
    pub record: KeyRecord,
    #[serde(default)]
    pub last_used_ms: Option<i64>,
    /// The secret that was made just now, told this once.
    #[serde(skip)]
    pub secret: Option<Secret>,
}

/// Makes a key. From the first one on, requests need credentials.
///
/// Errors: the first credential of all is a key that has not the scope `admin`; a bound key has `admin` or `billing`; there is no such main
/// account.
pub fn create(services: &Services, context: &Context, new: &NewKey) -> Result<Done<KeyView>, Error> {
    let id = services.ids.draw(IdKind::ApiKey, context.now);
    let secret = credentials::draw(&services.ids, Kind::Key);
    let hash = SecretHash::of(secret.expose()).to_hex();
    // The number of keys rests on all of them, and whether it is the first credential on the operators too: so all that make
    // one take the same turn.
    let _turn = services.turns.wait(Table::Operators, &Key::empty());
    services.change(context, || {
        context.setup_once(services)?;
        let made = services.keys_made()?;
        services.may_hand_out(context, &new.scopes)?;
        check(context, new, made == 0 && services.operators()? == 0)?;
        if let Some(account) = &new.account {
            services.main_record(account)?;
        }
        if made >= MAX_API_KEYS {
            return Err(Error::TableFull { what: "API keys", most: MAX_API_KEYS });
        }
        let scopes: Vec<Scope> = Scope::ALL.into_iter().filter(|scope| new.scopes.contains(scope)).collect();
        let record = KeyRecord {
            name: new.name.clone(),
            scopes,
            account: new.account.clone(),
            expires_at_ms: new.expires_at_ms,
            created_at_ms: context.now,
            by: context.actor.clone(),
            hash: hash.clone(),
            rotated_at_ms: None,
            previous: None,
            revoked: None,
        };
        let mut change = Change::new("api_key.create", subject(&id))
            .detail("name", &new.name)?
            .detail("scopes", &record.scopes)?
            .detail("account", &new.account)?
            .detail("expires_at_ms", new.expires_at_ms)?
            .expect(Table::ApiKeys, Key::text(&id), None)
            .put(Table::ApiKeys, Key::text(&id), &record)?;
        if let Some(account) = &new.account {
            change = change.subject(super::accounts::subject(account));
        }
        // A secret that is not going to be kept is not told either.
        let secret = (!context.validate_only).then(|| secret.clone());
        Ok(Plan::Change { value: KeyView { id: id.clone(), record, last_used_ms: None, secret }, change })
    })
}

fn check(context: &Context, new: &NewKey, is_first: bool) -> Result<(), Error> {
    let mut checks = Checks::default();
    checks.name("/name", new.name.as_deref());
    checks.ahead("/expires_at", new.expires_at_ms, context.now);
    let has = |scope| new.scopes.contains(&scope);
    if new.scopes.is_empty() {
        checks.fail("/scopes", "required", "give at least one scope");
    } else if new.account.is_some() && (has(Scope::Admin) || has(Scope::Billing)) {
        let detail = "a key bound to an account has the scopes `decide`, `read` and `raise` at most";
        checks.fail("/scopes", "misplaced", detail);
    } else if is_first && !has(Scope::Admin) {
        let detail = "from the first key on every request needs one, so the first has the scope `admin`: else nobody \
            could make the next";
        checks.fail("/scopes", "first_key", detail);
    } else if is_first && new.expires_at_ms.is_some() {
        checks.fail("/expires_at", "first_key", "the first key has no end: else nobody could make another after it");
    }
    checks.done()
}

pub fn get(services: &Services, id: &str) -> Result<Stored<KeyView>, Error> {
    let found: Option<Stored<KeyRecord>> = stored::read(&*services.store, Table::ApiKeys, &Key::text(id))?;
    let found = found.ok_or_else(|| Error::not_found("API key", id))?;
    Ok(found.map(|record| services.key_view(id.into(), record)))
}

/// In the order in which they were made, revoked ones too.
pub fn list(services: &Services, paging: &Paging) -> Result<Page<Stored<KeyView>>, Error> {
    stored::page(&*services.store, (Table::ApiKeys, &Key::empty()), paging, |key, found| {
        let id = id_in(key)?;
        let found = stored::decode::<KeyRecord>(Table::ApiKeys, key, found)?;
        Ok(Some(found.map(|record| services.key_view(id, record))))
    })
}

/// Makes another secret; the present one is taken for `overlap_ms` more. One that was rotated away before ends now.
///
/// Errors: the key is revoked or has expired.
pub fn rotate(services: &Services, context: &Context, id: &str, overlap_ms: i64) -> Result<Done<KeyView>, Error> {
    let secret = credentials::draw(&services.ids, Kind::Key);
    services.change(context, || {
        let mut checks = Checks::default();
        if !(0..=MAX_OVERLAP_MS).contains(&overlap_ms) {
            let detail = format!("an overlap has 0 to {MAX_OVERLAP_MS} milliseconds (30 days)");
            checks.fail("/overlap_ms", "out_of_range", detail);
        }
        checks.done()?;
        let before = get(services, id)?;
        context.may_match(before.revision)?;
        let mut record = before.value.record;
        services.may_hand_out(context, &record.scopes)?;
        if record.revoked.is_some() || record.expires_at_ms.is_some_and(|end| end <= context.now) {
            let detail = format!("API key `{id}` is revoked or has expired: make another one");
            return Err(Error::conflict("conflict", detail));
        }
        let until_ms = context.now.saturating_add(overlap_ms);
        let hash = std::mem::replace(&mut record.hash, SecretHash::of(secret.expose()).to_hex());
        record.previous = (overlap_ms > 0).then_some(PreviousSecret { hash, until_ms });
        record.rotated_at_ms = Some(context.now);
        let change = Change::new("api_key.rotate", subject(id)).detail("overlap_ms", overlap_ms)?;
        let change = put(change, id, before.revision, &record)?;
        let secret = (!context.validate_only).then(|| secret.clone());
        Ok(Plan::Change { value: KeyView { secret, ..services.key_view(id.into(), record) }, change })
    })
}

/// Refuses the key from now on. One that is revoked already stays as it is.
pub fn revoke(services: &Services, context: &Context, id: &str, reason: &str) -> Result<Done<KeyView>, Error> {
    services.change(context, || {
        let mut checks = Checks::default();
        checks.reason("/reason", reason);
        checks.done()?;
        let before = get(services, id)?;
        context.may_match(before.revision)?;
        if before.value.record.revoked.is_some() {
            return Ok(Plan::Unchanged { value: before.value, revision: before.revision });
        }
        let mut record = before.value.record;
        record.previous = None;
        record.revoked = Some(Act::of(context, reason));
        let change = Change::new("api_key.revoke", subject(id)).detail("reason", reason)?;
        let change = put(change, id, before.revision, &record)?;
        Ok(Plan::Change { value: services.key_view(id.into(), record), change })
    })
}

/// Writes down when keys were last used. To be called now and then, and before a stop.
pub fn write_uses(services: &Services) -> Result<(), Error> {
    loop {
        let uses = services.keyring.unwritten(MAX_USES);
        if uses.is_empty() {
            return Ok(());
        }
        let note = |(id, at_ms): &(CompactString, i64)| {
            Write::put(Table::Index, keys::key_used(id), json!(UsedRecord { at_ms: *at_ms }))
        };
        services.store.note(&uses.iter().map(note).collect::<Vec<_>>())?;
        services.keyring.written(&uses);
    }
}

/// What a version knew of uses that kept it in the journal, as notes that take its place.
pub(super) fn uses_of_journal(store: &dyn AdminStore) -> Result<Vec<Write>, Error> {
    let mut notes = Vec::new();
    stored::each::<Value>(store, Table::Index, &keys::keys_used(), |row, found| {
        notes.push(Write::put(Table::Index, row, found.value));
        Ok(())
    })?;
    Ok(notes)
}

/// Puts all keys into the keyring, as the store has them.
pub(super) fn read_into(keyring: &Keyring, store: &dyn AdminStore) -> Result<(), Error> {
    let mut uses = std::collections::HashMap::new();
    for (row, value) in store.notes(Table::Index, &keys::keys_used())? {
        // It is a courtesy to people: one that cannot be read is as if it were not there.
        let used = serde_json::from_value::<UsedRecord>(value).ok();
        uses.extend(keys::key_used_in(&row).zip(used.map(|used| used.at_ms)));
    }
    let mut records = Vec::new();
    stored::each::<KeyRecord>(store, Table::ApiKeys, &Key::empty(), |key, found| {
        let id = id_in(&key)?;
        let used_ms = uses.get(id.as_str()).copied();
        records.push((id, found.value, used_ms));
        Ok(())
    })?;
    keyring.fill(records);
    Ok(())
}

/// Tells the keyring what a key's record holds now.
pub(super) fn follow(store: &dyn AdminStore, keyring: &Keyring, key: &Key) -> Result<(), Error> {
    if let Some(found) = stored::read::<KeyRecord>(store, Table::ApiKeys, key)? {
        keyring.put_key(&id_in(key)?, &found.value);
    }
    Ok(())
}

fn id_in(key: &Key) -> Result<CompactString, Error> {
    let id = key.read().text().ok_or_else(|| Internal::Record {
        table: Table::ApiKeys,
        key: key.clone(),
        why: "its key is not an API key's id".to_owned(),
    })?;
    Ok(id.into())
}

fn subject(id: &str) -> String {
    format!("api_key:{id}")
}

fn put(change: Change, id: &str, revision: u64, record: &KeyRecord) -> Result<Change, Error> {
    change.expect(Table::ApiKeys, Key::text(id), Some(revision)).put(Table::ApiKeys, Key::text(id), record)
}

impl Services {
    /// Errors: roles take two operators, and a secret with these scopes would have all rights alone.
    fn may_hand_out(&self, context: &Context, scopes: &[Scope]) -> Result<(), Error> {
        if !scopes.contains(&Scope::Admin) || !self.four_eyes.roles || context.owns_machine() {
            return Ok(());
        }
        let detail = "roles take two operators here, and this key has all rights alone: on the server's machine it is \
            `quotagate key create --scope admin`, or `key rotate`";
        Err(Error::Forbidden { detail: detail.to_owned() })
    }

    fn key_view(&self, id: CompactString, record: KeyRecord) -> KeyView {
        let last_used_ms = self.keyring.last_used_ms(&id);
        KeyView { id, record, last_used_ms, secret: None }
    }

    /// Keys that were ever made; no more than [`MAX_API_KEYS`] are counted.
    fn keys_made(&self) -> Result<usize, Error> {
        let (mut made, mut after) = (0, None);
        while made < MAX_API_KEYS {
            let batch = self.store.scan(Table::ApiKeys, &Key::empty(), after.as_ref(), MAX_SCAN)?;
            made += batch.len();
            match batch.last() {
                Some((key, _)) if batch.len() == MAX_SCAN => after = Some(key.clone()),
                _ => break,
            }
        }
        Ok(made)
    }
}
