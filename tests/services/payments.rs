//! Payment events: whatever the order, repeats and restarts, they come to what the set of them says.

use crate::harness::{MINUTE, Plane, account, id, refused};
use quotagate::domain::ids::{AccountId, Currency, PaymentRef};
use quotagate::domain::ledger::{PaymentEvent, PaymentKind, Timeline};
use quotagate::engine::Engine;
use quotagate::ids::Ids;
use quotagate::policy::tiers::{Standing, TierFacts, standing};
use quotagate::services::payments::{self, NewPayment, Recorded, Span};
use quotagate::services::{Done, Error, Paging, Services, due, tier};
use quotagate::store::{AdminStore, AuditFilter, Key, Table};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;

const ACCOUNTS: [&str; 3] = ["acme", "beta", "gamma"];
const POLICY: &str = r#"
schema: quotagate.policy/v1
name: money
tiers:
  - {id: free}
  - {id: one, reached_by: {net_paid_at_least: {CNY: 50, USD: 10}}, grace: 7m}
  - {id: two, reached_by: {net_paid_at_least: {CNY: 120}, account_age_at_least: 12m}, grace: 2m}
  - {id: old, reached_by: {account_age_at_least: 50m}}
default_tier: free
groups:
  - id: text
    resources: [text]
    limits:
      - {id: rpm, unit: requests, window: 1m, quotas: {free: 10, one: 20, two: 30, old: 40}}
"#;

/// After the last time that any test names.
fn end(plane: &Plane) -> i64 {
    plane.now + 100 * MINUTE
}

fn start() -> Plane {
    let plane = Plane::empty();
    plane.publish(POLICY).unwrap();
    for name in ACCOUNTS {
        plane.create(name);
    }
    plane
}

fn reference(text: &str) -> PaymentRef {
    PaymentRef::parse(text).unwrap()
}

fn record(plane: &Plane, new: &NewPayment) -> Result<Done<Recorded>, Error> {
    payments::record(&plane.services, &plane.context(), new)
}

/// Events that do not contradict each other, times from `from` on, many of them equal.
fn events(random: &mut StdRng, from: i64) -> Vec<NewPayment> {
    let mut events = Vec::new();
    for payment in 0..random.random_range(1..9) {
        let owner = account(ACCOUNTS.choose(random).unwrap());
        let currency = Currency::parse(["CNY", "CNY", "USD"].choose(random).unwrap()).unwrap();
        let has_top_up = random.random_range(0..5) > 0;
        for number in 0..random.random_range(1..6) {
            let kind = match number {
                0 if has_top_up => PaymentKind::TopUp,
                _ if random.random_range(0..4) == 0 => PaymentKind::Chargeback,
                _ => PaymentKind::Refund,
            };
            let names_it = kind == PaymentKind::TopUp || random.random_range(0..3) == 0;
            events.push(NewPayment {
                account: owner.clone(),
                kind,
                event_id: reference(&format!("e{payment}-{}", 9 - number)),
                payment_id: reference(&format!("p{payment}")),
                amount: random.random_range(1..if kind == PaymentKind::TopUp { 150 } else { 80 }),
                currency: names_it.then(|| currency.clone()),
                occurred_at_ms: Some(from + random.random_range(0..30) * MINUTE),
            });
        }
    }
    events
}

fn of_account(events: &[NewPayment], main: &AccountId) -> Vec<PaymentEvent> {
    let of_it = events.iter().filter(|event| event.account == *main);
    let event = |new: &NewPayment| PaymentEvent {
        event_id: new.event_id.clone(),
        payment_id: new.payment_id.clone(),
        kind: new.kind,
        amount: new.amount,
        currency: new.currency.clone(),
        occurred_at_ms: new.occurred_at_ms.unwrap(),
    };
    of_it.map(event).collect()
}

/// Net paid by the words of SEMANTICS: of each payment, what was topped up less what was taken back, at least nothing.
fn net(events: &[PaymentEvent]) -> BTreeMap<Currency, u64> {
    let mut net = BTreeMap::new();
    for top_up in events.iter().filter(|event| event.kind == PaymentKind::TopUp) {
        let back = events.iter().filter(|e| e.kind != PaymentKind::TopUp && e.payment_id == top_up.payment_id);
        let left = top_up.amount.saturating_sub(back.map(|event| event.amount).sum());
        *net.entry(top_up.currency.clone().unwrap()).or_default() += left;
    }
    net
}

