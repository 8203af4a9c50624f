//! Evidence against a recount of the traffic that it is taken from.

use crate::harness::{MINUTE, Plane, START, account, id, key, refused, units};
use quotagate::domain::history::{Peak, Tally};
use quotagate::domain::ids::{Currency, PaymentRef};
use quotagate::domain::ledger::PaymentKind;
use quotagate::domain::quantity::Quota;
use quotagate::domain::raise_request::State;
use quotagate::engine::Options;
use quotagate::ids::Ids;
use quotagate::services::Services;
use quotagate::services::evidence::{
    self, EarlierLimit, EarlierRequest, Evidence, HistoryState, HourOfUsage, Page, PeakMinute, PoolShare, Reader,
    Snapshot, Usage, page,
};
use quotagate::services::overrides::{self, NewOverride};
use quotagate::services::payments::{self, NewPayment};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

pub fn plane() -> Plane {
    let plane = Plane::bounded(Options { most_accounts: 1_000, history: true, ..Options::default() });
    plane.publish(crate::harness::POLICY).unwrap();
    plane.create("acme");
    plane
}

/// Five weeks of minutes that differ in use and quota, with quiet ones between; kept by the test too.
fn traffic(plane: &mut Plane, random: &mut StdRng) -> BTreeMap<i64, Tally> {
    let mut minutes = BTreeMap::new();
    let first = START / MINUTE;
    let mut minute = first;
    while minute < first + 35 * 24 * 60 {
        let quota = if minute < first + 20 * 24 * 60 { 300 } else { 500 };
        let used = random.random_range(1..=quota);
        let denied = if used * 100 > quota * 97 { random.random_range(1..9) } else { 0 };
        let tally = Tally { admitted: used as i64, denied, peak: Peak { used, quota: units(quota) } };
        plane.history.add(&account("acme"), minute, key("text.m2", "rpm"), &tally);
        minutes.insert(minute, tally);
        minute += random.random_range(1..90);
        if random.random_range(0..200) == 0 {
            minute += random.random_range(0..3 * 24 * 60);
        }
        if random.random_range(0..40) == 0 {
            plane.now = minute * MINUTE;
            plane.history.write(plane.now, Duration::from_secs(5)).unwrap();
            while plane.history.tidy(plane.now).unwrap() {}
        }
    }
    plane.now = (first + 35 * 24 * 60) * MINUTE + 12_345;
    minutes
}

fn take(plane: &Plane, limits: &[&str]) -> Evidence {
    let limits: Vec<_> = limits.iter().map(|limit| id(limit)).collect();
    evidence::take(&plane.services, &account("acme"), (&id("text.m2"), &limits), plane.now).unwrap()
}

/// At least so many tenths of the quota.
fn reached(tally: &Tally, tenths: u64) -> bool {
    tally.peak.quota.units().is_some_and(|quota| tally.peak.used * 10 >= quota * tenths)
}

