//! A naive model of the engine, written from SEMANTICS.md alone: it keeps everything and rescans it to answer.

pub mod decide;
pub mod fields;
pub mod lines;
pub mod policy;
pub mod rate;
pub mod reservation;
pub mod tier;

use fields::Fields;
use policy::{Identity, Policy, Quota, WrittenFor};
use rate::{Bucket, Charge};
use reservation::Reservation;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tier::{Clamp, Kind, Override, Payment};

/// A quota of a sub-account's own.
#[derive(Clone, Debug)]
pub struct Cap {
    pub group: String,
    pub limit: String,
    pub quota: Quota,
    pub written_for: WrittenFor,
}

/// A main account, or a sub-account of one.
#[derive(Clone, Debug)]
pub struct Account {
    pub id: String,
    pub parent: Option<String>,
    pub made_at: i128,
    pub floor: Option<String>,
    pub pin: Option<(String, Option<i128>)>,
    pub suspended: bool,
    pub caps: Vec<Cap>,
}

/// The whole state: what was set, and everything that ever happened.
#[derive(Clone, Debug)]
pub struct Model {
    pub policy: Policy,
    pub accounts: Vec<Account>,
    pub overrides: Vec<Override>,
    pub clamps: Vec<Clamp>,
    pub payments: Vec<Payment>,
    pub charges: Vec<Charge>,
    pub buckets: Vec<(Identity, Bucket)>,
    pub reservations: Vec<Reservation>,
    pub now: i128,
    base: PathBuf,
    files: BTreeMap<String, Value>,
    next_charge: u64,
    next_handle: u64,
}

impl Model {
    /// A model that starts with this policy; `policy` events name files in `base`.
    pub fn new(policy: Value, base: PathBuf) -> Model {
        Model {
            policy: Policy::read(&policy),
            accounts: Vec::new(),
            overrides: Vec::new(),
            clamps: Vec::new(),
            payments: Vec::new(),
            charges: Vec::new(),
            buckets: Vec::new(),
            reservations: Vec::new(),
            now: 0,
            base,
            files: BTreeMap::new(),
            next_charge: 0,
            next_handle: 0,
        }
    }

    /// The same model with policy files held in memory, looked up before those in `base`.
    pub fn with_files(mut self, files: BTreeMap<String, Value>) -> Model {
        self.files = files;
        self
    }

    /// Answers one event of a trace; an error is a bad line.
    pub fn event(&mut self, line: u64, event: &Value) -> Result<Value, String> {
        let mut f = Fields::of(event)?;
        let op = f.text("op")?;
        let now = f.maybe_whole("at_ms")?.ok_or("missing field at_ms")?;
        if now < self.now {
            return Err("at_ms goes back".into());
        }
        self.now = now;
        let answer = match op.as_str() {
            "decide" => {
                let call = self.decide_line(f)?;
                self.decide(&call, now)
            }
            "settle" => {
                let id = f.text("reservation")?;
                let named = self.amounts(&mut f)?;
                f.finish()?;
                self.settle(&id, &named, now)
            }
            "cancel" => {
                let id = f.text("reservation")?;
                f.finish()?;
                self.cancel(&id, now)
            }
            "renew" => {
                let id = f.text("reservation")?;
                let ttl = f.maybe_whole("ttl_ms")?.ok_or("missing field ttl_ms")?;
                f.finish()?;
                self.renew(&id, ttl, now)
            }
            "status" => {
                let (account, resource) = (f.text("account")?, f.text("resource")?);
                f.finish()?;
                self.status(&account, &resource)
            }
            "account" => self.account_line(f, now).map(|id| self.tier_of(&id))?,
            "pin" => self.pin_line(f).map(|id| self.tier_of(&id))?,
            "top_up" => self.payment_line(Kind::TopUp, event, f, now).map(|id| self.tier_of(&id))?,
            "refund" => self.payment_line(Kind::Refund, event, f, now).map(|id| self.tier_of(&id))?,
            "chargeback" => self.payment_line(Kind::Chargeback, event, f, now).map(|id| self.tier_of(&id))?,
            "override" => self.override_line(f, now).map(|()| json!({}))?,
            "clamp" => self.clamp_line(f).map(|()| json!({}))?,
            "policy" => self.policy_line(f).map(|()| json!({}))?,
            other => return Err(format!("unknown op {other}")),
        };
        let mut out: Map<String, Value> = answer.as_object().expect("an answer is an object").clone();
        out.insert("line".into(), line.into());
        out.insert("at_ms".into(), number(now));
        out.insert("op".into(), op.into());
        Ok(Value::Object(out))
    }

    fn status(&self, account: &str, resource: &str) -> Value {
        if self.account(account).is_none() {
            return json!({"error": "unknown_account"});
        }
        // Under `unlisted_resources: allow` a decide would be allowed with no limits.
        if self.policy.group_of(resource).is_none() && !self.policy.allow_unlisted {
            return json!({"error": "unknown_resource"});
        }
        json!({"limits": self.limits(account, resource, self.now)})
    }

    fn tier_of(&self, account: &str) -> Value {
        json!({"tier": self.tier(self.main_of(account), self.now)})
    }

    /// The account with this id.
    pub fn account(&self, id: &str) -> Option<&Account> {
        self.accounts.iter().find(|a| a.id == id)
    }

    fn account_mut(&mut self, id: &str) -> &mut Account {
        let found = self.accounts.iter_mut().find(|a| a.id == id);
        found.expect("the account was looked up before")
    }

    /// The main account of a known account: itself, or its parent.
    pub fn main_of(&self, id: &str) -> &Account {
        let account = self.account(id).expect("the account is known");
        match &account.parent {
            Some(parent) => self.account(parent).expect("a parent was there first"),
            None => account,
        }
    }
}

/// A number of an answer.
pub fn number(n: i128) -> Value {
    let n = u64::try_from(n).expect("an answer's numbers are whole and in range");
    Value::from(n)
}
