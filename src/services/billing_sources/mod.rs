//! Billing sources: systems that deliver payment events signed, each with up to two live secrets so that one can take
//! over from the other.
//!
//! A secret is told once, when it is added, and kept sealed. The audit log and the answers kept under idempotency keys
//! have none.

mod record;
mod signature;

pub use record::{SecretRecord, SourceFormat, SourceRecord};
pub use signature::{Refused, TOLERANCE_MS};

use super::checks::Checks;
use super::commit::{Change, Plan};
use super::records::Act;
use super::seal::{NONCE_BYTES, Secret};
use super::stored::{self, Stored};
use super::{
    ActorKind, Context, Done, Error, Internal, MAX_BILLING_SOURCES, MAX_SECRETS, Origin, Page, Paging, Services, keys,
};
use crate::domain::ids::SourceId;
use crate::store::Table;
use serde::{Deserialize, Serialize};

/// Of a secret that is given rather than drawn, in bytes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=255;

#[derive(Debug, Clone)]
pub struct NewSource {
    pub id: SourceId,
    pub format: SourceFormat,
    pub name: Option<String>,
    /// None: one is drawn.
    pub secret: Option<Secret>,
}

/// A billing source as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceView {
    pub id: SourceId,
    pub record: SourceRecord,
    /// The secret that was drawn just now, told this once.
    #[serde(skip)]
    pub secret: Option<Secret>,
}

/// A delivery, as it came.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// The signature's header.
    pub signature: Option<&'a str>,
    pub body: &'a [u8],
}

/// Why a delivery is not looked at.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// Of a source that does not exist this says `Wrong`, so that nobody learns which do.
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("billing source {0:?} is disabled: enable it, and let the deliveries be sent again")]
    Disabled(SourceId),
    #[error(transparent)]
    Failed(#[from] Error),
}

/// Errors: there is one with this id; the secret that is given is too short, too long or not printable.
pub fn create(services: &Services, context: &Context, new: &NewSource) -> Result<Done<SourceView>, Error> {
    let added = services.new_secret(&new.id, new.secret.as_ref())?;
    // The number of sources rests on all of them.
    let _turn = services.turns.wait(Table::Secrets, &keys::billing_sources());
    services.change(context, || {
        let mut checks = Checks::default();
        checks.name("/name", new.name.as_deref());
        check_secret(&mut checks, new.secret.as_ref());
        checks.done()?;
        if services.source(&new.id)?.is_some() {
            return Err(Error::conflict("source_exists", format!("billing source {:?} exists already", new.id)));
        }
        if services.sources()? >= MAX_BILLING_SOURCES {
            return Err(Error::TableFull { what: "billing sources", most: MAX_BILLING_SOURCES });
        }
        let record = SourceRecord {
            format: new.format,
            created_at_ms: context.now,
            by: context.actor.clone(),
            name: new.name.clone(),
            disabled: None,
            secrets: vec![added.record(context, 1)],
            last_secret: 1,
        };
        let change = Change::new("billing_source.create", subject(&new.id))
            .detail("format", new.format)?
            .detail("name", &new.name)?
            .expect(Table::Secrets, keys::billing_source(&new.id), None)
            .put(Table::Secrets, keys::billing_source(&new.id), &record)?;
        Ok(Plan::Change { value: added.view(&new.id, record, context), change })
    })
}

pub fn get(services: &Services, id: &SourceId) -> Result<Stored<SourceView>, Error> {
    let found = services.source(id)?.ok_or_else(|| Error::not_found("billing source", id))?;
    Ok(found.map(|record| SourceView { id: id.clone(), record, secret: None }))
}

/// In the order of their ids.
pub fn list(services: &Services, paging: &Paging) -> Result<Page<Stored<SourceView>>, Error> {
    stored::page(&*services.store, (Table::Secrets, &keys::billing_sources()), paging, |key, found| {
        let id = keys::billing_source_in(key).ok_or_else(|| Internal::Record {
            table: Table::Secrets,
            key: key.clone(),
            why: "its key is not a billing source's".to_owned(),
        })?;
        let found = stored::decode::<SourceRecord>(Table::Secrets, key, found)?;
        Ok(Some(found.map(|record| SourceView { id, record, secret: None })))
    })
}

