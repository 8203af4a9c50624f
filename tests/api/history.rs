//! What was used in the past, read back.

use crate::control::Control;
use crate::support::Server;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const RPM: &str = "/v1/accounts/acme/usage/history?group=text.m2&limit=rpm";

fn points(server: &Control, query: &str) -> Vec<Value> {
    server.get(&format!("{RPM}{query}")).is(200).json["points"].as_array().unwrap().clone()
}

fn numbers(point: &Value) -> [u64; 4] {
    ["admitted", "denied", "peak_used", "minutes_at_100"].map(|field| point[field].as_u64().unwrap())
}

fn ask(server: &Control, times: usize) {
    for _ in 0..times {
        server.decide("acme", "MiniMax-M2", 10);
    }
}

#[test]
fn decisions_are_in_the_history_at_once_and_after_a_stop_and_after_two_days_by_the_hour() {
    let server = Control::start();
    server.create("acme");
    ask(&server, 23);
    let now = points(&server, "&step=1m");
    assert_eq!(now.iter().map(|point| point["admitted"].as_u64().unwrap()).sum::<u64>(), 20);

    let before = points(&server, "&step=1m");
    let stopped = server.after_stop();
    assert_eq!(points(&stopped, "&step=1m"), before);
    assert_eq!(before.iter().map(|point| numbers(point)[1]).sum::<u64>(), 3);
    assert!(before.iter().any(|point| point["peak_utilisation"] == 10_000 && point["quota"] == 20));

    stopped.advance_minutes(2);
    ask(&stopped, 1);
    assert_eq!(points(&stopped, "&step=1m").len(), before.len() + 1);
    stopped.advance_minutes(60 * 50);
    let from = before[0]["from"].as_str().unwrap();
    let hours = points(&stopped, &format!("&step=1h&from={}", &from.replace(":", "%3A")));
    let sums = hours.iter().map(numbers).fold([0; 2], |sums, point| [sums[0] + point[0], sums[1] + point[1]]);
    assert_eq!(sums, [21, 3]);
}

#[test]
fn a_question_that_is_not_well_put_is_told_what_is_wrong() {
    let server = Control::start();
    server.create("acme");

    for (query, pointer) in [
        ("&step=7m", "/step"),
        ("&step=1m&from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z", "/step"),
        ("&from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "/to"),
        ("&from=yesterday", "/from"),
        ("&order=asc", "/order"),
    ] {
        let refused = server.get(&format!("{RPM}{query}"));
        assert_eq!(refused.problem(422, "invalid_request"), pointer, "{query}");
        assert_eq!(refused.json["errors"][0]["in"], "query");
    }
    server.get("/v1/accounts/acme/usage/history?group=text.m2").problem(422, "invalid_request");
    server.get("/v1/accounts/nobody/usage/history?group=text.m2&limit=rpm").refused(404, "not_found");
    server.get("/v1/usage/top?by=size").problem(422, "invalid_request");
}

#[test]
fn the_busiest_limits_are_told_once_their_minute_has_passed() {
    let server = Control::start();
    server.create("acme");
    ask(&server, 25);
    server.advance_minutes(1);

    let until = Instant::now() + Duration::from_secs(20);
    let mut top = json!([]);
    while top.as_array().unwrap().is_empty() && Instant::now() < until {
        top = server.get("/v1/usage/top?by=denied&page_size=1").is(200).json["items"].clone();
        std::thread::sleep(Duration::from_millis(50));
    }

    let row = &top[0];
    assert_eq!((&row["account"], &row["group"], &row["limit"]), (&json!("acme"), &json!("text.m2"), &json!("rpm")));
    assert!(row["denied"].as_u64().unwrap() >= 4, "{row}");
    let busiest = server.get("/v1/usage/top?by=utilisation").is(200).json;
    assert_eq!(busiest["items"][0]["peak_utilisation"], 10_000);
}

#[test]
fn a_key_that_is_bound_to_an_account_sees_its_history_only() {
    let server = Control::start();
    server.create("acme");
    server.create("beta");
    let key = json!({"scopes": ["read"], "account": "acme"});
    let admin = server.post("/v1/api-keys", json!({"scopes": ["admin"]})).is(201);
    let bearer = |made: &crate::support::Reply| format!("Bearer {}", made.json["secret"].as_str().unwrap());
    let admin = bearer(&admin);
    let as_admin = [("authorization", admin.as_str()), crate::control::JSON];
    let bound = bearer(&server.0.send("POST", "/v1/api-keys", &as_admin, &key.to_string()).is(201));
    let get = |path: &str| server.0.send("GET", path, &[("authorization", &bound)], "");

    get(RPM).is(200);
    get("/v1/accounts/beta/usage/history?group=text.m2&limit=rpm").refused(404, "not_found");
    assert_eq!(get("/v1/usage/top?by=denied").status, 403);
}

#[test]
fn a_server_that_is_told_to_keeps_none() {
    let server = Control(Server::start_with(&["--history", "false"]));
    server.create("acme");
    ask(&server, 3);

    assert_eq!(points(&server, ""), [json!(null); 0]);
}
