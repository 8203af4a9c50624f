//! What a document must and must not say, through the same door that callers use.

mod bounds;
mod limits;
mod names;
mod raises;
mod rules;
mod shipped;
mod text;
mod warnings;
mod wild;

use super::{Code, Finding, Parsed, parse};

/// A small valid policy with everything in it. Tests change one thing and name the line it stands on.
const BASE: &str = r#"schema: quotagate.policy/v1
name: base
title: {en: Base, zh: 基础}
source: a test
unlisted_resources: deny
utc_offset: "+08:00"
units:
  - {id: images, title: {en: Images}}
tiers:
  - {id: free, title: {en: Free}}
  - id: paid
    reached_by:
      net_paid_at_least: {CNY: 100}
      account_age_at_least: 0d
    grace: 30d
default_tier: free
reservation_ttl: 10m
groups:
  - id: text
    resources: [m, n]
    share: group
    limits:
      - id: rpm
        unit: requests
        window: 1m
        algorithm: token_bucket
        quotas: {free: 20, paid: 500}
        burst: {free: 10, paid: 100}
        adjustable: {max: 5000}
      - id: conn
        kind: concurrency
        quotas: {free: 3, paid: unlimited}
  - id: video
    resources: [v]
    limits:
      - {id: rpd, unit: images, window: 1d, quotas: {free: blocked, paid: 7}}
"#;

/// The base with each `(old, new)` replaced once.
fn edited(edits: &[(&str, &str)]) -> String {
    edits.iter().fold(BASE.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "`{old}` is not in the base policy");
        text.replacen(old, new, 1)
    })
}

fn accepted(text: &str) -> Parsed {
    parse(text).unwrap_or_else(|errors| panic!("{}", shown(&errors)))
}

fn refused(text: &str) -> Vec<Finding> {
    match parse(text) {
        Ok(_) => panic!("a wrong policy was accepted:\n{text}"),
        Err(errors) => errors,
    }
}

fn shown(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

/// The one error of a document as `(line, path, code)`, and its message.
#[track_caller]
fn one_error(text: &str) -> ((u32, String, Code), String) {
    let errors = refused(text);
    assert_eq!(errors.len(), 1, "{}", shown(&errors));
    let Finding { path, line, code, message, .. } = errors.into_iter().next().unwrap();
    ((line.unwrap_or(0), path, code), message)
}

/// Each case: what to change, where the error is, its code, and a part of what it says.
type Case<'c> = ((&'c str, &'c str), (u32, &'c str, Code), &'c str);

#[track_caller]
fn check(cases: &[Case<'_>]) {
    for ((old, new), (line, path, code), part) in cases {
        let (found, message) = one_error(&edited(&[(old, new)]));
        assert_eq!(found, (*line, (*path).to_owned(), *code), "`{new}`: {message}");
        assert!(message.contains(part), "`{new}`: no `{part}` in `{message}`");
    }
}

#[test]
fn the_base_is_valid_without_warnings() {
    assert_eq!(shown(&accepted(BASE).warnings), "");
}
