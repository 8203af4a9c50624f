//! Headers of a denial that the caller can forward as they are.
//!
//! `Retry-After` and `retry-after-ms` are what clients of LLM APIs obey; `RateLimit-Policy` and `RateLimit` follow
//! draft-ietf-httpapi-ratelimit-headers-11, where all times are whole seconds.

use crate::domain::policy::Rule;
use crate::domain::quantity::Quota;
use crate::engine::{Decision, LimitState, Reason, Scope};
use serde::Serialize;
use utoipa::ToSchema;

/// Put these on your own answer to the end user; a 429 is the usual status.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DenialHeaders {
    /// Whole seconds, rounded up, at least 1; absent where no wait is known to help.
    #[serde(rename = "Retry-After", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^[1-9][0-9]*$", example = "5")]
    retry_after: Option<String>,
    #[serde(rename = "retry-after-ms", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^[1-9][0-9]*$", example = "4120")]
    retry_after_ms: Option<String>,
    /// `false` where waiting cannot help: the OpenAI and Anthropic clients do not try again then.
    #[serde(rename = "x-should-retry", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "false")]
    should_retry: Option<&'static str>,
    #[serde(rename = "RateLimit-Policy", skip_serializing_if = "String::is_empty")]
    #[schema(required = false, example = "\"rpm\";q=20;w=60, \"tpm\";q=1000000;w=60")]
    policy: String,
    #[serde(rename = "RateLimit", skip_serializing_if = "String::is_empty")]
    #[schema(required = false, example = "\"rpm\";r=0;t=5, \"tpm\";r=998800;t=5")]
    state: String,
}

impl DenialHeaders {
    pub(crate) fn of(decision: &Decision, reason: Reason) -> Self {
        let can_help = match reason {
            Reason::UnknownAccount
            | Reason::AccountSuspended
            | Reason::UnknownResource
            | Reason::Blocked
            | Reason::CostExceedsQuota => false,
            Reason::QuotaExceeded | Reason::ConcurrencyExceeded => true,
        };
        let retry_after_s = decision.retry_after_ms.map(seconds);
        let mut headers = Self {
            retry_after: retry_after_s.map(|seconds| seconds.to_string()),
            retry_after_ms: decision.retry_after_ms.map(|ms| ms.to_string()),
            should_retry: (!can_help).then_some("false"),
            policy: String::new(),
            state: String::new(),
        };
        if decision.group.is_some() {
            headers.policy.reserve(32 * decision.limits.len());
            headers.state.reserve(32 * decision.limits.len());
            for state in &decision.limits {
                headers.add(decision, state, retry_after_s);
            }
        }
        headers
    }

    fn add(&mut self, decision: &Decision, state: &LimitState, retry_after_s: Option<i64>) {
        let (Some(group), Some(remaining)) = (decision.group, state.remaining()) else { return };
        let quota = match state.quota {
            Quota::Unlimited => return,
            Quota::Blocked => 0,
            Quota::Units(quota) => quota,
        };
        let name = decision.snapshot.limit_id(group, state.limit);
        // A cap may bear the name of the main account's limit; `:` is in no limit's id.
        let owner = match state.scope {
            Scope::Account => "",
            Scope::SubAccount => "sub_account:",
        };
        for list in [&mut self.policy, &mut self.state] {
            list.push_str(if list.is_empty() { "\"" } else { ", \"" });
            list.push_str(owner);
            list.push_str(name);
        }
        push(&mut self.policy, "\";q=", quota);
        match decision.snapshot.limit_rule(group, state.limit) {
            Rule::Rate { window_ms, .. } => push(&mut self.policy, ";w=", seconds(window_ms)),
            Rule::Concurrency => self.policy.push_str(";qu=\"concurrent-requests\""),
        }
        push(&mut self.state, "\";r=", remaining);
        let reset_s = state.reset_after_ms.map(|ms| if ms == 0 { 0 } else { seconds(ms) });
        if let Some(seconds) = retry_after_s.filter(|_| state.refuses && reset_s.is_some()).or(reset_s) {
            push(&mut self.state, ";t=", seconds);
        }
    }
}

fn push(list: &mut String, parameter: &str, number: impl itoa::Integer) {
    list.push_str(parameter);
    list.push_str(itoa::Buffer::new().format(number));
}

/// Whole seconds, rounded up, at least 1.
fn seconds(ms: i64) -> i64 {
    (ms.saturating_add(999) / 1_000).max(1)
}
