//! What one client sent to a server that is killed, and what it was promised; and the audit log, which says what came of
//! it: each change is sent under a name of its own, which is its idempotency key and the id of its request.

use crate::server::{Call, Client, Gone};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

const NAMES: &str = "step-";

/// A change, sent under a name of its own.
#[derive(Debug, Clone)]
pub struct Change {
    pub call: Call,
    /// As the audit log calls it; empty: that depends.
    pub action: &'static str,
    /// Whose it is: a key, or the token of a login.
    pub key: String,
}

/// A change that was acknowledged.
#[derive(Debug)]
pub struct Kept {
    pub change: Change,
    /// Of what was answered.
    pub id: String,
    pub seq: u64,
    pub answer: Value,
}

#[derive(Default)]
pub struct Promises {
    /// Sent and not answered; once it was checked, whether it is there.
    pending: Option<(Change, Option<bool>)>,
    pub kept: Vec<Kept>,
    /// Names of what was refused.
    refused: Vec<String>,
    /// How many of those that were not answered were there.
    pub replayed: usize,
}

impl Change {
    pub fn name(&self) -> &str {
        self.call.idempotency_key.as_deref().unwrap()
    }
}

/// The name of the n-th change of a client.
pub fn name(client: u64, n: u64) -> String {
    format!("{NAMES}{client}-{n}")
}

impl Promises {
    /// What came of it, unless it was refused because somebody else was first.
    pub fn send(&mut self, client: &Client, change: Change) -> Result<Option<&Kept>, Gone> {
        self.pending = Some((change, None));
        self.send_again(client)
    }

    /// Sends what was not answered, if there is something.
    pub fn send_again(&mut self, client: &Client) -> Result<Option<&Kept>, Gone> {
        let Some((change, was_there)) = &self.pending else { return Ok(None) };
        let was_there = *was_there == Some(true);
        let reply = client.with_key(&change.key).send(&change.call)?;
        match reply.status {
            // As if there had been no answer.
            500.. => return Err(Gone),
            200..=202 => assert_eq!(reply.replayed, was_there, "it is kept with its answer or not: {change:?}"),
            409 | 412 => assert!(!was_there, "what is there is answered so again: {change:?}: {}", reply.json),
            _ => panic!("{change:?}: {}", reply.json),
        }
        let Some((change, _)) = self.pending.take() else { return Ok(None) };
        if reply.status >= 400 {
            self.refused.push(change.name().to_owned());
            return Ok(None);
        }
        self.replayed += usize::from(was_there);
        let id = reply.json["id"].as_str().unwrap().to_owned();
        let seq = reply.etag.trim_matches('"').parse().unwrap_or_else(|_| panic!("{change:?}: {}", reply.etag));
        self.kept.push(Kept { change, id, seq, answer: reply.json });
        Ok(self.kept.last())
    }

    /// The same until there is an answer.
    pub fn settle(&mut self, client: &Client, until: Instant) {
        while self.send_again(client).is_err() {
            assert!(Instant::now() < until, "{:?} has no answer", self.pending);
        }
    }
}

/// The audit log, kept outside from check to check.
#[derive(Default)]
pub struct Log(pub BTreeMap<u64, Value>);

impl Log {
    /// Takes in what there is more than at the last check; nothing of before has changed, and the chain is whole.
    pub fn read_on(&mut self, client: &Client, round: &str) {
        let last = self.0.last_key_value().map(|(seq, entry)| (*seq, entry["hash"].clone()));
        let mut token = String::new();
        loop {
            let page = client.read(&format!("/v1/audit?page_size=200{token}"));
            let items = page["items"].as_array().unwrap().iter();
            let mut met = false;
            for entry in items {
                let seq = entry["seq"].as_u64().unwrap();
                met |= last.as_ref().is_some_and(|(last, _)| *last == seq);
                self.0.insert(seq, entry.clone());
            }
            match page["next_page_token"].as_str() {
                Some(next) if !met => token = format!("&page_token={next}"),
                _ => break,
            }
        }
        let now = client.read("/readyz")["last_change"].as_u64().unwrap();
        assert!(self.0.keys().copied().eq(1..=now), "{round}: the audit log has a gap, or what is not there");
        if let Some((seq, hash)) = last {
            assert_eq!(self.0[&seq]["hash"], hash, "{round}: the change {seq} is not what it was");
        }
        let anchor = json!({"seq": now, "hash": self.0[&now]["hash"]});
        let verified = client.post("/v1/audit/verify", anchor).unwrap();
        assert_eq!((verified.status, &verified.json["sound"]), (200, &json!(true)), "{round}: {}", verified.json);
    }

    /// What was acknowledged is there once, what was refused is not, and of what was under way it is seen whether it
    /// is there.
    pub fn has_each_once<'p>(&self, promises: impl Iterator<Item = &'p mut Promises>, round: &str) {
        let mut effects = HashMap::<&str, &Value>::new();
        for entry in self.0.values() {
            let name = entry["request_id"].as_str().filter(|name| name.starts_with(NAMES));
            if let Some(name) = name {
                assert!(effects.insert(name, entry).is_none(), "{round}: {name} is there twice");
            }
        }
        for promises in promises {
            for kept in &promises.kept {
                let entry = effects.remove(kept.change.name());
                let entry = entry.unwrap_or_else(|| panic!("{round}: {kept:?} was acknowledged"));
                assert_eq!(entry["seq"], kept.seq, "{round}: {kept:?}");
                let action = kept.change.action;
                assert!(action.is_empty() || entry["action"] == action, "{round}: {kept:?} is there as {entry}");
                let mut about = entry["subject"].as_array().unwrap().iter().filter_map(Value::as_str);
                let own = about.any(|subject| subject.split_once(':').is_some_and(|(_, id)| id == kept.id));
                assert!(own, "{round}: {kept:?} is there as {entry}");
            }
            for name in &promises.refused {
                assert!(!effects.contains_key(name.as_str()), "{round}: {name} was refused");
            }
            if let Some((change, is_there)) = &mut promises.pending {
                *is_there = Some(effects.remove(change.name()).is_some());
            }
        }
        assert!(effects.is_empty(), "{round}: nobody sent {effects:?}");
    }
}