fn compare(evidence: &Evidence, usage: &Usage, all: &BTreeMap<i64, Tally>) {
    let (from, to) = (evidence.span.from_ms, evidence.span.to_ms);
    let minutes: BTreeMap<i64, Tally> = all.range(from / MINUTE..to / MINUTE).map(|(at, it)| (*at, *it)).collect();
    let count = |keep: &dyn Fn(&Tally) -> bool| minutes.values().filter(|tally| keep(tally)).count() as u64;
    assert_eq!(usage.active_minutes, minutes.len() as u64);
    assert_eq!(usage.denied, minutes.values().map(|tally| tally.denied).sum::<u64>());
    assert_eq!(usage.minutes_at_80, count(&|tally| reached(tally, 8)));
    assert_eq!(usage.minutes_at_100, count(&|tally| reached(tally, 10)));
    let peak = minutes.iter().fold(None, |best: Option<(i64, Peak)>, (minute, tally)| match best {
        Some((_, peak)) if tally.peak <= peak => best,
        _ => Some((*minute, tally.peak)),
    });
    let (minute, Peak { used, quota }) = peak.unwrap();
    let utilisation = Peak { used, quota }.utilisation();
    assert_eq!(usage.peak, Some(PeakMinute { at_ms: minute * MINUTE, used, quota, utilisation }));
    for (percent, said) in [(95, usage.utilisation_p95), (99, usage.utilisation_p99)] {
        let mut parts: Vec<u32> = minutes.values().filter_map(|tally| tally.peak.utilisation()).collect();
        parts.sort_unstable();
        let exact = parts[(parts.len() * percent).div_ceil(100) - 1];
        let said = said.unwrap();
        assert!(said <= exact && exact - said <= said / 8, "{said} for {exact}");
    }
    let mut base = None;
    for (number, week) in usage.weeks.iter().enumerate() {
        let begins = from + number as i64 * 7 * DAY;
        let sum = |of: &dyn Fn(&Tally) -> u64| {
            minutes.range(begins / MINUTE..(begins + 7 * DAY) / MINUTE).map(|(_, tally)| of(tally)).sum::<u64>()
        };
        let admitted = sum(&|tally| tally.admitted as u64);
        assert_eq!((week.from_ms, week.to_ms), (begins, begins + 7 * DAY));
        assert_eq!((week.admitted, week.denied), (admitted, sum(&|tally| tally.denied)));
        let growth = |base: u64| (admitted as i64 - base as i64).checked_mul(1_000).unwrap().div_euclid(base as i64);
        assert_eq!(week.growth_permille, base.filter(|base| *base > 0).map(growth));
        base = Some(admitted);
    }
    let mut days = vec![None; 28];
    let mut hours: BTreeMap<u16, Tally> = BTreeMap::new();
    for (minute, tally) in &minutes {
        let day = &mut days[((minute * MINUTE - from) / DAY) as usize];
        *day = (*day).max(tally.peak.utilisation());
        hours.entry(((minute * MINUTE - from) / HOUR) as u16).or_insert(Tally::NONE).add(tally);
    }
    assert_eq!(usage.daily_peaks, days);
    let hours: Vec<_> = hours
        .into_iter()
        .map(|(hour, tally)| HourOfUsage(hour, tally.peak.used, tally.peak.quota, tally.admitted as u64, tally.denied))
        .collect();
    assert_eq!(usage.hours, hours);
}

#[test]
fn evidence_equals_a_recount_of_five_weeks_of_traffic() {
    let mut plane = plane();
    let minutes = traffic(&mut plane, &mut StdRng::seed_from_u64(5));

    let evidence = take(&plane, &["rpm", "tpm"]);

    assert_eq!(evidence.span.to_ms - evidence.span.from_ms, 28 * DAY);
    assert!(evidence.span.to_ms > plane.now && evidence.span.to_ms - plane.now <= HOUR);
    assert!(evidence.span.whole);
    assert_eq!(evidence.history, HistoryState::On);
    let rpm = evidence.limit(&id("rpm")).unwrap().usage.as_ref().unwrap();
    compare(&evidence, rpm, &minutes);
    let unused = evidence.limit(&id("tpm")).unwrap().usage.as_ref().unwrap();
    assert_eq!((unused.active_minutes, unused.peak, unused.hours.len()), (0, None, 0));
    assert_eq!((unused.weeks.len(), unused.weeks[3].growth_permille), (4, None));
    assert_eq!(unused.daily_peaks, [None; 28]);
}

#[test]
fn decisions_are_in_evidence_at_once_and_a_young_history_says_so() {
    let plane = plane();
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 5), 3);

    let evidence = take(&plane, &["rpm"]);

    let usage = evidence.limits[0].usage.as_ref().unwrap();
    assert_eq!((usage.admitted, usage.denied, usage.minutes_at_80, usage.minutes_at_100), (3, 2, 1, 1));
    assert_eq!(usage.daily_peaks.last(), Some(&Some(10_000)));
    assert!(!evidence.span.whole);
    assert_eq!(evidence.span.first_ms, Some(plane.now.div_euclid(HOUR) * HOUR));
}

