//! Fields, kinds of values and what they may hold, one wrong document a rule.

use super::*;

#[test]
fn fields_that_are_not_known_name_the_nearest() {
    let at = |line, path| (line, path, Code::UnknownField);
    check(&[
        (("source: a", "sourc: a"), at(4, "sourc"), "did you mean `source`?"),
        (("title: {en: Images}", "titel: {en: x}"), at(8, "units[0].titel"), "did you mean `title`?"),
        (("    grace: 30d", "    graec: 30d"), at(15, "tiers[1].graec"), "did you mean `grace`?"),
        (
            ("account_age_at_least", "acount_age_at_least"),
            at(14, "tiers[1].reached_by.acount_age_at_least"),
            "`account_age_at_least`?",
        ),
        (("    share", "    shared"), at(21, "groups[0].shared"), "did you mean `share`?"),
        (("adjustable:", "adjustible:"), at(29, "groups[0].limits[0].adjustible"), "did you mean `adjustable`?"),
        (("share: group", "pool: big"), at(21, "groups[0].pool"), "the fields are `id`, `title`, `note`, `resources`"),
        (("source: a", "<<: a"), at(4, "[\"<<\"]"), "merge keys are not part of YAML 1.2"),
    ]);
}

#[test]
fn fields_that_are_missing_are_named() {
    let at = |line, path| (line, path, Code::MissingField);
    check(&[
        (("schema: quotagate.policy/v1\n", ""), at(1, "schema"), "the field `schema` is missing"),
        (("name: base\n", ""), at(1, "name"), "`name`"),
        (("default_tier: free\n", ""), at(1, "default_tier"), "`default_tier`"),
        (("- {id: images, title", "- {title"), at(8, "units[0].id"), "`id`"),
        (("  - id: text\n    resources", "  - resources"), at(19, "groups[0].id"), "`id`"),
        (("    resources: [m, n]\n", ""), at(19, "groups[0].resources"), "`resources`"),
        (("- {id: rpd, unit", "- {unit"), at(36, "groups[1].limits[0].id"), "`id`"),
        (("        unit: requests\n", ""), at(23, "groups[0].limits[0].unit"), "`unit`"),
        (("        window: 1m\n", ""), at(23, "groups[0].limits[0].window"), "`window`"),
        (("        quotas: {free: 3, paid: unlimited}\n", ""), at(30, "groups[0].limits[1].quotas"), "`quotas`"),
        (("adjustable: {max: 5000}", "adjustable: {}"), at(29, "groups[0].limits[0].adjustable.max"), "`max`"),
    ]);
}

#[test]
fn whole_sections_that_are_missing_make_no_other_errors() {
    let tiers = BASE.find("tiers:\n").unwrap()..BASE.find("default_tier").unwrap();
    let mut without_tiers = BASE.to_owned();
    without_tiers.replace_range(tiers, "");
    let without_groups = &BASE[..BASE.find("groups:\n").unwrap()];

    assert_eq!(one_error(&without_tiers).0, (1, "tiers".to_owned(), Code::MissingField));
    assert_eq!(one_error(without_groups).0, (1, "groups".to_owned(), Code::MissingField));
}

#[test]
fn values_of_another_kind_are_shown_with_what_was_expected() {
    let at = |line, path| (line, path, Code::Type);
    check(&[
        (
            ("name: base", "name: 12"),
            at(2, "name"),
            "expected text (in quotes, or it is no text), found the integer `12`",
        ),
        (("name: base", "name: [a]"), at(2, "name"), "expected text, found a list"),
        (("source: a test", "source:"), at(4, "source"), "found nothing; leave the field out where it has no value"),
        (
            ("title: {en: Base, zh: 基础}", "title: Base"),
            at(3, "title"),
            "a map of language to text such as {en: Text}",
        ),
        (
            ("unlisted_resources: deny", "unlisted_resources: true"),
            at(5, "unlisted_resources"),
            "one of `deny`, `allow`",
        ),
        (("\"+08:00\"", "8"), at(6, "utc_offset"), "expected an offset such as \"+08:00\""),
        (("reservation_ttl: 10m", "reservation_ttl: 600"), at(17, "reservation_ttl"), "a duration such as `30s`"),
        (
            ("resources: [m, n]", "resources: m"),
            at(20, "groups[0].resources"),
            "expected a list of resources, found the text `m`",
        ),
        (("[m, n]", "[m, 4]"), at(20, "groups[0].resources[1]"), "found the integer `4`"),
        (("[m, n]", "[m, 1e3]"), at(20, "groups[0].resources[1]"), "found the number `1e3`"),
        (
            ("        quotas: {free: 20, paid: 500}", "        quotas: 20"),
            at(27, "groups[0].limits[0].quotas"),
            "a map of tier to value",
        ),
        (("{CNY: 100}", "100"), at(13, "tiers[1].reached_by.net_paid_at_least"), "a map of currency to minor units"),
        (
            ("adjustable: {max: 5000}", "adjustable: true"),
            at(29, "groups[0].limits[0].adjustable"),
            "`false` or a ceiling such as {max: 5000}",
        ),
        (
            ("adjustable: {max: 5000}", "adjustable: 5000"),
            at(29, "groups[0].limits[0].adjustable"),
            "found the integer `5000`",
        ),
        (
            ("  - {id: images, title: {en: Images}}", "  - images"),
            at(8, "units[0]"),
            "expected a map of fields, found the text `images`",
        ),
    ]);
}

