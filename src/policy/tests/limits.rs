//! The limits of a group, one wrong document a rule.

use super::*;

#[test]
fn quotas_are_positive_integers_or_the_words() {
    let path = "groups[0].limits[0].quotas.free";
    let cases = [
        ("0", Code::OutOfRange, "`0` is out of range: expected an integer from 1 to 10^15, `unlimited` or `blocked`"),
        ("-5", Code::OutOfRange, "`-5` is out of range"),
        ("1000000000000001", Code::OutOfRange, "out of range"),
        ("99999999999999999999", Code::Type, "found the number `99999999999999999999`"),
        ("\"20\"", Code::Type, "found the text `20`; write it without quotes"),
        ("1_000", Code::Type, "found the text `1_000`; write it as `1000`"),
        ("'1,000'", Code::Type, "write it as `1000`"),
        ("1:30", Code::Type, "found the text `1:30`"),
        ("0777", Code::Type, "found the number `0777`; only plain decimal digits are read"),
        ("0o17", Code::Type, "found the number `0o17`"),
        ("0x1F", Code::Type, "found the number `0x1F`"),
        ("20.0", Code::Type, "found the number `20.0`"),
        ("1e3", Code::Type, "found the number `1e3`"),
        (".inf", Code::Type, "found the number `.inf`"),
        ("infinite", Code::Type, "found the text `infinite`"),
        ("Unlimited", Code::Invalid, "did you mean `unlimited`?"),
        ("no", Code::Type, "found the text `no`"),
        ("true", Code::Type, "found the boolean `true`"),
        ("~", Code::Type, "found nothing"),
        ("[20]", Code::Type, "found a list"),
    ];
    for (written, code, part) in cases {
        let (found, message) = one_error(&edited(&[("{free: 20,", &format!("{{free: {written},"))]));
        assert_eq!(found, (27, path.to_owned(), code), "`{written}`: {message}");
        assert!(message.contains(part), "`{written}`: no `{part}` in `{message}`");
    }
    for right in ["1", "1000000000000000", "+20", "unlimited", "blocked", "'unlimited'"] {
        accepted(&edited(&[("{free: 20,", &format!("{{free: {right},"))]));
    }
}

#[test]
fn every_tier_has_its_value_and_no_other_has() {
    check(&[
        (
            ("{free: 20, paid: 500}", "{free: 20}"),
            (27, "groups[0].limits[0].quotas.paid", Code::MissingTier),
            "the tier `paid` has no value here",
        ),
        (
            ("paid: 500}", "paid: 500, pro: 1}"),
            (27, "groups[0].limits[0].quotas.pro", Code::UnknownReference),
            "there is no tier `pro`",
        ),
        (
            ("paid: 500}", "paid: 500, piad: 1}"),
            (27, "groups[0].limits[0].quotas.piad", Code::UnknownReference),
            "did you mean `paid`?",
        ),
        (
            ("{free: 10, paid: 100}", "{paid: 100}"),
            (28, "groups[0].limits[0].burst.free", Code::MissingTier),
            "the tier `free`",
        ),
        (
            ("{free: 10, paid: 100}", "{free: 10, paid: 100, x: 1}"),
            (28, "groups[0].limits[0].burst.x", Code::UnknownReference),
            "tier `x`",
        ),
    ]);
}

#[test]
fn a_burst_is_a_positive_integer_of_a_token_bucket() {
    let path = "groups[0].limits[0].burst.free";
    check(&[
        (
            ("{free: 10, paid: 100}", "{free: unlimited, paid: 100}"),
            (28, path, Code::Type),
            "expected an integer from 1 to 10^15",
        ),
        (("{free: 10, paid: 100}", "{free: 0, paid: 100}"), (28, path, Code::OutOfRange), "`0` is out of range"),
        (
            ("token_bucket", "sliding_window"),
            (28, "groups[0].limits[0].burst", Code::Misplaced),
            "only a limit with `algorithm: token_bucket`",
        ),
        (("        algorithm: token_bucket\n", ""), (27, "groups[0].limits[0].burst", Code::Misplaced), "has a burst"),
    ]);
}

#[test]
fn a_concurrency_limit_has_only_its_own_fields() {
    let add = |field: &str| edited(&[("kind: concurrency\n", &format!("kind: concurrency\n        {field}\n"))]);
    for (field, name) in [
        ("unit: requests", "unit"),
        ("window: 1m", "window"),
        ("algorithm: token_bucket", "algorithm"),
        ("burst: {free: 1, paid: 1}", "burst"),
    ] {
        let (found, message) = one_error(&add(field));
        assert_eq!(found, (32, format!("groups[0].limits[1].{name}"), Code::Misplaced));
        assert_eq!(message, format!("a concurrency limit has no `{name}`"));
    }
    check(&[
        (
            ("{free: 3, paid: unlimited}", "{free: 100001, paid: unlimited}"),
            (32, "groups[0].limits[1].quotas.free", Code::OutOfRange),
            "an integer from 1 to 100000",
        ),
        (
            (
                "      - id: conn\n",
                "      - {id: conn2, kind: concurrency, quotas: {free: 1, paid: 1}}\n      - id: conn\n",
            ),
            (31, "groups[0].limits[2]", Code::TooMany),
            "the first is at `groups[0].limits[1]` (line 30)",
        ),
    ]);
    accepted(&edited(&[("{free: 3, paid: unlimited}", "{free: 100000, paid: blocked}")]));
}
