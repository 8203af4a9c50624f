//! Changes that make a later policy of an earlier one, and keep it valid.

use super::Rng;
use super::policy::{self, RESOURCES, TIERS};
use serde_json::{Value, json};

/// Applies one random change.
pub fn once(rng: &mut Rng, doc: &mut Value) {
    match rng.weighted(&[10, 10, 6, 8, 8, 6, 8, 4, 9, 5, 8, 5, 4, 2, 4, 4, 3]) {
        0 => change_limit(rng, doc, |rng, limit| {
            if limit["kind"] != "concurrency" {
                limit["window"] = policy::window(rng).into();
            }
        }),
        1 => change_limit(rng, doc, algorithm),
        2 => unit(rng, doc),
        3 => share(rng, doc),
        4 => drop_limit(rng, doc),
        5 => add_limit(rng, doc),
        6 => move_resource(rng, doc),
        7 => drop_resource(rng, doc),
        8 => drop_tier(rng, doc),
        9 => swap_tiers(rng, doc),
        10 => new_quotas(rng, doc),
        11 => doc["utc_offset"] = policy::utc_offset(rng).into(),
        12 => new_rules(rng, doc),
        13 => doc["unlisted_resources"] = (*rng.of(&["allow", "deny"])).into(),
        14 => turn_kind(rng, doc),
        15 => doc["reservation_ttl"] = policy::ttl(rng).into(),
        _ => turn_images(doc),
    }
}

fn list<'a>(v: &'a mut Value, name: &str) -> &'a mut Vec<Value> {
    v[name].as_array_mut().expect("a document's lists are lists")
}

fn some<'a>(rng: &mut Rng, list: &'a mut [Value]) -> &'a mut Value {
    let at = rng.within(0, list.len() as u64 - 1) as usize;
    &mut list[at]
}

fn change_limit(rng: &mut Rng, doc: &mut Value, change: impl Fn(&mut Rng, &mut Value)) {
    let group = some(rng, list(doc, "groups"));
    let limit = some(rng, list(group, "limits"));
    change(rng, limit);
}

fn algorithm(rng: &mut Rng, limit: &mut Value) {
    if limit["kind"] == "concurrency" {
        return;
    }
    limit["algorithm"] = (*rng.of(&["fixed_window", "sliding_window", "token_bucket"])).into();
    let fields = limit.as_object_mut().expect("a limit is a map");
    if fields["algorithm"] != "token_bucket" {
        fields.remove("burst");
    } else {
        // Quotas drawn for windows may be too great for a bucket's waiting times.
        for quota in fields["quotas"].as_object_mut().expect("quotas are a map").values_mut() {
            if quota.as_u64().is_some_and(|q| q > 50_000_000_000) {
                *quota = 50_000_000_000_u64.into();
            }
        }
    }
}

fn unit(rng: &mut Rng, doc: &mut Value) {
    let units = policy::units(doc);
    change_limit(rng, doc, |rng, limit| {
        if limit["kind"] != "concurrency" {
            limit["unit"] = (*rng.of(&units)).into();
        }
    });
}

fn share(rng: &mut Rng, doc: &mut Value) {
    let group = some(rng, list(doc, "groups"));
    let now = if group["share"] == "resource" { "group" } else { "resource" };
    group["share"] = now.into();
}

fn drop_limit(rng: &mut Rng, doc: &mut Value) {
    let group = some(rng, list(doc, "groups"));
    let limits = list(group, "limits");
    if limits.len() > 1 {
        let at = rng.within(0, limits.len() as u64 - 1) as usize;
        limits.remove(at);
    }
}

