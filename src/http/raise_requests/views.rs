//! Raise requests as they are answered.

use super::verdict::VerdictView;
use crate::domain::ids::{AccountId, PolicyId};
use crate::domain::quantity::Quota;
use crate::domain::raise_request::{Side, State, Step};
use crate::http::views::ShapeView;
use crate::http::wire::rfc3339;
use crate::services::raise_requests::{
    ANSWER_DAYS, AskedRecord, By, DecisionRecord, DenyReason, DueAt, EvidenceRef, EvidenceView, GrantRecord,
    GrantedRecord, LIMIT_DAYS, MessageRecord, NoteRecord, OfferRecord, RequestView, StepRecord, TARGET_DAYS, Timing,
};
use compact_str::CompactString;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

const MINUTE_MS: i64 = 60_000;

/// A request for more of some limits of a group, with all that was said and decided.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RaiseRequest, example = json!({
    "id": "rr_01kg8y2v0031gwr3b99bwpg6k4", "account": "acme", "group": "text.m2", "state": "in_review",
    "limits": [{"limit": "rpm", "unit": "requests", "window_ms": 60000, "quota": 2000, "in_force": 500}],
    "expires_at": "2099-04-30T00:00:00.000Z", "use_case": "Nightly summaries of all tickets",
    "expected_peak": "1,500 a minute at 2 am", "links": ["https://example.com/launch"],
    "filed": {"at": "2026-03-09T07:00:00.000Z", "by": "key_01kg8y2v0031gwr3b99bwpg6k4"}, "assigned_to": "rita",
    "clock": {
        "calendar": "china-mainland-2026.1", "runs": true, "worked_ms": 3600000,
        "target": {"working_days": 3, "due": "2026-03-12T07:00:00.000Z"},
        "limit": {"working_days": 5, "due": "2026-03-16T07:00:00.000Z"}, "past_target": false, "overdue": false,
    },
    "steps": [{"step": "assign", "state": "in_review", "at": "2026-03-09T08:00:00.000Z", "by": "rita", "to": "rita"}],
    "messages": [], "evidence": [], "verdict": {"rules": [{"rule": "modest", "holds": false, "clauses": [
        {"clause": "at_most_percent", "limit": "rpm", "needed": "at most 150 %", "measured": "400.00 %", "holds": false},
    ]}]},
    "allowed_transitions": ["request-info", "approve", "deny", "counter-offer", "withdraw"],
}))]
pub(crate) struct RequestAnswer {
    #[schema(value_type = String, example = "rr_01kg8y2v0031gwr3b99bwpg6k4")]
    id: CompactString,
    account: AccountId,
    group: PolicyId,
    state: State,
    limits: Vec<AskedView>,
    /// Absent: from when it is approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    starts_at: Option<CompactString>,
    /// Absent: nothing was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    expires_at: Option<CompactString>,
    use_case: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    expected_peak: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    links: Vec<String>,
    filed: ByView,
    /// Not told to customers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "rita")]
    assigned_to: Option<String>,
    clock: ClockView,
    /// Since it was filed, in order.
    steps: Vec<StepView>,
    /// Between the customer and the reviewers, in order.
    messages: Vec<MessageView>,
    /// Among the reviewers: for operators alone, no key sees them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    notes: Vec<NoteView>,
    /// The last that was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    offer: Option<OfferView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    decision: Option<DecisionView>,
    /// Snapshots that were taken.
    evidence: Vec<EvidenceRefView>,
    /// Absent: the policy has no rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    verdict: Option<VerdictView>,
    /// The request before this one for the same account and group.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "rr_01kg8y2v0031gwr3b99bwpg6k4")]
    previous: Option<String>,
    /// The steps that you may take now.
    allowed_transitions: Vec<Step>,
}

/// A limit and the quota that is wanted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RaiseAsked)]
pub(crate) struct AskedView {
    limit: PolicyId,
    #[serde(flatten)]
    shape: ShapeView,
    quota: Quota,
    /// What set the quota at the wanted start when it was filed, clamps aside.
    in_force: Quota,
}

