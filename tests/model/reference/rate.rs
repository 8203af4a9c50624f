//! Section 3: the algorithms, answered by rescanning every charge.

use super::Model;
use super::policy::{Algorithm, Identity, Limit, Quota, Rule};
use serde_json::{Map, Value};

/// One charge ever made to a window counter.
#[derive(Clone, Debug, PartialEq)]
pub struct Charge {
    pub number: u64,
    pub counter: Identity,
    pub at: i128,
    pub amount: i128,
}

/// The state of one token bucket: `X`, when it was last brought, and `D`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bucket {
    pub level: i128,
    pub brought: i128,
    pub left: i128,
}

/// One limit as it takes part for one account and resource at one moment.
#[derive(Clone, Debug)]
pub struct Seat {
    pub id: String,
    pub scope: &'static str,
    pub rule: Rule,
    pub quota: Quota,
    pub burst: i128,
    pub counter: Identity,
}

/// The index of the fixed window that `t` is in.
pub fn window_index(counter: &Identity, window: i128, t: i128) -> i128 {
    (t + counter.offset.unwrap_or(0)).div_euclid(window)
}

/// The slot of a sliding window that `t` is in.
pub fn slot(window: i128, t: i128) -> i128 {
    (60 * t).div_euclid(window)
}

/// Whether a charge of this counter made at `at` counts at `t`.
pub fn counts(counter: &Identity, at: i128, t: i128) -> bool {
    match counter.rule {
        Rule::Rate { window, algorithm: Algorithm::Fixed, .. } => {
            window_index(counter, window, at) == window_index(counter, window, t)
        }
        Rule::Rate { window, algorithm: Algorithm::Sliding, .. } => {
            let now = slot(window, t);
            (now - 59..=now).contains(&slot(window, at))
        }
        _ => panic!("only windows keep charges"),
    }
}

/// The smallest `d >= from` with `holds(d)`, where `holds` stays true once it is.
pub fn first(from: i128, holds: impl Fn(i128) -> bool) -> i128 {
    if holds(from) {
        return from;
    }
    let mut step = 1;
    while !holds(from + step) {
        step *= 2;
    }
    let (mut no, mut yes) = (from, from + step);
    while yes - no > 1 {
        let middle = (no + yes) / 2;
        if holds(middle) {
            yes = middle;
        } else {
            no = middle;
        }
    }
    yes
}

/// A bucket brought to `t` with the quota in force.
pub fn bring(bucket: Bucket, quota: Quota, t: i128) -> Bucket {
    let level = match quota {
        Quota::Unlimited => 0,
        Quota::Blocked => bucket.level,
        Quota::Of(q) => (bucket.level - q * (t - bucket.brought)).max(0),
    };
    Bucket { level, brought: t, left: bucket.left + bucket.level - level }
}

impl Model {
    /// The limits that take part for an account on a resource, in the order of section 4.
    pub fn seats(&self, account: &str, resource: &str, now: i128) -> Vec<Seat> {
        let Some(group) = self.policy.group_of(resource) else {
            return Vec::new();
        };
        let sub = self.account(account).expect("the account is known");
        let main = self.main_of(account);
        let mut seats = Vec::new();
        for limit in &group.limits {
            let counter = self.policy.identity(&main.id, group, limit, resource);
            let quota = self.effective(main, &group.id, limit, now);
            seats.push(self.seat("account", limit, quota, counter, now));
        }
        for limit in &group.limits {
            if let Some(quota) = self.cap(&sub.id, &group.id, limit) {
                let counter = self.policy.identity(&sub.id, group, limit, resource);
                seats.push(self.seat("sub_account", limit, quota, counter, now));
            }
        }
        seats
    }

    fn seat(&self, scope: &'static str, limit: &Limit, quota: Quota, counter: Identity, now: i128) -> Seat {
        let main = self.main_of(&counter.account);
        Seat {
            id: limit.id.clone(),
            scope,
            rule: limit.rule.clone(),
            quota,
            burst: self.burst(main, limit, quota, now),
            counter,
        }
    }

    /// The seat that a counter has at `now`, by its own account.
    pub fn seat_of(&self, counter: &Identity, now: i128) -> Seat {
        let limit =
            self.policy.limit(&counter.group, &counter.limit).expect("a counter that is not gone has its limit");
        let main = self.main_of(&counter.account);
        if main.id == counter.account {
            let quota = self.effective(main, &counter.group, limit, now);
            self.seat("account", limit, quota, counter.clone(), now)
        } else {
            let quota = self
                .cap(&counter.account, &counter.group, limit)
                .expect("a cap that is gone takes its counters with it");
            self.seat("sub_account", limit, quota, counter.clone(), now)
        }
    }

    /// The cap of a sub-account for a limit, unless it is dormant.
    fn cap(&self, account: &str, group: &str, limit: &Limit) -> Option<Quota> {
        let account = self.account(account)?;
        account
            .caps
            .iter()
            .find(|c| c.group == group && c.limit == limit.id)
            .filter(|c| c.written_for == limit.rule.written_for())
            .map(|c| c.quota)
    }

    /// The state of a bucket brought to `t`, without keeping it.
    pub fn bucket_at(&self, seat: &Seat, t: i128) -> Bucket {
        let stored = self.buckets.iter().find(|(id, _)| *id == seat.counter);
        bring(stored.map_or(Bucket::default(), |(_, b)| *b), seat.quota, t)
    }

