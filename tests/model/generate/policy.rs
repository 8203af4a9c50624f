//! Random valid policies with small quotas, so that refusals are frequent.

use super::{Rng, mutate};
use serde_json::{Map, Value, json};

/// All tiers that a policy of a case may have, lowest first.
pub const TIERS: [&str; 4] = ["free", "paid", "pro", "max"];
/// All resources that a policy of a case may list.
pub const RESOURCES: [&str; 5] = ["m1", "M2", "voice/a", "img+x", "m5"];
const WINDOWS: [&str; 17] = [
    "1s",
    "1001ms",
    "7s",
    "10s",
    "59999ms",
    "1m",
    "61s",
    "90s",
    "5m",
    "10m",
    "1h",
    "1h",
    "2h",
    "7h",
    "24h",
    "1d",
    "3600001ms",
];

/// The policies of a case: the first, and mutations of it.
pub fn policies(rng: &mut Rng) -> Vec<Value> {
    let mut policies = vec![first(rng)];
    for _ in 0..rng.within(0, 3) {
        let base = if rng.percent(60) { 0 } else { policies.len() - 1 };
        let mut next = policies[base].clone();
        for _ in 0..rng.within(1, 3) {
            mutate::once(rng, &mut next);
        }
        policies.push(next);
    }
    policies
}

fn first(rng: &mut Rng) -> Value {
    let tiers: Vec<&str> = TIERS[..rng.within(2, 4) as usize].to_vec();
    let mut doc = json!({"schema": "quotagate.policy/v1", "name": "case"});
    if rng.percent(25) {
        doc["unlisted_resources"] = (*rng.of(&["allow", "allow", "deny"])).into();
    }
    if rng.percent(60) {
        doc["utc_offset"] = utc_offset(rng).into();
    }
    if rng.percent(60) {
        doc["units"] = json!([{"id": "images"}]);
    }
    if rng.percent(50) {
        doc["reservation_ttl"] = ttl(rng).into();
    }
    let currencies: &[&str] = if rng.percent(50) { &["CNY"] } else { &["CNY", "USD"] };
    let list = tiers.iter().enumerate();
    doc["tiers"] = list.map(|(rank, id)| tier(rng, rank, id, currencies)).collect();
    doc["default_tier"] = tiers[usize::from(rng.percent(25))].into();
    let groups = rng.within(1, 3) as usize;
    let mut homes: Vec<Vec<&str>> = vec![Vec::new(); groups];
    for (i, resource) in RESOURCES.iter().enumerate() {
        let home = if i < groups { i } else { rng.within(0, groups as u64) as usize };
        // A resource that finds no home is one that later policies may bring.
        if home < groups {
            homes[home].push(resource);
        }
    }
    let list = homes.iter().enumerate();
    doc["groups"] = list.map(|(i, home)| group(rng, &format!("g{}", i + 1), home, &doc)).collect();
    doc
}

/// A random offset, now and then an odd one.
pub fn utc_offset(rng: &mut Rng) -> &'static str {
    rng.of::<&str>(&["+08:00", "-05:00", "+05:30", "+00:00", "+14:00", "-00:30"])
}

/// A random time to live of reservations.
pub fn ttl(rng: &mut Rng) -> &'static str {
    rng.of::<&str>(&["1s", "5s", "30s", "1m", "10m", "1h"])
}

/// A random tier of this rank.
pub fn tier(rng: &mut Rng, rank: usize, id: &str, currencies: &[&str]) -> Value {
    let mut tier = json!({"id": id});
    if rank == 0 || rng.percent(12) {
        return tier;
    }
    let mut reached = Map::new();
    let by_age_alone = rng.percent(8);
    if !by_age_alone {
        let mut least = Map::new();
        for currency in currencies {
            if least.is_empty() || rng.percent(60) {
                least.insert((*currency).into(), (rank as u64 * 100 + rng.within(0, 1)).into());
            }
        }
        reached.insert("net_paid_at_least".into(), least.into());
    }
    if by_age_alone || rng.percent(25) {
        let age = *rng.of(&["0d", "1s", "1m", "1h", "1d"]);
        reached.insert("account_age_at_least".into(), age.into());
    }
    tier["reached_by"] = reached.into();
    if rng.percent(85) {
        tier["grace"] = (*rng.of(&["0d", "0ms", "1s", "10s", "1m", "10m", "1h", "1d"])).into();
    }
    tier
}

