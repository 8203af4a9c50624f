//! Clients that spend, and what of it must be there after a kill.
//!
//! An account with one client has a history: its usage after a restart must be what it was after one of its requests,
//! and not an earlier one than the server promised to have written.

use crate::server::{Client, Gone};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Decisions of one batch of the hoarder.
const BATCH: usize = 100;
/// Reservations that the hoarder keeps open: more than one stored value holds.
const HOARD: usize = 1_500;

/// How a client spends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// Plain requests, reservations, settles and cancels.
    Mixed,
    /// Reservations by the hundred that mostly stay open.
    Hoarder,
}

#[derive(Debug, Clone)]
enum Step {
    Plain { tokens: u64 },
    Reserve { id: String, tokens: u64, handle: Option<String> },
    Settle { of: usize, tokens: u64 },
    Cancel { of: usize },
}

/// What an account has used, by resource: requests and tokens; and how many reservations are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Used {
    plain: [i64; 2],
    jobs: [i64; 2],
    open: i64,
}

#[derive(Clone)]
pub struct Decider {
    account: String,
    habit: Habit,
    random: SmallRng,
    steps: Vec<Step>,
    /// After so many steps.
    used: Vec<Used>,
    /// When so many steps had been answered.
    answered: Vec<(Instant, usize)>,
    /// Reservations that are open after all steps.
    open: Vec<usize>,
    /// Numbers the reservation ids, which are never used again.
    ids: u64,
}

/// What a kill cost one account.
pub struct Loss {
    pub steps: usize,
    /// Before the kill the first lost answer was given.
    pub age: Option<Duration>,
}

impl Decider {
    pub fn new(number: u64, habit: Habit) -> Self {
        Self {
            account: format!("decider-{number}"),
            habit,
            random: SmallRng::seed_from_u64(number),
            steps: Vec::new(),
            used: vec![Used::default()],
            answered: Vec::new(),
            open: Vec::new(),
            ids: 0,
        }
    }

    pub fn account(&self) -> &str {
        &self.account
    }

    /// Spends until the server is gone.
    pub fn work(&mut self, client: &Client, until: Instant) {
        if self.learn_handles(client).is_err() {
            return;
        }
        while Instant::now() < until {
            let first = self.steps.len();
            self.choose();
            if self.send(client, first).is_err() {
                return;
            }
            self.answered.push((Instant::now(), self.steps.len()));
        }
    }

    /// A reservation that was kept without being answered is asked for again, which must not charge again.
    fn learn_handles(&mut self, client: &Client) -> Result<(), Gone> {
        for index in self.open.clone() {
            let Step::Reserve { id, tokens, handle: None } = &self.steps[index] else { continue };
            let reply = client.post("/v1/decisions", reserve(&self.account, id, *tokens))?;
            assert_eq!(reply.json["replayed"], true, "{}: `{id}` was charged: {}", self.account, reply.json);
            self.note_handle(index, &reply.json);
        }
        Ok(())
    }

    fn choose(&mut self) {
        if self.habit == Habit::Hoarder && self.open.len() < HOARD {
            (0..BATCH).for_each(|_| self.plan_reserve());
            return;
        }
        let tokens = self.random.random_range(1..1_000_000);
        let chance = self.random.random_range(0..100);
        // INVARIANT: a cancel never undoes the step just before it, so no two points of the history look alike.
        if chance < 40 || self.open.len() < 2 {
            if chance < 20 { self.plan(Step::Plain { tokens }) } else { self.plan_reserve() }
        } else if chance < 80 {
            let of = self.open[self.random.random_range(0..self.open.len())];
            self.plan(Step::Settle { of, tokens });
        } else {
            self.plan(Step::Cancel { of: self.open[0] });
        }
    }

    fn plan_reserve(&mut self) {
        let (id, tokens) = (format!("job-{}", self.ids), self.random.random_range(1..1_000_000));
        self.ids += 1;
        self.plan(Step::Reserve { id, tokens, handle: None });
    }

