//! Four eyes: what one operator asks for and another has to approve before it is done.
//!
//! An approval is done as the approver, with the approver's rights and ceiling, and in the same commit as what it
//! approves; so nothing is done without it, and it is used once.

mod proposal;
mod record;

pub use proposal::{Activate, Asked, Held, OperatorChange, Override, Proposal, TierPin};
pub use record::{ApprovalRecord, ApprovalState, ApprovalView, Closed, KEPT_OPEN_MS};

use super::checks::Checks;
use super::commit::{Change, Plan};
use super::operators::Role;
use super::records::Act;
use super::stored::{self, Stored};
use super::{
    ActorKind, Context, Done, Error, MAX_OPEN_APPROVALS, MAX_OPEN_APPROVALS_BYTES, Page, Paging, Services, keys,
};
use crate::ids::IdKind;
use crate::store::{Key, Table};
use compact_str::CompactString;
use serde_json::{Value, json};
use std::sync::Arc;

/// What waits.
#[derive(Default)]
struct Open {
    count: usize,
    bytes: usize,
    /// Those of the index that have expired.
    over: Vec<(String, Stored<ApprovalRecord>)>,
}

/// What a change is done under.
#[derive(Debug)]
pub struct Approval {
    id: CompactString,
    found: Stored<ApprovalRecord>,
    /// What the approver says of it; may be empty.
    note: String,
}

/// Does what is asked for, or keeps it for a second operator to approve; all checks are made either way.
///
/// Errors: those of what is asked for; it takes a second operator, and a key asks for it.
pub fn ask<H: Held>(services: &Services, context: &Context, held: &H) -> Result<Asked<H::Made>, Error> {
    if let Some(view) = services.asked_before(context)? {
        return Ok(Asked::Waits(Box::new(view)));
    }
    // Whoever owns the machine could change the settings anyway.
    if context.owns_machine() || !held.needs_second(services, context)? {
        return held.run(services, context).map(Asked::Done);
    }
    if context.actor_kind != ActorKind::Operator {
        let detail = "this takes two operators here, one who asks and one who approves: a key cannot ask for it";
        return Err(Error::Forbidden { detail: detail.to_owned() });
    }
    let proposal = held.proposal()?;
    let trial = Context { validate_only: true, idempotency: None, ceiling_percent: None, ..context.clone() };
    let done = held.run(services, &trial)?;
    match context.validate_only {
        true => Ok(Asked::Done(done)),
        false => propose(services, context, &proposal).map(Box::new).map(Asked::Waits),
    }
}

fn propose(services: &Services, context: &Context, proposal: &Proposal) -> Result<Done<ApprovalView>, Error> {
    let id = services.ids.draw(IdKind::Approval, context.now);
    let _turn = services.turns.wait(Table::Approvals, &Key::empty());
    services.change(context, || {
        let Open { count, bytes, over } = services.open_approvals(context.now)?;
        let record = ApprovalRecord::new(context, proposal)?;
        if count >= MAX_OPEN_APPROVALS {
            return Err(Error::TableFull { what: "requests that wait for approval", most: MAX_OPEN_APPROVALS });
        }
        if bytes + record.bytes > MAX_OPEN_APPROVALS_BYTES {
            let what = "bytes of requests that wait for approval";
            return Err(Error::TableFull { what, most: MAX_OPEN_APPROVALS_BYTES });
        }
        let mut change = Change::new("approval.request", subject(&id))
            .detail("operation", proposal.operation())?
            .detail("expires_at_ms", record.expires_at_ms)?
            .expect(Table::Approvals, Key::text(&id), None)
            .put(Table::Approvals, Key::text(&id), &record)?
            .put(Table::Index, keys::open_approval(&id), json!({}))?;
        for about in proposal.about() {
            change = change.subject(about);
        }
        for (ended, found) in over {
            let done = Act { at_ms: found.value.expires_at_ms, ..Act::of(&Context::system(context.now), "") };
            let closed = Closed { state: ApprovalState::Expired, done, made: None };
            change = end(change, &ended, (&found, closed))?;
        }
        // What is answered is kept under the idempotency key.
        Ok(Plan::Change { value: ApprovalView::of(&id, record.brief(), context.now), change })
    })
}

