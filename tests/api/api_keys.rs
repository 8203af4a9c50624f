//! API keys: from the first one to the last, and who may call what.

use crate::control::{Control, JSON};
use crate::documents::operations;
use crate::support::{Reply, Server};
use serde_json::{Value, json};
use std::process::{Command, Output};

const PATH: &str = "/v1/api-keys";
const UNKNOWN: &str = "qg_000000000000000000000000000000000t";

/// A client that presents a secret.
struct As<'s>(&'s Server, String);

impl As<'_> {
    fn send(&self, method: &str, path: &str, body: &str) -> Reply {
        self.0.send(method, path, &[JSON, ("authorization", &format!("Bearer {}", self.1))], body)
    }

    fn get(&self, path: &str) -> Reply {
        self.send("GET", path, "")
    }

    fn post(&self, path: &str, body: Value) -> Reply {
        self.send("POST", path, &body.to_string())
    }

    fn decide(&self, account: &str) -> Reply {
        self.post("/v1/decisions", json!({"account": account, "resource": "MiniMax-M2"}))
    }

    /// Makes a key; gives its secret and its id.
    fn make(&self, body: Value) -> (String, String) {
        secret_and_id(&self.post(PATH, body).is(201))
    }
}

fn secret_and_id(made: &Reply) -> (String, String) {
    (made.json["secret"].as_str().unwrap().to_owned(), made.json["id"].as_str().unwrap().to_owned())
}

/// The first key, which may everything.
fn first(server: &Server) -> String {
    let body = json!({"name": "automation", "scopes": ["admin"]});
    let made = if server.is_bare() { server.set_up(PATH, &body) } else { server.post(PATH, &body) };
    secret_and_id(&made.is(201)).0
}

#[test]
fn from_the_start_on_every_request_needs_a_key_and_the_setup_token_makes_the_first() {
    let server = Control::bare();
    let refused = server.post(PATH, json!({"scopes": ["admin"]})).refused(401, "unauthorized");
    assert!(refused.json["detail"].as_str().unwrap().contains("setup token"), "{}", refused.text);
    let setup = As(&server.0, server.0.setup.clone().unwrap());
    setup.get("/v1/accounts").refused(403, "forbidden");
    setup.decide("acme").refused(403, "forbidden");
    setup.post(PATH, json!({"scopes": ["decide"]})).refused(422, "invalid_request");
    setup.post(PATH, json!({"scopes": []})).refused(422, "invalid_request");
    setup.post(&format!("{PATH}?validate_only=true"), json!({"scopes": ["admin"]})).is(200);
    // Not used, it goes with the process; the next start has another.
    let stale = setup.1;
    let server = server.after_kill();
    As(&server.0, stale).post(PATH, json!({"scopes": ["admin"]})).refused(401, "unauthorized");
    let setup = As(&server.0, server.0.setup.clone().unwrap());

    let made = setup.post(PATH, json!({"scopes": ["admin"]})).is(201);

    setup.post(PATH, json!({"scopes": ["admin"]})).refused(401, "unauthorized");
    As(&server.0, made.json["secret"].as_str().unwrap().to_owned()).post("/v1/accounts", json!({"id": "acme"})).is(201);

    let secret = made.json["secret"].as_str().unwrap();
    assert!(secret.starts_with("qg_") && secret.len() == 37, "{secret}");
    assert_eq!(made.header("cache-control"), "no-store");
    let refused = server.get("/v1/accounts/acme").refused(401, "unauthorized");
    assert_eq!(refused.header("www-authenticate"), "Bearer");
    server.0.post("/v1/decisions", &json!({"account": "acme", "resource": "MiniMax-M2"})).refused(401, "unauthorized");
    for path in ["/v1/nowhere", "/metrics", "/v1/%61ccounts", "/v1/accounts/%61cme"] {
        server.get(path).refused(401, "unauthorized");
    }
    for open in ["/healthz", "/readyz", "/openapi.json", "/docs/", "/docs/errors"] {
        server.get(open).is(200);
    }
    let admin = As(&server.0, secret.to_owned());
    assert_eq!(admin.decide("acme").is(200).json["decision"], "allow");
    admin.get("/v1/nowhere").refused(404, "no_such_path");
    admin.post("/v1/accounts/acme/suspend", json!({"reason": "late"})).is(200);
    let entry = admin.get("/v1/audit?page_size=1").is(200).json["items"][0].clone();
    assert_eq!((&entry["actor_kind"], &entry["actor"]), (&json!("api_key"), &made.json["id"]));
    let server = server.after_kill();
    assert_eq!(server.0.setup, None);
    server.get("/v1/accounts/acme").refused(401, "unauthorized");
    As(&server.0, secret.to_owned()).get("/v1/accounts/acme").is(200);
}

