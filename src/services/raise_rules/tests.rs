use super::*;
use crate::domain::ids::AccountId;
use crate::services::evidence::{AccountFacts, HistoryState, Span};
use proptest::prelude::*;
use std::collections::BTreeMap;

const DAY: i64 = 86_400_000;
const NOW: i64 = 1_000 * DAY;

fn id(text: &str) -> PolicyId {
    PolicyId::parse(text).unwrap()
}

fn usage(daily_peaks: Vec<Option<u32>>) -> Usage {
    Usage {
        active_minutes: daily_peaks.iter().flatten().count() as u64,
        admitted: 0,
        denied: 0,
        peak: None,
        admitted_p95: 0,
        admitted_p99: 0,
        utilisation_p95: None,
        utilisation_p99: None,
        minutes_at_80: 0,
        minutes_at_100: 0,
        weeks: Vec::new(),
        daily_peaks,
        hours: Vec::new(),
    }
}

fn limit(name: &str, quota: u64) -> LimitEvidence {
    LimitEvidence {
        limit: id(name),
        unit: None,
        window_ms: None,
        algorithm: None,
        quota: Quota::Units(quota),
        burst: None,
        tier_quota: Quota::Units(100),
        sources: Vec::new(),
        usage: Some(usage(vec![None; 28])),
        pool: None,
    }
}

/// An account of 100 days with a refund 40 days ago, 200 `rpm` in force and 20 `conn`.
fn evidence() -> Evidence {
    let mut rpm = limit("rpm", 200);
    rpm.usage = Some(usage((0..28).map(|day| (day < 10).then_some(1_000 * (day + 1))).collect()));
    rpm.pool = Some(PoolShare { capacity: 1_000, promised: 900, accounts: 3, own: 200, unlimited: 0, complete: true });
    Evidence {
        taken_at_ms: NOW,
        revision: 1,
        group: id("text"),
        span: Span { from_ms: NOW - 28 * DAY, to_ms: NOW, first_ms: None, whole: true },
        history: HistoryState::On,
        account: AccountFacts {
            id: AccountId::parse("acme").unwrap(),
            created_at_ms: NOW - 100 * DAY,
            tier: id("paid"),
            suspended: false,
            net_paid: BTreeMap::new(),
            refunded: BTreeMap::new(),
            refunds: 1,
            last_refund_ms: Some(NOW - 40 * DAY),
        },
        limits: vec![rpm, limit("conn", 20)],
        earlier: Vec::new(),
    }
}

fn wanted(rpm: u64) -> Vec<(PolicyId, Quota)> {
    vec![(id("rpm"), Quota::Units(rpm))]
}

fn rule(name: &str, when: Vec<Clause>) -> RaiseRule {
    RaiseRule { id: id(name), note: None, when, answer: Answer::Approve { for_ms: 90 * DAY } }
}

/// What is measured of one clause, and whether it holds.
fn measured(clause: Clause, evidence: &Evidence, wanted: &[(PolicyId, Quota)]) -> Vec<(String, bool)> {
    let verdict = judge(&[rule("one", vec![clause])], evidence, wanted);
    verdict.rules[0].clauses.iter().map(|clause| (clause.measured.clone(), clause.holds)).collect()
}

#[test]
fn each_clause_says_what_was_measured_on_both_sides_of_its_bound() {
    let evidence = evidence();
    let cases = [
        (Clause::Groups(vec![id("music"), id("text")]), 300, "text", true),
        (Clause::Groups(vec![id("music")]), 300, "text", false),
        (Clause::Tiers(vec![id("paid")]), 300, "paid", true),
        (Clause::Tiers(vec![id("vip")]), 300, "paid", false),
        (Clause::AccountAgeAtLeast { ms: 100 * DAY }, 300, "100d", true),
        (Clause::AccountAgeAtLeast { ms: 100 * DAY + 1 }, 300, "100d", false),
        (Clause::NoRefundIn { ms: 40 * DAY }, 300, "the last 40d ago", true),
        (Clause::NoRefundIn { ms: 41 * DAY }, 300, "the last 40d ago", false),
        (Clause::AtMostPercent(150), 300, "150.00 %", true),
        (Clause::AtMostPercent(150), 301, "150.50 %", false),
        (Clause::AtMostPercentOfTier(300), 300, "300.00 %", true),
        (Clause::AtMostPercentOfTier(299), 300, "300.00 %", false),
        (Clause::PeakUse { percent: 60, days: 5 }, 300, "on 5 days", true),
        (Clause::PeakUse { percent: 61, days: 5 }, 300, "on 4 days", false),
        (Clause::PeakUseBelow { percent: 100 }, 300, "100.00 %", false),
        (Clause::PoolHasRoom, 300, "1,000 of 1,000 with this", true),
        (Clause::PoolHasRoom, 301, "1,001 of 1,000 with this", false),
    ];

    for (clause, asked, text, holds) in cases {
        let found = measured(clause.clone(), &evidence, &wanted(asked));
        assert_eq!(found, [(text.to_owned(), holds)], "{clause:?} {asked}");
    }
}

