//! From text to a document and its hash.

use super::*;
use crate::policy::from_json;

#[test]
fn the_hash_does_not_depend_on_how_a_document_is_written() {
    let hash = |text: &str| accepted(text).policy.content_hash;
    let base = hash(BASE);

    let commented = format!("# a comment\n---\n{}...\n", BASE.replace("name: base", "name:   'base' # why"));
    let reordered = edited(&[("name: base\n", ""), ("default_tier: free\n", "default_tier: free\nname: base\n")]);
    let block = edited(&[("{free: 20, paid: 500}", "\n          paid: 500\n          \"free\": +20")]);
    let crlf = BASE.replace('\n', "\r\n");
    let bom = format!("\u{feff}{BASE}");
    let anchored = edited(&[("{free: 10, paid: 100}", "&b {free: 10, paid: 100}")]);
    for text in [&commented, &reordered, &block, &crlf, &bom, &anchored] {
        assert_eq!(hash(text), base, "{text}");
    }
    assert_ne!(hash(&edited(&[("paid: 500", "paid: 501")])), base);
    // What the author leaves to the default is not what the author writes.
    assert_ne!(hash(&edited(&[("    share: group\n", "")])), base);
}

#[test]
fn the_canonical_form_is_json_that_reads_as_the_same_policy() {
    let policy = accepted(BASE).policy;

    let json: serde_json::Value = serde_json::from_str(&policy.canonical_json).unwrap();
    let again = from_json(&json).unwrap().policy;
    let as_text = accepted(&policy.canonical_json).policy;

    assert_eq!(again, policy);
    assert_eq!(as_text, policy);
    assert!(
        policy
            .canonical_json
            .starts_with(r#"{"default_tier":"free","groups":[{"id":"text","limits":[{"adjustable":{"max":5000}"#)
    );
    assert!(!policy.canonical_json.contains(['\n', ' ']) || policy.canonical_json.contains("a test"));
}

#[test]
fn the_content_hash_is_sha_256_over_the_canonical_form() {
    let text = "schema: quotagate.policy/v1\nname: x\ntiers: [{id: a}]\ndefault_tier: a\ngroups: []\n";

    let policy = accepted(text).policy;

    let canonical =
        r#"{"default_tier":"a","groups":[],"name":"x","schema":"quotagate.policy/v1","tiers":[{"id":"a"}]}"#;
    assert_eq!(policy.canonical_json, canonical);
    // Computed with sha256sum.
    assert_eq!(hex::encode(policy.content_hash), "c70198127ecab0b241634f26c6407f1eaa2a2d5a2d5676a41e9a4a89ad9a87bc");
}

#[test]
fn json_is_read_as_text_with_lines_and_as_a_value_without() {
    let wrong = "{\n\t\"schema\": \"quotagate.policy/v1\",\n\t\"name\": \"x\\/y\",\n\t\"tiers\": [{\"id\": \"a\"}],\n\t\"default_tier\": \"b\",\n\t\"groups\": []\n}\n";

    let (as_text, _) = one_error(wrong);
    let errors = from_json(&serde_json::from_str(wrong).unwrap()).unwrap_err();

    assert_eq!(as_text, (5, "default_tier".to_owned(), Code::UnknownReference));
    assert_eq!((errors[0].path.as_str(), errors[0].line, errors[0].column), ("default_tier", None, None));
    assert_eq!(errors[0].to_string(), "error: default_tier: there is no tier `b`");
}

#[test]
fn json_may_escape_characters_as_surrogate_pairs() {
    let text = |name: &str| {
        format!(
            "{{\"schema\":\"quotagate.policy/v1\",\"name\":\"{name}\",\"tiers\":[{{\"id\":\"a\"}}],\"default_tier\":\"a\",\"groups\":[]}}"
        )
    };

    assert_eq!(accepted(&text("a\\ud83d\\ude00\\u4e2d")).policy.name, "a😀中");
    assert_eq!(accepted(&text("\\\\ud83d\\\\ude00")).policy.name, "\\ud83d\\ude00");
}

#[test]
fn what_is_not_yaml_has_its_line() {
    for (text, line) in [("name: [a\n", 2), ("a: b: c\n", 1), ("a:\n\t- b\n", 2), ("a: \"x\n", 1), ("a: 1\n b: 2\n", 2)]
    {
        let errors = refused(text);
        assert_eq!((errors[0].code, errors[0].line), (Code::Syntax, Some(line)), "{text:?}: {}", shown(&errors));
        assert!(errors[0].message.starts_with("this is not YAML: "), "{}", errors[0].message);
    }
}

#[test]
fn a_document_is_a_map_of_fields() {
    assert_eq!(one_error("").0, (0, String::new(), Code::Empty));
    assert_eq!(one_error("# nothing\n").0, (0, String::new(), Code::Empty));
    for text in ["- a\n", "just text\n", "42\n", "~\n"] {
        assert_eq!(one_error(text).0, (1, String::new(), Code::Type), "{text:?}");
    }
}

#[test]
fn a_key_that_is_given_twice_is_an_error_beside_the_others() {
    let text = edited(&[
        ("    share: group\n", "    share: group\n    \"share\": resource\n"),
        ("free: 3,", "free: 3, 'free': 4,"),
        ("window: 1m", "window: 1x"),
    ]);

    let errors = refused(&text);

    let found: Vec<_> = errors.iter().map(|e| (e.line.unwrap(), e.path.as_str(), e.code)).collect();
    assert_eq!(
        found,
        [
            (22, "groups[0].share", Code::DuplicateKey),
            (26, "groups[0].limits[0].window", Code::Invalid),
            (33, "groups[0].limits[1].quotas.free", Code::DuplicateKey),
        ]
    );
}

#[test]
fn yaml_that_policies_do_not_use_is_refused_with_its_line() {
    let cases = [
        ("name: base", "name: !!str base", 2, "tags such as `!!str` are not used"),
        ("name: base", "name: ! base", 2, "tags"),
        ("tiers:\n", "tiers: !!seq\n", 9, "tags"),
        ("source: a test", "? [a, b]\n: c", 4, "a key must be text"),
        ("source: a test", "? {a: b}\n: c", 4, "a key must be text"),
        ("groups:\n", "---\ngroups:\n", 18, "a second document begins here"),
        ("[m, n]", "&x [*x]", 20, "an alias repeats a value that ends before it"),
    ];
    for (old, new, line, part) in cases {
        let errors = refused(&edited(&[(old, new)]));
        let last = errors.last().unwrap();
        assert_eq!((last.code, last.line), (Code::NotSupported, Some(line)), "{new}: {}", shown(&errors));
        assert!(last.message.contains(part), "{new}: {}", last.message);
    }
    assert_eq!(refused(&edited(&[("[m, n]", "*nowhere")]))[0].code, Code::Syntax);
}

#[test]
fn aliases_repeat_values_and_errors_in_them_name_the_place_of_use() {
    let text = edited(&[("{free: 20, paid: 500}", "&q {free: 20, paid: 500}"), ("{free: 3, paid: unlimited}", "*q")]);
    let same_name = edited(&[("[m, n]", "[&m m, n]"), ("[v]", "[*m]")]);

    let policy = accepted(&text).policy;
    let (found, _) = one_error(&same_name);

    assert_eq!(policy.groups[0].limits[1].quotas, policy.groups[0].limits[0].quotas);
    assert!(!policy.canonical_json.contains('*'));
    assert_eq!(found, (34, "groups[1].resources[0]".to_owned(), Code::Duplicate));
}

#[test]
fn block_texts_and_other_styles_are_text() {
    let policy = accepted(&edited(&[("source: a test", "note: >-\n  folded\n  text\nsource: |\n  one\n  two")])).policy;

    assert_eq!(policy.note.as_deref(), Some("folded text"));
    assert_eq!(policy.source.as_deref(), Some("one\ntwo\n"));
}
