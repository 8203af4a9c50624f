//! The steps that give something: a reviewer approves, a customer accepts an offer.

use super::grants::{Grant, is_partial};
use super::record::{By, DecisionRecord, GrantRecord, GrantedRecord, RequestRecord};
use super::steps::{Begun, check_text, named};
use super::{Handling, RequestView};
use crate::domain::policy::MAX_LIMITS_IN_GROUP;
use crate::domain::raise_request::Step;
use crate::ids::IdKind;
use crate::services::commit::{Change, Plan};
use crate::services::overrides::{self, Adding, Overlap};
use crate::services::{Context, Done, Error, Services, keys};
use crate::store::Table;
use compact_str::CompactString;

/// What is given, and words to the customer.
#[derive(Debug, Clone)]
pub struct Approval {
    pub grants: Vec<Grant>,
    pub comment: Option<String>,
}

/// What becomes overrides.
pub(super) struct Giving<'a> {
    /// Of the request.
    pub id: &'a str,
    pub grants: Vec<GrantRecord>,
    /// Ids, as many as there are grants or more.
    pub drawn: &'a [CompactString],
}

/// Gives what was asked for, or less. The overrides take effect with it.
///
/// Errors: the one who filed it asks; it is above the policy's ceiling or the reviewer's.
pub fn approve(services: &Services, on: &Handling<'_>, approval: &Approval) -> Result<Done<RequestView>, Error> {
    let account = services.seen(on)?.value.account;
    let drawn = services.draw_overrides(on.context.now);
    let _turn = services.turns.wait(Table::Index, &keys::tally(&account));
    services.change(on.context, || {
        let mut begun = services.begin(on, Step::Approve)?;
        check_text(approval.comment.as_deref(), false)?;
        let grants = services.grants(on.context, &begun.record, &approval.grants)?;
        let step = match is_partial(&begun.record, &grants, on.context.now) {
            true => Step::ApprovePartially,
            false => Step::Approve,
        };
        begun.say(on.context, approval.comment.as_deref());
        services.give(on, begun, (step, grants), &drawn)
    })
}

/// Takes the offer: it is approved as it was offered.
///
/// Errors: the offer has run out.
pub fn accept_counter_offer(services: &Services, on: &Handling<'_>) -> Result<Done<RequestView>, Error> {
    let account = services.seen(on)?.value.account;
    let drawn = services.draw_overrides(on.context.now);
    let _turn = services.turns.wait(Table::Index, &keys::tally(&account));
    services.change(on.context, || {
        let begun = services.begin(on, Step::AcceptCounterOffer)?;
        let grants = begun.record.offer.as_ref().map(|offer| offer.grants.clone()).unwrap_or_default();
        if grants.iter().any(|grant| grant.expires_at_ms.is_some_and(|end| end <= on.context.now)) {
            let detail = "what was offered would be over by now: decline the offer, and ask for another";
            return Err(Error::conflict("offer_over", detail));
        }
        services.still_offered(on.context, &begun.record)?;
        services.give(on, begun, (Step::AcceptCounterOffer, grants), &drawn)
    })
}

impl Services {
    /// As many as a request may need, before anything is planned.
    pub(super) fn draw_overrides(&self, now: i64) -> Vec<CompactString> {
        (0..MAX_LIMITS_IN_GROUP).map(|_| self.ids.draw(IdKind::Override, now)).collect()
    }

    /// The request, its overrides and those they take the place of, in one change.
    fn give(
        &self,
        on: &Handling<'_>,
        mut begun: Begun,
        (step, grants): (Step, Vec<GrantRecord>),
        drawn: &[CompactString],
    ) -> Result<Plan<RequestView>, Error> {
        let state = self.next(&begun.record, step, on.party)?;
        begun.step = step;
        begun.take(on.context, state, None);
        let giving = Giving { id: on.id, grants, drawn };
        let change = self.with_granted(on.context, named(on, &begun), (&mut begun.record, giving))?;
        let change = self.with_step(change, on, &begun)?;
        Ok(self.step_plan(on, begun, change))
    }

    /// Adds to a change what is given: the overrides, and the decision in the record.
    pub(super) fn with_granted(
        &self,
        context: &Context,
        change: Change,
        (record, giving): (&mut RequestRecord, Giving<'_>),
    ) -> Result<Change, Error> {
        let Giving { id, grants, drawn } = giving;
        let made = self.overrides_of_grants(context, (id, record), &grants, drawn)?;
        // ORDER: before those that give way, of which there may be more than an entry of the audit log names.
        let change = made.iter().fold(change, |change, (id, _)| change.subject(overrides::subject(id)));
        let adding = Adding { account: &record.account, made: &made, overlap: Overlap::Superseded { request: id } };
        let added = self.add_overrides(context, change, &adding)?;
        let granted = grants
            .into_iter()
            .zip(&made)
            .zip(added.superseded)
            .map(|((grant, (id, _)), superseded)| GrantedRecord { grant, override_id: id.to_string(), superseded });
        record.decision = Some(DecisionRecord { made: By::of(context), reason: None, granted: granted.collect() });
        added.change.detail("decision", &record.decision)
    }
}
