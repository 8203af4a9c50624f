//! A request as people see it, which depends on who looks.

use super::record::{By, RequestRecord};
use super::timing::Timing;
use crate::calendar::Calendar;
use crate::domain::ids::AccountId;
use crate::domain::raise_request::{Side, State, Step};
use crate::services::raise_rules::Verdict;
use crate::services::{ActorKind, Error};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// Who looks at a request or acts on it.
#[derive(Debug, Clone)]
pub struct Party {
    /// The main account that it sees nothing beyond; None: it sees all.
    pub account: Option<AccountId>,
    /// Whose steps it may take.
    pub sides: &'static [Side],
    pub sees: Sees,
}

/// What of a request is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sees {
    /// Notes too.
    All,
    NoNotes,
    /// Neither notes nor who of the house did what, and of rules only their answer.
    Shared,
}

impl Party {
    /// Errors: the request is another account's, which is told as if it did not exist.
    pub(super) fn must_see(&self, id: &str, record: &RequestRecord) -> Result<(), Error> {
        match &self.account {
            Some(own) if *own != record.account => Err(not_found(id)),
            _ => Ok(()),
        }
    }

    /// The steps that it may take from a state.
    #[must_use]
    pub fn steps(&self, state: State) -> Vec<Step> {
        // Whether an approval is partial follows from what is approved.
        let named = |step: &Step| *step != Step::ApprovePartially && self.sides.contains(&step.side());
        state.steps().filter(named).collect()
    }
}

pub(super) fn not_found(id: &str) -> Error {
    Error::not_found("raise request", id)
}

/// A request as a party sees it at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestView {
    pub id: CompactString,
    /// Without what the party does not see.
    pub record: RequestRecord,
    pub timing: Timing,
    /// The steps that the party may take now.
    pub steps: Vec<Step>,
}

impl RequestView {
    pub(super) fn of(id: &str, record: RequestRecord, party: &Party, (calendar, now): (&Calendar, i64)) -> Self {
        let record = record.lapsed(calendar, now);
        let (timing, steps) = (record.timing(calendar, now), party.steps(record.state));
        Self { id: id.into(), record: shown(record, party.sees), timing, steps }
    }
}

fn shown(mut record: RequestRecord, sees: Sees) -> RequestRecord {
    if sees == Sees::All {
        return record;
    }
    record.notes.clear();
    if sees == Sees::Shared {
        record.assigned_to = None;
        for step in &mut record.steps {
            (step.to, step.rule) = (None, None);
            hide(&mut step.done);
        }
        hide(&mut record.filed);
        record.messages.iter_mut().for_each(|message| hide(&mut message.written));
        record.offer.iter_mut().for_each(|offer| hide(&mut offer.made));
        record.decision.iter_mut().for_each(|decision| hide(&mut decision.made));
        record.verdict = record.verdict.and_then(answer_alone);
    }
    record
}

/// What rules there are and what they measure, of others too, is not for customers: only what they are told.
fn answer_alone(verdict: Verdict) -> Option<Verdict> {
    verdict.answer.is_some().then(|| Verdict { answer: verdict.answer, ..Verdict::default() })
}

/// Names of the house are not for customers.
fn hide(by: &mut By) {
    if matches!(by.kind, ActorKind::Operator | ActorKind::Console) {
        by.kind.as_str().clone_into(&mut by.by);
    }
}
