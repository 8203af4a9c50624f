//! The store is truth, the engine is derived: one that was told of every change answers as one built from the store.

use crate::harness::{MINUTE, POLICY, Plane, account, decide, id, key, new_account, new_sub};
use quotagate::domain::ids::PolicyId;
use quotagate::domain::quantity::Quota;
use quotagate::engine::Engine;
use quotagate::services::clamps::{self, NewClamp};
use quotagate::services::overrides::{self, NewOverride};
use quotagate::services::records::ScopeRecord;
use quotagate::services::tier::{self, NewPin};
use quotagate::services::tiers::{self, NewTierQuota};
use quotagate::services::usage::{self, Selector};
use quotagate::services::{Error, accounts, caps, policies, sub_accounts};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeSet;

const MAINS: [&str; 3] = ["acme", "beta", "gamma"];
const SUBS: [&str; 4] = ["s1", "s2", "s3", "s4"];
const RESOURCES: [&str; 3] = ["MiniMax-M2", "music-2.0", "voice-cloning"];
const TIERS: [&str; 4] = ["free", "paid", "vip", "gold"];
const LIMITS: [(&str, &str); 6] =
    [("text.m2", "rpm"), ("text.m2", "tpm"), ("text.m2", "rpx"), ("music", "rpm"), ("music", "conn"), ("voice", "rpm")];

struct Random(StdRng);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0.random_range(0..most)
    }

    fn of<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    fn any_account(&mut self) -> &'static str {
        if self.below(2) == 0 { self.of(&MAINS) } else { self.of(&SUBS) }
    }

    fn tier(&mut self) -> PolicyId {
        id(self.of(&TIERS))
    }

    fn limit(&mut self) -> quotagate::domain::account::LimitKey {
        let (group, limit) = LIMITS[self.below(LIMITS.len())];
        key(group, limit)
    }

    fn quota(&mut self) -> Quota {
        match self.below(8) {
            0 => Quota::Blocked,
            1 => Quota::Unlimited,
            n => Quota::Units(n as u64 * 2),
        }
    }

    fn time(&mut self, now: i64) -> Option<i64> {
        (self.below(3) > 0).then(|| now + self.below(10) as i64 * MINUTE / 2)
    }

    fn yaml(&mut self) -> String {
        let mut yaml = POLICY.replace("free: 3,", &format!("free: {},", 1 + self.below(30)));
        if self.below(3) == 0 {
            yaml = yaml.replace(
                "{id: rpm, unit: requests, window: 1m, quotas: {free: blocked",
                "{id: rpx, unit: requests, window: 1m, quotas: {free: blocked",
            );
        }
        if self.below(3) == 0 {
            yaml = yaml.replace("resources: [MiniMax-M2]", "resources: [MiniMax-M2, Other]\n    share: resource");
        }
        if self.below(3) == 0 {
            yaml = yaml.replacen("window: 1m", "window: 2m", 1);
        }
        if self.below(4) == 0 {
            yaml = yaml.replace(", {id: vip}", "").replace(", vip: 1000", "").replace(", vip: 20000000", "");
            yaml = yaml.replace(", vip: 240", "").replace(", vip: 20}", "}").replace(", vip: 60", "");
        }
        yaml
    }
}

