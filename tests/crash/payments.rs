//! A billing system at work: every payment event that was acknowledged is there exactly once after a kill, whatever was
//! under way, and the sums are those of the events.

use crate::server::{Call, Client, Gone, Server, verify};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

const WORKERS: u64 = 32;
/// Shared by several workers each.
const ACCOUNTS: u64 = 10;
const LONGEST_ROUND: Duration = Duration::from_secs(15);
/// Rounds unless `PAYMENT_CRASH_ROUNDS` says how many.
const USUAL_ROUNDS: usize = 8;
const POLICY: &str = r#"
schema: quotagate.policy/v1
name: payments
tiers:
  - {id: free}
  - {id: paid, reached_by: {net_paid_at_least: {CNY: 30}}, grace: 0d}
default_tier: free
groups:
  - id: text
    resources: [text]
    limits: [{id: rpm, unit: requests, window: 1m, quotas: {free: 1, paid: 2}}]
"#;

#[derive(Debug, Clone)]
struct Event {
    account: String,
    route: &'static str,
    body: Value,
}

impl Event {
    fn id(&self) -> &str {
        self.body["event_id"].as_str().unwrap()
    }

    fn send(&self, client: &Client) -> Result<u16, Gone> {
        let path = format!("/v1/accounts/{}/{}", self.account, self.route);
        let reply = client.post(&path, self.body.clone())?;
        match reply.status {
            200 | 201 => {
                assert_eq!(reply.json["duplicate"], reply.status == 200, "{self:?}");
                Ok(reply.status)
            }
            // As if there had been no answer.
            500.. => Err(Gone),
            _ => panic!("{self:?}: {}", reply.json),
        }
    }
}

struct Worker {
    id: u64,
    random: SmallRng,
    payments: u64,
    /// Made up, not sent yet.
    ahead: Vec<Event>,
    /// Sent and not answered.
    pending: Option<Event>,
    acknowledged: Vec<Event>,
}

impl Worker {
    fn new(id: u64) -> Self {
        let random = SmallRng::seed_from_u64(id);
        Self { id, random, payments: 0, ahead: Vec::new(), pending: None, acknowledged: Vec::new() }
    }

    /// Works until the server is gone.
    fn work(&mut self, client: &Client, until: Instant) {
        // Whoever finds the server gone has nothing more to do.
        _ = self.go_on(client, until);
    }

    fn go_on(&mut self, client: &Client, until: Instant) -> Result<(), Gone> {
        if let Some(event) = self.pending.clone() {
            // It is there or not: sent again it is there.
            event.send(client)?;
            self.acknowledge();
        }
        while Instant::now() < until {
            if !self.acknowledged.is_empty() && self.random.random_range(0..8) == 0 {
                let known = self.random.random_range(0..self.acknowledged.len());
                assert_eq!(self.acknowledged[known].send(client)?, 200, "{:?}", self.acknowledged[known]);
            }
            let event = self.next();
            self.pending = Some(event.clone());
            assert_eq!(event.send(client)?, 201, "{event:?}");
            self.acknowledge();
        }
        Ok(())
    }

    fn acknowledge(&mut self) {
        self.acknowledged.extend(self.pending.take());
    }

    /// The events of one payment come in any order. The last takes it back whole, so tiers are lost and
    /// reached again all the time.
    fn next(&mut self) -> Event {
        while self.ahead.is_empty() {
            self.payments += 1;
            let (payment, account) = (format!("p{}-{}", self.id, self.payments), format!("m{}", self.id % ACCOUNTS));
            for number in 0..3 {
                let mut body = json!({
                    "event_id": format!("e-{payment}-{number}"), "payment_id": payment,
                    "amount": if number == 2 { 100 } else { self.random.random_range(1..100) }, "currency": "CNY",
                });
                let kind = ["refund", "chargeback"][self.random.random_range(0..2)];
                let route = if number == 0 { "top-ups" } else { "refunds" };
                if number > 0 {
                    body["kind"] = json!(kind);
                }
                if self.random.random_range(0..2) == 0 {
                    body["occurred_at"] = json!("2025-01-31T08:00:00.000Z");
                }
                self.ahead.push(Event { account: account.clone(), route, body });
            }
        }
        let at = self.random.random_range(0..self.ahead.len());
        self.ahead.swap_remove(at)
    }
}

/// Of each payment what was topped up less what was taken back, at least nothing.
fn net(entries: &[Value]) -> i64 {
    let mut payments = HashMap::<&str, (i64, i64)>::new();
    for entry in entries {
        let payment = payments.entry(entry["payment_id"].as_str().unwrap()).or_default();
        let amount = entry["amount"].as_i64().unwrap();
        *(if entry["kind"] == "top_up" { &mut payment.0 } else { &mut payment.1 }) += amount;
    }
    payments.values().filter(|(paid, _)| *paid > 0).map(|(paid, back)| (paid - back).max(0)).sum()
}

