//! Decides, and what becomes of reservations.

use super::events::Trace;
use super::policy::RESOURCES;
use crate::reference::policy::{Algorithm, Quota, Rule};
use crate::reference::reservation::{How, Reservation};
use serde_json::{Map, Value, json};

/// One decide.
pub fn decide(t: &mut Trace) {
    let again = t.rng.percent(14);
    if again && decide_again(t) {
        return;
    }
    let account = t.account();
    let resource = resource(t);
    let mut event = json!({"account": account, "resource": resource});
    costs(t, &account, &resource, &mut event);
    let dry_run = t.rng.percent(6);
    if dry_run || t.rng.percent(2) {
        event["dry_run"] = dry_run.into();
    }
    let slots = t.model.policy.group_of(&resource);
    let slots = slots.is_some_and(|g| g.limits.iter().any(|l| l.rule == Rule::Concurrency));
    if t.rng.percent(if slots { 97 } else { 45 }) {
        event["reserve"] = reserve(t, &account);
    }
    call(t, event);
    if t.rng.percent(2) {
        let event = json!({"account": "nobody", "resource": resource});
        t.push("decide", event);
    }
}

fn call(t: &mut Trace, event: Value) {
    let id = event["reserve"]["id"].as_str().map(str::to_string);
    let Some(answer) = t.push("decide", event.clone()) else {
        return;
    };
    if let Some(id) = id
        && answer["decision"] == "allow"
        && answer["replayed"] != true
        && answer["reservation"] == *id
    {
        t.settles.remove(&id);
        t.calls.insert(id, event);
    }
}

/// A decide that names the id of an earlier one: the same call, another call, or after its end.
fn decide_again(t: &mut Trace) -> bool {
    let known: Vec<(String, Value)> = t.calls.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    let recent = known.len().saturating_sub(6);
    let from = if t.rng.percent(70) { recent } else { 0 };
    let Some((_, mut event)) = t.rng.of_any(&known[from..]).cloned() else {
        return false;
    };
    match t.rng.within(1, 20) {
        1..=12 => {}
        13 => event["tokens"] = 77.into(),
        14 => event["requests"] = 2.into(),
        15 => event["resource"] = resource(t).into(),
        16 => event["account"] = sibling(t, &event),
        17 => event["dry_run"] = true.into(),
        // Another time to live is no other call.
        18 => event["reserve"]["ttl_ms"] = 1_234.into(),
        19 if event.get("requests").is_none() => event["requests"] = 1.into(),
        _ if event.get("tokens").is_none() => event["tokens"] = 0.into(),
        _ => {}
    }
    call(t, event);
    true
}

/// Another account of the same main account; ids are unique within it only.
fn sibling(t: &mut Trace, event: &Value) -> Value {
    let family: &[&str] = match event["account"].as_str() {
        Some("B.b:1" | "b-sub") => &["B.b:1", "b-sub"],
        _ => &["acct-a", "a-sub1", "a-sub2"],
    };
    (*t.rng.of(family)).into()
}

fn resource(t: &mut Trace) -> String {
    if t.rng.percent(2) {
        return "no-such-resource".into();
    }
    let groups = t.model.policy.groups.clone();
    if t.rng.percent(60) {
        return t.rng.of(&groups[0].resources).clone();
    }
    if t.rng.percent(85) {
        let group = t.rng.of(&groups).clone();
        return t.rng.of(&group.resources).clone();
    }
    (*t.rng.of(&RESOURCES)).into()
}

fn costs(t: &mut Trace, account: &str, resource: &str, event: &mut Value) {
    if t.rng.percent(25) {
        event["requests"] = (*t.rng.of(&[0_u64, 0, 1, 1, 1, 2, 2, 3, 7])).into();
    }
    if t.rng.percent(75) {
        event["tokens"] = tokens(t, account, resource).into();
    }
    if t.model.policy.units.iter().any(|u| u == "images") && t.rng.percent(50) {
        event["units"] = json!({"images": *t.rng.of(&[0_u64, 1, 1, 1, 2, 4])});
    }
}

/// A cost in the range of the quotas for tokens that are in force, now and then beyond.
fn tokens(t: &mut Trace, account: &str, resource: &str) -> u64 {
    let known = t.model.account(account).is_some();
    let seats = if known { t.model.seats(account, resource, t.now) } else { Vec::new() };
    let mut sizes = Vec::new();
    for seat in seats {
        if let (Rule::Rate { unit, algorithm, .. }, Quota::Of(q)) = (&seat.rule, seat.quota)
            && unit == "tokens"
        {
            let most = if *algorithm == Algorithm::Bucket { seat.burst } else { q };
            sizes.push(u64::try_from(most).expect("a quota is above zero"));
        }
    }
    let least = sizes.iter().min().copied().unwrap_or(60);
    let size = if t.rng.percent(80) { least } else { *t.rng.of_any(&sizes).unwrap_or(&60) };
    match t.rng.within(1, 25) {
        1 => 0,
        2 | 3 => size,
        4 => (size + 1).min(1_000_000_000_000_000),
        5..=12 => t.rng.within(1, size / 3 + 1).min(size),
        13..=19 => t.rng.within(1, size / 2 + 1).min(size),
        20..=24 => t.rng.within(1, size),
        _ => 1_000_000_000_000_000 - t.rng.within(0, 1),
    }
}

