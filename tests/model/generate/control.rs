//! Accounts, pins, overrides, clamps and payments.

use super::events::{MAINS, SUBS, Trace, number};
use super::policy::TIERS;
use crate::reference::policy::{Algorithm, Quota, Rule};
use serde_json::{Map, Value, json};

const DAY: i128 = 86_400_000;

/// The accounts of a trace, at its start or some time after it.
pub fn first_accounts(t: &mut Trace) {
    for main in MAINS {
        let mut event = json!({"account": main});
        if t.rng.percent(20) {
            event["tier"] = tier(t).into();
        }
        t.push("account", event);
    }
    for (sub, parent) in SUBS {
        // Some come later, or never.
        if t.rng.percent(20) {
            continue;
        }
        let mut event = json!({"account": sub, "parent": parent});
        if t.rng.percent(75) {
            event["caps"] = caps(t);
        }
        t.push("account", event);
    }
}

fn tier(t: &mut Trace) -> String {
    let tiers = t.model.policy.tiers.clone();
    t.rng.of(&tiers).id.clone()
}

/// A change of an account.
pub fn account(t: &mut Trace) {
    let id = t.account();
    let is_sub = !MAINS.contains(&id.as_str());
    let suspended = t.model.account(&id).is_some_and(|a| a.suspended);
    let mut event = json!({"account": id});
    if let Some((_, parent)) = SUBS.iter().find(|(sub, _)| *sub == id)
        && t.model.account(&id).is_none()
    {
        event["parent"] = (*parent).into();
        event["caps"] = caps(t);
    } else if is_sub && t.rng.percent(80) {
        event["caps"] = if t.rng.percent(25) { json!({}) } else { caps(t) };
    } else if suspended {
        event["suspended"] = false.into();
    } else if t.rng.percent(25) {
        event["suspended"] = true.into();
    } else if !is_sub && t.rng.percent(70) {
        event["tier"] = tier(t).into();
    }
    t.push("account", event);
    // A suspension is short, or nothing happens any more.
    for id in t.model.accounts.iter().filter(|a| a.suspended).map(|a| a.id.clone()).collect::<Vec<_>>() {
        if t.rng.percent(60) {
            super::calls::decide(t);
            t.push("account", json!({"account": id, "suspended": false}));
        }
    }
}

fn caps(t: &mut Trace) -> Value {
    let mut caps = Map::new();
    for (group, limit) in t.limits() {
        if t.rng.percent(45) {
            let quota = quota(t, &group, &limit);
            caps.insert(format!("{group}/{limit}"), quota);
        }
    }
    caps.into()
}

/// A quota near those that the limit has.
fn quota(t: &mut Trace, group: &str, limit: &str) -> Value {
    let limit = t.model.policy.limit(group, limit).cloned().expect("the limit is in the active policy");
    match t.rng.within(1, 20) {
        1 => return "unlimited".into(),
        2 => return "blocked".into(),
        _ => {}
    }
    let quotas: Vec<Quota> = limit.quotas.values().copied().collect();
    let base = match t.rng.of(&quotas) {
        Quota::Of(q) => *q,
        _ => 5,
    };
    let most = match limit.rule {
        Rule::Concurrency => 100_000,
        Rule::Rate { algorithm: Algorithm::Bucket, .. } => 50_000_000_000,
        Rule::Rate { .. } => 1_000_000_000_000_000,
    };
    let q = match t.rng.within(1, 6) {
        1 => base * 3,
        2 => base + 1,
        3 => base,
        4 => base / 3,
        5 => base / 2,
        _ => 1,
    };
    number(q.clamp(1, most))
}

/// A pin, or its end.
pub fn pin(t: &mut Trace) {
    let account = t.main();
    if t.rng.percent(40) {
        t.push("pin", json!({"account": account, "tier": null}));
        return;
    }
    let mut event = json!({"account": account, "tier": tier(t)});
    if t.rng.percent(65) {
        event["until_ms"] = number(later(t));
    }
    t.push("pin", event);
}

/// A moment ahead that is likely to be reached.
fn later(t: &mut Trace) -> i128 {
    if t.rng.percent(40) {
        return t.moment();
    }
    t.now + i128::from(*t.rng.of(&[0_u64, 1, 500, 5_000, 60_000, 600_000, 3_600_000, 86_400_000]))
}

