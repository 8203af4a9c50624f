//! What is proposed about overrides that are about to end.

use super::wire::rfc3339;
use crate::domain::quantity::Quota;
use crate::policy::duration_ms;
use crate::services::overrides::OverrideView;
use crate::services::renewals::{Action, Ending, Proposal};
use crate::services::{Page, Stored};
use compact_str::CompactString;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

const MINUTE_MS: i64 = 60_000;
const MOST_MS: i64 = 366 * 86_400_000;

/// How soon.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Within(i64);

impl<'de> Deserialize<'de> for Within {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = CompactString::deserialize(deserializer)?;
        let whole = duration_ms(&text).filter(|ms| (MINUTE_MS..=MOST_MS).contains(ms) && !text.ends_with('s'));
        let shown = "a time ahead is minutes, hours or days such as 90m, 12h or 7d, at most 366d";
        whole.map(Self).ok_or_else(|| D::Error::custom(shown))
    }
}

/// The earlier of two ends.
pub(crate) fn earlier(before_ms: Option<i64>, within: Option<Within>, now: i64) -> Option<i64> {
    let within = within.map(|Within(ms)| now.saturating_add(ms));
    before_ms.into_iter().chain(within).min()
}

/// A page without proposals.
pub(crate) fn unproposed(page: Page<Stored<OverrideView>>) -> Page<Stored<Ending>> {
    let items = page.items.into_iter().map(|item| item.map(|view| Ending { view, proposal: None }));
    Page { items: items.collect(), next: page.next }
}

/// What to do about an override at its end.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RenewalProposal)]
pub(crate) struct ProposalView {
    action: ActionView,
    /// What the quota would be from then on; of `let_end`, the tier's own.
    quota: Quota,
    /// The most in use at once in the last 28 days while it was in force, in the terms of its quota; absent: nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, example = 640)]
    peak: Option<u64>,
    /// The minute of the peak.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false, example = "2026-01-31T08:17:00.000Z")]
    peak_at: Option<CompactString>,
    /// Requests that the limit refused in that time.
    #[schema(minimum = 0, example = 3)]
    denied: u64,
    #[schema(example = "the peak of 640 is 32 % of it, above the tier's 500")]
    why: String,
}

/// The same again, a smaller one, or none.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RenewalAction)]
enum ActionView {
    Renew,
    Shrink,
    LetEnd,
}

impl From<Proposal> for ProposalView {
    fn from(proposal: Proposal) -> Self {
        let action = match proposal.action {
            Action::Renew => ActionView::Renew,
            Action::Shrink => ActionView::Shrink,
            Action::LetEnd => ActionView::LetEnd,
        };
        let (peak_at, peak) = proposal.peak.map(|(at, used)| (rfc3339(at), used)).unzip();
        Self { action, quota: proposal.quota, peak, peak_at, denied: proposal.denied, why: proposal.why }
    }
}
