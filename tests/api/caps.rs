use crate::control::Control;
use serde_json::json;

#[test]
fn a_cap_bounds_its_sub_account_alone() {
    let server = Control::start();
    server.create("acme");
    server.pin("acme", "paid");
    let created = server.post("/v1/accounts/acme/sub-accounts", json!({"id": "acme-eu"})).is(201);

    let caps = json!({"caps": {"text.m2/rpm": 4, "text.m2/tpm": "unlimited"}});
    let set = server.on(created.etag(), "PUT", "/v1/accounts/acme-eu/caps", caps.clone()).is(200);

    assert_eq!(set.json, caps);
    assert_eq!(server.get("/v1/accounts/acme-eu/caps").is(200).json, caps);
    assert_eq!(server.allowed("acme-eu", "MiniMax-M2", 10), 4);
    assert_eq!(server.allowed("acme", "MiniMax-M2", 10), 10);

    server.on(created.etag(), "PUT", "/v1/accounts/acme-eu/caps", json!({"caps": {}})).refused(412, "stale");
    server.on(set.etag(), "PUT", "/v1/accounts/acme-eu/caps", json!({"caps": {}})).is(200);
    assert_eq!(server.allowed("acme-eu", "MiniMax-M2", 10), 10);
}

#[test]
fn a_cap_is_for_a_limit_that_exists() {
    let server = Control::start();
    server.create("acme");
    let created = server.post("/v1/accounts/acme/sub-accounts", json!({"id": "acme-eu"})).is(201);
    let put = |caps| server.on(created.etag(), "PUT", "/v1/accounts/acme-eu/caps", json!({ "caps": caps }));

    let unknown = put(json!({"text.m2/rpd": 5})).refused(422, "invalid_request");
    assert_eq!(unknown.json["errors"][0]["pointer"], "/caps/text.m2~1rpd");
    put(json!({"rpm": 5})).refused(422, "invalid_request");
    let tag = server.tag("/v1/accounts/acme");
    let on_main = server.on(&tag, "PUT", "/v1/accounts/acme/caps", json!({"caps": {}}));
    on_main.refused(409, "not_a_sub_account");
}
