//! Clients that change things one after another and keep every answer: what was acknowledged, under which number, and how
//! long the recorder's log was by then.

use crate::server::{Call, Client, Reply};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

/// Between two changes of one client, so that a start after it has not much to read.
const PACE: Duration = Duration::from_millis(4);

/// What a client does, over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    Accounts,
    Payments,
    Overrides,
    Clamps,
    /// Publishes policies, by moving a quota.
    Dial,
}

/// How what was acknowledged shows.
#[derive(Debug, Clone)]
enum Sees {
    /// This is in the lists under this path.
    Is {
        path: String,
        etag: String,
        body: Value,
    },
    Gone {
        path: String,
    },
    /// What is at the path has this word in it.
    Shows {
        path: String,
        word: String,
    },
}

#[derive(Debug, Clone)]
struct Ack {
    /// As the audit log has it, where the change was sent under a name.
    name: Option<String>,
    seq: Option<u64>,
    sees: Sees,
    log_bytes: u64,
}

pub struct Changer {
    id: u64,
    duty: Duty,
    n: u64,
    /// The path and tag of what the next change changes.
    current: Option<(String, String)>,
    account: Option<String>,
    acks: Vec<Ack>,
    /// Paths with a change of which it is not known whether it is there.
    unsure: BTreeSet<String>,
    refused: BTreeMap<String, usize>,
}

/// All that a server shows.
pub struct There {
    items: BTreeMap<String, (String, Value)>,
    pub audit: BTreeMap<u64, Value>,
    pub last: u64,
}

impl There {
    pub fn of(client: &Client) -> Self {
        let mut items = BTreeMap::new();
        for list in ["/v1/accounts", "/v1/overrides", "/v1/clamps"] {
            for mut body in client.list(list) {
                let etag = body.as_object_mut().unwrap().remove("etag").unwrap();
                let path = format!("{list}/{}", body["id"].as_str().unwrap());
                items.insert(path, (etag.as_str().unwrap().to_owned(), body));
            }
        }
        let audit: BTreeMap<u64, Value> =
            client.list("/v1/audit").into_iter().map(|entry| (entry["seq"].as_u64().unwrap(), entry)).collect();
        let last = audit.last_key_value().map_or(0, |(seq, _)| *seq);
        assert!(audit.keys().copied().eq(1..=last), "the audit log has a gap");
        Self { items, audit, last }
    }
}

impl Changer {
    pub fn new(id: u64, duty: Duty) -> Self {
        Self {
            id,
            duty,
            n: 0,
            current: None,
            account: None,
            acks: Vec::new(),
            unsure: BTreeSet::new(),
            refused: BTreeMap::new(),
        }
    }

    pub fn account(&self) -> Option<String> {
        self.account.clone()
    }

    pub fn acknowledged(&self) -> usize {
        self.acks.len()
    }

    /// Codes of the problems that changes were refused with.
    pub fn refused(&self) -> &BTreeMap<String, usize> {
        &self.refused
    }

    /// Changes until it is time, whatever becomes of the changes.
    pub fn work(&mut self, client: &Client, until: Instant, log: Option<&Path>) {
        while Instant::now() < until {
            self.n += 1;
            let name = format!("change-{}-{}", self.id, self.n);
            let Some(call) = self.next(client, &name) else {
                std::thread::sleep(PACE);
                continue;
            };
            let touched = self.current.as_ref().map_or_else(String::new, |(path, _)| path.clone());
            let reply = client.send(&call);
            let log_bytes = log.map_or(0, |log| std::fs::metadata(log).map_or(0, |log| log.len()));
            match reply {
                Ok(reply) if (200..300).contains(&reply.status) => self.acknowledge(&call, &name, &reply, log_bytes),
                // Another one published first.
                Ok(reply) if reply.status == 412 && self.duty == Duty::Dial => {}
                answer => {
                    if let Ok(reply) = answer {
                        assert!(reply.status >= 500, "{}: {call:?}: {}", reply.status, reply.text);
                        let code = reply.json["code"].as_str().unwrap_or("none").to_owned();
                        *self.refused.entry(code).or_default() += 1;
                    } else {
                        std::thread::sleep(PACE);
                    }
                    // It may be there or not: nothing more is known of this path.
                    self.unsure.insert(touched);
                    (self.current, self.account) = (None, None);
                }
            }
            std::thread::sleep(PACE);
        }
    }

