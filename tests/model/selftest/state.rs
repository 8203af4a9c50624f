//! What tiers, payments, overrides, clamps and caps reach.

use super::Step;
use super::invariants::taken_part;
use crate::reference::policy::Quota;
use crate::reference::tier::{Kind, counted, granted, reached};
use crate::stats::Stats;

/// Where the quotas of a decide come from.
pub fn sources(s: &Step, stats: &mut Stats) {
    let Some((account, resource)) = taken_part(s) else {
        return;
    };
    let m = s.after;
    let Some(group) = m.policy.group_of(&resource) else {
        return;
    };
    let main = m.main_of(&account);
    let tier = m.tier(main, s.now);
    for limit in &group.limits {
        let sig = limit.rule.written_for();
        let same = |g: &str, l: &str| g == group.id && l == limit.id;
        for o in m.overrides.iter().filter(|o| o.account == main.id && same(&o.group, &o.limit)) {
            let ended = o.expires_at.is_some_and(|end| end <= s.now);
            let name = match (o.written_for == sig, ended, s.now < o.starts_at) {
                (false, ..) => "override dormant",
                (true, true, _) => "override ended",
                (true, false, true) => "override to come",
                (true, false, false) => "override in force",
            };
            stats.add(name);
        }
        let mut free = m.clone();
        free.clamps.clear();
        let (with, without) =
            (m.effective(main, &group.id, limit, s.now), free.effective(main, &group.id, limit, s.now));
        assert!(with <= without);
        stats.when(with < without, "clamp lowers");
        for c in m.clamps.iter().filter(|c| same(&c.group, &c.limit)) {
            stats.when(c.written_for != sig, "clamp dormant");
            stats.when(c.tier.as_ref() == Some(&tier) && c.quota < without, "clamp of a tier");
            stats.when(c.account.as_ref() == Some(&main.id) && c.quota < without, "clamp of an account");
        }
        for c in m.account(&account).iter().flat_map(|a| &a.caps).filter(|c| same(&c.group, &c.limit)) {
            stats.when(c.written_for != sig, "cap dormant");
            stats.when(c.quota == Quota::Unlimited, "cap unlimited");
        }
    }
}

/// How the first account got its tier.
pub fn tiers(s: &Step, stats: &mut Stats) {
    let m = s.after;
    let Some(main) = m.account("acct-a") else {
        return;
    };
    let policy = &m.policy;
    let default = policy.rank(&policy.default_tier).expect("there is a default tier");
    if let Some((pin, until)) = &main.pin {
        let ended = until.is_some_and(|until| until <= s.now);
        stats.add(if ended { "tier pin ended" } else { "tier pinned" });
        stats.when(policy.rank(pin).is_none() && !ended, "tier pin unknown");
    }
    if let Some(floor) = &main.floor {
        stats.when(policy.rank(floor).is_none(), "tier floor unknown");
        stats.when(policy.rank(floor) > Some(default), "tier floor");
    }
    let events = counted(&m.payments, &main.id);
    for tier in &policy.tiers {
        let reached_at = |moment: i128| reached(tier, &events, main.made_at, moment);
        if reached_at(s.now) {
            stats.add("tier paid");
            stats.when(tier.reached_by.as_ref().is_some_and(|r| r.age > Some(0)), "tier by age too");
            continue;
        }
        let is_granted = granted(tier, &events, main.made_at, s.now);
        stats.when(is_granted, "tier grace");
        for e in events.iter().filter(|e| e.kind == Kind::Refund && e.moment <= s.now) {
            let lost = reached_at(e.moment - 1) && !reached_at(e.moment);
            let runs = s.now < e.moment + tier.grace;
            stats.when(lost && !runs && tier.grace > 0 && !is_granted, "tier grace over");
            stats.when(lost && runs && !is_granted, "tier grace ended by a chargeback");
        }
    }
}

/// What is special about a payment event.
pub fn payment(s: &Step, stats: &mut Stats) {
    if s.before.payments.len() == s.after.payments.len() {
        stats.add("payment sent again");
        return;
    }
    let new = s.after.payments.last().expect("one was added");
    let others = s.before.payments.iter().filter(|p| p.payment_id == new.payment_id && p.account == new.account);
    let takes = others.clone().filter(|p| p.kind != Kind::TopUp).count();
    stats.when(new.kind == Kind::TopUp && takes > 0, "refund before its top-up");
    stats.when(new.occurred_at > s.now, "payment in the future");
    if let Some(top_up) = others.clone().find(|p| p.kind == Kind::TopUp) {
        let taken: i128 = others.filter(|p| p.kind != Kind::TopUp).map(|p| p.amount).sum();
        stats.when(taken + new.amount > top_up.amount, "refunds above the top-up");
    }
}
