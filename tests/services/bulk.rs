//! What is taken in from a file is what the same requests would have made, record by record.

use crate::harness::{MINUTE, Plane, START, account, id, new_account, new_sub, refused};
use quotagate::domain::ids::{Currency, PaymentRef};
use quotagate::domain::ledger::PaymentKind;
use quotagate::services::accounts::{NewAccount, Past};
use quotagate::services::bulk::{Became, Begin, ImportedAccount, Importer, Kind, progress};
use quotagate::services::payments::{self, NewPayment, Span};
use quotagate::services::records::ImportRecord;
use quotagate::services::{Error, Stored, tier};
use quotagate::store::{AdminStore, AuditFilter, Key, MAX_SCAN, Table};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

const POLICY: &str = r#"
schema: quotagate.policy/v1
name: test
tiers:
  - {id: free}
  - {id: paid, reached_by: {net_paid_at_least: {CNY: 30}}, grace: 3d}
  - {id: old, reached_by: {net_paid_at_least: {CNY: 50}, account_age_at_least: 40d}}
default_tier: free
groups:
  - id: text
    resources: [text]
    limits: [{id: rpm, unit: requests, window: 1m, quotas: {free: 1, paid: 2, old: 3}}]
"#;
const DAY: i64 = 1_440 * MINUTE;

fn plane() -> Plane {
    let plane = Plane::empty();
    plane.publish(POLICY).unwrap();
    plane
}

fn importer(plane: &Plane, kind: Kind) -> Importer {
    let known = progress(&*plane.store, kind).unwrap();
    let from = known.unwrap_or(Stored { revision: 0, value: ImportRecord::default() });
    let begin = Begin { kind, context: plane.context(), seq: plane.seq(), from, hasher: Sha256::new() };
    Importer::start(&plane.services, (plane.store.clone(), plane.store.clone()), begin).unwrap()
}

fn plain(new: NewAccount) -> ImportedAccount {
    ImportedAccount { new, parent: None, past: Past::default() }
}

fn sub(main: &str, name: &str) -> ImportedAccount {
    ImportedAccount { parent: Some(account(main)), ..plain(new_account(name)) }
}

/// Every record, but how far an import is, and without the revisions: many records share one.
fn everything(plane: &Plane) -> BTreeMap<(Table, Key), Value> {
    let mut all = BTreeMap::new();
    for table in Table::ALL {
        let mut after = None;
        loop {
            let rows = plane.store.scan(*table, &Key::empty(), after.as_ref(), MAX_SCAN).unwrap();
            after = rows.last().map(|(key, _)| key.clone());
            if rows.is_empty() {
                break;
            }
            all.extend(rows.into_iter().map(|(key, found)| ((*table, key), found.value)));
        }
    }
    all.retain(|(table, key), _| *table != Table::Meta || key.read().text().as_deref() != Some("import"));
    all
}

/// Payments of a few accounts in any order, refunds before their top-ups, repeated, contradicting, of nobody.
fn events(seed: u64, count: u64) -> Vec<NewPayment> {
    let mut random = SmallRng::seed_from_u64(seed);
    (0..count)
        .map(|_| {
            let event = random.random_range(0..count);
            let payment =
                if random.random_range(0..9) == 0 { random.random_range(0..count) } else { event } % (count / 3);
            let kind = match event % 4 {
                0 | 1 => PaymentKind::TopUp,
                2 => PaymentKind::Refund,
                _ => PaymentKind::Chargeback,
            };
            let main = if random.random_range(0..20) == 0 { "a0-sub".to_owned() } else { format!("a{}", payment % 7) };
            NewPayment {
                account: account(&main),
                kind,
                event_id: PaymentRef::parse(&format!("e{event}")).unwrap(),
                payment_id: PaymentRef::parse(&format!("p{payment}")).unwrap(),
                amount: 1 + event % 3_000,
                currency: (kind == PaymentKind::TopUp || event % 5 == 0).then(|| Currency::parse("CNY").unwrap()),
                occurred_at_ms: (event % 6 != 0).then_some(START - (event as i64 % 50) * DAY),
            }
        })
        .collect()
}

