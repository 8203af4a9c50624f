use crate::control::{Control, JSON};
use serde_json::{Value, json};

#[test]
fn a_pin_lifts_a_denied_account_until_it_ends() {
    let server = Control::start();
    server.create("acme");
    assert_eq!(server.allowed("acme", "MiniMax-M2", 25), 20);
    let denied = server.decide("acme", "MiniMax-M2", 1);
    assert_eq!(denied["decision"], "deny");

    let tag = server.tag("/v1/accounts/acme");
    let body = json!({"tier": "paid", "until": "2999-01-01T00:00:00Z", "reason": "contract 2026-17"});
    server.0.send("PUT", "/v1/accounts/acme/tier", &[JSON], &body.to_string()).refused(428, "precondition_required");
    let pinned = server.on(&tag, "PUT", "/v1/accounts/acme/tier", body).is(200);

    assert_eq!(server.decide("acme", "MiniMax-M2", 1)["decision"], "allow");
    let view = server.get("/v1/accounts/acme/tier").is(200);
    assert_eq!(view.revision(), pinned.etag());
    assert_eq!(view.json["pin"]["until"], "2999-01-01T00:00:00.000Z");
    assert_eq!((&view.json["effective"], &view.json["reached"]), (&json!("paid"), &json!("free")));

    server.delete(pinned.etag(), "/v1/accounts/acme/tier").is(200);
    assert_eq!(server.decide("acme", "MiniMax-M2", 1)["decision"], "deny");
    assert_eq!(server.get("/v1/accounts/acme/tier").json["pin"], Value::Null);
}
