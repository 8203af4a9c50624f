//! Revisions of the policy: publish, read, activate.

use super::checks::Checks;
use super::commit::{Change, Deed, Plan};
use super::due::same_rules;
use super::records::{Act, ActivationRecord, ActiveRecord, RevisionRecord, WarningRecord};
use super::stored::{self, Stored};
use super::{Context, Done, Error, FieldError, Internal, Page, Paging, Services, keys};
use crate::domain::policy::Policy;
use crate::engine::{Identities, IdentitiesRecord};
use crate::policy::{Finding, Parsed};
use crate::store::{AdminStore, Key, Table};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// A policy document as it was sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Json(Value),
    /// YAML, or JSON as text.
    Text(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewRevision {
    pub source: Source,
    /// May be empty.
    pub reason: String,
    pub warnings: Warnings,
}

/// What the warnings of a document do to its publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warnings {
    Told,
    Refused,
}

/// A revision that was made active.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Published {
    pub head: RevisionRecord,
    pub activation: ActivationRecord,
}

/// A revision with its document.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    pub head: RevisionRecord,
    pub document: Value,
    pub active: bool,
}

/// The active revision, compiled.
#[derive(Debug, Clone)]
pub struct ActivePolicy {
    pub active: ActiveRecord,
    pub policy: Arc<Policy>,
}

/// A revision that is to become the active one.
struct Turn<'a> {
    /// The pointer as it was read.
    before: Option<&'a Stored<ActiveRecord>>,
    last_revision: u64,
    revision: u64,
    policy: &'a Policy,
    reason: &'a str,
}

/// Publishes a whole document as the next revision, which is active at once.
///
/// Errors: every error of the document with its pointer; the same content as the active revision's.
pub fn publish(services: &Services, context: &Context, new: &NewRevision) -> Result<Done<Published>, Error> {
    let parsed = parse(&new.source, new.warnings)?;
    services.change(context, || {
        let active = services.active()?;
        match &active {
            Some(active) => context.must_match(active.revision)?,
            None if context.if_match.is_some() => return Err(Error::Stale { current: None }),
            None => {}
        }
        services.next_revision(context, active, &parsed, Deed { action: "policy.publish", reason: Some(&new.reason) })
    })
}

/// Makes an earlier revision active again. Usage of limits that the two share stays.
pub fn activate(services: &Services, context: &Context, revision: u64, reason: &str) -> Result<Done<Published>, Error> {
    services.change(context, || {
        let head = services.head(revision)?;
        let active = services.active()?.ok_or_else(|| Error::not_found("revision", revision))?;
        context.may_match(active.revision)?;
        let mut checks = Checks::default();
        checks.note("/reason", reason);
        checks.done()?;
        if active.value.revision == revision {
            return Err(Error::conflict("already_active", format!("revision {revision} is active already")));
        }
        let policy = read_policy(&*services.store, revision)?;
        let change = Change::new("policy.activate", subject(revision));
        let turn = Turn {
            last_revision: active.value.last_revision,
            before: Some(&active),
            revision,
            policy: &policy,
            reason,
        };
        let (change, activation) = services.activation(context, change, &turn)?;
        Ok(Plan::Change { value: Published { head: head.value, activation }, change })
    })
}

/// The newest first.
pub fn list(services: &Services, paging: &Paging) -> Result<Page<Stored<RevisionRecord>>, Error> {
    stored::page(&*services.store, (Table::Policies, &keys::revisions()), paging, |key, found| {
        stored::decode(Table::Policies, key, found).map(Some)
    })
}

pub fn get(services: &Services, revision: u64) -> Result<Stored<Revision>, Error> {
    let head = services.head(revision)?;
    let document = document(&*services.store, revision)?;
    let active = services.active()?.is_some_and(|active| active.value.revision == revision);
    Ok(head.map(|head| Revision { head, document, active }))
}

/// The active revision; its entity tag is what a publish names. None: nothing was ever published.
pub fn active(services: &Services) -> Result<Option<Stored<ActivePolicy>>, Error> {
    let Some(Stored { revision, value: active }) = services.active()? else { return Ok(None) };
    let policy = services.policy_at(active.revision)?;
    Ok(Some(Stored { revision, value: ActivePolicy { active, policy } }))
}

