//! Customers and reviewers, and what they were promised.

use super::{LIMITS, OF_TIER};
use crate::promises::{self, Change, Kept, Promises};
use crate::server::{Call, Client, Gone};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::sync::Mutex;
use std::time::{Duration, Instant};

pub const PATH: &str = "/v1/raise-requests";
/// Requests that an account files before its customer goes on with another one in the next round.
const FILED_BY_ACCOUNT: u64 = 50;
/// 100 a day are refused.
const MOST_FILED_BY_ACCOUNT: u64 = 90;
/// Starts then and ends then, where it is not at once and not for long.
const LATER: &str = "2090-01-01T00:00:00.000Z";
const EARLIER_END: &str = "2500-01-01T00:00:00.000Z";
const END: &str = "2999-01-01T00:00:00.000Z";

/// Open requests, as far as the reviewers know.
#[derive(Default)]
pub struct Desk(pub Mutex<Vec<String>>);

pub enum Role {
    Customer {
        /// An account and its key, the last one in use.
        homes: Vec<(String, String)>,
        /// Requests that the account in use has filed.
        filed: u64,
        /// Ids of its open requests, each with its key.
        open: Vec<(String, String)>,
    },
    Reviewer {
        name: String,
        token: String,
    },
}

pub struct Person {
    number: u64,
    role: Role,
    random: SmallRng,
    n: u64,
    pub promises: Promises,
}

impl Role {
    pub fn customer() -> Self {
        Self::Customer { homes: Vec::new(), filed: 0, open: Vec::new() }
    }
}

impl Person {
    pub fn new(number: u64, role: Role) -> Self {
        Self { number, role, random: SmallRng::seed_from_u64(2_000 + number), n: 0, promises: Promises::default() }
    }

    /// Of a login.
    pub fn token(&self) -> Option<&str> {
        match &self.role {
            Role::Reviewer { token, .. } => Some(token),
            Role::Customer { .. } => None,
        }
    }

    /// Gives a customer whose account has filed enough another one.
    pub fn move_in(&mut self, client: &Client) {
        let Role::Customer { homes, filed, .. } = &mut self.role else { return };
        if !homes.is_empty() && *filed < FILED_BY_ACCOUNT {
            return;
        }
        let account = format!("c{}-{}", self.number, homes.len());
        assert_eq!(client.post("/v1/accounts", json!({"id": account})).unwrap().status, 201);
        let made = client.post("/v1/api-keys", json!({"scopes": ["raise"], "account": account})).unwrap();
        homes.push((account, made.json["secret"].as_str().unwrap().to_owned()));
        *filed = 0;
    }

    /// Works until the server is gone.
    pub fn work(&mut self, client: &Client, desk: &Desk, until: Instant) {
        // Whoever finds the server gone has nothing more to do.
        _ = self.go_on(client, desk, until);
    }

    fn go_on(&mut self, client: &Client, desk: &Desk, until: Instant) -> Result<(), Gone> {
        let kept = self.promises.send_again(client)?;
        note(&mut self.role, desk, kept);
        while Instant::now() < until {
            match self.next(client, desk)? {
                None => std::thread::sleep(Duration::from_millis(1)),
                Some(change) => {
                    let kept = self.promises.send(client, change)?;
                    note(&mut self.role, desk, kept);
                }
            }
        }
        Ok(())
    }

    fn next(&mut self, client: &Client, desk: &Desk) -> Result<Option<Change>, Gone> {
        self.n += 1;
        match &self.role {
            Role::Customer { .. } => self.as_customer(client),
            Role::Reviewer { token, .. } => {
                let client = client.with_key(&token.clone());
                self.as_reviewer(&client, desk)
            }
        }
    }

    fn name(&self) -> String {
        promises::name(self.number, self.n)
    }

    fn chance(&mut self, of: u32) -> bool {
        self.random.random_range(0..of) == 0
    }

    fn change(&self, (key, path, action): (&str, &str, &'static str), body: Value) -> Change {
        let (path, idempotency_key) = (format!("{PATH}{path}"), Some(self.name()));
        let call = Call { method: "POST", path, body, idempotency_key, if_match: None };
        Change { call, action, key: key.to_owned() }
    }

    fn as_customer(&mut self, client: &Client) -> Result<Option<Change>, Gone> {
        let Role::Customer { open, filed, .. } = &self.role else { return Ok(None) };
        let (none, may_file) = (open.is_empty(), *filed < MOST_FILED_BY_ACCOUNT);
        if none || self.chance(12) {
            return Ok(may_file.then(|| self.file()));
        }
        let dice = self.random.random_range(0..24);
        let Role::Customer { open, .. } = &mut self.role else { return Ok(None) };
        let at = self.random.random_range(0..open.len());
        let (id, key) = open[at].clone();
        let reply = client.with_key(&key).get(&format!("{PATH}/{id}"))?;
        let steps = reply.json["allowed_transitions"].as_array().cloned().unwrap_or_default();
        if reply.status == 200 && steps.is_empty() {
            open.swap_remove(at);
            return Ok(None);
        }
        let may = |step: &str| steps.iter().any(|allowed| allowed == step);
        let text = json!({"text": self.name()});
        let go = |step: &str, action: &'static str, body: &Value| {
            Some(self.change((&key, &format!("/{id}/{step}"), action), body.clone()))
        };
        Ok(match dice {
            0 if may("withdraw") => go("withdraw", "raise_request.withdraw", &text),
            _ if may("reply") => go("reply", "raise_request.reply", &text),
            1..=12 if may("accept-counter-offer") => {
                go("accept-counter-offer", "raise_request.accept_counter_offer", &json!({}))
            }
            _ if may("decline-counter-offer") => {
                go("decline-counter-offer", "raise_request.decline_counter_offer", &text)
            }
            _ => None,
        })
    }

