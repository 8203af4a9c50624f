//! Sections 4 and 5: decisions and reservations.

use super::Model;
use super::policy::{Algorithm, Identity, Quota, Rule};
use super::rate::{Bucket, Seat, counts, first};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How long an ended reservation is remembered.
pub const MEMORY: i128 = 600_000;
/// The longest life of a reservation.
pub const LONGEST: i128 = 24 * 3_600_000;

/// Amounts by unit.
pub type Amounts = BTreeMap<String, i128>;

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

/// How a reservation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Settled,
    Cancelled,
    Expired,
}

impl How {
    fn name(self) -> &'static str {
        match self {
            How::Settled => "settled",
            How::Cancelled => "cancelled",
            How::Expired => "expired",
        }
    }
}

/// A reservation, open or ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Reservation {
    pub id: String,
    pub main: String,
    pub account: String,
    pub resource: String,
    pub costs: Amounts,
    pub made_at: i128,
    pub expires_at: i128,
    /// Set by a settle or a cancel; an expiry needs no mark.
    pub end: Option<(How, i128)>,
    /// The amounts a settle named.
    pub named: Amounts,
    pub held: Vec<Held>,
}

/// What a reservation remembers of one limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    pub counter: Identity,
    pub what: What,
}

/// A slot, or a charge.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    Slot,
    Charge { unit: String, amount: i128, number: u64, place: i128, charged: i128 },
}

impl Reservation {
    /// How and when it has ended by `now`.
    pub fn ended(&self, now: i128) -> Option<(How, i128)> {
        self.end.or((now >= self.expires_at).then_some((How::Expired, self.expires_at)))
    }

    /// Whether it is open, or ended less than the memory ago.
    pub fn remembered(&self, now: i128) -> bool {
        self.ended(now).is_none_or(|(_, at)| now < at + MEMORY)
    }
}

fn ended_error(how: How) -> Value {
    json!({"error": "reservation_ended", "ended": how.name()})
}

impl Model {
    /// How many slots of a concurrency counter are open at `t` if nothing but expiry happens until then.
    pub fn open_slots(&self, counter: &Identity, t: i128) -> i128 {
        let open = self.reservations.iter().filter(|r| r.ended(t).is_none());
        let slots = open.flat_map(|r| &r.held);
        slots.filter(|h| h.what == What::Slot && h.counter == *counter).count() as i128
    }

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

    /// The place in the list of the reservation with this id that is remembered.
    fn find(&self, id: &str, now: i128) -> Option<usize> {
        self.reservations.iter().position(|r| r.id == id && r.remembered(now))
    }

    /// A settle.
    pub fn settle(&mut self, id: &str, named: &Amounts, now: i128) -> Value {
        let Some(at) = self.find(id, now) else {
            return json!({"error": "unknown_reservation"});
        };
        let known = self.reservations[at].clone();
        let end = match known.ended(now) {
            None => (How::Settled, now),
            Some((How::Expired, ended_at)) => (How::Settled, ended_at),
            Some((How::Settled, _)) if known.named == *named => {
                let mut answer = self.done(&known, now);
                answer["replayed"] = true.into();
                return answer;
            }
            Some((how, _)) => return ended_error(how),
        };
        let late = known.ended(now).is_some();
        self.reservations[at].end = Some(end);
        self.reservations[at].named = named.clone();
        for held in &known.held {
            let What::Charge { unit, amount, .. } = &held.what else {
                continue;
            };
            let seat = self.seat_of(&held.counter, now);
            self.bring_and_keep(&seat, now);
            let true_cost = *named.get(unit).unwrap_or(amount);
            if true_cost > *amount {
                self.charge(&seat, true_cost - amount, now);
            } else {
                self.give_back(&seat, held, amount - true_cost, now);
            }
        }
        let mut answer = self.done(&known, now);
        if late {
            answer["late"] = true.into();
        }
        answer
    }

    /// A cancel.
    pub fn cancel(&mut self, id: &str, now: i128) -> Value {
        let Some(at) = self.find(id, now) else {
            return json!({"error": "unknown_reservation"});
        };
        let known = self.reservations[at].clone();
        if let Some((how, _)) = known.ended(now) {
            return ended_error(how);
        }
        self.reservations[at].end = Some((How::Cancelled, now));
        for held in &known.held {
            if let What::Charge { amount, .. } = &held.what {
                let seat = self.seat_of(&held.counter, now);
                self.bring_and_keep(&seat, now);
                self.give_back(&seat, held, *amount, now);
            }
        }
        self.done(&known, now)
    }

    /// A renewal.
    pub fn renew(&mut self, id: &str, ttl: i128, now: i128) -> Value {
        let Some(at) = self.find(id, now) else {
            return json!({"error": "unknown_reservation"});
        };
        let known = self.reservations[at].clone();
        if let Some((how, _)) = known.ended(now) {
            return ended_error(how);
        }
        self.reservations[at].expires_at = (now + ttl).min(known.made_at + LONGEST);
        self.done(&known, now)
    }

    fn done(&self, r: &Reservation, now: i128) -> Value {
        json!({"ok": true, "limits": self.limits(&r.account, &r.resource, now)})
    }

    /// Gives back `g` of a charge; a bucket has been brought to `now` before.
    fn give_back(&mut self, seat: &Seat, held: &Held, g: i128, now: i128) {
        let What::Charge { number, place, charged, .. } = held.what else {
            return;
        };
        match seat.rule {
            Rule::Rate { window, algorithm: Algorithm::Bucket, .. } => {
                let bucket = self.bucket_at(seat, now);
                let rest = (place + charged - bucket.left).clamp(0, charged);
                let back = (g * window).min(rest).min(bucket.level);
                let bucket = Bucket { level: bucket.level - back, left: bucket.left + back, ..bucket };
                self.keep(&seat.counter, bucket);
            }
            _ => {
                let charge = self.charges.iter_mut().find(|c| c.number == number);
                let charge = charge.expect("a charge that is not gone is in the list");
                if counts(&charge.counter, charge.at, now) {
                    charge.amount -= g;
                }
            }
        }
    }

    /// Forgets the usage of every counter that `gone` names, wherever it is remembered.
    pub fn forget(&mut self, gone: impl Fn(&Identity) -> bool) {
        self.charges.retain(|c| !gone(&c.counter));
        self.buckets.retain(|(counter, _)| !gone(counter));
        for r in &mut self.reservations {
            r.held.retain(|h| !gone(&h.counter));
        }
    }
}

/// What a limit takes of a call.
fn cost(call: &Call, seat: &Seat) -> i128 {
    match &seat.rule {
        Rule::Concurrency => 1,
        Rule::Rate { unit, .. } => call.costs.get(unit).copied().unwrap_or(0),
    }
}
