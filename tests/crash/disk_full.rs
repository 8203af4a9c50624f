//! A disk that runs full under a server: changes are refused in words, decisions go on, and it goes on by itself.

use crate::server::{Client, Server, verify};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const PLENTY: &str = "1000000000000";

/// The readiness once it is as wanted, which nobody has to ask for a change for.
fn once_ready(client: &Client, ready: bool) -> Value {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let reply = client.get("/readyz").unwrap();
        assert_eq!(reply.status == 200, reply.json["ready"] == true);
        if reply.json["ready"] == ready {
            return reply.json;
        }
        assert!(Instant::now() < until, "{}", reply.json);
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn used(client: &Client) -> Value {
    let decision = client.post("/v1/decisions", json!({"account": "acme", "resource": "plain", "tokens": 10}));
    let decision = decision.unwrap().json;
    assert_eq!(decision["decision"], "allow", "{decision}");
    decision["limits"][1]["used"].clone()
}

#[test]
fn a_full_disk_refuses_changes_and_goes_on_deciding_until_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let free_bytes = folder.path().join("free_bytes");
    // Renamed, so that it is never found half written.
    let set_free = |bytes: &str| {
        std::fs::write(free_bytes.with_extension("new"), bytes).unwrap();
        std::fs::rename(free_bytes.with_extension("new"), &free_bytes).unwrap();
    };
    set_free(PLENTY);
    let mut server = Server::start(folder.path(), &[("QUOTAGATE_FREE_BYTES", free_bytes.to_str().unwrap())]);
    let client = server.client();
    assert_eq!(client.post("/v1/accounts", json!({"id": "acme"})).unwrap().status, 201);
    assert_eq!(used(&client), 10);

    set_free("4096");

    let why = "the disk is full: 4096 bytes free";
    let reasons = once_ready(&client, false)["reasons"].clone();
    assert!(reasons[0].as_str().unwrap().contains(&format!("the store takes no changes: {why}")), "{reasons}");
    let refused = client.post("/v1/accounts", json!({"id": "beta"})).unwrap();
    assert_eq!((refused.status, &refused.json["code"]), (503, &json!("read_only")), "{}", refused.json);
    assert!(refused.json["detail"].as_str().unwrap().contains(why), "{}", refused.json);
    assert_eq!((used(&client), used(&client)), (json!(20), json!(30)));
    assert_eq!(client.read("/v1/accounts/acme")["id"], "acme");

    set_free(PLENTY);

    assert_eq!(once_ready(&client, true)["reasons"], json!([]));
    assert_eq!(client.post("/v1/accounts", json!({"id": "gamma"})).unwrap().status, 201);
    assert!(server.stop(), "{}", server.log());
    assert!(server.log().contains("the store is read-only"), "{}", server.log());
    verify(folder.path(), "after a full disk");
    let server = Server::start(folder.path(), &[]);
    let ids: Vec<Value> = server.client().list("/v1/accounts").into_iter().map(|item| item["id"].clone()).collect();
    assert_eq!(ids, ["acme", "gamma"]);
    assert_eq!(used(&server.client()), 40);
}