    /// More than was asked for before; perhaps while one for the same limit is open.
    fn file(&mut self) -> Change {
        let (limits, later, ends) = (self.random.random_range(0..3), self.chance(5), !self.chance(4));
        let name = self.name();
        let Role::Customer { homes, filed, .. } = &mut self.role else { unreachable!("a reviewer files nothing") };
        *filed += 1;
        let quota = OF_TIER + *filed * 10;
        let limits = [&LIMITS[..1], &LIMITS[1..], &LIMITS[..]][limits];
        let asked: Vec<Value> = limits.iter().map(|limit| json!({"limit": limit, "quota": quota})).collect();
        let (account, key) = homes.last().unwrap().clone();
        let mut body = json!({"account": account, "group": "text", "limits": asked, "use_case": name});
        if ends {
            body["expires_at"] = json!(END);
        }
        if later {
            body["starts_at"] = json!(LATER);
        }
        self.change((&key, "", "raise_request.submit"), body)
    }

    fn as_reviewer(&mut self, client: &Client, desk: &Desk) -> Result<Option<Change>, Gone> {
        let Role::Reviewer { name, token } = &self.role else { return Ok(None) };
        let (name, key) = (name.clone(), token.clone());
        let id = {
            let desk = desk.0.lock().unwrap();
            if desk.is_empty() {
                return Ok(None);
            }
            desk[self.random.random_range(0..desk.len())].clone()
        };
        let reply = client.get(&format!("{PATH}/{id}"))?;
        let dice = self.random.random_range(0..20);
        let (text, request) = (self.name(), &reply.json);
        let state = request["state"].as_str().unwrap_or_default();
        let (step, action, body) = match (state, dice) {
            ("approved" | "partially_approved" | "denied" | "withdrawn" | "expired", _) => {
                desk.0.lock().unwrap().retain(|open| *open != id);
                return Ok(None);
            }
            (_, 0) => ("notes", "raise_request.note", json!({"text": text})),
            ("submitted", _) => ("assign", "raise_request.assign", json!({})),
            ("in_review", 1) if request["evidence"].as_array().is_some_and(|taken| taken.len() < 5) => {
                ("evidence/refresh", "raise_request.refresh_evidence", json!({}))
            }
            ("in_review", 2 | 3) if request["assigned_to"] != name => ("assign", "raise_request.assign", json!({})),
            ("in_review", 4..7) => ("request-info", "raise_request.request_info", json!({"text": text})),
            ("in_review", 7..11) => ("counter-offer", "raise_request.counter_offer", self.grants(request)),
            ("in_review", 11..18) => ("approve", "raise_request.approve", self.grants(request)),
            ("in_review", 18) => ("deny", "raise_request.deny", json!({"reason": "low_usage", "text": text})),
            _ => return Ok(None),
        };
        let mut change = self.change((&key, &format!("/{id}/{step}"), action), body);
        change.call.if_match = matches!(step, "approve" | "deny").then_some(reply.etag);
        Ok(Some(change))
    }

    /// All that was asked for, or fewer limits, a lower quota, an earlier end.
    fn grants(&mut self, request: &Value) -> Value {
        let asked = request["limits"].as_array().unwrap();
        let less = self.random.random_range(0..6);
        let grant = |asked: &Value| {
            let mut grant = json!({"limit": asked["limit"]});
            match (less, request.get("expires_at")) {
                (1, Some(_)) => grant["expires_at"] = json!(EARLIER_END),
                (_, None) => grant["permanent"] = json!(true),
                _ => {}
            }
            if less == 2 {
                // Still a raise.
                grant["quota"] = json!(asked["quota"].as_u64().unwrap() - 5);
            }
            grant
        };
        let of = if less == 0 { 1 } else { asked.len() };
        json!({"limits": asked.iter().take(of).map(grant).collect::<Vec<_>>(), "text": self.name()})
    }
}

/// A request that its customer has filed is open.
fn note(role: &mut Role, desk: &Desk, kept: Option<&Kept>) {
    if let (Role::Customer { open, .. }, Some(kept)) = (role, kept)
        && kept.change.action == "raise_request.submit"
    {
        open.push((kept.id.clone(), kept.change.key.clone()));
        desk.0.lock().unwrap().push(kept.id.clone());
    }
}
