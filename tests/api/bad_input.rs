//! Whatever is sent, the answer is a problem that says what to do, and the server goes on.

use crate::support::{Reply, Server};
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");

fn good() -> Value {
    json!({"account": "a", "resource": "MiniMax-M2", "dry_run": true})
}

fn with(field: &str, value: Value) -> Value {
    let mut body = good();
    body[field] = value;
    body
}

fn text(server: &Server, body: &str) -> Reply {
    server.send("POST", "/v1/decisions", &[JSON], body)
}

#[test]
fn ids_follow_their_grammar() {
    let server = Server::start();
    let pointer = |field: &str, value: &str| {
        server.post("/v1/decisions", &with(field, json!(value))).problem(422, "invalid_request")
    };

    for bad in ["", "a b", "a/b", "../etc/passwd", "a\u{0}b", "a\nb", "\u{7f}", "é", "中文", &"a".repeat(65)] {
        assert_eq!(pointer("account", bad), "/account", "{bad:?}");
    }
    for bad in ["", "a b", "a\u{0}b", "a?b", &"a".repeat(129)] {
        assert_eq!(pointer("resource", bad), "/resource", "{bad:?}");
    }
    let long = "a".repeat(64);
    assert_eq!(server.decide(&with("account", json!(long)))["decision"], "allow");
    assert_eq!(server.decide(&with("resource", json!("a/b:c@1+2")))["reason"], "unknown_resource");
}