    /// Adds a step to the history: what is used after it is known before it is sent.
    fn plan(&mut self, step: Step) {
        let mut used = *self.used.last().unwrap();
        let index = self.steps.len();
        match step {
            Step::Plain { tokens } => {
                used.plain[0] += 1;
                used.plain[1] += tokens as i64;
            }
            Step::Reserve { tokens, .. } => {
                used.jobs[0] += 1;
                used.jobs[1] += tokens as i64;
                used.open += 1;
                self.open.push(index);
            }
            Step::Settle { of, tokens } => {
                used.jobs[1] += tokens as i64 - self.reserved(of);
                used.open -= 1;
                self.open.retain(|open| *open != of);
            }
            Step::Cancel { of } => {
                used.jobs[0] -= 1;
                used.jobs[1] -= self.reserved(of);
                used.open -= 1;
                self.open.retain(|open| *open != of);
            }
        }
        self.steps.push(step);
        self.used.push(used);
    }

    fn reserved(&self, index: usize) -> i64 {
        let Step::Reserve { tokens, .. } = &self.steps[index] else { panic!("step {index} reserves nothing") };
        *tokens as i64
    }

    fn send(&mut self, client: &Client, first: usize) -> Result<(), Gone> {
        let account = self.account.clone();
        if self.steps.len() > first + 1 {
            let bodies: Vec<Value> = self.steps[first..]
                .iter()
                .map(|step| match step {
                    Step::Reserve { id, tokens, .. } => reserve(&account, id, *tokens),
                    other => panic!("no batch has {other:?}"),
                })
                .collect();
            let reply = client.post("/v1/decisions/batch", json!({ "decisions": bodies }))?;
            for (index, result) in reply.json["results"].as_array().unwrap().iter().enumerate() {
                self.note_handle(first + index, result);
            }
            return Ok(());
        }
        let reply = match &self.steps[first] {
            Step::Plain { tokens } => {
                client.post("/v1/decisions", json!({"account": account, "resource": "plain", "tokens": tokens}))?
            }
            Step::Reserve { id, tokens, .. } => client.post("/v1/decisions", reserve(&account, id, *tokens))?,
            Step::Settle { of, tokens } => {
                client.post(&format!("{}/settle", self.path(*of)), json!({ "tokens": tokens }))?
            }
            Step::Cancel { of } => client.post(&format!("{}/cancel", self.path(*of)), json!({}))?,
        };
        assert_eq!(reply.status, 200, "{account}: {:?}: {}", self.steps[first], reply.json);
        assert_ne!(reply.json["decision"], "deny", "{account}: {}", reply.json);
        if let Step::Reserve { .. } = self.steps[first] {
            self.note_handle(first, &reply.json);
        }
        Ok(())
    }

    fn note_handle(&mut self, index: usize, decision: &Value) {
        let made = decision["reservation"]["handle"].as_str().unwrap_or_else(|| panic!("{decision}")).to_owned();
        let Step::Reserve { handle, .. } = &mut self.steps[index] else { panic!("step {index} reserves nothing") };
        *handle = Some(made);
    }

    fn path(&self, index: usize) -> String {
        match &self.steps[index] {
            Step::Reserve { handle: Some(handle), .. } => format!("/v1/reservations/{handle}"),
            other => panic!("no handle: {other:?}"),
        }
    }

    /// Finds the point of the history that the server is at, which must not be before `promised`; the history goes on
    /// from there.
    pub fn check(&mut self, client: &Client, promised: Instant, ended: Instant, round: &str) -> Loss {
        let kept = self.answered.iter().rev().find(|(at, _)| *at <= promised).map_or(0, |(_, steps)| *steps);
        let answered = self.answered.last().map_or(0, |(_, steps)| *steps);
        let found = look(client, &self.account);
        let account = &self.account;
        let at = self.used.iter().rposition(|used| *used == found).unwrap_or_else(|| {
            let near: Vec<_> = self.used[kept..].iter().take(3).collect();
            panic!("{round}: {account}: {found:?} is at no point of its history; kept was {kept}: {near:?}")
        });
        assert!(
            at >= kept,
            "{round}: {account}: {at} of {} steps are there, {kept} were promised, {answered} answered",
            self.steps.len()
        );
        self.check_reservations(client, at, round);
        let lost_at = self.answered.iter().find(|(_, steps)| *steps > at).map(|(lost_at, _)| *lost_at);
        let loss = Loss { steps: answered.saturating_sub(at), age: lost_at.map(|lost_at| ended - lost_at) };
        self.go_on_from(at, ended);
        loss
    }

