//! No secret stands anywhere but in the answer that tells it: not in a log, not in another answer, not in a file.

use crate::signing::{seconds, signature, top_up};
use crate::support::Server;
use crate::witness::{Secrets, Witness};
use serde_json::{Value, json};

/// Everything that there is to log, of everybody.
const MOST: [&str; 4] = ["--unknown-accounts", "default_tier", "--log", "trace"];
const KEYS: (&str, &str) = ("/v1/api-keys", "secret");
const LOGIN: (&str, &str) = ("/v1/sessions", "token");
const SOURCES: &str = "/v1/billing-sources";

#[test]
fn the_search_finds_a_secret_that_is_planted() {
    let secrets = Secrets::default();
    secrets.add("a key", "qg_planted-secret");
    secrets.add("a password", "correct horse battery");

    let found = |text: &str| secrets.found_in(text.as_bytes());

    assert_eq!(found("nothing of it"), [""; 0]);
    assert_eq!(found("{\"x\": \"qg_planted-secret\"}"), ["a key"]);
    assert_eq!(found(&format!("correct horse battery {}", hex::encode("qg_planted-secret"))), ["a key", "a password"]);
    assert_eq!(found(&format!("{:?}", b"qg_planted-secret")), ["a key"]);
    assert_eq!(secrets.found_in(&[&b"\xff\0"[..], b"qg_planted-secret", b"\xfe"].concat()), ["a key"]);
}

#[test]
fn a_secret_in_an_answer_in_the_log_or_in_a_file_is_told_where_it_stands() {
    let mut witness = Witness::new(Server::bare_with(&MOST));
    let planted = witness.secrets.add("a planted one", "planted-in-three-places");
    witness.make(&witness.server.setup.clone().unwrap(), KEYS, "a key", json!({"scopes": ["admin"]}));
    witness.send("GET", &format!("/v1/{planted}"), &[], "");
    witness.run(&["key", "revoke", &planted, "--reason", "test"], "");
    std::fs::write(witness.server.data().join("planted"), &planted).unwrap();

    let leaks = witness.leaks();

    let told = |place: &str| leaks.iter().any(|leak| leak.starts_with("a planted one") && leak.contains(place));
    assert!(told("standard error") && told("/data/planted") && told("key revoke"), "{leaks:#?}");
    assert!(leaks.iter().all(|leak| leak.starts_with("a planted one")), "{leaks:#?}");
}

#[test]
fn no_secret_stands_anywhere_but_where_it_is_told_once() {
    for format in ["text", "json"] {
        let mut witness = Witness::new(Server::bare_with(&[&MOST[..], &["--log-format", format]].concat()));

        let people = people(&witness);
        let keys = keys(&witness, &people);
        let sources = sources(&witness, &people.owner);
        mistakes_in_credentials(&witness, &keys);
        mistakes_in_bodies(&witness, &people);
        mistakes_elsewhere(&witness, &keys);
        deliveries(&witness, &sources);
        by_the_socket(&witness);
        everything_that_is_read(&witness, &people.owner);

        assert!(witness.secrets.count() > 25, "{}", witness.secrets.count());
        assert!(witness.server.log().contains("TRACE"), "the most verbose log");
        assert_eq!(witness.leaks(), [""; 0]);
    }
}

struct People {
    owner: String,
    owners_password: String,
    bob: String,
}