#[test]
fn what_cannot_be_measured_does_not_hold() {
    let mut evidence = evidence();
    let unknown = [("unknown".to_owned(), false)];
    let unlimited = [(id("rpm"), Quota::Unlimited)];
    for clause in [Clause::AtMostPercent(1_000_000), Clause::AtMostPercentOfTier(1_000_000), Clause::PoolHasRoom] {
        assert_eq!(measured(clause, &evidence, &unlimited), unknown);
    }
    assert_eq!(measured(Clause::AtMostPercent(150), &evidence, &[(id("tpm"), Quota::Units(1))]), unknown);
    let conn = [(id("conn"), Quota::Units(21))];
    assert_eq!(measured(Clause::PoolHasRoom, &evidence, &conn), unknown);
    assert_eq!(measured(Clause::PeakUseBelow { percent: 1 }, &evidence, &conn), [("0.00 %".to_owned(), true)]);
    evidence.limits[0].quota = Quota::Blocked;
    assert_eq!(measured(Clause::AtMostPercent(150), &evidence, &wanted(300)), unknown);
    let pool = evidence.limits[0].pool.as_mut().unwrap();
    pool.complete = false;
    assert_eq!(measured(Clause::PoolHasRoom, &evidence, &wanted(201)), unknown);
    let pool = evidence.limits[0].pool.as_mut().unwrap();
    (pool.complete, pool.unlimited) = (true, 1);
    assert_eq!(
        measured(Clause::PoolHasRoom, &evidence, &wanted(201)),
        [("1 accounts without a limit".to_owned(), false)]
    );
    // Used, but never against a number.
    evidence.limits[0].usage = Some(Usage { active_minutes: 9, ..usage(vec![None; 28]) });
    assert_eq!(measured(Clause::PeakUseBelow { percent: 100 }, &evidence, &wanted(300)), unknown);
    evidence.limits[0].usage = None;
    for clause in [Clause::PeakUse { percent: 1, days: 1 }, Clause::PeakUseBelow { percent: 100 }] {
        assert_eq!(measured(clause, &evidence, &wanted(300)), unknown);
    }
    evidence.account.last_refund_ms = None;
    let never = measured(Clause::NoRefundIn { ms: 3_660 * DAY }, &evidence, &wanted(300));
    assert_eq!(never, [("none ever".to_owned(), true)]);
}

#[test]
fn a_rule_must_hold_for_every_limit_that_is_asked_for() {
    let rules = [rule("half", vec![Clause::AtMostPercent(150), Clause::Tiers(vec![id("paid")])])];
    let ask = |conn| judge(&rules, &evidence(), &[(id("rpm"), Quota::Units(300)), (id("conn"), Quota::Units(conn))]);

    assert_eq!(ask(30).rule, Some(id("half")));
    let refused = ask(31);
    assert_eq!((refused.rule, refused.answer), (None, None));
    let holds: Vec<_> = refused.rules[0].clauses.iter().map(|it| (it.limit.clone(), it.holds)).collect();
    assert_eq!(holds, [(Some(id("rpm")), true), (Some(id("conn")), false), (None, true)]);
}

#[test]
fn the_first_rule_that_holds_answers_and_the_others_are_measured_too() {
    let ask = RaiseRule {
        answer: Answer::RequestInfo { text: "why?".to_owned() },
        ..rule("ask", vec![Clause::Tiers(vec![id("paid")])])
    };
    let rules = [rule("never", vec![Clause::AtMostPercent(101)]), ask, rule("late", vec![Clause::AtMostPercent(200)])];

    let verdict = judge(&rules, &evidence(), &wanted(300));

    assert_eq!(verdict.rule, Some(id("ask")));
    assert_eq!(verdict.answer, Some(Answer::RequestInfo { text: "why?".to_owned() }));
    assert_eq!(verdict.rules.iter().map(|result| result.holds).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(verdict.clauses(), verdict.rules[1].clauses);
    let text = serde_json::to_string(&verdict).unwrap();
    assert_eq!(serde_json::from_str::<Verdict>(&text).unwrap(), verdict);
    assert_eq!(judge(&rules, &evidence(), &[]).rule, None);
    assert_eq!(judge(&[], &evidence(), &wanted(300)), Verdict::default());
}

proptest! {
    #[test]
    fn the_shares_agree_with_arithmetic_on_fractions(
        asked in 1..=1_000_000_u64, held in 1..=1_000_000_u64, percent in 101..=100_000_u64,
        promised in 0..=2_000_000_u64, own in 0..=1_000_000_u64, capacity in 1..=2_000_000_u64,
    ) {
        let mut evidence = evidence();
        evidence.limits[0].quota = Quota::Units(held);
        evidence.limits[0].pool =
            Some(PoolShare { capacity, promised: promised + own, accounts: 1, own, unlimited: 0, complete: true });

        let share = measured(Clause::AtMostPercent(percent), &evidence, &wanted(asked));
        prop_assert_eq!(share[0].1, asked * 100 <= held * percent);
        let room = measured(Clause::PoolHasRoom, &evidence, &wanted(asked));
        prop_assert_eq!(room[0].1, promised + asked <= capacity);
    }

    #[test]
    fn days_and_peaks_agree_with_a_recount(
        peaks in prop::collection::vec(prop::option::of(0..20_000_u32), 28), percent in 1..=100_u64, days in 1..=28_u64,
    ) {
        let mut evidence = evidence();
        evidence.limits[0].usage = Some(usage(peaks.clone()));

        let reached = peaks.iter().flatten().filter(|parts| u64::from(**parts) * 100 >= percent * 10_000).count() as u64;
        let enough = measured(Clause::PeakUse { percent, days }, &evidence, &wanted(300));
        prop_assert_eq!(enough, [(format!("on {reached} days"), reached >= days)]);
        let below = measured(Clause::PeakUseBelow { percent }, &evidence, &wanted(300));
        prop_assert_eq!(below[0].1, reached == 0);
    }
}
