use crate::control::Control;
use serde_json::{Value, json};
use std::time::Duration;

/// All that must be the same; what depends on how late it is is left out.
fn state(server: &Control) -> Vec<Value> {
    let paths = [
        "/v1/accounts",
        "/v1/accounts/acme/limits",
        "/v1/accounts/acme-eu/limits",
        "/v1/accounts/acme-eu/caps",
        "/v1/overrides",
        "/v1/clamps",
        "/v1/policies/revisions",
        "/v1/policies/activations",
        "/v1/tiers",
        "/v1/audit",
    ];
    let mut state: Vec<Value> = paths.iter().map(|path| server.get(path).is(200).json).collect();
    let own = |entry: &Value| entry["action"] != "api_key.used";
    if let Some(audit) = state.last_mut().and_then(|page| page["items"].as_array_mut()) {
        // When keys were used is written at a stop.
        audit.retain(own);
    }
    let mut usage = server.get("/v1/accounts/acme-eu/usage").is(200).json;
    for row in usage["usage"].as_array_mut().unwrap() {
        row.as_object_mut().unwrap().remove("reset_after_ms");
    }
    state.push(usage);
    state
}

fn furnished() -> Control {
    let server = Control::start();
    server.create("acme");
    server.create("beta");
    server.pin("acme", "paid");
    let sub = server.post("/v1/accounts/acme/sub-accounts", json!({"id": "acme-eu"})).is(201);
    let caps = json!({"caps": {"text.m2/rpm": 9}});
    server.on(sub.etag(), "PUT", "/v1/accounts/acme-eu/caps", caps).is(200);
    let body = json!({"account": "acme", "group": "text.m2", "limit": "rpm", "quota": 700,
        "permanent": true, "reason": "contract"});
    server.post("/v1/overrides", body).is(201);
    let body = json!({"group": "text.m2", "limit": "tpm", "quota": 5000, "reason": "shortage"});
    server.post("/v1/clamps", body).is(201);
    let tag = server.tag("/v1/tiers");
    server.on(&tag, "PUT", "/v1/tiers/free/quotas/text.m2/rpm", json!({"quota": 3})).is(200);
    server.post("/v1/accounts/beta/suspend", json!({"reason": "fraud"})).is(200);
    assert_eq!(server.allowed("acme-eu", "MiniMax-M2", 6), 6);
    server
}

#[test]
fn a_stopped_server_answers_the_same_when_it_is_started_again() {
    let server = furnished();
    let before = state(&server);

    let server = server.after_stop();

    assert_eq!(state(&server), before);
    assert_eq!(server.allowed("acme-eu", "MiniMax-M2", 6), 3);
    assert_eq!(server.decide("beta", "MiniMax-M2", 1)["reason"], "account_suspended");
}

#[test]
fn a_killed_server_has_all_that_it_acknowledged() {
    let server = furnished();
    let reset = json!({"group": "text.m2", "limit": "rpm", "reason": "an outage of ours"});
    // Usage is written behind every 5 ms here, and this is a wait for that; the reset is not waited for.
    std::thread::sleep(Duration::from_millis(100));
    server.post("/v1/accounts/acme/usage/reset", reset).is(200);
    let before = state(&server);

    let server = server.after_kill();

    assert_eq!(state(&server), before);
    assert_eq!(server.allowed("acme-eu", "MiniMax-M2", 12), 9);
}
