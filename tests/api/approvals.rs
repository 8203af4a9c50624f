//! Four eyes: what waits for a second operator, and what makes it happen.

use crate::control::Control;
use crate::people::{As, PASSWORD, PATH, login, owner};
use crate::support::{Reply, Server};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

const APPROVALS: &str = "/v1/approvals";

/// With two owners, two publishers and two reviewers, and an account; what is named takes two of them.
fn start(four_eyes: &str) -> Server {
    let server = Server::bare_with(&["--flush-interval-ms", "5"]);
    let alice = owner(&server);
    for (name, role) in
        [("anna", "owner"), ("paul", "publisher"), ("pia", "publisher"), ("rita", "reviewer"), ("vera", "viewer")]
    {
        alice.make(name, role);
    }
    alice.post(PATH, json!({"name": "ron", "role": "reviewer", "ceiling_percent": 1000, "password": PASSWORD})).is(201);
    alice.post("/v1/accounts", json!({"id": "acme"})).is(201);
    let secret = alice.post("/v1/api-keys", json!({"scopes": ["admin"]})).is(201).json["secret"].clone();
    let mut server = server.restart_with(&["--flush-interval-ms", "5", "--four-eyes", four_eyes]);
    server.key = secret.as_str().map(str::to_owned);
    server
}

/// What `text.m2/rpm` comes to for the account.
fn quota_of(server: &Server) -> Value {
    let limits = server.get("/v1/accounts/acme/limits").is(200).json.clone();
    let rpm = |limit: &&Value| limit["group"] == "text.m2" && limit["id"] == "rpm";
    limits["limits"].as_array().unwrap().iter().find(rpm).unwrap()["quota"].clone()
}

/// The id of what waits.
fn waits(reply: Reply) -> String {
    let reply = reply.is(202);
    let id = reply.json["id"].as_str().unwrap().to_owned();
    assert_eq!(reply.header("location"), format!("{APPROVALS}/{id}"));
    assert_eq!(reply.json["state"], "pending");
    id
}

fn approve(by: &As<'_>, id: &str) -> Reply {
    by.change("POST", &format!("{APPROVALS}/{id}/approve"), json!({"reason": "seen"}))
}

fn reject(by: &As<'_>, id: &str) -> Reply {
    by.change("POST", &format!("{APPROVALS}/{id}/reject"), json!({"reason": "not now"}))
}

fn set_quota(by: &As<'_>, quota: u64) -> Reply {
    by.change("PUT", "/v1/tiers/free/quotas/text.m2/rpm", json!({"quota": quota, "reason": "more room"}))
}

fn raise(by: &As<'_>, quota: Value) -> Reply {
    let body = json!({"account": "acme", "group": "text.m2", "limit": "rpm", "quota": quota,
        "expires_at": "2999-01-31T00:00:00Z", "reason": "contract"});
    by.post("/v1/overrides", body)
}

