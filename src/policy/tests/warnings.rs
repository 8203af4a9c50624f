//! What is odd but allowed.

use super::*;

#[track_caller]
fn warnings(edits: &[(&str, &str)]) -> Vec<(u32, String, Code)> {
    let found = accepted(&edited(edits)).warnings;
    found.into_iter().map(|w| (w.line.unwrap_or(0), w.path, w.code)).collect()
}

fn quotas(name: &str) -> String {
    format!("groups[0].limits[0].quotas{name}")
}

#[test]
fn a_quota_below_the_lower_tiers() {
    let falls = |tier: &str| (27, quotas(tier), Code::QuotaFalls);

    assert_eq!(warnings(&[("paid: 500", "paid: 19")]), [falls(".paid")]);
    assert_eq!(warnings(&[("paid: 500", "paid: blocked")]), [falls(".paid")]);
    assert_eq!(warnings(&[("free: 20", "free: unlimited")]), [falls(".paid")]);
    assert_eq!(warnings(&[("paid: 500", "paid: unlimited")]), []);
}

#[test]
fn equal_quotas_in_all_tiers() {
    assert_eq!(warnings(&[("paid: 500", "paid: 20")]), [(27, quotas(""), Code::QuotasEqual)]);

    let one_tier = "schema: quotagate.policy/v1\nname: x\ntiers: [{id: a}]\ndefault_tier: a\ngroups:\n  - {id: g, resources: [m], limits: [{id: rpm, unit: requests, window: 1m, quotas: {a: 5}}]}\n";
    assert!(accepted(one_tier).warnings.is_empty());
}

#[test]
fn a_quota_of_few_tokens() {
    let few = |tier: &str| (27, quotas(tier), Code::QuotaOutOfScale);
    let tokens = ("unit: requests", "unit: tokens");

    assert_eq!(warnings(&[tokens]), [few(".free"), few(".paid")]);
    assert_eq!(warnings(&[tokens, ("free: 20, paid: 500", "free: 999, paid: 1000")]), [few(".free")]);
    // For shorter windows it is a rate, for longer ones the whole of it.
    assert_eq!(
        warnings(&[tokens, ("window: 1m", "window: 1s"), ("free: 20, paid: 500", "free: 16, paid: 17")]),
        [few(".free")]
    );
    assert_eq!(
        warnings(&[tokens, ("window: 1m", "window: 1d"), ("free: 20, paid: 500", "free: 1000, paid: 2000")]),
        []
    );
    let own = [("id: images, title: {en: Images}", "id: output_tokens"), ("unit: images", "unit: output_tokens")];
    assert_eq!(warnings(&own), [(36, "groups[1].limits[0].quotas.paid".to_owned(), Code::QuotaOutOfScale)]);
}

/// The base's tiers replaced; every quota map gets the tiers it needs.
fn with_tiers(tiers: &str, names: &[&str], default: &str) -> Vec<(String, Code)> {
    let quotas: Vec<String> = names.iter().enumerate().map(|(n, name)| format!("{name}: {}", n + 1)).collect();
    let text = format!(
        "schema: quotagate.policy/v1\nname: x\ntiers:\n{tiers}default_tier: {default}\ngroups:\n  - {{id: g, resources: [m], limits: [{{id: rpm, unit: requests, window: 1m, quotas: {{{}}}}}]}}\n",
        quotas.join(", ")
    );
    accepted(&text).warnings.into_iter().map(|w| (w.path, w.code)).collect()
}

fn three(a: &str, b: &str) -> Vec<(String, Code)> {
    with_tiers(&format!("  - {{id: free}}\n  - {{id: a{a}}}\n  - {{id: b{b}}}\n"), &["free", "a", "b"], "free")
}

#[test]
fn a_tier_that_payments_can_never_decide_about() {
    let a_is_dead = [("tiers[1].reached_by".to_owned(), Code::TierUnreachable)];
    let paid = |amounts: &str| format!(", reached_by: {{net_paid_at_least: {{{amounts}}}}}");

    assert_eq!(three(&paid("CNY: 100"), &paid("CNY: 100")), a_is_dead);
    assert_eq!(three(&paid("CNY: 100"), &paid("CNY: 50, USD: 1")), a_is_dead);
    assert_eq!(three(&paid("CNY: 100"), &paid("USD: 0")), a_is_dead);
    assert_eq!(three(&paid("CNY: 100"), ", reached_by: {account_age_at_least: 0d}"), a_is_dead);
    assert_eq!(
        three(", reached_by: {account_age_at_least: 7d}", ", reached_by: {account_age_at_least: 7d}"),
        a_is_dead
    );

    assert_eq!(three(&paid("CNY: 100"), &paid("CNY: 101")), []);
    assert_eq!(three(&paid("CNY: 100, USD: 1"), &paid("CNY: 100")), []);
    assert_eq!(three(", reached_by: {account_age_at_least: 0d}", &paid("CNY: 100")), []);
    assert_eq!(three("", ""), []);
    // A longer grace outlives the higher tier's.
    assert_eq!(three(&format!("{}, grace: 31d", paid("CNY: 100")), &paid("CNY: 100")), []);
}

#[test]
fn a_tier_at_or_below_the_default_that_asks_for_payments() {
    let rule = "reached_by: {net_paid_at_least: {CNY: 1}}";
    let below = with_tiers(&format!("  - {{id: low, {rule}}}\n  - {{id: free}}\n"), &["low", "free"], "free");
    let default = with_tiers(&format!("  - {{id: free, {rule}}}\n  - {{id: high}}\n"), &["free", "high"], "free");
    let operator = with_tiers("  - {id: held}\n  - {id: free}\n", &["held", "free"], "free");

    let dead = [("tiers[0].reached_by".to_owned(), Code::TierUnreachable)];
    assert_eq!(below, dead);
    assert_eq!(default, dead);
    assert_eq!(operator, []);
}