fn group(rng: &mut Rng, id: &str, resources: &[&str], doc: &Value) -> Value {
    let mut group = json!({"id": id, "resources": resources});
    if rng.percent(60) {
        group["share"] = (*rng.of(&["group", "resource", "resource"])).into();
    }
    let mut limits: Vec<Value> = (1..=rng.within(1, 4)).map(|i| rate(rng, &format!("l{i}"), doc)).collect();
    if rng.percent(50) {
        let at = rng.within(0, limits.len() as u64) as usize;
        limits.insert(at, concurrency(rng, "conn", doc));
    }
    if limits.len() > 1 && rng.percent(5) {
        limits.remove(0);
    }
    group["limits"] = limits.into();
    group
}

fn tier_ids(doc: &Value) -> Vec<String> {
    let tiers = doc["tiers"].as_array().expect("tiers are a list");
    tiers.iter().map(|t| t["id"].as_str().expect("an id is text").to_string()).collect()
}

/// The units of a document.
pub fn units(doc: &Value) -> Vec<&'static str> {
    let more = doc["units"].as_array().is_some_and(|u| !u.is_empty());
    if more { vec!["requests", "tokens", "images"] } else { vec!["requests", "tokens"] }
}

/// A random rate limit.
pub fn rate(rng: &mut Rng, id: &str, doc: &Value) -> Value {
    let algorithm = rng.of(&["fixed_window", "sliding_window", "token_bucket"]);
    let mut limit = json!({"id": id, "unit": *rng.of(&units(doc)), "window": window(rng)});
    if *algorithm != "sliding_window" || rng.percent(50) {
        limit["algorithm"] = (*algorithm).into();
    }
    if rng.percent(5) {
        limit["kind"] = "rate".into();
    }
    quotas(rng, &mut limit, doc);
    limit
}

/// A random concurrency limit.
pub fn concurrency(rng: &mut Rng, id: &str, doc: &Value) -> Value {
    let mut limit = json!({"id": id, "kind": "concurrency"});
    quotas(rng, &mut limit, doc);
    limit
}

/// A random window.
pub fn window(rng: &mut Rng) -> &'static str {
    rng.of::<&str>(&WINDOWS)
}

/// Draws quotas, and bursts where there may be any, for every tier.
pub fn quotas(rng: &mut Rng, limit: &mut Value, doc: &Value) {
    let mut quotas = Map::new();
    let mut bursts = Map::new();
    let huge = rng.percent(3);
    for (rank, tier) in tier_ids(doc).into_iter().enumerate() {
        let q = if huge { most(limit) - rng.within(0, 2) } else { small(rng, limit, rank as u64) };
        let b = if huge { q } else { rng.within(1, 2 * q) };
        bursts.insert(tier.clone(), b.into());
        let quota = match rng.within(1, 100) {
            1..=9 => "unlimited".into(),
            10..=12 => "blocked".into(),
            _ => Value::from(q),
        };
        quotas.insert(tier, quota);
    }
    limit["quotas"] = quotas.into();
    let with_bursts = limit["algorithm"] == "token_bucket" && rng.percent(60);
    if with_bursts {
        limit["burst"] = bursts.into();
    } else if let Some(fields) = limit.as_object_mut() {
        fields.remove("burst");
    }
}

/// A small quota fit for the unit of a limit.
pub fn small(rng: &mut Rng, limit: &Value, rank: u64) -> u64 {
    match limit["unit"].as_str() {
        Some("tokens") => rng.within(5, 100 + 100 * rank),
        Some(_) => rng.within(1, 5 + 3 * rank),
        None => rng.within(1, 2 + rank),
    }
}

/// The greatest quota that is generated for a limit.
pub fn most(limit: &Value) -> u64 {
    match (limit["kind"].as_str(), limit["algorithm"].as_str()) {
        (Some("concurrency"), _) => 100_000,
        // A bucket's waiting times must stay within 64 bits when its quota is lowered to 1.
        (_, Some("token_bucket")) => 50_000_000_000,
        _ => 1_000_000_000_000_000,
    }
}
