//! The policies in `policies/`.

use super::*;
use crate::domain::policy::{Algorithm, Policy, Rule, Share};
use crate::domain::quantity::Quota;

const MINIMAX: &str = include_str!("../../../policies/minimax.yaml");
const LADDER: &str = include_str!("../../../policies/ladder.yaml");

/// A column of the reference page: group, limit, what it counts, free, paid.
const COLUMNS: [(&str, &str, &str, u64, u64); 10] = [
    ("text.m2", "rpm", "requests", 20, 500),
    ("text.m2", "tpm", "tokens", 1_000_000, 20_000_000),
    ("speech.t2a", "rpm", "requests", 10, 20),
    ("speech.voice-cloning", "rpm", "requests", 60, 60),
    ("speech.voice-design", "rpm", "requests", 20, 20),
    ("video.generation", "rpm", "requests", 5, 20),
    ("image.generation", "rpm", "requests", 10, 10),
    ("image.generation", "tpm", "tokens", 60, 60),
    ("music.generation", "rpm", "requests", 6, 120),
    ("music.generation", "conn", "slots", 3, 20),
];

const RESOURCES: [(&str, &[&str]); 7] = [
    ("text.m2", &["MiniMax-M2", "MiniMax-M2-Stable"]),
    ("speech.t2a", &["speech-02-hd", "speech-02-turbo", "speech-2.6-hd", "speech-2.6-turbo"]),
    ("speech.voice-cloning", &["voice-cloning"]),
    ("speech.voice-design", &["voice-design"]),
    ("video.generation", &["MiniMax-Hailuo-2.3", "MiniMax-Hailuo-2.3-Fast", "MiniMax-Hailuo-02"]),
    ("image.generation", &["image-generation"]),
    ("music.generation", &["music-2.0"]),
];

fn minimax() -> Policy {
    accepted(MINIMAX).policy
}

#[test]
fn minimax_has_the_numbers_of_the_page_one_by_one() {
    let policy = minimax();

    let mut found = Vec::new();
    for group in &policy.groups {
        for limit in &group.limits {
            let counts = match limit.rule {
                Rule::Concurrency => "slots",
                Rule::Rate { unit, window_ms, algorithm } => {
                    assert_eq!((window_ms, algorithm), (60_000, Algorithm::SlidingWindow));
                    policy.units[unit].id.as_str()
                }
            };
            let [Quota::Units(free), Quota::Units(paid)] = limit.quotas[..] else { panic!("two integers") };
            found.push((group.id.as_str(), limit.id.as_str(), counts, free, paid));
        }
    }
    assert_eq!(found, COLUMNS);
}

#[test]
fn minimax_has_the_models_and_endpoints_of_the_page() {
    let policy = minimax();

    let names =
        |g: &crate::domain::policy::Group| g.resources.iter().map(|r| r.as_str().to_owned()).collect::<Vec<_>>();
    let found: Vec<_> = policy.groups.iter().map(|group| (group.id.as_str(), names(group))).collect();
    let expected: Vec<_> = RESOURCES
        .iter()
        .map(|(group, names)| (*group, names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()))
        .collect();
    assert_eq!(found, expected);
    assert!(policy.groups.iter().all(|group| group.share == Share::Group));
}

#[test]
fn minimax_decides_what_the_page_leaves_open() {
    let policy = minimax();

    let rule = policy.tiers[1].reached_by.as_ref().unwrap();
    let thresholds: Vec<_> = rule.net_paid_at_least.as_ref().unwrap().iter().map(|(c, n)| (c.as_str(), *n)).collect();
    assert_eq!(thresholds, [("CNY", 1)]);
    assert_eq!(rule.account_age_at_least_ms, None);
    assert_eq!(policy.utc_offset_ms, 8 * 3_600_000);
    assert_eq!(policy.tiers[policy.default_tier].id.as_str(), "free");
}

#[test]
fn minimax_warns_of_equal_quotas_and_of_image_tokens_and_of_nothing_else() {
    let warnings = accepted(MINIMAX).warnings;

    let found: Vec<_> = warnings.iter().map(|w| (w.path.as_str(), w.code)).collect();
    assert_eq!(
        found,
        [
            ("groups[2].limits[0].quotas", Code::QuotasEqual),
            ("groups[3].limits[0].quotas", Code::QuotasEqual),
            ("groups[5].limits[0].quotas", Code::QuotasEqual),
            ("groups[5].limits[1].quotas", Code::QuotasEqual),
            ("groups[5].limits[1].quotas.free", Code::QuotaOutOfScale),
            ("groups[5].limits[1].quotas.paid", Code::QuotaOutOfScale),
        ]
    );
}

#[test]
fn every_title_of_the_shipped_policies_is_in_both_languages() {
    for text in [MINIMAX, LADDER] {
        let policy = accepted(text).policy;
        let limits = policy.groups.iter().flat_map(|g| g.limits.iter().map(|l| &l.title));
        let titles = policy.groups.iter().map(|g| &g.title).chain(policy.tiers.iter().map(|t| &t.title)).chain(limits);
        for title in titles {
            assert!(title.contains_key("zh") && title.contains_key("en"), "{title:?}");
        }
    }
}

#[test]
fn the_ladder_is_of_another_shape_and_has_no_warnings() {
    let Parsed { policy, warnings } = accepted(LADDER);

    assert_eq!(shown(&warnings), "");
    assert_eq!(policy.tiers.len(), 5);
    assert_eq!(policy.units.len(), 5);
    assert!(policy.groups.iter().any(|group| group.share == Share::Resource));
    let limits = || policy.groups.iter().flat_map(|group| &group.limits);
    assert!(limits().any(|limit| limit.bursts.is_some()));
    assert!(limits().any(|limit| limit.quotas.contains(&Quota::Blocked)));
    assert!(limits().any(|limit| limit.quotas.contains(&Quota::Unlimited)));
    assert!(limits().any(|limit| matches!(
        limit.rule,
        Rule::Rate { algorithm: Algorithm::FixedWindow, window_ms: 86_400_000, .. }
    )));
}

#[test]
fn the_example_on_the_page_of_the_format_is_valid_without_warnings() {
    let page = include_str!("../../../docs/policy.md");
    let example = page.split_once("```yaml\n").unwrap().1.split_once("```").unwrap().0;

    let parsed = accepted(example);

    assert_eq!(parsed.policy.groups[0].limits.len(), 3);
    assert_eq!(parsed.warnings, []);
}
