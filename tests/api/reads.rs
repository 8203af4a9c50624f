//! What every read has in common: entity tags, conditions, `HEAD`, `OPTIONS`.

use crate::control::Control;
use crate::documents::operations;
use crate::support::Reply;
use serde_json::{Value, json};

/// A read up to now would be another one a moment later.
const FAR: &str = "2100-01-01T00:00:00Z";

/// A server with one of everything, and every documented read of it.
fn furnished() -> (Control, Vec<String>) {
    let server = Control::start();
    server.create("acme");
    server.post("/v1/accounts/acme/sub-accounts", json!({"id": "acme-eu"})).is(201);
    let quota =
        json!({"account": "acme", "group": "text.m2", "limit": "rpm", "quota": 9, "permanent": true, "reason": "r"});
    let kept = server.post("/v1/overrides", quota).is(201);
    let clamp = json!({"group": "text.m2", "limit": "rpm", "quota": 5, "reason": "r"});
    let clamped = server.post("/v1/clamps", clamp).is(201);
    let held = server.0.decide(&json!({"account": "acme", "resource": "music-2.0", "reserve": {}}));
    let paid = json!({"event_id": "e1", "payment_id": "p1", "amount": 1, "currency": "CNY"});
    server.post("/v1/accounts/acme/top-ups", paid).is(201);
    server.source("billing", "generic");
    let raise = json!({"account": "acme", "group": "text.m2", "limits": [{"limit": "tpm", "quota": 30_000_000}], "use_case": "u"});
    let asked = server.post("/v1/raise-requests", raise).is(201);
    let id = |reply: &Reply| reply.json["id"].as_str().unwrap().to_owned();
    let place = |path: &str| match path.split('/').nth(2) {
        Some("overrides") if path.len() > 14 => format!("/v1/overrides/{}", id(&kept)),
        Some("clamps") if path.len() > 11 => format!("/v1/clamps/{}", id(&clamped)),
        Some("raise-requests") => path.replace("rr_01kg8y2v0031gwr3b99bwpg6k4", &id(&asked)),
        Some("ledger") => {
            format!("{}?from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z", path.split('?').next().unwrap())
        }
        Some("accounts") if path.ends_with("/usage/history") => format!("{path}?group=text.m2&limit=rpm&to={FAR}"),
        Some("usage") => format!("{path}?by=denied"),
        Some("reservations") => format!("/v1/reservations/{}", held["reservation"]["handle"].as_str().unwrap()),
        _ => path.to_owned(),
    };
    let gets = operations(&server.get("/openapi.json").json).into_iter().filter(|(method, _)| method == "GET");
    let paths = gets.map(|(_, path)| place(&path)).collect();
    (server, paths)
}

fn conditional(server: &Control, path: &str, tags: &str) -> Reply {
    server.0.send("GET", path, &[("if-none-match", tags)], "")
}

#[test]
fn every_read_has_a_strong_tag_that_makes_it_conditional() {
    let (server, paths) = furnished();
    // It takes operators for them to be there: see `api_keys`, `operators` and `approvals`.
    let is_key = |path: &str| {
        let of_operators = ["/v1/api-keys/", "/v1/operators/", "/v1/approvals/"];
        of_operators.iter().any(|start| path.starts_with(start)) || path == "/v1/sessions"
    };
    let of_the_api: Vec<&String> = paths.iter().filter(|path| path.starts_with("/v1/") && !is_key(path)).collect();
    assert!(of_the_api.len() >= 18, "{paths:?}");

    for path in of_the_api {
        let read = server.get(path).is(200);
        let tag = read.etag();
        assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 16, "{path}: {tag}");
        for same in [tag.to_owned(), format!("W/{tag}"), format!("\"other\", ,{tag}"), "*".to_owned()] {
            let unchanged = conditional(&server, path, &same).is(304);
            assert_eq!((unchanged.text.as_str(), unchanged.etag()), ("", tag), "{path} {same}");
            assert!(!unchanged.header("x-request-id").is_empty());
        }
        for other in ["\"other\"", "nonsense", "\"1\""] {
            assert_eq!(conditional(&server, path, other).is(200).text, read.text, "{path} {other}");
        }
    }
    assert_eq!(server.get("/openapi.json").etag().len(), "\"h0123456789abcdef\"".len());
}

#[test]
fn a_tag_is_of_the_body_and_its_first_part_of_the_record() {
    let server = Control::start();
    server.create("acme");
    let (first, active) = ("/v1/policies/revisions/1", "/v1/policies/active");
    let [before, tag] = [server.tag(first), server.tag(active)];

    let quota = json!({"quota": 30});
    server.on(&tag, "PUT", "/v1/tiers/free/quotas/text.m2/rpm", quota).is(200);
    let after = server.get(first).is(200);

    assert_eq!(after.json["active"], false);
    assert_ne!(after.etag(), before, "the body is another one");
    assert_eq!(after.etag().split('-').next(), before.split('-').next(), "the record is the same");
    assert_ne!(server.tag(active), tag);
}

