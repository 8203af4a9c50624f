//! Ends of reservations: units that the policy has lost since, and ends that are only checked.

use crate::control::Control;
use crate::support::{Reply, Server};
use serde_json::{Value, json};

const POLICY: &str = "
schema: quotagate.policy/v1
name: pictures
units: [{id: images}, {id: seconds}]
tiers: [{id: free}]
default_tier: free
groups:
  - id: g
    resources: [m]
    limits:
      - {id: rpm, unit: requests, window: 1m, quotas: {free: 10}}
      - {id: ipm, unit: images, window: 1m, quotas: {free: 10}}
      - {id: spm, unit: seconds, window: 1m, quotas: {free: 10}}
";

fn publish(server: &Control, yaml: &str) {
    let tag = server.tag("/v1/policies/active");
    server.on(&tag, "POST", "/v1/policies/revisions", json!({"document": yaml})).is(201);
}

fn handle(decision: &Value) -> String {
    format!("/v1/reservations/{}", decision["reservation"]["handle"].as_str().unwrap())
}

#[test]
fn what_was_charged_in_a_unit_is_settled_after_the_policy_has_lost_it() {
    let server = Control::start();
    server.create("acme");
    publish(&server, POLICY);
    let body = json!({"account": "acme", "resource": "m", "units": {"images": 3}, "reserve": {}});
    let job = handle(&server.0.decide(&body));
    let lost = POLICY.lines().filter(|line| !line.contains("unit: images")).collect::<Vec<_>>().join("\n");
    publish(&server, &lost.replace("{id: images}, ", ""));
    let settle = |units: Value| server.post(&format!("{job}/settle"), json!({"requests": 2, "units": units}));

    let unheard = settle(json!({"images": 1, "audio": 1}));
    assert_eq!(unheard.problem(422, "invalid_request"), "/units/audio");
    let settled = settle(json!({"images": 1, "seconds": 4})).is(200);
    let again = settle(json!({"images": 1, "seconds": 4})).is(200);

    let used = |reply: &Reply| -> Vec<Value> {
        reply.json["limits"].as_array().unwrap().iter().map(|limit| limit["used"].clone()).collect()
    };
    assert_eq!(used(&settled), [2, 4], "images are skipped, the others corrected");
    assert_eq!((&again.json["replayed"], used(&again)), (&json!(true), used(&settled)));
    let gone =
        server.post("/v1/reservations/rs_AAAAAAAAAAAAAAABAAABnXqO4AphY21lLWV1/settle", json!({"units": {"x": 1}}));
    gone.refused(404, "unknown_reservation");
}

fn reserve(server: &Server) -> String {
    handle(&server.decide(&json!({"account": "a", "resource": "music-2.0", "requests": 2, "reserve": {}})))
}

#[test]
fn an_end_that_is_only_checked_says_what_it_would_say_and_changes_nothing() {
    let server = Server::start();
    let ends = [
        ("renew", json!({"ttl_ms": 3_600_000})),
        ("settle", json!({"requests": 3})),
        ("settle", json!({"requests": 1})),
        ("cancel", json!({})),
    ];

    for (end, body) in ends {
        let job = reserve(&server);
        let standing = || (server.get(&job).text, server.decide(&look())["limits"].clone());
        let before = standing();

        let checked = server.post(&format!("{job}/{end}?validate_only=true"), &body);

        assert_eq!(checked.status, 200, "{}", checked.text);
        let after = standing();
        assert_eq!((&before.0, used(&before.1)), (&after.0, used(&after.1)), "{end}");
        let done = server.post(&format!("{job}/{end}?validate_only=false"), &body);
        assert_eq!(used(&done.json["limits"]), used(&checked.json["limits"]), "{end}");
        server.post(&format!("{job}/cancel"), &json!({}));
    }
}

fn look() -> Value {
    json!({"account": "a", "resource": "music-2.0", "dry_run": true})
}

fn used(limits: &Value) -> Vec<u64> {
    limits.as_array().unwrap().iter().map(|limit| limit["used"].as_u64().unwrap()).collect()
}

#[test]
fn an_end_that_is_only_checked_is_refused_as_it_would_be() {
    let server = Server::start();
    let job = reserve(&server);
    assert_eq!(server.post(&format!("{job}/settle"), &json!({"requests": 1})).status, 200);
    let check = |end: &str, body: Value| server.post(&format!("{job}/{end}?validate_only=true"), &body);

    check("cancel", json!({})).problem(409, "reservation_ended");
    check("renew", json!({"ttl_ms": 1})).problem(409, "reservation_ended");
    check("settle", json!({"requests": 2})).problem(409, "reservation_ended");
    assert_eq!(check("settle", json!({"requests": 1})).json["replayed"], true);
    assert_eq!(check("settle", json!({"requests": -1})).problem(422, "invalid_request"), "/requests");
    assert_eq!(server.post(&format!("{job}/settle?validate_only=yes"), &json!({})).status, 422);
}

#[test]
fn a_decision_is_told_of_its_own_dry_run() {
    let server = Server::start();
    let one = json!({"account": "a", "resource": "MiniMax-M2"});

    for (path, body) in [("/v1/decisions", one.clone()), ("/v1/decisions/batch", json!({"decisions": [one]}))] {
        let refused = server.post(&format!("{path}?validate_only=true"), &body);
        assert_eq!(refused.problem(422, "invalid_request"), "/validate_only");
        assert!(refused.json["detail"].as_str().unwrap().contains("dry_run"), "{}", refused.text);
    }
    assert_eq!(server.decide(&look())["limits"][0]["used"], 0);
}
