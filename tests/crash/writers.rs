//! Operators at work, and what of it must be there after a kill: all that was acknowledged, and of the one change that
//! was under way all or nothing.

use crate::server::{Call, Client, Gone, Reply};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// What a writer does, over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    Accounts,
    SubAccounts,
    Overrides,
    Clamps,
    /// Overrides and clamps of one account.
    Both,
    /// Moves this limit of the tier `free`: each time a revision, an activation and what is active.
    Dial(&'static str),
}

/// A representation that was acknowledged.
#[derive(Debug, Clone, PartialEq)]
struct Kept {
    etag: String,
    body: Value,
}

/// What a change does, once it is committed.
#[derive(Debug, Clone)]
enum Effect {
    /// The answer is what is at this path from now on; None: at its `Location`.
    Puts(Option<String>, Sets),
    /// The caps of an account, which carry its entity tag.
    Caps {
        account: String,
    },
    Removes(String),
    Dials(u64),
}

/// What a change does to the quota in force.
#[derive(Debug, Clone, Copy)]
enum Sets {
    Nothing,
    Override(Option<u64>),
    Clamp(Option<u64>),
}

/// How it is told that a change is there.
#[derive(Debug, Clone)]
enum Sign {
    /// The mark is in what is at the path.
    Shows(String),
    Gone(String),
}

#[derive(Debug, Clone)]
struct Change {
    call: Call,
    /// In the change and nowhere else.
    mark: String,
    effect: Effect,
    sign: Sign,
}

pub struct Writer {
    id: u64,
    duty: Duty,
    n: u64,
    random: SmallRng,
    kept: BTreeMap<String, Kept>,
    caps: BTreeMap<String, Kept>,
    override_at: Option<(String, u64)>,
    clamp_at: Option<(String, u64)>,
    dialled: Option<u64>,
    /// Sent and not answered.
    pending: Option<Change>,
    /// To be sent again with its idempotency key, and whether it was there.
    again: Option<(Change, bool)>,
    /// Sequence numbers of what was acknowledged, each with its mark.
    acknowledged: Vec<(u64, String)>,
    revisions: Vec<(u64, u64)>,
}

impl Writer {
    pub fn new(id: u64, duty: Duty) -> Self {
        Self {
            id,
            duty,
            n: 0,
            random: SmallRng::seed_from_u64(1_000 + id),
            kept: BTreeMap::new(),
            caps: BTreeMap::new(),
            override_at: None,
            clamp_at: None,
            dialled: None,
            pending: None,
            again: None,
            acknowledged: Vec::new(),
            revisions: Vec::new(),
        }
    }

    /// Works until the server is gone.
    pub fn work(&mut self, client: &Client, until: Instant) {
        // Whoever finds the server gone has nothing more to do.
        _ = self.go_on(client, until);
    }

    fn go_on(&mut self, client: &Client, until: Instant) -> Result<(), Gone> {
        if let Some((change, was_there)) = self.again.take() {
            self.repeat(client, change, was_there)?;
        }
        while Instant::now() < until {
            let Some(change) = self.next(client)? else { continue };
            self.pending = Some(change.clone());
            let reply = client.send(&change.call)?;
            match reply.status {
                200 | 201 => {
                    assert!(!reply.replayed, "a new key is no replay: {change:?}");
                    self.acknowledge(&change, &reply);
                }
                // Another writer moved its own dial first.
                412 if matches!(self.duty, Duty::Dial(_)) => {}
                // It may be there or not, as if there had been no answer.
                500.. => return Err(Gone),
                _ => panic!("{change:?}: {}", reply.json),
            }
            self.pending = None;
        }
        Ok(())
    }

    /// The same request again gives the first answer if it is there, and is made if it is not.
    fn repeat(&mut self, client: &Client, change: Change, was_there: bool) -> Result<(), Gone> {
        if !was_there {
            self.pending = Some(change.clone());
        }
        let reply = client.send(&change.call)?;
        if reply.status >= 500 {
            return Err(Gone);
        }
        assert!(matches!(reply.status, 200 | 201), "{change:?}: {}", reply.json);
        assert_eq!(reply.replayed, was_there, "the answer is kept with the change or not at all: {change:?}");
        if !was_there {
            self.acknowledge(&change, &reply);
        }
        self.pending = None;
        Ok(())
    }