#[cfg(feature = "manual-clock")]
#[test]
fn what_time_changes_has_another_tag_and_the_old_one_still_allows_a_change() {
    let server = Control::start();
    server.create("acme");
    let path = "/v1/accounts/acme";
    let override_ = json!({"account": "acme", "group": "text.m2", "limit": "rpm", "quota": 9,
        "expires_at": "2099-01-01T00:00:00Z", "reason": "r"});
    let made = server.post("/v1/overrides", override_).is(201);
    let read = format!("/v1/overrides/{}", made.json["id"].as_str().unwrap());
    let before = [server.get(path).is(200), server.get(&read).is(200)];

    server.advance_minutes(60 * 24 * 365 * 80);

    let ended = server.get(&read).is(200);
    assert_eq!((&before[1].json["state"], &ended.json["state"]), (&json!("active"), &json!("ended")));
    assert_ne!(ended.etag(), before[1].etag());
    assert_eq!(server.get(path).is(200).etag(), before[0].etag(), "nothing of the account has changed");
    server.on(before[0].etag(), "PATCH", path, json!({"name": "one"})).is(200);
}

#[test]
fn head_answers_as_get_without_the_body() {
    let (server, mut paths) = furnished();
    paths.extend(["/docs/", "/v1/accounts/nobody"].map(str::to_owned));

    for path in paths.iter().filter(|path| !path.starts_with("/metrics")) {
        let read = server.get(path);
        let head = server.0.send("HEAD", path, &[], "");
        assert_eq!((head.status, head.text.as_str()), (read.status, ""), "{path}");
        for header in ["content-type", "etag"] {
            assert_eq!(head.header(header), read.header(header), "{path}");
        }
        if read.status == 200 && !path.starts_with("/readyz") {
            assert_eq!(head.header("content-length"), read.text.len().to_string(), "{path}");
        }
    }
    let missing = server.0.send("HEAD", "/v1/decisions", &[], "").is(405);
    assert_eq!(missing.header("allow"), "OPTIONS, POST");
    let raw = server.0.raw(format!("HEAD /healthz HTTP/1.1\r\nhost: {}\r\n\r\n", server.0.address).as_bytes());
    assert!(raw.starts_with("HTTP/1.1 200") && raw.ends_with("\r\n\r\n"), "{raw}");
}

#[test]
fn options_says_what_a_path_takes() {
    let server = Control::start();
    let document = server.get("/openapi.json").json;
    let places = document["paths"].as_object().unwrap();

    for (path, item) in places {
        let mut methods: Vec<String> = item.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        methods.extend(methods.contains(&"GET".to_owned()).then(|| "HEAD".to_owned()));
        methods.push("OPTIONS".to_owned());
        methods.sort();
        let filled = path.replace(['{', '}'], "");
        let told = server.0.send("OPTIONS", &filled, &[], "").is(204);
        assert_eq!((told.header("allow"), told.text.as_str()), (methods.join(", ").as_str(), ""), "{path}");
        let trace = server.0.send("TRACE", &filled, &[], "").refused(405, "method_not_allowed");
        assert_eq!(trace.header("allow"), told.header("allow"));
    }
    server.0.send("OPTIONS", "/nowhere", &[], "").refused(404, "no_such_path");
    assert_eq!(server.0.send("OPTIONS", "/docs/", &[], "").is(204).header("allow"), "GET, HEAD, OPTIONS");
    let key = server.0.authorization();
    let all = server.0.raw(format!("OPTIONS * HTTP/1.1\r\n{key}host: {}\r\n\r\n", server.0.address).as_bytes());
    assert!(all.starts_with("HTTP/1.1 204") && all.contains("allow: DELETE, GET, HEAD"), "{all}");
}

#[test]
fn if_match_is_a_list_and_a_star_is_whatever_is_there() {
    let server = Control::start();
    server.create("acme");
    let path = "/v1/accounts/acme";
    let patch = |headers: &[&str], name: &str| {
        let mut all = vec![crate::control::JSON];
        all.extend(headers.iter().map(|tags| ("if-match", *tags)));
        server.0.send("PATCH", path, &all, &json!({"name": name}).to_string())
    };
    let listed: Value = server.get("/v1/accounts").is(200).json["items"][0]["etag"].clone();
    let plain = listed.as_str().unwrap();

    assert_eq!(server.tag(path).split('-').next(), plain.strip_suffix('"'));
    let second = patch(&[&format!("\"999\", {plain}")], "two").is(200);
    let third = patch(&["\"998\"", &format!("\"x\" , {}", second.etag())], "three").is(200);
    let fourth = patch(&["*"], "four").is(200);
    let stale = patch(&[plain, third.etag()], "five").refused(412, "stale");
    assert_eq!(stale.json["current_etag"], fourth.etag());
    patch(&[stale.json["current_etag"].as_str().unwrap()], "five").is(200);
    patch(&[&server.tag(path)], "six").is(200);
    let weak = format!("W/{}", server.tag(path));
    let forged = server.tag(path).replace('-', "--");
    for stale in [weak.as_str(), &forged, "\"\"", "\"999\", \"a,b\""] {
        patch(&[stale], "seven").refused(412, "stale");
    }
    for bad in ["1", "*, \"1\"", "\"1", "\"1\" \"2\"", ",", "\"1\", W/2"] {
        assert_eq!(patch(&[bad], "seven").problem(422, "invalid_request"), "/If-Match", "{bad}");
    }
    patch(&[], "seven").refused(428, "precondition_required");
}

#[test]
fn an_idempotency_key_is_given_once() {
    let server = Control::start();
    let keys = [crate::control::JSON, ("idempotency-key", "k-1"), ("idempotency-key", "k-1")];

    let refused = server.0.send("POST", "/v1/accounts", &keys, &json!({"id": "acme"}).to_string());

    refused.problem(400, "invalid_http");
    assert!(refused.json["detail"].as_str().unwrap().contains("Idempotency-Key"), "{}", refused.text);
    server.get("/v1/accounts/acme").refused(404, "not_found");
}
