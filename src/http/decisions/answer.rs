//! A decision, as it is answered.

use super::headers::DenialHeaders;
use crate::domain::ids::Currency;
use crate::engine::{Ascent, Decision, Held, Request, Snapshot, WayOut};
use crate::http::state::State;
use crate::http::wire::{LimitView, limit_views, rfc3339};
use compact_str::CompactString;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The verdict, with the state of every limit that took part. What is absent is left out.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Decision)]
pub(crate) struct DecisionView<'a> {
    decision: Verdict,
    /// The revision of the policy that decided.
    #[schema(minimum = 0, example = 1)]
    revision: u64,
    /// Why it is denied.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ReasonValue>, nullable = false)]
    reason: Option<&'static str>,
    /// Of a denial: the ids of the limits that refuse, in their order; empty where none did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>, nullable = false, example = json!(["rpm"]))]
    violated: Option<Vec<&'a str>>,
    /// The shortest wait after which the same request passes if nothing else happens; absent where none is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, example = 4120)]
    retry_after_ms: Option<i64>,
    /// Where concurrency refuses: time until a slot is free if reservations ended only by expiry.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0)]
    slot_expires_in_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reservation: Option<ReservationHeld<'a>>,
    /// The reservation was made by an earlier request: nothing was charged now.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(required = false)]
    replayed: bool,
    /// Nothing was charged or made.
    #[serde(skip_serializing_if = "is_false")]
    #[schema(required = false)]
    dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    headers: Option<DenialHeaders>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    way_out: Option<WayOutView<'a>>,
    #[schema(value_type = Vec<LimitView>)]
    limits: &'a [LimitView<'a>],
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Allow,
    Deny,
}

#[derive(ToSchema)]
#[schema(as = DenyReason, rename_all = "snake_case")]
#[expect(dead_code, reason = "names the values in the OpenAPI document")]
pub(crate) enum ReasonValue {
    UnknownAccount,
    AccountSuspended,
    UnknownResource,
    Blocked,
    CostExceedsQuota,
    QuotaExceeded,
    ConcurrencyExceeded,
}

/// The reservation that the decision made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReservationHeld<'a> {
    /// Your own id for it, where you gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "job-7")]
    id: Option<&'a str>,
    /// Settle, renew or cancel it by this: `/v1/reservations/{handle}/settle`.
    #[schema(example = "rs_AAAAAAAAAAAAAAABAAABnXqO4AphY21lLWV1")]
    handle: String,
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:00:00.000Z")]
    expires_at: CompactString,
}

/// What would let the request pass, besides waiting.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WayOut)]
pub(crate) struct WayOutView<'a> {
    /// The lowest higher tier that admits it and that payments or age reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "paid")]
    tier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    needs: Option<Needs<'a>>,
    /// A raise request may be filed for the limits that refuse.
    raise_request: bool,
}

/// What the tier takes: one of the currencies suffices, the age where it is named.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Needs<'a> {
    /// Net paid at least, minor units by currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, u64>>, nullable = false, example = json!({"CNY": 1}))]
    net_paid: Option<&'a BTreeMap<Currency, u64>>,
    /// Net paid by now in these currencies.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, i64>>, nullable = false, example = json!({"CNY": 0}))]
    have: Option<BTreeMap<&'a Currency, i64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0)]
    account_age_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    have_account_age_ms: Option<i64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Writes the answer to one decision as JSON.
pub(super) fn write(out: &mut Vec<u8>, state: &State, request: &Request<'_>, decision: &Decision, now: i64) {
    let limits = limit_views(&decision.snapshot, decision.group, &decision.limits);
    let way_out = decision.denied.and_then(|_| state.engine.way_out(request, decision, now));
    let view = DecisionView {
        decision: if decision.allowed() { Verdict::Allow } else { Verdict::Deny },
        revision: decision.snapshot.revision,
        reason: decision.denied.map(crate::engine::Reason::as_str),
        violated: decision.denied.map(|_| decision.violated().collect()),
        retry_after_ms: decision.retry_after_ms,
        slot_expires_in_ms: decision.slot_expires_in_ms,
        reservation: decision.reservation.as_ref().map(held),
        replayed: decision.replayed,
        dry_run: request.dry_run,
        headers: decision.denied.map(|reason| DenialHeaders::of(decision, reason)),
        way_out: way_out.as_ref().map(|way_out| way_out_view(&decision.snapshot, way_out)),
        limits: &limits,
    };
    // Writing to memory cannot fail, and every key is a string.
    _ = serde_json::to_writer(out, &view);
}

fn held(held: &Held) -> ReservationHeld<'_> {
    ReservationHeld { id: held.id.as_deref(), handle: held.handle.to_string(), expires_at: rfc3339(held.expires_at_ms) }
}

fn way_out_view<'a>(snapshot: &'a Snapshot, way_out: &WayOut) -> WayOutView<'a> {
    WayOutView {
        tier: way_out.ascent.as_ref().map(|ascent| snapshot.policy.tiers[ascent.tier].id.as_str()),
        needs: way_out.ascent.as_ref().and_then(|ascent| needs(snapshot, ascent)),
        raise_request: way_out.raise_request,
    }
}

fn needs<'a>(snapshot: &'a Snapshot, ascent: &Ascent) -> Option<Needs<'a>> {
    let rule = snapshot.policy.tiers[ascent.tier].reached_by.as_ref()?;
    let have = rule.net_paid_at_least.as_ref().map(|any| {
        let paid = |currency: &Currency| ascent.net_paid.get(currency).copied().unwrap_or(0);
        any.keys().map(|currency| (currency, i64::try_from(paid(currency)).unwrap_or(i64::MAX))).collect()
    });
    Some(Needs {
        net_paid: rule.net_paid_at_least.as_ref(),
        have,
        account_age_ms: rule.account_age_at_least_ms,
        have_account_age_ms: rule.account_age_at_least_ms.map(|_| ascent.account_age_ms),
    })
}