/// The active policy with its revision, without an engine.
pub fn in_force(store: &dyn AdminStore) -> Result<Option<(Policy, u64)>, Error> {
    let Some(active) = read_active(store)? else { return Ok(None) };
    Ok(Some((read_policy(store, active.value.revision)?, active.value.revision)))
}

/// What was active when, the newest first.
pub fn activations(services: &Services, paging: &Paging) -> Result<Page<Stored<ActivationRecord>>, Error> {
    stored::page(&*services.store, (Table::Activations, &Key::empty()), paging, |key, found| {
        stored::decode(Table::Activations, key, found).map(Some)
    })
}

/// Reads a document, with its findings as errors of the request's field `document`.
pub(super) fn parse(source: &Source, warnings: Warnings) -> Result<Parsed, Error> {
    let parsed = match source {
        Source::Json(json) => crate::policy::from_json(json),
        Source::Text(text) => crate::policy::parse(text),
    };
    let parsed = parsed.map_err(|findings| as_errors(&findings))?;
    if warnings == Warnings::Refused && !parsed.warnings.is_empty() {
        return Err(as_errors(&parsed.warnings));
    }
    Ok(parsed)
}

fn as_errors(findings: &[Finding]) -> Error {
    let error = |finding: &Finding| FieldError {
        pointer: format!("/document{}", pointer(&finding.path)),
        code: finding.code.as_str().into(),
        detail: match finding.line {
            None => finding.message.clone(),
            Some(line) => format!("line {line}: {}", finding.message),
        },
    };
    Error::Invalid(findings.iter().map(error).collect())
}

/// A path such as `groups[2].quotas["a.b"]` as a JSON pointer.
fn pointer(path: &str) -> String {
    let mut pointer = String::new();
    let mut rest = path;
    while !rest.is_empty() {
        let (step, after) = if let Some(quoted) = rest.strip_prefix("[\"") {
            quoted.split_once("\"]").unwrap_or((quoted, ""))
        } else if let Some(index) = rest.strip_prefix('[') {
            index.split_once(']').unwrap_or((index, ""))
        } else {
            let plain = rest.strip_prefix('.').unwrap_or(rest);
            plain.split_at(plain.find(['.', '[']).unwrap_or(plain.len()))
        };
        pointer.push('/');
        pointer.push_str(&step.replace('~', "~0").replace('/', "~1"));
        rest = after;
    }
    pointer
}

pub(super) fn subject(revision: u64) -> String {
    format!("policy:{revision}")
}

/// A stored revision's document, canonical.
pub(super) fn document(store: &dyn AdminStore, revision: u64) -> Result<Value, Error> {
    let found = store.get(Table::Policies, &keys::document(revision))?;
    Ok(found.ok_or_else(|| Error::not_found("revision", revision))?.value)
}

pub(super) fn read_policy(store: &dyn AdminStore, revision: u64) -> Result<Policy, Error> {
    let document = document(store, revision)?;
    match crate::policy::from_json(&document) {
        Ok(parsed) => Ok(parsed.policy),
        Err(findings) => {
            let why = findings.first().map_or_else(String::new, ToString::to_string);
            Err(Internal::Policy { revision, why }.into())
        }
    }
}

pub(super) fn read_identities(store: &dyn AdminStore) -> Result<Identities, Error> {
    let found = stored::read::<IdentitiesRecord>(store, Table::Meta, &keys::identities())?;
    Ok(found.map_or_else(Identities::default, |found| Identities::from_record(found.value)))
}

pub(super) fn read_active(store: &dyn AdminStore) -> Result<Option<Stored<ActiveRecord>>, Error> {
    stored::read(store, Table::Meta, &keys::active())
}

impl Services {
    pub(super) fn active(&self) -> Result<Option<Stored<ActiveRecord>>, Error> {
        read_active(&*self.store)
    }

    /// The policy of a revision that is active, is about to be or was just now.
    pub(super) fn policy_at(&self, revision: u64) -> Result<Arc<Policy>, Error> {
        let snapshot = self.engine.snapshot();
        if snapshot.revision == revision {
            return Ok(Arc::clone(&snapshot.policy));
        }
        // Committed, and the engine is about to be told.
        Ok(Arc::new(read_policy(&*self.store, revision)?))
    }

