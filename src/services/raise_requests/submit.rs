//! Filing a request.

use super::automatic::Filing;
use super::raisable::{self, Raise};
use super::record::{AskedRecord, By, RequestRecord};
use super::{
    Board, MAX_FILED_A_DAY, MAX_LINKS, MAX_OPEN, MAX_OPEN_OF_ACCOUNT, MAX_USE_CASE, Party, RequestView, subject,
};
use crate::domain::account::LimitKey;
use crate::domain::ids::{AccountId, PolicyId};
use crate::domain::policy::MAX_LIMITS_IN_GROUP;
use crate::domain::quantity::Quota;
use crate::domain::raise_request::State;
use crate::ids::{IdKind, drawn_ms, first_of};
use crate::services::accounts::subject as account_subject;
use crate::services::checks::Checks;
use crate::services::commit::{Change, Plan};
use crate::services::records::ShapeRecord;
use crate::services::stored::{self, Stored};
use crate::services::{Context, Done, Error, MAX_TEXT, Services, keys};
use crate::store::{Key, Table};
use serde::{Deserialize, Serialize};
use serde_json::json;

const DAY_MS: i64 = 86_400_000;

/// A limit and the quota that is wanted.
#[derive(Debug, Clone)]
pub struct Asked {
    pub limit: PolicyId,
    pub quota: Quota,
}

#[derive(Debug, Clone)]
pub struct NewRequest {
    pub account: AccountId,
    pub group: PolicyId,
    pub limits: Vec<Asked>,
    /// None, or a time that has come: from when it is approved.
    pub starts_at_ms: Option<i64>,
    pub expires_at_ms: Option<i64>,
    pub use_case: String,
    pub expected_peak: Option<String>,
    pub links: Vec<String>,
}

/// `index`: leads to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RowRecord {
    pub id: String,
}

/// Files a request; where a rule of the policy answers it, in the same commit.
///
/// Errors: another one for one of its limits is open; a limit is fixed, is not raised by it, or not so far.
pub fn submit(
    services: &Services,
    context: &Context,
    party: &Party,
    new: &NewRequest,
) -> Result<Done<RequestView>, Error> {
    let id = services.ids.draw(IdKind::RaiseRequest, context.now);
    let drawn = services.draw_overrides(context.now);
    let last = keys::raise_last(&new.account, &new.group);
    let _turn = services.turn_to_file(new);
    services.change(context, || {
        services.main_record(&new.account)?;
        if party.account.as_ref().is_some_and(|own| *own != new.account) {
            return Err(Error::not_found("account", new.account.as_str()));
        }
        check_words(context, new)?;
        let limits = services.asked_limits(context, new)?;
        has_room(&services.board, &new.account)?;
        services.must_not_pour(context, &new.account)?;
        let previous = stored::read::<RowRecord>(&*services.store, Table::Index, &last)?;
        let (previous, last_revision) = previous.map(|found| (found.value.id, found.revision)).unzip();
        let mut record = filed(context, new, (limits, previous));
        let ground = services.ground(&new.group)?;
        let change = Change::new("raise_request.submit", subject(&id)).subject(account_subject(&new.account));
        let (change, evidence) = services.with_evidence(context, change, (&id, &mut record))?;
        let filing = Filing { id: &id, record: &mut record, evidence: &evidence, drawn: &drawn };
        let change = services
            .answer(context, change, (filing, &ground))?
            .detail("after", without_clauses(&record))?
            .expect(Table::RaiseRequests, Key::text(&id), None)
            .put(Table::RaiseRequests, Key::text(&id), &record)?
            .expect(Table::Index, last.clone(), last_revision)
            .put(Table::Index, last.clone(), RowRecord { id: id.to_string() })?
            .put(Table::Index, keys::raise_of(&new.account, &id), json!({}))?;
        let change = services.with_open_rows(context, change, (&id, &record))?;
        Ok(Plan::Change { value: services.request_view(&id, record, party, context.now), change })
    })
}