#[test]
fn a_quota_of_a_tier_changes_once_a_second_publisher_approves_it() {
    let server = start("publish");
    let (paul, pia, rita) = (login(&server, "paul"), login(&server, "pia"), login(&server, "rita"));
    let checked = paul.change("PUT", "/v1/tiers/free/quotas/text.m2/rpm?validate_only=true", json!({"quota": 30}));
    assert_eq!(checked.is(200).json["revision"]["revision"], 2);
    paul.change("PUT", "/v1/tiers/free/quotas/text.m2/none", json!({"quota": 30})).refused(404, "not_found");

    let id = waits(set_quota(&paul, 30));

    assert_eq!(quota_of(&server), 20, "nothing is done before");
    let seen = rita.get(&format!("{APPROVALS}/{id}")).is(200);
    assert_eq!((&seen.json["operation"], &seen.json["requested"]["by"]), (&json!("setTierQuota"), &json!("paul")));
    assert_eq!(seen.json["request"]["quota"], 30);
    let path = format!("{APPROVALS}/{id}");
    rita.send("GET", &path, &[("if-none-match", seen.etag())], "").is(304);
    for step in ["approve", "reject"] {
        let unknown = pia.post(&format!("{path}/{step}?no_such=1"), json!({"reason": "seen"}));
        assert_eq!(unknown.problem(422, "invalid_request"), "/no_such");
    }
    assert!(approve(&paul, &id).refused(403, "forbidden").text.contains("you asked for"));
    assert!(approve(&rita, &id).refused(403, "forbidden").text.contains("`publisher`"));
    approve(&login(&server, "vera"), &id).refused(403, "forbidden");
    let done = approve(&pia, &id).is(200);
    assert_eq!((&done.json["state"], &done.json["made"]), (&json!("approved"), &json!("policy:2")));
    assert_eq!((&done.json["decided"]["by"], &done.json["decided"]["reason"]), (&json!("pia"), &json!("seen")));
    assert_eq!(quota_of(&server), 30);

    approve(&pia, &id).refused(409, "approval_closed");
    reject(&pia, &id).refused(409, "approval_closed");
    let entry = pia.get(&format!("/v1/audit?subject=approval:{id}")).is(200).json["items"][0].clone();
    assert_eq!((&entry["action"], &entry["actor"]), (&json!("policy.set_quota"), &json!("pia")));
    assert_eq!(entry["detail"]["approval"]["requested_by"], "paul");
    // Nor is it held up where nobody has to look at it.
    raise(&rita, json!(40)).is(201);
}

#[test]
fn a_publish_that_was_overtaken_is_refused_and_an_activation_waits_too() {
    let server = start("publish");
    let (paul, pia) = (login(&server, "paul"), login(&server, "pia"));
    let active = paul.get("/v1/policies/active").is(200);
    let mut document = active.json["document"].clone();
    document["name"] = json!("another");
    let publish = json!({"document": document, "reason": "a new name"});
    let send = |body: &Value, tag: &str| {
        paul.send("POST", "/v1/policies/revisions", &[("if-match", tag), ("idempotency-key", "k1")], &body.to_string())
    };
    let tag = active.etag().to_owned();
    let document_of = |reply: &Reply| reply.json["request"]["document"].clone();
    send(&json!({"document": {"schema": "none"}}), &tag).refused(422, "invalid_request");

    let reply = send(&publish, &tag);
    let again = send(&publish, &tag);
    assert_eq!((reply.status, again.status), (202, 202), "{}", again.text);
    assert_eq!(reply.json["id"], again.json["id"], "the same request");
    assert_eq!(again.header("idempotent-replayed"), "true");
    let first = waits(reply);
    let second = waits(set_quota(&paul, 25));
    approve(&pia, &second).is(200);

    let listed = pia.get(&format!("{APPROVALS}?state=pending")).is(200).json["items"].clone();
    assert_eq!(listed[0]["request"].get("document"), None, "documents are read one by one");
    let one = pia.get(&format!("{APPROVALS}/{first}")).is(200);
    assert_eq!(document_of(&one)["name"], "another");
    approve(&pia, &first).refused(412, "stale");
    assert_eq!(paul.get("/v1/policies/active").json["name"], active.json["name"]);
    assert_eq!(reject(&paul, &first).is(200).json["state"], "withdrawn");
    let back = waits(paul.post("/v1/policies/revisions/1/activate", json!({"reason": "back"})));
    assert_eq!(quota_of(&server), 25);
    assert_eq!(approve(&pia, &back).is(200).json["made"], "policy:1");
    assert_eq!(quota_of(&server), 20);
    let pending = pia.get(&format!("{APPROVALS}?state=pending")).is(200).json["items"].clone();
    assert_eq!(pending, json!([]));
    assert_eq!(pia.get(APPROVALS).json["items"].as_array().unwrap().len(), 3);
}