fn people(witness: &Witness) -> People {
    let setup = witness.server.setup.clone().unwrap();
    let owners_password = witness.secrets.add("the owner's password", "Owner-password-0001");
    let alice = json!({"name": "alice", "role": "owner", "password": owners_password});
    witness.ask(&setup, "POST", "/v1/operators", alice.clone()).is(201);
    // It was good for once.
    witness.ask(&setup, "POST", "/v1/operators", alice).is(401);
    let (owner, _) = login(witness, "alice", &owners_password);
    for (name, role) in [("bob", "support"), ("rita", "reviewer"), ("vera", "viewer")] {
        let password = witness.secrets.add(&format!("the password of {name}"), &format!("Password-of-{name}-0002"));
        witness.ask(&owner, "POST", "/v1/operators", json!({"name": name, "role": role, "password": password})).is(201);
        login(witness, name, &password);
    }
    let (bob, _) = login(witness, "bob", "Password-of-bob-0002");
    let changed = witness.secrets.add("the new password of bob", "Password-of-bob-0003");
    let body = json!({"current": "Password-of-bob-0002", "password": changed});
    witness.ask(&bob, "POST", "/v1/operators/bob/password", body).is(200);
    let reset = witness.secrets.add("the password that vera is given", "Password-of-vera-0004");
    witness.ask(&owner, "PATCH", "/v1/operators/vera", json!({"password": reset})).is(200);
    let wrong = witness.secrets.add("a wrong password", "Wrong-password-0005");
    for name in ["bob", "nobody"] {
        witness.send("POST", LOGIN.0, &[], &json!({"name": name, "password": wrong}).to_string()).is(401);
    }
    witness.ask(&bob, "POST", "/v1/operators/bob/password", json!({"current": wrong, "password": wrong})).is(422);
    let long = witness.secrets.add("a password that is too long", &"Long-password-0006-".repeat(60));
    let ron = json!({"name": "ron", "role": "viewer", "password": long});
    witness.ask(&owner, "POST", "/v1/operators", ron).is(422);
    let (ended, id) = login(witness, "bob", &changed);
    witness.ask(&owner, "DELETE", &format!("/v1/operators/bob/sessions/{id}"), json!({})).is(204);
    witness.ask(&ended, "GET", "/v1/me", json!({})).is(401);
    People { owner, owners_password, bob }
}

/// The token and the id of the session.
fn login(witness: &Witness, name: &str, password: &str) -> (String, String) {
    let body = json!({"name": name, "password": password});
    // A credential that is of no use here does no harm.
    let (token, told) = witness.make("none", LOGIN, &format!("a session of {name}"), body);
    (token, told["session"].as_str().unwrap().to_owned())
}

struct ApiKeys {
    admin: String,
    revoked: String,
}

fn keys(witness: &Witness, people: &People) -> ApiKeys {
    let owner = &people.owner;
    witness.ask(owner, "POST", "/v1/accounts", json!({"id": "acme"})).is(201);
    for scope in ["decide", "billing", "read", "raise"] {
        witness.make(owner, KEYS, &format!("a key for {scope}"), json!({"name": scope, "scopes": [scope]}));
    }
    let (admin, _) = witness.make(owner, KEYS, "a key for everything", json!({"scopes": ["admin"]}));
    let bound = json!({"scopes": ["decide", "read"], "account": "acme"});
    let (bound, _) = witness.make(owner, KEYS, "a bound key", bound);
    witness.ask(&bound, "GET", "/v1/accounts/globex", json!({})).is(404);
    witness.ask(&bound, "GET", "/v1/api-keys", json!({})).is(403);
    let decision = json!({"account": "acme", "resource": "MiniMax-M2", "tokens": 10});
    witness.ask(&bound, "POST", "/v1/decisions", decision.clone()).is(200);
    let (rotated, made) = witness.make(&admin, KEYS, "a key that is rotated", json!({"scopes": ["decide"]}));
    let path = format!("{}/{}", KEYS.0, made["id"].as_str().unwrap());
    let rotate = format!("{path}/rotate");
    let (next, _) = witness.make(&admin, (&rotate, KEYS.1), "the next secret of a key", json!({"overlap_ms": 0}));
    witness.ask(&rotated, "POST", "/v1/decisions", decision.clone()).is(401);
    witness.ask(&next, "POST", "/v1/decisions", decision).is(200);
    witness.ask(&admin, "POST", &format!("{path}/revoke"), json!({"reason": "leaked"})).is(200);
    // A repeated creation does not tell it again.
    let authorization = format!("Bearer {admin}");
    let headers = [("authorization", &*authorization), ("idempotency-key", "k1")];
    let made = witness.server.send("POST", KEYS.0, &[&[crate::control::JSON], &headers[..]].concat(), SCOPED).is(201);
    witness.secrets.add("a key that is made twice", made.json["secret"].as_str().unwrap());
    witness.send("POST", KEYS.0, &headers, SCOPED).is(201);
    ApiKeys { admin, revoked: next }
}

