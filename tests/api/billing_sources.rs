use crate::control::Control;
use crate::signing::{mac, seconds, signature, top_up};
use crate::support::Server;
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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

pub fn files_under(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    // The control socket is not one that can be read.
    let kept = entries.filter(|path| path.is_dir() || path.is_file());
    kept.flat_map(|path| if path.is_dir() { files_under(&path) } else { vec![path] }).collect()
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

/// Runs `quotagate billing-source` on the folder of a server; gives its exit code and what it printed.
fn command(data: &Path, arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quotagate"));
    command.arg("billing-source").args(arguments).arg("--data").arg(data);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It may have no use for it and be gone.
    _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_command_line_manages_sources_of_a_folder_that_no_server_holds() {
    let mut server = Control::start();
    server.create("acme");
    let data = server.0.data();
    server.0.signal(rustix::process::Signal::TERM);
    assert!(server.0.ended().success());

    let (code, first, said) = command(&data, &["create", "billing", "--name", "Ours"], "");
    let first = first.trim_end();
    assert_eq!(code, Some(0), "{said}");
    assert!(first.starts_with("qgwh_") && first.len() == 69, "alone on standard output: {first}");
    assert!(!said.contains(first) && said.contains("/v1/hooks/billing/billing"), "{said}");
    let given = "whsec_of_the_provider_itself_long";
    let (code, out, said) = command(&data, &["add-secret", "billing", "--secret-file", "-"], &format!("{given}\n"));
    assert_eq!((code, out.as_str()), (Some(0), ""), "{said}");
    let (code, _, why) = command(&data, &["add-secret", "billing"], "");
    assert_eq!(code, Some(1));
    assert!(why.contains("has 2 secrets: remove the one no longer in use first"), "{why}");
    assert_eq!(command(&data, &["create", "billing"], "").0, Some(1));
    assert_eq!(command(&data, &["create", "Bad Id"], "").0, Some(2));

    let server = Control(Server::on_the_folder_of(&server.0));
    for (number, secret) in [(1, first), (2, given)] {
        server.deliver("billing", secret, &top_up("acme", number, 1)).is(200);
    }
    let audited = server.get("/v1/audit?subject=billing_source:billing").is(200).json;
    assert_eq!(
        (&audited["items"][0]["actor"], &audited["items"][0]["actor_kind"]),
        (&json!("console"), &json!("console"))
    );

    let mut server = server;
    server.0.signal(rustix::process::Signal::TERM);
    assert!(server.0.ended().success());
    assert_eq!(command(&data, &["remove-secret", "billing", "1"], "").0, Some(0));
    let (code, _, why) = command(&data, &["remove-secret", "billing", "2"], "");
    assert!(code == Some(1) && why.contains("only secret"), "{why}");
    let (_, listed, _) = command(&data, &["list"], "");
    assert!(listed.contains("billing") && listed.contains("enabled") && listed.contains("Ours"), "{listed}");
    assert!(!listed.contains(given));
    assert_eq!(command(&data, &["disable", "billing", "--reason", "leaked"], "").0, Some(0));

    let server = Control(Server::on_the_folder_of(&server.0));
    server.deliver("billing", first, &top_up("acme", 3, 1)).refused(401, "invalid_signature");
    server.deliver("billing", given, &top_up("acme", 3, 1)).refused(403, "source_disabled");
}

#[test]
fn the_command_line_makes_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");

    let (code, out, why) = command(&nowhere, &["list"], "");

    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(why.contains("name the folder that the server was given as `--data`"), "{why}");
    assert!(!nowhere.exists());
}