#[test]
fn what_is_no_valid_key_is_told_apart_from_none() {
    let server = Server::start();
    let admin = As(&server, first(&server));

    for (header, word) in [
        ("Basic YTpi", "form"),
        ("Bearer", "form"),
        ("Bearer qg_0", "not an API key, session"),
        (&*format!("Bearer {}", &admin.1[..36]), "not an API key, session"),
        (&*format!("Bearer {}x", admin.1), "not an API key, session"),
    ] {
        let refused = server.send("GET", "/v1/accounts", &[("authorization", header)], "").refused(401, "unauthorized");
        assert!(refused.json["detail"].as_str().unwrap().contains(word), "{header}: {}", refused.text);
    }
    server.send("GET", "/v1/accounts", &[("authorization", &format!("bearer {}", admin.1))], "").is(200);
    server.send("HEAD", "/v1/accounts", &[("authorization", &format!("Bearer {UNKNOWN}"))], "").is(401);
}

/// A body that the operation may find fault with, but only after it was decided who may call it.
fn walk(server: &Server, headers: &[(&str, &str)], judge: impl Fn(&Value, &str, &Reply)) -> usize {
    let document = server.get("/openapi.json").json;
    let items = document["paths"].as_object().unwrap().values();
    let declared: Vec<Value> = items.flat_map(|item| item.as_object().unwrap().values().cloned()).collect();
    let operations = operations(&document);
    assert_eq!(declared.len(), operations.len());
    for (operation, (method, path)) in declared.iter().zip(&operations) {
        let reply = server.send(method, path, &[&[JSON], headers].concat(), "{}");
        judge(operation, &format!("{method} {path}"), &reply);
    }
    operations.len()
}

#[test]
fn no_operation_is_for_those_without_a_credential_or_with_too_little() {
    let server = Server::bare();
    let admin = As(&server, first(&server));

    let walked = walk(&server, &[], |operation, at, reply| match operation.get("security") {
        Some(_) => _ = reply.problem(401, "unauthorized"),
        None => {
            let judged = at.contains("/hooks/") || at == "POST /v1/sessions";
            assert!(reply.status == 200 || judged, "{at}: {}", reply.text);
        }
    });

    assert!(walked > 60, "{walked}");
    admin.post("/v1/accounts", json!({"id": "acme"})).is(201);
    for scope in ["decide", "billing", "read", "raise", "admin"] {
        // By `raise` a key acts for one account.
        let body = match scope {
            "raise" => json!({"scopes": [scope], "account": "acme"}),
            _ => json!({"scopes": [scope]}),
        };
        let (secret, _) = admin.make(body);
        let mut let_in = 0;
        let authorization = format!("Bearer {secret}");
        let judge = |operation: &Value, at: &str, reply: &Reply| {
            let Some(needed) = operation["x-required"]["scopes"].as_array() else { return 0 };
            if needed.is_empty() {
                reply.problem(403, "forbidden");
                assert!(reply.json["detail"].as_str().unwrap().contains("people who log in"), "{at}: {}", reply.text);
                return 0;
            }
            if scope == "admin" || needed.contains(&json!(scope)) {
                assert!(!matches!(reply.status, 401 | 403 | 500), "{scope} {at}: {}", reply.text);
                return 1;
            }
            reply.problem(403, "forbidden");
            let detail = reply.json["detail"].as_str().unwrap();
            assert!(detail.contains(&format!("`{}`", needed[0].as_str().unwrap())), "{at}: {detail}");
            0
        };
        let count = std::cell::Cell::new(0);
        walk(&server, &[("authorization", &authorization)], |operation, at, reply| {
            count.set(count.get() + judge(operation, at, reply));
        });
        let_in += count.get();
        assert!(let_in > 5, "{scope} {let_in}");
    }
    let unbound = As(&server, admin.make(json!({"scopes": ["raise"]})).0);
    for (method, path) in operations(&server.get("/openapi.json").json) {
        if path.starts_with("/v1/raise-requests") {
            unbound.send(&method, &path, "{}").refused(403, "forbidden");
        }
    }
}