const SCOPED: &str = r#"{"scopes": ["decide"]}"#;

/// The secret that was made and the one that was given.
fn sources(witness: &Witness, owner: &str) -> [String; 2] {
    let (made, _) = witness.make(owner, (SOURCES, "secret"), "a source's secret", json!({"id": "billing"}));
    let path = format!("{SOURCES}/billing/secrets");
    witness.make(owner, (&path, "secret"), "a source's second secret", json!({}));
    let given = witness.secrets.add("a secret of the sender's", "whsec_0123456789abcdefghijklmn");
    let stripe = json!({"id": "stripe", "format": "stripe", "secret": given});
    witness.ask(owner, "POST", SOURCES, stripe.clone()).is(201);
    witness.ask(owner, "POST", SOURCES, stripe).is(409);
    let third = witness.secrets.add("a secret that is one too many", "whsec_third_6789abcdefghijklmn");
    witness.ask(owner, "POST", &path, json!({"secret": third})).is(409);
    let spaced = witness.secrets.add("a secret that is not taken", "a secret with spaces, long enough");
    witness.ask(owner, "POST", SOURCES, json!({"id": "other", "secret": spaced})).is(422);
    [made, given]
}

fn mistakes_in_credentials(witness: &Witness, keys: &ApiKeys) {
    let ApiKeys { admin, revoked } = keys;
    let unknown = witness.secrets.add("a key with wrong check digits", "qg_000000000000000000000000000000000t");
    let end = if admin.ends_with('x') { 'y' } else { 'x' };
    let mistyped = witness.secrets.add("a mistyped key", &format!("{}{end}", &admin[..admin.len() - 1]));
    let cut = witness.secrets.add("a key that was cut off", &admin[..admin.len() - 4]);
    let session = witness.secrets.add("a session that never was", &admin.replacen("qg_", "qs_", 1));
    for secret in [revoked, &unknown, &mistyped, &cut, &session] {
        witness.ask(secret, "GET", "/v1/accounts", json!({})).is(401);
        witness.ask(secret, "POST", "/v1/decisions", json!({"account": "acme", "resource": "MiniMax-M2"})).is(401);
    }
    for header in [admin.clone(), format!("Basic {admin}"), format!("Bearer{admin}"), format!("Bearer {admin} {admin}")]
    {
        witness.send("GET", "/v1/accounts", &[("authorization", &header)], "").is(401);
    }
    let twice = [("authorization", &*format!("Bearer {admin}")), ("authorization", &*format!("Bearer {revoked}"))];
    witness.send("GET", "/v1/accounts", &twice, "").is(401);
    for header in ["x-api-key", "cookie", "user-agent", "x-request-id", "referer", "origin", "x-forwarded-for"] {
        witness.send("GET", "/v1/accounts", &[(header, admin)], "");
    }
    // Not HTTP any more.
    for head in [format!("GET /v1/me HTTP/1.1\r\nauthorization Bearer {admin}\r\n\r\n"), format!("{admin}\r\n\r\n")] {
        witness.raw(&head);
    }
}

