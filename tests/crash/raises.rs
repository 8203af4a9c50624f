//! Customers who ask for more and reviewers who answer them, all at once: every step that was acknowledged is there once
//! after a kill, an approval has its overrides and nothing but them, and what is decided by is what was granted.

mod check;
mod people;

use crate::server::{Call, Client, Server, verify};
use check::Seen;
use people::{Desk, Person, Role};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use std::time::{Duration, Instant};

const CUSTOMERS: u64 = 20;
const REVIEWERS: u64 = 8;
const LONGEST_ROUND: Duration = Duration::from_secs(15);
/// Rounds unless `RAISE_CRASH_ROUNDS` says how many.
const USUAL_ROUNDS: usize = 6;
const PASSWORD: &str = "correct horse battery";
/// What the tier gives of each limit. All raises of one account together stay below its double.
pub const OF_TIER: u64 = 1_000_000;
pub const LIMITS: [&str; 2] = ["rpm", "tpm"];
const POLICY: &str = r#"
schema: quotagate.policy/v1
name: raises
tiers: [{id: free}]
default_tier: free
groups:
  - id: text
    resources: [text]
    limits:
      - {id: rpm, unit: requests, window: 1m, quotas: {free: 1000000}}
      - {id: tpm, unit: tokens, window: 1m, quotas: {free: 1000000}}
"#;

/// Publishes the policy, makes the reviewers and logs each of them in.
fn prepare(client: &Client) -> Vec<Person> {
    let tag = client.get("/v1/policies/active").unwrap().etag;
    let body = json!({"document": POLICY, "reason": "test"});
    let path = "/v1/policies/revisions".to_owned();
    let publish = Call { method: "POST", path, body, if_match: Some(tag), ..Call::default() };
    assert_eq!(client.send(&publish).unwrap().status, 201);
    let reviewers = (0..REVIEWERS).map(|number| {
        let name = format!("rita{number}");
        let person = json!({"name": name, "role": "reviewer", "password": PASSWORD});
        if number == 0 {
            // The first of all is an owner.
            let owner = json!({"name": "olga", "role": "owner", "password": PASSWORD});
            assert_eq!(client.post("/v1/operators", owner).unwrap().status, 201);
        }
        assert_eq!(client.post("/v1/operators", person).unwrap().status, 201);
        let login = client.post("/v1/sessions", json!({"name": name, "password": PASSWORD})).unwrap();
        Person::new(100 + number, Role::Reviewer { name, token: login.json["token"].as_str().unwrap().to_owned() })
    });
    let reviewers: Vec<Person> = reviewers.collect();
    let customers = (0..CUSTOMERS).map(|number| Person::new(number, Role::customer()));
    customers.chain(reviewers).collect()
}

/// Everyone works until the server is gone, by a kill or at a step of a commit.
fn work(server: &mut Server, people: &mut [Person], desk: &Desk, end: (Option<&str>, Duration)) {
    let until = Instant::now() + LONGEST_ROUND;
    std::thread::scope(|scope| {
        for person in people {
            let client = server.client();
            scope.spawn(move || person.work(&client, desk, until));
        }
        match end {
            (None, after) => {
                std::thread::sleep(after);
                server.kill();
            }
            (Some(point), _) => assert!(server.dies(), "{point}: {}", server.log()),
        }
    });
}

#[test]
fn every_acknowledged_step_of_a_raise_request_is_there_once_after_a_kill_and_an_approval_has_its_overrides() {
    let rounds = std::env::var("RAISE_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let rounds = rounds.unwrap_or(USUAL_ROUNDS);
    let begun = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let mut random = SmallRng::seed_from_u64(11);
    let mut server = Server::start(folder.path(), &[]);
    let mut people = prepare(&server.client());
    let desk = Desk::default();
    let mut seen = Seen::default();

    for round in 0..rounds {
        for person in &mut people {
            person.move_in(&server.client());
        }
        let point = (round % 2 == 1).then(|| {
            let step = ["checked", "appended", "synced", "applied", "answered"][random.random_range(0..5)];
            format!("commit.{step}:{}", random.random_range(2..60))
        });
        if let Some(point) = &point {
            server.kill();
            server = Server::start(folder.path(), &[("QUOTAGATE_FAILPOINT", point)]);
        }
        let after = Duration::from_millis(random.random_range(100..700));
        work(&mut server, &mut people, &desk, (point.as_deref(), after));
        let round = format!("round {round}, {point:?}");
        if random.random_range(0..4) == 0 {
            verify(folder.path(), &round);
        }
        if random.random_range(0..4) == 0 {
            // The next start makes the state from the journal alone.
            std::fs::remove_dir_all(folder.path().join("data/control")).unwrap();
        }
        server = Server::start(folder.path(), &[]);
        seen.check(&server.client(), &mut people, &desk, &round);
    }

    // What was under way at the last kill comes to one effect as well.
    let settled = Instant::now() + LONGEST_ROUND;
    for person in &mut people {
        person.promises.settle(&server.client(), settled);
    }
    seen.check(&server.client(), &mut people, &desk, "the end");
    assert!(server.stop(), "{}", server.log());
    verify(folder.path(), "the end");
    let (acknowledged, again) = people
        .iter()
        .fold((0, 0), |(all, again), person| (all + person.promises.kept.len(), again + person.promises.replayed));
    println!(
        "{rounds} kills in {:?}: {acknowledged} acknowledged steps of {} requests are there, each once, and the {} \
         overrides of {} approvals; {again} were there and had not been answered",
        begun.elapsed(),
        seen.requests,
        seen.overrides,
        seen.approvals
    );
    assert!(acknowledged > rounds * 10, "they must get to work, not just {acknowledged} steps");
    assert!(seen.approvals > rounds && seen.superseded > 0, "{} approvals", seen.approvals);
}
