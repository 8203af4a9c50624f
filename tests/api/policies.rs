use crate::control::Control;
use serde_json::{Value, json};

const ACTIVE: &str = "/v1/policies/active";

/// The active document with another quota for free accounts.
fn document(server: &Control, free_rpm: u64) -> Value {
    let mut document = server.get(ACTIVE).is(200).json["document"].clone();
    document["groups"][0]["limits"][0]["quotas"]["free"] = json!(free_rpm);
    document
}

fn publish(server: &Control, etag: &str, document: Value) -> crate::support::Reply {
    server.on(etag, "POST", "/v1/policies/revisions", json!({"document": document, "reason": "test"}))
}

#[test]
fn a_publish_changes_the_next_decision_and_keeps_the_usage() {
    let server = Control::start();
    server.create("acme");
    assert_eq!(server.allowed("acme", "MiniMax-M2", 25), 20);
    let tag = server.tag(ACTIVE);

    let done = publish(&server, &tag, document(&server, 30)).is(201);

    assert_eq!((&done.json["revision"]["revision"], &done.json["activation"]["previous"]), (&json!(2), &json!(1)));
    assert_eq!(server.allowed("acme", "MiniMax-M2", 25), 10);
    assert_eq!(server.decide("acme", "MiniMax-M2", 1)["revision"], 2);
    publish(&server, done.etag(), document(&server, 30)).refused(409, "unchanged");
    let first = server.get("/v1/policies/revisions/1").is(200).json;
    assert_eq!(
        (&first["active"], &first["document"]["groups"][0]["limits"][0]["quotas"]["free"]),
        (&json!(false), &json!(20))
    );
}

#[test]
fn yaml_is_published_too_and_its_errors_have_lines() {
    let server = Control::start();
    server.create("acme");
    let yaml = "schema: quotagate.policy/v1\nname: small\ntiers: [{id: free}, {id: paid}]\ndefault_tier: free\n\
                groups:\n  - id: text.m2\n    resources: [MiniMax-M2]\n    limits:\n      \
                - {id: rpm, unit: requests, window: 1m, quotas: {free: 2, paid: 500}}\n";
    let tag = server.tag(ACTIVE);

    let refused = publish(&server, &tag, json!(yaml.replace("free: 2", "free: many"))).refused(422, "invalid_request");
    assert_eq!(refused.json["errors"][0]["pointer"], "/document/groups/0/limits/0/quotas/free");
    assert!(refused.json["errors"][0]["detail"].as_str().unwrap().starts_with("line 9"), "{}", refused.json);
    publish(&server, &tag, json!(yaml)).is(201);

    assert_eq!(server.allowed("acme", "MiniMax-M2", 5), 2);
}

#[test]
fn of_two_editors_the_second_is_told_that_its_revision_is_stale() {
    let server = Control::start();
    let seen = server.tag(ACTIVE);

    publish(&server, &seen, document(&server, 30)).is(201);
    let second = publish(&server, &seen, document(&server, 40)).refused(412, "stale");

    assert_eq!(second.json["current_etag"], server.get(ACTIVE).revision());
    server.post("/v1/policies/revisions", json!({"document": {}})).refused(422, "invalid_request");
    let unseen = server.post("/v1/policies/revisions", json!({"document": document(&server, 50)}));
    unseen.refused(428, "precondition_required");
}

#[test]
fn one_quota_of_a_tier_is_set_in_one_step() {
    let server = Control::start();
    server.create("acme");
    assert_eq!(server.allowed("acme", "MiniMax-M2", 21), 20);
    let tiers = server.get("/v1/tiers").is(200);
    let path = "/v1/tiers/free/quotas/text.m2/rpm";

    let done = server.on(tiers.etag(), "PUT", path, json!({"quota": 25, "reason": "more GPUs"})).is(200);

    assert_eq!(server.allowed("acme", "MiniMax-M2", 10), 5);
    let tiers = server.get("/v1/tiers").is(200);
    assert_eq!((tiers.revision(), &tiers.json["revision"]), (done.etag().to_owned(), &json!(2)));
    assert_eq!(tiers.json["tiers"][0]["quotas"][0]["quota"], 25);
    server.on("\"1\"", "PUT", path, json!({"quota": 30})).refused(412, "stale");
    let unknown = server.on(tiers.etag(), "PUT", "/v1/tiers/gold/quotas/text.m2/rpm", json!({"quota": 30}));
    unknown.refused(404, "not_found");
}

#[test]
fn an_earlier_revision_is_activated_again() {
    let server = Control::start();
    server.create("acme");
    publish(&server, &server.tag(ACTIVE), document(&server, 200)).is(201);
    assert_eq!(server.allowed("acme", "MiniMax-M2", 30), 30);

    let done = server.post("/v1/policies/revisions/1/activate", json!({"reason": "too much"})).is(200);

    assert_eq!(done.json["activation"]["activation"], 3);
    assert_eq!(server.decide("acme", "MiniMax-M2", 1)["decision"], "deny");
    let history = server.get("/v1/policies/activations").is(200).json;
    let revisions: Vec<_> = history["items"].as_array().unwrap().iter().map(|item| item["revision"].clone()).collect();
    assert_eq!(revisions, [json!(1), json!(2), json!(1)]);
    server.post("/v1/policies/revisions/1/activate", json!({})).refused(409, "already_active");
    server.post("/v1/policies/revisions/9/activate", json!({})).refused(404, "not_found");
    server.get("/v1/policies/revisions/x").refused(404, "not_found");
}

#[test]
fn a_key_for_one_account_is_shown_neither_pools_nor_raise_rules_nor_who_published_them() {
    let server = Control::start();
    server.create("acme");
    let mut document = document(&server, 20);
    document["pools"] = json!([{"group": "text.m2", "limit": "rpm", "capacity": 9000}]);
    let rule =
        json!({"id": "small", "when": {"at_most_percent": 150, "pool_has_room": true}, "approve": {"for": "90d"}});
    document["raise_rules"] = json!([rule]);
    publish(&server, &server.tag(ACTIVE), document.clone()).is(201);
    let secret = |key: Value| server.post("/v1/api-keys", key).is(201).json["secret"].as_str().unwrap().to_owned();
    let bound = secret(json!({"name": "customer", "scopes": ["read"], "account": "acme"}));
    let free = secret(json!({"name": "console", "scopes": ["read"]}));

    let shown = |secret: &str| {
        let headers = [("authorization", &*format!("Bearer {secret}"))];
        server.0.send("GET", ACTIVE, &headers, "").is(200).json
    };

    let whole = shown(&free);
    assert_eq!(whole["document"], document);
    assert!(whole["published"]["by"].is_string(), "{whole}");
    let theirs = shown(&bound);
    assert_eq!(theirs["published"], json!({"at": whole["published"]["at"]}));
    let theirs = &theirs["document"];
    assert_eq!(theirs["groups"], document["groups"]);
    assert_eq!((theirs.get("pools"), theirs.get("raise_rules")), (None, None));
}