fn told(result: Result<bool, Error>) -> String {
    match result {
        Ok(true) => "known".to_owned(),
        Ok(false) => "new".to_owned(),
        Err(error) => refused::<()>(Err(error)),
    }
}

#[test]
fn payments_from_a_file_are_those_of_requests() {
    for seed in 0..6 {
        let (asked, taken_in) = (plane(), plane());
        for plane in [&asked, &taken_in] {
            (0..6).for_each(|n| drop(plane.create(&format!("a{n}"))));
            plane.create_sub("a0", "a0-sub");
        }
        // The seventh account is not there.
        let events = events(seed, 600);
        let answers: Vec<String> = events
            .iter()
            .map(|event| {
                told(payments::record(&asked.services, &asked.context(), event).map(|done| done.value.duplicate))
            })
            .collect();

        let mut importer = importer(&taken_in, Kind::Payments);
        let taken: Vec<String> =
            events.iter().map(|event| told(importer.payment(event).map(|became| became == Became::Known))).collect();
        importer.finish().unwrap();

        assert_eq!(taken, answers);
        for what in ["new", "known", "event_conflict", "payment_conflict", "not_a_main_account", "no account"] {
            assert!(taken.iter().any(|told| told == what), "seed {seed}: never {what}");
        }
        assert_eq!(everything(&taken_in), everything(&asked));
        let (engine, from_records) = (taken_in.rebuilt(), asked.rebuilt());
        for n in 0..6 {
            let id = format!("a{n}");
            assert_eq!(engine.payments(&id), from_records.payments(&id));
            assert_eq!(engine.payments(&id), asked.engine().payments(&id));
        }
        let span = Span { from_ms: 0, to_ms: START + 1 };
        let (asked, taken_in) = (asked.restart(), taken_in.restart());
        let digest = |plane: &Plane| payments::digest(&plane.services, span).unwrap();
        assert_eq!(digest(&taken_in), digest(&asked));
        for n in 0..6 {
            let id = account(&format!("a{n}"));
            let eligibility = |plane: &Plane| tier::eligibility(&plane.services, &id, START + DAY).unwrap().value;
            assert_eq!(eligibility(&taken_in), eligibility(&asked));
        }
    }
}

#[test]
fn accounts_from_a_file_are_those_of_requests() {
    let (asked, taken_in) = (plane(), plane());
    let labelled = NewAccount {
        tier: Some(id("paid")),
        name: Some("Acme".to_owned()),
        labels: [("region".to_owned(), "eu".to_owned())].into(),
        ..new_account("acme")
    };
    quotagate::services::accounts::create(&asked.services, &asked.context(), labelled.clone()).unwrap();
    asked.create("b");
    (0..150).for_each(|n| drop(asked.create_sub("acme", &format!("acme-{n}"))));
    assert_eq!(new_sub("x").id, account("x"));

    let mut importer = importer(&taken_in, Kind::Accounts);
    importer.account(&plain(labelled.clone())).unwrap();
    importer.account(&plain(new_account("b"))).unwrap();
    for n in 0..150 {
        assert_eq!(importer.account(&sub("acme", &format!("acme-{n}"))).unwrap(), Became::New);
    }
    assert_eq!(importer.account(&plain(labelled)).unwrap(), Became::Known);
    assert_eq!(importer.account(&sub("acme", "acme-3")).unwrap(), Became::Known);
    importer.finish().unwrap();

    assert_eq!(everything(&taken_in), everything(&asked));
}

