//! Sessions: what a login gives, and what ends it.

use super::delays::Delayed;
use super::{OperatorRecord, OperatorView, PasswordRecord, Role, hashed, key, subject, unrepeated};
use crate::domain::ids::OperatorName;
use crate::ids::IdKind;
use crate::services::checks::Checks;
use crate::services::commit::{Change, Plan};
use crate::services::credentials::{self, Kind, SecretHash};
use crate::services::seal::Secret;
use crate::services::stored::{self, Stored};
use crate::services::{ActorKind, Context, Done, Ends, Error, Internal, MAX_SESSIONS, Services};
use crate::store::{AdminStore, Key, StoreError, Table, Write};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A session that was not used for so long has ended.
pub const IDLE_MS: i64 = 12 * 3_600_000;
/// A session has ended after that, however much it is used.
pub const LONGEST_MS: i64 = 7 * 24 * 3_600_000;

/// A note of `sessions`, by (operator, id). It never changes; it goes when it is ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// SHA-256 of the secret, hexadecimal.
    pub hash: String,
    pub created_at_ms: i64,
    pub ends_at_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The operator's when it was opened.
    #[serde(default, skip_serializing_if = "CompactString::is_empty")]
    pub generation: CompactString,
}

/// What a login came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedIn {
    pub id: CompactString,
    pub role: Role,
    pub ends_at_ms: i64,
    #[serde(skip)]
    pub secret: Option<Secret>,
}