/// The standing that the set of events gives an account without floor and pin.
fn naive(plane: &Plane, payments: &Timeline, created_at_ms: i64, at: i64) -> Standing {
    let facts = TierFacts { created_at_ms, floor: None, pin: None, payments: Some(payments) };
    standing(&plane.engine().snapshot().policy, facts, at)
}

fn tier_id(plane: &Plane, index: usize) -> quotagate::domain::ids::PolicyId {
    plane.engine().snapshot().policy.tiers[index].id.clone()
}

fn check_accounts(plane: &Plane, engine: &Engine, events: &[NewPayment], created: i64, context: &str) {
    for name in ACCOUNTS {
        let (main, own) = (account(name), of_account(events, &account(name)));
        let timeline = Timeline::of(&own);
        assert_eq!(engine.payments(name).as_deref(), Some(&timeline), "{context}: {name}");
        let ledger = payments::ledger(&plane.services, &main, None, &Paging { after: None, size: 200 }).unwrap();
        assert_eq!((ledger.items.len(), ledger.next), (own.len(), None), "{context}: {name}");
        let last = ledger.items.last().map(|entry| entry.value.record.net.clone()).unwrap_or_default();
        assert_eq!(last, net(&own), "{context}: {name}");
        for at in (created..end(plane)).step_by(MINUTE as usize / 2) {
            let expected = naive(plane, &timeline, created, at);
            let view = tier::eligibility(&plane.services, &main, at).unwrap().value;
            let told = (&view.tier.effective, view.tier.granted_until_ms);
            let expected_tier = tier_id(plane, expected.effective);
            assert_eq!(told, (&expected_tier, expected.reached.granted_until_ms), "{context}: {name} at {at}");
            let granted = view.tiers.iter().rev().find(|(_, tier)| tier.granted).unwrap();
            assert_eq!(granted.0, expected_tier, "{context}: {name} at {at}");
            let decided = engine.standing(name, at).map(|standing| standing.effective);
            assert_eq!(decided, Some(expected.effective), "{context}: {name} at {at}");
        }
    }
}

#[test]
fn any_order_with_repeats_and_restarts_comes_to_what_the_set_says() {
    for seed in 0..20 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut plane = start();
        let created = plane.now;
        let set = events(&mut random, created);
        let span = Span { from_ms: created, to_ms: end(&plane) };
        let mut digests = Vec::new();

        for order in 0..3 {
            let mut sent: Vec<&NewPayment> = set.iter().collect();
            sent.extend((0..set.len() / 2).map(|_| set.choose(&mut random).unwrap()));
            sent.shuffle(&mut random);
            let mut new = 0;
            for (number, event) in sent.iter().enumerate() {
                new += usize::from(!record(&plane, event).unwrap().value.duplicate);
                if number % 7 == order {
                    plane = plane.restart();
                }
            }
            let context = format!("seed {seed}, order {order}");
            assert_eq!((new, plane.following.trouble()), (set.len(), None), "{context}");
            check_accounts(&plane, plane.engine(), &set, created, &context);
            check_accounts(&plane, &plane.rebuilt(), &set, created, &format!("{context}, rebuilt"));
            digests.push(payments::digest(&plane.services, span).unwrap());
            plane = start();
        }

        assert!(digests.iter().all(|digest| *digest == digests[0]), "seed {seed}");
        assert_eq!(digests[0].count, set.len() as u64);
    }
}

/// Rows of `due` by account.
fn due_rows(plane: &Plane) -> BTreeMap<String, Vec<i64>> {
    let mut rows = BTreeMap::<String, Vec<i64>>::new();
    for (key, _) in plane.store.scan(Table::Due, &Key::empty(), None, 1_000).unwrap() {
        let mut parts = key.read();
        let at = parts.i64().unwrap();
        rows.entry(parts.text().unwrap()).or_default().push(at);
    }
    rows
}

