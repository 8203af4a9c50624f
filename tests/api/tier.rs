use crate::harness::Server;
use serde_json::{Value, json};

#[test]
fn a_pin_lifts_a_denied_account_until_it_ends() {
    let server = Server::start();
    server.create("acme");
    assert_eq!(server.allowed("acme", "MiniMax-M2", 25), 20);
    let denied = server.decide("acme", "MiniMax-M2", 1);
    assert_eq!(denied["decision"], "deny");

    let tag = server.tag("/v1/accounts/acme");
    let body = json!({"tier": "paid", "until": "2999-01-01T00:00:00Z", "reason": "contract 2026-17"});
    server.call("PUT", "/v1/accounts/acme/tier", &[], Some(body.clone())).is_problem(428, "precondition_required");
    let pinned = server.on(&tag, "PUT", "/v1/accounts/acme/tier", body).is(200);

    assert_eq!(server.decide("acme", "MiniMax-M2", 1)["decision"], "allow");
    let view = server.get("/v1/accounts/acme/tier").is(200);
    assert_eq!(view.etag(), pinned.etag());
    assert_eq!(view.body["pin"]["until"], "2999-01-01T00:00:00.000Z");
    assert_eq!((&view.body["effective"], &view.body["reached"]), (&json!("paid"), &json!("free")));

    server.call("DELETE", "/v1/accounts/acme/tier", &[("if-match", pinned.etag())], None).is(200);
    assert_eq!(server.decide("acme", "MiniMax-M2", 1)["decision"], "deny");
    assert_eq!(server.get("/v1/accounts/acme/tier").body["pin"], Value::Null);
}