/// An override, or its removal.
pub fn set_override(t: &mut Trace) {
    let account = t.main();
    if t.rng.percent(15) {
        let seen = t.seen_limits.clone();
        let (group, limit) = t.rng.of(&seen);
        t.push("override", json!({"account": account, "group": group, "limit": limit, "quota": null}));
        return;
    }
    let limits = t.limits();
    let (group, limit) = t.rng.of(&limits).clone();
    let mut event = json!({"account": account, "group": group, "limit": limit});
    event["quota"] = quota(t, &group, &limit);
    let starts = if t.rng.percent(30) { later(t) } else { t.now };
    if starts != t.now || t.rng.percent(10) {
        event["starts_at_ms"] = number(starts);
    }
    if t.rng.percent(60) {
        event["expires_at_ms"] = number(later(t).max(starts + 1));
    }
    t.push("override", event);
}

/// A clamp, or its removal.
pub fn clamp(t: &mut Trace) {
    if t.rng.percent(20) {
        return super::calls::settle_under_block(t);
    }
    let mut event = json!({});
    match t.rng.within(1, 3) {
        1 => event["account"] = t.main().into(),
        2 => event["tier"] = tier(t).into(),
        _ => {}
    }
    let removes = t.rng.percent(40);
    let known: Vec<(String, String)> = match removes {
        true => t.model.clamps.iter().map(|c| (c.group.clone(), c.limit.clone())).collect(),
        false => t.limits(),
    };
    let Some((group, limit)) = t.rng.of_any(&known).cloned() else {
        return;
    };
    event["group"] = group.clone().into();
    event["limit"] = limit.clone().into();
    event["quota"] = if removes { Value::Null } else { quota(t, &group, &limit) };
    let answered = t.push("clamp", event.clone()).is_some();
    if answered && event["quota"] == "blocked" {
        // What was allowed before is settled under it, and it does not last.
        super::calls::settle(t);
        if t.rng.percent(60) {
            event["quota"] = Value::Null;
            t.push("clamp", event);
        }
    }
}

/// A payment event: in any order, with any time, some sent twice, some before their top-up.
pub fn payment(t: &mut Trace) {
    if t.rng.percent(8) {
        let known = t.payments.clone();
        if let Some(mut event) = t.rng.of_any(&known).cloned() {
            if event.get("occurred_at_ms").is_none() {
                // A field given only once has nothing to agree with.
                event["occurred_at_ms"] = number(occurred(t));
            } else if t.rng.percent(50) {
                event.as_object_mut().expect("an event is a map").remove("occurred_at_ms");
            }
            let op = event["op"].as_str().expect("an op is text").to_string();
            t.push(&op, event);
        }
        return;
    }
    let account = t.main();
    let tag = if account == MAINS[0] { "pa" } else { "pb" };
    let op = *t.rng.of(&["top_up", "top_up", "refund", "refund", "chargeback"]);
    // Few payment ids, so that refunds meet their top-ups.
    let topped: Vec<Value> =
        t.payments.iter().filter(|p| p["op"] == "top_up" && p["account"] == *account).cloned().collect();
    let payment = match t.rng.of_any(&topped).cloned() {
        Some(p) if op != "top_up" && t.rng.percent(80) => p["payment_id"].clone(),
        _ => Value::from(format!("{tag}{}", t.rng.within(1, 9))),
    };
    let amount = *t.rng.of(&[1_u64, 50, 99, 100, 100, 101, 150, 200, 300, 300]);
    let prefix = *t.rng.of(&["e", "E", "z-"]);
    let mut event = json!({
        "account": account, "event_id": t.fresh(prefix), "payment_id": payment, "amount": amount,
    });
    if op == "top_up" {
        event["currency"] = (*t.rng.of(&["CNY", "CNY", "CNY", "USD", "EUR"])).into();
    }
    if t.rng.percent(40) {
        event["occurred_at_ms"] = number(occurred(t));
    }
    if t.push(op, event.clone()).is_some() {
        event["op"] = op.into();
        t.payments.push(event);
    }
}

/// When a payment event occurred: at the moment of another one, before or after it, long ago or ahead.
fn occurred(t: &mut Trace) -> i128 {
    let known: Vec<i128> = t.model.payments.iter().map(|p| p.occurred_at).collect();
    let near = i128::from(t.rng.within(0, 2)) - 1;
    let made = t.model.accounts.first().map_or(t.now, |a| a.made_at);
    let at = match (t.rng.within(1, 5), t.rng.of_any(&known)) {
        (1 | 2, Some(at)) => at + near,
        (3, _) => later(t) + near,
        (4, _) => made + near,
        _ => t.now - i128::from(t.rng.within(0, 2 * DAY as u64)),
    };
    at.max(0)
}

/// One of the tiers that the active policy lacks, if there is one.
pub fn missing_tier(t: &Trace) -> Option<&'static str> {
    TIERS.into_iter().find(|id| t.model.policy.rank(id).is_none())
}
