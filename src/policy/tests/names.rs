//! Ids, resources and mentions of them, one wrong document a rule.

use super::*;

#[test]
fn names_that_are_mentioned_exist() {
    check(&[
        (
            ("unit: requests", "unit: request"),
            (24, "groups[0].limits[0].unit", Code::UnknownReference),
            "there is no unit `request`: did you mean `requests`?",
        ),
        (
            ("default_tier: free", "default_tier: gold"),
            (16, "default_tier", Code::UnknownReference),
            "there is no tier `gold`",
        ),
    ]);
}

#[test]
fn ids_follow_their_grammar() {
    for (old, line, path) in
        [("id: text", 19, "groups[0].id"), ("id: rpm", 23, "groups[0].limits[0].id"), ("id: video", 33, "groups[1].id")]
    {
        for bad in ["A", "-a", ".a", "a b", "ü", "''", &"a".repeat(65)] {
            let (found, _) = one_error(&edited(&[(old, &format!("id: {bad}"))]));
            assert_eq!(found, (line, path.to_owned(), Code::Invalid), "`{bad}`");
        }
    }
    let (found, _) = one_error(&edited(&[("id: images", "id: Images"), ("unit: images", "unit: Images")]));
    assert_eq!(found, (8, "units[0].id".to_owned(), Code::Invalid));
}

#[test]
fn a_tier_with_a_wrong_id_is_one_error_not_one_for_each_quota() {
    let text = BASE.replace("id: paid", "id: Paid").replace("paid:", "Paid:");

    let (found, message) = one_error(&text);

    assert_eq!(found, (11, "tiers[1].id".to_owned(), Code::Invalid));
    assert!(message.contains("`Paid`"), "{message}");
}

#[test]
fn ids_and_resources_are_unique_in_their_place() {
    check(&[
        (
            ("id: video", "id: text"),
            (33, "groups[1].id", Code::Duplicate),
            "the group `text` is already at `groups[0].id` (line 19)",
        ),
        (
            ("id: conn", "id: rpm"),
            (30, "groups[0].limits[1].id", Code::Duplicate),
            "the limit `rpm` is already at `groups[0].limits[0].id` (line 23)",
        ),
        (
            ("  - {id: images", "  - {id: images}\n  - {id: images"),
            (9, "units[1].id", Code::Duplicate),
            "the unit `images` is already at `units[0].id` (line 8)",
        ),
        (
            ("  - {id: images", "  - {id: tokens}\n  - {id: images"),
            (8, "units[0].id", Code::Duplicate),
            "the unit `tokens` always exists",
        ),
        (
            ("  - {id: free, ", "  - {id: free}\n  - {id: free, "),
            (11, "tiers[1].id", Code::Duplicate),
            "already at `tiers[0].id` (line 10)",
        ),
        (
            ("resources: [v]", "resources: [v, n]"),
            (34, "groups[1].resources[1]", Code::Duplicate),
            "the resource `n` is already at `groups[0].resources[1]` (line 20)",
        ),
        (("[m, n]", "[m, m]"), (20, "groups[0].resources[1]", Code::Duplicate), "it is in exactly one group, once"),
    ]);
    // The same limit id in another group, and a resource that differs in case, are other things.
    accepted(&edited(&[("id: rpd", "id: rpm"), ("resources: [v]", "resources: [v, M]")]));
}

#[test]
fn resources_follow_their_grammar() {
    for bad in ["'a b'", "''", "模型", "a#b", "'a,b'", &"a".repeat(129)] {
        let (found, _) = one_error(&edited(&[("[m, n]", &format!("[m, {bad}]"))]));
        assert_eq!(found, (20, "groups[0].resources[1]".to_owned(), Code::Invalid), "{bad}");
    }
    accepted(&edited(&[("[m, n]", "[m, 'org/Model_1.0:free@v2+x']")]));
}
