//! What answers tell a browser that it must not do with them.

use crate::support::{Reply, Server};
use serde_json::json;

const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

#[track_caller]
fn is_for_no_page(reply: &Reply, policy: &str) {
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert_eq!(reply.header("x-frame-options"), "DENY");
    assert_eq!(reply.header("referrer-policy"), "no-referrer");
    assert_eq!(reply.header("cross-origin-resource-policy"), "same-origin");
    assert!(reply.header("content-security-policy").contains(policy), "{:?}", reply.headers);
    assert_eq!(reply.header("strict-transport-security"), "", "this is not TLS");
}

#[test]
fn every_answer_says_what_a_browser_must_not_do() {
    let server = Server::bare();
    let owner = json!({"name": "alice", "role": "owner", "password": "correct horse battery"});
    let made = server.set_up("/v1/operators", &owner);
    assert_eq!((made.status, made.header("cache-control")), (201, "no-store"));
    is_for_no_page(&made, NOTHING);

    for (path, status) in [
        ("/healthz", 200),
        ("/openapi.json", 200),
        ("/v1/accounts", 401),
        ("/v1/nothing", 401),
        ("/v1/operators/alice/none", 401),
        ("/metrics", 401),
        ("/nothing", 401),
    ] {
        let reply = server.get(path);
        assert_eq!(reply.status, status, "{path}");
        is_for_no_page(&reply, NOTHING);
    }
    let foreign = server.send("GET", "/healthz", &[("origin", "null")], "");
    foreign.problem(403, "foreign_origin");
    is_for_no_page(&foreign, NOTHING);
}

#[test]
fn pages_have_their_own_files_and_nothing_else() {
    let server = Server::start();

    for path in ["/docs/", "/docs/swagger-ui.css", "/docs/swagger-initializer.js", "/docs/none", "/docs"] {
        let reply = server.get(path);
        is_for_no_page(&reply, "script-src 'self'; style-src 'self'");
        assert!(reply.header("content-security-policy").contains("frame-ancestors 'none'"));
    }
    let errors = server.get("/docs/errors");
    assert_eq!(errors.status, 200);
    is_for_no_page(&errors, "default-src 'none'; style-src 'sha256-");
}

#[test]
fn what_is_under_v1_is_kept_nowhere() {
    let server = Server::start();
    assert_eq!(server.post("/v1/accounts", &json!({"id": "acme"})).status, 201);

    for (path, status) in [("/v1/accounts/acme", 200), ("/v1/accounts/none", 404), ("/v1/nothing", 404)] {
        let reply = server.get(path);
        assert_eq!((reply.status, reply.header("cache-control")), (status, "no-store"), "{path}");
        assert_eq!(reply.headers.get_all("cache-control").iter().count(), 1);
        is_for_no_page(&reply, NOTHING);
    }
    let tag = server.get("/v1/accounts/acme").header("etag").to_owned();
    let unchanged = server.send("GET", "/v1/accounts/acme", &[("if-none-match", &tag)], "");
    assert_eq!((unchanged.status, unchanged.header("cache-control")), (304, "no-store"));
}

#[test]
fn a_decision_has_the_few_that_mean_something_for_json() {
    let server = Server::start();
    let allowed = server.post("/v1/decisions", &json!({"account": "a", "resource": "MiniMax-M2"}));
    let refused = server.post("/v1/decisions", &json!({"account": "a"}));

    for (reply, status) in [(&allowed, 200), (&refused, 422)] {
        assert_eq!(reply.status, status);
        assert_eq!((reply.header("x-content-type-options"), reply.header("cache-control")), ("nosniff", "no-store"));
    }
    let mut names: Vec<&str> = allowed.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    let few = ["cache-control", "content-length", "content-type", "date", "x-content-type-options", "x-request-id"];
    assert_eq!(names, few);
}

#[test]
fn pages_of_other_origins_get_no_leave_to_read() {
    let server = Server::start();
    let own = format!("http://{}", server.address);
    let ask = |method: &str, path: &str, origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization, content-type"),
        ];
        let reply = server.send(method, path, &headers, "");
        let leave = reply.headers.keys().find(|name| name.as_str().starts_with("access-control"));
        assert_eq!(leave, None, "{method} {path}");
        reply.status
    };

    for path in ["/v1/decisions", "/v1/accounts", "/docs/", "/openapi.json"] {
        assert_eq!(ask("OPTIONS", path, "https://evil.example"), 403, "{path}");
        ask("OPTIONS", path, &own);
        assert_eq!(ask("GET", path, "https://evil.example"), 403, "{path}");
    }
    assert_eq!(ask("GET", "/v1/accounts", &own), 200);
}