/// Secrets where something else belongs.
fn mistakes_in_bodies(witness: &Witness, people: &People) {
    let People { owner, owners_password: password, bob } = people;
    let alike = witness.secrets.add("a password that could be a name", "password-in-the-wrong-field");
    for secret in [password, &alike, bob] {
        for body in [
            json!({"name": secret, "password": "alice"}),
            json!({"name": secret}),
            json!({"name": "alice", "password": [secret]}),
            json!({"name": {"x": secret}, "password": secret}),
            json!([secret]),
            json!(secret),
        ] {
            let refused = witness.send("POST", LOGIN.0, &[], &body.to_string()).status;
            assert!(matches!(refused, 401 | 422 | 429), "{refused}");
        }
        for body in [
            json!({"name": "ron", "role": secret, "password": secret}),
            json!({"name": secret, "role": "nothing", "password": secret}),
            json!({"name": "ron", "role": "viewer", "ceiling_percent": secret}),
            json!({"name": "ron", "role": "reviewer", "ceiling_percent": {"a": secret}, "password": 1}),
        ] {
            witness.ask(owner, "POST", "/v1/operators", body).is(422);
        }
        witness.ask(owner, "PATCH", "/v1/operators/bob", json!({"role": secret})).is(422);
        witness.ask(bob, "POST", "/v1/operators/bob/password", json!({"current": secret})).is(422);
        witness.ask(owner, "POST", SOURCES, json!({"id": "third", "format": secret, "secret": secret})).is(422);
        let unfinished = format!("{{\"name\": \"alice\", \"password\": \"{secret}\", {secret}");
        witness.send("POST", LOGIN.0, &[], &unfinished).is(400);
        let text = [("content-type", "text/plain")];
        witness.server.send("POST", LOGIN.0, &text, secret).is(415);
    }
    let key = bob.replacen("qs_", "qg_", 1);
    witness.secrets.add("a key in the wrong field", &key);
    for (path, body) in [
        ("/v1/decisions", json!({"account": key, "resource": key})),
        ("/v1/decisions", json!({"account": "acme", "resource": "MiniMax-M2", "tokens": key})),
        ("/v1/decisions", json!({"account": "acme", "resource": "MiniMax-M2", key.clone(): 1})),
        ("/v1/decisions/batch", json!({"decisions": [{"account": key, "resource": "MiniMax-M2", "tokens": key}]})),
        ("/v1/api-keys", json!({"scopes": [key]})),
        ("/v1/api-keys", json!({"scopes": ["decide"], "account": key})),
        ("/v1/api-keys", json!({"scopes": ["decide"], "expires_at": key})),
        ("/v1/overrides", json!({"account": key, "group": key, "limit": key, "quota": key})),
        ("/v1/policies/validate", json!({"document": key})),
        ("/v1/accounts/acme/top-ups", json!({"event_id": key, "amount": key})),
    ] {
        witness.ask(owner, "POST", path, body);
    }
}

/// In a path, a query, another header.
fn mistakes_elsewhere(witness: &Witness, keys: &ApiKeys) {
    let ApiKeys { admin, revoked } = keys;
    for secret in [admin, revoked] {
        for path in [
            format!("/v1/accounts/{secret}"),
            format!("/v1/accounts/acme?key={secret}"),
            format!("/v1/accounts/acme?{secret}"),
            format!("/v1/audit?actor={secret}"),
            format!("/v1/audit?page_token={secret}"),
            format!("/v1/api-keys/{secret}"),
            format!("/v1/operators/{secret}"),
            format!("/v1/reservations/{secret}"),
            format!("/v1/policies/revisions/{secret}"),
            format!("/v1/{secret}"),
            format!("/docs/{secret}"),
            format!("/{secret}"),
        ] {
            witness.ask(admin, "GET", &path, json!({}));
            witness.send("GET", &path, &[], "");
        }
        for written in written_otherwise(secret) {
            witness.secrets.add("a key in escapes", &written);
            for path in ["/v1/api-keys/", "/v1/accounts/", "/v1/audit?actor=", "/v1/accounts/acme?", "/v1/", "/"] {
                witness.ask(admin, "GET", &format!("{path}{written}"), json!({}));
                witness.send("GET", &format!("{path}{written}"), &[], "");
            }
            let headers = [("x-request-id", &*written), ("referer", &*written)];
            witness.send("GET", "/v1/accounts", &headers, "").is(401);
        }
        let authorization = format!("Bearer {admin}");
        for header in ["if-match", "idempotency-key", "if-none-match", "content-encoding"] {
            let headers = [("authorization", &*authorization), (header, secret)];
            witness.send("PATCH", "/v1/accounts/acme", &headers, "{\"name\": 1}");
            witness.send("GET", "/v1/accounts/acme", &headers, "");
        }
    }
}

