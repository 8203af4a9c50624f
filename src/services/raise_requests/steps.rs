//! The steps that move a request on, but for those that give something.

use super::grants::Grant;
use super::record::{
    By, DecisionRecord, DenyReason, MessageRecord, NoteRecord, OfferRecord, RequestRecord, StepRecord,
};
use super::submit::RowRecord;
use super::{Handling, MAX_MESSAGE, MAX_NOTES, MAX_STEPS, Party, RequestView, Sees, subject};
use crate::domain::account::LimitKey;
use crate::domain::ids::OperatorName;
use crate::domain::raise_request::{Side, State, Step};
use crate::services::accounts::subject as account_subject;
use crate::services::checks::Checks;
use crate::services::commit::{Change, Plan};
use crate::services::operators::{self, Action};
use crate::services::stored::{self, Stored};
use crate::services::{Context, Done, Error, Services, keys};
use crate::store::{Key, Table};
use compact_str::CompactString;
use serde_json::json;

/// What is offered in place of what was asked for.
#[derive(Debug, Clone)]
pub struct Offer {
    pub grants: Vec<Grant>,
    pub comment: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Denial {
    pub reason: DenyReason,
    /// To the customer.
    pub text: String,
}

/// A step that was found possible, and the record as it is before it.
pub(super) struct Begun {
    pub revision: u64,
    pub record: RequestRecord,
    before: State,
    pub step: Step,
}

impl Begun {
    /// Takes the step: the record after it.
    pub fn take(&mut self, context: &Context, state: State, to: Option<String>) {
        self.record.steps.push(StepRecord { step: self.step, state, done: By::of(context), to, rule: None });
        self.record.state = state;
    }

