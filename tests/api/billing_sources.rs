use crate::control::Control;
use crate::signing::{mac, seconds, signature, top_up};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const PATH: &str = "/v1/billing-sources";

#[test]
fn a_secret_is_told_once_and_never_kept_or_logged_as_it_is() {
    let server = Control::start();
    let given = "whsec_0123456789abcdefghijklmnopqrstuv";

    let made = server.post(PATH, json!({"id": "billing", "name": "Ours"})).is(201);
    let taken = server.post(PATH, json!({"id": "stripe", "format": "stripe", "secret": given})).is(201);
    let second = server.post(&format!("{PATH}/billing/secrets"), json!({})).is(201);

    let (first, second) = (made.json["secret"].as_str().unwrap(), second.json["secret"].as_str().unwrap());
    assert!(first.starts_with("qgwh_") && first.len() == 69, "{first}");
    assert_ne!(first, second);
    assert_eq!((made.header("cache-control"), made.header("location")), ("no-store", "/v1/billing-sources/billing"));
    assert_eq!(taken.json.get("secret"), None);
    let read = [
        server.get(&format!("{PATH}/billing")).is(200).text,
        server.get(PATH).is(200).text,
        server.get("/v1/audit").is(200).text,
    ];
    let server = server.after_stop();
    let secrets = [first, second, given];
    let holds = |bytes: &[u8]| secrets.iter().any(|s| bytes.windows(s.len()).any(|window| window == s.as_bytes()));
    let files = files_under(&server.0.data());
    assert!(files.len() > 5, "{files:?}");
    for file in files {
        assert!(!holds(&std::fs::read(&file).unwrap()), "{}", file.display());
    }
    for text in read.iter().chain([&server.0.log()]) {
        assert!(!holds(text.as_bytes()), "{text}");
    }
    // Sealed, and opened again after the restart.
    server.create("acme");
    for (number, secret) in [(1, first), (2, second)] {
        server.deliver("billing", secret, &top_up("acme", number, 1)).is(200);
    }
}

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_under(&path) } else { vec![path] }).collect()
}

#[test]
fn rotation_takes_both_secrets_until_the_old_one_goes() {
    let server = Control::start();
    server.create("acme");
    let old = server.source("billing", "generic");
    let source = format!("{PATH}/billing");

    let new = server.post(&format!("{source}/secrets"), json!({})).is(201).json;
    let new = new["secret"].as_str().unwrap().to_owned();

    server.deliver("billing", &old, &top_up("acme", 1, 1)).is(200);
    server.deliver("billing", &new, &top_up("acme", 2, 1)).is(200);
    server.post(&format!("{source}/secrets"), json!({})).refused(409, "too_many_secrets");
    // A sender that signs with both is taken before and after.
    let (now, body) = (seconds(0), top_up("acme", 3, 1).to_string());
    let both = format!("t={now},v1={},v1={}", mac(&old, now, &body), mac(&new, now, &body));
    server.deliver_as("billing", ("quotagate-signature", &both), &body).is(200);

    let path = format!("{source}/secrets/1");
    server.0.send("DELETE", &path, &[], "").refused(428, "precondition_required");
    server.delete("\"1\"", &path).refused(412, "stale");
    let left = server.delete(&server.tag(&source), &path).is(200).json;

    assert_eq!(left["secrets"].as_array().unwrap().iter().map(|s| &s["number"]).collect::<Vec<_>>(), [&json!(2)]);
    server.deliver("billing", &old, &top_up("acme", 4, 1)).refused(401, "invalid_signature");
    server.deliver("billing", &new, &top_up("acme", 4, 1)).is(200);
    server.deliver_as("billing", ("quotagate-signature", &both), &body).is(200);
    server.delete(&server.tag(&source), &format!("{source}/secrets/2")).refused(409, "last_secret");
    server.delete("*", &path).refused(404, "not_found");
    let server = server.after_kill();
    server.deliver("billing", &old, &top_up("acme", 5, 1)).refused(401, "invalid_signature");
    server.deliver("billing", &new, &top_up("acme", 5, 1)).is(200);
}