    fn acknowledge(&mut self, change: &Change, reply: &Reply) {
        let seq: Option<u64> = reply.etag.trim_matches('"').parse().ok();
        self.acknowledged.extend(seq.map(|seq| (seq, change.mark.clone())));
        if let Effect::Dials(quota) = change.effect {
            self.revisions.push((reply.json["revision"]["revision"].as_u64().unwrap(), quota));
        }
        let place = if reply.location.is_empty() { None } else { Some(reply.location.clone()) };
        self.apply(&change.effect, place, Kept { etag: reply.etag.clone(), body: reply.json.clone() });
    }

    fn apply(&mut self, effect: &Effect, location: Option<String>, now: Kept) {
        match effect {
            Effect::Puts(path, sets) => {
                let path = path.clone().or(location).expect("what was made has a place");
                match sets {
                    Sets::Nothing => {}
                    Sets::Override(quota) => self.override_at = quota.map(|quota| (path.clone(), quota)),
                    Sets::Clamp(quota) => self.clamp_at = quota.map(|quota| (path.clone(), quota)),
                }
                self.kept.insert(path, now);
            }
            Effect::Caps { account } => {
                if let Some(kept) = self.kept.get_mut(account) {
                    kept.etag.clone_from(&now.etag);
                }
                self.caps.insert(format!("{account}/caps"), now);
            }
            Effect::Removes(path) => {
                self.kept.remove(path);
                self.clamp_at = None;
            }
            Effect::Dials(quota) => self.dialled = Some(*quota),
        }
    }

    /// The writer's own account, for those that have one.
    pub fn account(&self) -> String {
        format!("writer-{}", self.id)
    }

    fn next(&mut self, client: &Client) -> Result<Option<Change>, Gone> {
        self.n += 1;
        let (mark, account) = (format!("mark-{}-{}.", self.id, self.n), self.account());
        let own = format!("/v1/accounts/{account}");
        let change = match self.duty {
            Duty::Dial(limit) => return self.turn(client, limit).map(Some),
            Duty::Accounts => self.an_account(mark),
            _ if !self.kept.contains_key(&own) => create("/v1/accounts", &account, mark),
            Duty::SubAccounts => self.a_sub_account(&own, mark),
            Duty::Overrides => self.an_override(mark),
            Duty::Clamps => self.a_clamp(mark),
            Duty::Both => {
                if self.random.random_bool(0.5) {
                    self.an_override(mark)
                } else {
                    self.a_clamp(mark)
                }
            }
        };
        Ok(Some(change))
    }

    fn an_account(&mut self, mark: String) -> Change {
        let last = self.kept.iter().next_back().map(|(path, kept)| (path.clone(), kept.etag.clone()));
        match (self.n % 4, last) {
            (2, Some((path, etag))) => {
                let call = Call { method: "PATCH", body: json!({ "name": mark }), ..at(&path) };
                let call = Call { if_match: Some(etag), ..call };
                Change { call, mark, effect: Effect::Puts(Some(path.clone()), Sets::Nothing), sign: Sign::Shows(path) }
            }
            (3, Some((path, _))) => {
                let call = keyed(&format!("{path}/suspend"), json!({ "reason": mark }), &mark);
                Change { call, mark, effect: Effect::Puts(Some(path.clone()), Sets::Nothing), sign: Sign::Shows(path) }
            }
            _ => {
                // In the order of their making.
                let id = format!("account-{}-{:06}", self.id, self.n);
                create("/v1/accounts", &id, mark)
            }
        }
    }

    fn a_sub_account(&mut self, own: &str, mark: String) -> Change {
        let beginning = format!("/v1/accounts/{}-sub", self.account());
        let last = self.kept.range(beginning..).next_back().filter(|(path, _)| path.contains("-sub-"));
        if self.n.is_multiple_of(3)
            && let Some((path, kept)) = last
        {
            // The number is the mark: caps have no room for words.
            let quota = 1_000_000_000 + self.id * 1_000_000 + self.n;
            let call = Call {
                method: "PUT",
                body: json!({"caps": {"plain/requests": quota}}),
                if_match: Some(kept.etag.clone()),
                ..at(&format!("{path}/caps"))
            };
            let sign = Sign::Shows(call.path.clone());
            return Change { call, mark: quota.to_string(), effect: Effect::Caps { account: path.clone() }, sign };
        }
        let id = format!("{}-sub-{:06}", self.account(), self.n);
        create(&format!("{own}/sub-accounts"), &id, mark)
    }