/// One change or a few decisions; what is refused is refused for good reason.
fn step(plane: &mut Plane, random: &mut Random) -> Result<(), Error> {
    let services = &plane.services;
    let main = account(random.of(&MAINS));
    let any = account(random.any_account());
    let tag = |id| accounts::get(services, id, plane.now).map(|found| found.revision);
    match random.below(16) {
        0 => {
            let tier = (random.below(2) == 0).then(|| random.tier());
            let new = accounts::NewAccount { tier, ..new_account(main.as_str()) };
            accounts::create(services, &plane.context(), new).map(drop)
        }
        1 => sub_accounts::create(services, &plane.context(), &main, new_sub(random.of(&SUBS))).map(drop),
        2 => {
            let patch = accounts::AccountPatch {
                tier: Some((random.below(3) > 0).then(|| random.tier())),
                ..accounts::AccountPatch::default()
            };
            accounts::patch(services, &plane.on(tag(&main)?), &main, &patch).map(drop)
        }
        3 => accounts::suspend(services, &plane.context(), &any, "why").map(drop),
        4 => accounts::resume(services, &plane.context(), &any, "why").map(drop),
        5 => {
            let caps = (0..random.below(4)).map(|_| (random.limit(), random.quota())).collect();
            caps::replace(services, &plane.on(tag(&any)?), &any, &caps).map(drop)
        }
        6 => {
            let pin = NewPin { tier: random.tier(), until_ms: random.time(plane.now), reason: "why".to_owned() };
            tier::pin(services, &plane.on(tag(&main)?), &main, &pin).map(drop)
        }
        7 => tier::unpin(services, &plane.on(tag(&main)?), &main, None).map(drop),
        8 => {
            let expires_at_ms = random.time(plane.now);
            let new = NewOverride {
                account: main,
                key: random.limit(),
                quota: random.quota(),
                starts_at_ms: random.time(plane.now),
                expires_at_ms,
                permanent: expires_at_ms.is_none(),
                reason: "why".to_owned(),
            };
            overrides::create(services, &plane.context(), &new).map(drop)
        }
        9 => {
            let all = overrides::list(services, &Default::default(), &paging(), plane.now)?.items;
            let Some(one) = all.get(random.below(all.len().max(1))) else { return Ok(()) };
            overrides::revoke(services, &plane.context(), &one.value.id, "why").map(drop)
        }
        10 => {
            let expires_at_ms = random.time(plane.now);
            let scope = match random.below(3) {
                0 => ScopeRecord::All,
                1 => ScopeRecord::Tier(random.tier()),
                _ => ScopeRecord::Account(main),
            };
            let new = NewClamp {
                key: random.limit(),
                scope,
                quota: random.quota(),
                expires_at_ms,
                permanent: expires_at_ms.is_none(),
                reason: "why".to_owned(),
            };
            clamps::create(services, &plane.context(), &new).map(drop)
        }
        11 => {
            let all = clamps::list(services, &Default::default(), &paging(), plane.now)?.items;
            let Some(one) = all.get(random.below(all.len().max(1))) else { return Ok(()) };
            clamps::remove(services, &plane.on(one.revision), &one.value.id, None).map(drop)
        }
        12 => plane.publish(&random.yaml()).map(drop),
        13 => {
            let revisions = policies::list(services, &paging())?.items.len();
            policies::activate(services, &plane.context(), 1 + random.below(revisions) as u64, "").map(drop)
        }
        14 => {
            let new =
                NewTierQuota { tier: random.tier(), key: random.limit(), quota: random.quota(), reason: String::new() };
            tiers::set_quota(services, &plane.on(plane.policy_tag()), &new).map(drop)
        }
        _ => {
            let what = Selector { group: (random.below(2) == 0).then(|| id("text.m2")), limit: None };
            usage::reset(services, &plane.context(), &main, &what, "why").map(drop)
        }
    }
}

fn paging() -> quotagate::services::Paging {
    quotagate::services::Paging { after: None, size: 200 }
}

/// Everything that can be read of an engine at one moment.
fn state(engine: &Engine, now: i64) -> Vec<String> {
    let snapshot = engine.snapshot();
    let clamps: BTreeSet<_> =
        snapshot.clamps().filter(|clamp| !clamp.is_over(now)).map(|clamp| format!("{clamp:?}")).collect();
    let mut state = vec![
        format!("{} {:?} {clamps:?}", snapshot.revision, snapshot.policy.content_hash),
        format!("{:?} {}", engine.identities(), engine.accounts()),
    ];
    for account in MAINS.iter().chain(&SUBS) {
        state.push(format!("{account} {:?}", engine.explain(account, now)));
        state.push(format!("{account} {:?}", engine.standing(account, now)));
        let used = engine
            .usage(account, now)
            .map(|rows| rows.into_iter().filter(|row| row.state.used > 0).collect::<Vec<_>>());
        state.push(format!("{account} {used:?}"));
        for resource in RESOURCES {
            let status = engine.status(account, resource, now).map(|status| (status.group, status.limits));
            state.push(format!("{account} {resource} {status:?}"));
        }
    }
    state
}

fn same(live: &Engine, rebuilt: &Engine, now: i64, context: &str) {
    for (live, rebuilt) in state(live, now).into_iter().zip(state(rebuilt, now)) {
        assert_eq!(live, rebuilt, "{context}");
    }
}

#[test]
fn a_live_engine_answers_as_one_that_is_built_from_the_store() {
    for seed in 0..12 {
        let mut random = Random(StdRng::seed_from_u64(seed));
        let mut plane = Plane::empty();
        plane.publish(POLICY).unwrap();
        let mut done = 0;

        for round in 0..10 {
            for _ in 0..12 {
                done += usize::from(step(&mut plane, &mut random).is_ok());
                for _ in 0..3 {
                    let (who, what) = (random.any_account(), random.of(&RESOURCES[..1]));
                    decide(plane.engine(), who, what, plane.now);
                }
                plane.now += random.below(20_000) as i64;
            }
            assert_eq!(plane.following.trouble(), None);
            let rebuilt = plane.rebuilt();
            same(plane.engine(), &rebuilt, plane.now, &format!("seed {seed}, round {round}"));
        }

        assert!(done > 25, "seed {seed}: only {done} changes were made");
        // Later on too, when pins, overrides and clamps have begun and ended.
        for later in [0, MINUTE, 3 * MINUTE, 20 * MINUTE] {
            plane.now += later;
            same(plane.engine(), &plane.rebuilt(), plane.now, &format!("seed {seed}, {later} later"));
        }
        let (before, now) = (state(plane.engine(), plane.now), plane.now);
        let after = state(plane.restart().engine(), now);
        for (before, after) in before.into_iter().zip(after) {
            assert_eq!(before, after, "seed {seed}");
        }
    }
}