    /// Usage as reported, at `t`, if nothing else happens until then.
    pub fn used(&self, seat: &Seat, t: i128) -> i128 {
        match seat.rule {
            Rule::Concurrency => self.open_slots(&seat.counter, t),
            Rule::Rate { window, algorithm: Algorithm::Bucket, .. } => {
                (self.bucket_at(seat, t).level + window - 1) / window
            }
            Rule::Rate { .. } => self
                .charges
                .iter()
                .filter(|c| c.counter == seat.counter && counts(&c.counter, c.at, t))
                .map(|c| c.amount)
                .sum(),
        }
    }

    /// Whether a limit admits a cost at `t`, if nothing else happens until then.
    pub fn admits(&self, seat: &Seat, cost: i128, t: i128) -> bool {
        match (seat.quota, &seat.rule) {
            (Quota::Unlimited, _) => true,
            (Quota::Blocked, _) => false,
            (Quota::Of(q), Rule::Concurrency) => self.used(seat, t) < q,
            (Quota::Of(_), Rule::Rate { window, algorithm: Algorithm::Bucket, .. }) => {
                self.bucket_at(seat, t).level + cost * window <= seat.burst * window
            }
            (Quota::Of(q), Rule::Rate { .. }) => self.used(seat, t) + cost <= q,
        }
    }

    /// Whether a cost can never pass a limit while its quota is as it is.
    pub fn never(&self, seat: &Seat, cost: i128) -> bool {
        match (seat.quota, &seat.rule) {
            (Quota::Blocked, _) => true,
            (Quota::Unlimited, _) | (_, Rule::Concurrency) => false,
            (Quota::Of(_), Rule::Rate { algorithm: Algorithm::Bucket, .. }) => cost > seat.burst,
            (Quota::Of(q), Rule::Rate { .. }) => cost > q,
        }
    }

    /// When a limit that refuses a cost now would admit it.
    pub fn admits_after(&self, seat: &Seat, cost: i128, now: i128) -> i128 {
        first(1, |d| self.admits(seat, cost, now + d))
    }

    /// When usage would be zero, where that is defined.
    fn reset_after(&self, seat: &Seat, now: i128) -> Option<i128> {
        let stuck = seat.quota == Quota::Blocked
            && matches!(seat.rule, Rule::Rate { algorithm: Algorithm::Bucket, .. })
            && self.used(seat, now) > 0;
        if stuck || seat.rule == Rule::Concurrency {
            return None;
        }
        Some(first(0, |d| self.used(seat, now + d) == 0))
    }

    /// Charges a rate limit now, and returns the number of the charge, its place `P` and what it really added.
    pub fn charge(&mut self, seat: &Seat, cost: i128, now: i128) -> (u64, i128, i128) {
        let Rule::Rate { window, algorithm, .. } = seat.rule else {
            panic!("a slot is held by its reservation, not charged");
        };
        if algorithm != Algorithm::Bucket {
            self.next_charge += 1;
            self.charges.push(Charge {
                number: self.next_charge,
                counter: seat.counter.clone(),
                at: now,
                amount: cost,
            });
            return (self.next_charge, 0, cost);
        }
        let bucket = self.bucket_at(seat, now);
        let place = bucket.left + bucket.level;
        let level = match seat.quota {
            Quota::Unlimited => 0,
            _ => bucket.level.max((bucket.level + cost * window).min(2 * seat.burst * window)),
        };
        self.keep(&seat.counter, Bucket { level, ..bucket });
        (0, place, level - bucket.level)
    }

    /// Brings a bucket to `now` and keeps it so.
    pub fn bring_and_keep(&mut self, seat: &Seat, now: i128) {
        if matches!(seat.rule, Rule::Rate { algorithm: Algorithm::Bucket, .. }) {
            let bucket = self.bucket_at(seat, now);
            self.keep(&seat.counter, bucket);
        }
    }

    /// Keeps the state of a bucket.
    pub fn keep(&mut self, counter: &Identity, bucket: Bucket) {
        self.buckets.retain(|(id, _)| id != counter);
        self.buckets.push((counter.clone(), bucket));
    }

    /// The limits of an account on a resource as an answer shows them.
    pub fn limits(&self, account: &str, resource: &str, now: i128) -> Value {
        let seats = self.seats(account, resource, now);
        seats.iter().map(|s| self.shown(s, now)).collect()
    }

    fn shown(&self, seat: &Seat, now: i128) -> Value {
        let bucket = matches!(seat.rule, Rule::Rate { algorithm: Algorithm::Bucket, .. });
        let used = self.used(seat, now);
        let mut out = Map::new();
        out.insert("id".into(), seat.id.clone().into());
        out.insert("scope".into(), seat.scope.into());
        out.insert("quota".into(), seat.quota.json());
        if bucket && matches!(seat.quota, Quota::Of(_)) {
            out.insert("burst".into(), super::number(seat.burst));
        }
        out.insert("used".into(), super::number(used));
        let room = match seat.quota {
            Quota::Unlimited => None,
            Quota::Blocked => Some(0),
            Quota::Of(_) if bucket => Some((seat.burst - used).max(0)),
            Quota::Of(q) => Some((q - used).max(0)),
        };
        if let Some(room) = room {
            out.insert("remaining".into(), super::number(room));
        }
        if let Some(d) = self.reset_after(seat, now) {
            out.insert("reset_after_ms".into(), super::number(d));
        }
        Value::Object(out)
    }
}
