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
use crate::services::{ActorKind, Context, Done, Error, Internal, MAX_SESSIONS, Services};
use crate::store::{Key, MAX_SCAN, Table};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// A session that was not used for so long has ended.
pub const IDLE_MS: i64 = 12 * 3_600_000;
/// A session has ended after that, however much it is used.
pub const LONGEST_MS: i64 = 7 * 24 * 3_600_000;

/// `sessions`, by (operator, id). It never changes; it goes when it is ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// SHA-256 of the secret, hexadecimal.
    pub hash: String,
    pub created_at_ms: i64,
    pub ends_at_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
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
    };
    let done = services.change(&context, || {
        let mut change = Change::new("session.open", subject(name))
            .detail("session", &id)?
            // A password or role that was changed meanwhile is not passed over.
            .expect(Table::Operators, key(name), Some(found.revision))
            .put(Table::Sessions, row(name, &id), &session)?;
        if let Some(again) = &again {
            let record = OperatorRecord { password: again.clone(), ..found.value.clone() };
            change = change.put(Table::Operators, key(name), &record)?;
        }
        let sessions = services.sessions_of(name)?;
        let (open, over): (Vec<_>, Vec<_>) =
            sessions.into_iter().partition(|(_, session)| session.value.ends_at_ms > context.now);
        let too_many = (open.len() + 1).saturating_sub(MAX_SESSIONS);
        // Ids sort by the time when they were drawn, so the first are the oldest.
        for (row, _) in over.into_iter().chain(open.into_iter().take(too_many)) {
            change = change.delete(Table::Sessions, row);
        }
        let value = LoggedIn { id: id.clone(), role: found.value.role, ends_at_ms, secret: Some(secret.clone()) };
        Ok(Plan::Change { value, change })
    });
    match done {
        Ok(done) => Ok(done.value),
        // The operator was changed just now, again and again.
        Err(Error::Busy) => Err(NotLoggedIn::Wrong),
        Err(error) => Err(error.into()),
    }
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
    for (row, found) in services.sessions_of(name)?.into_iter().rev() {
        let (_, id) = parts_of(&row)?;
        if let Some(session) = services.keyring.session(&id).filter(|session| !session.is_over(now)) {
            open.push(SessionView { id, record: found.value, last_used_ms: session.last_used_ms() });
        }
    }
    Ok(open)
}

/// Ends one session of an operator.
///
/// Errors: there is no such session.
pub fn end_session(services: &Services, context: &Context, (name, id): (&OperatorName, &str)) -> Result<(), Error> {
    services.change(context, || {
        let found: Option<Stored<SessionRecord>> = stored::read(&*services.store, Table::Sessions, &row(name, id))?;
        let found = found.ok_or_else(|| Error::not_found("session", id))?;
        let change = Change::new("session.revoke", subject(name))
            .detail("session", id)?
            .expect(Table::Sessions, row(name, id), Some(found.revision))
            .delete(Table::Sessions, row(name, id));
        Ok(Plan::Change { value: (), change })
    })?;
    Ok(())
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
    services.change(context, || {
        let before = services.operator(name)?.ok_or_else(|| Error::not_found("operator", name))?;
        if before.value.password != found.value.password {
            return Err(Error::conflict("conflict", "the password was changed just now"));
        }
        let record = OperatorRecord { password: hashed.clone(), password_at_ms: context.now, ..before.value.clone() };
        let mut change = Change::new("operator.change", subject(name))
            .detail("password", "new")?
            .expect(Table::Operators, key(name), Some(before.revision))
            .put(Table::Operators, key(name), &record)?;
        for (other, _) in services.sessions_of(name)? {
            if other != row(name, session) {
                change = change.delete(Table::Sessions, other);
            }
        }
        Ok(Plan::Change { value: OperatorView::of(name, &record), change })
    })
}

/// Ends a session; one that has ended already stays so.
pub fn logout(services: &Services, context: &Context, (name, id): (&OperatorName, &str)) -> Result<(), Error> {
    services.change(context, || {
        let change =
            Change::new("session.close", subject(name)).detail("session", id)?.delete(Table::Sessions, row(name, id));
        Ok(Plan::Change { value: (), change })
    })?;
    Ok(())
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

impl Services {
    pub(super) fn sessions_of(&self, name: &OperatorName) -> Result<Vec<(Key, Stored<SessionRecord>)>, Error> {
        let found = self.store.scan(Table::Sessions, &Key::text(name.as_str()), None, MAX_SCAN)?;
        let decoded = |(row, found)| {
            let session = stored::decode(Table::Sessions, &row, found)?;
            Ok((row, session))
        };
        found.into_iter().map(decoded).collect()
    }
}
