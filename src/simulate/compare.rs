//! The same trace under another policy, in step: who would newly be denied or allowed.

use super::answer::{Answer, Body};
use super::carry::{Carried, carry};
use super::runner::Runner;
use super::summary::Summary;
use super::trace::{Event, Op};
use serde::Serialize;
use std::collections::HashMap;

/// Pairs of account and resource told apart; the changes of later ones are counted together.
pub const MAX_PAIRS: usize = 100_000;

/// How often something was so, and on which line first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Tally {
    pub count: u64,
    /// None while the count is 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_line: Option<u64>,
}

impl Tally {
    fn add(&mut self, line: u64) {
        self.count += 1;
        self.first_line.get_or_insert(line);
    }
}

/// Requests that the other policy decides otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Changes {
    /// Allowed by the first policy, denied by the other.
    pub newly_denied: Tally,
    /// Denied by the first policy, allowed by the other.
    pub newly_allowed: Tally,
    /// Decided by one of them, an error under the other.
    pub decided_by_one: Tally,
}

impl Changes {
    #[must_use]
    pub fn total(&self) -> u64 {
        self.newly_denied.count + self.newly_allowed.count + self.decided_by_one.count
    }

    fn add(&mut self, (before, after): (Verdict, Verdict), line: u64) {
        match (before, after) {
            (Verdict::Allow, Verdict::Deny) => self.newly_denied.add(line),
            (Verdict::Deny, Verdict::Allow) => self.newly_allowed.add(line),
            (Verdict::Error, Verdict::Allow | Verdict::Deny) | (Verdict::Allow | Verdict::Deny, Verdict::Error) => {
                self.decided_by_one.add(line);
            }
            (Verdict::Allow, Verdict::Allow) | (Verdict::Deny, Verdict::Deny) | (Verdict::Error, Verdict::Error) => {}
        }
    }
}

/// The changes of one account on one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PairChanges {
    pub account: String,
    pub resource: String,
    #[serde(flatten)]
    pub changes: Changes,
}

/// Events of which the other run took no part or only a part.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct NotCarried {
    #[serde(flatten)]
    pub tally: Tally,
    /// What the first of them named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Allow,
    Deny,
    Error,
}

/// Another run of the same trace beside the first one.
pub struct Comparison {
    other: Runner,
    pub summary: Summary,
    pub totals: Changes,
    pairs: HashMap<(String, String), Changes>,
    /// Of the pairs beyond [`MAX_PAIRS`].
    pub of_other_pairs: Changes,
    /// `policy` events: the policy compared with stays in force throughout.
    pub policy_events: Tally,
    pub not_carried: NotCarried,
}

impl Comparison {
    #[must_use]
    pub fn with(other: Runner) -> Self {
        Self {
            other,
            summary: Summary::default(),
            totals: Changes::default(),
            pairs: HashMap::new(),
            of_other_pairs: Changes::default(),
            policy_events: Tally::default(),
            not_carried: NotCarried::default(),
        }
    }

    /// Runs an event that `first` has answered with `answer`.
    pub fn observe(&mut self, mut event: Event<'_>, first: &Runner, answer: &Answer) {
        let line = answer.line;
        if matches!(event.op, Op::Policy { .. }) {
            self.policy_events.add(line);
            return;
        }
        let carried = {
            let (from, to) = (first.engine().snapshot(), self.other.engine().snapshot());
            carry(&mut event, &from.policy, &to.policy)
        };
        match carried {
            Carried::Whole => {}
            Carried::InPart(what) => self.not_carried(what, line),
            Carried::Not(what) => return self.not_carried(what, line),
        }
        let pair = match &event.op {
            Op::Decide(decide) => Some((decide.account.clone(), decide.resource.clone())),
            _ => None,
        };
        let other = match self.other.event(line, event) {
            Ok(other) => other,
            Err(bad) => return self.not_carried(bad.to_string(), line),
        };
        self.summary.observe(&other);
        if let (Some((account, resource)), Some(before), Some(after)) = (pair, verdict(answer), verdict(&other))
            && before != after
        {
            self.totals.add((before, after), line);
            let key = (account.into_owned(), resource.into_owned());
            let changes = if self.pairs.len() < MAX_PAIRS {
                self.pairs.entry(key).or_default()
            } else {
                self.pairs.get_mut(&key).unwrap_or(&mut self.of_other_pairs)
            };
            changes.add((before, after), line);
        }
    }

    /// Runs what comes before the trace, with no answer to compare with.
    pub fn prepare(&mut self, event: Event<'_>, first: &Runner) {
        let (line, at_ms) = (0, event.at_ms);
        self.observe(event, first, &Answer { line, at_ms, op: "account", body: Body::Done });
        self.summary = Summary::default();
    }

    fn not_carried(&mut self, what: String, line: u64) {
        self.not_carried.tally.add(line);
        self.not_carried.first.get_or_insert(what);
    }

    /// Those with changes, the most changed first.
    #[must_use]
    pub fn pairs(&self) -> Vec<PairChanges> {
        let mut pairs: Vec<PairChanges> = self
            .pairs
            .iter()
            .map(|((account, resource), changes)| PairChanges {
                account: account.clone(),
                resource: resource.clone(),
                changes: *changes,
            })
            .collect();
        pairs.sort_by(|a, b| {
            let by_count = b.changes.total().cmp(&a.changes.total());
            by_count.then_with(|| (&a.account, &a.resource).cmp(&(&b.account, &b.resource)))
        });
        pairs
    }
}

