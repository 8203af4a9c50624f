//! Pools and raise rules.

use super::*;
use crate::domain::raise_rule::{Answer, Clause};

const RAISES: &str = "\
pools:
  - {group: text, limit: rpm, capacity: 20000}
  - {group: text, limit: conn, capacity: 400}
raise_rules:
  - id: modest
    when:
      groups: [text]
      tiers: [paid]
      account_age_at_least: 30d
      no_refund_in: 30d
      at_most_percent: 150
      at_most_percent_of_tier: 300
      peak_use: {percent: 50, days: 5}
      pool_has_room: true
    approve: {for: 90d}
  - id: idle
    when: {peak_use_below: 20}
    request_info: What will use more?
";

fn with_raises(edits: &[(&str, &str)]) -> String {
    edits.iter().fold(format!("{BASE}{RAISES}"), |text, (old, new)| {
        assert!(text.contains(old), "`{old}` is not in the policy");
        text.replacen(old, new, 1)
    })
}

#[test]
fn rules_and_pools_are_read_in_their_order() {
    let policy = parse(&with_raises(&[])).unwrap().policy;

    let pools: Vec<_> = policy.pools.iter().map(|pool| (pool.key.limit.as_str(), pool.capacity)).collect();
    assert_eq!(pools, [("rpm", 20_000), ("conn", 400)]);
    let [modest, idle] = &policy.raise_rules[..] else { panic!("{:?}", policy.raise_rules) };
    let names: Vec<_> = modest.when.iter().map(Clause::name).collect();
    assert_eq!(
        names,
        [
            "groups",
            "tiers",
            "account_age_at_least",
            "no_refund_in",
            "at_most_percent",
            "at_most_percent_of_tier",
            "peak_use",
            "pool_has_room"
        ]
    );
    assert_eq!(modest.answer, Answer::Approve { for_ms: 90 * 86_400_000 });
    assert_eq!(idle.when, [Clause::PeakUseBelow { percent: 20 }]);
    assert_eq!(idle.answer, Answer::RequestInfo { text: "What will use more?".to_owned() });
    assert!(policy.canonical_json.contains(r#""pools":[{"capacity":20000,"group":"text","limit":"rpm"}"#));
    assert_eq!(parse(BASE).unwrap().policy.raise_rules, []);
}

#[test]
fn what_is_wrong_with_them_is_told_at_its_place() {
    use Code::{Duplicate, Empty, Invalid, Misplaced, MissingField, OutOfRange, Type, UnknownField, UnknownReference};
    let cases = [
        (
            ("group: text, limit: rpm", "group: txt, limit: rpm"),
            "pools[0].group",
            UnknownReference,
            "did you mean `text`?",
        ),
        (
            ("limit: conn", "limit: cnn"),
            "pools[1].limit",
            UnknownReference,
            "limit of `text` `cnn`: did you mean `conn`?",
        ),
        (
            ("limit: conn", "limit: rpm"),
            "pools[1]",
            Duplicate,
            "the pool of `text/rpm` is already at `pools[0]` (line 38)",
        ),
        (("capacity: 400", "capacity: 0"), "pools[1].capacity", OutOfRange, "from 1 to 10^15"),
        (
            ("capacity: 400", "capacity: 400, size: 4"),
            "pools[1].size",
            UnknownField,
            "the fields are `group`, `limit`, `capacity`",
        ),
        (("id: idle", "id: modest"), "raise_rules[1].id", Duplicate, "the raise rule `modest` is already"),
        (("{peak_use_below: 20}", "{}"), "raise_rules[1].when", Empty, "a rule that always holds is no rule"),
        (("    request_info: What will use more?\n", ""), "raise_rules[1].approve", MissingField, "no answer"),
        (
            ("    request_info:", "    approve: {for: 1d}\n    request_info:"),
            "raise_rules[1].request_info",
            Misplaced,
            "one answer",
        ),
        (("peak_use_below: 20", "peak_use_below: 0"), "raise_rules[1].when.peak_use_below", OutOfRange, "1 to 100"),
        (("peak_use_below: 20", "peak_below: 20"), "raise_rules[1].when.peak_below", UnknownField, "`peak_use_below`?"),
        (("at_most_percent: 150", "at_most_percent: 100"), "raise_rules[0].when.at_most_percent", OutOfRange, "101"),
        (("at_most_percent: 150", "at_most_percent: 1.5"), "raise_rules[0].when.at_most_percent", Type, "`1.5`"),
        (("days: 5", "days: 29"), "raise_rules[0].when.peak_use.days", OutOfRange, "1 to 28"),
        ((", days: 5", ""), "raise_rules[0].when.peak_use.days", MissingField, "`days`"),
        (("no_refund_in: 30d", "no_refund_in: 30"), "raise_rules[0].when.no_refund_in", Type, "a duration"),
        (("no_refund_in: 30d", "no_refund_in: 30x"), "raise_rules[0].when.no_refund_in", Invalid, "`30x`"),
        (("tiers: [paid]", "tiers: [padi]"), "raise_rules[0].when.tiers[0]", UnknownReference, "did you mean `paid`?"),
        (("tiers: [paid]", "tiers: []"), "raise_rules[0].when.tiers", Empty, "never hold"),
        (("tiers: [paid]", "tiers: [paid, paid]"), "raise_rules[0].when.tiers[1]", Duplicate, "twice"),
        (("groups: [text]", "groups: [texts]"), "raise_rules[0].when.groups[0]", UnknownReference, "`text`?"),
        (("pool_has_room: true", "pool_has_room: false"), "raise_rules[0].when.pool_has_room", Type, "`true`"),
        (("for: 90d", "for: 1m"), "raise_rules[0].approve.for", OutOfRange, "1h to 3660d"),
    ];
    for (edit, path, code, part) in cases {
        let ((_, found_path, found_code), message) = {
            let (place, message) = one_error(&with_raises(&[edit]));
            (place, message)
        };
        assert_eq!((found_path.as_str(), found_code), (path, code), "{edit:?}: {message}");
        assert!(message.contains(part), "{edit:?}: {message}");
    }
    let pools = RAISES.find("raise_rules").unwrap();
    let without = format!("{BASE}{}", &RAISES[pools..]);
    assert_eq!(one_error(&without).0.1, "raise_rules[0].when.pool_has_room");
}

#[test]
fn a_group_that_cannot_be_read_makes_no_other_errors() {
    let text = with_raises(&[("unit: images", "unit: image")]);

    assert_eq!(one_error(&text).0.1, "groups[1].limits[0].unit");
}

#[test]
fn differences_and_the_page_say_them_in_words() {
    let of = |edits: &[(&str, &str)]| parse(&with_raises(edits)).unwrap().policy;
    let lines = |from: &crate::domain::policy::Policy, to: &crate::domain::policy::Policy| {
        crate::policy::diff::diff(from, to).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let (base, with) = (parse(BASE).unwrap().policy, of(&[]));

    let added = lines(&base, &with);
    assert_eq!(
        added,
        [
            "pool added: text/rpm: 20,000 for all overrides together",
            "pool added: text/conn: 400 for all overrides together",
            "raise rule `modest` added: group text and tier paid and an account at least 30d old and no refund in 30d and at \
             most 150 % of the quota in force and at most 300 % of the tier's quota and peak use of 50 % on 5 of 28 days and room in the pool -> approved for 90d",
            "raise rule `idle` added: peak use below 20 % -> asked: What will use more?",
        ]
    );
    assert_eq!(lines(&with, &base).len(), 4);
    let changed = of(&[("capacity: 400", "capacity: 500"), ("peak_use_below: 20", "peak_use_below: 30")]);
    assert_eq!(
        lines(&with, &changed),
        [
            "pool of `text/conn`: capacity 400 -> 500",
            "raise rule `idle`: [peak use below 20 % -> asked: What will use more?] -> [peak use below 30 % -> asked: What \
             will use more?]",
        ]
    );
    let swapped = of(&[("id: modest", "id: x"), ("id: idle", "id: modest"), ("id: x", "id: idle")]);
    assert_eq!(lines(&with, &swapped).last().unwrap(), "order of raise rules: `modest`, `idle` -> `idle`, `modest`");
    let page = crate::policy::page::page(&with, crate::policy::page::Lang::Zh);
    let text = page.markdown();
    assert!(text.contains("## 容量池\n\n- text/rpm：全部提额共 20,000\n"), "{text}");
    assert!(text.contains("- `idle`: 峰值低于 20 % → 询问：What will use more?"), "{text}");
    let json = page.json(&with);
    assert_eq!((&json["pools"][1]["capacity"], &json["raise_rules"][1]["id"]), (&400.into(), &"idle".into()));
}