#[test]
fn a_bound_key_sees_and_decides_for_its_account_alone() {
    let server = Control::start();
    for account in ["acme", "globex"] {
        server.create(account);
        server.post(&format!("/v1/accounts/{account}/sub-accounts"), json!({"id": format!("{account}-eu")})).is(201);
    }
    let admin = As(&server.0, first(&server.0));
    for scope in ["admin", "billing"] {
        admin.post(PATH, json!({"scopes": [scope], "account": "acme"})).refused(422, "invalid_request");
    }
    admin.post(PATH, json!({"scopes": ["decide"], "account": "acme-eu"})).refused(409, "not_a_main_account");
    admin.post(PATH, json!({"scopes": ["decide"], "account": "nobody"})).refused(404, "not_found");
    let theirs = admin.post("/v1/decisions", json!({"account": "globex", "resource": "music-2.0", "reserve": {}}));
    let theirs = theirs.is(200).json["reservation"]["handle"].as_str().unwrap().to_owned();

    let (secret, _) = admin.make(json!({"scopes": ["decide", "read"], "account": "acme"}));

    let bound = As(&server.0, secret);
    for own in ["acme", "acme-eu"] {
        assert_eq!(bound.decide(own).is(200).json["decision"], "allow");
        bound.get(&format!("/v1/accounts/{own}/usage")).is(200);
    }
    for other in ["globex", "globex-eu", "nobody"] {
        bound.decide(other).refused(404, "not_found");
        for view in ["", "/usage", "/limits", "/ledger", "/tier"] {
            bound.get(&format!("/v1/accounts/{other}{view}")).refused(404, "not_found");
        }
    }
    let decision = |account: &str| json!({"account": account, "resource": "MiniMax-M2"});
    let batch = json!({"decisions": [decision("acme"), decision("globex")]});
    let results = bound.post("/v1/decisions/batch", batch).is(200).json["results"].clone();
    assert_eq!((&results[0]["decision"], &results[1]["error"]["code"]), (&json!("allow"), &json!("not_found")));
    for act in ["settle", "cancel"] {
        bound.post(&format!("/v1/reservations/{theirs}/{act}"), json!({})).refused(404, "unknown_reservation");
    }
    bound.get(&format!("/v1/reservations/{theirs}")).refused(404, "unknown_reservation");
    bound.get("/v1/reservations/rs_x").refused(422, "invalid_request");
    let own = bound.post("/v1/decisions", json!({"account": "acme-eu", "resource": "music-2.0", "reserve": {}}));
    let own = own.is(200).json["reservation"]["handle"].as_str().unwrap().to_owned();
    bound.post(&format!("/v1/reservations/{own}/settle"), json!({})).is(200);
    for all in ["/v1/accounts", "/v1/overrides", "/v1/audit", "/v1/ledger/digest", "/metrics"] {
        bound.get(all).refused(403, "forbidden");
    }
    bound.get("/v1/tiers").is(200);
    // Every read of an account, by the document.
    let checked = std::cell::Cell::new(0);
    let authorization = format!("Bearer {}", bound.1);
    let document = server.get("/openapi.json").json;
    for (method, path) in operations(&document) {
        if let Some(rest) = path.strip_prefix("/v1/accounts/") {
            let view = rest.split_once('/').map_or("", |(_, view)| view);
            let path = format!("/v1/accounts/globex/{view}").trim_end_matches('/').to_owned();
            let reply = server.0.send(&method, &path, &[JSON, ("authorization", &authorization)], "{}");
            assert!(matches!(reply.status, 403 | 404), "{method} {path}: {}", reply.text);
            checked.set(checked.get() + 1);
        }
    }
    assert!(checked.get() > 15, "{}", checked.get());
}