#[test]
fn costs_are_whole_numbers_up_to_the_maximum() {
    let server = Server::start();
    let max = 1_000_000_000_000_000_u64;

    let at_most = server.decide(&with("tokens", json!(max)));

    assert_eq!(at_most["reason"], "cost_exceeds_quota");
    for bad in ["-1", "1.5", "1000000000000001", "1e30", "18446744073709551616", "\"5\"", "true", "[1]", "{}"] {
        for field in ["requests", "tokens"] {
            let value: Value = serde_json::from_str(bad).unwrap();
            let reply = server.post("/v1/decisions", &with(field, value));
            assert_eq!(reply.problem(422, "invalid_request"), format!("/{field}"), "{bad}");
        }
    }
    text(&server, r#"{"account": "a", "resource": "MiniMax-M2", "tokens": 1e999}"#).problem(400, "invalid_json");
}

#[test]
fn unknown_missing_and_repeated_fields_are_named() {
    let server = Server::start();
    let first = |reply: &Reply| reply.json["errors"][0]["code"].as_str().unwrap().to_owned();

    let unknown = server.post("/v1/decisions", &with("tokenz", json!(5)));
    let missing = server.post("/v1/decisions", &json!({"resource": "MiniMax-M2"}));
    let repeated = text(&server, r#"{"account": "a", "account": "b", "resource": "MiniMax-M2"}"#);
    let deep = server.post("/v1/decisions", &with("reserve", json!({"id": "a", "ttl": 5})));

    assert_eq!(
        (unknown.problem(422, "invalid_request").as_str(), first(&unknown).as_str()),
        ("/tokenz", "unknown_field")
    );
    assert_eq!(
        (missing.problem(422, "invalid_request").as_str(), first(&missing).as_str()),
        ("/account", "missing_field")
    );
    assert_eq!(
        (repeated.problem(422, "invalid_request").as_str(), first(&repeated).as_str()),
        ("/account", "duplicate_field")
    );
    assert_eq!(deep.problem(422, "invalid_request"), "/reserve/ttl");
}

#[test]
fn units_and_reservations_are_checked() {
    let server = Server::start();
    let pointer =
        |field: &str, value: Value| server.post("/v1/decisions", &with(field, value)).problem(422, "invalid_request");

    assert_eq!(pointer("units", json!({"images": 1})), "/units/images");
    assert!(pointer("units", json!({"tokens": 1})).starts_with("/units"));
    assert_eq!(pointer("units", json!([1])), "/units");
    assert_eq!(pointer("reserve", json!([])), "/reserve");
    assert_eq!(pointer("reserve", json!({"id": "a b"})), "/reserve/id");
    for ttl in [json!(0), json!(-1), json!(86_400_001), json!("1m")] {
        assert_eq!(pointer("reserve", json!({"ttl_ms": ttl})), "/reserve/ttl_ms");
    }
    assert_eq!(pointer("dry_run", json!("yes")), "/dry_run");
}

#[test]
fn what_is_no_json_object_is_refused() {
    let server = Server::start();

    for bad in ["", "   ", "{", "{\"account\": }", "nul", "\u{feff}{}", "{'a': 1}"] {
        text(&server, bad).problem(400, "invalid_json");
    }
    text(&server, &format!("{} {{}}", good())).problem(400, "invalid_json");
    for bad in ["null", "5", "\"text\"", "[]", "[\"a\", \"MiniMax-M2\"]"] {
        text(&server, bad).problem(422, "invalid_request");
    }
    let head = "host: localhost\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\r\n";
    let head = format!("POST /v1/decisions HTTP/1.1\r\n{}{head}", server.authorization());
    let not_utf8 = [head.as_bytes(), b"{\"account\": \"\xff\xfe"].concat();
    assert!(server.raw(&not_utf8).starts_with("HTTP/1.1 400"));
}

#[test]
fn deep_and_huge_bodies_are_refused_and_the_server_goes_on() {
    let server = Server::start();
    let deep = format!("{{\"account\": {}", "[".repeat(60_000));
    let deep_units = format!("{{\"units\": {}", "{\"a\":".repeat(10_000));
    let huge = format!("{{\"account\": \"{}\"}}", "a".repeat(64 * 1024));
    let deep_batch = format!("{{\"decisions\": [{}", "[".repeat(500_000));

    assert!(matches!(text(&server, &deep).status, 400 | 422));
    assert!(matches!(text(&server, &deep_units).status, 400 | 422));
    assert_eq!(server.send("POST", "/v1/decisions/batch", &[JSON], &deep_batch).status, 400);
    text(&server, &huge).problem(413, "body_too_large");
    assert_eq!(server.decide(&good())["decision"], "allow");
}

#[test]
fn the_body_is_json_by_its_content_type() {
    let server = Server::start();
    let send = |headers: &[(&str, &str)]| server.send("POST", "/v1/decisions", headers, &good().to_string());

    send(&[]).problem(415, "unsupported_media_type");
    send(&[("content-type", "text/plain")]).problem(415, "unsupported_media_type");
    send(&[JSON, ("content-encoding", "gzip")]).problem(415, "unsupported_media_type");
    assert_eq!(send(&[("content-type", "Application/JSON; charset=utf-8")]).status, 200);
}

#[test]
fn other_methods_and_paths_are_told_apart() {
    let server = Server::start();

    let wrong_method = server.send("PUT", "/v1/decisions", &[JSON], "{}");
    let wrong_method_with_part = server.send("DELETE", "/v1/reservations/rs_x/settle", &[], "");

    wrong_method.problem(405, "method_not_allowed");
    assert_eq!(wrong_method.header("allow"), "OPTIONS, POST");
    wrong_method_with_part.problem(405, "method_not_allowed");
    for path in ["/", "/v1", "/v1/decisions/", "/v1/nope", "/v2/decisions", "/V1/decisions", "/v1/reservations/a/b/c"] {
        server.get(path).problem(404, "no_such_path");
    }
}

#[test]
fn a_connection_outlives_an_early_refusal() {
    let server = Server::start();
    let key = server.authorization();
    let unknown = "POST /nope HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\nbody";
    let refused = format!("POST /nope HTTP/1.1\r\n{key}host: localhost\r\ncontent-length: 4\r\n\r\nbody");
    let wrong_type = format!("POST /v1/decisions HTTP/1.1\r\n{key}host: localhost\r\ncontent-length: 2\r\n\r\n{{}}");
    let last = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

    let answers = server.raw(format!("{unknown}{refused}{wrong_type}{last}").as_bytes());

    let statuses: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["401", "404", "415", "200"], "{answers}");
}

#[test]
fn what_is_no_http_does_not_hurt() {
    let server = Server::start();

    let long_head = format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "a".repeat(200_000));
    assert!(!server.raw(long_head.as_bytes()).starts_with("HTTP/1.1 2"));
    assert!(!server.raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").starts_with("HTTP/1.1 2"));
    assert!(
        server.raw(b"GET /v1/reservations/%ff%fe%00 HTTP/1.1\r\nhost: localhost\r\n\r\n").starts_with("HTTP/1.1 4")
    );
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn a_path_that_is_not_valid_is_told_in_the_words_of_the_field() {
    let server = Server::start();

    let refused = server.get("/v1/accounts/no%20spaces");

    assert_eq!(refused.problem(422, "invalid_request"), "/id");
    let detail = refused.json["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.starts_with("account id `no spaces` is not valid"), "{detail}");
}
