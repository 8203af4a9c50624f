//! Starting, stopping, and what one leaves to the next.

use crate::support::{Server, serve_and_wait};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

fn look(server: &Server) -> Value {
    server.decide(&json!({"account": "a", "resource": "MiniMax-M2", "dry_run": true}))
}

#[test]
fn a_restart_keeps_usage_and_reservations() {
    let server = Server::start();
    server.decide(&json!({"account": "a", "resource": "MiniMax-M2", "tokens": 1200}));
    let made = server.decide(&json!({"account": "a", "resource": "music-2.0", "reserve": {"id": "job-7"}}));
    let handle = made["reservation"]["handle"].as_str().unwrap().to_owned();

    let server = server.restart();

    let limits = &look(&server)["limits"];
    assert_eq!((&limits[0]["used"], &limits[1]["used"]), (&json!(1), &json!(1200)));
    let again = server.decide(&json!({"account": "a", "resource": "music-2.0", "reserve": {"id": "job-7"}}));
    assert_eq!((&again["replayed"], &again["reservation"]["handle"]), (&json!(true), &json!(handle)));
    assert_eq!(server.get(&format!("/v1/reservations/{handle}")).json["state"], "open");
    assert_eq!(server.get("/readyz").json["revision"], 1);
}

#[test]
fn a_stop_asked_for_as_soon_as_it_serves_is_one_in_order() {
    for _ in 0..5 {
        let mut server = Server::start();

        server.signal(Signal::TERM);

        let status = server.ended();
        assert!(status.success(), "{status}: {}", server.log());
    }
}

#[test]
fn a_kill_loses_at_most_the_flush_lag() {
    let mut server = Server::start_with(&["--unknown-accounts", "default_tier", "--flush-interval-ms", "10"]);
    server.decide(&json!({"account": "a", "resource": "MiniMax-M2", "tokens": 1200}));
    while !server.get("/metrics").text.contains("quotagate_flush_waiting_records 0") {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(50));
    server.signal(Signal::KILL);
    server.ended();

    let folder = server.data();
    let second = Server::on_the_folder_of(&server);

    assert!(folder.exists());
    assert_eq!(look(&second)["limits"][1]["used"], 1200);
}

#[test]
fn a_stop_under_load_loses_no_answer() {
    let server = Arc::new(Server::start());
    let allowed = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let (server, allowed) = (server.clone(), allowed.clone());
            std::thread::spawn(move || {
                let body =
                    json!({"account": format!("a{client}"), "resource": "MiniMax-M2", "requests": 0, "tokens": 1});
                // Until the server is gone.
                while server.try_decide(&body).is_some_and(|decision| decision["decision"] == "allow") {
                    allowed.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    while allowed.load(Ordering::Relaxed) < 200 {
        std::thread::sleep(Duration::from_millis(5));
    }

    server.signal(Signal::TERM);
    for client in clients {
        client.join().unwrap();
    }
    let mut server = Arc::into_inner(server).unwrap();
    assert!(server.ended().success(), "{}", server.log());

    let second = Server::on_the_folder_of(&server);
    let used: u64 = (0..4)
        .map(|client| {
            let body = json!({"account": format!("a{client}"), "resource": "MiniMax-M2", "dry_run": true});
            second.decide(&body)["limits"][1]["used"].as_u64().unwrap()
        })
        .sum();
    let answered = allowed.load(Ordering::Relaxed);
    assert!(used >= answered, "{answered} were answered, {used} are there");
    // A client may have been cut off after its request was decided, and once each at most.
    assert!(used <= answered + 4, "{answered} were answered, {used} are there");
}

#[test]
fn a_folder_in_use_and_a_port_in_use_are_told() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();

    let same_folder = serve_and_wait(&server.data(), &["--listen", "127.0.0.1:0"]);
    let same_port = serve_and_wait(folder.path(), &["--listen", &address]);

    let complaint = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(same_folder.status.code(), Some(1));
    assert!(complaint(&same_folder).contains("is in use by process"), "{}", complaint(&same_folder));
    assert_eq!(same_port.status.code(), Some(1));
    assert!(complaint(&same_port).contains(&format!("cannot listen on `{address}`")), "{}", complaint(&same_port));
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "nothing was made");
}

#[test]
fn a_policy_file_is_published_where_it_differs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    let policy = include_str!("../../policies/minimax.yaml");
    std::fs::write(&file, policy.replace("quotas: {free: 20, paid: 500}", "quotas: {free: 25, paid: 500}")).unwrap();
    let arguments = ["--unknown-accounts", "default_tier", "--policy", file.to_str().unwrap()];

    let server = Server::start_with(&arguments);
    assert_eq!(look(&server)["limits"][0]["quota"], 25);
    let server = server.restart();
    assert_eq!(look(&server)["revision"], 1, "the same is not published again");
    std::fs::write(&file, policy).unwrap();
    let server = server.restart();

    assert_eq!(look(&server)["limits"][0]["quota"], 20);
    assert_eq!(look(&server)["revision"], 2);
}

#[test]
fn a_bad_policy_file_is_told_with_its_errors() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    std::fs::write(&file, "schema: quotagate.policy/v1\nname: x\n").unwrap();

    let refused =
        serve_and_wait(&folder.path().join("data"), &["--listen", "127.0.0.1:0", "--policy", file.to_str().unwrap()]);

    let complaint = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1));
    assert!(complaint.contains("policy.yaml") && complaint.contains("tiers"), "{complaint}");
}

#[test]
fn the_settings_are_printed_with_where_they_came_from() {
    let folder = tempfile::tempdir().unwrap();

    let printed = serve_and_wait(folder.path(), &["--print-config", "--workers", "3"]);

    let text = String::from_utf8_lossy(&printed.stdout).into_owned();
    assert!(printed.status.success());
    assert!(text.contains("from the flag `--workers`\nworkers = 3"), "{text}");
    assert!(text.contains("from the default\nlisten = \"127.0.0.1:8080\""), "{text}");
}

#[test]
fn a_folder_that_is_being_restored_into_is_not_served_from() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("journal.restoring")).unwrap();

    let output = serve_and_wait(folder.path(), &["--listen", "127.0.0.1:0"]);

    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("run `quotagate restore` again, which begins anew"), "{said}");
    assert!(!folder.path().join("journal").exists() && !folder.path().join("FORMAT").exists());
}