    fn an_override(&mut self, mark: String) -> Change {
        if let Some((path, _)) = &self.override_at {
            let call = keyed(&format!("{path}/revoke"), json!({ "reason": mark }), &mark);
            let effect = Effect::Puts(Some(path.clone()), Sets::Override(None));
            return Change { call, mark, effect, sign: Sign::Shows(path.clone()) };
        }
        let body = json!({"account": self.account(), "group": "plain", "limit": "requests", "quota": 5_000 + self.n,
            "permanent": true, "reason": mark});
        Change {
            call: keyed("/v1/overrides", body, &mark),
            mark,
            effect: Effect::Puts(None, Sets::Override(Some(5_000 + self.n))),
            sign: Sign::Shows(format!("/v1/overrides?account={}&state=active", self.account())),
        }
    }

    fn a_clamp(&mut self, mark: String) -> Change {
        if let Some((path, _)) = &self.clamp_at {
            let call = Call { method: "DELETE", if_match: Some(self.kept[path].etag.clone()), ..at(path) };
            return Change { call, mark, effect: Effect::Removes(path.clone()), sign: Sign::Gone(path.clone()) };
        }
        let body = json!({"account": self.account(), "group": "plain", "limit": "requests", "quota": 5_000 + self.n,
            "permanent": true, "reason": mark});
        Change {
            call: keyed("/v1/clamps", body, &mark),
            mark,
            effect: Effect::Puts(None, Sets::Clamp(Some(5_000 + self.n))),
            sign: Sign::Shows("/v1/clamps?page_size=200".to_owned()),
        }
    }

    fn turn(&self, client: &Client, limit: &str) -> Result<Change, Gone> {
        let quota = 1_000_000_000 + self.id * 1_000_000 + self.n;
        let call = Call {
            method: "PUT",
            body: json!({"quota": quota, "reason": quota.to_string()}),
            if_match: Some(client.get("/v1/tiers")?.etag),
            ..at(&format!("/v1/tiers/free/quotas/dials/{limit}"))
        };
        let sign = Sign::Shows("/v1/tiers".to_owned());
        Ok(Change { call, mark: quota.to_string(), effect: Effect::Dials(quota), sign })
    }

    /// Settles what became of the change that was under way, and compares all that was acknowledged with what is
    /// there. Returns the paths that it knows of.
    pub fn check(&mut self, client: &Client, there: &Shelf, round: &str) -> BTreeSet<String> {
        if let Some(change) = self.pending.take() {
            let is_there = self.settle(client, &change, round);
            if change.call.idempotency_key.is_some() {
                self.again = Some((change, is_there));
            }
        }
        for (path, kept) in &self.kept {
            assert_eq!(there.0.get(path), Some(kept), "{round}: {path} was acknowledged: {self}");
        }
        for (path, kept) in &self.caps {
            let reply = client.get(path).unwrap();
            assert_eq!(
                (revision(&reply.etag), &reply.json),
                (kept.etag.clone(), &kept.body),
                "{round}: {path} was acknowledged"
            );
        }
        self.check_engine(client, round);
        self.kept.keys().cloned().collect()
    }

    /// Whether a change that was never answered is there; then it is all there.
    fn settle(&mut self, client: &Client, change: &Change, round: &str) -> bool {
        let is_there = match &change.sign {
            Sign::Gone(path) => client.get(path).unwrap().status == 404,
            Sign::Shows(path) => {
                let reply = client.get(path).unwrap();
                reply.status == 200 && reply.json.to_string().contains(&change.mark)
            }
        };
        let subject = match &change.effect {
            Effect::Dials(_) => None,
            Effect::Puts(..) | Effect::Caps { .. } | Effect::Removes(_) => change.subject(),
        };
        if let Some(subject) = subject {
            let entries = client.list(&format!("/v1/audit?subject={subject}"));
            let told = entries.iter().any(|entry| entry.to_string().contains(&change.mark));
            // A removal says nothing of why.
            if !matches!(change.effect, Effect::Removes(_)) {
                assert_eq!(told, is_there, "{round}: a change and its audit entry: {change:?}");
            }
        }
        if is_there {
            let path = self.place(client, change);
            let reply = client.get(path.as_deref().unwrap_or("/v1/tiers")).unwrap();
            self.apply(&change.effect, path, Kept { etag: revision(&reply.etag), body: reply.json });
        }
        is_there
    }

