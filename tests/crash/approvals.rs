//! Owners who ask for what takes two of them, and approve, reject and withdraw it, all at once: after a kill an approval is
//! approved exactly if what it is for has been done.

use crate::promises::{self, Change, Log, Promises};
use crate::server::{Call, Client, Gone, Server, verify};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const OWNERS: u64 = 8;
const LONGEST_ROUND: Duration = Duration::from_secs(15);
/// Rounds unless `RAISE_CRASH_ROUNDS` says how many.
const USUAL_ROUNDS: usize = 6;
/// Approvals that wait before nobody asks for more: a hundred are the most.
const ENOUGH: usize = 40;
const PATH: &str = "/v1/approvals";
const PASSWORD: &str = "correct horse battery";
const FOUR_EYES: (&str, &str) = ("QUOTAGATE_FOUR_EYES", "publish,overrides");
const DIALS: [&str; 3] = ["d0", "d1", "d2"];
const POLICY: &str = r#"
schema: quotagate.policy/v1
name: approvals
tiers: [{id: free}]
default_tier: free
groups:
  - id: text
    resources: [text]
    limits:
      - {id: rpm, unit: requests, window: 1m, quotas: {free: 100}}
      - {id: d0, unit: tokens, window: 1m, quotas: {free: 1}}
      - {id: d1, unit: tokens, window: 1h, quotas: {free: 1}}
      - {id: d2, unit: tokens, window: 1d, quotas: {free: 1}}
"#;

/// Ids of what waits, and who asked for it.
type Desk = Mutex<Vec<(String, u64)>>;

struct Owner {
    number: u64,
    token: String,
    random: SmallRng,
    n: u64,
    promises: Promises,
}

impl Owner {
    /// Works until the server is gone.
    fn work(&mut self, client: &Client, desk: &Desk, until: Instant) {
        // Whoever finds the server gone has nothing more to do.
        _ = self.go_on(client, desk, until);
    }

    fn go_on(&mut self, client: &Client, desk: &Desk, until: Instant) -> Result<(), Gone> {
        self.promises.send_again(client)?;
        while Instant::now() < until {
            self.n += 1;
            let waits = desk.lock().unwrap().len();
            let change = if waits < 4 || (waits < ENOUGH && self.random.random_bool(0.4)) {
                self.ask()
            } else {
                self.decide(desk)
            };
            let asked = change.action == "approval.request";
            let kept = self.promises.send(client, change)?;
            if let Some(kept) = kept.filter(|_| asked) {
                desk.lock().unwrap().push((kept.id.clone(), self.number));
            }
        }
        Ok(())
    }

    fn change(&self, call: Call, action: &'static str) -> Change {
        let idempotency_key = Some(promises::name(self.number, self.n));
        Change { call: Call { idempotency_key, ..call }, action, key: self.token.clone() }
    }

    /// An override above the ceiling, in a month that nobody else asks for; or another quota of the tier.
    fn ask(&mut self) -> Change {
        let (n, reason) = (self.n, promises::name(self.number, self.n));
        let call = if self.random.random_bool(0.5) {
            let month = |day: u32| format!("{:04}-{:02}-{day:02}T00:00:00.000Z", 2100 + n / 12, 1 + n % 12);
            let body = json!({"account": format!("m{}", self.number), "group": "text", "limit": "rpm",
                "quota": 1_000 + n, "starts_at": month(1), "expires_at": month(20), "reason": reason});
            Call { method: "POST", path: "/v1/overrides".to_owned(), body, ..Call::default() }
        } else {
            let dial = DIALS[self.random.random_range(0..DIALS.len())];
            let body = json!({"quota": (self.number + 1) * 1_000_000 + n, "reason": reason});
            let (path, if_match) = (format!("/v1/tiers/free/quotas/text/{dial}"), Some("*".to_owned()));
            Call { method: "PUT", path, body, if_match, ..Call::default() }
        };
        self.change(call, "approval.request")
    }

    /// Approves or rejects what another asked for; what one asked for oneself is withdrawn. Sometimes it is left on the
    /// desk, for somebody to come too late.
    fn decide(&mut self, desk: &Desk) -> Change {
        let (id, by) = {
            let mut desk = desk.lock().unwrap();
            let at = self.random.random_range(0..desk.len().max(1));
            match desk.get(at).cloned() {
                // Somebody else took the last one.
                None => return self.ask(),
                Some(found) if self.random.random_bool(0.2) => found,
                Some(_) => desk.swap_remove(at),
            }
        };
        let own = by == self.number;
        let (step, action) = match (own, self.random.random_range(0..4)) {
            (true, _) => ("reject", "approval.withdraw"),
            (false, 0) => ("reject", "approval.reject"),
            (false, _) => ("approve", ""),
        };
        let (path, if_match) = (format!("{PATH}/{id}/{step}"), Some("*".to_owned()));
        let body = json!({"reason": promises::name(self.number, self.n)});
        self.change(Call { method: "POST", path, body, if_match, idempotency_key: None }, action)
    }
}

