//! What must hold after every event, checked in other ways than the model answers.

use super::Step;
use crate::reference::Model;
use crate::reference::policy::{Algorithm, Quota, Rule};
use crate::reference::rate::Seat;
use serde_json::Value;

/// Checks one event.
pub fn check(s: &Step) {
    nothing_changed_where_nothing_may(s);
    for charge in &s.after.charges {
        assert!(charge.amount >= 0, "a charge was given back more than once");
    }
    buckets_keep_what_they_took(s);
    let Some((account, resource)) = taken_part(s) else {
        return;
    };
    for (seat, shown) in s.after.seats(&account, &resource, s.now).iter().zip(limits(s)) {
        used_is_the_sum(s.after, seat, shown, s.now);
        reset_is_exact(s.after, seat, shown, s.now);
        if newly_allowed(s) {
            fits(s.after, seat, s.now);
        }
    }
    if s.answer["decision"] == "deny" {
        waits_are_exact(s);
    }
}

fn limits<'a>(s: &'a Step) -> impl Iterator<Item = &'a Value> {
    s.answer["limits"].as_array().into_iter().flatten()
}

/// Whether this event is a decide that charged.
pub fn newly_allowed(s: &Step) -> bool {
    s.answer["decision"] == "allow" && s.answer["replayed"] != true && s.answer["dry_run"] != true
}

/// The account and resource that an answer's limits are about.
pub fn taken_part(s: &Step) -> Option<(String, String)> {
    let own = |name: &str| s.event[name].as_str().map(str::to_string);
    let pair = match s.event["reservation"].as_str() {
        Some(id) => {
            let known = s.before.reservations.iter().find(|r| r.id == id && r.remembered(s.now))?;
            (known.account.clone(), known.resource.clone())
        }
        None => (own("account")?, own("resource")?),
    };
    s.after.account(&pair.0)?;
    Some(pair)
}

fn nothing_changed_where_nothing_may(s: &Step) {
    let quiet = s.event["op"] == "status"
        || s.answer["decision"] == "deny"
        || s.answer["dry_run"] == true
        || s.answer["replayed"] == true
        || s.answer.get("error").is_some();
    let calls = ["decide", "settle", "cancel", "renew", "status", "policy", "account"];
    let aside = !calls.contains(&s.event["op"].as_str().unwrap_or_default());
    if quiet || aside {
        assert_eq!(s.before.charges, s.after.charges);
        assert_eq!(s.before.buckets, s.after.buckets);
        assert_eq!(s.before.reservations, s.after.reservations);
    }
}

/// Level and `D` together only grow by what is charged.
fn buckets_keep_what_they_took(s: &Step) {
    for (counter, after) in &s.after.buckets {
        let before = s.before.buckets.iter().find(|(c, _)| c == counter);
        let before = before.map_or(0, |(_, b)| b.level + b.left);
        let total = after.level + after.left;
        assert!(total >= before && after.level >= 0 && after.left >= 0);
        if s.event["op"] != "decide" && s.event["op"] != "settle" {
            assert_eq!(total, before);
        }
    }
}

fn used_is_the_sum(model: &Model, seat: &Seat, shown: &Value, now: i128) {
    assert_eq!(shown["id"], *seat.id);
    let used = i128::from(shown["used"].as_u64().expect("used is shown"));
    let mine = model.charges.iter().filter(|c| c.counter == seat.counter);
    match seat.rule {
        Rule::Rate { window: w, algorithm: Algorithm::Fixed, .. } => {
            let offset = seat.counter.offset.unwrap_or(0);
            let start = now - (now + offset).rem_euclid(w);
            let sum: i128 = mine.filter(|c| start <= c.at && c.at < start + w).map(|c| c.amount).sum();
            assert_eq!(used, sum);
        }
        Rule::Rate { window: w, algorithm: Algorithm::Sliding, .. } => {
            let must: i128 = mine.clone().filter(|c| 60 * (now - c.at) <= 59 * w).map(|c| c.amount).sum();
            let may: i128 = mine.clone().filter(|c| now - c.at < w).map(|c| c.amount).sum();
            assert!(must <= used && used <= may);
            let end = |at: i128| ((60 * at).div_euclid(w) + 60) * w;
            let sum: i128 = mine.filter(|c| 60 * now < end(c.at)).map(|c| c.amount).sum();
            assert_eq!(used, sum);
        }
        Rule::Rate { window: w, algorithm: Algorithm::Bucket, .. } => {
            assert_eq!(
                used,
                model.bucket_at(seat, now).level.div_euclid(w) + i128::from(model.bucket_at(seat, now).level % w > 0)
            );
        }
        Rule::Concurrency => {
            let open = model.reservations.iter().filter(|r| r.end.is_none() && now < r.expires_at);
            let here = open.filter(|r| r.held.iter().any(|h| h.counter == seat.counter));
            assert_eq!(used, here.count() as i128);
        }
    }
}

