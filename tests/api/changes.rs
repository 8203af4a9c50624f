//! What is common to all changes.

use crate::control::{Control, JSON};
use serde_json::json;

#[test]
fn a_repeated_create_gets_the_first_answer_again() {
    let server = Control::start();
    let create = |id: &str| {
        let body = json!({"id": id, "tier": "paid"}).to_string();
        server.0.send("POST", "/v1/accounts", &[JSON, ("idempotency-key", "k-1")], &body)
    };

    let first = create("acme").is(201);
    let again = create("acme").is(201);

    assert_eq!((again.header("idempotent-replayed"), &again.json), ("true", &first.json));
    assert_eq!(again.etag(), first.etag());
    create("beta").refused(422, "idempotency_mismatch");
    server.get("/v1/accounts/beta").refused(404, "not_found");
    server.post("/v1/accounts", json!({"id": "acme"})).refused(409, "account_exists");
}

#[test]
fn validate_only_makes_all_checks_and_writes_nothing() {
    let server = Control::start();
    server.create("acme");

    let valid = server.post("/v1/accounts?validate_only=true", json!({"id": "beta"})).is(200);
    assert_eq!((valid.etag(), &valid.json["id"]), ("", &json!("beta")));
    server.post("/v1/accounts?validate_only=true", json!({"id": "acme"})).refused(409, "account_exists");
    let clamp = json!({"group": "text.m2", "limit": "rpm", "quota": 1, "reason": "why"});
    server.post("/v1/clamps?validate_only=true", clamp).is(200);
    let tag = server.tag("/v1/policies/active");
    let quota = "/v1/tiers/free/quotas/text.m2/rpm?validate_only=true";
    server.on(&tag, "PUT", quota, json!({"quota": 1})).is(200);

    server.get("/v1/accounts/beta").refused(404, "not_found");
    assert_eq!(server.tag("/v1/policies/active"), tag);
    assert_eq!(server.allowed("acme", "MiniMax-M2", 5), 5);
    let head = server.get("/v1/audit?page_size=1").is(200).json;
    assert_eq!(head["items"][0]["action"], "account.create");
}

#[test]
fn a_change_of_what_exists_needs_the_tag_that_was_read() {
    let server = Control::start();
    server.create("acme");
    let seen = server.tag("/v1/accounts/acme");
    let patch = |etag: &str, name: &str| server.on(etag, "PATCH", "/v1/accounts/acme", json!({ "name": name }));

    let first = patch(&seen, "one").is(200);
    let second = patch(&seen, "two").refused(412, "stale");

    assert_eq!(second.json["current_etag"], first.etag());
    assert_eq!(server.get("/v1/accounts/acme").json["name"], "one");
}
