//! Operators: from the first owner to the last, and what their roles allow.

use crate::control::Control;
use crate::documents::operations;
use crate::people::{As, PASSWORD, PATH, login, owner, try_login};
use crate::support::{Reply, Server};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Output, Stdio};

#[test]
fn the_setup_token_makes_the_first_owner_who_logs_in() {
    let server = Control::bare();
    let first = |role: &str, password: &str| json!({"name": "alice", "role": role, "password": password});
    server.post(PATH, first("owner", PASSWORD)).refused(401, "unauthorized");
    server.0.set_up(PATH, &first("viewer", PASSWORD)).refused(422, "invalid_request");
    server.0.set_up(PATH, &first("owner", "too short")).refused(422, "invalid_request");

    let alice = owner(&server.0);

    server.0.set_up(PATH, &first("owner", PASSWORD)).refused(401, "unauthorized");
    alice.post("/v1/accounts", json!({"id": "acme"})).is(201);
    server.get("/v1/accounts/acme").refused(401, "unauthorized");
    assert_eq!(alice.get("/v1/me").is(200).json, json!({"actor": "alice", "actor_kind": "operator", "role": "owner"}));
    alice.post("/v1/accounts/acme/suspend", json!({"reason": "late"})).is(200);
    let entry = alice.get("/v1/audit?page_size=1").is(200).json["items"][0].clone();
    assert_eq!((&entry["actor_kind"], &entry["actor"]), (&json!("operator"), &json!("alice")));
    let refusals = || {
        let log = alice.get("/v1/security-log").is(200).json["items"].as_array().unwrap().clone();
        log.into_iter()
            .filter(|attempt| attempt["kind"] == "access.unauthorized" && attempt["name"] == "GET /v1/accounts/acme")
            .collect::<Vec<_>>()
    };
    // Nobody waits for it to be written.
    let found = (0..100).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        refusals().pop()
    });
    assert!(found.is_some());
    alice.post(PATH, first("owner", PASSWORD)).refused(409, "operator_exists");
    // A key may have whatever scope now: an owner can make the next.
    alice.post("/v1/api-keys", json!({"scopes": ["decide"]})).is(201);
    alice.send("DELETE", "/v1/sessions/current", &[], "").is(204);
    alice.get("/v1/accounts/acme").refused(401, "unauthorized");
    let again = login(&server.0, "alice").1;
    let server = server.after_kill();
    As(&server.0, again).get("/v1/accounts/acme").is(200);
}

#[test]
fn every_operation_is_for_the_roles_that_it_names() {
    let server = Server::start();
    let alice = owner(&server);
    for role in ["viewer", "support", "reviewer", "publisher"] {
        alice.make(role, role);
    }
    alice.make("another", "owner");
    let document = server.get("/openapi.json").json;
    let items = document["paths"].as_object().unwrap().values();
    let declared: Vec<&Value> = items.flat_map(|item| item.as_object().unwrap().values()).collect();

    for (name, role) in [
        ("viewer", "viewer"),
        ("support", "support"),
        ("reviewer", "reviewer"),
        ("publisher", "publisher"),
        ("another", "owner"),
    ] {
        let person = login(&server, name);
        let (mut let_in, mut refused) = (0, 0);
        for (operation, (method, path)) in declared.iter().zip(operations(&document)) {
            let Some(roles) = operation["x-required"]["roles"].as_array() else { continue };
            if path == "/v1/sessions/current" {
                continue;
            }
            let reply = person.send(&method, &path, &[], "{}");
            if roles.contains(&json!(role)) {
                assert!(!matches!(reply.status, 401 | 403 | 500), "{role} {method} {path}: {}", reply.text);
                let_in += 1;
            } else {
                reply.problem(403, "forbidden");
                let detail = reply.json["detail"].as_str().unwrap();
                assert!(detail.contains("`owner`") && detail.contains(&format!("`{role}`")), "{detail}");
                refused += 1;
            }
        }
        assert!(let_in > 20, "{role} {let_in}");
        assert_eq!(refused == 0, role == "owner", "{role} {refused}");
    }
}

