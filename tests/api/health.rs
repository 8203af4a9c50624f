//! Health, readiness, metrics.

use crate::support::Server;
use serde_json::json;

#[test]
fn a_fresh_server_is_alive_and_ready() {
    let server = Server::start();

    let alive = server.get("/healthz");
    let ready = server.get("/readyz");

    assert_eq!(alive.json, json!({"status": "alive"}));
    assert_eq!(ready.status, 200);
    assert_eq!(ready.json["ready"], true);
    assert_eq!(ready.json["reasons"], json!([]));
    assert_eq!(ready.json["revision"], 1);
    assert_eq!(ready.json["clock_stepped_ms"], 0);
}

#[test]
fn decisions_are_counted_by_verdict_and_reason() {
    let server = Server::start();
    for body in [
        json!({"account": "a", "resource": "MiniMax-M2"}),
        json!({"account": "a", "resource": "MiniMax-M2"}),
        json!({"account": "a", "resource": "MiniMax-M2", "requests": 21}),
        json!({"account": "a", "resource": "music-2.0"}),
    ] {
        server.post("/v1/decisions", &body);
    }

    let metrics = server.get("/metrics");

    let has = |line: &str| assert!(metrics.text.lines().any(|known| known == line), "{line}\n{}", metrics.text);
    has("quotagate_decisions_total{decision=\"allow\",reason=\"\"} 2");
    has("quotagate_decisions_total{decision=\"deny\",reason=\"cost_exceeds_quota\"} 1");
    has("quotagate_decision_errors_total{code=\"reservation_required\"} 1");
    has("quotagate_accounts 1");
    has("quotagate_store_read_only 0");
    has("quotagate_store_changes 2");
    has("quotagate_clock_stepped_seconds 0");
    assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"));
}

#[test]
fn control_plane_requests_are_logged_without_their_bodies_and_decisions_are_not() {
    let server = Server::start_with(&["--unknown-accounts", "default_tier", "--log-format", "json"]);
    server.decide(&json!({"account": "secret-account", "resource": "MiniMax-M2"}));

    server.send("GET", "/readyz", &[("x-request-id", "look-for-me"), ("authorization", "Bearer hush")], "");

    let log = server.log();
    let line = log.lines().find(|line| line.contains("look-for-me")).unwrap_or_else(|| panic!("{log}"));
    let entry: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(entry["status"], 200);
    assert_eq!(entry["span"]["path"], "/readyz");
    assert!(!log.contains("secret-account") && !log.contains("hush"), "{log}");
}