/// Does what was asked for, as the approver.
///
/// `role` is the approver's; None: whoever owns the machine.
/// Errors: the approver asked for it, or may not do it; it is closed; it cannot be done any more as it was asked for.
pub fn approve(
    services: &Services,
    context: &Context,
    id: &str,
    (role, note): (Option<Role>, &str),
) -> Result<Done<ApprovalView>, Error> {
    if let Some(done) = services.recall::<Value>(context)? {
        let found = services.approval(id)?;
        return Ok(done.with(ApprovalView::of(id, found.value, context.now)));
    }
    let found = services.approval(id)?;
    context.must_match(found.revision)?;
    let mut checks = Checks::default();
    checks.note("/reason", note);
    checks.done()?;
    let proposal = found.value.open_proposal(id, context.now)?.clone();
    must_be_operator(context)?;
    if context.actor == found.value.requested.by && role.is_some() {
        let detail = format!("you asked for `{id}` yourself: somebody else has to approve it");
        return Err(Error::Forbidden { detail });
    }
    may(role, &proposal)?;
    services.still_wanted(&found.value, &proposal)?;
    let if_match = found.value.if_match();
    let approval = Arc::new(Approval { id: id.into(), found, note: note.to_owned() });
    let acting = Context { if_match, approval: Some(approval), ..context.clone() };
    let done = proposal.run(services, &acting)?;
    let after = services.approval(id)?;
    Ok(done.with(ApprovalView::of(id, after.value, context.now)))
}

/// Closes it without doing it. By the one who asked it is a withdrawal.
///
/// Errors: it is closed already; neither did the actor ask for it nor could they approve it.
pub fn reject(
    services: &Services,
    context: &Context,
    id: &str,
    (role, reason): (Option<Role>, &str),
) -> Result<Done<ApprovalView>, Error> {
    services.change(context, || {
        let found = services.approval(id)?;
        context.must_match(found.revision)?;
        let mut checks = Checks::default();
        checks.reason("/reason", reason);
        checks.done()?;
        let proposal = found.value.open_proposal(id, context.now)?;
        must_be_operator(context)?;
        let own = role.is_some() && context.actor == found.value.requested.by;
        if !own {
            may(role, proposal)?;
        }
        let state = if own { ApprovalState::Withdrawn } else { ApprovalState::Rejected };
        let action = if own { "approval.withdraw" } else { "approval.reject" };
        let closed = Closed { state, done: Act::of(context, reason), made: None };
        let mut change = Change::new(action, subject(id))
            .detail("reason", reason)?
            .detail("requested_by", &found.value.requested.by)?;
        change = end(change, id, (&found, closed.clone()))?;
        for about in proposal.about() {
            change = change.subject(about);
        }
        Ok(Plan::Change { value: ApprovalView::of(id, found.value.closed(closed), context.now), change })
    })
}

pub fn get(services: &Services, id: &str, now: i64) -> Result<Stored<ApprovalView>, Error> {
    Ok(services.approval(id)?.map(|record| ApprovalView::of(id, record, now)))
}

/// In the order in which they were asked for.
pub fn list(
    services: &Services,
    state: Option<ApprovalState>,
    paging: &Paging,
    now: i64,
) -> Result<Page<Stored<ApprovalView>>, Error> {
    let (table, prefix) = match state {
        Some(ApprovalState::Pending) => (Table::Index, keys::open_approvals()),
        _ => (Table::Approvals, Key::empty()),
    };
    stored::page(&*services.store, (table, &prefix), paging, |key, found| {
        let (id, found) = match table {
            Table::Approvals => (key.read().text().unwrap_or_default(), stored::decode(table, key, found)?),
            _ => {
                let id = keys::open_approval_in(key).unwrap_or_default();
                let found = services.approval(&id)?;
                (id, found)
            }
        };
        let view = found.map(|record| ApprovalView::of(&id, record, now));
        Ok(state.is_none_or(|state| view.value.state == state).then_some(view))
    })
}

/// Errors: a key asks.
fn must_be_operator(context: &Context) -> Result<(), Error> {
    match context.actor_kind {
        ActorKind::Operator | ActorKind::Console => Ok(()),
        ActorKind::ApiKey | ActorKind::BillingSource | ActorKind::System => {
            Err(Error::Forbidden { detail: "only an operator approves or rejects, not a key".to_owned() })
        }
    }
}

