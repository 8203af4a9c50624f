//! Section 5: what becomes of reservations.

use super::Model;
use super::policy::{Algorithm, Identity, Rule};
use super::rate::{Bucket, Seat, counts};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How long an ended reservation is remembered.
pub const MEMORY: i128 = 600_000;
/// The longest life of a reservation.
pub const LONGEST: i128 = 24 * 3_600_000;

/// Amounts by unit.
pub type Amounts = BTreeMap<String, i128>;

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

/// The error of an event on a reservation that has ended.
pub fn ended_error(how: How) -> Value {
    json!({"error": "reservation_ended", "ended": how.name()})
}

impl Model {
    /// How many slots of a concurrency counter are open at `t` if nothing but expiry happens until then.
    pub fn open_slots(&self, counter: &Identity, t: i128) -> i128 {
        let open = self.reservations.iter().filter(|r| r.ended(t).is_none());
        let slots = open.flat_map(|r| &r.held);
        slots.filter(|h| h.what == What::Slot && h.counter == *counter).count() as i128
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