    fn next(&self, client: &Client, name: &str) -> Option<Call> {
        let keyed = |path: String, body: Value| {
            Some(Call { method: "POST", path, body, idempotency_key: Some(name.to_owned()), ..Call::default() })
        };
        let tagged = |method, path: &str, body: Value, etag: &str| {
            let (path, if_match) = (path.to_owned(), Some(etag.to_owned()));
            Some(Call { method, path, body, if_match, ..Call::default() })
        };
        let Some(account) = &self.account else {
            return keyed("/v1/accounts".to_owned(), json!({"id": format!("a-{name}"), "name": name}));
        };
        let sort = json!({"account": account, "group": "plain", "limit": "requests", "quota": 5_000 + self.n,
            "permanent": true, "reason": name});
        match (self.duty, &self.current) {
            (Duty::Accounts, Some((path, etag))) if self.n % 3 == 1 => {
                tagged("PATCH", path, json!({"name": name}), etag)
            }
            (Duty::Accounts, Some((path, _))) if self.n % 3 == 2 => {
                keyed(format!("{path}/suspend"), json!({"reason": name}))
            }
            (Duty::Accounts, _) => keyed("/v1/accounts".to_owned(), json!({"id": format!("a-{name}"), "name": name})),
            (Duty::Payments, _) => keyed(
                format!("/v1/accounts/{account}/top-ups"),
                json!({"event_id": format!("{name}."), "payment_id": name, "amount": self.n, "currency": "CNY"}),
            ),
            (Duty::Overrides, Some((path, _))) => keyed(format!("{path}/revoke"), json!({"reason": name})),
            (Duty::Overrides, None) => keyed("/v1/overrides".to_owned(), sort),
            (Duty::Clamps, Some((path, etag))) => tagged("DELETE", path, Value::Null, etag),
            (Duty::Clamps, None) => keyed("/v1/clamps".to_owned(), sort),
            (Duty::Dial, _) => {
                let etag = client.get("/v1/tiers").ok().filter(|reply| reply.status == 200)?.etag;
                let body = json!({"quota": 1_000_000_000 + self.n, "reason": name});
                tagged("PUT", "/v1/tiers/free/quotas/dials/d0", body, &etag)
            }
        }
    }

    fn acknowledge(&mut self, call: &Call, name: &str, reply: &Reply, log_bytes: u64) {
        let path = if reply.location.is_empty() {
            self.current.as_ref().map_or_else(String::new, |(path, _)| path.clone())
        } else {
            reply.location.clone()
        };
        let is = Sees::Is { path: path.clone(), etag: reply.etag.clone(), body: reply.json.clone() };
        let mut next = None;
        let sees = match self.duty {
            _ if call.path == "/v1/accounts" => {
                let id = reply.json["id"].as_str().unwrap();
                self.account.get_or_insert_with(|| id.to_owned());
                next = (self.duty == Duty::Accounts).then(|| (path.clone(), reply.etag.clone()));
                is
            }
            Duty::Accounts => {
                next = Some((path, reply.etag.clone()));
                is
            }
            Duty::Payments => Sees::Shows {
                path: format!("/v1/accounts/{}/ledger", self.account.as_ref().unwrap()),
                word: format!("{name}."),
            },
            Duty::Overrides if call.path == "/v1/overrides" => {
                next = Some((path, reply.etag.clone()));
                is
            }
            Duty::Overrides => is,
            Duty::Clamps if call.method == "POST" => {
                next = Some((path, reply.etag.clone()));
                is
            }
            Duty::Clamps => Sees::Gone { path },
            Duty::Dial => Sees::Shows {
                path: format!("/v1/policies/revisions/{}", reply.json["revision"]["revision"]),
                word: (1_000_000_000 + self.n).to_string(),
            },
        };
        self.current = next;
        let seq = reply.etag.trim_matches('"').parse().ok().filter(|_| matches!(sees, Sees::Is { .. }));
        self.acks.push(Ack { name: call.idempotency_key.clone(), seq, sees, log_bytes });
    }

    /// Everything that was answered while the log was at most this long is there as it was answered; of what was answered
    /// later the part that is there is.
    pub fn check(&self, client: &Client, there: &There, log_bytes: u64) {
        let mut items = BTreeMap::<&str, Option<&Ack>>::new();
        let mut shown = BTreeMap::<&str, String>::new();
        for ack in &self.acks {
            let promised = ack.log_bytes <= log_bytes;
            let is_there = ack.seq.map(|seq| seq <= there.last);
            assert!(!promised || is_there != Some(false), "{ack:?} was acknowledged, the last there is {}", there.last);
            match &ack.sees {
                Sees::Is { path, .. } | Sees::Gone { path } => match is_there {
                    Some(true) => _ = items.insert(path, Some(ack)),
                    Some(false) => {}
                    None => _ = items.insert(path, promised.then_some(ack)),
                },
                Sees::Shows { path, word } if promised => {
                    let text = shown.entry(path).or_insert_with(|| all_of(client, path));
                    assert!(text.contains(word), "{ack:?} was acknowledged; there is {text}");
                }
                Sees::Shows { .. } => {}
            }
            if let (Some(true), Some(name)) = (is_there, &ack.name) {
                let entry = &there.audit[&ack.seq.unwrap()];
                assert_eq!(entry["request_id"], json!(name), "{ack:?} is there as {entry}");
            }
        }
        for (path, ack) in items.into_iter().filter(|(path, _)| !self.unsure.contains(*path)) {
            match ack.map(|ack| &ack.sees) {
                Some(Sees::Is { etag, body, .. }) => {
                    let found = there.items.get(path);
                    assert_eq!(found, Some(&(etag.clone(), body.clone())), "{path} was acknowledged: {ack:?}");
                }
                Some(Sees::Gone { .. }) => assert!(!there.items.contains_key(path), "{path} was taken away"),
                Some(Sees::Shows { .. }) | None => {}
            }
        }
    }
}

fn all_of(client: &Client, path: &str) -> String {
    if path.ends_with("/ledger") { json!(client.list(path)).to_string() } else { client.read(path).to_string() }
}