    /// The last few before the point are as they were left, and those after it were never made.
    fn check_reservations(&self, client: &Client, at: usize, round: &str) {
        let near = at.saturating_sub(12)..self.steps.len().min(at + 6);
        for index in near {
            let Step::Reserve { handle: Some(handle), id, .. } = &self.steps[index] else { continue };
            let ending = self.steps[..at].iter().find_map(|step| match step {
                Step::Settle { of, .. } if *of == index => Some("settled"),
                Step::Cancel { of } if *of == index => Some("cancelled"),
                _ => None,
            });
            let reply = client.get(&format!("/v1/reservations/{handle}")).unwrap();
            let state = reply.json["state"].as_str().unwrap_or("absent");
            let expected = if index >= at { "absent" } else { ending.unwrap_or("open") };
            assert_eq!(state, expected, "{round}: {}: `{id}` at {at}: {}", self.account, reply.json);
        }
    }

    /// What was lost never was; what is there is promised from now on.
    fn go_on_from(&mut self, at: usize, ended: Instant) {
        self.steps.truncate(at);
        self.used.truncate(at + 1);
        self.answered = vec![(ended, at)];
        let over: Vec<usize> = self
            .steps
            .iter()
            .filter_map(|step| match step {
                Step::Settle { of, .. } | Step::Cancel { of } => Some(*of),
                Step::Plain { .. } | Step::Reserve { .. } => None,
            })
            .collect();
        let made = |index: &usize| matches!(self.steps[*index], Step::Reserve { .. }) && !over.contains(index);
        self.open = (0..at).filter(made).collect();
    }
}

fn reserve(account: &str, id: &str, tokens: u64) -> Value {
    json!({"account": account, "resource": "jobs", "tokens": tokens, "reserve": {"id": id, "ttl_ms": 3_600_000}})
}

fn limits(client: &Client, account: &str, resource: &str) -> Vec<i64> {
    let body = json!({"account": account, "resource": resource, "dry_run": true});
    let reply = client.post("/v1/decisions", body).unwrap();
    let limits = reply.json["limits"].as_array().unwrap_or_else(|| panic!("{}", reply.json));
    limits.iter().map(|limit| limit["used"].as_i64().unwrap()).collect()
}

fn look(client: &Client, account: &str) -> Used {
    let (plain, jobs) = (limits(client, account, "plain"), limits(client, account, "jobs"));
    Used { plain: [plain[0], plain[1]], jobs: [jobs[0], jobs[1]], open: jobs[2] }
}

/// Clients that share an account, whose requests have no order: bounds are all that is known.
#[derive(Default)]
pub struct Crowd {
    /// As found at the last check.
    base: i64,
}

pub const CROWD: &str = "crowd";

/// One client's requests since the last check: their tokens, and when they were answered.
pub type Spent = Vec<(i64, Option<Instant>)>;

impl Crowd {
    pub fn work(client: &Client, seed: u64, until: Instant) -> Spent {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut spent = Spent::new();
        while Instant::now() < until {
            let tokens = random.random_range(1..1_000);
            let body = json!({"account": CROWD, "resource": "plain", "requests": 0, "tokens": tokens});
            let answered = client.post("/v1/decisions", body).map(|_| Instant::now()).ok();
            spent.push((tokens, answered));
            if answered.is_none() {
                break;
            }
        }
        spent
    }

    pub fn check(&mut self, client: &Client, spent: &[Spent], promised: Instant, round: &str) {
        let all = || spent.iter().flatten();
        let kept = |answered: &Option<Instant>| answered.is_some_and(|answered| answered <= promised);
        let least: i64 = all().filter(|(_, answered)| kept(answered)).map(|(tokens, _)| tokens).sum();
        let most: i64 = all().map(|(tokens, _)| tokens).sum();
        let found = limits(client, CROWD, "plain")[1];
        let since = found - self.base;
        assert!((least..=most).contains(&since), "{round}: {since} tokens are there, expected {least} to {most}");
        self.base = found;
    }
}