    fn head(&self, revision: u64) -> Result<Stored<RevisionRecord>, Error> {
        stored::read(&*self.store, Table::Policies, &keys::revision(revision))?
            .ok_or_else(|| Error::not_found("revision", revision))
    }

    /// The plan that publishes a document: the revision, the pointer to it, its activation, its identities.
    pub(super) fn next_revision(
        &self,
        context: &Context,
        active: Option<Stored<ActiveRecord>>,
        parsed: &Parsed,
        deed: Deed<'_>,
    ) -> Result<Plan<Published>, Error> {
        let reason = deed.reason.unwrap_or_default();
        let mut checks = Checks::default();
        checks.note("/reason", reason);
        checks.done()?;
        let content_hash = hex::encode(parsed.policy.content_hash);
        if let Some(active) = active.as_ref().filter(|active| active.value.content_hash == content_hash) {
            let detail = format!("the content is that of the active revision {}", active.value.revision);
            return Err(Error::conflict("unchanged", detail));
        }
        let last_revision = active.as_ref().map_or(0, |active| active.value.last_revision) + 1;
        let head = RevisionRecord {
            revision: last_revision,
            name: parsed.policy.name.clone(),
            content_hash,
            published: Act::of(context, reason),
            warnings: parsed.warnings.iter().map(WarningRecord::of).collect(),
        };
        let document: Value = serde_json::from_str(&parsed.policy.canonical_json)
            .map_err(|_| Internal::Change("the canonical document is not JSON"))?;
        let change = Change::new(deed.action, subject(last_revision))
            .detail("name", &head.name)?
            .detail("warnings", head.warnings.len())?
            .expect(Table::Policies, keys::revision(last_revision), None)
            .put(Table::Policies, keys::revision(last_revision), &head)?
            .put(Table::Policies, keys::document(last_revision), document)?;
        let turn =
            Turn { before: active.as_ref(), last_revision, revision: last_revision, policy: &parsed.policy, reason };
        let (change, activation) = self.activation(context, change, &turn)?;
        Ok(Plan::Change { value: Published { head, activation }, change })
    }

    /// Adds to a change that a revision becomes the active one. It rests on the pointer as it was read.
    fn activation(
        &self,
        context: &Context,
        change: Change,
        turn: &Turn<'_>,
    ) -> Result<(Change, ActivationRecord), Error> {
        let Turn { before, last_revision, revision, policy, reason } = *turn;
        // INVARIANT: read after the pointer, and changed only together with it: if the pointer is still as it was
        // when this is committed, so are these.
        let identities = read_identities(&*self.store)?.activate(policy);
        let number = before.map_or(0, |before| before.value.activation) + 1;
        let previous = before.map(|before| before.value.revision);
        let activation = ActivationRecord { activation: number, revision, previous, done: Act::of(context, reason) };
        let content_hash = hex::encode(policy.content_hash);
        let change = change
            .detail("reason", Some(reason).filter(|reason| !reason.is_empty()))?
            .detail("previous", previous)?
            .detail("content_hash", &content_hash)?
            .expect(Table::Meta, keys::active(), before.map(|before| before.revision))
            .put(
                Table::Meta,
                keys::active(),
                ActiveRecord { revision, content_hash, activation: number, last_revision },
            )?
            .put(Table::Meta, keys::identities(), identities.to_record())?
            .put(Table::Activations, keys::activation(number), &activation)?;
        let Some(before) = before else { return Ok((change, activation)) };
        // ORDER: after the pointer, so that whoever reads this mark first reads the new pointer then.
        let policy_before = self.policy_at(before.value.revision)?;
        let change = if same_rules(&policy_before, policy) {
            change
        } else {
            change.put(Table::Meta, keys::due_pending(), serde_json::json!({"activation": number}))?
        };
        Ok((change, activation))
    }
}

impl WarningRecord {
    fn of(finding: &Finding) -> Self {
        Self {
            path: finding.path.clone(),
            line: finding.line,
            code: finding.code.as_str().to_owned(),
            message: finding.message.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_a_pointer() {
        assert_eq!(pointer(""), "");
        assert_eq!(pointer("groups[2].limits[0].quotas.paid"), "/groups/2/limits/0/quotas/paid");
        assert_eq!(pointer("a[\"b.c/d~\"].e"), "/a/b.c~1d~0/e");
    }
}