#[test]
fn an_override_above_a_ceiling_waits_for_somebody_whose_ceiling_suffices() {
    let server = start("overrides");
    let (alice, anna) = (login(&server, "alice"), login(&server, "anna"));
    let (rita, ron) = (login(&server, "rita"), login(&server, "ron"));

    raise(&rita, json!(40)).is(201);
    let made = rita.get("/v1/overrides?account=acme").is(200).json["items"][0]["id"].as_str().unwrap().to_owned();
    rita.post(&format!("/v1/overrides/{made}/revoke"), json!({"reason": "done"})).is(200);
    let above = waits(raise(&rita, json!(200)));
    let far_above = waits(raise(&alice, json!(201)));
    assert_eq!(quota_of(&server), 20);

    approve(&ron, &far_above).refused(403, "above_ceiling");
    assert_eq!(approve(&ron, &above).is(200).json["state"], "approved");
    assert_eq!(quota_of(&server), 200);
    approve(&alice, &far_above).refused(403, "forbidden");
    approve(&anna, &far_above).refused(409, "override_overlaps");
    assert_eq!(reject(&anna, &far_above).is(200).json["state"], "rejected");
    assert_eq!(quota_of(&server), 200);

    let pin = |by: &As<'_>| by.change("PUT", "/v1/accounts/acme/tier", json!({"tier": "paid", "reason": "contract"}));
    let pinned = waits(pin(&alice));
    assert_eq!(alice.get("/v1/accounts/acme/tier").json["effective"], "free");
    approve(&rita, &pinned).refused(403, "above_ceiling");
    approve(&anna, &pinned).is(200);
    assert_eq!(alice.get("/v1/accounts/acme/tier").json["effective"], "paid");
    // A floor would be for good, and nobody would have looked at it.
    let refused = alice.change("PATCH", "/v1/accounts/acme", json!({"tier": "paid"}));
    assert!(refused.refused(403, "above_ceiling").text.contains("pin"));
    // A publish does not wait here.
    set_quota(&alice, 25).is(200);
}

#[test]
fn a_role_is_granted_by_two_owners_and_nobody_can_be_two() {
    let server = start("roles");
    let (alice, anna) = (login(&server, "alice"), login(&server, "anna"));
    let at = |name: &str| format!("{PATH}/{name}");
    let mallory = json!({"name": "mallory", "role": "owner", "password": PASSWORD});
    assert!(alice.post(PATH, mallory).refused(403, "forbidden").text.contains("viewer"));
    alice.make("mallory", "viewer");

    let grant = waits(alice.change("PATCH", &at("mallory"), json!({"role": "owner"})));
    alice.change("PATCH", &at("anna"), json!({"password": "my own choice of it"})).refused(403, "forbidden");
    let both = json!({"role": "owner", "password": "my own choice of it"});
    assert_eq!(alice.change("PATCH", &at("alice"), both).problem(422, "invalid_request"), "/password");
    alice.post("/v1/api-keys", json!({"scopes": ["admin"]})).refused(403, "forbidden");
    alice.post("/v1/api-keys", json!({"scopes": ["read"]})).is(201);
    waits(alice.change("PATCH", &at("rita"), json!({"ceiling_percent": 100_000})));
    let admin_key = alice.get("/v1/api-keys").is(200).json["items"][0]["id"].as_str().unwrap().to_owned();
    alice.post(&format!("/v1/api-keys/{admin_key}/rotate"), json!({"overlap_ms": 0})).refused(403, "forbidden");
    let vera = login(&server, "vera");
    for path in [format!("{APPROVALS}/{grant}"), APPROVALS.to_owned()] {
        assert!(!vera.get(&path).is(200).text.contains("mallory"), "who may not read operators");
        assert!(anna.get(&path).is(200).text.contains("mallory"));
    }

    let by_mallory = login(&server, "mallory");
    approve(&by_mallory, &grant).refused(403, "forbidden");
    by_mallory.get(PATH).refused(403, "forbidden");
    approve(&login(&server, "paul"), &grant).refused(403, "forbidden");
    let path = format!("{APPROVALS}/{grant}/approve");
    let headers = [("if-match", "*"), ("idempotency-key", "once")];
    let first = anna.send("POST", &path, &headers, "{}").is(200);
    let again = anna.send("POST", &path, &headers, "{}").is(200);
    assert_eq!((first.text, again.header("idempotent-replayed")), (again.text.clone(), "true"));
    by_mallory.get(PATH).is(200);
    assert_eq!(alice.get(&at("mallory")).json["role"], "owner");
    // Taking oneself out of it is no grant.
    alice.send("DELETE", &at("mallory"), &[("if-match", "*")], "").is(200);
}