fn filed(context: &Context, new: &NewRequest, (limits, previous): (Vec<AskedRecord>, Option<String>)) -> RequestRecord {
    RequestRecord {
        account: new.account.clone(),
        group: new.group.clone(),
        limits,
        starts_at_ms: new.starts_at_ms.filter(|&start| start > context.now),
        expires_at_ms: new.expires_at_ms,
        use_case: new.use_case.clone(),
        expected_peak: new.expected_peak.clone(),
        links: new.links.clone(),
        filed: By::of(context),
        state: State::Submitted,
        assigned_to: None,
        steps: Vec::new(),
        messages: Vec::new(),
        notes: Vec::new(),
        offer: None,
        decision: None,
        evidence: Vec::new(),
        verdict: None,
        previous,
    }
}

/// The record has them, and with many rules they are long.
fn without_clauses(record: &RequestRecord) -> RequestRecord {
    let mut record = record.clone();
    record.verdict.iter_mut().for_each(|verdict| verdict.rules.clear());
    record
}

fn check_words(context: &Context, new: &NewRequest) -> Result<(), Error> {
    let mut checks = Checks::default();
    checks.long_text("/use_case", &new.use_case, (MAX_USE_CASE, true));
    if let Some(peak) = &new.expected_peak {
        checks.long_text("/expected_peak", peak, (MAX_TEXT, false));
    }
    if new.links.len() > MAX_LINKS {
        checks.fail("/links", "too_many", format!("at most {MAX_LINKS} links are taken"));
    }
    for (at, link) in new.links.iter().enumerate().take(MAX_LINKS) {
        let is_web = link.starts_with("https://") || link.starts_with("http://");
        if !is_web || link.chars().count() > MAX_TEXT || link.chars().any(|c| c.is_control() || c.is_whitespace()) {
            let detail =
                format!("a link begins with http:// or https://, has no blanks and at most {MAX_TEXT} characters");
            checks.fail(&format!("/links/{at}"), "invalid_value", detail);
        }
    }
    checks.ahead("/expires_at", new.expires_at_ms, context.now);
    if let (Some(start), Some(end)) = (new.starts_at_ms, new.expires_at_ms)
        && start >= end
    {
        checks.fail("/expires_at", "not_ahead", "it would end before it starts");
    }
    match new.limits.len() {
        0 => checks.fail("/limits", "required", "name at least one limit"),
        1..=MAX_LIMITS_IN_GROUP => {}
        _ => checks.fail("/limits", "too_many", format!("at most {MAX_LIMITS_IN_GROUP} limits are taken")),
    }
    for (at, asked) in new.limits.iter().enumerate().take(MAX_LIMITS_IN_GROUP) {
        if new.limits[..at].iter().any(|before| before.limit == asked.limit) {
            checks.fail(&format!("/limits/{at}/limit"), "duplicate", "each limit is named once");
        }
    }
    checks.done()
}

/// In memory and not a record that all would contend for: a few at once may go past it.
fn has_room(board: &Board, account: &AccountId) -> Result<(), Error> {
    let (all, own) = board.open(account);
    if all >= MAX_OPEN {
        return Err(Error::TableFull { what: "open raise requests", most: MAX_OPEN });
    }
    if own >= MAX_OPEN_OF_ACCOUNT {
        let detail = format!(
            "{own} raise requests of the account are open, which is the most: withdraw one, or wait for an answer"
        );
        return Err(Error::FiledTooOften { detail, retry_after_ms: None });
    }
    Ok(())
}