/// Who did something, and when. Customers are told of operators as `operator`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DoneBy)]
pub(crate) struct ByView {
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:00:00.000Z")]
    at: CompactString,
    #[schema(example = "alice")]
    by: String,
}

/// How the request stands with the clock that counts working days.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RaiseRequestClock)]
pub(crate) struct ClockView {
    /// The version of the calendar that counts.
    #[schema(example = "china-mainland-2026.1")]
    calendar: String,
    /// Whether it runs: it stands still while the customer is waited for, and at the end.
    runs: bool,
    /// Working time since it was filed, in whole minutes; absent beyond the calendar.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, example = 3_600_000)]
    worked_ms: Option<i64>,
    /// When an answer is meant to come.
    target: DueView,
    /// When it has to come.
    limit: DueView,
    /// Open, and past the target.
    past_target: bool,
    /// Open, and past the limit.
    overdue: bool,
    /// When a question or an offer that nobody answers closes the request; absent: there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    answer_by: Option<DueView>,
}

/// When so many working days are over.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkingDue)]
pub(crate) struct DueView {
    #[schema(minimum = 1, example = 3)]
    working_days: u32,
    /// Null: not to be said.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    due: Option<CompactString>,
    /// Why it is not to be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    due_unknown: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RaiseRequestStepTaken)]
pub(crate) struct StepView {
    step: Step,
    /// After it.
    state: State,
    #[serde(flatten)]
    done: ByView,
    /// Who was assigned.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    to: Option<String>,
    /// The rule of the policy that took it; not told to customers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "modest")]
    rule: Option<PolicyId>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RaiseRequestMessage)]
pub(crate) struct MessageView {
    from: Side,
    #[serde(flatten)]
    written: ByView,
    text: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RaiseRequestNote)]
pub(crate) struct NoteView {
    #[serde(flatten)]
    written: ByView,
    text: String,
}

/// What is given of one limit.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RaiseGrant)]
pub(crate) struct GrantView {
    limit: PolicyId,
    quota: Quota,
    /// Absent: at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    starts_at: Option<CompactString>,
    /// Absent: for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    expires_at: Option<CompactString>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CounterOffer)]
pub(crate) struct OfferView {
    #[serde(flatten)]
    made: ByView,
    limits: Vec<GrantView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RaiseDecision)]
pub(crate) struct DecisionView {
    #[serde(flatten)]
    made: ByView,
    /// Of a denial.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<DenyReason>,
    /// Empty where it was denied.
    granted: Vec<GrantedView>,
}

