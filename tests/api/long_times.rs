//! Journeys over days, on a clock that the test moves.

use crate::support::Server;
use serde_json::{Value, json};

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 86_400_000;

fn advance(server: &Server, by_ms: u64) {
    assert_eq!(server.post("/test/clock", &json!({"advance_ms": by_ms})).status, 200);
}

fn look(server: &Server) -> Value {
    server.decide(&json!({"account": "a", "resource": "MiniMax-M2", "dry_run": true}))["limits"][0].clone()
}

#[test]
fn a_minute_later_the_window_is_free_again() {
    let server = Server::start();
    for _ in 0..20 {
        server.decide(&json!({"account": "a", "resource": "MiniMax-M2"}));
    }
    let denied = server.decide(&json!({"account": "a", "resource": "MiniMax-M2"}));
    assert_eq!(denied["decision"], "deny");

    advance(&server, denied["retry_after_ms"].as_u64().unwrap() - 1);
    assert_eq!(look(&server)["remaining"], 0);
    advance(&server, 1);

    assert_eq!(server.decide(&json!({"account": "a", "resource": "MiniMax-M2"}))["decision"], "allow");
    advance(&server, 30 * DAY_MS);
    assert_eq!(look(&server)["used"], 0);
}

#[test]
fn a_reservation_expires_is_remembered_and_is_forgotten() {
    let server = Server::start();
    let body = json!({"account": "a", "resource": "music-2.0", "reserve": {"id": "job-7", "ttl_ms": MINUTE_MS}});
    let made = server.decide(&body);
    let path = format!("/v1/reservations/{}", made["reservation"]["handle"].as_str().unwrap());

    advance(&server, MINUTE_MS);
    assert_eq!(server.get(&path).json["state"], "expired");
    server.post("/v1/decisions", &body).problem(409, "reservation_ended");
    advance(&server, 10 * MINUTE_MS);

    server.get(&path).problem(404, "unknown_reservation");
    assert_eq!(server.decide(&body).get("replayed"), None);
}

#[test]
fn a_server_whose_wall_clock_is_behind_its_store_does_not_start() {
    let server = Server::start();
    advance(&server, 30 * DAY_MS);
    server.decide(&json!({"account": "a", "resource": "MiniMax-M2"}));

    let (complaint, accepted) = server.restart_behind();

    assert!(complaint.contains("the wall clock is") && complaint.contains("--accept-clock"), "{complaint}");
    assert_eq!(look(&accepted)["used"], 0, "usage later than now is dropped");
}
