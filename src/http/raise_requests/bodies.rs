//! What is sent about raise requests.

use crate::domain::ids::{AccountId, OperatorName, PolicyId};
use crate::domain::quantity::Quota;
use crate::domain::raise_request::State;
use crate::http::views::{Time, ms};
use crate::services::raise_requests::{Approval, Asked, Denial, DenyReason, Grant, NewRequest, Offer};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

/// A raise to ask for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(example = json!({
    "account": "acme", "group": "text.m2", "limits": [{"limit": "rpm", "quota": 4000}],
    "expires_at": "2099-04-30T00:00:00Z", "use_case": "Nightly summaries of all tickets",
    "expected_peak": "1,500 a minute at 2 am", "links": ["https://example.com/launch"],
}))]
pub(crate) struct SubmitRequest {
    /// A main account.
    account: AccountId,
    group: PolicyId,
    /// Each limit once.
    #[schema(min_items = 1, max_items = 16)]
    limits: Vec<AskedBody>,
    /// Absent: from when it is approved.
    #[serde(default)]
    starts_at: Option<Time>,
    /// Absent: the reviewer says how long.
    #[serde(default)]
    expires_at: Option<Time>,
    /// What it is for, in your own words.
    #[schema(min_length = 1, max_length = 4000)]
    use_case: String,
    #[serde(default)]
    #[schema(max_length = 500)]
    expected_peak: Option<String>,
    /// With http:// or https://.
    #[serde(default)]
    #[schema(max_items = 10)]
    links: Option<Vec<String>>,
}

/// A limit and the quota that is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(as = AskedLimit, example = json!({"limit": "rpm", "quota": 4000}))]
pub(crate) struct AskedBody {
    limit: PolicyId,
    quota: Quota,
}

/// What is given of one limit; what is left out is as it was asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(as = Grant, example = json!({"limit": "rpm", "quota": 3000, "expires_at": "2099-04-30T00:00:00Z"}))]
pub(crate) struct GrantBody {
    limit: PolicyId,
    /// At most what was asked for.
    #[serde(default)]
    quota: Option<Quota>,
    /// Not before it was asked for.
    #[serde(default)]
    starts_at: Option<Time>,
    /// Required where none was asked for, unless it is to be `permanent`.
    #[serde(default)]
    expires_at: Option<Time>,
    /// Says that having no end is meant.
    #[serde(default)]
    permanent: Option<bool>,
}

/// What is given, limit by limit; a limit that is left out is not given.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(example = json!({"limits": [{"limit": "rpm", "quota": 3000}], "text": "Enough for your peak of last month."}))]
pub(crate) struct GrantsRequest {
    #[schema(min_items = 1, max_items = 16)]
    limits: Vec<GrantBody>,
    /// To the customer.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 2000)]
    text: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(example = json!({"reason": "low_usage", "text": "Your peak was a tenth of your quota."}))]
pub(crate) struct DenyRequest {
    reason: DenyReason,
    /// To the customer.
    #[schema(min_length = 1, max_length = 2000)]
    text: String,
}

/// Who takes it up; absent: you.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(example = json!({}))]
pub(crate) struct AssignRequest {
    #[serde(default)]
    pub(super) to: Option<OperatorName>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(example = json!({"text": "Which hours of the day is it for?"}))]
pub(crate) struct TextRequest {
    #[schema(min_length = 1, max_length = 2000)]
    pub(super) text: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(example = json!({"text": "We found another way."}))]
pub(crate) struct MaybeTextRequest {
    #[serde(default)]
    #[schema(min_length = 1, max_length = 2000)]
    pub(super) text: Option<String>,
}

/// Which raise requests to list; every condition that is given must hold.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RequestsQuery {
    /// Of this main account.
    pub(super) account: Option<AccountId>,
    /// For limits of this group.
    pub(super) group: Option<PolicyId>,
    /// As it stands now.
    pub(super) state: Option<State>,
    /// Open and past the limit of working days, or not.
    pub(super) overdue: Option<bool>,
    /// Open and past the target of working days, or not.
    pub(super) past_target: Option<bool>,
    /// Taken up by.
    pub(super) assigned_to: Option<String>,
}

/// Which snapshot.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EvidenceQuery {
    /// The number of the snapshot; absent: the last.
    #[param(minimum = 1)]
    pub(super) number: Option<u32>,
}

impl SubmitRequest {
    pub(super) fn account(&self) -> &AccountId {
        &self.account
    }
}

impl From<SubmitRequest> for NewRequest {
    fn from(body: SubmitRequest) -> Self {
        Self {
            account: body.account,
            group: body.group,
            limits: body.limits.into_iter().map(|AskedBody { limit, quota }| Asked { limit, quota }).collect(),
            starts_at_ms: ms(body.starts_at),
            expires_at_ms: ms(body.expires_at),
            use_case: body.use_case,
            expected_peak: body.expected_peak,
            links: body.links.unwrap_or_default(),
        }
    }
}

fn grants(limits: Vec<GrantBody>) -> Vec<Grant> {
    let grant = |body: GrantBody| Grant {
        limit: body.limit,
        quota: body.quota,
        starts_at_ms: ms(body.starts_at),
        expires_at_ms: ms(body.expires_at),
        permanent: body.permanent.unwrap_or_default(),
    };
    limits.into_iter().map(grant).collect()
}

impl From<GrantsRequest> for Approval {
    fn from(body: GrantsRequest) -> Self {
        Self { grants: grants(body.limits), comment: body.text }
    }
}

impl From<GrantsRequest> for Offer {
    fn from(body: GrantsRequest) -> Self {
        Self { grants: grants(body.limits), comment: body.text }
    }
}

impl From<DenyRequest> for Denial {
    fn from(body: DenyRequest) -> Self {
        Self { reason: body.reason, text: body.text }
    }
}
