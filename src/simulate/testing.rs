//! A small policy and runs of a few lines, for tests.

use super::{Answer, Event, Runner};
use crate::domain::policy::Policy;

pub const NOW: i64 = 1_000;

/// Two rates for `m`, and a concurrency for `slots`.
const SMALL: &str = "
schema: quotagate.policy/v1
name: small
units: [{id: images}]
tiers: [{id: free}, {id: paid}]
default_tier: free
groups:
  - id: text
    resources: [m]
    limits:
      - {id: rpm, unit: requests, window: 1m, algorithm: fixed_window, quotas: {free: 2, paid: 10}}
      - {id: tpm, unit: tokens, window: 1m, algorithm: fixed_window, quotas: {free: 100, paid: 1000}}
  - id: slots
    resources: [slots]
    limits:
      - {id: conn, kind: concurrency, quotas: {free: 1, paid: 2}}
";

pub fn policy(text: &str) -> Policy {
    crate::policy::parse(text).unwrap().policy
}

pub fn runner() -> Runner {
    Runner::new(policy(SMALL))
}

/// Runs lines, each of them good.
pub fn ran(runner: &mut Runner, lines: &[&str], mut observe: impl FnMut(Answer)) {
    for (number, text) in (1..).zip(lines) {
        observe(runner.event(number, Event::parse(text).unwrap()).unwrap());
    }
}
