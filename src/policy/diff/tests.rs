use super::*;
use crate::policy::parse;
use std::collections::BTreeSet;

const BASE: &str = r#"
schema: quotagate.policy/v1
name: base
utc_offset: "+08:00"
units: [{id: images}]
tiers:
  - {id: free}
  - {id: paid, reached_by: {net_paid_at_least: {CNY: 100}}}
default_tier: free
groups:
  - id: text
    resources: [a, b]
    share: resource
    limits:
      - {id: rpm, unit: requests, window: 1m, quotas: {free: 20, paid: 500}}
      - {id: tpm, unit: tokens, window: 1m, algorithm: token_bucket, quotas: {free: 1000, paid: 2000}, burst: {free: 10, paid: 20}}
  - id: video
    resources: [v, w]
    limits:
      - {id: rpd, unit: requests, window: 1d, algorithm: fixed_window, quotas: {free: 5, paid: blocked}}
      - {id: conn, kind: concurrency, quotas: {free: 1, paid: 2}}
  - {id: open, resources: [o], limits: []}
"#;

/// The identities of all counters a policy can have, by section 2 of the semantics.
fn identities(policy: &Policy) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for group in &policy.groups {
        for limit in &group.limits {
            let rule = match limit.rule {
                Rule::Concurrency => "concurrency".to_owned(),
                Rule::Rate { unit, window_ms, algorithm } => {
                    let aligned = algorithm == Algorithm::FixedWindow && window_ms % 3_600_000 == 0;
                    let offset = if aligned { policy.utc_offset_ms } else { 0 };
                    format!("{} {window_ms} {algorithm:?} {offset}", policy.units[unit].id)
                }
            };
            let owners: Vec<&str> = match group.share {
                Share::Group => vec!["*"],
                Share::Resource => group.resources.iter().map(ResourceName::as_str).collect(),
            };
            found.extend(owners.iter().map(|owner| format!("{} {owner} {} {rule}", group.id, limit.id)));
        }
    }
    found
}

fn lines(edits: &[(&str, &str)]) -> Vec<String> {
    let mut text = BASE.to_owned();
    for (old, new) in edits {
        assert!(text.contains(old), "`{old}` is not in the base policy");
        text = text.replacen(old, new, 1);
    }
    let from = parse(BASE).unwrap().policy;
    let to = parse(&text).unwrap_or_else(|errors| panic!("{errors:?}")).policy;
    let changes = diff(&from, &to);

    let lost = !identities(&from).is_subset(&identities(&to));
    assert_eq!(changes.iter().any(|change| change.drops_usage), lost, "{changes:#?}");
    assert_eq!(from == to, changes.is_empty());
    changes.iter().map(ToString::to_string).collect()
}

#[test]
fn a_policy_does_not_differ_from_itself() {
    assert!(lines(&[]).is_empty());
}

#[test]
fn quotas_bursts_and_ceilings_keep_usage() {
    assert_eq!(lines(&[("paid: 500", "paid: 20000000")]), ["limit `text/rpm`: quota of `paid` 500 -> 20,000,000"]);
    assert_eq!(
        lines(&[("paid: blocked", "paid: unlimited")]),
        ["limit `video/rpd`: quota of `paid` blocked -> unlimited"]
    );
    assert_eq!(lines(&[("{free: 10, paid", "{free: 11, paid")]), ["limit `text/tpm`: burst of `free` 10 -> 11"]);
    assert_eq!(
        lines(&[(", burst: {free: 10, paid: 20}", "")]),
        [
            "limit `text/tpm`: burst of `free` 10 -> as the quota",
            "limit `text/tpm`: burst of `paid` 20 -> as the quota"
        ]
    );
    assert_eq!(
        lines(&[("paid: 500}", "paid: 500}, adjustable: {max: 5000}")]),
        ["limit `text/rpm`: adjustable without a ceiling -> up to 5,000"]
    );
}

#[test]
fn what_makes_a_counter_another_one_drops_its_usage() {
    let dropped = "(usage so far is dropped)";
    let cases = [
        (("unit: requests, window: 1m", "unit: requests, window: 1h"), "limit `text/rpm`: window 1m -> 1h"),
        (("unit: requests, window: 1m", "unit: images, window: 1m"), "limit `text/rpm`: unit requests -> images"),
        (
            ("algorithm: fixed_window", "algorithm: sliding_window"),
            "limit `video/rpd`: algorithm fixed_window -> sliding_window",
        ),
        (("+08:00", "-03:30"), "utc offset: +08:00 -> -03:30"),
        (("share: resource", "share: group"), "group `text`: share resource -> group"),
        (("resources: [a, b]", "resources: [a]"), "resource `b` removed from `text`"),
        (("id: conn", "id: conn2"), "limit `video/conn` removed"),
        (
            ("id: rpd, unit: requests, window: 1d, algorithm: fixed_window", "id: rpd, unit: requests, window: 1d"),
            "limit `video/rpd`: algorithm fixed_window -> sliding_window",
        ),
    ];
    for (edit, line) in cases {
        assert_eq!(lines(&[edit])[0], format!("{line} {dropped}"));
    }
}

