//! The command line beside a running server: by the control socket, in the name of the console.

use crate::control::JSON;
use crate::support::{Reply, Server};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

const PASSWORD: &str = "correct horse battery staple";

fn socket(server: &Server) -> PathBuf {
    server.data().join("control.sock")
}

/// Runs a command on the server's folder.
fn run(server: &Server, arguments: &[&str]) -> Output {
    run_with(server, arguments, "")
}

fn run_with(server: &Server, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quotagate"));
    command.args(arguments).arg("--data").arg(server.data()).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that is refused before does not read it.
    _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// What it prints, which ended well.
#[track_caller]
fn told(output: &Output) -> String {
    assert!(output.status.success(), "{}", complaint(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The secret, which stands alone.
#[track_caller]
fn secret(output: &Output) -> String {
    told(output).trim_end().to_owned()
}

fn with(server: &Server, secret: &str, method: &str, path: &str, body: &Value) -> Reply {
    let authorization = format!("Bearer {secret}");
    server.send(method, path, &[JSON, ("authorization", &authorization)], &body.to_string())
}

fn decides(server: &Server, secret: &str) -> bool {
    let body = json!({"account": "acme", "resource": "MiniMax-M2"});
    match with(server, secret, "POST", "/v1/decisions", &body).status {
        200 => true,
        401 => false,
        other => panic!("{other}"),
    }
}

/// A server with a credential, and the secret of it.
fn closed() -> (Server, String) {
    let server = Server::bare();
    let admin = secret(&run(&server, &["key", "create", "--scope", "admin", "--name", "automation"]));
    server.get("/v1/accounts").refused(401, "unauthorized");
    (server, admin)
}

fn id_of(server: &Server, name: &str) -> String {
    let listed = told(&run(server, &["key", "list"]));
    let line = listed.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{listed}"));
    line.split_whitespace().find(|word| word.starts_with("key_")).unwrap().to_owned()
}

#[test]
fn keys_are_made_rotated_and_revoked_beside_the_server_at_once() {
    let (server, admin) = closed();

    let first = secret(&run(&server, &["key", "create", "--scope", "decide", "--name", "gateway"]));

    let id = id_of(&server, "gateway");
    assert!(decides(&server, &first));
    let rotated = run(&server, &["key", "rotate", &id, "--overlap", "24h"]);
    let second = secret(&rotated);
    assert!(complaint(&rotated).contains("the one before is taken for 1d, until "), "{}", complaint(&rotated));
    assert!(decides(&server, &first) && decides(&server, &second));
    let third = secret(&run(&server, &["key", "rotate", &id, "--overlap", "0s"]));
    assert_eq!([&first, &second, &third].map(|secret| decides(&server, secret)), [false, false, true]);
    told(&run(&server, &["key", "revoke", &id, "--reason", "leaked"]));
    assert!(!decides(&server, &third));
    let entry = with(&server, &admin, "GET", "/v1/audit?page_size=1", &json!({})).is(200).json["items"][0].clone();
    assert_eq!((&entry["action"], &entry["actor"]), (&json!("api_key.revoke"), &json!("console")));
    assert_eq!((&entry["actor_kind"], &entry["address"]), (&json!("console"), &json!("control.sock")));
    let tail = told(&run(&server, &["audit", "tail", "-n", "1"]));
    assert!(tail.contains("console:console") && tail.contains("api_key.revoke"), "{tail}");
    assert_eq!(told(&run(&server, &["audit", "export"])).lines().count() as u64, entry["seq"].as_u64().unwrap());
}

/// Each refusal once beside the server and once on the folder: the same words, the same exit code.
#[test]
fn refusals_are_the_same_both_ways() {
    let (mut server, _) = closed();
    told(&run_with(&server, &["operator", "create", "alice", "--role", "owner"], PASSWORD));
    let asked: [(&[&str], &str, i32); 9] = [
        (&["key", "create", "--scope", "admin", "--account", "acme"], "", 1),
        (&["key", "create", "--scope", "decide", "--expires", "2001-01-31T00:00:00Z", "--name", ""], "", 1),
        (&["key", "rotate", "key_none"], "", 1),
        (&["key", "rotate", "../a b", "--overlap", "31d"], "", 1),
        (&["key", "revoke", "key_none", "--reason", ""], "", 1),
        (&["operator", "create", "bob", "--role", "viewer"], "short\n", 1),
        (&["operator", "remove", "alice"], "", 1),
        (&["billing-source", "disable", "none", "--reason", "x"], "", 1),
        (&["key", "rotate", "key_none", "--overlap", "1 day"], "", 2),
    ];
    let all = |server: &Server| asked.map(|(arguments, input, _)| run_with(server, arguments, input));

    let beside = all(&server);
    server.signal(Signal::TERM);
    server.ended();
    let alone = all(&server);

    for (((arguments, _, code), beside), alone) in asked.iter().zip(&beside).zip(&alone) {
        assert_eq!(beside.status.code(), Some(*code), "{arguments:?}: {}", complaint(beside));
        assert_eq!((complaint(beside), &beside.status), (complaint(alone), &alone.status), "{arguments:?}");
    }
}

#[test]
fn operators_are_made_and_reset_beside_the_server_at_once() {
    let (server, _) = closed();
    let login = |password: &str| server.post("/v1/sessions", &json!({"name": "alice", "password": password}));

    told(&run_with(&server, &["operator", "create", "alice", "--role", "owner"], &format!("{PASSWORD}\n")));

    let token = login(PASSWORD).is(200).json["token"].as_str().unwrap().to_owned();
    with(&server, &token, "GET", "/v1/me", &json!({})).is(200);
    for _ in 0..6 {
        login("not the password").is_refused();
    }
    told(&run_with(&server, &["operator", "reset-password", "alice"], "another long password\n"));
    with(&server, &token, "GET", "/v1/me", &json!({})).refused(401, "unauthorized");
    let listed = told(&run(&server, &["operator", "list"]));
    assert!(listed.contains("alice") && listed.contains("owner") && listed.contains("console"), "{listed}");
    told(&run_with(&server, &["operator", "create", "bob", "--role", "viewer"], PASSWORD));
    told(&run(&server, &["operator", "remove", "bob"]));
    assert!(!told(&run(&server, &["operator", "list"])).contains("bob"));
    let log = server.log();
    assert!(!log.contains(PASSWORD) && !log.contains("another long password"));
}

#[test]
fn billing_sources_are_managed_beside_the_server() {
    let (mut server, _) = closed();

    let made = secret(&run(&server, &["billing-source", "create", "billing", "--name", "ours"]));
    let next = secret(&run(&server, &["billing-source", "add-secret", "billing"]));
    told(&run(&server, &["billing-source", "remove-secret", "billing", "1"]));
    told(&run(&server, &["billing-source", "disable", "billing", "--reason", "test"]));

    let beside = told(&run(&server, &["billing-source", "list"]));
    assert!(made.starts_with("qgwh_") && next.starts_with("qgwh_") && made != next);
    assert!(beside.contains("disabled") && beside.contains("generic") && beside.contains("ours"), "{beside}");
    let key = told(&run(&server, &["key", "list"]));
    server.signal(Signal::TERM);
    server.ended();
    assert_eq!(told(&run(&server, &["billing-source", "list"])), beside);
    assert_eq!(told(&run(&server, &["key", "list"])), key);
    told(&run(&server, &["billing-source", "enable", "billing", "--reason", "test"]));
}

#[test]
fn the_server_verifies_its_journal_and_it_is_said_what_was_checked() {
    let (mut server, admin) = closed();
    let head = with(&server, &admin, "GET", "/v1/audit/head", &json!({})).is(200).json;
    let anchor = format!("{}:{}", head["seq"], head["hash"].as_str().unwrap());
    let other = format!("{}:{}", head["seq"], "0a".repeat(32));
    let report = |server: &Server| -> Value {
        serde_json::from_str(&told(&run(server, &["verify", "--format", "json", "--anchor", &anchor]))).unwrap()
    };

    let text = told(&run(&server, &["verify", "--anchor", &anchor]));

    assert!(text.contains("control   not checked: a server runs") && text.contains("as it was"), "{text}");
    assert!(text.contains("nothing is wrong in "), "{text}");
    let wrong = run(&server, &["verify", "--anchor", &other]);
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    assert!(String::from_utf8_lossy(&wrong.stdout).contains("another one, with the hash"), "{wrong:?}");
    told(&run(&server, &["verify", "--journal-only"]));
    let beside = report(&server);
    server.signal(Signal::TERM);
    server.ended();
    let alone = report(&server);
    assert_eq!((&beside["checked_by"], &alone["checked_by"]), (&json!("server"), &json!("command")));
    assert_eq!((&beside["control"], alone["control"]["records"].is_u64()), (&Value::Null, true));
    assert_eq!((&beside["anchor"], &beside["sound"]), (&alone["anchor"], &alone["sound"]));
}

#[test]
fn the_socket_is_its_owners_and_comes_and_goes_with_the_server() {
    let (mut server, admin) = closed();
    let mode = |server: &Server| fs::metadata(socket(server)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&server), 0o600);
    assert!(fs::metadata(socket(&server)).unwrap().file_type().is_socket());

    server.signal(Signal::KILL);
    server.ended();

    assert!(socket(&server).exists(), "a kill leaves it");
    told(&run(&server, &["key", "list"]));
    let mut server = Server::on_the_folder_of(&server);
    assert_eq!(mode(&server), 0o600);
    let made = secret(&run(&server, &["key", "create", "--scope", "decide"]));
    assert!(decides(&server, &made) && decides(&server, &admin));
    server.signal(Signal::TERM);
    server.ended();
    assert!(!socket(&server).exists());
    assert!(!server.log().contains("control socket"), "{}", server.log());
}

#[test]
fn nothing_that_comes_by_the_port_is_taken_for_the_socket() {
    let (server, _) = closed();

    for (name, value) in [
        ("host", "localhost"),
        ("host", "control.sock"),
        ("forwarded", "for=unix;by=unix:control.sock"),
        ("x-forwarded-for", "control.sock"),
        ("x-real-ip", "control.sock"),
        ("authorization", "Bearer console"),
        ("authorization", "Console"),
        ("x-actor", "console"),
    ] {
        let host = if name == "host" { "" } else { "Host: localhost\r\n" };
        let head = format!("GET /v1/api-keys HTTP/1.1\r\n{host}{name}: {value}\r\nconnection: close\r\n\r\n");
        let answer = server.raw(head.as_bytes());
        let refused = answer.starts_with("HTTP/1.1 401") || answer.starts_with("HTTP/1.1 421");
        assert!(refused, "{name}: {value}: {answer}");
    }
}

#[test]
fn a_folder_that_is_held_without_a_socket_is_told_as_such() {
    let (mut server, _) = closed();
    fs::remove_file(socket(&server)).unwrap();

    let refused = ["key", "operator", "billing-source"].map(|command| run(&server, &[command, "list"]));

    for output in refused.iter().chain([&run(&server, &["verify"])]) {
        let why = complaint(output);
        assert_eq!(output.status.code(), Some(2), "{why}");
        assert!(why.contains("is in use by process") && why.contains("starting or stopping"), "{why}");
    }
    // One that nobody accepts from any more.
    drop(UnixListener::bind(socket(&server)).unwrap());
    assert_eq!(run(&server, &["key", "list"]).status.code(), Some(2));
    server.signal(Signal::TERM);
    assert!(server.ended().success());
}

#[test]
fn a_server_that_cannot_have_a_socket_serves_all_the_same() {
    let mut server = Server::bare();
    server.signal(Signal::TERM);
    server.ended();
    fs::write(socket(&server), "something else").unwrap();

    let server = Server::on_the_folder_of(&server);

    server.get("/readyz").is(200);
    assert!(server.log().contains("something else than a socket"), "{}", server.log());
    assert_eq!(fs::read(socket(&server)).unwrap(), b"something else");
}

/// Root alone can become another user, so elsewhere this says that it was not tried.
#[test]
fn another_user_is_refused_by_the_mode_and_where_that_was_changed_by_name() {
    if !rustix::process::geteuid().is_root() {
        println!("not tried: only root can become another user");
        return;
    }
    let (server, _) = closed();
    let folder = server.data().parent().unwrap().to_path_buf();
    let binary = folder.join("quotagate");
    fs::copy(env!("CARGO_BIN_EXE_quotagate"), &binary).unwrap();
    for path in [&folder, &server.data(), &binary] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    let list =
        || Command::new(&binary).args(["key", "list", "--data"]).arg(server.data()).uid(65_534).output().unwrap();

    let by_mode = list();
    fs::set_permissions(socket(&server), Permissions::from_mode(0o666)).unwrap();
    let by_name = list();

    assert_eq!(by_mode.status.code(), Some(2), "{by_mode:?}");
    assert!(complaint(&by_mode).contains("is not for this user"), "{by_mode:?}");
    assert_eq!(by_name.status.code(), Some(1), "{by_name:?}");
    assert!(complaint(&by_name).contains("for the user that the server runs as"), "{by_name:?}");
}

impl Reply {
    /// Wrong, or too often wrong.
    fn is_refused(&self) {
        assert!(matches!(self.status, 401 | 429), "{}", self.text);
    }
}
