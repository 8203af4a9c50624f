//! What an attack leaves behind, and what the process makes sure of before one.

use crate::arena::{Arena, Front, alone};
use crate::crowd::Crowd;
use crate::support::Server;
use crate::wire::head;
use crate::witness::expect;
use rustix::process::Signal;
use serde_json::json;
use std::time::Duration;

/// By then a decision is on disk, with a flush interval of 50 ms and a sync each second.
const WRITTEN: Duration = Duration::from_secs(1);

#[test]
fn usage_during_an_attack_is_there_after_a_kill() {
    let _alone = alone();
    let mut arena = Arena::open(Front::Poor);
    let address = arena.server.address.clone();
    let mut crowd = Crowd::at(&address);

    let decided = {
        let decision = arena.decision("kept");
        crowd.join(600, &[2]);
        crowd.say(&head("CONNECT localhost:443", "host: localhost:443\r\n"));
        crowd.work(Duration::from_millis(500), |_| false);
        // A connection from before could have made room for one of theirs.
        arena
            .line(Duration::from_secs(5))
            .and_then(|mut line| (0..5).try_for_each(|_| line.ask(&decision).and_then(|answer| expect(&answer, 200))))
    };
    std::thread::sleep(WRITTEN);
    arena.server.signal(Signal::KILL);
    arena.server.ended();
    drop(crowd);

    decided.expect("decisions are answered beside the attack");
    let server = Server::on_the_folder_of(&arena.server);
    let look = server.decide(&json!({"account": "kept", "resource": "MiniMax-M2", "dry_run": true}));
    assert_eq!(look["limits"][0]["used"], 5, "{look}");
}

#[test]
fn the_limit_of_descriptors_is_raised_as_far_as_it_goes_and_told() {
    let server = Server::start_under("-Sn 256", &[]);

    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.process())).unwrap();
    let files: Vec<&str> =
        limits.lines().find(|line| line.starts_with("Max open files")).unwrap().split_whitespace().collect();
    assert_eq!(files[3], files[4], "{limits}");
    assert!(server.log().contains("descriptors"), "{}", server.log());
}

#[test]
fn a_small_limit_of_descriptors_is_warned_of() {
    let server = Server::start_under("-n 256", &[]);

    let log = server.log();
    let warned = log.lines().any(|line| line.contains("WARN") && line.contains("descriptors"));
    assert!(warned, "{log}");
}
