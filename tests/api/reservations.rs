//! The life of a reservation.

use crate::support::{Reply, Server};
use serde_json::{Value, json};

struct Job<'a> {
    server: &'a Server,
    handle: String,
}

impl<'a> Job<'a> {
    fn start(server: &'a Server, id: &str) -> Self {
        let decision = server.decide(&body(id, 1));
        let reservation = &decision["reservation"];
        assert_eq!(reservation["id"], id);
        Self { server, handle: reservation["handle"].as_str().unwrap().to_owned() }
    }

    fn act(&self, action: &str, body: &Value) -> Reply {
        self.server.post(&format!("/v1/reservations/{}/{action}", self.handle), body)
    }

    fn state(&self) -> Value {
        let reply = self.server.get(&format!("/v1/reservations/{}", self.handle));
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.json
    }
}

fn body(id: &str, requests: u64) -> Value {
    json!({"account": "a", "resource": "music-2.0", "requests": requests, "reserve": {"id": id, "ttl_ms": 60_000}})
}

#[test]
fn asked_again_it_is_the_same_and_asked_otherwise_it_is_a_conflict() {
    let server = Server::start();
    let job = Job::start(&server, "job-7");

    let again = server.decide(&body("job-7", 1));
    let other = server.post("/v1/decisions", &body("job-7", 2));

    assert_eq!(again["replayed"], true);
    assert_eq!(again["reservation"]["handle"], job.handle);
    assert_eq!(again["limits"][0]["used"], 1);
    other.problem(409, "reservation_conflict");
}

#[test]
fn settled_it_corrects_the_cost_and_frees_the_slot() {
    let server = Server::start();
    let job = Job::start(&server, "job-7");
    assert_eq!(job.state()["state"], "open");

    let settled = job.act("settle", &json!({"requests": 3}));

    assert_eq!(settled.status, 200, "{}", settled.text);
    let limits = &settled.json["limits"];
    assert_eq!((&limits[0]["used"], &limits[1]["used"]), (&json!(3), &json!(0)));
    let state = job.state();
    assert_eq!(state["state"], "settled");
    assert_eq!(
        (&state["account"], &state["resource"], &state["requests"]),
        (&json!("a"), &json!("music-2.0"), &json!(1))
    );
    assert!(state["ended_at"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn an_ended_one_takes_the_same_settle_again_and_nothing_else() {
    let server = Server::start();
    let job = Job::start(&server, "job-7");
    assert_eq!(job.act("settle", &json!({"requests": 2})).status, 200);

    let again = job.act("settle", &json!({"requests": 2}));

    assert_eq!(again.json["replayed"], true);
    for (action, body) in [("settle", json!({})), ("renew", json!({"ttl_ms": 1}))] {
        let refused = job.act(action, &body);
        refused.problem(409, "reservation_ended");
        assert_eq!(refused.json["ended"], "settled");
    }
    job.act("cancel", &json!({})).problem(409, "reservation_ended");
    server.post("/v1/decisions", &body("job-7", 1)).problem(409, "reservation_ended");
}

#[test]
fn cancelled_it_gives_everything_back() {
    let server = Server::start();
    let job = Job::start(&server, "job-7");

    let cancelled = server.send("POST", &format!("/v1/reservations/{}/cancel", job.handle), &[], "");

    assert_eq!(cancelled.status, 200, "{}", cancelled.text);
    assert_eq!(cancelled.json["limits"][0]["used"], 0);
    assert_eq!(job.state()["state"], "cancelled");
}

#[test]
fn renewed_it_expires_later() {
    let server = Server::start();
    let job = Job::start(&server, "job-7");
    let before = job.state()["expires_at"].as_str().unwrap().to_owned();

    let renewed = job.act("renew", &json!({"ttl_ms": 3_600_000}));

    let after = renewed.json["expires_at"].as_str().unwrap();
    assert!(after > before.as_str(), "{after} {before}");
    assert_eq!(job.state()["expires_at"], after);
}

#[test]
fn an_expired_one_frees_its_slot_and_may_still_be_settled() {
    let server = Server::start();
    let made = server.decide(&json!({"account": "a", "resource": "music-2.0", "reserve": {"ttl_ms": 1}}));
    let job = Job { server: &server, handle: made["reservation"]["handle"].as_str().unwrap().to_owned() };
    while job.state()["state"] != "expired" {
        #[cfg(feature = "manual-clock")]
        server.post("/test/clock", &json!({"advance_ms": 1}));
        std::thread::yield_now();
    }

    let settled = job.act("settle", &json!({"requests": 2}));

    assert_eq!(settled.json["late"], true, "{}", settled.text);
    assert_eq!((&settled.json["limits"][0]["used"], &settled.json["limits"][1]["used"]), (&json!(2), &json!(0)));
}

#[test]
fn what_is_no_handle_or_is_not_remembered_is_told_apart() {
    let server = Server::start();
    let job = Job::start(&server, "job-7");
    let other = Server::start();

    let foreign = other.post(&format!("/v1/reservations/{}/settle", job.handle), &json!({}));

    foreign.problem(404, "unknown_reservation");
    let nonsense = server.get("/v1/reservations/job-7");
    assert_eq!(nonsense.problem(422, "invalid_request"), "/handle");
    assert_eq!(nonsense.json["errors"][0]["in"], "path");
}

#[test]
fn a_group_with_concurrency_needs_a_reservation() {
    let server = Server::start();

    let refused = server.post("/v1/decisions", &json!({"account": "a", "resource": "music-2.0"}));

    refused.problem(422, "reservation_required");
    let dry = server.decide(&json!({"account": "a", "resource": "music-2.0", "dry_run": true}));
    assert_eq!(dry["decision"], "allow");
}
