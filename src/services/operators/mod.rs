//! Operators: people with a name, a password and a role, and the sessions that they log in to.
//!
//! A password is kept as Argon2id, a session's secret as SHA-256. INVARIANT: once there is an operator there is an owner.

mod delays;
mod hashing;
mod password;
mod role;
mod sessions;

pub use delays::{Delayed, Delays};
pub use password::{MAX_BYTES, MIN_CHARS, PasswordRecord};
pub use role::{Action, Role, table};
pub use sessions::{
    IDLE_MS, LONGEST_MS, LoggedIn, NotLoggedIn, SessionRecord, SessionView, change_password, end_session, login,
    logout, sessions,
};

use super::ceilings::{MAX_CEILING_PERCENT, MIN_CEILING_PERCENT, USUAL_CEILING_PERCENT};
use super::checks::Checks;
use super::commit::{Change, Plan};
use super::credentials::{Keyring, Standing};
use super::seal::Secret;
use super::stored::{self, Stored};
use super::{Context, Done, Error, Internal, MAX_OPERATORS, Page, Paging, Services};
use crate::domain::ids::OperatorName;
use crate::ids::IdKind;
use crate::store::{AdminStore, Key, Table, Write};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// `operators`, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorRecord {
    pub role: Role,
    pub password: PasswordRecord,
    pub created_at_ms: i64,
    pub by: String,
    pub password_at_ms: i64,
    /// Of a reviewer; None: the usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling_percent: Option<u32>,
    /// Drawn anew with every password, so never of two operators, one after the other of one name: sessions that were
    /// opened under another have ended. Empty in records of versions that had none.
    #[serde(default, skip_serializing_if = "CompactString::is_empty")]
    pub generation: CompactString,
    /// The one session of an earlier generation that goes on: in it the password was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_session: Option<CompactString>,
}

impl OperatorRecord {
    /// What the keyring has to know of an operator.
    fn standing(&self) -> Standing {
        Standing {
            role: self.role,
            ceiling_percent: self.ceiling(),
            generation: self.generation.clone(),
            kept_session: self.kept_session.clone(),
        }
    }

    /// How far above a tier's quota the operator may go; None: as far as anybody.
    fn ceiling(&self) -> Option<u32> {
        match self.role {
            Role::Reviewer => Some(self.ceiling_percent.unwrap_or(USUAL_CEILING_PERCENT)),
            Role::Owner => None,
            // They raise nothing.
            Role::Viewer | Role::Support | Role::Publisher => Some(MIN_CEILING_PERCENT),
        }
    }
}

impl OperatorRecord {
    /// The same with another password: all sessions have ended but the one that is kept.
    fn with_password(
        self,
        password: PasswordRecord,
        (generation, kept_session): (CompactString, Option<CompactString>),
        now: i64,
    ) -> Self {
        Self { password, password_at_ms: now, generation, kept_session, ..self }
    }
}

/// An operator as people see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorView {
    pub name: OperatorName,
    pub role: Role,
    pub created_at_ms: i64,
    pub by: String,
    pub password_at_ms: i64,
    #[serde(default)]
    pub ceiling_percent: Option<u32>,
}

impl OperatorView {
    fn of(name: &OperatorName, record: &OperatorRecord) -> Self {
        let OperatorRecord { role, created_at_ms, password_at_ms, .. } = *record;
        let ceiling_percent = record.ceiling().filter(|_| record.role == Role::Reviewer);
        let by = record.by.clone();
        Self { name: name.clone(), role, created_at_ms, by, password_at_ms, ceiling_percent }
    }
}

/// An operator to make.
#[derive(Debug)]
pub struct NewOperator {
    pub name: OperatorName,
    pub role: Role,
    /// Of a reviewer; None: the usual one.
    pub ceiling_percent: Option<u32>,
    pub password: Secret,
}

fn check_ceiling(role: Role, ceiling_percent: Option<u32>) -> Result<(), Error> {
    let mut checks = Checks::default();
    match ceiling_percent {
        Some(_) if role != Role::Reviewer => {
            checks.fail("/ceiling_percent", "misplaced", "only a reviewer has a ceiling");
        }
        Some(percent) if !(MIN_CEILING_PERCENT..=MAX_CEILING_PERCENT).contains(&percent) => {
            let detail =
                format!("a ceiling has {MIN_CEILING_PERCENT} to {MAX_CEILING_PERCENT} percent of the tier's quota");
            checks.fail("/ceiling_percent", "out_of_range", detail);
        }
        _ => {}
    }
    checks.done()
}