    /// Where what a change made is found.
    fn place(&self, client: &Client, change: &Change) -> Option<String> {
        match (&change.effect, &change.sign) {
            (Effect::Puts(Some(path), _), _) | (Effect::Removes(path), _) => Some(path.clone()),
            (Effect::Caps { account }, _) => Some(format!("{account}/caps")),
            (Effect::Dials(_), _) => None,
            (Effect::Puts(None, Sets::Nothing), Sign::Shows(path)) => Some(path.clone()),
            (Effect::Puts(None, _), Sign::Shows(list) | Sign::Gone(list)) => {
                let items = client.list(list.split("?page_size").next().unwrap());
                let made = items.into_iter().find(|item| item.to_string().contains(&change.mark)).unwrap();
                Some(format!("{}/{}", list.split('?').next().unwrap(), made["id"].as_str().unwrap()))
            }
        }
    }

    /// What is decided by is what is stored.
    fn check_engine(&self, client: &Client, round: &str) {
        if let Duty::Dial(limit) = self.duty {
            let Some(dialled) = self.dialled else { return };
            let body = json!({"account": "nobody", "resource": "dials", "dry_run": true});
            let limits = client.post("/v1/decisions", body).unwrap().json["limits"].clone();
            let found = limits.as_array().unwrap().iter().find(|found| found["id"] == limit).unwrap();
            assert_eq!(found["quota"], dialled, "{round}: {self}");
            let Some((revision, quota)) = self.revisions.last() else { return };
            let document = client.read(&format!("/v1/policies/revisions/{revision}"))["document"].to_string();
            assert!(document.contains(&quota.to_string()), "{round}: revision {revision} has {quota}: {self}");
            return;
        }
        let account = self.account();
        if !self.kept.contains_key(&format!("/v1/accounts/{account}")) || self.duty == Duty::SubAccounts {
            return;
        }
        let expected = [&self.override_at, &self.clamp_at].into_iter().flatten().map(|(_, quota)| *quota).min();
        let limits = client.read(&format!("/v1/accounts/{account}/limits"));
        let expected = expected.map_or(json!("unlimited"), |quota| json!(quota));
        assert_eq!(limits["limits"][0]["quota"], expected, "{round}: {self}: {}", limits["limits"][0]);
    }

    /// Every acknowledged change is in the audit log under its own number.
    pub fn check_audit(&self, log: &BTreeMap<u64, String>) -> usize {
        for (seq, mark) in &self.acknowledged {
            let entry = log.get(seq).unwrap_or_else(|| panic!("change {seq} was acknowledged: {self}"));
            assert!(entry.contains(mark), "change {seq} is not the one that was acknowledged with {mark}: {entry}");
        }
        self.acknowledged.len()
    }
}

impl std::fmt::Display for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "writer {} ({:?})", self.id, self.duty)
    }
}

impl Change {
    /// What the audit log has it under, where that is known beforehand.
    fn subject(&self) -> Option<String> {
        let (Sign::Shows(path) | Sign::Gone(path)) = &self.sign;
        let account = path.strip_prefix("/v1/accounts/")?.trim_end_matches("/caps");
        Some(format!("account:{account}"))
    }
}

fn at(path: &str) -> Call {
    Call { path: path.to_owned(), ..Call::default() }
}

fn keyed(path: &str, body: Value, key: &str) -> Call {
    Call { method: "POST", body, idempotency_key: Some(key.to_owned()), ..at(path) }
}

fn create(list: &str, id: &str, mark: String) -> Change {
    let call = keyed(list, json!({"id": id, "name": mark}), &mark);
    let sign = Sign::Shows(format!("/v1/accounts/{id}"));
    Change { call, mark, effect: Effect::Puts(None, Sets::Nothing), sign }
}

/// The tag of the record that was read, without what it says of the body.
fn revision(etag: &str) -> String {
    etag.split_once('-').map_or_else(|| etag.to_owned(), |(revision, _)| format!("{revision}\""))
}

/// All that the lists show, by path.
pub struct Shelf(BTreeMap<String, Kept>);

impl Shelf {
    pub fn of(client: &Client) -> Self {
        let mut all = BTreeMap::new();
        for list in ["/v1/accounts", "/v1/overrides", "/v1/clamps"] {
            for mut body in client.list(list) {
                let path = format!("{list}/{}", body["id"].as_str().unwrap());
                let etag = body.as_object_mut().unwrap().remove("etag").unwrap();
                all.insert(path, Kept { etag: etag.as_str().unwrap().to_owned(), body });
            }
        }
        Self(all)
    }

    pub fn paths(&self) -> BTreeSet<String> {
        self.0.keys().cloned().collect()
    }
}