#[test]
fn an_owner_is_always_left_and_a_new_password_ends_sessions() {
    let server = Server::start();
    let alice = owner(&server);
    let own = format!("{PATH}/alice");
    alice.change("PATCH", &own, json!({"role": "viewer"})).refused(409, "last_owner");
    alice.change("DELETE", &own, json!({})).refused(409, "last_owner");
    alice.send("DELETE", &own, &[], "").refused(428, "precondition_required");
    alice.make("bob", "owner");
    let bob = login(&server, "bob");

    bob.change("PATCH", &own, json!({"role": "viewer"})).is(200);

    alice.get(PATH).refused(403, "forbidden");
    bob.change("PATCH", &own, json!({"password": "another long password"})).is(200);
    alice.get("/v1/me").refused(401, "unauthorized");
    try_login(&server, "alice", PASSWORD).refused(401, "unauthorized");
    let token = try_login(&server, "alice", "another long password").is(200).json["token"].as_str().unwrap().to_owned();
    let alice = As(&server, token);
    assert_eq!(alice.get("/v1/me").is(200).json["role"], "viewer");
    bob.change("DELETE", &own, json!({})).is(200);
    alice.get("/v1/me").refused(401, "unauthorized");
    bob.get(&own).refused(404, "not_found");
    let tag = bob.get(&format!("{PATH}/bob")).is(200).etag().to_owned();
    bob.send("GET", &format!("{PATH}/bob"), &[("if-none-match", &tag)], "").is(304);
}