#[test]
fn the_quota_in_force_is_explained() {
    let mut plane = plane();
    let new = NewOverride {
        account: account("acme"),
        key: key("text.m2", "rpm"),
        quota: units(10),
        starts_at_ms: None,
        expires_at_ms: Some(plane.now + DAY),
        permanent: false,
        reason: "launch".to_owned(),
    };
    let made = overrides::create(&plane.services, &plane.context(), &new).unwrap().value;

    let of = |plane: &Plane| {
        let limit = take(plane, &["rpm"]).limits.remove(0);
        let sources = limit.sources.iter().map(|it| (it.source.clone(), it.quota, it.outcome.clone())).collect();
        let unit = limit.unit.unwrap().to_string();
        let origin = limit.sources[0].origin.clone();
        assert_eq!((unit.as_str(), limit.window_ms, limit.tier_quota), ("requests", Some(MINUTE), units(3)));
        (limit.quota, sources, origin)
    };
    let line = |source: &str, quota, outcome: &str| (source.to_owned(), units(quota), outcome.to_owned());
    let (quota, sources, origin): (Quota, Vec<_>, String) = of(&plane);
    assert_eq!((quota, sources), (units(10), vec![line("override", 10, "set"), line("tier", 3, "shadowed")]));
    assert_eq!(origin, format!("{}: launch", made.id));
    plane.now += DAY;
    let (quota, sources, _): (Quota, Vec<_>, String) = of(&plane);
    assert_eq!((quota, sources), (units(3), vec![line("override", 10, "inactive"), line("tier", 3, "set")]));
}

#[test]
fn what_was_paid_and_paid_back_counts_by_the_time_it_is_taken() {
    let plane = plane();
    let pay = |kind, event: &str, payment: &str, amount, occurred_at_ms| {
        let new = NewPayment {
            account: account("acme"),
            kind,
            event_id: PaymentRef::parse(event).unwrap(),
            payment_id: PaymentRef::parse(payment).unwrap(),
            amount,
            currency: (kind == PaymentKind::TopUp).then(|| Currency::parse("CNY").unwrap()),
            occurred_at_ms: Some(occurred_at_ms),
        };
        payments::record(&plane.services, &plane.context(), &new).unwrap();
    };
    pay(PaymentKind::TopUp, "e1", "p1", 1_000, plane.now - 9 * DAY);
    pay(PaymentKind::Refund, "e2", "p1", 700, plane.now - 2 * DAY);
    pay(PaymentKind::Chargeback, "e3", "p1", 700, plane.now - DAY);
    pay(PaymentKind::TopUp, "e4", "p2", 50, plane.now - DAY);
    // Without its top-up it is not there.
    pay(PaymentKind::Refund, "e5", "p3", 5, plane.now - 1);

    let facts = take(&plane, &["rpm"]).account;

    let cny = Currency::parse("CNY").unwrap();
    assert_eq!(facts.net_paid, BTreeMap::from([(cny.clone(), 50)]));
    assert_eq!(facts.refunded, BTreeMap::from([(cny, 1_000)]));
    assert_eq!((facts.refunds, facts.last_refund_ms), (2, Some(plane.now - DAY)));
    assert_eq!((facts.created_at_ms, facts.tier, facts.suspended), (START, id("free"), false));
}

