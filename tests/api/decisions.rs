//! The first decisions of an account.

use crate::support::Server;
use serde_json::{Value, json};

#[test]
fn an_allowed_request_is_charged_and_told_what_is_left() {
    let server = Server::start();

    let first = server.decide(&json!({"account": "acme-eu", "resource": "MiniMax-M2", "tokens": 1200}));

    let limits = json!([
        {"group": "text.m2", "id": "rpm", "scope": "account", "unit": "requests", "window_ms": 60000,
         "quota": 20, "used": 1, "remaining": 19},
        {"group": "text.m2", "id": "tpm", "scope": "account", "unit": "tokens", "window_ms": 60000,
         "quota": 1_000_000, "used": 1200, "remaining": 998_800},
    ]);
    assert_eq!(first["decision"], "allow");
    assert_eq!(first["revision"], 1);
    assert_eq!(without_resets(&first["limits"]), limits);
    let resets = first["limits"][0]["reset_after_ms"].as_i64().unwrap();
    assert!((58_000..=60_000).contains(&resets), "{resets}");
    assert_eq!(first.as_object().unwrap().len(), 3, "nothing else: {first}");
}

#[test]
fn what_is_absent_costs_one_request_and_no_tokens() {
    let server = Server::start();
    let body = json!({"account": "a", "resource": "MiniMax-M2-Stable", "requests": null, "units": {}});

    let decision = server.decide(&body);

    assert_eq!(decision["limits"][0]["used"], 1);
    assert_eq!(decision["limits"][1]["used"], 0);
}

#[test]
fn whole_floats_are_integers() {
    let server = Server::start();

    let decision = server.decide(&json!({"account": "a", "resource": "MiniMax-M2", "requests": 2.0, "tokens": 80.0}));

    assert_eq!((&decision["limits"][0]["used"], &decision["limits"][1]["used"]), (&json!(2), &json!(80)));
}

#[test]
fn a_dry_run_charges_nothing() {
    let server = Server::start();
    let ask = |dry_run: bool| {
        server.decide(&json!({"account": "a", "resource": "MiniMax-M2", "tokens": 5, "dry_run": dry_run}))
    };

    let dry = ask(true);
    let wet = ask(false);

    assert_eq!((&dry["dry_run"], &dry["limits"][0]["used"]), (&json!(true), &json!(0)));
    assert_eq!(wet["limits"][0]["used"], 1);
    assert!(wet.get("dry_run").is_none());
}

#[test]
fn models_of_one_group_spend_one_bucket_and_accounts_do_not() {
    let server = Server::start();
    let used = |account: &str, resource: &str| {
        server.decide(&json!({"account": account, "resource": resource}))["limits"][0]["used"].clone()
    };

    assert_eq!(used("a", "MiniMax-M2"), 1);
    assert_eq!(used("a", "MiniMax-M2-Stable"), 2);
    assert_eq!(used("b", "MiniMax-M2"), 1);
    assert_eq!(used("a", "speech-02-hd"), 1);
}

#[test]
fn the_request_id_is_the_callers_or_a_new_one() {
    let server = Server::start();
    let id = |given: &str| {
        let headers = [("content-type", "application/json"), ("x-request-id", given)];
        server.send("POST", "/v1/decisions", &headers, "{}").header("x-request-id").to_owned()
    };

    assert_eq!(id("trace-7"), "trace-7");
    assert!(!id("not sane").is_empty());
    assert_ne!(id("not sane"), "not sane");
    assert_ne!(id("not sane"), id("not sane"));
}

fn without_resets(limits: &Value) -> Value {
    let mut limits = limits.clone();
    for limit in limits.as_array_mut().unwrap() {
        limit.as_object_mut().unwrap().remove("reset_after_ms");
    }
    limits
}
