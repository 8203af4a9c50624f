use crate::control::Control;
use serde_json::{Value, json};

fn used(server: &Control, limit: &str) -> Value {
    let usage = server.get("/v1/accounts/acme/usage").is(200).json;
    let rows = usage["usage"].as_array().unwrap();
    rows.iter().find(|row| row["id"] == limit).map_or(json!(0), |row| row["used"].clone())
}

#[test]
fn reset_usage_is_counted_from_nothing_again() {
    let server = Control::start();
    server.create("acme");
    for _ in 0..20 {
        assert_eq!(server.decide("acme", "MiniMax-M2", 10)["decision"], "allow");
    }
    assert_eq!(server.decide("acme", "MiniMax-M2", 10)["decision"], "deny");
    assert_eq!((used(&server, "rpm"), used(&server, "tpm")), (json!(20), json!(200)));

    let body = json!({"group": "text.m2", "limit": "rpm", "reason": "an outage of ours"});
    let done = server.post("/v1/accounts/acme/usage/reset", body).is(200);

    assert_eq!((&done.json["account"], &done.json["limit"]), (&json!("acme"), &json!("rpm")));
    assert_eq!((used(&server, "rpm"), used(&server, "tpm")), (json!(0), json!(200)));
    assert_eq!(server.decide("acme", "MiniMax-M2", 10)["decision"], "allow");
    let audit = server.get("/v1/audit?action=account.reset_usage").is(200).json;
    assert_eq!(audit["items"][0]["detail"]["reason"], "an outage of ours");
}

#[test]
fn limits_say_where_each_quota_comes_from() {
    let server = Control::start();
    server.create("acme");
    let clamp = json!({"group": "text.m2", "limit": "rpm", "quota": 7, "reason": "shortage"});
    server.post("/v1/clamps", clamp).is(201);

    let limits = server.get("/v1/accounts/acme/limits").is(200).json;

    let rpm = &limits["limits"][0];
    assert_eq!((&rpm["group"], &rpm["id"], &rpm["quota"]), (&json!("text.m2"), &json!("rpm"), &json!(7)));
    let sources: Vec<_> = rpm["sources"].as_array().unwrap().iter().map(|s| (&s["kind"], &s["outcome"])).collect();
    assert_eq!(sources, [(&json!("tier"), &json!("set")), (&json!("clamp"), &json!("lowered"))]);
}
