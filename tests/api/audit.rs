use crate::control::Control;
use serde_json::json;

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
    let mut path = "/v1/audit?actor=console:loopback&page_size=2".to_owned();
    loop {
        let page = server.get(&path).is(200).json;
        seen.extend(page["items"].as_array().unwrap().iter().map(|entry| entry["seq"].as_u64().unwrap()));
        let Some(token) = page["next_page_token"].as_str() else { break };
        path = format!("/v1/audit?actor=console:loopback&page_size=2&page_token={token}");
    }

    assert_eq!(seen, [4, 3, 2]);
    server.get("/v1/audit?actor=alice").refused(422, "invalid_request");
    assert_eq!(server.get("/v1/audit?from=2999-01-01T00:00:00Z").is(200).json["items"], json!([]));
}
