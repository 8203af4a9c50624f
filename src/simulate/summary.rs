//! What a run came to: counts, peaks and the longest wait.

use super::answer::{Answer, Body};
use super::uses::{LimitIndex, LimitName, Use};
use crate::engine::{Decision, LimitState, Reason, Snapshot};
use serde::Serialize;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Where in the trace something was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Place {
    pub line: u64,
    pub at_ms: i64,
}

/// The highest use of a limit, by share of its quota, and where it was reached first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Peak {
    #[serde(flatten)]
    pub level: Use,
    #[serde(flatten)]
    pub place: Place,
}

/// The longest `retry_after_ms`, and where it was answered first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Wait {
    pub retry_after_ms: i64,
    #[serde(flatten)]
    pub place: Place,
}

/// One limit over a whole run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LimitSummary {
    #[serde(flatten)]
    pub name: LimitName,
    /// Denied requests that this limit refused; one that two limits refuse counts for both.
    pub refused: u64,
    pub peak: Peak,
}

/// Statistics over the answers of one run.
#[derive(Debug, Default)]
pub struct Summary {
    pub events: u64,
    /// Times of the first and the last event.
    pub span_ms: Option<(i64, i64)>,
    pub allowed: u64,
    /// Of the allowed, those that repeated an open reservation and were charged nothing.
    pub replayed: u64,
    pub denied: u64,
    pub denied_by_reason: BTreeMap<Reason, u64>,
    /// Requests that got an error in place of a decision.
    pub not_decided: u64,
    /// Counted apart from the others.
    pub dry_runs: u64,
    /// Of all operations, by name.
    pub errors: BTreeMap<&'static str, u64>,
    pub longest_wait: Option<Wait>,
    index: LimitIndex,
    /// By the index's numbers.
    limits: Vec<LimitCount>,
}

#[derive(Debug)]
struct LimitCount {
    refused: u64,
    peak: Peak,
}

impl Summary {
    /// Decided or not, dry runs apart.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.allowed + self.denied + self.not_decided
    }

    /// The limits that took part, in the order in which they first did.
    pub fn limits(&self) -> impl Iterator<Item = LimitSummary> {
        self.index.names.iter().zip(&self.limits).map(|(name, count)| LimitSummary {
            name: name.clone(),
            refused: count.refused,
            peak: count.peak,
        })
    }

    pub fn observe(&mut self, answer: &Answer) {
        let place = Place { line: answer.line, at_ms: answer.at_ms };
        self.events += 1;
        let (first, _) = self.span_ms.unwrap_or((answer.at_ms, answer.at_ms));
        self.span_ms = Some((first, answer.at_ms));
        match &answer.body {
            Body::Decided { decision, dry_run } => self.decided(decision, *dry_run, place),
            Body::NotDecided(error) => {
                self.not_decided += 1;
                self.error(error.as_str());
            }
            Body::Ended(ended) => self.levels(&ended.snapshot, ended.group, &ended.limits, place),
            Body::NotEnded(error) => self.error(error.as_str()),
            Body::Status(status) => self.levels(&status.snapshot, status.group, &status.limits, place),
            Body::NoStatus(error) => self.error(error.as_str()),
            Body::Tier(_) | Body::Done => {}
        }
    }

    fn decided(&mut self, decision: &Decision, dry_run: bool, place: Place) {
        self.levels(&decision.snapshot, decision.group, &decision.limits, place);
        if dry_run {
            self.dry_runs += 1;
            return;
        }
        let Some(reason) = decision.denied else {
            self.allowed += 1;
            self.replayed += u64::from(decision.replayed);
            return;
        };
        self.denied += 1;
        *self.denied_by_reason.entry(reason).or_default() += 1;
        if let Some(group) = decision.group {
            for state in decision.limits.iter().filter(|state| state.refuses) {
                let number = self.index.number(&decision.snapshot, group, state);
                self.limits[number].refused += 1;
            }
        }
        if let Some(retry_after_ms) = decision.retry_after_ms
            && self.longest_wait.is_none_or(|longest| retry_after_ms > longest.retry_after_ms)
        {
            self.longest_wait = Some(Wait { retry_after_ms, place });
        }
    }

    fn levels(&mut self, snapshot: &Snapshot, group: Option<u16>, limits: &[LimitState], place: Place) {
        let Some(group) = group else { return };
        for state in limits {
            let peak = Peak { level: Use::of(state), place };
            let number = self.index.number(snapshot, group, state);
            match self.limits.get_mut(number) {
                None => self.limits.push(LimitCount { refused: 0, peak }),
                Some(count) if peak.level.fuller(&count.peak.level) == Ordering::Greater => count.peak = peak,
                Some(_) => {}
            }
        }
    }

    fn error(&mut self, name: &'static str) {
        *self.errors.entry(name).or_default() += 1;
    }
}