fn reserve(t: &mut Trace, account: &str) -> Value {
    let mut reserve = json!({});
    if t.rng.percent(85) {
        // The main account is part of the id, since a settle does not name it.
        let main = if account.starts_with('b') || account.starts_with('B') { "rb:" } else { "ra." };
        reserve["id"] = t.fresh(main).into();
    }
    if t.rng.percent(60) {
        let ttl = *t.rng.of(&[1_u64, 100, 1_000, 5_000, 5_000, 20_000, 60_000, 600_000, 3_600_000, 86_400_000]);
        reserve["ttl_ms"] = ttl.into();
    }
    reserve
}

/// One reservation with a caller's id, mostly one in the wanted state.
fn pick(t: &mut Trace, want: impl Fn(Option<How>) -> bool) -> Option<Reservation> {
    let named = t.model.reservations.iter().filter(|r| !r.id.starts_with("rs_"));
    let named: Vec<Reservation> = named.cloned().collect();
    let now = t.now;
    let wanted = |r: &&Reservation| r.remembered(now) && want(r.ended(now).map(|(how, _)| how));
    let fit: Vec<Reservation> = named.iter().filter(wanted).cloned().collect();
    let any = t.rng.percent(6);
    let from = if any { &named } else { &fit };
    t.rng.of_any(from).cloned()
}

/// One settle: less, more, the same, again, late.
pub fn settle(t: &mut Trace) {
    let at = t.rng.weighted(&[60, 24, 16]);
    let picked = pick(t, |how| match at {
        0 => how.is_none(),
        1 => how == Some(How::Expired),
        _ => how == Some(How::Settled),
    });
    let Some(r) = picked else {
        return unknown(t, "settle");
    };
    if let Some(known) = t.settles.get(&r.id).cloned()
        && t.rng.percent(70)
    {
        t.push("settle", known);
        return;
    }
    let mut event = json!({"reservation": r.id});
    let mut units = Map::new();
    for unit in ["requests", "tokens", "images"] {
        let known = unit != "images" || t.model.policy.units.iter().any(|u| u == "images");
        if !known || t.rng.percent(if unit == "tokens" { 20 } else { 55 }) {
            continue;
        }
        let was = r.costs.get(unit).map_or(0, |n| u64::try_from(*n).expect("a cost is not below zero"));
        let most = 1_000_000_000_000_000;
        let new = match t.rng.within(1, 10) {
            1 => 0,
            2 => was,
            3..=6 => t.rng.within(0, was),
            7 | 8 => (was + t.rng.within(1, 20)).min(most),
            9 => (was * 3 + 50).min(most),
            _ => was.saturating_sub(1),
        };
        match unit {
            "images" => units.insert(unit.into(), new.into()),
            _ => {
                event[unit] = new.into();
                None
            }
        };
    }
    if !units.is_empty() {
        event["units"] = units.into();
    }
    let answer = t.push("settle", event.clone());
    if answer.is_some_and(|a| a["ok"] == true && a["replayed"] != true) {
        t.settles.insert(r.id, event);
    }
}

/// Blocks a bucket that an open reservation charged, and settles that for more.
pub fn settle_under_block(t: &mut Trace) {
    let Some(r) = pick(t, |how| how.is_none()) else {
        return;
    };
    let buckets = r.held.iter().filter_map(|h| match &h.counter.rule {
        Rule::Rate { unit, algorithm: Algorithm::Bucket, .. } => Some((h.counter.clone(), unit.clone())),
        _ => None,
    });
    let buckets: Vec<_> = buckets.collect();
    let Some((counter, unit)) = t.rng.of_any(&buckets).cloned() else {
        return;
    };
    let mut clamp = json!({"group": counter.group, "limit": counter.limit, "quota": "blocked"});
    t.push("clamp", clamp.clone());
    let more = r.costs.get(&unit).map_or(0, |n| u64::try_from(*n).expect("a cost is not below zero")) + 3;
    let mut settle = json!({"reservation": r.id});
    if unit == "images" {
        settle["units"] = json!({unit: more});
    } else {
        settle[unit] = more.into();
    }
    if t.push("settle", settle.clone()).is_some_and(|a| a["ok"] == true) {
        t.settles.insert(r.id, settle);
    }
    clamp["quota"] = Value::Null;
    t.push("clamp", clamp);
}

/// One cancel.
pub fn cancel(t: &mut Trace) {
    let any = t.rng.percent(15);
    match pick(t, |how| any || how.is_none()) {
        Some(r) => drop(t.push("cancel", json!({"reservation": r.id}))),
        None => unknown(t, "cancel"),
    }
}

/// One renewal.
pub fn renew(t: &mut Trace) {
    let any = t.rng.percent(15);
    let ttl = *t.rng.of(&[1_u64, 10, 1_000, 30_000, 600_000, 86_400_000, 90_000_000]);
    match pick(t, |how| any || how.is_none()) {
        Some(r) => drop(t.push("renew", json!({"reservation": r.id, "ttl_ms": ttl}))),
        None if t.rng.percent(5) => drop(t.push("renew", json!({"reservation": "never-made", "ttl_ms": ttl}))),
        None => {}
    }
}

fn unknown(t: &mut Trace, op: &str) {
    if t.rng.percent(5) {
        t.push(op, json!({"reservation": "never-made"}));
    }
}

/// One status.
pub fn status(t: &mut Trace) {
    let account = if t.rng.percent(4) { "nobody".into() } else { t.account() };
    let resource = resource(t);
    t.push("status", json!({"account": account, "resource": resource}));
}
