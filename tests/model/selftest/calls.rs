//! What decides, settles, cancels and renewals reach.

use super::Step;
use super::invariants::{cost, newly_allowed, refusing, taken_part};
use super::reach::{Reach, kind};
use crate::reference::policy::{Algorithm, Quota, Rule};
use crate::reference::rate::{Seat, counts};
use crate::reference::reservation::{Held, How, What};
use crate::stats::Stats;

/// What a decide reaches.
pub fn decide(s: &Step, stats: &mut Stats) {
    if let Some(error) = s.answer["error"].as_str() {
        let how = s.answer["ended"].as_str().map_or(String::new(), |how| format!(" {how}"));
        stats.add(&format!("decide {error}{how}"));
        return;
    }
    let verdict = s.answer["decision"].as_str().expect("a decision");
    if s.answer["dry_run"] == true {
        stats.add(&format!("decide dry_run {verdict}"));
    } else if s.answer["replayed"] == true {
        stats.add("decide allow replayed");
    } else {
        stats.add(&format!("decide {verdict}"));
    }
    if let Some(reason) = s.answer["reason"].as_str() {
        stats.add(&format!("reason {reason}"));
    }
    let no_limits = s.answer["limits"].as_array().is_some_and(Vec::is_empty);
    stats.when(verdict == "allow" && no_limits, "decide allow unlisted");
    let id = s.answer["reservation"].as_str();
    let again = id.is_some_and(|id| s.before.reservations.iter().any(|r| r.id == id));
    stats.when(again && newly_allowed(s), "decide id free again");
    waits(s, stats);
    seats(s, stats);
}

fn waits(s: &Step, stats: &mut Stats) {
    let refusing = refusing(s);
    let retry = s.answer["retry_after_ms"].as_u64();
    stats.when(retry == Some(1), "retry after 1 ms");
    stats.when(s.answer.get("slot_expires_in_ms").is_some(), "slot expires");
    let named = s.answer["violated"].as_array().map_or(0, Vec::len);
    stats.when(refusing.len() > named, "violated twice, named once");
    for seat in &refusing {
        stats.when(seat.scope == "sub_account", "sub-account cap refuses");
        let rate = seat.rule != Rule::Concurrency;
        stats.when(rate && retry.is_some(), &format!("retry {}", kind(&seat.rule)));
        let passes = rate && !s.after.never(seat, cost(s.event, seat));
        stats.when(passes && retry.is_none(), "retry absent beside a refusing rate");
        if let (Rule::Rate { window, algorithm: Algorithm::Bucket, .. }, true) = (&seat.rule, passes) {
            let debt = s.after.bucket_at(seat, s.now).level > seat.burst * window;
            stats.when(debt, "retry of a debt");
        }
    }
}

fn seats(s: &Step, stats: &mut Stats) {
    let Some((account, resource)) = taken_part(s) else {
        return;
    };
    for seat in s.after.seats(&account, &resource, s.now) {
        stats.when(seat.quota == Quota::Unlimited, "quota unlimited");
        stats.when(seat.quota == Quota::Blocked, "quota blocked");
        stats.when(seat.scope == "sub_account", "sub-account limit");
        let offset = seat.counter.offset.is_some_and(|o| o != 0);
        stats.when(offset && s.after.used(&seat, s.now) > 0, "fixed window with offset");
        let charged = newly_allowed(s) && cost(s.event, &seat) > 1_000_000_000;
        stats.when(charged, "huge quota charged");
        bursts(s, &seat, stats);
        let bucket = kind(&seat.rule) == "bucket";
        let under = bucket && newly_allowed(s) && seat.quota == Quota::Unlimited && cost(s.event, &seat) > 0;
        stats.when(under, "charge under unlimited bucket");
    }
}

fn bursts(s: &Step, seat: &Seat, stats: &mut Stats) {
    let policy = &s.after.policy;
    let Some(limit) = policy.limit(&seat.counter.group, &seat.id).filter(|l| l.burst.is_some()) else {
        return;
    };
    let Quota::Of(q) = seat.quota else {
        return;
    };
    let tier = s.after.tier(s.after.main_of(&seat.counter.account), s.now);
    match limit.quotas[&tier] {
        Quota::Of(own) => stats.when(own != q, "burst scaled"),
        _ => stats.add("burst from a tier without integer"),
    }
}