/// What there was at the last check.
#[derive(Default)]
struct Seen {
    log: Log,
    approvals: usize,
    overrides: usize,
    quotas: usize,
}

impl Seen {
    fn check(&mut self, client: &Client, owners: &mut [Owner], desk: &Desk, round: &str) {
        let by_id = |list: &str| -> BTreeMap<String, Value> {
            let items = client.list(list).into_iter();
            items.map(|item| (item["id"].as_str().unwrap().to_owned(), item)).collect()
        };
        let (approvals, overrides) = (by_id(PATH), by_id("/v1/overrides"));
        self.log.read_on(client, round);
        self.log.has_each_once(owners.iter_mut().map(|owner| &mut owner.promises), round);
        for kept in owners.iter().flat_map(|owner| &owner.promises.kept) {
            let now = &approvals[&kept.id];
            assert_eq!(now["requested"], kept.answer["requested"], "{round}: {kept:?}");
            // What was closed stays as it was closed.
            for (name, then) in kept.answer.as_object().unwrap() {
                assert!(kept.answer["state"] == "pending" || now[name] == *then, "{round}: {kept:?} is there as {now}");
            }
        }
        self.closed_as_told(&approvals, round);
        let done = |operation: &str| -> Vec<&Value> {
            let of = approvals.values().filter(|approval| approval["operation"] == operation);
            of.filter(|approval| approval["state"] == "approved").collect()
        };
        let (raised, dialled) = (done("createOverride"), done("setTierQuota"));
        assert_eq!(overrides.len(), raised.len(), "{round}: overrides and approvals of them");
        for approval in &raised {
            let made = &overrides[approval["made"].as_str().unwrap().split_once(':').unwrap().1];
            for field in ["account", "limit", "quota", "starts_at", "expires_at"] {
                assert_eq!(made[field], approval["request"][field], "{round}: {approval}");
            }
            assert_eq!(made["made"]["reason"], approval["request"]["reason"], "{round}: {approval}");
        }
        quotas_are_those_of_approvals(client, &dialled, round);
        let pending = approvals.iter().filter(|(_, approval)| approval["state"] == "pending").map(|(id, _)| id);
        let pending: Vec<&String> = pending.collect();
        let listed = by_id(&format!("{PATH}?state=pending"));
        assert!(listed.keys().eq(pending.iter().copied()), "{round}: what waits, and its list");
        let asker = |id: &str| approvals[id]["requested"]["by"].as_str().unwrap()["olga".len()..].parse().unwrap();
        *desk.lock().unwrap() = pending.into_iter().map(|id| (id.clone(), asker(id))).collect();
        (self.approvals, self.overrides, self.quotas) = (approvals.len(), raised.len(), dialled.len());
    }

    /// The audit log has that each was asked for, and if it is closed how, once.
    fn closed_as_told(&self, approvals: &BTreeMap<String, Value>, round: &str) {
        let mut told = BTreeMap::<&str, Vec<&Value>>::new();
        for entry in self.log.0.values() {
            let about = entry["subject"].as_array().unwrap().iter().filter_map(Value::as_str);
            for id in about.filter_map(|subject| subject.strip_prefix("approval:")) {
                told.entry(id).or_default().push(entry);
            }
        }
        assert!(told.keys().copied().eq(approvals.keys()), "{round}: approvals and what is told of them");
        for (id, approval) in approvals {
            let actions: Vec<&str> = told[id.as_str()].iter().map(|entry| entry["action"].as_str().unwrap()).collect();
            let how = match (approval["state"].as_str().unwrap(), approval["operation"].as_str().unwrap()) {
                ("pending", _) => None,
                ("approved", "createOverride") => Some("override.create"),
                ("approved", _) => Some("policy.set_quota"),
                ("rejected", _) => Some("approval.reject"),
                _ => Some("approval.withdraw"),
            };
            let expected: Vec<&str> = ["approval.request"].into_iter().chain(how).collect();
            assert_eq!(actions, expected, "{round}: {approval}");
        }
    }
}

