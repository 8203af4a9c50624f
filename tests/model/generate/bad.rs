//! Bad lines of every kind that a parsed object can show.

use super::control::missing_tier;
use super::events::{Trace, number};
use serde_json::{Value, json};

/// A bad line to end a trace with.
pub fn line(t: &mut Trace) -> Value {
    let (group, limit) = t.limits()[0].clone();
    let resource = t.model.policy.groups[0].resources[0].clone();
    let a = "acct-a";
    let decide = json!({"op": "decide", "account": a, "resource": resource});
    let with = |base: &Value, name: &str, v: Value| {
        let mut base = base.clone();
        base[name] = v;
        base
    };
    let quota = |v: Value| json!({"op": "override", "account": a, "group": group, "limit": limit, "quota": v});
    let pay = |op: &str| json!({"op": op, "account": a, "event_id": "bad-1", "payment_id": "bad-p", "amount": 5});
    let clamp = json!({"op": "clamp", "group": group, "limit": limit, "quota": 3});
    let mut lines = vec![
        json!({"account": a, "resource": resource}),
        json!({"op": "frobnicate"}),
        json!({"op": "decide", "account": a}),
        json!({"op": "settle"}),
        json!({"op": "cancel", "reservation": 7}),
        json!({"op": "renew", "reservation": "x"}),
        json!({"op": "cancel", "reservation": "x", "ttl_ms": 5}),
        with(&decide, "colour", "red".into()),
        with(&decide, "tokens", "5".into()),
        with(&decide, "tokens", json!(-1)),
        with(&decide, "tokens", json!(1_000_000_000_000_001_u64)),
        with(&decide, "dry_run", "yes".into()),
        with(&decide, "units", json!({"requests": 1})),
        with(&decide, "units", json!({"tokens": 1})),
        with(&decide, "units", json!({"no-such-unit": 1})),
        with(&decide, "units", json!([1])),
        with(&decide, "reserve", json!({"ttl_ms": 86_400_001})),
        with(&decide, "reserve", json!({"id": "has space"})),
        with(&decide, "reserve", json!({"id": ""})),
        with(&decide, "reserve", json!({"id": "x", "more": 1})),
        with(&decide, "reserve", json!(true)),
        with(&decide, "account", json!(5)),
        json!({"op": "settle", "reservation": "x", "units": {"no-such-unit": 1}}),
        json!({"op": "settle", "reservation": "x", "units": {"tokens": 1}}),
        json!({"op": "status", "account": a, "resource": resource, "tokens": 1}),
        json!({"op": "pin", "account": "nobody", "tier": null}),
        json!({"op": "pin", "account": "a-sub1", "tier": null}),
        json!({"op": "pin", "account": a}),
        json!({"op": "pin", "account": a, "tier": "no-such-tier"}),
        json!({"op": "account", "account": a, "caps": {format!("{group}/{limit}"): 1}}),
        json!({"op": "account", "account": "a-sub1", "caps": {"no/limit": 1}}),
        json!({"op": "account", "account": "a-sub1", "caps": {format!("{group}/no-limit"): 1}}),
        json!({"op": "account", "account": "new", "parent": "nobody"}),
        json!({"op": "account", "account": "new", "parent": "a-sub1"}),
        json!({"op": "account", "account": "new", "tier": "no-such-tier"}),
        json!({"op": "account", "account": "new", "suspended": 1}),
        json!({"op": "account", "account": "has space"}),
        quota(json!(1.5)),
        quota(json!("many")),
        quota(json!(0)),
        quota(json!(1_000_000_000_000_001_u64)),
        with(&quota(json!(1)), "account", "a-sub1".into()),
        with(&quota(json!(1)), "account", "nobody".into()),
        with(&quota(json!(1)), "limit", "no-limit".into()),
        with(&quota(json!(null)), "account", "nobody".into()),
        with(&clamp, "quota", "unlimited".into()),
        with(&clamp, "account", "a-sub1".into()),
        with(&clamp, "tier", "no-such-tier".into()),
        with(&clamp, "group", "no-group".into()),
        with(&pay("refund"), "currency", "CNY".into()),
        with(&pay("refund"), "account", "a-sub1".into()),
        with(&pay("refund"), "account", "nobody".into()),
        pay("top_up"),
        json!({"op": "policy"}),
    ];
    if let Some(tier) = missing_tier(t) {
        lines.push(json!({"op": "pin", "account": a, "tier": tier}));
        lines.push(json!({"op": "account", "account": a, "tier": tier}));
    }
    let known = t.payments.clone();
    if let Some(p) = t.rng.of_any(&known) {
        lines.push(with(p, "amount", json!(77_777)));
        lines.push(with(p, "payment_id", "another".into()));
        let turned = if p["op"] == "refund" { "chargeback" } else { "refund" };
        let mut turned = with(p, "op", turned.into());
        turned.as_object_mut().expect("an event is a map").remove("currency");
        lines.push(turned);
        if p["op"] == "top_up" {
            lines.push(with(p, "event_id", "another".into()));
        }
    }
    let mut line = t.rng.of(&lines).clone();
    line["at_ms"] = number(t.now);
    assert!(t.model.clone().event(1, &line).is_err(), "not a bad line: {line}");
    match t.rng.within(1, 12) {
        1 => line["at_ms"] = number((t.now - 1).max(0)),
        2 => drop(line.as_object_mut().map(|l| l.remove("at_ms"))),
        _ => {}
    }
    line
}
