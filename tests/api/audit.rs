use crate::control::Control;
use serde_json::{Value, json};

#[test]
fn every_change_is_in_the_audit_log_with_before_and_after() {
    let server = Control::start();
    server.create("acme");
    server.create("beta");
    server.pin("acme", "paid");

    let entries = server.get("/v1/audit?subject=account:acme").is(200).json["items"].clone();

    let actions: Vec<_> = entries.as_array().unwrap().iter().map(|entry| entry["action"].clone()).collect();
    assert_eq!(actions, [json!("account.pin"), json!("account.create")]);
    assert_eq!(entries[0]["detail"]["after"]["role"]["main"]["pin"]["tier"], "paid");
    assert_eq!(entries[0]["detail"]["reason"], "test");
    assert_eq!(entries[0]["address"], "127.0.0.1");
}

#[test]
fn the_log_is_paged_and_filtered() {
    let server = Control::start();
    for id in ["a", "b", "c"] {
        server.create(id);
    }

    let mut seen = Vec::new();
    let me = server.get("/v1/me").is(200).json;
    let key = me["actor"].as_str().unwrap();
    let mut path = format!("/v1/audit?actor=api_key:{key}&page_size=2");
    loop {
        let page = server.get(&path).is(200).json;
        seen.extend(page["items"].as_array().unwrap().iter().map(|entry| entry["seq"].as_u64().unwrap()));
        let Some(token) = page["next_page_token"].as_str() else { break };
        path = format!("/v1/audit?actor=api_key:{key}&page_size=2&page_token={token}");
    }

    assert_eq!(seen, [5, 4, 3]);
    server.get("/v1/audit?actor=alice").refused(422, "invalid_request");
    assert_eq!(server.get("/v1/audit?from=2999-01-01T00:00:00Z").is(200).json["items"], json!([]));
}

#[test]
fn the_whole_history_of_an_account_is_one_call() {
    let server = Control::start();
    server.create("acme");
    server.create("other");
    let (main, sub) = ("/v1/accounts/acme", "/v1/accounts/acme-eu");
    let why = || json!({"reason": "r"});
    server.post("/v1/accounts/acme/sub-accounts", json!({"id": "acme-eu"})).is(201);
    for path in [main, sub] {
        server.on(&server.tag(path), "PATCH", path, json!({"name": "n"})).is(200);
        server.post(&format!("{path}/suspend"), why()).is(200);
        server.post(&format!("{path}/resume"), why()).is(200);
    }
    server.on(&server.tag(sub), "PUT", &format!("{sub}/caps"), json!({"caps": {"text.m2/rpm": 4}})).is(200);
    server.pin("acme", "paid");
    server.delete(&server.tag(main), &format!("{main}/tier")).is(200);
    server.post(&format!("{main}/usage/reset"), why()).is(200);
    let limited = json!({"group": "text.m2", "limit": "rpm", "quota": 9, "permanent": true, "reason": "r"});
    let of_it = |mut body: Value| {
        body["account"] = json!("acme");
        body
    };
    let made = server.post("/v1/overrides", of_it(limited.clone())).is(201);
    server.on(made.etag(), "POST", &format!("{}/revoke", made.header("location")), why()).is(200);
    let made = server.post("/v1/clamps", of_it(limited)).is(201);
    server.delete(made.etag(), made.header("location")).is(200);
    server.top_up("acme", "e1", "p1", 500).is(201);
    server.take_back("acme", "refund", "e2", "p1", 100).is(201);
    server.take_back("acme", "chargeback", "e3", "p1", 100).is(201);
    server.top_up("acme", "e1", "p1", 501).refused(409, "event_conflict");

    let history = |account: &str| -> Vec<String> {
        let found = server.get(&format!("/v1/audit?subject=account:{account}&page_size=200")).is(200).json;
        let entries = found["items"].as_array().unwrap().iter().rev();
        entries.map(|entry| entry["action"].as_str().unwrap().to_owned()).collect()
    };
    let of_both = ["account.update", "account.suspend", "account.resume"];
    let mut expected = vec!["account.create", "account.create"];
    expected.extend([of_both, of_both].concat());
    expected.extend(["account.caps", "account.pin", "account.unpin", "account.reset_usage"]);
    expected.extend(["override.create", "override.revoke", "clamp.create", "clamp.remove"]);
    expected.extend(["payment.top_up", "payment.refund", "payment.chargeback", "payment.refuse"]);
    assert_eq!(history("acme"), expected);
    assert_eq!(history("acme-eu"), [&["account.create"][..], &of_both, &["account.caps"]].concat());
    assert_eq!(history("other"), ["account.create"]);
}
