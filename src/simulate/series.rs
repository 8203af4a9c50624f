//! How a run went over time: what a report plots.

use super::answer::{Answer, Body};
use super::bins::Bins;
use super::uses::{LimitIndex, LimitName, Use};
use crate::engine::{Decision, LimitState, Snapshot};
use std::cmp::Ordering;

/// Bins of the time axis: twelve hours of minutes.
const MAX_TIME_BINS: usize = 720;
/// Bins of the retry-after distribution: a minute of seconds.
const MAX_WAIT_BINS: usize = 60;
/// Limits whose use is kept; those that appear later are only counted.
const MAX_LIMITS: usize = 256;

/// What was decided in one bin of time.
#[derive(Debug, Default)]
pub struct Bin {
    pub allowed: u64,
    pub denied: u64,
    /// The highest use of each limit, in the order of [`Series::limits`].
    uses: Vec<Option<Use>>,
}

impl Bin {
    /// None: the limit was not looked at in this bin.
    #[must_use]
    pub fn highest_use(&self, limit: usize) -> Option<Use> {
        self.uses.get(limit).copied().flatten()
    }

    fn merge(&mut self, other: Self) {
        self.allowed += other.allowed;
        self.denied += other.denied;
        for (limit, level) in other.uses.into_iter().enumerate() {
            if let Some(level) = level {
                self.raise(limit, level);
            }
        }
    }

    fn raise(&mut self, limit: usize, level: Use) {
        if limit >= self.uses.len() {
            self.uses.resize(limit + 1, None);
        }
        let highest = &mut self.uses[limit];
        if highest.is_none_or(|highest| level.fuller(&highest) == Ordering::Greater) {
            *highest = Some(level);
        }
    }
}

/// Decisions and use over time, and how long denied requests were told to wait.
#[derive(Debug)]
pub struct Series {
    pub bins: Bins<Bin>,
    /// By `retry_after_ms`; a bin holds what is above its start, up to its end.
    pub waits: Bins<u64>,
    /// Denied requests that were told of no time to wait.
    pub denied_without_wait: u64,
    index: LimitIndex,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            bins: Bins::new(60_000, MAX_TIME_BINS, Bin::merge),
            waits: Bins::new(1_000, MAX_WAIT_BINS, |into, from| *into += from),
            denied_without_wait: 0,
            index: LimitIndex::default(),
        }
    }
}

impl Series {
    /// The limits whose use is known.
    #[must_use]
    pub fn limits(&self) -> &[LimitName] {
        &self.index.names[..self.index.names.len().min(MAX_LIMITS)]
    }

    /// How many limits came too late to be kept.
    #[must_use]
    pub fn limits_left_out(&self) -> usize {
        self.index.names.len().saturating_sub(MAX_LIMITS)
    }

    pub fn observe(&mut self, answer: &Answer) {
        let at_ms = answer.at_ms;
        match &answer.body {
            Body::Decided { decision, dry_run } => {
                self.levels(&decision.snapshot, decision.group, &decision.limits, at_ms);
                if !dry_run {
                    self.decided(decision, at_ms);
                }
            }
            Body::Ended(ended) => self.levels(&ended.snapshot, ended.group, &ended.limits, at_ms),
            Body::Status(status) => self.levels(&status.snapshot, status.group, &status.limits, at_ms),
            Body::NotDecided(_) | Body::NotEnded(_) | Body::NoStatus(_) | Body::Tier(_) | Body::Done => {}
        }
    }

    fn decided(&mut self, decision: &Decision, at_ms: i64) {
        let bin = self.bins.at(at_ms);
        if decision.allowed() {
            bin.allowed += 1;
            return;
        }
        bin.denied += 1;
        match decision.retry_after_ms {
            // The axis starts at 0 whatever wait comes first.
            Some(ms) => {
                self.waits.at(0);
                *self.waits.at(ms - 1) += 1;
            }
            None => self.denied_without_wait += 1,
        }
    }

    fn levels(&mut self, snapshot: &Snapshot, group: Option<u16>, limits: &[LimitState], at_ms: i64) {
        let Some(group) = group else { return };
        let bin = self.bins.at(at_ms);
        for state in limits {
            let limit = self.index.number(snapshot, group, state);
            if limit < MAX_LIMITS {
                bin.raise(limit, Use::of(state));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::testing::{ran, runner};

    #[test]
    fn decisions_uses_and_waits_fall_into_their_bins() {
        let mut series = Series::default();
        let lines = [
            r#"{"at_ms":60000,"op":"account","account":"a"}"#,
            r#"{"at_ms":60000,"op":"decide","account":"a","resource":"m","tokens":60}"#,
            r#"{"at_ms":60001,"op":"decide","account":"a","resource":"m","tokens":60}"#,
            r#"{"at_ms":119999,"op":"decide","account":"a","resource":"m","tokens":101}"#,
            r#"{"at_ms":180000,"op":"decide","account":"a","resource":"m","tokens":10}"#,
        ];

        ran(&mut runner(), &lines, |answer| series.observe(&answer));

        let decided: Vec<_> = series.bins.iter().map(|(start, bin)| (start, bin.allowed, bin.denied)).collect();
        assert_eq!(decided, [(60_000, 1, 2), (120_000, 0, 0), (180_000, 1, 0)]);
        let tpm = series.limits().iter().position(|name| name.limit == "tpm").unwrap();
        let used: Vec<_> = series.bins.iter().map(|(_, bin)| bin.highest_use(tpm).map(|level| level.used)).collect();
        assert_eq!(used, [Some(60), None, Some(10)]);
        assert_eq!(series.waits.iter().last(), Some((59_000, &1)), "59,999 ms");
        assert_eq!(series.denied_without_wait, 1);
    }
}
