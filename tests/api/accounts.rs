use crate::control::Control;
use serde_json::{Value, json};

#[test]
fn an_account_is_created_read_changed_and_listed() {
    let server = Control::start();
    assert_eq!(server.decide("acme", "MiniMax-M2", 1)["reason"], "unknown_account");

    let created = server.post("/v1/accounts", json!({"id": "acme", "name": "Acme Ltd", "labels": {"region": "eu"}}));
    let created = created.is(201);
    assert_eq!(created.header("location"), "/v1/accounts/acme");
    assert_eq!(created.etag(), server.get("/v1/accounts/acme").revision());
    assert_eq!(server.allowed("acme", "MiniMax-M2", 25), 20);

    let changed =
        server.on(created.etag(), "PATCH", "/v1/accounts/acme", json!({"tier": "paid", "name": null})).is(200);
    assert_eq!(changed.json["tier"]["effective"], "paid");
    assert_eq!(changed.json["name"], Value::Null);
    assert_eq!(changed.json["labels"]["region"], "eu");
    assert_eq!(server.allowed("acme", "MiniMax-M2", 5), 5);

    server.create("beta");
    let listed = server.get("/v1/accounts?tier=paid").is(200).json;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(listed["items"][0]["etag"], changed.etag());
}

#[test]
fn a_list_is_paged() {
    let server = Control::start();
    for id in ["a1", "a2", "a3", "b1"] {
        server.create(id);
    }

    let first = server.get("/v1/accounts?id_prefix=a&page_size=2").is(200).json;
    let token = first["next_page_token"].as_str().unwrap();
    let last = server.get(&format!("/v1/accounts?id_prefix=a&page_size=2&page_token={token}")).is(200).json;

    let ids =
        |page: &Value| page["items"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect::<Vec<_>>();
    assert_eq!((ids(&first), ids(&last)), (vec![json!("a1"), json!("a2")], vec![json!("a3")]));
    assert_eq!(last["next_page_token"], Value::Null);
    let other = server.get(&format!("/v1/accounts?id_prefix=b&page_token={token}"));
    other.refused(422, "invalid_request");
}

#[test]
fn a_suspended_account_is_denied_until_it_is_resumed() {
    let server = Control::start();
    server.create("acme");

    server.post("/v1/accounts/acme/suspend", json!({"reason": "fraud"})).is(200);
    assert_eq!(server.decide("acme", "MiniMax-M2", 1)["reason"], "account_suspended");
    let account = server.get("/v1/accounts/acme").is(200).json;
    assert_eq!((&account["suspended"], &account["suspension"]["reason"]), (&json!(true), &json!("fraud")));

    server.post("/v1/accounts/acme/resume", json!({"reason": "cleared"})).is(200);
    assert_eq!(server.decide("acme", "MiniMax-M2", 1)["decision"], "allow");
}

#[test]
fn what_is_wrong_is_told_with_a_pointer() {
    let server = Control::start();
    let create = |body: Value| server.post("/v1/accounts", body).refused(422, "invalid_request").json;

    assert_eq!(create(json!({"id": "a b"}))["errors"][0]["pointer"], "/id");
    assert_eq!(create(json!({"id": "acme", "colour": 1}))["errors"][0]["pointer"], "/colour");
    assert_eq!(create(json!({"id": "acme", "tier": "gold"}))["errors"][0]["code"], "unknown_tier");
    server.get("/v1/accounts/acme").refused(404, "not_found");
    server.get("/v1/accounts/a%20b").refused(422, "invalid_request");
}
