//! What the rules of a policy said to a raise request, as it is answered.

use crate::domain::ids::PolicyId;
use crate::domain::raise_rule::Answer;
use crate::services::raise_rules::{ClauseResult, RuleResult, Verdict};
use serde::Serialize;
use utoipa::ToSchema;

/// What the policy's rules said when it was filed. Customers are told the answer alone, and nothing where there was none.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RaiseVerdict, example = json!({
    "rule": "modest", "answer": "approve", "for_ms": 7_776_000_000_i64,
    "rules": [{"rule": "modest", "holds": true, "clauses": [
        {"clause": "at_most_percent", "limit": "rpm", "needed": "at most 150 %", "measured": "120.00 %", "holds": true},
        {"clause": "peak_use", "limit": "rpm", "needed": "50 % on at least 5 of 28 days", "measured": "on 12 days", "holds": true},
        {"clause": "pool_has_room", "limit": "rpm", "needed": "within the capacity", "measured": "61,600 of 200,000 with this", "holds": true},
    ]}],
}))]
pub(crate) struct VerdictView {
    /// The first rule that holds; absent: none does, and a reviewer answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "modest")]
    rule: Option<PolicyId>,
    /// What that rule answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    answer: Option<AnswerView>,
    /// How long what is approved holds, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, example = 7_776_000_000_i64)]
    for_ms: Option<i64>,
    /// What the customer is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    text: Option<String>,
    /// Every rule in its order; left out of lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    rules: Vec<RuleView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RaiseRuleAnswer)]
pub(crate) enum AnswerView {
    Approve,
    RequestInfo,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RaiseRuleResult)]
pub(crate) struct RuleView {
    rule: PolicyId,
    holds: bool,
    clauses: Vec<ClauseView>,
}

/// One clause, of one limit where it is about limits.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RaiseClauseResult)]
pub(crate) struct ClauseView {
    /// As the policy names it.
    #[schema(example = "at_most_percent")]
    clause: String,
    /// Absent: it is about the account or the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    limit: Option<PolicyId>,
    #[schema(example = "at most 150 %")]
    needed: String,
    /// `unknown` where it could not be measured; then it does not hold.
    #[schema(example = "120.00 %")]
    measured: String,
    holds: bool,
}

impl From<Verdict> for VerdictView {
    fn from(verdict: Verdict) -> Self {
        let (answer, for_ms, text) = match verdict.answer {
            None => (None, None, None),
            Some(Answer::Approve { for_ms }) => (Some(AnswerView::Approve), Some(for_ms), None),
            Some(Answer::RequestInfo { text }) => (Some(AnswerView::RequestInfo), None, Some(text)),
        };
        let rules = verdict.rules.into_iter().map(RuleView::from).collect();
        Self { rule: verdict.rule, answer, for_ms, text, rules }
    }
}

impl From<RuleResult> for RuleView {
    fn from(result: RuleResult) -> Self {
        let clauses = result.clauses.into_iter().map(ClauseView::from).collect();
        Self { rule: result.rule, holds: result.holds, clauses }
    }
}

impl From<ClauseResult> for ClauseView {
    fn from(result: ClauseResult) -> Self {
        let ClauseResult { clause, limit, needed, measured, holds } = result;
        Self { clause, limit, needed, measured, holds }
    }
}