#[cfg(feature = "manual-clock")]
#[test]
fn failed_logins_wait_and_sessions_end_by_themselves() {
    let server = Control::start();
    let alice = owner(&server.0);
    let key =
        alice.post("/v1/api-keys", json!({"scopes": ["admin"]})).is(201).json["secret"].as_str().unwrap().to_owned();
    for name in ["alice", "nobody"] {
        for _ in 0..4 {
            try_login(&server.0, name, "wrong password").refused(401, "unauthorized");
        }
        let delayed = try_login(&server.0, name, "wrong password").refused(429, "too_many_attempts");
        assert_eq!(delayed.header("retry-after"), "1");
    }
    try_login(&server.0, "alice", PASSWORD).refused(429, "too_many_attempts");
    // Who is in stays in.
    alice.get("/v1/me").is(200);
    As(&server.0, key.clone()).get("/v1/me").is(200);

    server.advance_minutes(1);

    let long = login(&server.0, "alice");
    let kinds: Vec<String> = {
        let log = alice.get("/v1/security-log").is(200).json["items"].as_array().unwrap().clone();
        log.iter().map(|attempt| attempt["kind"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((kinds[0].as_str(), kinds[1].as_str()), ("login.succeeded", "login.delayed"));
    assert_eq!(kinds.iter().filter(|kind| *kind == "login.failed").count(), 8, "{kinds:?}");
    for _ in 0..14 {
        server.advance_minutes(11 * 60);
        long.get("/v1/me").is(200);
    }
    alice.get("/v1/me").refused(401, "unauthorized");
    server.advance_minutes(15 * 60);
    long.get("/v1/me").refused(401, "unauthorized");
    As(&server.0, key).get("/v1/me").is(200);
}

#[test]
fn no_password_and_no_token_is_kept_or_logged() {
    let server = Server::start();
    let alice = owner(&server);
    let wrong = "a wrong password, once";
    try_login(&server, "alice", wrong).refused(401, "unauthorized");
    let headers = [("idempotency-key", "k1")];
    let bob = json!({"name": "bob", "role": "viewer", "password": PASSWORD}).to_string();
    alice.send("POST", PATH, &headers, &bob).is(201);
    // Nothing of it is kept under the key, so it is not known to be the same.
    alice.send("POST", PATH, &headers, &bob).refused(409, "operator_exists");
    let told = [alice.get(PATH).is(200).text, alice.get("/v1/audit").is(200).text];
    let secrets = [PASSWORD.to_owned(), wrong.to_owned(), alice.1];
    let server = server.restart();
    let holds = |bytes: &[u8]| secrets.iter().any(|s| bytes.windows(s.len()).any(|window| window == s.as_bytes()));
    for file in crate::billing_sources::files_under(&server.data()) {
        assert!(!holds(&std::fs::read(&file).unwrap()), "{}", file.display());
    }
    assert!(!told.iter().chain([&server.log()]).any(|text| holds(text.as_bytes())));
    assert!(told.iter().all(|text| !text.contains("salt")));
}

#[test]
fn sessions_are_listed_and_ended_one_by_one() {
    let server = Server::bare();
    let alice = owner(&server);
    alice.make("bob", "viewer");
    let (first, second) = (login(&server, "bob"), login(&server, "bob"));
    let ids = |reply: Reply| -> Vec<(String, bool)> {
        let items = reply.is(200).json["items"].as_array().unwrap().clone();
        items.iter().map(|item| (item["id"].as_str().unwrap().to_owned(), item["current"] == true)).collect()
    };

    let own = ids(first.get("/v1/sessions"));

    assert_eq!(own.iter().map(|(_, current)| *current).collect::<Vec<_>>(), [false, true]);
    first.send("DELETE", &format!("/v1/sessions/{}", own[0].0), &[], "").is(204);
    second.get("/v1/me").refused(401, "unauthorized");
    first.get("/v1/operators/bob/sessions").refused(403, "forbidden");
    // Another's session is none of one's own.
    let hers = ids(alice.get("/v1/sessions"));
    first.send("DELETE", &format!("/v1/sessions/{}", hers[0].0), &[], "").refused(404, "not_found");
    alice.get("/v1/me").is(200);
    let seen = ids(alice.get("/v1/operators/bob/sessions"));
    assert_eq!(seen, [(own[1].0.clone(), false)]);
    alice.send("DELETE", &format!("/v1/operators/bob/sessions/{}", seen[0].0), &[], "").is(204);
    first.get("/v1/me").refused(401, "unauthorized");
    assert_eq!(ids(alice.get("/v1/operators/bob/sessions")), []);
    alice.get("/v1/operators/nobody/sessions").refused(404, "not_found");
}

#[test]
fn one_changes_ones_own_password_and_the_other_sessions_end() {
    let server = Server::bare();
    let alice = owner(&server);
    alice.make("bob", "viewer");
    let (bob, other) = (login(&server, "bob"), login(&server, "bob"));
    let path = "/v1/operators/bob/password";
    let change = |current: &str, new: &str| bob.post(path, json!({"current": current, "password": new}));

    assert_eq!(change("a wrong password", "another long password").problem(422, "invalid_request"), "/current");
    assert_eq!(change(PASSWORD, "too short").problem(422, "invalid_request"), "/password");
    bob.post("/v1/operators/alice/password", json!({"current": PASSWORD, "password": PASSWORD}))
        .refused(403, "forbidden");
    change(PASSWORD, "another long password").is(200);

    bob.get("/v1/me").is(200);
    other.get("/v1/me").refused(401, "unauthorized");
    try_login(&server, "bob", PASSWORD).refused(401, "unauthorized");
    try_login(&server, "bob", "another long password").is(200);
    let guesses: Vec<u16> = (0..6).map(|_| change("a wrong password", "yet another password").status).collect();
    assert!(guesses.contains(&429), "{guesses:?}");
}

#[test]
fn a_reviewer_raises_quotas_up_to_the_ceiling() {
    let server = Control::bare();
    let alice = owner(&server.0);
    let rita = json!({"name": "rita", "role": "reviewer", "ceiling_percent": 300, "password": PASSWORD});
    assert_eq!(alice.post(PATH, rita).is(201).json["ceiling_percent"], 300);
    alice.make("ron", "reviewer");
    let viewer = json!({"name": "vera", "role": "viewer", "ceiling_percent": 300, "password": PASSWORD});
    assert_eq!(alice.post(PATH, viewer).problem(422, "invalid_request"), "/ceiling_percent");
    alice.post("/v1/accounts", json!({"id": "acme"})).is(201);
    let (rita, ron) = (login(&server.0, "rita"), login(&server.0, "ron"));
    // The free tier has 20 requests a minute and 1,000,000 tokens.
    let raise = |by: &As<'_>, limit: &str, quota: Value| {
        let body = json!({"account": "acme", "group": "text.m2", "limit": limit, "quota": quota, "permanent": true,
            "reason": "contract"});
        by.post("/v1/overrides", body)
    };

    let refused = raise(&ron, "rpm", json!(41)).refused(403, "above_ceiling");
    assert!(refused.json["detail"].as_str().unwrap().contains("`40`"), "{}", refused.text);
    raise(&rita, "rpm", json!(61)).refused(403, "above_ceiling");
    raise(&rita, "rpm", json!("unlimited")).refused(403, "above_ceiling");
    let made = raise(&rita, "rpm", json!(60)).is(201);

    let decided = alice.post("/v1/decisions", json!({"account": "acme", "resource": "MiniMax-M2"})).is(200).json;
    assert_eq!(decided["limits"][0]["quota"], 60);
    // Paid accounts have 500 requests a minute: a pin would be a way around the ceiling.
    let pin = json!({"tier": "paid", "reason": "contract"});
    rita.change("PUT", "/v1/accounts/acme/tier", pin.clone()).refused(403, "above_ceiling");
    alice.change("PATCH", &format!("{PATH}/rita"), json!({"ceiling_percent": 2500})).is(200);
    rita.change("PUT", "/v1/accounts/acme/tier", pin).is(200);
    rita.post(&format!("{}/revoke", made.header("location")), json!({"reason": "again"})).is(200);
    // Counted from the account's own tier, not from the pin.
    raise(&rita, "rpm", json!(501)).refused(403, "above_ceiling");
    raise(&alice, "rpm", json!(100_000)).is(201);
    // Another role has no ceiling any more.
    assert_eq!(
        alice.change("PATCH", &format!("{PATH}/rita"), json!({"role": "owner"})).is(200).json.get("ceiling_percent"),
        None
    );
}

#[test]
fn a_floor_is_no_way_around_a_ceiling() {
    let server = Server::bare();
    let alice = owner(&server);
    alice.make("rita", "reviewer");
    alice.make("sam", "support");
    let new = |id: &str, tier: &str| json!({"id": id, "tier": tier});
    let (rita, sam) = (login(&server, "rita"), login(&server, "sam"));

    for by in [&rita, &sam] {
        by.post("/v1/accounts", new("high", "paid")).refused(403, "above_ceiling");
        by.post("/v1/accounts", new("low", "free")).is(if by.1 == rita.1 { 201 } else { 409 });
        let raised = by.change("PATCH", "/v1/accounts/low", json!({"tier": "paid"}));
        assert!(raised.refused(403, "above_ceiling").text.contains("floor"));
        by.change("PATCH", "/v1/accounts/low", json!({"name": "Low"})).is(200);
    }
    alice.change("PATCH", "/v1/accounts/low", json!({"tier": "paid"})).is(200);
    assert_eq!(sam.get("/v1/accounts/low").json["tier"]["effective"], "paid");
    sam.change("PATCH", "/v1/accounts/low", json!({"tier": "paid", "name": "Paid"})).is(200);
    sam.change("PATCH", "/v1/accounts/low", json!({"tier": null})).is(200);
    sam.change("PATCH", "/v1/accounts/low", json!({"tier": "paid"})).refused(403, "above_ceiling");
    // What was reached can be lost by a refund; a floor cannot.
    let paid = json!({"event_id": "e1", "payment_id": "p1", "amount": 100, "currency": "CNY"});
    alice.post("/v1/accounts/low/top-ups", paid).is(201);
    sam.change("PATCH", "/v1/accounts/low", json!({"tier": "paid"})).refused(403, "above_ceiling");
}

#[test]
fn of_two_who_edit_one_operator_at_once_one_is_told() {
    let server = Server::bare();
    let alice = owner(&server);
    alice.make("bob", "viewer");
    let path = format!("{PATH}/bob");
    let tag = alice.get(&path).is(200).etag().to_owned();

    let edit = |role: &str| alice.send("PATCH", &path, &[("if-match", &tag)], &json!({"role": role}).to_string());
    let mut statuses = std::thread::scope(|scope| {
        ["support", "reviewer"].map(|role| scope.spawn(move || edit(role).status)).map(|edit| edit.join().unwrap())
    });

    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
    assert!(["support", "reviewer"].contains(&alice.get(&path).json["role"].as_str().unwrap()));
}

#[test]
fn of_two_operators_who_edit_one_account_at_once_one_is_told_and_nothing_is_lost() {
    let server = Control::bare();
    let alice = owner(&server.0);
    alice.make("bob", "support");
    let bob = login(&server.0, "bob");
    alice.post("/v1/accounts", json!({"id": "acme"})).is(201);
    let path = "/v1/accounts/acme";
    for _ in 0..20 {
        let tag = alice.get(path).is(200).etag().to_owned();
        let edit = |by: &As<'_>, name: &str| {
            by.send("PATCH", path, &[("if-match", &tag)], &json!({"name": name}).to_string()).status
        };

        let done = std::thread::scope(|scope| {
            let hers = scope.spawn(|| edit(&alice, &format!("alice {tag}")));
            let his = scope.spawn(|| edit(&bob, &format!("bob {tag}")));
            [("alice", hers.join().unwrap()), ("bob", his.join().unwrap())]
        });

        let (won, lost): (Vec<_>, Vec<_>) = done.into_iter().partition(|(_, status)| *status == 200);
        assert_eq!((won.len(), lost[0].1), (1, 412), "{lost:?}");
        assert_eq!(alice.get(path).json["name"], format!("{} {tag}", won[0].0));
        let newest = alice.get("/v1/audit?page_size=1&subject=account:acme").is(200).json["items"][0]["actor"].clone();
        assert_eq!(newest, won[0].0);
    }
}

fn operator(server: &Server, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_quotagate"))
        .arg("operator")
        .args(arguments)
        .arg("--data")
        .arg(server.data())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that is refused before does not read it.
    _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

#[test]
fn whoever_owns_the_machine_recovers_by_the_command() {
    let mut server = Server::bare();
    server.signal(rustix::process::Signal::TERM);
    server.ended();
    let line = format!("{PASSWORD}\n");

    let too_short = operator(&server, &["create", "alice", "--role", "owner"], "short\n");
    let made = operator(&server, &["create", "alice", "--role", "owner"], &line);
    let bob = operator(&server, &["create", "bob", "--role", "support", "--password-file", "-"], &line);
    let reset = operator(&server, &["reset-password", "alice"], "another long password\n");
    let last = operator(&server, &["remove", "alice"], "");
    let removed = operator(&server, &["remove", "bob"], "");
    let listed = operator(&server, &["list"], "");

    assert_eq!((too_short.status.code(), last.status.code()), (Some(1), Some(1)), "{too_short:?} {last:?}");
    for done in [&made, &bob, &reset, &removed, &listed] {
        assert!(done.status.success(), "{done:?}");
    }
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("alice") && !listed.contains("bob"), "{listed}");
    let server = Server::on_the_folder_of(&server);
    server.get("/v1/accounts").refused(401, "unauthorized");
    try_login(&server, "alice", PASSWORD).refused(401, "unauthorized");
    try_login(&server, "alice", "another long password").is(200);
}

#[test]
fn logins_leave_the_audit_log_alone_and_outlive_a_kill() {
    let server = Control(Server::start());
    let alice = owner(&server.0);
    let head = || alice.get("/v1/audit/head").is(200).json["seq"].clone();

    let before = head();
    let sessions: Vec<String> = (0..5).map(|_| login(&server.0, "alice").1).collect();
    As(&server.0, sessions[0].clone()).send("DELETE", "/v1/sessions/current", &[], "").is(204);
    assert_eq!(head(), before);
    let server = server.after_kill();

    As(&server.0, sessions[0].clone()).get("/v1/me").refused(401, "unauthorized");
    for open in &sessions[1..] {
        As(&server.0, open.clone()).get("/v1/me").is(200);
    }
    let entries = As(&server.0, sessions[1].clone()).get("/v1/security-log").is(200).json["items"].clone();
    let logins = entries.as_array().unwrap().iter().filter(|entry| entry["kind"] == "login.succeeded");
    assert!(logins.count() >= 5, "{entries}");
}

#[test]
fn a_session_is_not_one_of_an_operator_of_the_same_name_who_came_later() {
    let server = Control(Server::start());
    let alice = owner(&server.0);
    alice.make("bob", "viewer");
    let bob = login(&server.0, "bob").1;
    As(&server.0, bob.clone()).get("/v1/me").is(200);

    alice.change("DELETE", "/v1/operators/bob", json!({})).is(200);
    As(&server.0, bob.clone()).get("/v1/me").refused(401, "unauthorized");
    alice.make("bob", "support");
    let other = login(&server.0, "bob").1;

    As(&server.0, bob.clone()).get("/v1/me").refused(401, "unauthorized");
    As(&server.0, other.clone()).get("/v1/me").is(200);
    let server = server.after_kill();
    As(&server.0, bob).get("/v1/me").refused(401, "unauthorized");
    As(&server.0, other).get("/v1/me").is(200);
}
