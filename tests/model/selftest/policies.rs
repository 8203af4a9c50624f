//! POLICY.md's rules for a document, as far as generated ones can break them.

use serde_json::Value;
use std::collections::BTreeSet;

fn list(v: &Value) -> &Vec<Value> {
    v.as_array().expect("a list")
}

/// The ids of a list, which must differ.
fn ids(v: &Value) -> BTreeSet<String> {
    let ids: Vec<String> = list(v).iter().map(|x| x["id"].as_str().expect("an id").to_string()).collect();
    let unique: BTreeSet<String> = ids.iter().cloned().collect();
    assert_eq!(unique.len(), ids.len(), "an id stands twice");
    unique
}

fn keys(v: &Value) -> BTreeSet<String> {
    v.as_object().expect("a map").keys().cloned().collect()
}

/// Panics unless the document is valid.
pub fn valid(doc: &Value) {
    let tiers = ids(&doc["tiers"]);
    assert!(tiers.contains(doc["default_tier"].as_str().expect("a default tier")));
    let mut units = BTreeSet::from(["requests".to_string(), "tokens".to_string()]);
    if let Some(more) = doc.get("units") {
        units.extend(ids(more));
    }
    ids(&doc["groups"]);
    let mut resources = BTreeSet::new();
    for group in list(&doc["groups"]) {
        assert!(!list(&group["resources"]).is_empty() && !list(&group["limits"]).is_empty());
        for resource in list(&group["resources"]) {
            assert!(resources.insert(resource.to_string()), "a resource is in two groups");
        }
        ids(&group["limits"]);
        let slots = list(&group["limits"]).iter().filter(|l| l["kind"] == "concurrency");
        assert!(slots.count() <= 1);
        for limit in list(&group["limits"]) {
            check_limit(limit, &tiers, &units);
        }
    }
}

fn check_limit(limit: &Value, tiers: &BTreeSet<String>, units: &BTreeSet<String>) {
    let slots = limit["kind"] == "concurrency";
    let most = if slots { 100_000 } else { 1_000_000_000_000_000 };
    assert_eq!(keys(&limit["quotas"]), *tiers);
    for quota in limit["quotas"].as_object().expect("a map").values() {
        let number = quota.as_u64().is_some_and(|q| (1..=most).contains(&q));
        assert!(number || quota == "unlimited" || quota == "blocked");
    }
    for name in keys(limit) {
        let common = ["id", "kind", "quotas"];
        let rate = ["unit", "window", "algorithm", "burst"];
        assert!(common.contains(&name.as_str()) || (!slots && rate.contains(&name.as_str())));
    }
    if !slots {
        assert!(units.contains(limit["unit"].as_str().expect("a unit")));
    }
    if let Some(burst) = limit.get("burst") {
        assert_eq!(limit["algorithm"], "token_bucket");
        assert_eq!(keys(burst), *tiers);
        assert!(burst.as_object().expect("a map").values().all(|b| b.as_u64() >= Some(1)));
    }
}