fn add_limit(rng: &mut Rng, doc: &mut Value) {
    let copy = doc.clone();
    let group = some(rng, list(doc, "groups"));
    let limits = list(group, "limits");
    let free: Vec<String> =
        (1..=12).map(|i| format!("l{i}")).filter(|id| limits.iter().all(|l| l["id"] != **id)).collect();
    let new = if !limits.iter().any(|l| l["kind"] == "concurrency") && rng.percent(40) {
        policy::concurrency(rng, "conn", &copy)
    } else {
        let id = rng.of(&free).clone();
        policy::rate(rng, &id, &copy)
    };
    if limits.iter().all(|l| l["id"] != new["id"]) {
        let at = rng.within(0, limits.len() as u64) as usize;
        limits.insert(at, new);
    }
}

fn move_resource(rng: &mut Rng, doc: &mut Value) {
    let resource = *rng.of(&RESOURCES);
    let groups = list(doc, "groups");
    let home = groups.iter().position(|g| g["resources"].as_array().is_some_and(|r| r.iter().any(|r| r == resource)));
    if let Some(home) = home {
        let resources = list(&mut groups[home], "resources");
        if resources.len() == 1 {
            return;
        }
        resources.retain(|r| r != resource);
    }
    let to = rng.within(0, groups.len() as u64 - 1) as usize;
    list(&mut groups[to], "resources").push(resource.into());
}

fn drop_resource(rng: &mut Rng, doc: &mut Value) {
    let group = some(rng, list(doc, "groups"));
    let resources = list(group, "resources");
    if resources.len() > 1 {
        let at = rng.within(0, resources.len() as u64 - 1) as usize;
        resources.remove(at);
    }
}

fn drop_tier(rng: &mut Rng, doc: &mut Value) {
    let tier = *rng.of(&TIERS);
    if doc["default_tier"] == tier || list(doc, "tiers").len() == 1 {
        return;
    }
    list(doc, "tiers").retain(|t| t["id"] != tier);
    for group in list(doc, "groups") {
        for limit in list(group, "limits") {
            for by_tier in ["quotas", "burst"] {
                if let Some(map) = limit.get_mut(by_tier).and_then(Value::as_object_mut) {
                    map.remove(tier);
                }
            }
        }
    }
}

fn swap_tiers(rng: &mut Rng, doc: &mut Value) {
    let tiers = list(doc, "tiers");
    let last = tiers.len() as u64 - 1;
    let (a, b) = (rng.within(0, last) as usize, rng.within(0, last) as usize);
    tiers.swap(a, b);
    if rng.percent(20) {
        let default = some(rng, tiers)["id"].clone();
        doc["default_tier"] = default;
    }
}

fn new_quotas(rng: &mut Rng, doc: &mut Value) {
    let copy = doc.clone();
    change_limit(rng, doc, |rng, limit| policy::quotas(rng, limit, &copy));
}

fn new_rules(rng: &mut Rng, doc: &mut Value) {
    let tiers = list(doc, "tiers");
    let rank = rng.within(0, tiers.len() as u64 - 1) as usize;
    let id = tiers[rank]["id"].as_str().expect("an id is text").to_string();
    tiers[rank] = policy::tier(rng, rank, &id, &["CNY", "USD"]);
}

/// Makes a concurrency limit of a rate limit or the other way round, under the same id.
fn turn_kind(rng: &mut Rng, doc: &mut Value) {
    let copy = doc.clone();
    let group = some(rng, list(doc, "groups"));
    let limits = list(group, "limits");
    let taken = limits.iter().any(|l| l["kind"] == "concurrency");
    let limit = some(rng, limits);
    let id = limit["id"].clone();
    let name = id.as_str().expect("an id is text");
    *limit = match limit["kind"] == "concurrency" {
        true => policy::rate(rng, name, &copy),
        false if taken => json!(limit),
        false => policy::concurrency(rng, name, &copy),
    };
}

/// Declares the unit `images`, or takes it away where no limit needs it.
fn turn_images(doc: &mut Value) {
    if doc.get("units").is_none() {
        doc["units"] = json!([{"id": "images"}]);
        return;
    }
    let needed = list(doc, "groups").iter_mut().any(|g| list(g, "limits").iter().any(|l| l["unit"] == "images"));
    if !needed {
        doc.as_object_mut().expect("a document is a map").remove("units");
    }
}
