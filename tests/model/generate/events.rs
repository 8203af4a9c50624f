//! A trace: which event comes next, and when.

use super::{Rng, bad, calls, control, file_name};
use crate::reference::Model;
use crate::reference::policy::{Algorithm, Policy, Rule};
use crate::reference::rate::{slot, window_index};
use crate::reference::tier::{Kind, counted};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The main accounts and the sub-accounts (with their main account) of every trace.
pub const MAINS: [&str; 2] = ["acct-a", "B.b:1"];
pub const SUBS: [(&str, &str); 3] = [("a-sub1", "acct-a"), ("a-sub2", "acct-a"), ("b-sub", "B.b:1")];

/// How often each kind of event comes, in the order of `step`: mostly calls, reservations, payments, policies.
const THEMES: [[u64; 11]; 4] = [
    [56, 14, 5, 5, 4, 3, 2, 5, 3, 6, 3],
    [40, 30, 10, 8, 4, 2, 0, 4, 2, 0, 4],
    [14, 2, 1, 1, 2, 2, 2, 1, 1, 60, 3],
    [40, 12, 4, 2, 4, 8, 8, 6, 6, 4, 16],
];

/// A trace in the making; it asks the model so that what comes next is likely to matter.
pub struct Trace<'a> {
    pub rng: &'a mut Rng,
    pub model: Model,
    pub now: i128,
    pub events: Vec<Value>,
    /// Moments at which something changes, as answers told them.
    marks: Vec<i128>,
    /// The call that made each reservation with an id of the caller's.
    pub calls: BTreeMap<String, Value>,
    /// The settle that ended each reservation.
    pub settles: BTreeMap<String, Value>,
    /// The payment events so far.
    pub payments: Vec<Value>,
    policies: &'a [Value],
    pub made: u64,
    theme: &'static [u64; 11],
    /// Every (group, limit) that was in an active policy at some time.
    pub seen_limits: Vec<(String, String)>,
}

/// Draws the trace of a case.
pub fn trace<'a>(rng: &'a mut Rng, policies: &'a [Value]) -> Vec<Value> {
    let named = policies.iter().enumerate();
    let files = named.map(|(i, p)| (file_name(i), p.clone())).collect();
    let model = Model::new(policies[0].clone(), PathBuf::from("/nowhere")).with_files(files);
    // Time starts near zero now and then, so that offsets reach below the epoch.
    let now = match rng.within(1, 10) {
        1 => rng.within(0, 5_000),
        2 => 1_700_000_000_000,
        _ => 1_750_000_000_000 + rng.within(0, 100_000_000),
    };
    let theme = &THEMES[rng.weighted(&[55, 17, 14, 14])];
    let mut trace = Trace {
        rng,
        model,
        now: i128::from(now),
        events: Vec::new(),
        marks: Vec::new(),
        calls: BTreeMap::new(),
        settles: BTreeMap::new(),
        payments: Vec::new(),
        policies,
        made: 0,
        theme,
        seen_limits: Vec::new(),
    };
    trace.notice_limits();
    control::first_accounts(&mut trace);
    for _ in 0..trace.rng.within(30, 130) {
        trace.step();
    }
    if trace.rng.percent(20) {
        let line = bad::line(&mut trace);
        trace.events.push(line);
    }
    trace.events
}