#[track_caller]
fn check_due(plane: &Plane, set: &[NewPayment], created: i64, context: &str) {
    let until = |name: &&str| {
        let timeline = Timeline::of(&of_account(set, &account(name)));
        let until = naive(plane, &timeline, created, plane.now).until_ms;
        (until < i64::MAX).then(|| (name.to_string(), vec![until]))
    };
    let expected: BTreeMap<String, Vec<i64>> = ACCOUNTS.iter().filter_map(until).collect();
    assert_eq!(due_rows(plane), expected, "{context}");
}

/// What the audit log says of changes by time alone: when, from, to; the oldest first.
fn noticed(plane: &Plane, name: &str) -> Vec<(i64, String, String)> {
    let filter = AuditFilter {
        subject: Some(format!("account:{name}")),
        action: Some("account.tier_changed".to_owned()),
        ..AuditFilter::default()
    };
    let entries = plane.store.audit(&filter, None, 1_000).unwrap().entries;
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let change = |detail: &serde_json::Value| {
        (detail["at_ms"].as_i64().unwrap(), text(&detail["tier"]["before"]), text(&detail["tier"]["after"]))
    };
    entries.iter().rev().map(|entry| change(&entry.audit.detail)).collect()
}

#[test]
fn every_change_by_time_alone_is_noticed_once() {
    for seed in 100..115 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut plane = start();
        let created = plane.now;
        let set = events(&mut random, created + 1);
        for event in &set {
            record(&plane, event).unwrap();
        }
        check_due(&plane, &set, created, &format!("seed {seed}"));
        let last = end(&plane);

        let mut counted = 0;
        while plane.now < last {
            plane.now += random.random_range(1..8 * MINUTE);
            due::catch_up(&plane.services, plane.now).unwrap();
            due::notice(&plane.services, plane.now, || counted += 1).unwrap();
            check_due(&plane, &set, created, &format!("seed {seed} at {}", plane.now));
            if random.random_range(0..3) == 0 {
                plane = plane.restart();
            }
        }

        let mut expected_count = 0;
        for name in ACCOUNTS {
            let timeline = Timeline::of(&of_account(&set, &account(name)));
            let (mut at, mut expected) = (created, Vec::new());
            loop {
                let before = naive(&plane, &timeline, created, at);
                at = before.until_ms;
                if at > plane.now {
                    break;
                }
                let after = naive(&plane, &timeline, created, at).effective;
                if after != before.effective {
                    let name = |tier| tier_id(&plane, tier).to_string();
                    expected.push((at, name(before.effective), name(after)));
                }
            }
            assert_eq!(noticed(&plane, name), expected, "seed {seed}: {name}");
            expected_count += expected.len();
        }
        assert_eq!(counted, expected_count, "seed {seed}");
    }
}

#[test]
fn a_policy_with_other_rules_moves_the_times_that_are_to_come() {
    for seed in 200..206 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut plane = start();
        let created = plane.now;
        let set = events(&mut random, created);
        for event in &set {
            record(&plane, event).unwrap();
        }
        plane.now += random.random_range(0..40) * MINUTE;
        due::notice(&plane.services, plane.now, || {}).unwrap();

        let same = plane.publish(&POLICY.replace("free: 10", "free: 11")).unwrap();
        assert!(same.revision.is_some());
        let before = plane.seq();
        due::catch_up(&plane.services, plane.now).unwrap();
        assert_eq!(plane.seq(), before, "quotas alone change no times");
        let rules = POLICY.replace("grace: 7m", "grace: 9m").replace("{CNY: 120}", "{CNY: 90, USD: 3}");
        plane.publish(&rules.replace("at_least: 50m", "at_least: 70m")).unwrap();
        plane = plane.restart();
        due::catch_up(&plane.services, plane.now).unwrap();

        check_due(&plane, &set, created, &format!("seed {seed}"));
        let before = plane.seq();
        due::catch_up(&plane.services, plane.now).unwrap();
        assert_eq!(plane.seq(), before, "once is enough");
    }
}