/// A second secret beside the present one: deliveries signed with either are taken from now on.
///
/// Errors: there are two already.
pub fn add_secret(
    services: &Services,
    context: &Context,
    id: &SourceId,
    given: Option<&Secret>,
) -> Result<Done<SourceView>, Error> {
    let added = services.new_secret(id, given)?;
    services.change(context, || {
        let mut checks = Checks::default();
        check_secret(&mut checks, given);
        checks.done()?;
        let before = get(services, id)?;
        context.may_match(before.revision)?;
        let mut record = before.value.record;
        if record.secrets.len() >= MAX_SECRETS {
            let detail =
                format!("billing source {id:?} has {MAX_SECRETS} secrets: remove the one no longer in use first");
            return Err(Error::conflict("too_many_secrets", detail));
        }
        record.last_secret += 1;
        record.secrets.push(added.record(context, record.last_secret));
        let change = Change::new("billing_source.add_secret", subject(id)).detail("number", record.last_secret)?;
        let change = put(change, id, before.revision, &record)?;
        Ok(Plan::Change { value: added.view(id, record, context), change })
    })
}

/// Takes a secret away; deliveries signed with it are refused from now on.
///
/// Errors: there is no such secret; it is the last one.
pub fn remove_secret(
    services: &Services,
    context: &Context,
    id: &SourceId,
    number: u32,
) -> Result<Done<SourceView>, Error> {
    services.change(context, || {
        let before = get(services, id)?;
        let mut record = before.value.record;
        if !record.secrets.iter().any(|secret| secret.number == number) {
            return Err(Error::not_found("secret", number));
        }
        context.must_match(before.revision)?;
        if record.secrets.len() == 1 {
            let detail =
                format!("it is the only secret of billing source {id:?}: add another one first, or disable the source");
            return Err(Error::conflict("last_secret", detail));
        }
        record.secrets.retain(|secret| secret.number != number);
        let change = Change::new("billing_source.remove_secret", subject(id)).detail("number", number)?;
        let change = put(change, id, before.revision, &record)?;
        Ok(Plan::Change { value: SourceView { id: id.clone(), record, secret: None }, change })
    })
}

/// Refuses all deliveries from now on. One that is disabled already stays as it is.
pub fn disable(services: &Services, context: &Context, id: &SourceId, reason: &str) -> Result<Done<SourceView>, Error> {
    switch(services, context, (id, "billing_source.disable", reason), |record| {
        record.disabled.get_or_insert_with(|| Act::of(context, reason));
    })
}

pub fn enable(services: &Services, context: &Context, id: &SourceId, reason: &str) -> Result<Done<SourceView>, Error> {
    switch(services, context, (id, "billing_source.enable", reason), |record| record.disabled = None)
}