impl Serialize for Summary {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct View<'a> {
            events: u64,
            first_at_ms: Option<i64>,
            last_at_ms: Option<i64>,
            requests: u64,
            allowed: u64,
            replayed: u64,
            denied: u64,
            denied_by_reason: BTreeMap<&'static str, u64>,
            not_decided: u64,
            dry_runs: u64,
            errors: &'a BTreeMap<&'static str, u64>,
            longest_wait: Option<Wait>,
            limits: Vec<LimitSummary>,
        }
        View {
            events: self.events,
            first_at_ms: self.span_ms.map(|(first, _)| first),
            last_at_ms: self.span_ms.map(|(_, last)| last),
            requests: self.requests(),
            allowed: self.allowed,
            replayed: self.replayed,
            denied: self.denied,
            denied_by_reason: self.denied_by_reason.iter().map(|(reason, count)| (reason.as_str(), *count)).collect(),
            not_decided: self.not_decided,
            dry_runs: self.dry_runs,
            errors: &self.errors,
            longest_wait: self.longest_wait,
            limits: self.limits().collect(),
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::testing::{ran, runner};
    use serde_json::{Value, json};

    fn summary(lines: &[&str]) -> Value {
        let mut summary = Summary::default();
        ran(&mut runner(), lines, |answer| summary.observe(&answer));
        serde_json::to_value(&summary).unwrap()
    }

    #[test]
    fn requests_are_counted_by_verdict_reason_and_limit() {
        let summary = summary(&[
            r#"{"at_ms":0,"op":"account","account":"a"}"#,
            r#"{"at_ms":0,"op":"decide","account":"a","resource":"m","tokens":40}"#,
            r#"{"at_ms":1,"op":"decide","account":"a","resource":"m","tokens":40}"#,
            r#"{"at_ms":2,"op":"decide","account":"a","resource":"m","tokens":40}"#,
            r#"{"at_ms":3,"op":"decide","account":"a","resource":"m","tokens":101}"#,
            r#"{"at_ms":4,"op":"decide","account":"b","resource":"m"}"#,
            r#"{"at_ms":5,"op":"decide","account":"a","resource":"m","dry_run":true}"#,
            r#"{"at_ms":6,"op":"decide","account":"a","resource":"slots"}"#,
            r#"{"at_ms":7,"op":"settle","reservation":"none"}"#,
        ]);

        assert_eq!(summary["events"], 9);
        assert_eq!(summary["requests"], 6);
        assert_eq!((&summary["allowed"], &summary["denied"]), (&json!(2), &json!(3)));
        assert_eq!(
            summary["denied_by_reason"],
            json!({"unknown_account": 1, "cost_exceeds_quota": 1, "quota_exceeded": 1})
        );
        assert_eq!((&summary["dry_runs"], &summary["not_decided"]), (&json!(1), &json!(1)));
        assert_eq!(summary["errors"], json!({"reservation_required": 1, "unknown_reservation": 1}));
        assert_eq!(summary["longest_wait"], json!({"retry_after_ms": 59_998, "line": 4, "at_ms": 2}));
        let limits: Vec<_> = summary["limits"].as_array().unwrap().iter().map(|limit| &limit["refused"]).collect();
        assert_eq!(limits, [2, 2], "rpm and tpm, each for both denials it took part in");
    }

    #[test]
    fn the_peak_of_a_limit_is_the_first_moment_of_its_highest_share() {
        let summary = summary(&[
            r#"{"at_ms":0,"op":"account","account":"a","tier":"paid"}"#,
            r#"{"at_ms":0,"op":"account","account":"b"}"#,
            r#"{"at_ms":1,"op":"decide","account":"a","resource":"m","tokens":300}"#,
            r#"{"at_ms":2,"op":"decide","account":"b","resource":"m","tokens":50}"#,
            r#"{"at_ms":3,"op":"decide","account":"b","resource":"m","tokens":0}"#,
        ]);

        let tpm = &summary["limits"][1];
        assert_eq!(tpm["limit"], "tpm");
        assert_eq!(tpm["peak"], json!({"used": 50, "quota": 100, "line": 4, "at_ms": 2}));
    }
}