impl Services {
    /// What leads to an open request; one that is closed already is in nobody's way.
    fn with_open_rows(
        &self,
        context: &Context,
        mut change: Change,
        (id, record): (&str, &RequestRecord),
    ) -> Result<Change, Error> {
        let is_closed = record.state.is_closed();
        if !is_closed {
            change = change.put(Table::Index, keys::raise_pending(id), json!({}))?;
        }
        for asked in &record.limits {
            let key = LimitKey { group: record.group.clone(), limit: asked.limit.clone() };
            let open = keys::raise_open(&record.account, &key);
            let held = self.must_be_free_of_requests(context, (&record.account, &key))?;
            change = change.expect(Table::Index, open.clone(), held);
            change = match (is_closed, held) {
                (false, _) => change.put(Table::Index, open, RowRecord { id: id.to_owned() })?,
                (true, Some(_)) => change.delete(Table::Index, open),
                (true, None) => change,
            };
        }
        Ok(change)
    }

    /// Whoever files and withdraws again and again would fill the disk.
    fn must_not_pour(&self, context: &Context, account: &AccountId) -> Result<(), Error> {
        let a_day_ago = first_of(IdKind::RaiseRequest, context.now.saturating_sub(DAY_MS));
        let after = keys::raise_of(account, &a_day_ago);
        let filed = self.store.scan(Table::Index, &keys::raises_of(account), Some(&after), MAX_FILED_A_DAY)?;
        if filed.len() < MAX_FILED_A_DAY {
            return Ok(());
        }
        // The oldest of them is the first that is a day ago.
        let oldest = filed
            .first()
            .and_then(|(key, _)| drawn_ms(IdKind::RaiseRequest, &keys::raise_in(key)?))
            .unwrap_or(context.now);
        let detail =
            format!("{MAX_FILED_A_DAY} raise requests of the account were filed in 24 hours, which is the most");
        let retry_after_ms = Some(oldest.saturating_add(DAY_MS).saturating_sub(context.now).max(1));
        Err(Error::FiledTooOften { detail, retry_after_ms })
    }

    fn asked_limits(&self, context: &Context, new: &NewRequest) -> Result<Vec<AskedRecord>, Error> {
        let snapshot = self.engine.snapshot();
        let mut checks = Checks::default();
        let key = |asked: &Asked| LimitKey { group: new.group.clone(), limit: asked.limit.clone() };
        let mut shapes = Vec::with_capacity(new.limits.len());
        for (at, asked) in new.limits.iter().enumerate() {
            let place = format!("/limits/{at}");
            shapes.extend(raisable::shape(&mut checks, &snapshot, (&place, &key(asked)), asked.quota));
        }
        checks.done()?;
        let from_ms = new.starts_at_ms.unwrap_or(context.now).max(context.now);
        let mut limits = Vec::with_capacity(new.limits.len());
        for (at, (asked, shape)) in new.limits.iter().zip(shapes).enumerate() {
            let (key, pointer) = (key(asked), format!("/limits/{at}/quota"));
            let raise = Raise { account: &new.account, key: &key, quota: asked.quota, from_ms, pointer: &pointer };
            let in_force = self.must_be_raise(&raise)?;
            let (limit, quota) = (asked.limit.clone(), asked.quota);
            limits.push(AskedRecord { limit, quota, shape: ShapeRecord::from(shape), in_force });
        }
        Ok(limits)
    }

    /// The revision of the row of an earlier request for the limit, which has expired meanwhile.
    ///
    /// Errors: it is open.
    fn must_be_free_of_requests(
        &self,
        context: &Context,
        (account, key): (&AccountId, &LimitKey),
    ) -> Result<Option<u64>, Error> {
        let row = stored::read::<RowRecord>(&*self.store, Table::Index, &keys::raise_open(account, key))?;
        let Some(Stored { revision, value: RowRecord { id } }) = row else { return Ok(None) };
        let held = self.raise_request(&id)?.value.lapsed(self.board.calendar(), context.now);
        match held.state.is_closed() {
            true => Ok(Some(revision)),
            false => Err(Error::RaiseRequestOpen { id, key: format!("{}/{}", key.group, key.limit) }),
        }
    }
}
