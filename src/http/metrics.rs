//! What the decision routes count.

use crate::engine::{DecideError, Decision, Reason};
use crate::services::raise_requests::Standing;
use crate::store::embedded::UsageFound;
use metrics::{Counter, counter, describe_counter, describe_gauge, gauge};

/// Handles are taken once: looking one up costs as much as a decision.
pub(crate) struct Metrics {
    allowed: Counter,
    denied: [Counter; REASONS.len()],
    errors: [Counter; ERRORS.len()],
    pub(crate) tier_changes: Counter,
    pub(crate) raises_expired: Counter,
}

const REASONS: [Reason; 7] = [
    Reason::UnknownAccount,
    Reason::AccountSuspended,
    Reason::UnknownResource,
    Reason::Blocked,
    Reason::CostExceedsQuota,
    Reason::QuotaExceeded,
    Reason::ConcurrencyExceeded,
];
const ERRORS: [&str; 4] = ["reservation_required", "reservation_conflict", "reservation_ended", "capacity"];

impl Metrics {
    /// The handles of the recorder that is installed.
    pub(crate) fn new() -> Self {
        describe_counter!("quotagate_decisions_total", "Decisions by verdict and reason");
        describe_counter!("quotagate_decision_errors_total", "Requests that got no decision, by code");
        describe_counter!("quotagate_tier_changes_total", "Tiers that were noticed to have changed by time alone");
        describe_counter!("quotagate_billing_events_total", "Events of signed deliveries, by what became of them");
        describe_counter!("quotagate_billing_deliveries_refused_total", "Signed deliveries not looked at, by reason");
        describe_raises();
        let verdict =
            |verdict, reason| counter!("quotagate_decisions_total", "decision" => verdict, "reason" => reason);
        Self {
            allowed: verdict("allow", ""),
            denied: REASONS.map(|reason| verdict("deny", reason.as_str())),
            errors: ERRORS.map(|code| counter!("quotagate_decision_errors_total", "code" => code)),
            tier_changes: counter!("quotagate_tier_changes_total"),
            raises_expired: counter!("quotagate_raise_requests_expired_total"),
        }
    }

    pub(crate) fn count(&self, decided: &Result<Decision, DecideError>) {
        match decided {
            Ok(decision) => match decision.denied {
                None => self.allowed.increment(1),
                Some(reason) => self.denied[reason_index(reason)].increment(1),
            },
            Err(error) => self.errors[error_index(*error)].increment(1),
        }
    }
}

fn describe_raises() {
    describe_counter!("quotagate_raise_requests_expired_total", "Raise requests that were noticed to have expired");
    describe_gauge!("quotagate_raise_requests_open", "Open raise requests by state");
    describe_gauge!(
        "quotagate_raise_requests_oldest_working_ms",
        "The most working time an open raise request has waited"
    );
    describe_counter!(
        "quotagate_raise_requests_breaches_total",
        "Raise requests without an answer within target and limit"
    );
    describe_counter!("quotagate_raise_requests_answers_total", "Raise requests that were approved or denied");
    describe_gauge!("quotagate_raise_requests_answer_working_ms", "Working time to the answer, by quantile");
}

/// What a start has found of usage.
pub(crate) fn tell_found(usage: &UsageFound) {
    gauge!("quotagate_usage_findings").set(usage.findings.len() as f64);
    gauge!("quotagate_usage_missing_records").set(usage.missing as f64);
}

/// Sets what is known of raise requests.
pub(crate) fn tell(standing: &Standing) {
    for (state, count) in standing.open {
        gauge!("quotagate_raise_requests_open", "state" => state.as_str()).set(count as f64);
    }
    gauge!("quotagate_raise_requests_oldest_working_ms").set(standing.oldest_ms as f64);
    for (of, count) in ["target", "limit"].into_iter().zip(standing.breaches) {
        counter!("quotagate_raise_requests_breaches_total", "of" => of).absolute(count);
    }
    counter!("quotagate_raise_requests_answers_total").absolute(standing.answers);
    for (quantile, took_ms) in [("0.5", standing.p50_ms), ("0.95", standing.p95_ms)] {
        if let Some(took_ms) = took_ms {
            gauge!("quotagate_raise_requests_answer_working_ms", "quantile" => quantile).set(took_ms as f64);
        }
    }
}

fn reason_index(reason: Reason) -> usize {
    match reason {
        Reason::UnknownAccount => 0,
        Reason::AccountSuspended => 1,
        Reason::UnknownResource => 2,
        Reason::Blocked => 3,
        Reason::CostExceedsQuota => 4,
        Reason::QuotaExceeded => 5,
        Reason::ConcurrencyExceeded => 6,
    }
}

fn error_index(error: DecideError) -> usize {
    match error {
        DecideError::ReservationRequired => 0,
        DecideError::ReservationConflict => 1,
        DecideError::ReservationEnded(_) => 2,
        DecideError::Capacity => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::How;

    #[test]
    fn every_reason_and_error_is_counted_under_its_own_name() {
        for reason in REASONS {
            assert_eq!(REASONS[reason_index(reason)], reason);
        }
        let all = [
            DecideError::ReservationRequired,
            DecideError::ReservationConflict,
            DecideError::ReservationEnded(How::Expired),
            DecideError::Capacity,
        ];
        for error in all {
            assert_eq!(ERRORS[error_index(error)], error.as_str());
        }
    }
}
