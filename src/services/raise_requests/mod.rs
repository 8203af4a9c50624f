//! Raise requests: a customer asks for more, a reviewer answers, and the answer takes effect in the same commit.
//!
//! Owns: who asked for what in which words, the steps of [`State`] with what each writes, the clock of the answer, and
//! the overrides that an approval makes. Deliberately absent: permissions (the caller's, see [`Party`]), what evidence holds
//! ([`super::evidence`]), what rules say to it ([`super::raise_rules`]).
//!
//! INVARIANT: an approved request and its overrides are one commit. A request that is closed is never changed again.

mod automatic;
mod board;
mod decide;
mod evidence;
mod grants;
mod raisable;
mod record;
mod steps;
mod submit;
mod timing;
mod view;

pub use board::{Board, Standing};
pub use decide::{Approval, accept_counter_offer, approve};
pub use evidence::{EvidencePage, EvidenceView, MAX_SNAPSHOTS, evidence, evidence_page, refresh_evidence};
pub use grants::Grant;
pub use record::{
    AskedRecord, By, DecisionRecord, DenyReason, EvidenceRef, GrantRecord, GrantedRecord, MessageRecord, NoteRecord,
    OfferRecord, RequestRecord, StepRecord,
};
pub use steps::{
    Denial, Offer, add_note, assign, counter_offer, decline_counter_offer, deny, expire, reply, request_info, withdraw,
};
pub use submit::{Asked, NewRequest, submit};
pub use timing::{ANSWER_DAYS, DueAt, LIMIT_DAYS, TARGET_DAYS, Timing};
pub use view::{Party, RequestView, Sees};

use super::stored::{self, Stored};
use super::{Context, Error, Page, Paging, Services, keys};
use crate::domain::ids::{AccountId, PolicyId};
use crate::domain::raise_request::State;
use crate::store::{Key, Table};
use view::not_found;

/// Open ones of all accounts.
pub const MAX_OPEN: usize = 5_000;
/// Open ones of one account.
pub const MAX_OPEN_OF_ACCOUNT: usize = 50;
/// Of one account in 24 hours, whatever became of them.
pub const MAX_FILED_A_DAY: usize = 100;
/// Steps of one request, those that close it not counted.
pub const MAX_STEPS: usize = 100;
pub const MAX_NOTES: usize = 100;
pub const MAX_LINKS: usize = 10;
/// What a customer says a raise is for, in characters.
pub const MAX_USE_CASE: usize = 4_000;
/// A message or note, in characters.
pub const MAX_MESSAGE: usize = 2_000;

/// Whose step on which request.
#[derive(Debug, Clone, Copy)]
pub struct Handling<'a> {
    pub context: &'a Context,
    pub party: &'a Party,
    pub id: &'a str,
}

/// Every condition that is named must hold.
#[derive(Debug, Clone, Default)]
pub struct RequestFilter {
    pub account: Option<AccountId>,
    pub group: Option<PolicyId>,
    pub state: Option<State>,
    pub assigned_to: Option<String>,
    pub overdue: Option<bool>,
    pub past_target: Option<bool>,
}

/// Errors: there is none, or none that the party may see.
pub fn get(services: &Services, party: &Party, id: &str, now: i64) -> Result<Stored<RequestView>, Error> {
    let found = services.raise_request(id)?;
    party.must_see(id, &found.value)?;
    Ok(found.map(|record| services.request_view(id, record, party, now)))
}

/// In the order in which they were filed.
pub fn list(
    services: &Services,
    (party, filter): (&Party, &RequestFilter),
    paging: &Paging,
    now: i64,
) -> Result<Page<Stored<RequestView>>, Error> {
    let of = filter.account.as_ref().or(party.account.as_ref());
    let (table, prefix) = match of {
        Some(account) => (Table::Index, keys::raises_of(account)),
        None if filter.is_of_open() => (Table::Index, keys::raises_pending()),
        None => (Table::RaiseRequests, Key::empty()),
    };
    stored::page(&*services.store, (table, &prefix), paging, |key, found| {
        let id = keys::raise_in(key).unwrap_or_default();
        let found = match table {
            Table::RaiseRequests => stored::decode(table, key, found)?,
            _ => services.raise_request(&id)?,
        };
        if party.must_see(&id, &found.value).is_err() {
            return Ok(None);
        }
        let mut view = found.map(|record| services.request_view(&id, record, party, now));
        // What was measured is for whoever reads the one request: with many rules it is long.
        view.value.record.verdict.iter_mut().for_each(|verdict| verdict.rules.clear());
        Ok(filter.keeps(&view.value).then_some(view))
    })
}

impl RequestFilter {
    /// Whether none that is closed can be meant.
    fn is_of_open(&self) -> bool {
        // One that has expired, but is not written down so yet, has its row still; those that have none are left out.
        let open = self.state.is_some_and(|state| !state.is_closed());
        open || self.overdue == Some(true) || self.past_target == Some(true)
    }

    fn keeps(&self, view: &RequestView) -> bool {
        let (record, timing) = (&view.record, &view.timing);
        self.account.as_ref().is_none_or(|account| record.account == *account)
            && self.group.as_ref().is_none_or(|group| record.group == *group)
            && self.state.is_none_or(|state| record.state == state)
            && self.assigned_to.as_ref().is_none_or(|to| record.assigned_to.as_ref() == Some(to))
            && self.overdue.is_none_or(|overdue| timing.overdue == overdue)
            && self.past_target.is_none_or(|past| timing.past_target == past)
    }
}

fn subject(id: &str) -> String {
    format!("raise_request:{id}")
}

impl Services {
    pub(super) fn raise_request(&self, id: &str) -> Result<Stored<RequestRecord>, Error> {
        stored::read(&*self.store, Table::RaiseRequests, &Key::text(id))?.ok_or_else(|| not_found(id))
    }

    fn request_view(&self, id: &str, record: RequestRecord, party: &Party, now: i64) -> RequestView {
        RequestView::of(id, record, party, (self.board.calendar(), now))
    }
}