#[test]
fn a_revoked_key_is_refused_at_once_and_the_server_stays_closed() {
    let server = Server::bare();
    let admin = As(&server, first(&server));
    let (secret, id) = admin.make(json!({"scopes": ["decide"]}));
    let key = As(&server, secret);
    key.decide("acme").is(200);

    let tag = admin.get(&format!("{PATH}/{id}")).is(200).etag().to_owned();
    let authorization = format!("Bearer {}", admin.1);
    let headers = [("authorization", &*authorization), ("if-none-match", &*tag)];
    server.send("GET", &format!("{PATH}/{id}"), &headers, "").is(304);

    let revoked = admin.post(&format!("{PATH}/{id}/revoke"), json!({"reason": "leaked"})).is(200);

    assert_eq!(revoked.json["revoked"]["reason"], "leaked");
    key.decide("acme").refused(401, "unauthorized");
    admin.post(&format!("{PATH}/{id}/rotate"), json!({})).refused(409, "conflict");
    let all = admin.get(PATH).is(200).json["items"].as_array().unwrap().clone();
    assert_eq!(all.iter().map(|key| key.get("revoked").is_some()).collect::<Vec<_>>(), [false, true]);
    let own = all[0]["id"].as_str().unwrap();
    admin.post(&format!("{PATH}/{own}/revoke"), json!({"reason": "the last one"})).is(200);
    server.get("/v1/accounts").refused(401, "unauthorized");
    let server = server.restart();
    server.get("/v1/accounts").refused(401, "unauthorized");
}

#[cfg(feature = "manual-clock")]
#[test]
fn rotation_overlaps_and_an_end_comes_when_it_was_said() {
    let server = Control::start();
    let admin = As(&server.0, first(&server.0));
    let (old, id) = admin.make(json!({"scopes": ["decide"]}));
    let now = admin.get(&format!("{PATH}/{id}")).json["created_at"].as_str().unwrap().to_owned();
    let day: &str = &now[..10];
    let next_year = format!("{}{}", day[..4].parse::<u32>().unwrap() + 1, &now[4..]);
    let (ending, _) = admin.make(json!({"scopes": ["read"], "expires_at": next_year}));
    let rotate = |overlap_ms: i64| admin.post(&format!("{PATH}/{id}/rotate"), json!({"overlap_ms": overlap_ms}));
    let is_taken = |secret: &str| match As(&server.0, secret.to_owned()).decide("acme").status {
        200 => true,
        401 => false,
        other => panic!("{other}"),
    };
    rotate(-1).refused(422, "invalid_request");

    let second = secret_and_id(&rotate(10 * 60_000).is(200)).0;

    assert!(is_taken(&old) && is_taken(&second));
    server.advance_minutes(9);
    assert!(is_taken(&old) && is_taken(&second));
    server.advance_minutes(1);
    assert!(!is_taken(&old) && is_taken(&second));
    let third = secret_and_id(&rotate(60_000).is(200)).0;
    let fourth = secret_and_id(&rotate(0).is(200)).0;
    assert_eq!([&second, &third, &fourth].map(|secret| is_taken(secret)), [false, false, true]);
    As(&server.0, ending.clone()).get("/v1/tiers").is(200);
    server.advance_minutes(367 * 24 * 60);
    As(&server.0, ending).get("/v1/tiers").refused(401, "unauthorized");
}

