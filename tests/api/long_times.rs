//! Journeys over days, on a clock that the test moves.

use crate::control::JSON;
use crate::support::Server;
use serde_json::{Value, json};

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
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

/// Creates an account under an idempotency key; whether that was answered before.
fn creates_again(server: &Server, id: &str) -> bool {
    let body = json!({ "id": id }).to_string();
    let reply = server.send("POST", "/v1/accounts", &[JSON, ("idempotency-key", id)], &body);
    match reply.status {
        201 => reply.header("idempotent-replayed") == "true",
        409 => false,
        _ => panic!("{}", reply.text),
    }
}

#[test]
fn a_clock_is_accepted_once_and_keys_are_kept_their_time_from_then_on() {
    let server = Server::start();
    advance(&server, 30 * DAY_MS);
    assert!(!creates_again(&server, "before"));
    let (_, server) = server.restart_behind();
    assert!(!creates_again(&server, "after"));
    server.decide(&json!({"account": "a", "resource": "MiniMax-M2"}));

    let server = server.after_kill_without_accepting();

    let audit = server.get("/v1/audit?action=server.accept_clock").json;
    assert_eq!(audit["items"].as_array().map(Vec::len), Some(1), "{audit}");
    let behind_ms = audit["items"][0]["detail"]["behind_ms"].as_u64().unwrap();
    assert!((29 * DAY_MS..=30 * DAY_MS).contains(&behind_ms), "{audit}");
    for hours in [0, 24] {
        advance(&server, hours * HOUR_MS);
        assert!(creates_again(&server, "before"), "after {hours} hours");
        assert!(creates_again(&server, "after"), "after {hours} hours");
    }
    advance(&server, 2 * HOUR_MS);
    assert!(!creates_again(&server, "before"));
    assert!(!creates_again(&server, "after"));
}

#[test]
fn a_clock_that_is_right_is_not_accepted_anew_by_a_flag_that_stays() {
    let server = Server::start_with(&["--unknown-accounts", "default_tier", "--accept-clock"]);
    advance(&server, 4_000);
    server.decide(&json!({"account": "a", "resource": "MiniMax-M2"}));

    let server = server.restart();

    assert_eq!(look(&server)["used"], 1);
    assert_eq!(server.get("/v1/audit?action=server.accept_clock").json["items"], json!([]));
}