fn reset_is_exact(model: &Model, seat: &Seat, shown: &Value, now: i128) {
    let Some(d) = shown["reset_after_ms"].as_u64() else {
        let stuck = seat.quota == Quota::Blocked && shown["used"] != 0;
        assert!(seat.rule == Rule::Concurrency || stuck);
        return;
    };
    let d = i128::from(d);
    assert_eq!(model.used(seat, now + d), 0);
    assert!(d == 0 || model.used(seat, now + d - 1) > 0);
    assert!(d < 3 || model.used(seat, now + d / 3) > 0);
}

/// What was just charged is within every quota that is a number.
fn fits(model: &Model, seat: &Seat, now: i128) {
    let Quota::Of(q) = seat.quota else {
        assert_eq!(seat.quota, Quota::Unlimited);
        return;
    };
    match seat.rule {
        Rule::Rate { window, algorithm: Algorithm::Bucket, .. } => {
            assert!(model.bucket_at(seat, now).level <= seat.burst * window);
        }
        _ => assert!(model.used(seat, now) <= q),
    }
}

/// What each limit takes of a decide, as the trace says it.
pub fn cost(event: &Value, seat: &Seat) -> i128 {
    let Rule::Rate { unit, .. } = &seat.rule else {
        return 1;
    };
    let named = match unit.as_str() {
        "requests" => event["requests"].as_u64().unwrap_or(1),
        "tokens" => event["tokens"].as_u64().unwrap_or(0),
        other => event["units"][other].as_u64().unwrap_or(0),
    };
    i128::from(named)
}

/// The limits that refuse a decide.
pub fn refusing(s: &Step) -> Vec<Seat> {
    let Some((account, resource)) = taken_part(s) else {
        return Vec::new();
    };
    if s.answer["decision"] != "deny" || s.answer["violated"] == Value::Array(Vec::new()) {
        return Vec::new();
    }
    let seats = s.after.seats(&account, &resource, s.now).into_iter();
    seats.filter(|seat| !s.after.admits(seat, cost(s.event, seat), s.now)).collect()
}

fn waits_are_exact(s: &Step) {
    let refusing = refusing(s);
    let rates: Vec<&Seat> = refusing.iter().filter(|seat| seat.rule != Rule::Concurrency).collect();
    let model = s.after;
    if let Some(d) = s.answer["retry_after_ms"].as_u64() {
        let d = i128::from(d);
        assert!(d >= 1);
        assert!(rates.iter().all(|seat| model.admits(seat, cost(s.event, seat), s.now + d)));
        assert!(d == 1 || rates.iter().any(|seat| !model.admits(seat, cost(s.event, seat), s.now + d - 1)));
        let plain = rates.iter().map(|seat| wait(model, seat, cost(s.event, seat), s.now));
        assert_eq!(plain.max(), Some(d));
    } else {
        let stuck = refusing.iter().any(|seat| model.never(seat, cost(s.event, seat)));
        assert!(stuck || rates.is_empty());
    }
    let slots = refusing.iter().filter(|seat| seat.rule == Rule::Concurrency && seat.quota != Quota::Blocked);
    let slots: Vec<&Seat> = slots.collect();
    assert_eq!(s.answer["slot_expires_in_ms"].is_null(), slots.is_empty());
    if let Some(d) = s.answer["slot_expires_in_ms"].as_u64() {
        let d = i128::from(d);
        let full = |seat: &&Seat, d: i128| !model.admits(seat, 1, s.now + d);
        assert!(slots.iter().all(|seat| !full(seat, d)) && slots.iter().any(|seat| full(seat, d - 1)));
    }
}

/// The wait of one rate limit by the formulas of the page, not by trying.
fn wait(model: &Model, seat: &Seat, cost: i128, now: i128) -> i128 {
    let Quota::Of(q) = seat.quota else {
        panic!("only a number can refuse and pass later");
    };
    let Rule::Rate { window: w, algorithm, .. } = seat.rule else {
        panic!("a slot has no retry");
    };
    match algorithm {
        Algorithm::Bucket => {
            let over = model.bucket_at(seat, now).level + cost * w - seat.burst * w;
            over.div_euclid(q) + i128::from(over % q > 0)
        }
        Algorithm::Fixed => w - (now + seat.counter.offset.unwrap_or(0)).rem_euclid(w),
        Algorithm::Sliding => {
            // Drop the oldest slots one by one until the cost fits.
            let mut mine: Vec<(i128, i128)> = model
                .charges
                .iter()
                .filter(|c| c.counter == seat.counter && c.amount > 0)
                .map(|c| ((60 * c.at).div_euclid(w), c.amount))
                .filter(|(slot, _)| *slot > (60 * now).div_euclid(w) - 60)
                .collect();
            mine.sort_unstable();
            let mut used: i128 = mine.iter().map(|(_, n)| n).sum();
            for (slot, n) in mine {
                used -= n;
                if used + cost <= q {
                    let end = (slot + 60) * w;
                    return end.div_euclid(60) + i128::from(end % 60 > 0) - now;
                }
            }
            panic!("a cost within the quota passes once nothing counts")
        }
    }
}
