//! What the generated cases reach: answers, policy changes and caps.

use super::{Step, calls, state};
use crate::reference::policy::{Algorithm, Identity, Rule};
use crate::stats::Stats;

/// What must be remembered over a trace to see what it reaches.
#[derive(Default)]
pub struct Reach {
    gone: Vec<Identity>,
    removed_caps: Vec<(String, String, String)>,
    /// How many limits each reservation was made with.
    pub held: Vec<(String, usize)>,
}

/// The name of a counter's algorithm, or of a slot.
pub fn kind(rule: &Rule) -> &'static str {
    match rule {
        Rule::Concurrency => "slot",
        Rule::Rate { algorithm: Algorithm::Fixed, .. } => "fixed",
        Rule::Rate { algorithm: Algorithm::Sliding, .. } => "sliding",
        Rule::Rate { algorithm: Algorithm::Bucket, .. } => "bucket",
    }
}

impl Reach {
    /// Counts what one event reached.
    pub fn count(&mut self, s: &Step, stats: &mut Stats) {
        let op = s.event["op"].as_str().expect("a good line has an op");
        stats.add(&format!("op {op}"));
        match op {
            "decide" => {
                calls::decide(s, stats);
                state::sources(s, stats);
                let made =
                    s.after.reservations.last().filter(|_| s.after.reservations.len() > s.before.reservations.len());
                self.held.extend(made.map(|r| (r.id.clone(), r.held.len())));
            }
            "settle" | "cancel" | "renew" => calls::ends(s, self, stats),
            "status" => {
                let what = s.answer["error"].as_str().unwrap_or("limits");
                stats.add(&format!("status {what}"));
            }
            "policy" => self.policy(s, stats),
            "account" => self.caps(s, stats),
            "top_up" | "refund" | "chargeback" => state::payment(s, stats),
            _ => {}
        }
        state::tiers(s, stats);
    }

    fn policy(&mut self, s: &Step, stats: &mut Stats) {
        stats.when(s.before.policy.groups.len() != s.after.policy.groups.len(), "groups changed");
        stats.add("policy change");
        for counter in used_counters(s) {
            if s.after.policy.has(&counter) {
                stats.add("usage kept over a policy change");
            } else {
                stats.add(&format!("identity gone {}", kind(&counter.rule)));
                self.gone.push(counter);
            }
        }
        let back = self.gone.iter().any(|c| s.after.policy.has(c) && !s.before.policy.has(c));
        stats.when(back, "identity gone and back");
        let home = |p: &crate::reference::policy::Policy, r: &str| p.group_of(r).map(|g| g.id.clone());
        let moved = s.before.policy.groups.iter().flat_map(|g| &g.resources).any(|r| {
            let (was, is) = (home(&s.before.policy, r), home(&s.after.policy, r));
            is.is_some() && was != is
        });
        stats.when(moved, "moved resource");
    }

    fn caps(&mut self, s: &Step, stats: &mut Stats) {
        let id = s.event["account"].as_str().expect("a good line has an account");
        let lost = used_counters(s).iter().any(|c| c.account == id && !used_counters_after(s).contains(c));
        stats.when(lost, "cap removed with usage");
        let key = |c: &crate::reference::Cap| (id.to_string(), c.group.clone(), c.limit.clone());
        let caps = |m: &crate::reference::Model| m.account(id).map_or(Vec::new(), |a| a.caps.iter().map(key).collect());
        let (was, is) = (caps(s.before), caps(s.after));
        let back = is.iter().any(|k| !was.contains(k) && self.removed_caps.contains(k));
        stats.when(back, "cap returned");
        self.removed_caps.extend(was.into_iter().filter(|k| !is.contains(k)));
    }
}

fn used_counters(s: &Step) -> Vec<Identity> {
    counters(s.before, s.now)
}

fn used_counters_after(s: &Step) -> Vec<Identity> {
    counters(s.after, s.now)
}

/// Every counter with usage of a model.
fn counters(model: &crate::reference::Model, now: i128) -> Vec<Identity> {
    let mut out: Vec<Identity> = Vec::new();
    let windows =
        model.charges.iter().filter(|c| c.amount > 0 && crate::reference::rate::counts(&c.counter, c.at, now));
    let buckets = model.buckets.iter().filter(|(_, b)| b.level > 0).map(|(c, _)| c);
    let open = model.reservations.iter().filter(|r| r.ended(now).is_none());
    let slots = open.flat_map(|r| &r.held).map(|h| &h.counter).filter(|c| c.rule == Rule::Concurrency);
    for counter in windows.map(|c| &c.counter).chain(buckets).chain(slots) {
        if !out.contains(counter) {
            out.push(counter.clone());
        }
    }
    out
}
