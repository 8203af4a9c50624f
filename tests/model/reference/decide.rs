//! Section 4: a decision is one atomic step.

use super::Model;
use super::policy::{Quota, Rule};
use super::rate::{Seat, first};
use super::reservation::{Amounts, Held, LONGEST, Reservation, What, ended_error};
use serde_json::{Value, json};

/// What a call asks for.
#[derive(Clone, Debug)]
pub struct Call {
    pub account: String,
    pub resource: String,
    /// Every unit with a cost above zero.
    pub costs: Amounts,
    pub dry_run: bool,
    pub reserve: Option<Reserve>,
}

/// The `reserve` of a call.
#[derive(Clone, Debug)]
pub struct Reserve {
    pub id: Option<String>,
    pub ttl: Option<i128>,
}

impl Model {
    /// A decision.
    pub fn decide(&mut self, call: &Call, now: i128) -> Value {
        let mut answer = self.decide_steps(call, now);
        if call.dry_run {
            answer["dry_run"] = true.into();
        }
        answer
    }

    fn decide_steps(&mut self, call: &Call, now: i128) -> Value {
        let deny = |reason: &str| json!({"decision": "deny", "reason": reason, "violated": [], "limits": []});
        let Some(account) = self.account(&call.account) else {
            return deny("unknown_account");
        };
        let main = self.main_of(&call.account);
        if account.suspended || main.suspended {
            return deny("account_suspended");
        }
        let Some(group) = self.policy.group_of(&call.resource) else {
            return if self.policy.allow_unlisted {
                json!({"decision": "allow", "limits": []})
            } else {
                deny("unknown_resource")
            };
        };
        let has_slots = group.limits.iter().any(|l| l.rule == Rule::Concurrency);
        if has_slots && call.reserve.is_none() && !call.dry_run {
            return json!({"error": "reservation_required"});
        }
        let main = main.id.clone();
        if let Some(id) = call.reserve.as_ref().and_then(|r| r.id.as_ref())
            && !call.dry_run
            && let Some(known) = self.reservations.iter().find(|r| r.main == main && r.id == *id && r.remembered(now))
        {
            return self.decide_again(call, known, now);
        }
        let seats = self.seats(&call.account, &call.resource, now);
        let refusing: Vec<&Seat> = seats.iter().filter(|s| !self.admits(s, cost(call, s), now)).collect();
        if !refusing.is_empty() {
            return self.refusal(call, &refusing, now);
        }
        let mut answer = json!({"decision": "allow"});
        if !call.dry_run {
            let held = seats.iter().map(|s| self.take(call, s, now)).collect();
            if let Some(reserve) = &call.reserve {
                answer["reservation"] = self.reserve(call, reserve, &main, held, now).into();
            }
        }
        answer["limits"] = self.limits(&call.account, &call.resource, now);
        answer
    }

    fn decide_again(&self, call: &Call, known: &Reservation, now: i128) -> Value {
        if let Some((how, _)) = known.ended(now) {
            return ended_error(how);
        }
        let same = known.account == call.account && known.resource == call.resource && known.costs == call.costs;
        if !same {
            return json!({"error": "reservation_conflict"});
        }
        json!({
            "decision": "allow",
            "reservation": known.id,
            "replayed": true,
            "limits": self.limits(&call.account, &call.resource, now),
        })
    }

    fn refusal(&self, call: &Call, refusing: &[&Seat], now: i128) -> Value {
        let mut violated: Vec<&str> = Vec::new();
        for seat in refusing {
            if !violated.contains(&seat.id.as_str()) {
                violated.push(&seat.id);
            }
        }
        let is_rate = |s: &&&Seat| s.rule != Rule::Concurrency;
        let never = |s: &&&Seat| self.never(s, cost(call, s));
        let reason = if refusing.iter().any(|s| s.quota == Quota::Blocked) {
            "blocked"
        } else if refusing.iter().filter(is_rate).any(|s| never(&s)) {
            "cost_exceeds_quota"
        } else if refusing.iter().filter(is_rate).count() > 0 {
            "quota_exceeded"
        } else {
            "concurrency_exceeded"
        };
        let mut answer = json!({
            "decision": "deny",
            "reason": reason,
            "violated": violated,
            "limits": self.limits(&call.account, &call.resource, now),
        });
        if !refusing.iter().any(|s| never(&s)) {
            let waits = refusing.iter().filter(is_rate);
            if let Some(wait) = waits.map(|s| self.admits_after(s, cost(call, s), now)).max() {
                answer["retry_after_ms"] = super::number(wait);
            }
        }
        let slots = refusing.iter().filter(|s| s.rule == Rule::Concurrency && s.quota != Quota::Blocked);
        let free = |s: &&Seat| first(1, |d| self.admits(s, 1, now + d));
        if let Some(wait) = slots.map(free).max() {
            answer["slot_expires_in_ms"] = super::number(wait);
        }
        answer
    }

    /// Charges one limit of an allowed decision.
    fn take(&mut self, call: &Call, seat: &Seat, now: i128) -> Held {
        let what = match &seat.rule {
            Rule::Concurrency => What::Slot,
            Rule::Rate { unit, .. } => {
                let amount = cost(call, seat);
                let (number, place, charged) = self.charge(seat, amount, now);
                What::Charge { unit: unit.clone(), amount, number, place, charged }
            }
        };
        Held { counter: seat.counter.clone(), what }
    }

    fn reserve(&mut self, call: &Call, reserve: &Reserve, main: &str, held: Vec<Held>, now: i128) -> String {
        let id = reserve.id.clone().unwrap_or_else(|| {
            self.next_handle += 1;
            format!("rs_{}", self.next_handle)
        });
        let ttl = reserve.ttl.unwrap_or(self.policy.reservation_ttl);
        self.reservations.push(Reservation {
            id: id.clone(),
            main: main.to_string(),
            account: call.account.clone(),
            resource: call.resource.clone(),
            costs: call.costs.clone(),
            made_at: now,
            expires_at: now + ttl.min(LONGEST),
            end: None,
            named: Amounts::new(),
            held,
        });
        id
    }
}

/// What a limit takes of a call.
fn cost(call: &Call, seat: &Seat) -> i128 {
    match &seat.rule {
        Rule::Concurrency => 1,
        Rule::Rate { unit, .. } => call.costs.get(unit).copied().unwrap_or(0),
    }
}
