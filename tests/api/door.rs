//! Who is let in: requests that name this machine, come from its own pages if from pages at all, and are of a size.

use crate::support::Server;
use serde_json::{Value, json};

/// The problem in a raw answer, with its status.
fn refusal(answer: &str) -> (u16, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    assert!(body.is_empty() || head.contains("content-type: application/problem+json"), "{answer}");
    let json: Value = serde_json::from_str(body).unwrap_or_default();
    (status, json["code"].as_str().unwrap_or_default().to_owned())
}

fn get(server: &Server, target: &str, headers: &str) -> (u16, String) {
    let answer = server.raw(format!("GET {target} HTTP/1.1\r\n{headers}connection: close\r\n\r\n").as_bytes());
    if answer.starts_with("HTTP/1.1 200") { (200, String::new()) } else { refusal(&answer) }
}

#[test]
fn only_requests_that_name_a_loopback_address_are_answered() {
    let server = Server::start();
    let port = server.address.rsplit_once(':').unwrap().1.to_owned();
    let ask = |host: &str| get(&server, "/healthz", &format!("host: {host}\r\n"));

    for own in ["localhost", "LocalHost:1", "127.0.0.1", "127.8.9.10:80", "[::1]", "[::1]:8080"] {
        assert_eq!(ask(own), (200, String::new()), "{own}");
    }
    for foreign in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "0.0.0.0",
        "[::]",
        "[::2]:80",
        "::1",
        "localhost:port",
        "a@localhost",
        "localhost:1:2",
        "127.1",
        "",
    ] {
        assert_eq!(ask(foreign), (421, "foreign_host".to_owned()), "{foreign}");
    }
    let absolute = |authority: &str| get(&server, &format!("http://{authority}/healthz"), "host: localhost\r\n");
    assert_eq!(absolute(&format!("127.0.0.1:{port}")), (200, String::new()));
    assert_eq!(absolute("evil.example"), (421, "foreign_host".to_owned()));
    assert_eq!(get(&server, "/healthz", "").0, 400);
    assert_eq!(get(&server, "/healthz", "host: localhost\r\nhost: localhost\r\n").0, 400);
    assert!(server.raw(b"GET /healthz HTTP/1.0\r\n\r\n").starts_with("HTTP/1.0 200"));
}

#[test]
fn pages_of_other_origins_are_refused() {
    let server = Server::start();
    let body = r#"{"account": "a", "resource": "MiniMax-M2"}"#;
    let post = |origin: &str| {
        let headers = [("content-type", "application/json"), ("origin", origin)];
        server.send("POST", "/v1/decisions", &headers, body)
    };
    let own = format!("http://{}", server.address);

    assert_eq!(post(&own).status, 200);
    assert_eq!(post(&own.replace("http:", "https:")).status, 200);
    for foreign in ["http://evil.example", "null", "http://127.0.0.1:1", "http://localhost", "file://", &server.address]
    {
        post(foreign).problem(403, "foreign_origin");
    }
    let twice = [("content-type", "application/json"), ("origin", own.as_str()), ("origin", "http://evil.example")];
    server.send("POST", "/v1/decisions", &twice, body).problem(403, "foreign_origin");
    server.send("GET", "/v1/audit", &[("origin", "null")], "").problem(403, "foreign_origin");
    server.send("OPTIONS", "/v1/decisions", &[("origin", "null")], "").problem(403, "foreign_origin");
    assert_eq!(get(&server, "/healthz", "host: localhost\r\norigin: http://localhost:80\r\n").0, 200);
    assert_eq!(get(&server, "/healthz", "host: [::1]:443\r\norigin: https://[::1]\r\n").0, 200);
    let looked = server.decide(&serde_json::json!({"account": "a", "resource": "MiniMax-M2", "dry_run": true}));
    assert_eq!(looked["limits"][0]["used"], 2);
}

#[test]
fn long_paths_and_heads_are_told() {
    let server = Server::start();
    let long = |bytes: usize| "a".repeat(bytes);

    server.get(&format!("/v1/accounts/{}", long(8_000))).problem(422, "invalid_request");
    server.get(&format!("/v1/accounts/{}", long(9_000))).problem(414, "uri_too_long");
    server.get(&format!("/v1/accounts?id_prefix={}", long(40_000))).problem(414, "uri_too_long");
    // No request came of it, so there is none to be named.
    let endless = server.get(&format!("/v1/accounts?id_prefix={}", long(60_000)));
    assert_eq!((endless.status, &endless.json["code"]), (431, &json!("headers_too_large")));
    let with = |bytes: usize| server.send("GET", "/healthz", &[("x-more", &long(bytes))], "");
    assert_eq!(with(30_000).status, 200);
    with(40_000).problem(431, "headers_too_large");
    // Past what the HTTP parser takes there is a status, and no body.
    let past = get(&server, "/healthz", &format!("host: localhost\r\nx-more: {}\r\n", long(200_000)));
    assert!(past.0 == 431 || past.0 == 0, "{past:?}");
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn a_connection_outlives_a_refusal_at_the_door() {
    let server = Server::start();
    let host = &server.address;
    let refused =
        format!("POST /v1/decisions HTTP/1.1\r\nhost: {host}\r\norigin: null\r\ncontent-length: 4\r\n\r\nbody");
    let last = format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");

    let answers = server.raw(format!("{refused}{last}").as_bytes());

    assert!(answers.starts_with("HTTP/1.1 403"), "{answers}");
    assert!(answers.contains("HTTP/1.1 200"), "{answers}");
}

#[test]
fn an_account_that_no_path_could_name_is_not_made() {
    let server = Server::start();
    let create = |path: &str, id: &str| server.post(path, &serde_json::json!({"id": id}));
    assert_eq!(create("/v1/accounts", "acme").status, 201);

    for path in ["/v1/accounts", "/v1/accounts/acme/sub-accounts"] {
        for id in [".", ".."] {
            assert_eq!(create(path, id).problem(422, "invalid_request"), "/id", "{path} {id}");
        }
    }
    assert_eq!(create("/v1/accounts", "...").status, 201);
    assert_eq!(server.get("/v1/accounts/...").status, 200);
}
