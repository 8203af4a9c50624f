//! The OpenAPI document and Swagger UI.

use crate::control::Control;
use crate::support::{Reply, Server};
use serde_json::{Value, json};

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

/// The examples of an operation's body.
fn examples(document: &Value, method: &str, path: &str) -> Vec<Value> {
    let content = &document["paths"][path][method]["requestBody"]["content"]["application/json"];
    let named = content["examples"].as_object().into_iter().flat_map(|examples| examples.values());
    let mut found: Vec<Value> =
        named.map(|example| example["value"].clone()).chain(content.get("example").cloned()).collect();
    if found.is_empty() {
        let name = content["schema"]["$ref"].as_str().unwrap().rsplit_once('/').unwrap().1;
        found.push(document["components"]["schemas"][name]["example"].clone());
    }
    assert!(found.iter().all(Value::is_object), "{method} {path}: {found:?}");
    found
}

/// The path with the examples of its parameters in it, as Swagger UI fills it in.
fn filled(document: &Value, method: &str, path: &str) -> String {
    let parameters = document["paths"][path][method]["parameters"].as_array();
    let in_path = parameters.into_iter().flatten().filter(|parameter| parameter["in"] == "path");
    in_path.fold(path.to_owned(), |filled, parameter| {
        let example = match &parameter["example"] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        filled.replace(&format!("{{{}}}", parameter["name"].as_str().unwrap()), &example)
    })
}

#[test]
fn every_example_of_a_change_works_as_it_stands_on_a_new_server() {
    let plane = Control::start();
    let document = plane.get("/openapi.json").json;
    let send = |method: &str, path: &str, tag_of: Option<&str>| -> Vec<Reply> {
        let filled = filled(&document, &method.to_lowercase(), path);
        let examples = examples(&document, &method.to_lowercase(), path);
        let send = |body: &Value| {
            let reply = match tag_of {
                None => plane.0.send(method, &filled, &[crate::control::JSON], &body.to_string()),
                Some(read) => plane.on(&plane.tag(read), method, &filled, body.clone()),
            };
            assert!(matches!(reply.status, 200 | 201), "{method} {filled} {body}: {}", reply.text);
            reply
        };
        examples.iter().map(send).collect()
    };
    let mut tried = 0;
    for (method, path, tag_of) in [
        ("POST", "/v1/accounts", None),
        ("PATCH", "/v1/accounts/{id}", Some("/v1/accounts/acme")),
        ("POST", "/v1/accounts/{id}/sub-accounts", None),
        ("PUT", "/v1/accounts/{id}/caps", Some("/v1/accounts/acme-eu")),
        ("PUT", "/v1/accounts/{id}/tier", Some("/v1/accounts/acme")),
        ("POST", "/v1/accounts/{id}/top-ups", None),
        ("POST", "/v1/accounts/{id}/refunds", None),
        ("POST", "/v1/ledger/reconcile", None),
        ("POST", "/v1/billing-sources", None),
        ("POST", "/v1/billing-sources/{source}/secrets", None),
        ("POST", "/v1/billing-sources/{source}/disable", None),
        ("POST", "/v1/billing-sources/{source}/enable", None),
        ("POST", "/v1/audit/verify", None),
        ("POST", "/v1/accounts/{id}/usage/reset", None),
        ("POST", "/v1/accounts/{id}/suspend", None),
        ("POST", "/v1/accounts/{id}/resume", None),
        ("POST", "/v1/overrides", None),
        ("POST", "/v1/clamps", None),
        ("PUT", "/v1/tiers/{tier}/quotas/{group}/{limit}", Some("/v1/tiers")),
        ("POST", "/v1/policies/revisions", Some("/v1/policies/active")),
        ("POST", "/v1/policies/revisions/{revision}/activate", None),
    ] {
        tried += send(method, path, tag_of).len();
    }
    let reserved = plane.0.decide(&json!({"account": "acme", "resource": "music-2.0", "reserve": {}}));
    let handle = reserved["reservation"]["handle"].as_str().unwrap();
    for end in ["renew", "settle"] {
        let body = examples(&document, "post", &format!("/v1/reservations/{{handle}}/{end}")).remove(0);
        plane.post(&format!("/v1/reservations/{handle}/{end}"), body).is(200);
        tried += 1;
    }
    tried += deliver_examples(&plane, &examples(&document, "post", "/v1/hooks/billing/{source}"));
    tried += raise_examples(&plane, &document);
    let bodies = document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
    let bodies = bodies.filter(|operation| operation.get("requestBody").is_some()).count();
    // Last, because everything needs a credential from then on; what else there is of keys and operators needs one.
    tried += send("POST", "/v1/api-keys", None).len();
    let [decisions, more_than_one_example, revoke_which_needs_an_id, of_credentials_which_need_one] = [2, 4, 1, 6];
    let of_approvals_which_need_operators = 2;
    assert_eq!(
        tried + of_approvals_which_need_operators,
        bodies - decisions + more_than_one_example - revoke_which_needs_an_id - of_credentials_which_need_one
    );
}

