//! The evidence of a request: taken when it is filed and whenever it is asked for again, never changed.

use super::record::{EvidenceRef, RequestRecord};
use super::steps::wrong_state;
use super::view::not_found;
use super::{Handling, Party, RequestView, Sees, subject};
use crate::domain::ids::PolicyId;
use crate::services::accounts::subject as account_subject;
use crate::services::commit::{Change, Plan};
use crate::services::evidence::{self, EarlierLimit, EarlierRequest, Evidence, LimitEvidence, Snapshot};
use crate::services::records::cut_reason;
use crate::services::stored::{self, Stored};
use crate::services::{Context, Done, Error, Services};
use crate::store::{Key, Table};

/// Snapshots of one request.
pub const MAX_SNAPSHOTS: usize = 10;
/// Requests before it that evidence names.
const MAX_EARLIER: usize = 10;

/// One snapshot of a request's evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct EvidenceView {
    pub of: EvidenceRef,
    pub snapshot: Snapshot,
    /// Whether it is all that was hashed: what is said of other accounts, and the house's reasons, are not shown to customers.
    pub complete: bool,
}

/// In `evidence`.
fn key(id: &str, number: u32) -> Key {
    Key::build().text(id).u64(number.into()).finish()
}

/// Everything for a page about a request's evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct EvidencePage {
    pub request: RequestView,
    /// The oldest first.
    pub snapshots: Vec<Snapshot>,
}

/// The snapshot of a number, else the last.
///
/// Errors: there is no such request, or snapshot.
pub fn evidence(
    services: &Services,
    party: &Party,
    (id, number): (&str, Option<u32>),
    now: i64,
) -> Result<Stored<EvidenceView>, Error> {
    let record = super::get(services, party, id, now)?.value.record;
    let mut taken = record.evidence.into_iter().rev();
    let of = taken.find(|of| number.is_none_or(|number| of.number == number));
    let of = of.ok_or_else(|| Error::not_found("evidence of raise request", id))?;
    let found = services.snapshot(party, id, of.number)?;
    Ok(found.map(|snapshot| EvidenceView { of, snapshot, complete: party.sees != Sees::Shared }))
}

/// The snapshots up to a number, or all.
///
/// Errors: there is no such request, or snapshot.
pub fn evidence_page(
    services: &Services,
    party: &Party,
    (id, number): (&str, Option<u32>),
    now: i64,
) -> Result<EvidencePage, Error> {
    let request = super::get(services, party, id, now)?.value;
    let taken = request.record.evidence.iter().map(|of| of.number);
    if number.is_some_and(|number| !taken.clone().any(|taken| taken == number)) {
        return Err(Error::not_found("evidence of raise request", id));
    }
    let shown = taken.filter(|taken| number.is_none_or(|number| *taken <= number));
    let snapshots =
        shown.map(|number| Ok(services.snapshot(party, id, number)?.value)).collect::<Result<_, Error>>()?;
    Ok(EvidencePage { request, snapshots })
}

/// Takes the evidence anew, beside what there is.
pub fn refresh_evidence(services: &Services, on: &Handling<'_>) -> Result<Done<RequestView>, Error> {
    services.change(on.context, || {
        let Stored { revision, value: mut record } = services.seen(on)?;
        on.context.may_match(revision)?;
        if record.state.is_closed() {
            return Err(wrong_state(&record, "evidence/refresh", on.party));
        }
        let change = Change::new("raise_request.refresh_evidence", subject(on.id))
            .subject(account_subject(&record.account))
            .expect(Table::RaiseRequests, Key::text(on.id), Some(revision));
        let (change, _) = services.with_evidence(on.context, change, (on.id, &mut record))?;
        let change = change.put(Table::RaiseRequests, Key::text(on.id), &record)?;
        Ok(Plan::Change { value: services.request_view(on.id, record, on.party, on.context.now), change })
    })
}

impl Services {
    /// Takes evidence and adds it to a change; the record names it then.
    pub(super) fn with_evidence(
        &self,
        context: &Context,
        change: Change,
        (id, record): (&str, &mut RequestRecord),
    ) -> Result<(Change, Evidence), Error> {
        if record.evidence.len() >= MAX_SNAPSHOTS {
            return Err(Error::TableFull { what: "snapshots of evidence of one raise request", most: MAX_SNAPSHOTS });
        }
        let limits: Vec<PolicyId> = record.limits.iter().map(|asked| asked.limit.clone()).collect();
        let mut taken = evidence::take(self, &record.account, (&record.group, &limits), context.now)?;
        taken.earlier = self.earlier(context, record)?;
        let snapshot = taken.freeze();
        let number = record.evidence.last().map_or(1, |last| last.number + 1);
        record.evidence.push(EvidenceRef { number, taken_at_ms: context.now, hash: snapshot.hash.clone() });
        let change = change.detail("evidence", &snapshot.hash)?.expect(Table::Evidence, key(id, number), None).put(
            Table::Evidence,
            key(id, number),
            &snapshot,
        )?;
        Ok((change, snapshot.evidence))
    }

    /// As far as the party may see it.
    fn snapshot(&self, party: &Party, id: &str, number: u32) -> Result<Stored<Snapshot>, Error> {
        let found = stored::read::<Snapshot>(&*self.store, Table::Evidence, &key(id, number))?;
        let mut found = found.ok_or_else(|| not_found(id))?;
        if party.sees == Sees::Shared {
            found.value.evidence.limits.iter_mut().for_each(keep_for_customers);
        }
        Ok(found)
    }

    /// Those before it for the same account and group, the last first.
    fn earlier(&self, context: &Context, record: &RequestRecord) -> Result<Vec<EarlierRequest>, Error> {
        let mut earlier = Vec::new();
        let mut next = record.previous.clone();
        while let Some(id) = next.take().filter(|_| earlier.len() < MAX_EARLIER) {
            let record = self.raise_request(&id)?.value.lapsed(self.board.calendar(), context.now);
            next = record.previous.clone();
            earlier.push(earlier_of(id, &record));
        }
        Ok(earlier)
    }
}

fn keep_for_customers(limit: &mut LimitEvidence) {
    limit.pool = None;
    limit.sources.iter_mut().for_each(|source| cut_reason(&mut source.origin));
}

fn earlier_of(id: String, record: &RequestRecord) -> EarlierRequest {
    let granted = record.decision.iter().flat_map(|decision| &decision.granted);
    let granted: Vec<_> = granted.map(|granted| (&granted.grant.limit, granted.grant.quota)).collect();
    let limits = record.limits.iter().map(|asked| EarlierLimit {
        limit: asked.limit.clone(),
        wanted: asked.quota,
        granted: granted.iter().find(|(limit, _)| **limit == asked.limit).map(|(_, quota)| *quota),
    });
    EarlierRequest {
        id,
        group: record.group.clone(),
        state: record.state,
        filed_at_ms: record.filed.at_ms,
        closed_at_ms: record.closed_at_ms(),
        limits: limits.collect(),
        reason: record.decision.as_ref().and_then(|decision| decision.reason).map(|reason| reason.as_str().to_owned()),
    }
}