#[test]
fn when_a_key_was_last_used_outlives_a_stop() {
    let server = Server::bare();
    let secret = first(&server);
    let used = |server: &Server| {
        let admin = As(server, secret.clone());
        admin.get(PATH).is(200).json["items"][0]["last_used_at"].as_str().unwrap().to_owned()
    };

    let before = used(&server);
    let commits = As(&server, secret.clone()).get("/readyz").json["last_change"].clone();
    for _ in 0..50 {
        As(&server, secret.clone()).decide("acme").is(200);
    }

    assert!(before.ends_with(":00.000Z"), "{before}");
    assert_eq!(As(&server, secret.clone()).get("/readyz").json["last_change"], commits, "no commit for a request");
    let server = server.restart();
    assert!(used(&server) >= before);
    let written = As(&server, secret.clone()).get("/v1/audit?action=api_key.used").json["items"].clone();
    assert_eq!(written, json!([]), "when a key was used is no part of the audit log");
}

#[test]
fn a_repeated_creation_tells_no_secret_and_nothing_that_is_kept_has_one() {
    let server = Server::start();
    let admin = As(&server, first(&server));
    let authorization = format!("Bearer {}", admin.1);
    let headers = [JSON, ("authorization", &*authorization), ("idempotency-key", "k1")];
    let make = || server.send("POST", PATH, &headers, r#"{"scopes": ["decide"]}"#).is(201);

    let (made, again) = (make(), make());

    assert_eq!(made.json["id"], again.json["id"]);
    assert_eq!((again.header("idempotent-replayed"), again.json.get("secret")), ("true", None));
    let secret = made.json["secret"].as_str().unwrap().to_owned();
    server.send("GET", "/v1/accounts", &[("authorization", &format!("Bearer {secret}"))], "").refused(403, "forbidden");
    let told = [admin.get(PATH).is(200).text, admin.get("/v1/audit").is(200).text];
    let secrets = [secret, admin.1];
    let server = server.restart();
    let holds = |bytes: &[u8]| secrets.iter().any(|s| bytes.windows(s.len()).any(|window| window == s.as_bytes()));
    for file in crate::billing_sources::files_under(&server.data()) {
        assert!(!holds(&std::fs::read(&file).unwrap()), "{}", file.display());
    }
    assert!(!told.iter().chain([&server.log()]).any(|text| holds(text.as_bytes())));
}

fn key(server: &Server, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quotagate"));
    command.arg("key").args(arguments).arg("--data").arg(server.data()).output().unwrap()
}

#[test]
fn whoever_owns_the_machine_gets_in_by_the_command() {
    let mut server = Server::bare();
    server.signal(rustix::process::Signal::TERM);
    server.ended();

    let too_little = key(&server, &["create", "--scope", "decide"]);
    let made = key(&server, &["create", "--scope", "admin", "--name", "console"]);
    let listed = key(&server, &["list"]);

    assert_eq!(too_little.status.code(), Some(1), "{too_little:?}");
    let secret = String::from_utf8(made.stdout).unwrap().trim_end().to_owned();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("console") && !listed.contains(&secret), "{listed}");
    let id = listed.split_whitespace().find(|word| word.starts_with("key_")).unwrap().to_owned();
    let mut server = Server::on_the_folder_of(&server);
    server.get("/v1/accounts").refused(401, "unauthorized");
    As(&server, secret.clone()).get("/v1/accounts").is(200);
    server.signal(rustix::process::Signal::TERM);
    server.ended();
    assert!(key(&server, &["revoke", &id, "--reason", "test"]).status.success());
    let server = Server::on_the_folder_of(&server);
    As(&server, secret).get("/v1/accounts").refused(401, "unauthorized");
}