#[test]
fn what_an_account_brings_along_is_kept_and_checked() {
    let plane = plane();
    let mut importer = importer(&plane, Kind::Accounts);
    let with = |past: Past, name: &str| ImportedAccount { past, ..plain(new_account(name)) };
    let created = |at| Past { created_at_ms: Some(at), suspended: None };
    let suspended = Past { created_at_ms: None, suspended: Some("unpaid".to_owned()) };

    assert_eq!(importer.account(&with(created(START - 50 * DAY), "old")).unwrap(), Became::New);
    assert_eq!(importer.account(&with(suspended, "held")).unwrap(), Became::New);
    assert_eq!(refused(importer.account(&with(created(START + 1), "new"))), "/created_at out_of_range");
    assert_eq!(refused(importer.account(&with(created(-1), "new"))), "/created_at out_of_range");
    let blank = Past { created_at_ms: None, suspended: Some(" ".to_owned()) };
    assert_eq!(refused(importer.account(&with(blank, "new"))), "/suspension/reason required");
    assert_eq!(refused(importer.account(&with(created(START), "old"))), "account_exists");
    assert_eq!(importer.account(&plain(new_account("old"))).unwrap(), Became::Known);
    assert_eq!(refused(importer.account(&plain(new_account("held")))), "account_exists");
    assert_eq!(refused(importer.account(&sub("nobody", "new"))), "no account");
    assert_eq!(refused(importer.account(&sub("old", "held"))), "account_exists");
    let tiered = NewAccount { tier: Some(id("paid")), ..new_account("tiered") };
    let tiered = ImportedAccount { parent: Some(account("old")), ..plain(tiered) };
    assert_eq!(refused(importer.account(&tiered)), "/tier misplaced");
    importer.finish().unwrap();

    let plane = plane.restart();
    assert_eq!(plane.account("old").record.created_at_ms, START - 50 * DAY);
    let act = plane.account("held").record.suspended.unwrap();
    assert_eq!((act.reason.as_str(), act.by.as_str(), act.at_ms), ("unpaid", "alice", START));
}

#[test]
fn an_accounts_history_shows_it_and_an_entry_names_few_accounts() {
    let plane = plane();
    let mut importer = importer(&plane, Kind::Accounts);
    for n in 0..200 {
        importer.account(&plain(new_account(&format!("a{n}")))).unwrap();
    }
    importer.finish().unwrap();

    assert_eq!(plane.audited("account:a7"), ["account.import"]);
    assert_eq!(plane.audited("account:a199"), ["account.import"]);
    let all = plane.store.audit(&AuditFilter::default(), None, 200).unwrap().entries;
    let imports: Vec<_> = all.iter().filter(|entry| entry.audit.action == "account.import").collect();
    assert_eq!(imports.len(), 4);
    assert!(imports.iter().all(|entry| entry.audit.subject.len() <= 64));
    let told: usize = imports.iter().map(|entry| entry.audit.detail["records"].as_array().unwrap().len()).sum();
    assert_eq!(told, 200);
}

#[test]
fn where_nothing_is_new_nothing_is_written() {
    let plane = plane();
    plane.create("a");
    let before = plane.seq();

    let mut importer = importer(&plane, Kind::Accounts);
    assert_eq!(importer.account(&plain(new_account("a"))).unwrap(), Became::Known);
    importer.finish().unwrap();

    assert_eq!(plane.seq(), before);
}

#[test]
fn nobody_else_writes_meanwhile_or_it_stops() {
    let plane = plane();
    let mut importer = importer(&plane, Kind::Accounts);
    importer.account(&plain(new_account("a"))).unwrap();
    plane.create("b");

    assert!(importer.finish().is_err());
}

#[test]
fn an_id_that_has_usage_is_no_sub_account() {
    let bounds = quotagate::engine::Options {
        unknown_accounts: quotagate::engine::UnknownAccounts::DefaultTier,
        ..quotagate::engine::Options::default()
    };
    let plane = Plane::bounded(bounds);
    plane.publish(POLICY).unwrap();
    plane.create("main");
    assert_eq!(plane.allowed("stranger", "text", 1), 1);
    plane.flush();

    let mut importer = importer(&plane, Kind::Accounts);

    assert_eq!(refused(importer.account(&sub("main", "stranger"))), "account_exists");
    assert_eq!(importer.account(&plain(new_account("stranger"))).unwrap(), Became::New);
}
