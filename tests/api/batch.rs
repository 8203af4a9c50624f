//! Many decisions in one call.

use crate::support::Server;
use serde_json::{Value, json};

#[test]
fn each_request_is_decided_on_its_own_in_its_place() {
    let server = Server::start();
    let batch = json!({"decisions": [
        {"account": "a", "resource": "MiniMax-M2", "tokens": 999_999},
        {"account": "a", "resource": "MiniMax-M2", "tokens": 2},
        {"account": "a", "resource": "music-2.0"},
        {"account": "a b", "resource": "MiniMax-M2"},
        {"account": "a", "resource": "MiniMax-M2", "tokens": 1},
    ]});

    let reply = server.post("/v1/decisions/batch", &batch);

    assert_eq!(reply.status, 200, "{}", reply.text);
    let results = reply.json["results"].as_array().unwrap();
    let verdicts: Vec<&Value> = results
        .iter()
        .map(|result| if result["decision"].is_null() { &result["error"]["code"] } else { &result["decision"] })
        .collect();
    assert_eq!(verdicts, ["allow", "deny", "reservation_required", "invalid_request", "allow"]);
    assert_eq!(results[3]["error"]["errors"][0]["pointer"], "/account");
    assert_eq!(results[4]["limits"][0]["used"], 2);
}

#[test]
fn a_batch_has_1_to_256_decisions() {
    let server = Server::start();
    let of = |size: usize| {
        let one = json!({"account": "a", "resource": "MiniMax-M2", "dry_run": true});
        server.post("/v1/decisions/batch", &json!({"decisions": vec![one; size]}))
    };

    assert_eq!(of(256).json["results"].as_array().map(Vec::len), Some(256));
    assert_eq!(of(257).problem(422, "invalid_request"), "/decisions");
    assert_eq!(of(0).problem(422, "invalid_request"), "/decisions");
}

#[test]
fn a_batch_that_is_none_is_refused_as_a_whole() {
    let server = Server::start();
    let post = |body: Value| server.post("/v1/decisions/batch", &body);

    assert_eq!(post(json!({})).problem(422, "invalid_request"), "/decisions");
    assert_eq!(post(json!({"decisions": {}})).problem(422, "invalid_request"), "/decisions");
    assert_eq!(post(json!({"decisions": [], "more": 1})).problem(422, "invalid_request"), "/more");
    assert_eq!(post(json!([])).problem(422, "invalid_request"), "");
}