impl Trace<'_> {
    fn step(&mut self) {
        self.advance();
        match self.rng.weighted(self.theme) {
            0 => calls::decide(self),
            1 => calls::settle(self),
            2 => calls::cancel(self),
            3 => calls::renew(self),
            4 => calls::status(self),
            5 => control::account(self),
            6 => control::pin(self),
            7 => control::set_override(self),
            8 => control::clamp(self),
            9 => control::payment(self),
            _ => self.switch(),
        }
    }

    fn switch(&mut self) {
        let index = self.rng.within(0, self.policies.len() as u64 - 1) as usize;
        let next = Policy::read(&self.policies[index]);
        let lost = self.model.policy.tiers.iter().find(|tier| next.rank(&tier.id).is_none());
        if let Some(tier) = lost.map(|tier| tier.id.clone())
            && self.rng.percent(60)
        {
            let (op, main) = (*self.rng.of(&["pin", "account"]), self.main());
            self.push(op, json!({"account": main, "tier": tier}));
        }
        self.push("policy", json!({"file": file_name(index)}));
        self.notice_limits();
    }

    fn notice_limits(&mut self) {
        for (group, limit) in self.limits() {
            if !self.seen_limits.contains(&(group.clone(), limit.clone())) {
                self.seen_limits.push((group, limit));
            }
        }
    }

    /// Every (group, limit) of the active policy.
    pub fn limits(&self) -> Vec<(String, String)> {
        let groups = self.model.policy.groups.iter();
        let pairs = groups.flat_map(|g| g.limits.iter().map(|l| (g.id.clone(), l.id.clone())));
        pairs.collect()
    }

    /// Adds an event at the present time if it is a good line, and returns its answer.
    pub fn push(&mut self, op: &str, mut event: Value) -> Option<Value> {
        event["op"] = op.into();
        event["at_ms"] = number(self.now);
        let mut after = self.model.clone();
        let answer = after.event(self.events.len() as u64 + 1, &event).ok()?;
        self.model = after;
        self.events.push(event);
        for name in ["retry_after_ms", "slot_expires_in_ms"] {
            self.mark_after(&answer[name]);
        }
        for limit in answer["limits"].as_array().into_iter().flatten() {
            self.mark_after(&limit["reset_after_ms"]);
        }
        Some(answer)
    }

    fn mark_after(&mut self, wait: &Value) {
        if let Some(wait) = wait.as_u64() {
            self.marks.push(self.now + i128::from(wait));
        }
    }

    /// A moment at which something may change, not far ahead or anywhere.
    pub fn moment(&mut self) -> i128 {
        let now = self.now;
        let mut moments: Vec<i128> = self.marks.iter().copied().filter(|m| *m > now).collect();
        moments.extend(self.edges());
        moments.extend(self.promises());
        // Some centuries ahead nothing is left to see.
        moments.retain(|m| *m > now && *m < now + 40 * 86_400_000);
        moments.sort_unstable();
        moments.dedup();
        if self.rng.percent(70) {
            moments.truncate(4);
        }
        self.marks.retain(|m| *m > now);
        let step = i128::from(self.rng.within(1, 2_000));
        *self.rng.of_any(&moments).unwrap_or(&(now + step))
    }

    /// Window ends and slot ends of the active limits.
    fn edges(&self) -> Vec<i128> {
        let policy = &self.model.policy;
        let mut out = Vec::new();
        for group in &policy.groups {
            for limit in &group.limits {
                let Rule::Rate { window: w, algorithm, .. } = limit.rule else {
                    continue;
                };
                let counter = policy.identity("", group, limit, &group.resources[0]);
                let offset = counter.offset.unwrap_or(0);
                out.push(match algorithm {
                    Algorithm::Fixed => (window_index(&counter, w, self.now) + 1) * w - offset,
                    Algorithm::Sliding => ((slot(w, self.now) + 1) * w + 59) / 60,
                    Algorithm::Bucket => self.now + w / 60 + 1,
                });
            }
        }
        out
    }

    /// Ends of reservations, of their memory, of graces, overrides, pins, and what is to come of payments.
    fn promises(&self) -> Vec<i128> {
        let mut out = Vec::new();
        for r in &self.model.reservations {
            let (_, end) = r.ended(self.now).unwrap_or((crate::reference::reservation::How::Expired, r.expires_at));
            out.extend([r.expires_at, end + 600_000, r.made_at + 86_400_000]);
        }
        for o in &self.model.overrides {
            out.push(o.starts_at);
            out.extend(o.expires_at);
        }
        for account in self.model.accounts.iter().filter(|a| a.parent.is_none()) {
            out.extend(account.pin.as_ref().and_then(|(_, until)| *until));
            for tier in &self.model.policy.tiers {
                let age = tier.reached_by.as_ref().and_then(|r| r.age);
                out.extend(age.map(|age| account.made_at + age));
                for e in counted(&self.model.payments, &account.id) {
                    out.push(e.moment);
                    if e.kind == Kind::Refund {
                        out.push(e.moment + tier.grace);
                    }
                }
            }
        }
        out
    }

    fn advance(&mut self) {
        let day = 86_400_000;
        let by = match self.rng.weighted(&[45, 25, 10, 8, 6, 1]) {
            0 => 0,
            1 => {
                let near = [-1, 0, 0, 0, 1];
                self.moment() - self.now + near[self.rng.within(0, 4) as usize]
            }
            2 => i128::from(self.rng.within(1, 60)),
            3 => i128::from(self.rng.within(1, 3_000)),
            4 => i128::from(self.rng.within(1, 200_000)),
            _ => i128::from(self.rng.within(1, 3 * day)),
        };
        self.now += by.max(0);
    }

    /// One of the accounts, mostly the first.
    pub fn account(&mut self) -> String {
        let at = self.rng.weighted(&[50, 10, 25, 8, 7]);
        match at {
            0 | 1 => MAINS[at].into(),
            _ => SUBS[at - 2].0.into(),
        }
    }

    /// One of the main accounts, mostly the first.
    pub fn main(&mut self) -> String {
        MAINS[usize::from(self.rng.percent(20))].into()
    }

    /// A fresh name with this prefix.
    pub fn fresh(&mut self, prefix: &str) -> String {
        self.made += 1;
        format!("{prefix}{}", self.made)
    }
}

/// A time of an event.
pub fn number(n: i128) -> Value {
    Value::from(u64::try_from(n).expect("times of a trace are after 1970"))
}