#[test]
fn a_kind_that_changes_drops_usage() {
    let edits = [
        ("id: rpd, unit: requests, window: 1d, algorithm: fixed_window", "id: rpd, kind: concurrency"),
        ("- {id: conn, kind: concurrency, quotas: {free: 1, paid: 2}}", ""),
    ];

    let lines = lines(&edits);

    assert_eq!(
        lines,
        [
            "limit `video/conn` removed (usage so far is dropped)",
            "limit `video/rpd`: kind rate -> concurrency (usage so far is dropped)"
        ]
    );
}

#[test]
fn a_resource_that_moves_takes_usage_only_from_its_own_bucket() {
    let own = lines(&[("[a, b]", "[a]"), ("[v, w]", "[v, w, b]")]);
    let shared = lines(&[("[a, b]", "[a, b, v]"), ("[v, w]", "[w]")]);

    assert_eq!(own, ["resource `b` moved: `text` -> `video` (usage so far is dropped)"]);
    assert_eq!(shared, ["resource `v` moved: `video` -> `text`"]);
}

#[test]
fn groups_come_and_go() {
    let renamed = lines(&[("id: video", "id: film")]);
    let opened = lines(&[("id: open", "id: free")]);

    assert_eq!(
        renamed,
        [
            "group `video` removed (usage so far is dropped)",
            "group `film` added",
            "resource `v` moved: `video` -> `film`",
            "resource `w` moved: `video` -> `film`"
        ]
    );
    assert_eq!(opened[0], "group `open` removed");
}

#[test]
fn tiers_are_added_removed_and_re_ranked() {
    let swapped = lines(&[
        ("  - {id: free}\n", ""),
        ("{CNY: 100}}}\n", "{CNY: 100}}}\n  - {id: free}\n"),
        ("default_tier: free", "default_tier: paid"),
    ]);
    let reached =
        lines(&[("{CNY: 100}", "{CNY: 100, USD: 2000}, account_age_at_least: 7d"), ("7d}}", "7d}, grace: 1d}")]);

    assert_eq!(swapped, ["order of tiers: `free` < `paid` -> `paid` < `free`", "default tier: `free` -> `paid`"]);
    assert_eq!(
        reached,
        [
            "tier `paid`: reached by net paid 100 CNY minor units -> net paid 100 CNY minor units or 2,000 USD minor units and age 7d",
            "tier `paid`: grace 30d -> 1d",
        ]
    );
}

#[test]
fn a_tier_that_is_added_names_its_neighbour() {
    let text = BASE.replace("tiers:\n", "tiers:\n  - {id: low}\n").replace("{free:", "{low: 1, free:");
    let (from, to) = (parse(BASE).unwrap().policy, parse(&text).unwrap().policy);

    let up: Vec<String> = diff(&from, &to).iter().map(ToString::to_string).collect();
    let down: Vec<String> = diff(&to, &from).iter().map(ToString::to_string).collect();

    assert_eq!(up, ["tier `low` added as the lowest"]);
    assert_eq!(down, ["tier `low` removed: its accounts fall to the default tier or what they paid for"]);
}

#[test]
fn wording_and_order_are_told_apart_from_limits() {
    assert_eq!(lines(&[("name: base", "name: base\nsource: elsewhere")]), ["wording of the policy"]);
    assert_eq!(lines(&[("{id: images}", "{id: images, title: {en: Images}}")]), ["wording of unit `images`"]);
    assert_eq!(lines(&[("id: rpm,", "id: rpm, note: hi,")]), ["wording of limit `text/rpm`"]);
    assert_eq!(
        lines(&[
            ("      - {id: conn, kind: concurrency, quotas: {free: 1, paid: 2}}\n", ""),
            ("      - {id: rpd", "      - {id: conn, kind: concurrency, quotas: {free: 1, paid: 2}}\n      - {id: rpd")
        ]),
        ["group `video`: order of limits"]
    );
}

#[test]
fn settings_of_the_whole_policy_are_named() {
    let lines = lines(&[("name: base", "name: other\nunlisted_resources: allow\nreservation_ttl: 1h")]);

    assert_eq!(lines, ["name: `base` -> `other`", "unlisted resources: deny -> allow", "reservation ttl: 10m -> 1h"]);
}