/// Why a login is refused.
#[derive(Debug, thiserror::Error)]
pub enum NotLoggedIn {
    /// Whether the name exists is not told.
    #[error("name or password is wrong")]
    Wrong,
    #[error(transparent)]
    Delayed(#[from] Delayed),
    #[error(transparent)]
    Failed(#[from] Error),
}

/// Opens a session. It takes as long whether there is such an operator or not.
///
/// Errors: name or password is wrong. The caller has seen to delays.
pub fn login(
    services: &Services,
    context: &Context,
    name: &OperatorName,
    password: &Secret,
) -> Result<LoggedIn, NotLoggedIn> {
    let found = services.operator(name)?;
    let record = found.as_ref().map_or_else(PasswordRecord::nobodys, |found| found.value.password.clone());
    let fits = record.fits(password)?;
    let Some(found) = found.filter(|_| fits) else { return Err(NotLoggedIn::Wrong) };
    let again = record.is_weak().then(|| PasswordRecord::of(password, &services.ids)).transpose()?;
    let (id, secret) =
        (services.ids.draw(IdKind::Session, context.now), credentials::draw(&services.ids, Kind::Session));
    let context = Context { actor: name.as_str().to_owned(), actor_kind: ActorKind::Operator, ..context.clone() };
    let ends_at_ms = context.now.saturating_add(LONGEST_MS);
    let session = SessionRecord {
        hash: SecretHash::of(secret.expose()).to_hex(),
        created_at_ms: context.now,
        ends_at_ms,
        address: context.origin.address.clone(),
        generation: found.value.generation.clone(),
    };
    if let Some(again) = again {
        hash_again(services, &context, (name, &found), again)?;
    }
    open(services, (name, &id), session, context.now)?;
    // ORDER: after it is open. A password or role that was changed meanwhile is not passed over.
    match services.operator(name)? {
        Some(present) if present.value.generation == found.value.generation => {
            Ok(LoggedIn { id, role: present.value.role, ends_at_ms, secret: Some(secret) })
        }
        _ => {
            close(services, (name, &id))?;
            Err(NotLoggedIn::Wrong)
        }
    }
}

/// Keeps the same password under what costs more to guess now; where the operator was changed just now it stays.
fn hash_again(
    services: &Services,
    context: &Context,
    (name, found): (&OperatorName, &Stored<OperatorRecord>),
    password: PasswordRecord,
) -> Result<(), Error> {
    let done = services.change(context, || {
        let present = services.operator(name)?.filter(|present| present.revision == found.revision);
        let Some(before) = present else { return Ok(Plan::Unchanged { value: (), revision: found.revision }) };
        let record = OperatorRecord { password: password.clone(), ..before.value };
        let change = Change::new("operator.change", subject(name))
            .detail("password", "hashed again")?
            .expect(Table::Operators, key(name), Some(before.revision))
            .put(Table::Operators, key(name), &record)?;
        Ok(Plan::Change { value: (), change })
    });
    match done {
        Ok(_) => Ok(()),
        // The store takes no changes for now: the next login tries again.
        Err(Error::Busy | Error::ReadOnly { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Keeps a session, in the place of those of the operator that are over and of the oldest where there are too many.
fn open(services: &Services, (name, id): (&OperatorName, &str), session: SessionRecord, now: i64) -> Result<(), Error> {
    let prefix = Key::text(name.as_str());
    let _turn = services.turns.wait(Table::Sessions, &prefix);
    let there = all(&*services.store, &prefix)?;
    let is_open = |row: &Key| {
        let (_, id) = parts_of(row)?;
        Ok::<_, Error>(services.keyring.session(&id).is_some_and(|session| !session.is_over(now)))
    };
    let (mut open, mut over) = (Vec::new(), Vec::new());
    for (row, _) in there {
        if is_open(&row)? { open.push(row) } else { over.push(row) }
    }
    let too_many = (open.len() + 1).saturating_sub(MAX_SESSIONS);
    // Ids sort by the time when they were drawn, so the first are the oldest.
    let gone: Vec<Key> = over.into_iter().chain(open.into_iter().take(too_many)).collect();
    let value = serde_json::to_value(&session).map_err(|_| Internal::Change("a session cannot be written as JSON"))?;
    let mut notes = vec![Write::put(Table::Sessions, row(name, id), value)];
    notes.extend(gone.iter().map(|row| Write::delete(Table::Sessions, row.clone())));
    kept(services.store.note(&notes))?;
    for row in &gone {
        let (name, id) = parts_of(row)?;
        services.keyring.put_session((&name, &id), None);
    }
    services.keyring.put_session((name, id), Some(&session));
    Ok(())
}

/// Ends a session; one that has ended already stays so.
fn close(services: &Services, (name, id): (&OperatorName, &str)) -> Result<(), Error> {
    let _turn = services.turns.wait(Table::Sessions, &Key::text(name.as_str()));
    kept(services.store.note(&[Write::delete(Table::Sessions, row(name, id))]))?;
    services.keyring.put_session((name, id), None);
    Ok(())
}

/// A session as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionView {
    pub id: String,
    pub record: SessionRecord,
    /// To the minute; the login where it was not used since then, or since the last start.
    pub last_used_ms: i64,
}

/// The sessions of an operator that have not ended, the newest first.
///
/// Errors: there is no such operator.
pub fn sessions(services: &Services, name: &OperatorName, now: i64) -> Result<Vec<SessionView>, Error> {
    services.operator(name)?.ok_or_else(|| Error::not_found("operator", name))?;
    let mut open = Vec::new();
    for (row, record) in all(&*services.store, &Key::text(name.as_str()))?.into_iter().rev() {
        let (_, id) = parts_of(&row)?;
        if let Some(session) = services.keyring.session(&id).filter(|session| !session.is_over(now)) {
            open.push(SessionView { id, record, last_used_ms: session.last_used_ms() });
        }
    }
    Ok(open)
}

/// Ends one session of an operator.
///
/// Errors: there is no such session.
pub fn end_session(services: &Services, context: &Context, (name, id): (&OperatorName, &str)) -> Result<(), Error> {
    let there = all(&*services.store, &row(name, id))?;
    if there.is_empty() {
        return Err(Error::not_found("session", id));
    }
    // ORDER: in the audit log first, so that none ends without its entry. Who is not answered asks again.
    services.change(context, || {
        let change = Change::new("session.revoke", subject(name)).detail("session", id)?;
        Ok(Plan::Change { value: (), change })
    })?;
    if context.validate_only { Ok(()) } else { close(services, (name, id)) }
}

/// Sets another password in place of the present one; all other sessions end. It hashes two passwords.
///
/// Errors: the present one is another; the new one is too short or too long. The caller has seen to delays.
pub fn change_password(
    services: &Services,
    context: &Context,
    (name, session): (&OperatorName, &str),
    (current, new): (&Secret, &Secret),
) -> Result<Done<OperatorView>, Error> {
    let found = services.operator(name)?.ok_or_else(|| Error::not_found("operator", name))?;
    let mut checks = Checks::default();
    if !found.value.password.fits(current)? {
        checks.fail("/current", "wrong", "this is not the present password");
    }
    checks.done()?;
    let hashed = hashed(services, new)?;
    let context = &unrepeated(context);
    let generation = services.ids.draw(IdKind::Generation, context.now);
    services.change(context, || {
        let before = services.operator(name)?.ok_or_else(|| Error::not_found("operator", name))?;
        if before.value.password != found.value.password {
            return Err(Error::conflict("conflict", "the password was changed just now"));
        }
        let generations = (generation.clone(), Some(CompactString::from(session)));
        let record = before.value.with_password(hashed.clone(), generations, context.now);
        let change = Change::new("operator.change", subject(name))
            .detail("password", "new")?
            .expect(Table::Operators, key(name), Some(before.revision))
            .put(Table::Operators, key(name), &record)?;
        Ok(Plan::Change { value: OperatorView::of(name, &record), change })
    })
}

/// Ends the caller's own session; one that has ended already stays so.
pub fn logout(services: &Services, context: &Context, (name, id): (&OperatorName, &str)) -> Result<(), Error> {
    if context.validate_only { Ok(()) } else { close(services, (name, id)) }
}

/// The disk refuses: that is told as of any change.
fn kept(noted: Result<(), StoreError>) -> Result<(), Error> {
    noted.map_err(|error| match error {
        StoreError::Io { .. } => Error::ReadOnly { why: error.to_string(), ends: Ends::ByItself },
        error => error.into(),
    })
}

pub(super) fn row(name: &OperatorName, id: &str) -> Key {
    Key::build().text(name.as_str()).text(id).finish()
}

/// Operator and id of a session.
pub(super) fn parts_of(row: &Key) -> Result<(OperatorName, String), Error> {
    let mut parts = row.read();
    let name = parts.text().and_then(|name| OperatorName::parse(&name).ok());
    name.zip(parts.text()).ok_or_else(|| {
        let why = "its key is not a session's".to_owned();
        Internal::Record { table: Table::Sessions, key: row.clone(), why }.into()
    })
}

/// Sessions by their key, those of one operator under its name.
pub(super) fn all(store: &dyn AdminStore, prefix: &Key) -> Result<Vec<(Key, SessionRecord)>, Error> {
    let decoded = |(row, value): (Key, Value)| {
        let session = serde_json::from_value(value);
        let session = session.map_err(|error| Internal::Record {
            table: Table::Sessions,
            key: row.clone(),
            why: error.to_string(),
        })?;
        Ok((row, session))
    };
    store.notes(Table::Sessions, prefix)?.into_iter().map(decoded).collect()
}

/// Takes over sessions that a version wrote that kept them in the journal. Returns the notes that take their place.
pub(super) fn of_journal(store: &dyn AdminStore) -> Result<Vec<Write>, Error> {
    let mut notes = Vec::new();
    stored::each::<Value>(store, Table::Sessions, &Key::empty(), |row, found| {
        notes.push(Write::put(Table::Sessions, row, found.value));
        Ok(())
    })?;
    Ok(notes)
}