/// Makes an operator. It hashes a password.
///
/// Errors: the name is taken; the first one is no owner; the password is too short or too long.
pub fn create(
    services: &Services,
    context: &Context,
    NewOperator { name, role, ceiling_percent, password }: &NewOperator,
) -> Result<Done<OperatorView>, Error> {
    let role = *role;
    check_ceiling(role, *ceiling_percent)?;
    services.may_make_with(context, role)?;
    let (hashed, context) = (hashed(services, password)?, &unrepeated(context));
    let generation = services.ids.draw(IdKind::Generation, context.now);
    let _turn = services.turns.wait(Table::Operators, &Key::empty());
    services.change(context, || {
        context.setup_once(services)?;
        let there = services.operators()?;
        if there == 0 && role != Role::Owner {
            let mut checks = Checks::default();
            checks.fail("/role", "first_operator", "the first operator is an owner: else nobody could make the next");
            checks.done()?;
        }
        if services.operator(name)?.is_some() {
            return Err(Error::conflict("operator_exists", format!("operator {name:?} exists already")));
        }
        if there >= MAX_OPERATORS {
            return Err(Error::TableFull { what: "operators", most: MAX_OPERATORS });
        }
        let record = OperatorRecord {
            role,
            password: hashed.clone(),
            created_at_ms: context.now,
            by: context.actor.clone(),
            password_at_ms: context.now,
            ceiling_percent: *ceiling_percent,
            generation: generation.clone(),
            kept_session: None,
        };
        let change = Change::new("operator.create", subject(name))
            .detail("role", role)?
            .detail("ceiling_percent", OperatorView::of(name, &record).ceiling_percent)?
            .expect(Table::Operators, key(name), None)
            .put(Table::Operators, key(name), &record)?;
        Ok(Plan::Change { value: OperatorView::of(name, &record), change })
    })
}

pub fn get(services: &Services, name: &OperatorName) -> Result<Stored<OperatorView>, Error> {
    let found = services.operator(name)?.ok_or_else(|| Error::not_found("operator", name))?;
    Ok(found.map(|record| OperatorView::of(name, &record)))
}

/// In the order of their names.
pub fn list(services: &Services, paging: &Paging) -> Result<Page<Stored<OperatorView>>, Error> {
    stored::page(&*services.store, (Table::Operators, &Key::empty()), paging, |key, found| {
        let name = name_in(key)?;
        let found = stored::decode::<OperatorRecord>(Table::Operators, key, found)?;
        Ok(Some(found.map(|record| OperatorView::of(&name, &record))))
    })
}

/// What to change of an operator; None: it stays.
#[derive(Debug, Clone, Default)]
pub struct OperatorPatch {
    pub role: Option<Role>,
    /// Of a reviewer.
    pub ceiling_percent: Option<u32>,
    /// A new one ends all sessions.
    pub password: Option<Secret>,
}

/// Changes role or password. It may hash a password.
///
/// Errors: the last owner would be none any more.
pub fn patch(
    services: &Services,
    context: &Context,
    name: &OperatorName,
    patch: &OperatorPatch,
) -> Result<Done<OperatorView>, Error> {
    let hashed = patch.password.as_ref().map(|password| hashed(services, password)).transpose()?;
    let context = &if patch.password.is_some() { unrepeated(context) } else { context.clone() };
    let generation = services.ids.draw(IdKind::Generation, context.now);
    // Whether an owner is left rests on all of them.
    let _turn = services.turns.wait(Table::Operators, &Key::empty());
    services.change(context, || {
        let before = services.operator(name)?.ok_or_else(|| Error::not_found("operator", name))?;
        context.must_match(before.revision)?;
        let mut record = before.value.clone();
        let mut change = Change::new("operator.change", subject(name));
        if let Some(role) = patch.role {
            change = change.detail("before", record.role)?.detail("role", role)?;
            record.role = role;
            // It goes with the role that it was given for.
            record.ceiling_percent = record.ceiling_percent.filter(|_| role == Role::Reviewer);
        }
        if let Some(percent) = patch.ceiling_percent {
            check_ceiling(record.role, Some(percent))?;
            change = change.detail("ceiling_percent", percent)?;
            record.ceiling_percent = Some(percent);
        }
        if let Some(hashed) = &hashed {
            record = record.with_password(hashed.clone(), (generation.clone(), None), context.now);
            change = change.detail("password", "new")?;
        }
        if before.value.role == Role::Owner && record.role != Role::Owner {
            services.another_owner(name)?;
        }
        if record == before.value {
            let value = OperatorView::of(name, &record);
            return Ok(Plan::Unchanged { value, revision: before.revision });
        }
        let change = change.expect(Table::Operators, key(name), Some(before.revision));
        let change = change.put(Table::Operators, key(name), &record)?;
        Ok(Plan::Change { value: OperatorView::of(name, &record), change })
    })
}