/// None where nothing was to be decided, or only a dry run.
fn verdict(answer: &Answer) -> Option<Verdict> {
    match &answer.body {
        Body::Decided { dry_run: true, .. } => None,
        Body::Decided { decision, .. } if decision.allowed() => Some(Verdict::Allow),
        Body::Decided { .. } => Some(Verdict::Deny),
        Body::NotDecided(_) => Some(Verdict::Error),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::testing::{NOW, policy, runner};
    use std::path::PathBuf;

    /// The other policy: a smaller `rpm`, no tier `paid`, no limit `tpm`, `slots` without concurrency.
    const OTHER: &str = "
schema: quotagate.policy/v1
name: other
tiers: [{id: free}]
default_tier: free
groups:
  - id: text
    resources: [m, slots]
    limits:
      - {id: rpm, unit: requests, window: 1m, quotas: {free: 1}}
";

    fn compare(lines: &[&str]) -> Comparison {
        let mut first = runner().with_base(PathBuf::from(env!("CARGO_MANIFEST_DIR")));
        let mut comparison = Comparison::with(Runner::new(policy(OTHER)));
        for (line, text) in (1..).zip(lines) {
            let event = Event::parse(text).unwrap();
            let answer = first.event(line, event.clone()).unwrap();
            comparison.observe(event, &first, &answer);
        }
        comparison
    }

    #[test]
    fn changes_are_told_by_account_and_resource_with_their_first_line() {
        let comparison = compare(&[
            r#"{"at_ms":0,"op":"account","account":"a"}"#,
            r#"{"at_ms":0,"op":"account","account":"b"}"#,
            r#"{"at_ms":1,"op":"decide","account":"a","resource":"m"}"#,
            r#"{"at_ms":2,"op":"decide","account":"a","resource":"m"}"#,
            r#"{"at_ms":3,"op":"decide","account":"b","resource":"m","tokens":101}"#,
            r#"{"at_ms":4,"op":"decide","account":"a","resource":"m","dry_run":true}"#,
            r#"{"at_ms":5,"op":"decide","account":"b","resource":"slots"}"#,
        ]);

        let pairs = comparison.pairs();
        let told: Vec<_> = pairs
            .iter()
            .map(|pair| (pair.account.as_str(), pair.resource.as_str(), pair.changes.newly_denied.first_line))
            .collect();
        assert_eq!(told, [("a", "m", Some(4)), ("b", "m", None), ("b", "slots", None)]);
        assert_eq!(comparison.totals.newly_allowed, Tally { count: 1, first_line: Some(5) });
        assert_eq!(comparison.totals.decided_by_one, Tally { count: 1, first_line: Some(7) });
        assert_eq!(comparison.totals.total(), 3);
        assert_eq!(comparison.not_carried, NotCarried::default());
    }

    #[test]
    fn what_the_other_policy_lacks_is_dormant_there_and_counted() {
        let comparison = compare(&[
            r#"{"at_ms":0,"op":"account","account":"a","tier":"paid"}"#,
            r#"{"at_ms":0,"op":"account","account":"s","parent":"a","caps":{"text/tpm":5,"text/rpm":1}}"#,
            r#"{"at_ms":0,"op":"pin","account":"a","tier":"paid"}"#,
            r#"{"at_ms":0,"op":"override","account":"a","group":"text","limit":"tpm","quota":5}"#,
            r#"{"at_ms":0,"op":"clamp","group":"text","limit":"rpm","tier":"paid","quota":1}"#,
            r#"{"at_ms":0,"op":"clamp","group":"text","limit":"tpm","quota":null}"#,
            r#"{"at_ms":0,"op":"decide","account":"a","resource":"m","units":{"images":1}}"#,
            r#"{"at_ms":0,"op":"decide","account":"s","resource":"m"}"#,
        ]);

        assert_eq!(comparison.not_carried.tally, Tally { count: 6, first_line: Some(1) });
        assert_eq!(comparison.not_carried.first.as_deref(), Some("tier `paid`"));
        assert_eq!(comparison.summary.allowed, 1, "`a` is there, as of the default tier");
        assert_eq!(comparison.summary.denied, 1, "`s` spends the bucket of `a`, which holds 1");
    }

    #[test]
    fn policy_events_do_not_reach_the_other_run() {
        let comparison = compare(&[
            r#"{"at_ms":0,"op":"account","account":"a"}"#,
            r#"{"at_ms":0,"op":"policy","file":"policies/minimax.yaml"}"#,
            r#"{"at_ms":1,"op":"decide","account":"a","resource":"m"}"#,
        ]);

        assert_eq!(comparison.policy_events, Tally { count: 1, first_line: Some(2) });
        assert_eq!(comparison.totals.newly_allowed.first_line, Some(3));
    }

    #[test]
    fn an_account_made_before_the_trace_leaves_no_mark_in_the_summary() {
        let first = runner();
        let mut comparison = Comparison::with(Runner::new(policy(OTHER)));
        let account = Event::parse(r#"{"at_ms":5,"op":"account","account":"a"}"#).unwrap();

        comparison.prepare(account, &first);

        assert_eq!(comparison.summary.events, 0);
        assert!(comparison.other.engine().standing("a", NOW).is_some());
    }
}