    pub fn say(&mut self, context: &Context, text: Option<&str>) {
        let from = self.step.side();
        let message = text.map(|text| MessageRecord { from, text: text.to_owned(), written: By::of(context) });
        self.record.messages.extend(message);
    }
}

/// Somebody takes it up, or over: the one named, else who asks.
pub fn assign(services: &Services, on: &Handling<'_>, to: Option<&OperatorName>) -> Result<Done<RequestView>, Error> {
    services.change(on.context, || {
        if let Some(name) = to {
            must_review(services, name)?;
        }
        let mut begun = services.begin(on, Step::Assign)?;
        let to = to.map_or_else(|| on.context.actor.clone(), ToString::to_string);
        if begun.record.assigned_to.as_ref() == Some(&to) {
            let value = services.request_view(on.id, begun.record, on.party, on.context.now);
            return Ok(Plan::Unchanged { value, revision: begun.revision });
        }
        let state = services.next(&begun.record, Step::Assign, on.party)?;
        begun.take(on.context, state, Some(to.clone()));
        begun.record.assigned_to = Some(to.clone());
        let change = services.step_change(on, &begun)?.detail("to", to)?;
        Ok(services.step_plan(on, begun, change))
    })
}

/// Asks the customer; the clock stands still until the reply.
pub fn request_info(services: &Services, on: &Handling<'_>, text: &str) -> Result<Done<RequestView>, Error> {
    services.message(on, Step::RequestInfo, Some(text))
}

pub fn reply(services: &Services, on: &Handling<'_>, text: &str) -> Result<Done<RequestView>, Error> {
    services.message(on, Step::Reply, Some(text))
}

pub fn decline_counter_offer(
    services: &Services,
    on: &Handling<'_>,
    text: Option<&str>,
) -> Result<Done<RequestView>, Error> {
    services.message(on, Step::DeclineCounterOffer, text)
}

pub fn withdraw(services: &Services, on: &Handling<'_>, text: Option<&str>) -> Result<Done<RequestView>, Error> {
    services.message(on, Step::Withdraw, text)
}

/// Errors: more is offered than was asked for, or than the reviewer may give.
pub fn counter_offer(services: &Services, on: &Handling<'_>, offer: &Offer) -> Result<Done<RequestView>, Error> {
    services.change(on.context, || {
        let mut begun = services.begin(on, Step::CounterOffer)?;
        check_text(offer.comment.as_deref(), false)?;
        let grants = services.grants(on.context, &begun.record, &offer.grants)?;
        // What cannot be given is not offered.
        services.overrides_of_grants(
            on.context,
            (on.id, &begun.record),
            &grants,
            &vec![CompactString::default(); grants.len()],
        )?;
        let state = services.next(&begun.record, Step::CounterOffer, on.party)?;
        begun.take(on.context, state, None);
        begun.say(on.context, offer.comment.as_deref());
        begun.record.offer = Some(OfferRecord { grants, made: By::of(on.context) });
        let change = services.step_change(on, &begun)?.detail("offer", &begun.record.offer)?;
        Ok(services.step_plan(on, begun, change))
    })
}

/// Errors: the one who filed it asks.
pub fn deny(services: &Services, on: &Handling<'_>, denial: &Denial) -> Result<Done<RequestView>, Error> {
    services.change(on.context, || {
        let mut begun = services.begin(on, Step::Deny)?;
        check_text(Some(&denial.text), true)?;
        let state = services.next(&begun.record, Step::Deny, on.party)?;
        begun.take(on.context, state, None);
        begun.say(on.context, Some(&denial.text));
        let reason = Some(denial.reason);
        begun.record.decision = Some(DecisionRecord { made: By::of(on.context), reason, granted: Vec::new() });
        let change = services.step_change(on, &begun)?.detail("reason", denial.reason)?.detail("text", &denial.text)?;
        Ok(services.step_plan(on, begun, change))
    })
}

/// Words among the reviewers.
///
/// Errors: the request is closed.
pub fn add_note(services: &Services, on: &Handling<'_>, text: &str) -> Result<Done<RequestView>, Error> {
    services.change(on.context, || {
        let Stored { revision, value: mut record } = services.seen(on)?;
        on.context.may_match(revision)?;
        check_text(Some(text), true)?;
        if record.state.is_closed() {
            return Err(wrong_state(&record, "note", on.party));
        }
        if record.notes.len() >= MAX_NOTES {
            return Err(Error::TableFull { what: "notes of one raise request", most: MAX_NOTES });
        }
        record.notes.push(NoteRecord { text: text.to_owned(), written: By::of(on.context) });
        // The words themselves are not in the audit log, which others may read.
        let change = Change::new("raise_request.note", subject(on.id))
            .subject(account_subject(&record.account))
            .detail("number", record.notes.len())?
            .expect(Table::RaiseRequests, Key::text(on.id), Some(revision))
            .put(Table::RaiseRequests, Key::text(on.id), &record)?;
        Ok(Plan::Change { value: services.request_view(on.id, record, on.party, on.context.now), change })
    })
}

/// Writes down which requests have expired by now, and calls `expired` for each. They act as expired without it.
pub fn expire(services: &Services, now: i64, mut expired: impl FnMut()) -> Result<(), Error> {
    let party = Party { account: None, sides: &[Side::Clock], sees: Sees::All };
    for id in services.board.expired(now) {
        let context = Context::system(now);
        let on = Handling { context: &context, party: &party, id: &id };
        let done = services.change(&context, || {
            let found = services.raise_request(&id)?;
            let before = found.value.state;
            let record = found.value.lapsed(services.board.calendar(), now);
            if record.state == before {
                return Ok(Plan::Unchanged { value: false, revision: found.revision });
            }
            let begun = Begun { revision: found.revision, record, before, step: Step::Expire };
            let change = services.step_change(&on, &begun)?;
            Ok(Plan::Change { value: true, change })
        })?;
        if done.value {
            expired();
        }
    }
    Ok(())
}

pub(super) fn check_text(text: Option<&str>, required: bool) -> Result<(), Error> {
    let mut checks = Checks::default();
    if let Some(text) = text {
        checks.long_text("/text", text, (MAX_MESSAGE, required));
    }
    checks.done()
}

pub(super) fn wrong_state(record: &RequestRecord, step: &str, party: &Party) -> Error {
    let allowed_transitions: Vec<&'static str> = party.steps(record.state).into_iter().map(Step::as_str).collect();
    let now = match allowed_transitions.as_slice() {
        [] => String::new(),
        steps => format!("; now it takes {}", steps.join(", ")),
    };
    let detail = format!("a request that is `{}` does not take `{step}`{now}", record.state.as_str());
    Error::Conflict { code: "wrong_state", detail, allowed_transitions }
}

impl Services {
    /// The request as it stands now, if the party may see it.
    pub(super) fn seen(&self, on: &Handling<'_>) -> Result<Stored<RequestRecord>, Error> {
        let found = self.raise_request(on.id)?;
        on.party.must_see(on.id, &found.value)?;
        Ok(found.map(|record| record.lapsed(self.board.calendar(), on.context.now)))
    }