#[test]
fn a_disabled_source_is_told_so_only_where_the_signature_is_right() {
    let server = Control::start();
    server.create("acme");
    let secret = server.source("billing", "generic");
    let source = format!("{PATH}/billing");

    let disabled = server.post(&format!("{source}/disable"), json!({"reason": "leaked"})).is(200).json;

    assert_eq!((&disabled["enabled"], &disabled["disabled"]["reason"]), (&json!(false), &json!("leaked")));
    server.deliver("billing", &secret, &top_up("acme", 1, 1)).refused(403, "source_disabled");
    server.deliver("billing", &"x".repeat(30), &top_up("acme", 1, 1)).refused(401, "invalid_signature");
    assert_eq!(server.ledger("acme").len(), 0);
    let again = server.post(&format!("{source}/disable"), json!({"reason": "again"})).is(200).json;
    assert_eq!(again["disabled"]["reason"], "leaked");
    let enabled = server.post(&format!("{source}/enable"), json!({"reason": "rotated"})).is(200).json;
    assert_eq!((&enabled["enabled"], enabled.get("disabled")), (&json!(true), None));
    server.deliver("billing", &secret, &top_up("acme", 1, 1)).is(200);
    let audited = server.get("/v1/audit?subject=billing_source:billing").is(200).json;
    let actions: Vec<&str> =
        audited["items"].as_array().unwrap().iter().map(|e| e["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["billing_source.enable", "billing_source.disable", "billing_source.create"]);
    server.post(&format!("{source}/disable"), json!({"reason": " "})).refused(422, "invalid_request");
    server.post(&format!("{PATH}/nobody/disable"), json!({"reason": "x"})).refused(404, "not_found");
}

#[test]
fn creating_is_checked_repeated_and_tried_out_like_every_change() {
    let server = Control::start();
    let with_key = |body: &Value| {
        let headers = [("content-type", "application/json"), ("idempotency-key", "k1")];
        server.0.send("POST", PATH, &headers, &body.to_string())
    };

    let tried = server.post(&format!("{PATH}?validate_only=true"), json!({"id": "billing"})).is(200);
    assert_eq!((tried.json.get("secret"), server.get(PATH).json["items"].as_array().unwrap().len()), (None, 0));
    let first = with_key(&json!({"id": "billing"})).is(201);
    let again = with_key(&json!({"id": "billing"})).is(201);
    assert!(first.json["secret"].is_string());
    assert_eq!((again.json.get("secret"), again.header("idempotent-replayed")), (None, "true"));
    server.post(PATH, json!({"id": "billing"})).refused(409, "source_exists");

    for (body, pointer) in [
        (json!({"id": "x", "secret": "short"}), "/secret"),
        (json!({"id": "x", "secret": "with a space in it, long enough"}), "/secret"),
        (json!({"id": "x", "secret": "s".repeat(256)}), "/secret"),
        (json!({"id": "X"}), "/id"),
        (json!({"id": "x", "format": "paypal"}), "/format"),
        (json!({"id": "x", "name": ""}), "/name"),
        (json!({}), "/id"),
    ] {
        assert_eq!(server.post(PATH, body).problem(422, "invalid_request"), pointer);
    }
}

#[test]
fn without_its_seal_key_a_folder_has_no_secrets_and_says_so() {
    let server = Control::start();
    server.create("acme");
    let old = server.source("billing", "generic");
    let key = server.0.data().join("seal.key");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&key).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    std::fs::remove_file(&key).unwrap();

    let server = server.after_kill();

    assert!(
        server.0.log().contains("the seal key does not open a secret of this billing source"),
        "{}",
        server.0.log()
    );
    server.deliver("billing", &old, &top_up("acme", 1, 1)).refused(401, "invalid_signature");
    let new = server.post(&format!("{PATH}/billing/secrets"), json!({})).is(201).json;
    server.deliver("billing", new["secret"].as_str().unwrap(), &top_up("acme", 1, 1)).is(200);
    // What is not to be had is no help to whoever tries.
    let body = top_up("acme", 2, 1).to_string();
    let header = signature(&"0".repeat(64), seconds(0), &body);
    server.deliver_as("nobody", ("quotagate-signature", &header), &body).refused(401, "invalid_signature");
}
