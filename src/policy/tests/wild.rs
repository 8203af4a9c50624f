//! Whatever comes in, reading answers and never panics.

use super::*;
use crate::policy::{diff, from_json, page};
use proptest::prelude::*;

/// All that is done with a document; what it is worth does not matter here.
fn exercise(text: &str) {
    match parse(text) {
        Ok(Parsed { policy, .. }) => {
            let json: serde_json::Value = serde_json::from_str(&policy.canonical_json).unwrap();
            assert_eq!(from_json(&json).unwrap().policy, policy);
            assert!(diff::diff(&policy, &policy).is_empty());
            _ = page::page(&policy, page::Lang::Zh).markdown();
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            assert!(
                errors.iter().map(|error| error.line).is_sorted() || errors.iter().any(|error| error.line.is_none())
            );
        }
    }
}

/// Pieces that YAML readers trip over.
const PIECES: [&str; 40] = [
    "\"",
    "'",
    "- ",
    "? ",
    ": ",
    "&a ",
    "*a",
    "!!int ",
    "! ",
    "|\n",
    ">-\n",
    "{",
    "}",
    "[",
    "]",
    ",",
    "#",
    "%YAML 1.2\n",
    "---\n",
    "...\n",
    "\t",
    "\r",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "\0",
    "\\u",
    "\\ud83d",
    "~",
    "<<: ",
    "0o17",
    "1e999",
    "-9223372036854775808",
    "18446744073709551616",
    "\n  ",
    "\n",
    "null",
    "日本",
    "\u{10ffff}",
    "@`",
];

/// A document with pieces cut out, doubled and put in at random places.
fn mutated() -> impl Strategy<Value = String> {
    let edit = (0_usize..2_000, 0_usize..40, prop::sample::select(PIECES.to_vec()), 0_u8..4);
    prop::collection::vec(edit, 1..6).prop_map(|edits| {
        let mut text: Vec<char> = BASE.chars().collect();
        for (at, length, piece, kind) in edits {
            let at = at % (text.len() + 1);
            let end = (at + length).min(text.len());
            match kind {
                0 => _ = text.splice(at..end, []),
                1 => _ = text.splice(at..at, piece.chars()),
                2 => _ = text.splice(at..end, piece.chars()),
                _ => {
                    let doubled = text[at..end].to_vec();
                    _ = text.splice(at..at, doubled);
                }
            }
        }
        text.into_iter().collect()
    })
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "[a-z:/1-9]{0,8}".prop_map(Into::into),
        Just("quotagate.policy/v1".into()),
    ];
    let key = prop::sample::select(vec![
        "schema",
        "name",
        "tiers",
        "groups",
        "limits",
        "id",
        "quotas",
        "title",
        "units",
        "resources",
    ]);
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::Array),
            prop::collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        exercise(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn arbitrary_pieces_of_yaml_never_panic(pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..60)) {
        exercise(&pieces.concat());
    }

    #[test]
    fn mutated_policies_never_panic(text in mutated()) {
        exercise(&text);
    }

    #[test]
    fn arbitrary_json_never_panics(json in json()) {
        _ = from_json(&json);
        exercise(&json.to_string());
    }
}