/// Removes an operator with all sessions.
///
/// Errors: the last owner stays.
pub fn remove(services: &Services, context: &Context, name: &OperatorName) -> Result<Done<OperatorView>, Error> {
    let _turn = services.turns.wait(Table::Operators, &Key::empty());
    services.change(context, || {
        let before = services.operator(name)?.ok_or_else(|| Error::not_found("operator", name))?;
        context.must_match(before.revision)?;
        if before.value.role == Role::Owner {
            services.another_owner(name)?;
        }
        let change = Change::new("operator.remove", subject(name))
            .detail("role", before.value.role)?
            .expect(Table::Operators, key(name), Some(before.revision))
            .delete(Table::Operators, key(name));
        Ok(Plan::Change { value: OperatorView::of(name, &before.value), change })
    })
}

/// No idempotency key: what is kept of a request under one is a fast hash of its body, and the password is in there.
fn unrepeated(context: &Context) -> Context {
    Context { idempotency: None, ..context.clone() }
}

/// ORDER: before the change is planned, because attempts must not differ.
fn hashed(services: &Services, password: &Secret) -> Result<PasswordRecord, Error> {
    let mut checks = Checks::default();
    if password.expose().chars().count() < MIN_CHARS {
        checks.fail("/password", "too_short", format!("a password has at least {MIN_CHARS} characters"));
    }
    if password.expose().len() > MAX_BYTES {
        checks.fail("/password", "too_long", format!("a password has at most {MAX_BYTES} bytes"));
    }
    checks.done()?;
    PasswordRecord::of(password, &services.ids)
}

/// Puts all operators and sessions into the keyring, as the store has them.
pub(super) fn read_into(keyring: &Keyring, store: &dyn AdminStore) -> Result<(), Error> {
    stored::each::<OperatorRecord>(store, Table::Operators, &Key::empty(), |key, found| {
        keyring.put_operator(&name_in(&key)?, Some(found.value.standing()));
        Ok(())
    })?;
    for (row, session) in sessions::all(store, &Key::empty())? {
        let (name, id) = sessions::parts_of(&row)?;
        keyring.put_session((&name, &id), Some(&session));
    }
    Ok(())
}

/// See [`sessions::of_journal`].
pub(super) fn sessions_of_journal(store: &dyn AdminStore) -> Result<Vec<Write>, Error> {
    sessions::of_journal(store)
}

/// Tells the keyring what an operator's record holds now.
pub(super) fn follow(store: &dyn AdminStore, keyring: &Keyring, key: &Key) -> Result<(), Error> {
    let found: Option<Stored<OperatorRecord>> = stored::read(store, Table::Operators, key)?;
    keyring.put_operator(&name_in(key)?, found.map(|found| found.value.standing()));
    Ok(())
}

fn key(name: &OperatorName) -> Key {
    Key::text(name.as_str())
}

fn name_in(key: &Key) -> Result<OperatorName, Error> {
    key.read().text().and_then(|name| OperatorName::parse(&name).ok()).ok_or_else(|| {
        let why = "its key is not an operator's name".to_owned();
        Internal::Record { table: Table::Operators, key: key.clone(), why }.into()
    })
}

pub(super) fn subject(name: &OperatorName) -> String {
    format!("operator:{name}")
}

impl Services {
    fn operator(&self, name: &OperatorName) -> Result<Option<Stored<OperatorRecord>>, Error> {
        stored::read(&*self.store, Table::Operators, &key(name))
    }

    /// Errors: roles take two operators, and nobody could approve one that is there at once.
    fn may_make_with(&self, context: &Context, role: Role) -> Result<(), Error> {
        if role == Role::Viewer || !self.four_eyes.roles || context.owns_machine() {
            return Ok(());
        }
        let detail =
            "a role takes two operators here: make a `viewer`, then ask for the role with `PATCH /v1/operators/{name}`";
        Err(Error::Forbidden { detail: detail.to_owned() })
    }

    /// How many there are.
    pub(super) fn operators(&self) -> Result<usize, Error> {
        Ok(self.store.scan(Table::Operators, &Key::empty(), None, MAX_OPERATORS)?.len())
    }

    /// Errors: none but this one is an owner.
    fn another_owner(&self, name: &OperatorName) -> Result<(), Error> {
        let mut found = false;
        stored::each::<OperatorRecord>(&*self.store, Table::Operators, &Key::empty(), |other, record| {
            found |= record.value.role == Role::Owner && name_in(&other)? != *name;
            Ok(())
        })?;
        let refused =
            || Error::conflict("last_owner", format!("operator {name:?} is the last owner: make another first"));
        found.then_some(()).ok_or_else(refused)
    }
}
