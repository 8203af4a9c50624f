//! A start from what is stored answers as the server did that stored it, at the same engine time, to the letter.

use crate::server::{Call, Client, Server};
use crate::views::{self, Asked};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// After the first start, in seconds: before and after windows, reservations, overrides and clamps end. The first is
/// late enough for the later servers to be there before it.
const TIMES: [u64; 6] = [60, 125, 11 * 60, 31 * 60, 61 * 60, 2 * 24 * 3600];
const ACCOUNTS: [&str; 6] = ["acme", "acme-eu", "acme-us", "beta", "walk-in", "nobody"];
const RESOURCES: [&str; 4] = ["clocks", "plain", "jobs", "dials"];

#[test]
fn a_server_that_is_started_again_answers_the_same_at_the_same_time() {
    let folder = tempfile::tempdir().unwrap();
    let live = Server::start(folder.path(), &[]);
    let begun = now(&live.client());
    let handles = furnish(&live.client());
    wait_until_written(&live.client());
    let [killed, stopped, journal] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    // What a kill would leave now. Asked at later times, the server itself writes more.
    live.frozen(|| [&killed, &stopped, &journal].map(|image| copy(folder.path(), image.path())));
    let mut restarted = Server::start(stopped.path(), &[]);
    assert!(restarted.stop(), "{}", restarted.log());
    std::fs::remove_dir_all(journal.path().join("data/control")).unwrap();

    let before = at_all_times(&live, begun, &handles);

    for (image, what) in [(&killed, "after a kill"), (&stopped, "after a stop"), (&journal, "from the journal")] {
        let after = at_all_times(&Server::start(image.path(), &[]), begun, &handles);
        views::assert_same(&before, &after, what);
    }
    let said = format!("{before:?}");
    let words = "scheduled ended expired settled cancelled lowered account_suspended unknown_reservation";
    for word in words.split(' ') {
        assert!(said.contains(&format!("String(\"{word}\")")), "what is compared must be of every kind: no {word}");
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for item in std::fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let target = to.join(item.file_name());
        if item.file_type().unwrap().is_dir() {
            copy(&item.path(), &target);
        } else if item.file_type().unwrap().is_file() {
            std::fs::copy(item.path(), target).unwrap();
        }
    }
}

fn now(client: &Client) -> i64 {
    advance(client, 0)
}

fn advance(client: &Client, by_ms: i64) -> i64 {
    let reply = client.post("/test/clock", json!({ "advance_ms": by_ms })).unwrap();
    reply.json["now_ms"].as_i64().unwrap()
}

fn at_all_times(server: &Server, begun: i64, handles: &[String]) -> Vec<(String, Value)> {
    let accounts = ACCOUNTS.map(str::to_owned);
    let asked = Asked { accounts: &accounts, resources: &RESOURCES, reservations: handles, at_one_time: true };
    let client = &server.client();
    let mut answers = Vec::new();
    for seconds in TIMES {
        let wanted = begun + seconds as i64 * 1_000;
        let late = now(client);
        assert!(late <= wanted, "the server started too late to be asked at the same time");
        assert_eq!(advance(client, wanted - late), wanted);
        let now = views::all(client, &asked);
        answers.extend(now.into_iter().map(|(path, view)| (format!("{path} after {seconds} s"), view)));
    }
    answers
}

/// Accounts, sub-accounts, overrides, clamps, quotas, usage and reservations of every kind.
fn furnish(client: &Client) -> Vec<String> {
    let post = |path: &str, body: Value| {
        let reply = client.post(path, body).unwrap();
        assert!(matches!(reply.status, 200 | 201), "{path}: {}", reply.json);
        reply
    };
    let in_minutes = |minutes| (Timestamp::now() + SignedDuration::from_mins(minutes)).to_string();
    post("/v1/accounts", json!({"id": "acme", "name": "Acme", "labels": {"region": "eu"}}));
    post("/v1/accounts", json!({"id": "beta", "tier": "paid"}));
    post("/v1/accounts/acme/sub-accounts", json!({"id": "acme-us"}));
    let sub = post("/v1/accounts/acme/sub-accounts", json!({"id": "acme-eu"}));
    change(client, "PUT", "/v1/accounts/acme-eu/caps", &sub.etag, json!({"caps": {"clocks/hour": 9, "jobs/conn": 1}}));
    let tag = client.get("/v1/accounts/acme").unwrap().etag;
    change(
        client,
        "PUT",
        "/v1/accounts/acme/tier",
        &tag,
        json!({"tier": "paid", "reason": "trial", "until": in_minutes(30)}),
    );
    let tag = client.get("/v1/tiers").unwrap().etag;
    change(client, "PUT", "/v1/tiers/free/quotas/dials/d0", &tag, json!({"quota": 77, "reason": "test"}));
    for (limit, from, to) in [("minute", 0, 60), ("hour", 10, 40)] {
        let mut body = json!({"account": "acme", "group": "clocks", "limit": limit, "quota": 70,
            "expires_at": in_minutes(to), "reason": "launch"});
        if from > 0 {
            body["starts_at"] = json!(in_minutes(from));
        }
        post("/v1/overrides", body);
    }
    post("/v1/clamps", json!({"group": "clocks", "limit": "flow", "quota": 90_000, "reason": "shortage"}));
    post("/v1/clamps", json!({"group": "plain", "limit": "tokens", "tier": "free", "quota": 500, "reason": "abuse"}));
    post("/v1/accounts/beta/suspend", json!({"reason": "fraud"}));
    let handles = spend(client);
    post("/v1/accounts/acme/usage/reset", json!({"group": "plain", "limit": "requests", "reason": "an outage"}));
    handles
}

fn change(client: &Client, method: &'static str, path: &str, etag: &str, body: Value) {
    let call = Call { method, path: path.to_owned(), body, if_match: Some(etag.to_owned()), ..Call::default() };
    let reply = client.send(&call).unwrap();
    assert_eq!(reply.status, 200, "{path}: {}", reply.json);
}

fn spend(client: &Client) -> Vec<String> {
    let mut handles = Vec::new();
    for account in ["acme", "acme-eu", "acme-us", "walk-in"] {
        for ttl_s in [90, 600, 7_200] {
            let body = json!({"account": account, "resource": "clocks", "tokens": 7_000 + ttl_s,
                "reserve": {"id": format!("{account}-{ttl_s}"), "ttl_ms": ttl_s * 1_000}});
            let decision = client.post("/v1/decisions", body).unwrap().json;
            if let Some(handle) = decision["reservation"]["handle"].as_str() {
                handles.push(handle.to_owned());
            }
        }
        for tokens in 1..4 {
            let body = json!({"account": account, "resource": "plain", "tokens": tokens * 100});
            client.post("/v1/decisions", body).unwrap();
        }
    }
    assert!(handles.len() >= 8, "{handles:?}");
    let end = |handle: &str, how: &str, body: Value| {
        assert_eq!(client.post(&format!("/v1/reservations/{handle}/{how}"), body).unwrap().status, 200);
    };
    end(&handles[0], "settle", json!({"tokens": 9_999}));
    end(&handles[3], "cancel", json!({}));
    end(&handles[4], "settle", json!({"tokens": 1}));
    handles
}

/// Until a kill would lose nothing of what was charged before.
fn wait_until_written(client: &Client) {
    let charged = Instant::now();
    loop {
        let asked = Instant::now();
        let lag = client.read("/readyz")["flush_lag_ms"].as_u64().unwrap() + 1;
        if asked.checked_sub(Duration::from_millis(lag)).is_some_and(|safe| safe > charged) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
