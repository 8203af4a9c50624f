//! The OpenAPI document and Swagger UI.

use crate::support::Server;
use serde_json::Value;

#[test]
fn the_committed_document_is_what_the_server_says() {
    let committed = include_str!("../../openapi/openapi.json");

    assert!(committed == quotagate::http::openapi::json(), "openapi/openapi.json is old: run `make openapi`");
}

#[test]
fn the_served_document_is_the_committed_one() {
    let server = Server::start();

    let served = server.get("/openapi.json");

    let committed: Value = serde_json::from_str(include_str!("../../openapi/openapi.json")).unwrap();
    assert_eq!(served.json, committed);
    assert_eq!(served.header("content-type"), "application/json");
}

#[test]
fn every_example_of_a_decision_is_answered_as_it_stands() {
    let server = Server::start();
    let document = server.get("/openapi.json").json;
    let mut tried = 0;
    for path in ["/v1/decisions", "/v1/decisions/batch"] {
        let content = &document["paths"][path]["post"]["requestBody"]["content"]["application/json"];
        let named = content["examples"].as_object().into_iter().flat_map(|examples| examples.values());
        for example in named.map(|example| &example["value"]).chain(content.get("example")) {
            let reply = server.post(path, example);
            assert_eq!(reply.status, 200, "{example} {}", reply.text);
            tried += 1;
        }
    }
    assert_eq!(tried, 4);
}

#[test]
fn swagger_ui_comes_from_the_binary_alone() {
    let server = Server::start();

    let page = server.get("/docs/");
    let settings = server.get("/docs/swagger-initializer.js");

    assert_eq!((page.status, page.header("content-type")), (200, "text/html"));
    assert!(!page.text.contains("http://") && !page.text.contains("https://"), "{}", page.text);
    assert!(settings.text.contains("\"url\": \"/openapi.json\""));
    assert!(settings.text.contains("\"tryItOutEnabled\": true"));
    assert_eq!(server.get("/docs/swagger-ui-bundle.js").status, 200);
    assert_eq!(server.get("/docs").status, 200, "redirected to the page");
}
