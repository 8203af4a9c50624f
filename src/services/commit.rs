//! From a plan to one durable change.

use super::{Context, Done, Error, IDEMPOTENCY_KEPT_MS, Internal, Services};
use crate::engine::Place;
use crate::store::{Audit, Changeset, CommitError, Expect, Idempotency, Key, Outcome, StoredAnswer, Table, Write};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// How often a plan is made anew because something it rests on was changed at the same time.
///
/// Changes that contend for one record by nature take turns, see [`super::turns`].
const MAX_ATTEMPTS: usize = 64;

/// Subjects of one entry of the audit log, which refuses more.
const MAX_SUBJECTS: usize = 64;

/// What a use case came to on the state of things that it read.
pub(super) enum Plan<T> {
    /// Things are as asked for already.
    Unchanged { value: T, revision: u64 },
    /// `value` is what there is once `change` is committed.
    Change { value: T, change: Change },
}

/// What the audit log calls a change, and why it was made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deed<'a> {
    /// Noun and verb, such as `account.suspend`.
    pub action: &'static str,
    pub reason: Option<&'a str>,
}

/// What is to be written, what it rests on and what the audit log says.
pub(super) struct Change {
    expects: Vec<Expect>,
    writes: Vec<Write>,
    action: &'static str,
    subject: Vec<String>,
    detail: Value,
    place: Option<Place>,
}

impl Change {
    pub fn new(action: &'static str, subject: String) -> Self {
        Self { expects: Vec::new(), writes: Vec::new(), action, subject: vec![subject], detail: json!({}), place: None }
    }

    /// What it is about as well. Beyond [`MAX_SUBJECTS`] they are left out: name the most telling first.
    pub fn subject(mut self, subject: String) -> Self {
        if self.subject.len() < MAX_SUBJECTS {
            self.subject.push(subject);
        }
        self
    }

    /// A part of the audit entry's detail; what is null is left out.
    pub fn detail(mut self, name: &str, value: impl Serialize) -> Result<Self, Error> {
        let value = to_value(value)?;
        if !value.is_null() {
            self.detail[name] = value;
        }
        Ok(self)
    }

    /// What the change rests on: None is that the record is absent.
    pub fn expect(mut self, table: Table, key: Key, revision: Option<u64>) -> Self {
        self.expects.push(match revision {
            None => Expect::Absent { table, key },
            Some(revision) => Expect::Revision { table, key, revision },
        });
        self
    }

    pub fn put(mut self, table: Table, key: Key, value: impl Serialize) -> Result<Self, Error> {
        self.writes.push(Write::put(table, key, to_value(value)?));
        Ok(self)
    }

    /// What it is about before all else.
    pub fn first_subject(&self) -> &str {
        self.subject.first().map_or("", String::as_str)
    }

    /// Whether nothing would be written.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    pub fn delete(mut self, table: Table, key: Key) -> Self {
        self.writes.push(Write::delete(table, key));
        self
    }

    /// Holds the place of an account until the change has been committed or refused.
    pub fn hold(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// The writes, and what the audit log says of them: what is done, to what, and more of it.
    pub fn into_parts(self) -> (Vec<Write>, Vec<String>, Value) {
        (self.writes, self.subject, self.detail)
    }

    fn for_store(self, context: &Context, value: &impl Serialize) -> Result<Changeset, Error> {
        let idempotency = match &context.idempotency {
            None => None,
            Some(request) => Some(Idempotency {
                key: request.key.clone(),
                fingerprint: request.fingerprint,
                response: to_value(value)?,
                expires_at_ms: context.now.saturating_add(IDEMPOTENCY_KEPT_MS),
            }),
        };
        Ok(Changeset {
            at_ms: context.now,
            expects: self.expects,
            writes: self.writes,
            audit: Audit {
                actor: context.actor.clone(),
                actor_kind: context.actor_kind,
                action: self.action.to_owned(),
                subject: self.subject,
                origin: context.origin.clone(),
                detail: self.detail,
            },
            idempotency,
            accepted_clock: None,
        })
    }
}

impl Services {
    /// Plans and commits; where what the plan rests on was changed in between, plans again.
    ///
    /// So `plan` alone says what is wrong with a request: it sees the new state and compares it with what the caller
    /// has seen. It must draw nothing at random, or the attempts would differ.
    pub(super) fn change<T: Serialize + DeserializeOwned>(
        &self,
        context: &Context,
        plan: impl Fn() -> Result<Plan<T>, Error>,
    ) -> Result<Done<T>, Error> {
        for _ in 0..MAX_ATTEMPTS {
            if let Some(done) = self.recall(context)? {
                return Ok(done);
            }
            if let Some(approval) = &context.approval {
                approval.must_be_open(self, context.now)?;
            }
            let (value, change) = match plan()? {
                Plan::Unchanged { value, revision } if context.approval.is_none() => {
                    return Ok(Done { value, revision: Some(revision), replayed: false });
                }
                Plan::Unchanged { value, .. } => (value, None),
                Plan::Change { value, change } => (value, Some(change)),
            };
            if context.validate_only {
                return Ok(Done { value, revision: None, replayed: false });
            }
            let mut change = under_approval(context, change)?;
            let _place = change.place.take();
            match self.store.commit(change.for_store(context, &value)?).wait() {
                Ok(Outcome::Committed(committed)) => {
                    return Ok(Done { value, revision: Some(committed.seq), replayed: false });
                }
                Ok(Outcome::Replayed(answer)) => return replay(answer),
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Busy)
    }

    pub(super) fn recall<T: DeserializeOwned>(&self, context: &Context) -> Result<Option<Done<T>>, Error> {
        let Some(request) = context.idempotency.as_ref().filter(|_| !context.validate_only) else { return Ok(None) };
        match self.store.recall(&request.key, context.now)? {
            None => Ok(None),
            Some(answer) if answer.fingerprint != request.fingerprint => Err(Error::IdempotencyMismatch),
            Some(answer) => replay(answer).map(Some),
        }
    }
}

/// A change with the end of the approval that it is done under.
fn under_approval(context: &Context, change: Option<Change>) -> Result<Change, Error> {
    match (&context.approval, change) {
        (None, Some(change)) => Ok(change),
        (None, None) => Err(Internal::Change("nothing is to be written").into()),
        (Some(approval), change) => approval.close(change.unwrap_or_else(|| approval.alone()), context),
    }
}

fn replay<T: DeserializeOwned>(answer: StoredAnswer) -> Result<Done<T>, Error> {
    let value = serde_json::from_value(answer.response).map_err(|error| Internal::Record {
        table: Table::Idempotency,
        key: Key::number(answer.seq),
        why: error.to_string(),
    })?;
    Ok(Done { value, revision: Some(answer.seq), replayed: true })
}

fn to_value(value: impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(value).map_err(|_| Internal::Change("a record cannot be written as JSON").into())
}