/// Posts nothing in particular, as whoever owns the machine; gives the whole answer.
fn over_socket(server: &Server, path: &str) -> String {
    let mut stream = UnixStream::connect(server.data().join("control.sock")).unwrap();
    let head = "host: localhost\r\nif-match: *\r\ncontent-type: application/json\r\nconnection: close\r\n";
    write!(stream, "POST {path} HTTP/1.1\r\n{head}content-length: 2\r\n\r\n{{}}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_key_neither_asks_nor_approves_and_the_machines_owner_needs_nobody() {
    let server = start("publish,overrides,roles");
    let paul = login(&server, "paul");
    let by_key = As(&server, server.key.clone().unwrap());
    set_quota(&by_key, 30).refused(403, "forbidden");
    raise(&by_key, json!(41)).refused(403, "forbidden");
    raise(&by_key, json!(40)).is(201);
    by_key.change("PATCH", &format!("{PATH}/vera"), json!({"role": "owner"})).refused(403, "forbidden");
    let id = waits(set_quota(&paul, 30));
    approve(&by_key, &id).refused(403, "forbidden");
    reject(&by_key, &id).refused(403, "forbidden");
    by_key.get(&format!("{APPROVALS}/{id}")).is(200);

    let by_socket = over_socket(&server, &format!("{APPROVALS}/{id}/approve"));
    assert!(by_socket.contains("\"state\":\"approved\""), "{by_socket}");
    assert_eq!(paul.get(APPROVALS).json["items"][0]["decided"]["by"], "console");
}

#[test]
fn whoever_asked_must_still_be_one_who_may_and_a_restart_forgets_nothing() {
    let server = start("publish,roles");
    let (paul, alice) = (login(&server, "paul"), login(&server, "alice"));
    let id = waits(set_quota(&paul, 30));
    alice.send("DELETE", &format!("{PATH}/paul"), &[("if-match", "*")], "").is(200);
    let pia = login(&server, "pia");

    assert!(approve(&pia, &id).refused(409, "approval_closed").text.contains("may not do this any more"));
    let other = waits(set_quota(&pia, 31));
    let server = Control(server).after_kill();

    let alice = login(&server.0, "alice");
    reject(&alice, &id).is(200);
    approve(&alice, &other).is(200);
    assert_eq!(server.get("/v1/tiers").json["tiers"][0]["quotas"][0]["quota"], 31);
}

#[test]
fn of_two_who_approve_at_once_one_is_told() {
    let server = start("publish");
    let (paul, pia, alice) = (login(&server, "paul"), login(&server, "pia"), login(&server, "alice"));
    for quota in 30..40 {
        let id = waits(set_quota(&paul, quota));
        let mut statuses = std::thread::scope(|scope| {
            [&pia, &alice].map(|by| scope.spawn(|| approve(by, &id).status)).map(|done| done.join().unwrap())
        });
        statuses.sort_unstable();
        assert!(matches!(statuses, [200, 409 | 412]), "{statuses:?}");
        assert_eq!(quota_of(&server), quota);
    }
    assert_eq!(pia.get("/v1/policies/active").json["revision"], 11);
}

#[cfg(feature = "manual-clock")]
#[test]
fn what_nobody_approved_is_over_after_a_week() {
    let server = start("publish");
    let paul = login(&server, "paul");
    let id = waits(set_quota(&paul, 30));

    let server = Control(server);
    server.advance_minutes(7 * 24 * 60);

    let pia = login(&server.0, "pia");
    let pending = || pia.get(&format!("{APPROVALS}?state=pending")).is(200).json["items"].as_array().unwrap().len();
    assert_eq!(pia.get(&format!("{APPROVALS}/{id}")).json["state"], "expired");
    assert_eq!(pending(), 0);
    approve(&pia, &id).refused(409, "approval_closed");
    waits(set_quota(&pia, 30));
    assert_eq!(pending(), 1);
}