/// A secret as a path may hold it: whoever decodes it has it.
fn written_otherwise(secret: &str) -> [String; 6] {
    let every = |escape: &str| secret.bytes().map(|byte| format!("{escape}{byte:02X}")).collect();
    [
        secret.replacen('_', "%5F", 1),
        secret.replacen('_', "%5f", 1),
        secret.replacen('_', "%255F", 1),
        secret.replacen('q', "%71", 1),
        every("%"),
        every("%25"),
    ]
}

fn deliveries(witness: &Witness, [made, given]: &[String; 2]) {
    let body = top_up("acme", 1, 100).to_string();
    let path = format!("{}/billing", "/v1/hooks/billing");
    let good = signature(made, seconds(0), &body);
    witness.send("POST", &path, &[("quotagate-signature", &good)], &body).is(200);
    for (header, body) in [
        (signature(given, seconds(0), &body), body.clone()),
        (signature(made, seconds(-900), &body), body.clone()),
        (made.clone(), body.clone()),
        (format!("t=1,v1={made}"), body.clone()),
        (signature(made, seconds(0), &body), json!({"secret": made}).to_string()),
    ] {
        witness.send("POST", &path, &[("quotagate-signature", &header)], &body).is(401);
    }
    let inside = json!({"kind": made, "account": "acme"}).to_string();
    witness.send("POST", &path, &[("quotagate-signature", &signature(made, seconds(0), &inside))], &inside).is(422);
    witness.send("POST", &format!("/v1/hooks/billing/{made}"), &[("quotagate-signature", made)], &body);
}

fn by_the_socket(witness: &Witness) {
    let made = witness.run_to_make(&["key", "create", "--scope", "read", "--name", "console"], "a key of the console");
    let listed = witness.run(&["key", "list"], "");
    let line = listed.lines().find(|line| line.contains("console")).unwrap();
    let id = line.split_whitespace().find(|word| word.starts_with("key_")).unwrap();
    witness.run_to_make(&["key", "rotate", id], "the next secret of that key");
    witness.ask(&made, "GET", "/v1/tiers", json!({})).is(200);
    witness.run_to_make(&["billing-source", "create", "console"], "a source's secret of the console");
    let password = witness.secrets.add("a password that the console set", "Password-of-rita-0007");
    witness.run(&["operator", "reset-password", "rita"], &format!("{password}\n"));
    witness.run(&["operator", "create", "bob", "--role", "viewer"], &format!("{password}\n"));
    login(witness, "rita", &password);
    let wrong = witness.secrets.add("a secret in the place of an id", &made.replacen("qg_", "qs_", 1));
    for arguments in [["key", "revoke", &wrong], ["key", "rotate", &wrong]] {
        let reason = ["--reason", "test"];
        witness.run(&[&arguments[..], if arguments[1] == "revoke" { &reason } else { &[] }].concat(), "");
    }
    for list in [&["operator", "list"][..], &["billing-source", "list"], &["audit", "tail"], &["audit", "export"]] {
        assert!(witness.run(list, "").lines().count() > 1, "{list:?}");
    }
}

fn everything_that_is_read(witness: &Witness, owner: &str) {
    let document: Value = witness.ask(owner, "GET", "/openapi.json", json!({})).json;
    let mut read = 0;
    for (method, path) in crate::documents::operations(&document) {
        if method == "GET" {
            witness.ask(owner, "GET", &path, json!({}));
            read += 1;
        }
    }
    assert!(read > 25, "{read}");
    for path in ["/metrics", "/v1/audit", "/v1/security-log", "/v1/operators", KEYS.0, LOGIN.0, SOURCES] {
        let query = if path == "/v1/audit" { "?page_size=200" } else { "" };
        assert!(witness.ask(owner, "GET", &format!("{path}{query}"), json!({})).is(200).text.len() > 50, "{path}");
    }
    for person in ["alice", "bob", "rita", "vera"] {
        witness.ask(owner, "GET", &format!("/v1/operators/{person}/sessions"), json!({})).is(200);
    }
}
