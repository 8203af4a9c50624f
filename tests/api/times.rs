//! Times at the end of what can be written.

use crate::control::Control;
use crate::support::Reply;
use serde_json::json;

const LAST: &str = "9999-12-31T23:59:59.999Z";

fn override_until(server: &Control, limit: &str, until: &str) -> Reply {
    let body =
        json!({"account": "acme", "group": "text.m2", "limit": limit, "quota": 9, "expires_at": until, "reason": "r"});
    server.post("/v1/overrides", body)
}

#[test]
fn the_last_moment_of_the_year_9999_is_a_time_like_any_other() {
    let server = Control::start();
    server.create("acme");

    let last = override_until(&server, "rpm", LAST).is(201);
    let east = override_until(&server, "tpm", "9999-12-31T23:59:59.999999+23:59").is(201);

    assert_eq!(last.json["expires_at"], LAST);
    assert_eq!(east.json["expires_at"], "9999-12-31T00:00:59.999Z");
    let read = server.get(last.header("location")).is(200);
    assert_eq!((&read.json["expires_at"], &read.json["state"]), (&json!(LAST), &json!("active")));
    let pin = json!({"tier": "paid", "until": LAST, "reason": "r"});
    let pinned = server.on("*", "PUT", "/v1/accounts/acme/tier", pin).is(200);
    assert_eq!(pinned.json["tier"]["pin"]["until"], LAST);
    let clamp = json!({"group": "text.m2", "limit": "rpm", "quota": 5, "expires_at": LAST, "reason": "r"});
    assert_eq!(server.post("/v1/clamps", clamp).is(201).json["expires_at"], LAST);
    let listed = server.get(&format!("/v1/audit?from=0000-01-01T00:00:00Z&until={LAST}")).is(200);
    assert_eq!(listed.json["items"].as_array().map(Vec::len), Some(7));
}

#[test]
fn a_time_outside_the_years_0000_to_9999_is_refused_with_the_reason() {
    let server = Control::start();
    server.create("acme");

    for beyond in ["9999-12-31T23:59:59.999-23:59", "9999-12-31T23:59:00-00:01", "+010000-01-01T00:00:00Z"] {
        let refused = override_until(&server, "rpm", beyond);
        assert_eq!(refused.problem(422, "invalid_request"), "/expires_at", "{beyond}");
    }
    let before = server.get("/v1/audit?from=0000-01-01T00:00:00%2B23:59");
    assert_eq!(before.problem(422, "invalid_request"), "/from");
    assert!(before.json["errors"][0]["detail"].as_str().unwrap().contains("9999"), "{}", before.text);
    override_until(&server, "rpm", "2020-01-01T00:00:00-23:59").refused(422, "invalid_request");
}
