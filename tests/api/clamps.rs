use crate::control::Control;
use serde_json::{Value, json};

#[test]
fn a_clamp_lowers_at_once_and_expires_after_an_hour() {
    let server = Control::start();
    server.create("acme");
    let body = json!({"group": "text.m2", "limit": "rpm", "tier": "free", "quota": 5, "reason": "GPU shortage"});

    server.post("/v1/clamps", body).is(201);

    assert_eq!(server.allowed("acme", "MiniMax-M2", 10), 5);
    server.pin("acme", "paid");
    assert_eq!(server.allowed("acme", "MiniMax-M2", 10), 10);
    let tag = server.tag("/v1/accounts/acme");
    server.delete(&tag, "/v1/accounts/acme/tier").is(200);
    server.advance_minutes(60);
    assert_eq!(server.allowed("acme", "MiniMax-M2", 25), 20);
    assert_eq!(server.get("/v1/clamps?active=false").is(200).json["items"].as_array().unwrap().len(), 1);
}

#[test]
fn a_removed_clamp_lowers_nothing_any_more() {
    let server = Control::start();
    server.create("acme");
    let body = json!({"group": "text.m2", "limit": "rpm", "quota": "blocked", "permanent": true, "reason": "abuse"});
    let made = server.post("/v1/clamps", body).is(201);
    let path = made.header("location").to_owned();
    assert_eq!(made.json["expires_at"], Value::Null);
    assert_eq!(server.decide("acme", "MiniMax-M2", 1)["reason"], "blocked");

    server.0.send("DELETE", &path, &[], "").refused(428, "precondition_required");
    server.delete(made.etag(), &path).is(200);

    assert_eq!(server.decide("acme", "MiniMax-M2", 1)["decision"], "allow");
    server.get(&path).refused(404, "not_found");
}

#[test]
fn a_clamp_only_lowers_and_is_for_one_scope() {
    let server = Control::start();
    server.create("acme");
    let clamp = |more: Value| {
        let mut body = json!({"group": "text.m2", "limit": "rpm", "quota": 5, "reason": "why"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let refused = server.post("/v1/clamps", body).refused(422, "invalid_request");
        refused.json["errors"][0]["pointer"].clone()
    };

    assert_eq!(clamp(json!({"quota": "unlimited"})), "/quota");
    assert_eq!(clamp(json!({"tier": "free", "account": "acme"})), "/account");
    assert_eq!(clamp(json!({"limit": "rpd"})), "/limit");
}