#[test]
fn words_are_those_that_are_known() {
    check(&[
        (
            ("unlisted_resources: deny", "unlisted_resources: Deny"),
            (5, "unlisted_resources", Code::Invalid),
            "did you mean `deny`?",
        ),
        (
            ("share: group", "share: tier"),
            (21, "groups[0].share", Code::Invalid),
            "`tier` is not one of `group`, `resource`",
        ),
        (
            ("algorithm: token_bucket", "algorithm: leaky"),
            (26, "groups[0].limits[0].algorithm", Code::Invalid),
            "`fixed_window`, `sliding_window`, `token_bucket`",
        ),
        (
            ("kind: concurrency", "kind: concurency"),
            (31, "groups[0].limits[1].kind", Code::Invalid),
            "did you mean `concurrency`?",
        ),
        (("policy/v1", "policy/v2"), (1, "schema", Code::Invalid), "expected `quotagate.policy/v1`"),
    ]);
}

#[test]
fn durations_have_their_grammar_and_bounds() {
    let window = |line, code| (line, "groups[0].limits[0].window", code);
    check(&[
        (("window: 1m", "window: 1min"), window(25, Code::Invalid), "`1min` is not a duration"),
        (("window: 1m", "window: 01m"), window(25, Code::Invalid), "`01m`"),
        (("window: 1m", "window: 1:30"), window(25, Code::Invalid), "`1:30`"),
        (("window: 1m", "window: 60"), window(25, Code::Type), "found the integer `60`"),
        (("window: 1m", "window: 999ms"), window(25, Code::OutOfRange), "expected 1s to 31d"),
        (("window: 1m", "window: 32d"), window(25, Code::OutOfRange), "`32d` is out of range"),
        (
            ("reservation_ttl: 10m", "reservation_ttl: 0s"),
            (17, "reservation_ttl", Code::OutOfRange),
            "expected 1ms to 24h",
        ),
        (
            ("reservation_ttl: 10m", "reservation_ttl: 25h"),
            (17, "reservation_ttl", Code::OutOfRange),
            "expected 1ms to 24h",
        ),
        (("grace: 30d", "grace: 3661d"), (15, "tiers[1].grace", Code::OutOfRange), "expected 0d to 3660d"),
        (("grace: 30d", "grace: -1d"), (15, "tiers[1].grace", Code::Invalid), "`-1d` is not a duration"),
        (
            ("least: 0d", "least: 3661d"),
            (14, "tiers[1].reached_by.account_age_at_least", Code::OutOfRange),
            "0d to 3660d",
        ),
    ]);
    accepted(&edited(&[
        ("window: 1m", "window: 1s"),
        ("window: 1d", "window: 31d"),
        ("ttl: 10m", "ttl: 24h"),
        ("grace: 30d", "grace: 0s"),
    ]));
}

#[test]
fn offsets_languages_and_currencies_are_well_formed() {
    check(&[
        (("\"+08:00\"", "\"+14:30\""), (6, "utc_offset", Code::Invalid), "at most 14 hours"),
        (("\"+08:00\"", "\"08:00\""), (6, "utc_offset", Code::Invalid), "`08:00` is not a UTC offset"),
        (("zh: 基础", "zh_CN: 基础"), (3, "title.zh_CN", Code::Invalid), "`zh_CN` is not a language tag (BCP 47)"),
        (("zh: 基础", "EN: x"), (3, "title.EN", Code::Duplicate), "the language `EN` is given twice"),
        (("zh: 基础", "zh: 5"), (3, "title.zh", Code::Type), "found the integer `5`"),
        (
            ("CNY: 100", "RMB: 100"),
            (13, "tiers[1].reached_by.net_paid_at_least.RMB", Code::Invalid),
            "an ISO 4217 code",
        ),
        (("CNY: 100", "cny: 100"), (13, "tiers[1].reached_by.net_paid_at_least.cny", Code::Invalid), "`cny`"),
        (
            ("CNY: 100", "CNY: -1"),
            (13, "tiers[1].reached_by.net_paid_at_least.CNY", Code::OutOfRange),
            "an integer from 0 to 10^15",
        ),
        (
            ("CNY: 100", "CNY: 0.5"),
            (13, "tiers[1].reached_by.net_paid_at_least.CNY", Code::Type),
            "found the number `0.5`",
        ),
        (
            ("CNY: 100", "CNY: 1000000000000001"),
            (13, "tiers[1].reached_by.net_paid_at_least.CNY", Code::OutOfRange),
            "10^15",
        ),
    ]);
    accepted(&edited(&[("CNY: 100", "CNY: 0, USD: 1000000000000000"), ("\"+08:00\"", "\"-14:00\"")]));
    // In YAML 1.2 an offset without quotes is text just the same.
    assert_eq!(accepted(&edited(&[("\"+08:00\"", "+10:00")])).policy.utc_offset_ms, 36_000_000);
}