fn switch(
    services: &Services,
    context: &Context,
    (id, action, reason): (&SourceId, &'static str, &str),
    to: impl Fn(&mut SourceRecord),
) -> Result<Done<SourceView>, Error> {
    services.change(context, || {
        let mut checks = Checks::default();
        checks.reason("/reason", reason);
        checks.done()?;
        let before = get(services, id)?;
        context.may_match(before.revision)?;
        let mut record = before.value.record.clone();
        to(&mut record);
        if record == before.value.record {
            return Ok(Plan::Unchanged { value: before.value, revision: before.revision });
        }
        let change = Change::new(action, subject(id)).detail("reason", reason)?;
        let change = put(change, id, before.revision, &record)?;
        Ok(Plan::Change { value: SourceView { id: id.clone(), record, secret: None }, change })
    })
}

/// What is known of a source whose delivery is genuine.
///
/// Errors: the signature is missing, malformed, wrong or not of this time; the source is disabled, which only who can
/// sign is told.
pub fn authenticate(
    services: &Services,
    id: &SourceId,
    delivery: Delivery<'_>,
    now: i64,
) -> Result<SourceFormat, NotTaken> {
    let source = services.source(id)?.map(|found| found.value);
    let secrets = match &source {
        Some(source) => services.secrets_of(id, source)?,
        // As much work as for one that exists.
        None => vec![Secret::new("0".repeat(64))],
    };
    let checked = signature::check(&secrets, delivery.signature, delivery.body, now);
    // ORDER: a source that does not exist is told nothing more, whatever the signature.
    let Some(source) = source else { return Err(checked.err().unwrap_or(Refused::Wrong).into()) };
    checked?;
    match source.disabled {
        Some(_) => Err(NotTaken::Disabled(id.clone())),
        None => Ok(source.format),
    }
}

/// What a genuine delivery does, it does in the name of its source.
#[must_use]
pub fn context(id: &SourceId, origin: Origin, now: i64) -> Context {
    Context { actor: id.as_str().to_owned(), actor_kind: ActorKind::BillingSource, origin, ..Context::system(now) }
}

/// The sources that have a secret which the seal key does not open: their deliveries are refused until another one is added.
pub fn unreadable(services: &Services) -> Result<Vec<SourceId>, Error> {
    let mut closed = Vec::new();
    stored::each::<SourceRecord>(&*services.store, Table::Secrets, &keys::billing_sources(), |key, found| {
        let Some(id) = keys::billing_source_in(&key) else { return Ok(()) };
        if services.secrets_of(&id, &found.value)?.len() < found.value.secrets.len() {
            closed.push(id);
        }
        Ok(())
    })?;
    Ok(closed)
}

fn subject(id: &SourceId) -> String {
    format!("billing_source:{id}")
}

/// What a sealed secret is for.
fn purpose(id: &SourceId) -> String {
    format!("billing_source\0{id}")
}

fn check_secret(checks: &mut Checks, given: Option<&Secret>) {
    let fits = |text: &str| SECRET_BYTES.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if given.is_some_and(|secret| !fits(secret.expose())) {
        let (least, most) = (SECRET_BYTES.start(), SECRET_BYTES.end());
        let detail = format!("a secret has {least} to {most} printable ASCII characters without spaces");
        checks.fail("/secret", "invalid_value", detail);
    }
}

fn put(change: Change, id: &SourceId, revision: u64, record: &SourceRecord) -> Result<Change, Error> {
    change.expect(Table::Secrets, keys::billing_source(id), Some(revision)).put(
        Table::Secrets,
        keys::billing_source(id),
        record,
    )
}

/// A secret about to be added.
struct NewSecret {
    sealed: String,
    /// To be told: it was drawn here.
    drawn: Option<Secret>,
}

impl NewSecret {
    fn record(&self, context: &Context, number: u32) -> SecretRecord {
        let (added_at_ms, by) = (context.now, context.actor.clone());
        SecretRecord { number, added_at_ms, by, sealed: self.sealed.clone() }
    }

    /// A secret that is not going to be kept is not told either.
    fn view(&self, id: &SourceId, record: SourceRecord, context: &Context) -> SourceView {
        let secret = self.drawn.clone().filter(|_| !context.validate_only);
        SourceView { id: id.clone(), record, secret }
    }
}

impl Services {
    fn source(&self, id: &SourceId) -> Result<Option<Stored<SourceRecord>>, Error> {
        stored::read(&*self.store, Table::Secrets, &keys::billing_source(id))
    }

    fn sources(&self) -> Result<usize, Error> {
        Ok(self.store.scan(Table::Secrets, &keys::billing_sources(), None, MAX_BILLING_SOURCES)?.len())
    }

    /// ORDER: before the change is planned, because attempts must not differ.
    fn new_secret(&self, id: &SourceId, given: Option<&Secret>) -> Result<NewSecret, Error> {
        let drawn = given.is_none().then(|| Secret::new(format!("qgwh_{}", hex::encode(self.ids.bytes::<32>()))));
        let seal = self.seal.as_ref().ok_or(Internal::Change("there is no seal key"))?;
        let secret = given.or(drawn.as_ref()).ok_or(Internal::Change("no secret was drawn"))?;
        let sealed = seal.close(&purpose(id), secret, self.ids.bytes::<NONCE_BYTES>());
        Ok(NewSecret { sealed: sealed.ok_or(Internal::Change("a secret cannot be sealed"))?, drawn })
    }

    /// Those that the seal key opens.
    fn secrets_of(&self, id: &SourceId, source: &SourceRecord) -> Result<Vec<Secret>, Error> {
        let seal = self.seal.as_ref().ok_or(Internal::Change("there is no seal key"))?;
        Ok(source.secrets.iter().filter_map(|secret| seal.open(&purpose(id), &secret.sealed)).collect())
    }
}
