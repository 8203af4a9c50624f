//! A server without a descriptor left while its journal goes on into new files.

use crate::server::{Server, verify};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The server's limit is lowered from outside, which takes every descriptor that it could have, however many connections
/// it lets in.
#[test]
fn without_descriptors_changes_wait_and_go_on_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), &[("QUOTAGATE_SEGMENT_BYTES", "8000")]);
    let client = server.client();
    let make = |id: &str| client.post("/v1/accounts", json!({"id": id, "name": "n".repeat(200)})).unwrap();
    let decide = || client.post("/v1/decisions", json!({"account": "acme", "resource": "plain"})).unwrap().status;
    assert_eq!((make("acme").status, decide()), (201, 200));
    let pid = Pid::from_raw(i32::try_from(server.process()).unwrap());
    let before = prlimit(pid, Resource::Nofile, Rlimit { current: Some(3), maximum: Some(1_024) }).unwrap();

    // On the connection that is open.
    let mut made = Vec::new();
    let refused = loop {
        let id = format!("a{}", made.len());
        let reply = make(&id);
        if reply.status != 201 {
            break reply;
        }
        made.push(id);
        assert!(made.len() < 100, "the segment made ahead is long full");
    };
    let (still, deciding) = (make("later").status, decide());
    let ready = client.get("/readyz").unwrap();
    let limit = Rlimit { current: Some(1_024), maximum: Some(1_024) };
    prlimit(pid, Resource::Nofile, limit).unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while client.get("/readyz").unwrap().status != 200 {
        assert!(Instant::now() < until, "it goes on by itself: {}", server.log());
        std::thread::sleep(Duration::from_millis(20));
    }

    assert!(before.current.is_none_or(|limit| limit > 3));
    assert!(made.len() > 3, "the segment made ahead was used: {}", made.len());
    assert_eq!((refused.status, &refused.json["code"]), (503, &json!("read_only")), "{}", refused.json);
    assert!(refused.text.contains("no file can be opened"), "{}", refused.text);
    assert_eq!((still, deciding, ready.status), (503, 200, 503));
    assert!(ready.json["reasons"][0].as_str().unwrap().contains("no file can be opened"), "{}", ready.json);
    for n in 0..40 {
        let reply = make(&format!("b{n}"));
        assert_eq!(reply.status, 201, "{}", reply.json);
    }
    let told = server.log().matches("the store is read-only").count();
    assert_eq!(told, 1, "one line a change of state: {}", server.log());
    assert!(!server.log().contains("a request failed"), "{}", server.log());
    assert!(server.stop(), "{}", server.log());
    verify(folder.path(), "after descriptors were gone");
    let server = Server::start(folder.path(), &[]);
    let there: Vec<Value> = server.client().list("/v1/accounts").into_iter().map(|item| item["id"].clone()).collect();
    for id in &made {
        assert!(there.contains(&json!(id)), "{id} was acknowledged");
    }
    assert!(!there.contains(&json!("later")));
}