/// There is a revision for each approved quota, with it, and the last one of each limit is decided by.
fn quotas_are_those_of_approvals(client: &Client, dialled: &[&Value], round: &str) {
    let mut by_revision = BTreeMap::<u64, &Value>::new();
    for approval in dialled {
        let revision = approval["made"].as_str().unwrap().strip_prefix("policy:").unwrap().parse().unwrap();
        assert!(by_revision.insert(revision, approval).is_none(), "{round}: {approval}");
    }
    // The first two were there before anybody asked for something.
    let last = client.read("/v1/policies/active")["revision"].as_u64().unwrap();
    assert!(by_revision.keys().copied().eq(3..=last), "{round}: revisions and approvals of them, {last}");
    let revisions = client.list("/v1/policies/revisions").len() as u64;
    assert_eq!(revisions, last, "{round}: a revision that is not in force");
    let mut expected = DIALS.map(|dial| (dial, json!(1)));
    for approval in by_revision.values() {
        let request = &approval["request"];
        let mut dial = expected.iter_mut().filter(|(dial, _)| request["limit"] == *dial);
        dial.next().unwrap().1 = request["quota"].clone();
    }
    let limits = client.read("/v1/accounts/m0/limits")["limits"].clone();
    for (dial, quota) in expected {
        let found = limits.as_array().unwrap().iter().find(|found| found["id"] == dial).unwrap();
        assert_eq!(found["quota"], quota, "{round}: {found}");
    }
}

fn prepare(client: &Client) -> Vec<Owner> {
    let tag = client.get("/v1/policies/active").unwrap().etag;
    let body = json!({"document": POLICY, "reason": "test"});
    let path = "/v1/policies/revisions".to_owned();
    let publish = Call { method: "POST", path, body, if_match: Some(tag), ..Call::default() };
    assert_eq!(client.send(&publish).unwrap().status, 201);
    let owner = |number: u64| {
        assert_eq!(client.post("/v1/accounts", json!({"id": format!("m{number}")})).unwrap().status, 201);
        let name = format!("olga{number}");
        let owner = json!({"name": name, "role": "owner", "password": PASSWORD});
        assert_eq!(client.post("/v1/operators", owner).unwrap().status, 201);
        let login = client.post("/v1/sessions", json!({"name": name, "password": PASSWORD})).unwrap();
        let token = login.json["token"].as_str().unwrap().to_owned();
        let random = SmallRng::seed_from_u64(3_000 + number);
        Owner { number, token, random, n: 0, promises: Promises::default() }
    };
    (0..OWNERS).map(owner).collect()
}

#[test]
fn what_takes_two_operators_is_approved_exactly_if_it_is_done_after_a_kill() {
    let rounds = std::env::var("RAISE_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let rounds = rounds.unwrap_or(USUAL_ROUNDS);
    let begun = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let mut random = SmallRng::seed_from_u64(13);
    let mut server = Server::start(folder.path(), &[]);
    let mut owners = prepare(&server.client());
    server.kill();
    server = Server::start(folder.path(), &[FOUR_EYES]);
    let (desk, mut seen) = (Desk::default(), Seen::default());

    for round in 0..rounds {
        let point = (round % 2 == 1).then(|| {
            let step = ["checked", "appended", "synced", "applied", "answered"][random.random_range(0..5)];
            format!("commit.{step}:{}", random.random_range(2..60))
        });
        if let Some(point) = &point {
            server.kill();
            server = Server::start(folder.path(), &[FOUR_EYES, ("QUOTAGATE_FAILPOINT", point)]);
        }
        let until = Instant::now() + LONGEST_ROUND;
        std::thread::scope(|scope| {
            for owner in &mut owners {
                let (client, desk) = (server.client(), &desk);
                scope.spawn(move || owner.work(&client, desk, until));
            }
            match &point {
                None => {
                    std::thread::sleep(Duration::from_millis(random.random_range(100..500)));
                    server.kill();
                }
                Some(point) => assert!(server.dies(), "{point}: {}", server.log()),
            }
        });
        if random.random_range(0..4) == 0 {
            // The next start makes the state from the journal alone.
            std::fs::remove_dir_all(folder.path().join("data/control")).unwrap();
        }
        server = Server::start(folder.path(), &[FOUR_EYES]);
        seen.check(&server.client(), &mut owners, &desk, &format!("round {round}, {point:?}"));
    }

    let settled = Instant::now() + LONGEST_ROUND;
    for owner in &mut owners {
        owner.promises.settle(&server.client(), settled);
    }
    seen.check(&server.client(), &mut owners, &desk, "the end");
    assert!(server.stop(), "{}", server.log());
    verify(folder.path(), "the end");
    let acknowledged: usize = owners.iter().map(|owner| owner.promises.kept.len()).sum();
    let again: usize = owners.iter().map(|owner| owner.promises.replayed).sum();
    let Seen { approvals, overrides, quotas, .. } = seen;
    println!(
        "{rounds} kills in {:?}: {acknowledged} acknowledged steps of {approvals} approvals are there, each once, with \
         {overrides} overrides and {quotas} quotas; {again} were there and had not been answered",
        begun.elapsed(),
    );
    assert!(overrides > rounds && quotas > rounds, "{overrides} overrides, {quotas} quotas");
}