/// What a settle, cancel or renewal reaches.
pub fn ends(s: &Step, reach: &Reach, stats: &mut Stats) {
    let op = s.event["op"].as_str().expect("an op");
    if let Some(error) = s.answer["error"].as_str() {
        let how = s.answer["ended"].as_str().map_or(String::new(), |how| format!(" {how}"));
        stats.add(&format!("{op} {error}{how}"));
        return;
    }
    let id = s.event["reservation"].as_str().expect("a reservation");
    let known = s.before.reservations.iter().find(|r| r.id == id && r.remembered(s.now));
    let known = known.expect("what was answered ok is known");
    if s.answer["replayed"] == true {
        stats.add("settle replayed");
        let late = matches!(known.end, Some((How::Settled, at)) if at == known.expires_at);
        stats.when(late, "settle late replayed");
        return;
    }
    if op == "renew" {
        let ttl = i128::from(s.event["ttl_ms"].as_u64().expect("a time to live"));
        stats.add("renew ok");
        stats.when(s.now + ttl > known.made_at + 86_400_000, "renew ok held at 24 h");
        return;
    }
    stats.add(if s.answer["late"] == true {
        "settle late"
    } else if op == "settle" {
        "settle ok"
    } else {
        "cancel ok"
    });
    let made_with = reach.held.iter().rev().find(|(made, _)| made == id).map_or(0, |(_, n)| *n);
    stats.when(made_with > known.held.len(), "settle skips a gone charge");
    for held in &known.held {
        corrected(s, held, stats);
    }
    let resource_group = s.after.policy.group_of(&known.resource);
    let slots = resource_group.is_some_and(|g| g.limits.iter().any(|l| l.rule == Rule::Concurrency));
    let holds = known.held.iter().any(|h| h.what == What::Slot);
    stats.when(made_with > known.held.len() && slots && !holds, "slot gone with its counter");
}

/// How one charge of a settled or cancelled reservation was corrected.
fn corrected(s: &Step, held: &Held, stats: &mut Stats) {
    let What::Charge { unit, amount, number, .. } = &held.what else {
        return;
    };
    let named = match unit.as_str() {
        "requests" | "tokens" => s.event[unit].as_u64(),
        other => s.event["units"][other].as_u64(),
    };
    let cancelled = s.event["op"] == "cancel";
    let new = if cancelled { 0 } else { named.map_or(*amount, i128::from) };
    let kind = kind(&held.counter.rule);
    let seat = s.before.seat_of(&held.counter, s.now);
    let Rule::Rate { window, algorithm, .. } = seat.rule else {
        return;
    };
    let bucket = |m: &crate::reference::Model| m.bucket_at(&seat, s.now);
    if new > *amount {
        stats.add(&format!("charge more {kind}"));
        if let (Algorithm::Bucket, Quota::Of(_)) = (algorithm, seat.quota) {
            let added = bucket(s.after).level - bucket(s.before).level;
            stats.when(added < (new - amount) * window, "charge more held at two bursts");
        }
        stats.when(algorithm == Algorithm::Bucket && seat.quota == Quota::Blocked, "charge more under blocked bucket");
        stats.when(matches!(seat.quota, Quota::Of(q) if s.after.used(&seat, s.now) > q), "charge more past the quota");
    } else if new < *amount {
        let what = if algorithm == Algorithm::Bucket {
            let back = bucket(s.after).left - bucket(s.before).left;
            match back {
                0 => "none",
                _ if back < (amount - new) * window => "held at what is left",
                _ if new == 0 => "all",
                _ => "partly",
            }
        } else {
            let charge = s.before.charges.iter().find(|c| c.number == *number).expect("it is not gone");
            match counts(&charge.counter, charge.at, s.now) {
                false => "none",
                true if new == 0 => "all",
                true => "partly",
            }
        };
        stats.add(&format!("give back {kind} {what}"));
    }
}