#[test]
fn a_stored_snapshot_reads_back_as_the_same_and_tells_when_it_was_changed() {
    let mut plane = plane();
    traffic(&mut plane, &mut StdRng::seed_from_u64(6));
    let mut evidence = take(&plane, &["rpm", "tpm"]);
    evidence.earlier.push(EarlierRequest {
        id: "rr_1".to_owned(),
        group: id("text.m2"),
        state: State::Denied,
        filed_at_ms: START,
        closed_at_ms: Some(START + DAY),
        limits: vec![EarlierLimit { limit: id("rpm"), wanted: units(90), granted: None }],
        reason: Some("unproven".to_owned()),
    });
    let snapshot = evidence.freeze();

    let text = serde_json::to_string(&snapshot).unwrap();
    let mut read: Snapshot = serde_json::from_str(&text).unwrap();

    assert_eq!(read, snapshot);
    assert!(read.verify());
    assert_eq!(snapshot.hash.len(), 64);
    // Sorted keys without white space, so that others can compute it too.
    let canonical = snapshot.evidence.canonical_json();
    assert!(
        canonical.starts_with(r#"{"account":{"created_at_ms":1790000000000,"id":"acme","net_paid":{},"#),
        "{canonical}"
    );
    read.evidence.limits[0].usage.as_mut().unwrap().denied += 1;
    assert!(!read.verify());
}

#[test]
fn without_a_history_all_else_is_there_and_it_is_said() {
    let plane = plane();
    let services = Services::new(plane.store.clone(), Arc::clone(plane.engine()), Ids::seeded(3));
    let (group, limits) = (id("text.m2"), [id("rpm")]);

    let evidence = evidence::take(&services, &account("acme"), (&group, &limits), plane.now).unwrap();

    assert_eq!(evidence.history, HistoryState::Off);
    assert_eq!((evidence.limits[0].quota, &evidence.limits[0].usage), (units(3), &None));
    assert!(!evidence.span.whole);
}

#[test]
fn a_sub_account_has_its_main_accounts_evidence() {
    let plane = plane();
    plane.create_sub("acme", "acme-eu");
    let (group, limits) = (id("text.m2"), [id("rpm")]);

    let of_sub = evidence::take(&plane.services, &account("acme-eu"), (&group, &limits), plane.now).unwrap();

    assert_eq!(of_sub, take(&plane, &["rpm"]));
    assert_eq!(of_sub.account.id, account("acme"));
}

#[test]
fn evidence_of_what_is_not_there_is_refused() {
    let plane = plane();
    let ask = |of: &str, group: &str, limit: &str| {
        refused(evidence::take(&plane.services, &account(of), (&id(group), &[id(limit)]), plane.now))
    };

    assert_eq!(ask("nobody", "text.m2", "rpm"), "no account");
    assert_eq!(ask("acme", "video", "rpm"), "no group");
    assert_eq!(ask("acme", "text.m2", "conn"), "no limit");
}

#[test]
fn the_page_shows_the_newest_with_its_plots_and_lets_no_markup_through() {
    let mut plane = plane();
    traffic(&mut plane, &mut StdRng::seed_from_u64(7));
    let hostile = "<script>alert(1)</script>\"' &";
    let mut evidence = take(&plane, &["rpm", "tpm"]);
    evidence.limits[0].sources[0].origin = hostile.to_owned();
    evidence.earlier.push(EarlierRequest {
        id: hostile.to_owned(),
        group: id("text.m2"),
        state: State::PartiallyApproved,
        filed_at_ms: START,
        closed_at_ms: Some(START + DAY),
        limits: vec![EarlierLimit { limit: id("rpm"), wanted: units(900), granted: Some(units(500)) }],
        reason: Some(hostile.to_owned()),
    });
    let first = take(&plane, &["rpm"]).freeze();
    let mut changed = evidence.freeze();
    let wanted = [(id("rpm"), units(900))];

    let shown_to = |reader: Reader, snapshots: &[Snapshot]| {
        page(&Page { heading: hostile, snapshots, wanted: &wanted, reader, words: &[("use case", hostile)] })
    };
    let of = |snapshots: &[Snapshot]| shown_to(Reader::Operator, snapshots);
    let shown = of(&[first.clone(), changed.clone()]);

    assert!(!shown.contains("<script") && !shown.contains("<style>\n<"), "{shown}");
    assert!(!shown.contains("src=") && !shown.contains("http:") && !shown.contains(" style="));
    assert!(shown.contains(&format!("<style>{}</style>", evidence::STYLE)));
    assert_eq!(shown.matches("<svg ").count(), 2, "use and denials of the one limit that was used");
    assert_eq!(shown.matches("<details>").count(), 1);
    assert!(shown.contains(&changed.hash) && shown.contains(&first.hash));
    assert!(shown.contains("asked for <b>900</b> (300.00 times it)"));
    assert!(!shown.contains("This is not what hashed"));
    changed.evidence.account.refunds += 1;
    assert!(of(&[changed]).contains("This is not what hashed"));
    let mut pooled = first;
    pooled.evidence.limits[0].pool =
        Some(PoolShare { capacity: 7_000, promised: 5, accounts: 1, own: 0, unlimited: 0, complete: true });
    assert!(shown_to(Reader::Operator, std::slice::from_ref(&pooled)).contains("Of a pool of <b>7,000</b>"));
    let theirs = shown_to(Reader::Customer, std::slice::from_ref(&pooled));
    assert!(!theirs.contains("7,000") && !theirs.contains("not what hashed"));
    assert!(of(&[]).contains("No evidence was taken"));
    let young = take(&self::plane(), &["rpm"]).freeze();
    assert!(of(&[young]).contains("Nothing was used in these 28 days"));
}

#[test]
fn a_pool_tells_what_overrides_promise_of_it_now_and_later() {
    let mut plane = plane();
    let pools = "pools:\n  - {group: text.m2, limit: rpm, capacity: 2000}\n";
    plane.publish(&format!("{}{pools}", crate::harness::POLICY)).unwrap();
    for name in ["beta", "gamma", "delta"] {
        plane.create(name);
    }
    let promise = |plane: &Plane, of: &str, limit: &str, quota, from_day: Option<i64>, to_day: i64| {
        let new = NewOverride {
            account: account(of),
            key: key("text.m2", limit),
            quota,
            starts_at_ms: from_day.map(|day| plane.now + day * DAY),
            expires_at_ms: Some(plane.now + to_day * DAY),
            permanent: false,
            reason: "launch".to_owned(),
        };
        overrides::create(&plane.services, &plane.context(), &new).unwrap().value.id
    };
    promise(&plane, "acme", "rpm", units(100), None, 10);
    // One follows the other, so the higher one counts.
    promise(&plane, "acme", "rpm", units(150), Some(10), 20);
    promise(&plane, "beta", "rpm", units(400), Some(5), 9);
    promise(&plane, "beta", "tpm", units(1_000_000), None, 9);
    let revoked = promise(&plane, "gamma", "rpm", units(800), None, 9);
    overrides::revoke(&plane.services, &plane.context(), &revoked, "mistake").unwrap();
    promise(&plane, "delta", "rpm", Quota::Blocked, None, 9);

    let share = |plane: &Plane| {
        let evidence = take(plane, &["rpm", "tpm"]);
        assert_eq!(evidence.limits[1].pool, None);
        evidence.limits[0].pool.unwrap()
    };
    let expected = PoolShare { capacity: 2_000, promised: 550, accounts: 2, own: 150, unlimited: 0, complete: true };
    assert_eq!(share(&plane), expected);
    promise(&plane, "gamma", "rpm", Quota::Unlimited, None, 9);
    assert_eq!(share(&plane), PoolShare { unlimited: 1, ..expected });
    plane.now += 9 * DAY;
    assert_eq!(share(&plane), PoolShare { promised: 150, accounts: 1, ..expected });
    // The overrides are dormant once the limit counts in another window.
    let hourly = crate::harness::POLICY.replacen("window: 1m", "window: 1h", 1);
    plane.publish(&format!("{hourly}{pools}")).unwrap();
    assert_eq!(share(&plane), PoolShare { promised: 0, accounts: 0, own: 0, ..expected });
}