/// Returns how many entries there are.
fn check(client: &Client, workers: &[Worker], round: &str) -> usize {
    let mut there = BTreeMap::<String, Value>::new();
    for account in (0..ACCOUNTS).map(|number| format!("m{number}")) {
        let ledger = client.list(&format!("/v1/accounts/{account}/ledger"));
        for (number, entry) in (1..).zip(&ledger) {
            assert_eq!(entry["number"], number, "{round}: {account}");
            let mut entry = entry.clone();
            entry["account"] = json!(account);
            let id = entry["event_id"].as_str().unwrap().to_owned();
            assert!(there.insert(id.clone(), entry).is_none(), "{round}: {id} is there twice");
        }
        let net = net(&ledger);
        let last = ledger.last().map_or(0, |entry| entry["net_paid"]["CNY"].as_i64().unwrap_or(0));
        assert_eq!(last, net, "{round}: {account}");
        let eligibility = client.read(&format!("/v1/accounts/{account}/tier-eligibility"));
        assert_eq!(eligibility["tiers"][1]["net_paid"]["CNY"]["have"], net, "{round}: {account}");
        let tier = if net >= 30 { "paid" } else { "free" };
        assert_eq!(eligibility["effective"], tier, "{round}: {account}");
        let body = json!({"account": account, "resource": "text", "dry_run": true});
        let quota = client.post("/v1/decisions", body).unwrap().json["limits"][0]["quota"].clone();
        assert_eq!(quota, if tier == "paid" { 2 } else { 1 }, "{round}: {account}");
    }
    let entries = there.len();
    for worker in workers {
        for event in &worker.acknowledged {
            let entry = there.remove(event.id()).unwrap_or_else(|| panic!("{round}: {event:?} was acknowledged"));
            assert_same(event, &entry, round);
        }
        // The one that was under way is there as it was sent, or not at all.
        if let Some(event) = &worker.pending
            && let Some(entry) = there.remove(event.id())
        {
            assert_same(event, &entry, round);
        }
    }
    assert!(there.is_empty(), "{round}: nobody sent {there:?}");
    let digest = client.read("/v1/ledger/digest?from=1970-01-01T00:00:00Z&to=2999-01-01T00:00:00Z");
    assert_eq!(digest["count"], entries, "{round}");
    entries
}

fn assert_same(event: &Event, entry: &Value, round: &str) {
    let kind = event.body.get("kind").cloned().unwrap_or(json!("top_up"));
    assert_eq!((&entry["account"], &entry["kind"]), (&json!(event.account), &kind), "{round}: {event:?}");
    for (name, given) in event.body.as_object().unwrap() {
        assert!(name == "kind" || entry[name] == *given, "{round}: {event:?} is there as {entry}");
    }
}

fn prepare(client: &Client) {
    let tag = client.get("/v1/policies/active").unwrap().etag;
    let body = json!({"document": POLICY, "reason": "test"});
    let path = "/v1/policies/revisions".to_owned();
    let publish = Call { method: "POST", path, body, if_match: Some(tag), ..Call::default() };
    assert_eq!(client.send(&publish).unwrap().status, 201);
    for number in 0..ACCOUNTS {
        assert_eq!(client.post("/v1/accounts", json!({"id": format!("m{number}")})).unwrap().status, 201);
    }
}

#[test]
fn every_acknowledged_payment_is_there_exactly_once_after_a_kill() {
    let rounds = std::env::var("PAYMENT_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let rounds = rounds.unwrap_or(USUAL_ROUNDS);
    let folder = tempfile::tempdir().unwrap();
    let mut random = SmallRng::seed_from_u64(9);
    let mut workers: Vec<Worker> = (0..WORKERS).map(Worker::new).collect();
    let mut server = Server::start(folder.path(), &[]);
    prepare(&server.client());
    let mut entries = 0;

    for round in 0..rounds {
        let point = (round % 2 == 1).then(|| {
            let step = ["checked", "appended", "synced", "applied", "answered"][random.random_range(0..5)];
            format!("commit.{step}:{}", random.random_range(2..30))
        });
        if let Some(point) = &point {
            server.kill();
            server = Server::start(folder.path(), &[("QUOTAGATE_FAILPOINT", point)]);
        }
        let until = Instant::now() + LONGEST_ROUND;
        std::thread::scope(|scope| {
            for worker in &mut workers {
                let client = server.client();
                scope.spawn(move || worker.work(&client, until));
            }
            match &point {
                None => {
                    std::thread::sleep(Duration::from_millis(random.random_range(30..400)));
                    server.kill();
                }
                Some(point) => assert!(server.dies(), "{point}: {}", server.log()),
            }
        });
        let round = format!("round {round}, {point:?}");
        if random.random_range(0..4) == 0 {
            verify(folder.path(), &round);
        }
        if random.random_range(0..4) == 0 {
            // The next start makes the state from the journal alone.
            std::fs::remove_dir_all(folder.path().join("data/control")).unwrap();
        }
        server = Server::start(folder.path(), &[]);
        entries = check(&server.client(), &workers, &round);
    }

    assert!(server.stop(), "{}", server.log());
    verify(folder.path(), "the end");
    let acknowledged: usize = workers.iter().map(|worker| worker.acknowledged.len()).sum();
    println!(
        "{rounds} kills: {acknowledged} acknowledged events and {} more are there, each once",
        entries - acknowledged
    );
    assert!(acknowledged > rounds * 10, "the workers must get to work, not just {acknowledged} events");
}