/// A raise request through every step that it can take, by its examples. Gives how many there are.
fn raise_examples(plane: &Control, document: &Value) -> usize {
    const PATH: &str = "/v1/raise-requests";
    let reviewer = format!("Bearer {}", crate::people::owner(&plane.0).1);
    let body = |path: &str| examples(document, "post", path).remove(0);
    let file = || plane.post(PATH, body(PATH)).is(201).json["id"].as_str().unwrap().to_owned();
    let take = |id: &str, step: &str| {
        let headers = [crate::control::JSON, ("authorization", &*reviewer), ("if-match", "*")];
        let body = body(&format!("{PATH}/{{id}}/{step}")).to_string();
        plane.0.send("POST", &format!("{PATH}/{id}/{step}"), &headers, &body).is(200);
    };
    for steps in [
        &["assign", "notes", "request-info", "reply", "counter-offer", "decline-counter-offer", "deny"][..],
        &["withdraw"],
        &["assign", "approve"],
    ] {
        let id = file();
        steps.iter().for_each(|step| take(&id, step));
    }
    // With the one that files.
    10
}

/// Signed, those of Stripe's form by a source of that form. Gives how many there are.
fn deliver_examples(plane: &Control, examples: &[Value]) -> usize {
    let (own, stripe) = (plane.source("own", "generic"), plane.source("stripe", "stripe"));
    for example in examples {
        let (source, secret) = if example.get("object").is_some() { ("stripe", &stripe) } else { ("own", &own) };
        let results = plane.deliver(source, secret, example).is(200).json["results"].as_array().unwrap().clone();
        assert!(results.iter().all(|result| result.get("error").is_none()), "{results:?}");
    }
    examples.len()
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

/// Every documented operation, as method and path with the examples of its parameters in it.
pub fn operations(document: &Value) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let filled =
                parameters.filter(|parameter| parameter["in"] == "path").fold(path.clone(), |filled, parameter| {
                    let example = match &parameter["example"] {
                        Value::String(text) => text.clone(),
                        Value::Null => "rs_AAAAAAAAAAAAAAABAAABnXqO4AphY21lLWV1".to_owned(),
                        other => other.to_string(),
                    };
                    filled.replace(&format!("{{{}}}", parameter["name"].as_str().unwrap()), &example)
                });
            all.push((method.to_uppercase(), filled));
        }
    }
    all
}

#[test]
fn no_route_passes_over_a_parameter_that_it_does_not_know() {
    let server = Server::start();
    let operations = operations(&server.get("/openapi.json").json);

    // Some are not for keys.
    let person = crate::people::owner(&server);
    for (method, path) in operations.iter().filter(|(_, path)| path != "/v1/sessions/current") {
        let reply = person.send(method, &format!("{path}?no_such=1"), &[], "{}");
        assert_eq!(reply.problem(422, "invalid_request"), "/no_such", "{method} {path}");
    }
    assert!(operations.len() > 40, "{}", operations.len());
}

#[test]
fn the_type_of_a_problem_leads_to_its_help() {
    let server = Server::start();
    let codes = server.get("/openapi.json").json["components"]["schemas"]["ErrorCode"]["enum"].clone();
    let refused = server.get("/v1/nowhere");

    let page = server.get(refused.json["type"].as_str().unwrap().split_once('#').unwrap().0);

    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    let codes = codes.as_array().unwrap();
    assert!(codes.len() > 30);
    for code in codes {
        let code = code.as_str().unwrap();
        assert_eq!(page.text.matches(&format!("id=\"{code}\"")).count(), 1, "{code}");
        assert!(page.text.contains(&format!("<a href=\"#{code}\">")), "{code}");
    }
    assert!(!page.text.contains("http://") && !page.text.contains("<script"), "nothing is loaded from elsewhere");
    assert_eq!(server.get("/docs/").status, 200);
}
