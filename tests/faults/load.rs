//! Everyone who works on a server while something is done to it, and the judgement afterwards.

use crate::changers::{Changer, Duty, There};
use crate::deciders::{Decider, Habit};
use crate::server::{Client, Server};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const WATCH_EVERY: Duration = Duration::from_millis(10);

pub struct Load {
    pub changers: Vec<Changer>,
    deciders: Vec<Decider>,
}

/// Up to where something is promised.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// How long the recorder's log was; all of it where nothing was recorded.
    pub log_bytes: u64,
    pub at: Instant,
}

/// One look at the readiness.
#[derive(Debug, Clone)]
pub struct Look {
    pub asked: Instant,
    pub ready: bool,
    pub reasons: String,
    pub lag: Duration,
}

/// What a watcher saw.
#[derive(Debug, Default)]
pub struct Watched {
    pub looks: Vec<Look>,
    /// The longest that a decision took, and how many were made.
    pub slowest: Duration,
    pub decisions: usize,
    /// What a decision was answered with that should not have been.
    pub unanswered: Option<String>,
}

impl Watched {
    /// Everything charged before this is written, by what the server has said.
    pub fn promised(&self) -> Option<Instant> {
        let safe = |look: &Look| look.asked.checked_sub(look.lag + Duration::from_millis(1));
        self.looks.iter().filter_map(safe).max()
    }
}

impl Load {
    pub fn new() -> Self {
        use Duty::{Accounts, Clamps, Dial, Overrides, Payments};
        let duties = [Accounts, Accounts, Payments, Overrides, Clamps, Dial];
        let changers = (0..).zip(duties).map(|(id, duty)| Changer::new(id, duty)).collect();
        let deciders = (0..4).map(|number| Decider::new(number, Habit::Mixed)).collect();
        Self { changers, deciders }
    }

    /// Everyone works for so long, while `meanwhile` is done on this thread; it has the time when the work ends.
    pub fn work<T>(
        &mut self,
        server: &Server,
        time: Duration,
        log: Option<&Path>,
        meanwhile: impl FnOnce(&Mutex<Watched>, Instant) -> T,
    ) -> (Watched, T) {
        let until = Instant::now() + time;
        let watched = Mutex::new(Watched::default());
        let done = std::thread::scope(|scope| {
            for changer in &mut self.changers {
                let client = server.client();
                scope.spawn(move || changer.work(&client, until, log));
            }
            for decider in &mut self.deciders {
                let client = server.client();
                scope.spawn(move || decider.work(&client, until));
            }
            let (client, watching) = (server.client(), &watched);
            scope.spawn(move || watch(&client, until, watching));
            meanwhile(&watched, until)
        });
        (watched.into_inner().unwrap(), done)
    }

    pub fn acknowledged(&self) -> usize {
        self.changers.iter().map(Changer::acknowledged).sum()
    }

    pub fn refused(&self) -> BTreeMap<String, usize> {
        let mut all = BTreeMap::new();
        for (code, count) in self.changers.iter().flat_map(|changer| changer.refused()) {
            *all.entry(code.clone()).or_default() += count;
        }
        all
    }

    pub fn accounts(&self) -> Vec<String> {
        let changers = self.changers.iter().filter_map(Changer::account);
        self.deciders.iter().map(|decider| decider.account().to_owned()).chain(changers).collect()
    }

    /// Fails where a promised change is not there as it was answered, or the log of all changes is another one than at
    /// the end of the run, which `full` is.
    pub fn check_changes(&self, client: &Client, cut: Cut, full: Option<&BTreeMap<u64, Value>>) {
        let there = There::of(client);
        for changer in &self.changers {
            changer.check(client, &there, cut.log_bytes);
        }
        let hash = |entry: &Value| entry["hash"].as_str().unwrap().to_owned();
        for (seq, entry) in full.into_iter().flatten() {
            if let Some(found) = there.audit.get(seq)
                // A start adds changes of its own after those that it found.
                && found["request_id"] == entry["request_id"]
            {
                assert_eq!(hash(found), hash(entry), "the change {seq} is not what it was");
            }
        }
    }

    /// How long before the cut the oldest answer was given that is not counted. More than was sent fails, and so does what
    /// an account never had, such as half a reservation.
    pub fn check_usage(&self, client: &Client, cut: Cut, said: &str) -> Duration {
        let begun = cut.at.checked_sub(Duration::from_secs(3_600)).unwrap_or(cut.at);
        let said = format!("it said at the start: {said}");
        let losses = self.deciders.iter().map(|decider| decider.clone().check(client, begun, cut.at, &said));
        losses.map(|loss| loss.age.unwrap_or_default()).max().unwrap_or_default()
    }
}

fn watch(client: &Client, until: Instant, watched: &Mutex<Watched>) {
    while Instant::now() < until {
        let asked = Instant::now();
        let Ok(reply) = client.get("/readyz") else { return };
        let look = Look {
            asked,
            ready: reply.status == 200,
            reasons: reply.json["reasons"].to_string(),
            lag: Duration::from_millis(reply.json["flush_lag_ms"].as_u64().unwrap_or(u64::MAX / 4)),
        };
        let begun = Instant::now();
        let body = serde_json::json!({"account": "watcher", "resource": "plain", "tokens": 1});
        let decided = client.post("/v1/decisions", body);
        let took = begun.elapsed();
        let mut watched = watched.lock().unwrap();
        watched.looks.push(look);
        watched.decisions += 1;
        watched.slowest = watched.slowest.max(took);
        match decided {
            Ok(reply) if reply.status == 200 => {}
            Ok(reply) => watched.unanswered = Some(reply.text),
            Err(_) => return,
        }
        drop(watched);
        std::thread::sleep(WATCH_EVERY);
    }
}