/// A grant that took effect, and by what.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RaiseGranted)]
pub(crate) struct GrantedView {
    #[serde(flatten)]
    grant: GrantView,
    #[serde(rename = "override")]
    #[schema(example = "ov_01kg8y2v0031gwr3b99bwpg6k4")]
    override_id: String,
    /// Overrides whose place it took.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    superseded: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RaiseEvidenceRef)]
pub(crate) struct EvidenceRefView {
    /// From 1.
    #[schema(minimum = 1)]
    number: u32,
    #[schema(value_type = String, format = DateTime)]
    taken_at: CompactString,
    /// SHA-256, hexadecimal.
    hash: String,
}

/// A snapshot of what the server knew of the account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RaiseEvidence)]
pub(crate) struct EvidenceAnswer {
    #[serde(flatten)]
    of: EvidenceRefView,
    /// Whether `evidence` is all that was hashed: what is said of pools, and the reasons of overrides and clamps, are not
    /// shown to customers.
    complete: bool,
    /// As it was hashed, as JSON with sorted keys and no white space; its times are milliseconds since the Unix epoch.
    #[schema(value_type = Object)]
    evidence: Value,
}

impl From<RequestView> for RequestAnswer {
    fn from(view: RequestView) -> Self {
        let record = view.record;
        Self {
            id: view.id,
            account: record.account,
            group: record.group,
            state: record.state,
            limits: record.limits.into_iter().map(AskedView::from).collect(),
            starts_at: record.starts_at_ms.map(rfc3339),
            expires_at: record.expires_at_ms.map(rfc3339),
            use_case: record.use_case,
            expected_peak: record.expected_peak,
            links: record.links,
            filed: record.filed.into(),
            assigned_to: record.assigned_to,
            clock: view.timing.into(),
            steps: record.steps.into_iter().map(StepView::from).collect(),
            messages: record.messages.into_iter().map(MessageView::from).collect(),
            notes: record.notes.into_iter().map(NoteView::from).collect(),
            offer: record.offer.map(OfferView::from),
            decision: record.decision.map(DecisionView::from),
            evidence: record.evidence.into_iter().map(EvidenceRefView::from).collect(),
            verdict: record.verdict.map(VerdictView::from),
            previous: record.previous,
            allowed_transitions: view.steps,
        }
    }
}

impl From<AskedRecord> for AskedView {
    fn from(asked: AskedRecord) -> Self {
        Self { limit: asked.limit, shape: asked.shape.into(), quota: asked.quota, in_force: asked.in_force }
    }
}

impl From<By> for ByView {
    fn from(by: By) -> Self {
        Self { at: rfc3339(by.at_ms), by: by.by }
    }
}

impl From<Timing> for ClockView {
    fn from(timing: Timing) -> Self {
        Self {
            calendar: timing.calendar,
            runs: timing.runs,
            worked_ms: timing.worked_ms.map(|worked| worked - worked % MINUTE_MS),
            target: DueView::of(TARGET_DAYS, timing.target),
            limit: DueView::of(LIMIT_DAYS, timing.limit),
            past_target: timing.past_target,
            overdue: timing.overdue,
            answer_by: timing.answer_by.map(|by| DueView::of(ANSWER_DAYS, by)),
        }
    }
}

impl DueView {
    fn of(working_days: u32, due: DueAt) -> Self {
        match due {
            DueAt::Ms(at) => Self { working_days, due: Some(rfc3339(at)), due_unknown: None },
            DueAt::Unknown(why) => Self { working_days, due: None, due_unknown: Some(why) },
        }
    }
}

impl From<StepRecord> for StepView {
    fn from(taken: StepRecord) -> Self {
        Self { step: taken.step, state: taken.state, done: taken.done.into(), to: taken.to, rule: taken.rule }
    }
}

impl From<MessageRecord> for MessageView {
    fn from(message: MessageRecord) -> Self {
        Self { from: message.from, written: message.written.into(), text: message.text }
    }
}

impl From<NoteRecord> for NoteView {
    fn from(note: NoteRecord) -> Self {
        Self { written: note.written.into(), text: note.text }
    }
}

impl From<GrantRecord> for GrantView {
    fn from(grant: GrantRecord) -> Self {
        Self {
            limit: grant.limit,
            quota: grant.quota,
            starts_at: grant.starts_at_ms.map(rfc3339),
            expires_at: grant.expires_at_ms.map(rfc3339),
        }
    }
}

impl From<OfferRecord> for OfferView {
    fn from(offer: OfferRecord) -> Self {
        Self { made: offer.made.into(), limits: offer.grants.into_iter().map(GrantView::from).collect() }
    }
}

impl From<DecisionRecord> for DecisionView {
    fn from(decision: DecisionRecord) -> Self {
        let granted = decision.granted.into_iter().map(GrantedView::from).collect();
        Self { made: decision.made.into(), reason: decision.reason, granted }
    }
}

impl From<GrantedRecord> for GrantedView {
    fn from(granted: GrantedRecord) -> Self {
        let GrantedRecord { grant, override_id, superseded } = granted;
        Self { grant: grant.into(), override_id, superseded }
    }
}

impl From<EvidenceRef> for EvidenceRefView {
    fn from(of: EvidenceRef) -> Self {
        Self { number: of.number, taken_at: rfc3339(of.taken_at_ms), hash: of.hash }
    }
}

impl From<EvidenceView> for EvidenceAnswer {
    fn from(view: EvidenceView) -> Self {
        let evidence = serde_json::to_value(view.snapshot.evidence).unwrap_or_default();
        Self { of: view.of.into(), complete: view.complete, evidence }
    }
}