#[test]
fn events_that_contradict_each_other_are_refused_and_change_nothing() {
    let plane = start();
    let good = NewPayment {
        account: account("acme"),
        kind: PaymentKind::TopUp,
        event_id: reference("e1"),
        payment_id: reference("p1"),
        amount: 5,
        currency: Some(Currency::parse("CNY").unwrap()),
        occurred_at_ms: None,
    };
    record(&plane, &good).unwrap();
    let timeline = plane.engine().payments("acme");

    let other = |change: &dyn Fn(&mut NewPayment)| {
        let mut new = good.clone();
        change(&mut new);
        refused(record(&plane, &new))
    };

    assert_eq!(other(&|new| new.amount = 6), "event_conflict");
    assert_eq!(other(&|new| new.kind = PaymentKind::Refund), "event_conflict");
    assert_eq!(other(&|new| new.event_id = reference("e2")), "payment_conflict");
    assert_eq!(other(&|new| new.account = account("nobody")), "no account");
    assert_eq!(other(&|new| new.amount = 0), "/amount out_of_range");
    assert_eq!(other(&|new| new.currency = None), "/currency required");
    assert_eq!(other(&|new| new.occurred_at_ms = Some(-1)), "/occurred_at out_of_range");
    let dated = NewPayment { occurred_at_ms: Some(7), ..good.clone() };
    assert!(record(&plane, &dated).unwrap().value.duplicate, "the first was given no time to differ from");
    assert_eq!(plane.engine().payments("acme"), timeline);
    assert_eq!(plane.audited("account:acme")[..3], ["payment.refuse"; 3]);
    assert_eq!(tier::get(&plane.services, &account("acme"), plane.now).unwrap().value.effective, id("free"));
}

#[test]
fn many_at_once_for_one_account_are_all_recorded() {
    let plane = start();
    let threads = 32;

    std::thread::scope(|scope| {
        for thread in 0..threads {
            let plane = &plane;
            scope.spawn(move || {
                for number in 0..10 {
                    let new = NewPayment {
                        account: account("acme"),
                        kind: if number % 2 == 0 { PaymentKind::TopUp } else { PaymentKind::Refund },
                        event_id: reference(&format!("e{thread}-{number}")),
                        payment_id: reference(&format!("p{thread}-{}", number / 2)),
                        amount: 2 - number % 2,
                        currency: Some(Currency::parse("CNY").unwrap()),
                        occurred_at_ms: Some(plane.now + (thread * number) as i64),
                    };
                    let value = record(plane, &new).unwrap().value;
                    let seen = plane.engine().payments("acme").unwrap().events();
                    assert!(seen >= value.entry.number, "what is answered is what decisions count");
                }
            });
        }
    });

    assert_eq!(plane.engine().payments("acme"), plane.rebuilt().payments("acme"));
    let until = naive(&plane, &plane.engine().payments("acme").unwrap(), plane.now, plane.now).until_ms;
    assert_eq!(due_rows(&plane)["acme"], [until]);
    let net = plane.engine().payments("acme").unwrap().net_paid(end(&plane));
    assert_eq!(net.values().sum::<i128>(), 32 * 5);
}

#[test]
fn a_plan_counts_what_the_engine_is_yet_to_be_told() {
    let plane = start();
    let behind = Services::new(plane.store.clone(), plane.rebuilt(), Ids::seeded(3));
    let top_up = NewPayment {
        account: account("acme"),
        kind: PaymentKind::TopUp,
        event_id: reference("e1"),
        payment_id: reference("p1"),
        amount: 60,
        currency: Some(Currency::parse("CNY").unwrap()),
        occurred_at_ms: Some(plane.now - MINUTE),
    };
    let other = NewPayment {
        event_id: reference("e2"),
        payment_id: reference("p2"),
        amount: 1,
        occurred_at_ms: Some(plane.now + MINUTE),
        ..top_up.clone()
    };
    record(&plane, &top_up).unwrap();

    let done = payments::record(&behind, &plane.context(), &other).unwrap();

    assert_eq!(done.value.tier.effective, id("one"));
    assert_eq!(done.value.entry.record.net.values().sum::<u64>(), 61);
    assert_eq!(due_rows(&plane)["acme"], [plane.now + MINUTE]);
    assert_eq!(plane.engine().payments("acme"), plane.rebuilt().payments("acme"));
}
