//! A decision, as it is answered.

use super::headers::DenialHeaders;
use crate::domain::ids::Currency;
use crate::engine::{Ascent, Decision, Held, Request, Snapshot, WayOut};
use crate::http::json::Writer;
use crate::http::state::State;
use crate::http::wire::{LimitView, limit_views, rfc3339, write_limits};
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
    /// The lowest higher tier that payments or age reach and that admits it: as it stands or, where none does, once the
    /// usage has passed. Overrides and clamps stay in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "paid")]
    tier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    needs: Option<Needs<'a>>,
    /// A raise request may be filed for the limits that refuse, and could raise them far enough.
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
    view.write(&mut Writer(out));
}

impl DecisionView<'_> {
    fn write(&self, json: &mut Writer<'_>) {
        json.raw(match self.decision {
            Verdict::Allow => "{\"decision\":\"allow\",\"revision\":",
            Verdict::Deny => "{\"decision\":\"deny\",\"revision\":",
        });
        json.integer(self.revision);
        if let Some(reason) = self.reason {
            json.raw(",\"reason\":");
            json.name(reason);
        }
        if let Some(violated) = &self.violated {
            json.raw(",\"violated\":[");
            for (position, limit) in violated.iter().enumerate() {
                json.raw(if position > 0 { "," } else { "" });
                json.name(limit);
            }
            json.raw("]");
        }
        json.optional(",\"retry_after_ms\":", self.retry_after_ms);
        json.optional(",\"slot_expires_in_ms\":", self.slot_expires_in_ms);
        if let Some(reservation) = &self.reservation {
            json.raw(",\"reservation\":");
            json.value(reservation);
        }
        json.raw(if self.replayed { ",\"replayed\":true" } else { "" });
        json.raw(if self.dry_run { ",\"dry_run\":true" } else { "" });
        if let Some(headers) = &self.headers {
            json.raw(",\"headers\":");
            json.value(headers);
        }
        if let Some(way_out) = &self.way_out {
            json.raw(",\"way_out\":");
            json.value(way_out);
        }
        json.raw(",\"limits\":");
        write_limits(json, self.limits);
        json.raw("}");
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_written_as_serde_would() {
        let plain = || DecisionView {
            decision: Verdict::Allow,
            revision: 7,
            reason: None,
            violated: None,
            retry_after_ms: None,
            slot_expires_in_ms: None,
            reservation: None,
            replayed: false,
            dry_run: false,
            headers: None,
            way_out: None,
            limits: &[],
        };
        let held = || ReservationHeld { id: Some("job-7"), handle: "rs_A".to_owned(), expires_at: "2026".into() };
        let full = DecisionView {
            decision: Verdict::Deny,
            reason: Some("quota_exceeded"),
            violated: Some(vec!["rpm", "tpm"]),
            retry_after_ms: Some(4_120),
            slot_expires_in_ms: Some(1),
            reservation: Some(held()),
            replayed: true,
            dry_run: true,
            way_out: Some(WayOutView { tier: Some("paid"), needs: None, raise_request: true }),
            ..plain()
        };
        for view in [plain(), full] {
            let mut written = Vec::new();

            view.write(&mut Writer(&mut written));

            assert_eq!(String::from_utf8(written).unwrap(), serde_json::to_string(&view).unwrap());
        }
    }
}
