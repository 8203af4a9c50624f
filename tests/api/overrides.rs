use crate::harness::Server;
use serde_json::{Value, json};

fn new(minutes: i64, quota: u64) -> Value {
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(minutes);
    json!({
        "account": "acme", "group": "text.m2", "limit": "rpm", "quota": quota,
        "expires_at": end.to_string(), "reason": "launch week",
    })
}

#[test]
fn an_override_raises_a_quota_until_its_end() {
    let server = Server::start();
    server.create("acme");

    let made = server.post("/v1/overrides", new(10, 40)).is(201);
    assert_eq!(made.header("location"), format!("/v1/overrides/{}", made.body["id"].as_str().unwrap()));
    assert_eq!((&made.body["state"], &made.body["window_ms"]), (&json!("active"), &json!(60_000)));
    assert_eq!(server.allowed("acme", "MiniMax-M2", 45), 40);

    let overlapping = server.post("/v1/overrides", new(5, 50)).is_problem(409, "override_overlaps");
    assert!(overlapping.body["detail"].as_str().unwrap().contains(made.body["id"].as_str().unwrap()));

    server.advance_ms(11 * 60_000);
    assert_eq!(server.allowed("acme", "MiniMax-M2", 45), 20);
    let ended = server.get("/v1/overrides?account=acme&state=ended").is(200).body;
    assert_eq!(ended["items"][0]["id"], made.body["id"]);
}

#[test]
fn a_revoked_override_ends_at_once() {
    let server = Server::start();
    server.create("acme");
    let made = server.post("/v1/overrides", new(10, 40)).is(201);
    let path = made.header("location").to_owned();
    assert_eq!(server.allowed("acme", "MiniMax-M2", 30), 30);

    let revoked = server.post(&format!("{path}/revoke"), json!({"reason": "mistake"})).is(200);

    assert_eq!(revoked.body["revoked"]["reason"], "mistake");
    assert_eq!(server.allowed("acme", "MiniMax-M2", 5), 0);
    assert_eq!(server.get(&path).is(200).body["state"], "revoked");
    server.post(&format!("{path}/revoke"), json!({"reason": "again"})).is_problem(409, "override_ended");
}

#[test]
fn an_override_without_an_end_must_say_so() {
    let server = Server::start();
    server.create("acme");
    let mut body = new(10, 40);
    body["expires_at"] = Value::Null;

    let refused = server.post("/v1/overrides", body.clone()).is_problem(422, "invalid_request");
    assert_eq!(refused.body["errors"][0]["pointer"], "/expires_at");
    body["permanent"] = json!(true);
    server.post("/v1/overrides", body).is(201);

    let limits = server.get("/v1/accounts/acme/limits").is(200).body;
    let source = &limits["limits"][0]["sources"][0];
    assert_eq!(
        (&source["kind"], &source["outcome"], &source["quota"]),
        (&json!("override"), &json!("set"), &json!(40))
    );
}