#[test]
fn what_must_not_be_empty_is_not() {
    let rule = "    reached_by:\n      net_paid_at_least: {CNY: 100}\n      account_age_at_least: 0d\n";
    check(&[
        ((rule, "    reached_by: {}\n"), (12, "tiers[1].reached_by", Code::Empty), "names no condition"),
        (("{CNY: 100}", "{}"), (13, "tiers[1].reached_by.net_paid_at_least", Code::Empty), "names no currency"),
        (("[m, n]", "[]"), (20, "groups[0].resources", Code::Empty), "at least one resource"),
        (("name: base", "name: ''"), (2, "name", Code::Empty), "the text is empty"),
        (("source: a test", "source: '  '"), (4, "source", Code::Empty), "the text is empty"),
    ]);
    let (found, _) = one_error("schema: quotagate.policy/v1\nname: x\ntiers: []\ndefault_tier: a\ngroups: []\n");
    assert_eq!(found, (3, "tiers".to_owned(), Code::Empty));
}

#[test]
fn texts_for_people_are_bounded_and_show_what_they_say() {
    let long = "x".repeat(201);
    check(&[
        (("name: base", "name: \"a\\nb\""), (2, "name", Code::Invalid), "the control character `\\u{a}`"),
        (("name: base", "name: \"a\\e[31m\""), (2, "name", Code::Invalid), "`\\u{1b}`"),
        (("source: a test", "source: \"a\\u202Eb\""), (4, "source", Code::Invalid), "`\\u{202e}`"),
        (("name: base", &format!("name: {long}")), (2, "name", Code::OutOfRange), "longer than 200 characters"),
        (
            ("source: a test", &format!("source: {}", "x".repeat(4_001))),
            (4, "source", Code::OutOfRange),
            "longer than 4000",
        ),
    ]);
    accepted(&edited(&[
        ("source: a test", "note: |\n  one\n  two\nsource: a test"),
        ("name: base", &format!("name: {}", "字".repeat(200))),
    ]));
}

#[test]
fn defaults_are_those_of_the_document() {
    let policy = accepted(&edited(&[
        ("unlisted_resources: deny\n", ""),
        ("utc_offset: \"+08:00\"\n", ""),
        ("reservation_ttl: 10m\n", ""),
        ("    grace: 30d\n", ""),
        ("    share: group\n", ""),
        ("        algorithm: token_bucket\n", ""),
        ("        burst: {free: 10, paid: 100}\n", ""),
        ("        adjustable: {max: 5000}\n", ""),
    ]))
    .policy;

    use crate::domain::policy::{Adjustable, Algorithm, Rule, Share, UnlistedResources};
    assert_eq!(policy.unlisted_resources, UnlistedResources::Deny);
    assert_eq!(policy.utc_offset_ms, 0);
    assert_eq!(policy.reservation_ttl_ms, 600_000);
    assert_eq!(policy.tiers[1].grace_ms, 30 * 86_400_000);
    assert_eq!(policy.groups[0].share, Share::Group);
    let limit = &policy.groups[0].limits[0];
    assert_eq!(limit.rule, Rule::Rate { unit: 0, window_ms: 60_000, algorithm: Algorithm::SlidingWindow });
    assert_eq!((limit.bursts.as_ref(), limit.adjustable), (None, Adjustable::Freely));
}

#[test]
fn several_errors_come_at_once_in_the_order_of_the_text() {
    let text = edited(&[
        ("name: base", "nam: base"),
        ("default_tier: free", "default_tier: gold"),
        ("window: 1m", "window: 1x"),
        ("resources: [v]", "resources: [m]"),
        ("free: 3", "free: zero"),
    ]);

    let errors = refused(&text);

    let lines: Vec<_> = errors.iter().map(|e| (e.line.unwrap(), e.path.as_str(), e.code)).collect();
    assert_eq!(
        lines,
        [
            (1, "name", Code::MissingField),
            (2, "nam", Code::UnknownField),
            (16, "default_tier", Code::UnknownReference),
            (25, "groups[0].limits[0].window", Code::Invalid),
            (32, "groups[0].limits[1].quotas.free", Code::Type),
            (34, "groups[1].resources[0]", Code::Duplicate),
        ]
    );
}
