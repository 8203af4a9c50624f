//! Documents that are too much, and the maxima of a policy.

use super::*;
use crate::policy::finding::MAX_FINDINGS;
use crate::policy::{MAX_DEPTH, MAX_NODES, MAX_TEXT_BYTES};
use std::fmt::Write;

#[track_caller]
fn too_large(text: &str) -> String {
    let errors = refused(text);
    let last = errors.last().unwrap();
    assert_eq!(last.code, Code::TooLarge, "{}", shown(&errors));
    last.message.clone()
}

#[test]
fn a_text_of_five_mebibytes_is_refused_at_once() {
    let text = format!("# {}\n{BASE}", "x".repeat(5 * 1024 * 1024));
    let just_right = format!("{BASE}#{}", "x".repeat(MAX_TEXT_BYTES - BASE.len() - 1));

    assert!(too_large(&text).contains("more than 4194304 bytes"));
    accepted(&just_right);
}

#[test]
fn an_alias_bomb_stops_at_the_number_of_values() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let repeats = vec![format!("*a{}", n - 1); 10].join(", ");
        _ = writeln!(text, "a{n}: &a{n} [{repeats}]");
    }

    let errors = refused(&text);

    assert_eq!((errors[0].code, errors[0].line), (Code::TooLarge, Some(6)));
    assert!(errors[0].message.contains(&MAX_NODES.to_string()));
}

#[test]
fn nesting_is_bounded_in_every_style() {
    let deep = [
        format!("a: {}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH)),
        "[".repeat(1_000_000),
        format!("{}{}", "{a: ".repeat(65), "}".repeat(65)),
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
        (0..100).map(|n| format!("{}a:\n", " ".repeat(n))).collect(),
    ];
    for text in &deep {
        assert!(too_large(text).contains("deeper than 64"));
    }

    let mut chained = format!("a0: &a0 {}{}\n", "[".repeat(40), "]".repeat(40));
    chained.push_str(&format!("a1: {}*a0{}\n", "[".repeat(40), "]".repeat(40)));
    assert!(too_large(&chained).contains("deeper than 64"));

    let allowed = format!("a: {}{}", "[".repeat(MAX_DEPTH - 1), "]".repeat(MAX_DEPTH - 1));
    assert!(refused(&allowed).iter().all(|error| error.code != Code::TooLarge));
}

#[test]
fn the_list_of_errors_is_bounded() {
    let mut text = BASE.to_owned();
    for n in 0..MAX_FINDINGS + 5 {
        _ = writeln!(text, "x{n}: 1");
    }

    let errors = refused(&text);

    assert_eq!(errors.len(), MAX_FINDINGS + 1);
    assert_eq!(errors.last().unwrap().message, "5 more errors are not shown");
}

fn policy_with(tiers: usize, units: usize, groups: &str) -> String {
    let list = |prefix: &str, n: usize| (0..n).map(|i| format!("{{id: {prefix}{i}}}")).collect::<Vec<_>>().join(", ");
    let (tiers, units) = (list("t", tiers), list("u", units));
    format!(
        "schema: quotagate.policy/v1\nname: x\ntiers: [{tiers}]\nunits: [{units}]\ndefault_tier: t0\ngroups: [{groups}]\n"
    )
}

fn groups(count: usize, resources: usize, limits: usize) -> String {
    let limit = |n: usize| format!("{{id: l{n}, unit: requests, window: 1m, quotas: {{t0: 1}}}}");
    let limits = (0..limits).map(limit).collect::<Vec<_>>().join(", ");
    let group = |g: usize| {
        let resources = (0..resources).map(|r| format!("r{g}-{r}")).collect::<Vec<_>>().join(", ");
        format!("{{id: g{g}, resources: [{resources}], limits: [{limits}]}}")
    };
    (0..count).map(group).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_maxima_of_a_policy_are_allowed_and_one_more_is_not() {
    accepted(&policy_with(64, 14, ""));
    accepted(&policy_with(1, 0, &groups(1, 1_024, 16)));
    accepted(&policy_with(1, 0, &groups(4_096, 1, 1)));

    let cases = [
        (policy_with(65, 0, ""), 3, "tiers", "there are 65 items, more than 64"),
        (policy_with(1, 15, ""), 4, "units", "more than 14"),
        (policy_with(1, 0, &groups(1, 1_025, 1)), 6, "groups[0].resources", "more than 1024"),
        (policy_with(1, 0, &groups(1, 1, 17)), 6, "groups[0].limits", "more than 16"),
        (policy_with(1, 0, &groups(4_097, 1, 1)), 6, "groups", "more than 4096"),
    ];
    for (text, line, path, part) in cases {
        let (found, message) = one_error(&text);
        assert_eq!(found, (line, path.to_owned(), Code::TooMany));
        assert!(message.contains(part), "{message}");
    }
}