    /// Errors: it is not there; the one who filed it would decide it; it has moved on; its state has no such step.
    pub(super) fn begin(&self, on: &Handling<'_>, step: Step) -> Result<Begun, Error> {
        let Stored { revision, value: record } = self.seen(on)?;
        let decides = matches!(step, Step::Approve | Step::Deny);
        if (decides || step == Step::CounterOffer) && record.filed.is(on.context) {
            return Err(Error::OwnRequest { id: on.id.to_owned() });
        }
        match decides {
            true => on.context.must_match(revision)?,
            false => on.context.may_match(revision)?,
        }
        let next = self.next(&record, step, on.party)?;
        if record.steps.len() >= MAX_STEPS && !next.is_closed() {
            return Err(Error::TableFull { what: "steps of one raise request", most: MAX_STEPS });
        }
        Ok(Begun { revision, before: record.state, record, step })
    }

    pub(super) fn next(&self, record: &RequestRecord, step: Step, party: &Party) -> Result<State, Error> {
        record.state.after(step, step.side()).map_err(|_| wrong_state(record, step.as_str(), party))
    }

    fn message(&self, on: &Handling<'_>, step: Step, text: Option<&str>) -> Result<Done<RequestView>, Error> {
        self.change(on.context, || {
            let mut begun = self.begin(on, step)?;
            check_text(text, true)?;
            let state = self.next(&begun.record, step, on.party)?;
            begun.take(on.context, state, None);
            begun.say(on.context, text);
            let change = self.step_change(on, &begun)?.detail("text", text)?;
            Ok(self.step_plan(on, begun, change))
        })
    }

    /// What every step writes.
    pub(super) fn step_change(&self, on: &Handling<'_>, begun: &Begun) -> Result<Change, Error> {
        self.with_step(named(on, begun), on, begun)
    }

    pub(super) fn with_step(&self, change: Change, on: &Handling<'_>, begun: &Begun) -> Result<Change, Error> {
        let record = &begun.record;
        let mut change = change
            .detail("state", json!({"before": begun.before, "after": record.state}))?
            .expect(Table::RaiseRequests, Key::text(on.id), Some(begun.revision))
            .put(Table::RaiseRequests, Key::text(on.id), record)?;
        if record.state.is_closed() {
            change = change.delete(Table::Index, keys::raise_pending(on.id));
            for asked in &record.limits {
                let key = LimitKey { group: record.group.clone(), limit: asked.limit.clone() };
                let row = keys::raise_open(&record.account, &key);
                let held = stored::read::<RowRecord>(&*self.store, Table::Index, &row)?;
                // Another may have come in the place of one that had expired.
                if let Some(held) = held.filter(|held| held.value.id == on.id) {
                    change = change.expect(Table::Index, row.clone(), Some(held.revision)).delete(Table::Index, row);
                }
            }
        }
        Ok(change)
    }

    pub(super) fn step_plan(&self, on: &Handling<'_>, begun: Begun, change: Change) -> Plan<RequestView> {
        Plan::Change { value: self.request_view(on.id, begun.record, on.party, on.context.now), change }
    }
}

fn must_review(services: &Services, name: &OperatorName) -> Result<(), Error> {
    let role = operators::get(services, name)?.value.role;
    let mut checks = Checks::default();
    if !role.may(Action::Answer) {
        let detail = format!("{name} is `{}` and does not decide raise requests", role.as_str());
        checks.fail("/to", "not_a_reviewer", detail);
    }
    checks.done()
}

/// A change that is a step and has nothing in it yet.
pub(super) fn named(on: &Handling<'_>, begun: &Begun) -> Change {
    Change::new(action(begun.step), subject(on.id)).subject(account_subject(&begun.record.account))
}

/// What the audit log calls a step.
const fn action(step: Step) -> &'static str {
    match step {
        Step::Assign => "raise_request.assign",
        Step::RequestInfo => "raise_request.request_info",
        Step::Reply => "raise_request.reply",
        Step::Approve | Step::ApprovePartially => "raise_request.approve",
        Step::Deny => "raise_request.deny",
        Step::CounterOffer => "raise_request.counter_offer",
        Step::AcceptCounterOffer => "raise_request.accept_counter_offer",
        Step::DeclineCounterOffer => "raise_request.decline_counter_offer",
        Step::Withdraw => "raise_request.withdraw",
        Step::Expire => "raise_request.expire",
    }
}