/// Errors: the role may not do what was asked for.
fn may(role: Option<Role>, proposal: &Proposal) -> Result<(), Error> {
    let Some(role) = role.filter(|role| !role.may(proposal.action())) else { return Ok(()) };
    let roles: Vec<String> = proposal.action().roles().iter().map(|role| format!("`{}`", role.as_str())).collect();
    let detail = format!(
        "to approve `{}` takes the role {}; you are `{}`",
        proposal.operation(),
        roles.join(" or "),
        role.as_str()
    );
    Err(Error::Forbidden { detail })
}

/// However it ends: the record with its end, and it waits no more.
fn end(change: Change, id: &str, (found, closed): (&Stored<ApprovalRecord>, Closed)) -> Result<Change, Error> {
    let change = change.expect(Table::Approvals, Key::text(id), Some(found.revision));
    let change = change.put(Table::Approvals, Key::text(id), found.value.clone().closed(closed))?;
    Ok(change.delete(Table::Index, keys::open_approval(id)))
}

fn subject(id: &str) -> String {
    format!("approval:{id}")
}

impl Approval {
    /// Errors: it was closed since the change under it began.
    pub(super) fn must_be_open(&self, services: &Services, now: i64) -> Result<(), Error> {
        let found = services.approval(&self.id)?;
        found.value.open_proposal(&self.id, now)?;
        match found.revision == self.found.revision {
            true => Ok(()),
            false => Err(Error::Stale { current: Some(found.revision) }),
        }
    }

    /// What a change under it is besides: its end.
    pub(super) fn close(&self, change: Change, context: &Context) -> Result<Change, Error> {
        let made = change.first_subject().to_owned();
        let closed = Closed { state: ApprovalState::Approved, done: Act::of(context, &self.note), made: Some(made) };
        let requested = &self.found.value.requested;
        let detail = json!({"id": self.id, "requested_by": requested.by, "requested_at_ms": requested.at_ms,
            "note": self.note});
        end(change.subject(subject(&self.id)).detail("approval", detail)?, &self.id, (&self.found, closed))
    }

    /// The change where what was approved is as it was asked for already.
    pub(super) fn alone(&self) -> Change {
        Change::new("approval.approve", self.found.value.about.first().cloned().unwrap_or_else(|| subject(&self.id)))
    }
}

impl Services {
    /// What was kept for a second operator under the same idempotency key.
    fn asked_before(&self, context: &Context) -> Result<Option<Done<ApprovalView>>, Error> {
        let Some(done) = self.recall::<Value>(context)? else { return Ok(None) };
        let view = ApprovalView::replayed(&done.value);
        Ok(view.map(|view| done.with(view)))
    }

    fn approval(&self, id: &str) -> Result<Stored<ApprovalRecord>, Error> {
        stored::read(&*self.store, Table::Approvals, &Key::text(id))?.ok_or_else(|| Error::not_found("approval", id))
    }

    fn open_approvals(&self, now: i64) -> Result<Open, Error> {
        let mut open = Open::default();
        stored::each::<Value>(&*self.store, Table::Index, &keys::open_approvals(), |row, _| {
            let id = keys::open_approval_in(&row).unwrap_or_default();
            let found = self.approval(&id)?;
            match found.value.state(now) {
                ApprovalState::Pending => {
                    open.count += 1;
                    open.bytes += found.value.bytes;
                }
                ApprovalState::Expired if found.value.closed.is_none() => open.over.push((id, found)),
                // Closed since its row was read, and the row is gone with it.
                _ => {}
            }
            Ok(())
        })?;
        Ok(open)
    }

    /// Errors: who asked is no operator any more, or may not do it any more.
    fn still_wanted(&self, record: &ApprovalRecord, proposal: &Proposal) -> Result<(), Error> {
        let role = self.keyring.role(&record.requested.by);
        if role.is_some_and(|role| role.may(proposal.action())) {
            return Ok(());
        }
        let who = &record.requested.by;
        let detail = format!("{who}, who asked for it, may not do this any more: reject it, and ask for it anew");
        Err(Error::conflict("approval_closed", detail))
    }
}
