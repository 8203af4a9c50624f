//! What any admin store and counter store must do; the embedded one is put through it.

use crate::changes::{Commits, audit, expecting, expecting_absent, memory_folder, once, open, put};
use quotagate::store::{
    ActorKind, AdminStore, AuditFilter, CommitError, CounterStore, Key, MAX_COUNTER_BYTES, Outcome, Table, Write,
};
use serde_json::json;

fn with_store(test: impl FnOnce(&dyn AdminStore)) {
    let folder = memory_folder();
    let (store, _) = open(folder.path());
    test(&store);
}

fn with_counters(test: impl FnOnce(&dyn CounterStore)) {
    let folder = memory_folder();
    let (store, _) = open(folder.path());
    test(&store);
}

#[test]
fn a_record_reads_back_with_the_revision_that_wrote_it() {
    with_store(|store| {
        let first = store.must(put("acme", json!({"tier": "free"})));
        let second = store.must(put("acme", json!({"tier": "paid", "rate": 0.1})));

        let found = store.get(Table::Accounts, &Key::text("acme")).unwrap().unwrap();

        assert_eq!((first.seq, second.seq), (1, 2));
        assert_eq!((found.revision, found.value), (2, json!({"tier": "paid", "rate": 0.1})));
        assert_eq!(store.get(Table::Accounts, &Key::text("acm")).unwrap(), None);
        assert_eq!(store.get(Table::Overrides, &Key::text("acme")).unwrap(), None);
    });
}

#[test]
fn a_deleted_record_is_absent_and_may_come_again() {
    with_store(|store| {
        store.must(put("acme", json!(1)));
        let mut change = put("acme", json!(null));
        change.writes[0].value = None;
        store.must(change);

        let gone = store.get(Table::Accounts, &Key::text("acme")).unwrap();
        let again = store.must(expecting_absent(put("acme", json!(2)), "acme"));

        assert_eq!(gone, None);
        assert_eq!(store.get(Table::Accounts, &Key::text("acme")).unwrap().unwrap().revision, again.seq);
    });
}

#[test]
fn null_is_a_value_like_any_other() {
    with_store(|store| {
        store.must(put("acme", json!(null)));

        assert_eq!(store.get(Table::Accounts, &Key::text("acme")).unwrap().unwrap().value, json!(null));
    });
}

#[test]
fn large_values_are_kept_whole_and_replaced_whole() {
    with_store(|store| {
        for len in [3_499, 3_500, 4_096, 7_000, 1_000_000, 10, 200_000] {
            let value = json!({"document": "x".repeat(len)});
            store.must(put("acme", value.clone()));

            assert_eq!(store.get(Table::Accounts, &Key::text("acme")).unwrap().unwrap().value, value);
        }
    });
}

#[test]
fn an_expectation_that_does_not_hold_refuses_the_whole_change() {
    with_store(|store| {
        store.must(put("acme", json!(1)));
        let mut change = expecting(put("acme", json!(2)), "acme", 7);
        change.writes.push(Write::put(Table::Clamps, Key::text("other"), json!(3)));

        let stale = store.commit(change).wait();
        let taken = store.commit(expecting_absent(put("acme", json!(2)), "acme")).wait();
        let missing = store.commit(expecting(put("nobody", json!(2)), "nobody", 1)).wait();

        assert!(matches!(stale, Err(CommitError::Conflict { current: Some(1), .. })), "{stale:?}");
        assert!(matches!(taken, Err(CommitError::Conflict { current: Some(1), .. })), "{taken:?}");
        assert!(matches!(missing, Err(CommitError::Conflict { current: None, .. })), "{missing:?}");
        assert_eq!(store.get(Table::Clamps, &Key::text("other")).unwrap(), None);
        assert_eq!(store.get(Table::Accounts, &Key::text("acme")).unwrap().unwrap().value, json!(1));
    });
}

#[test]
fn a_repeated_request_is_answered_as_before_and_changes_nothing() {
    with_store(|store| {
        let request = once(expecting_absent(put("acme", json!(1)), "acme"), "alice/k1", 1, json!({"id": 9}), 5_000);
        let first = store.must(request.clone());

        let again = store.commit(request.clone()).wait().unwrap();
        let mut other = request.clone();
        other.idempotency.as_mut().unwrap().fingerprint = [2; 32];
        let other = store.commit(other).wait();
        let mut late = request;
        (late.at_ms, late.expects) = (5_000, Vec::new());
        let late = store.must(late);

        match again {
            Outcome::Replayed(answer) => assert_eq!((answer.response, answer.seq), (json!({"id": 9}), first.seq)),
            Outcome::Committed(_) => panic!("committed twice"),
        }
        assert!(matches!(other, Err(CommitError::IdempotencyMismatch)), "{other:?}");
        assert_eq!(late.seq, 2, "an expired key is free again");
    });
}

#[test]
fn an_answer_can_be_recalled_until_it_expires() {
    with_store(|store| {
        store.must(once(put("acme", json!(1)), "k", 1, json!("made"), 5_000));

        assert_eq!(store.recall(b"k", 4_999).unwrap().unwrap().response, json!("made"));
        assert_eq!(store.recall(b"k", 5_000).unwrap(), None);
        assert_eq!(store.recall(b"other", 0).unwrap(), None);
    });
}

#[test]
fn expired_answers_are_swept_away() {
    with_store(|store| {
        for n in 0..20 {
            store.must(once(put("acme", json!(n)), &format!("k{n}"), 1, json!(n), 2_000 + i64::from(n)));
        }
        let mut late = put("acme", json!("late"));
        late.at_ms = 2_009;
        store.must(late);

        let left = store.scan(Table::Idempotency, &Key::empty(), None, 100).unwrap();

        assert_eq!(left.len(), 10);
    });
}

#[test]
fn a_scan_goes_on_after_the_last_key_of_the_page_before() {
    with_store(|store| {
        for account in ["a", "ab", "abc", "b"] {
            for n in 0..5 {
                let mut change = put("x", json!(n));
                change.writes[0].key = Key::build().text(account).u64(n).finish();
                store.must(change);
            }
        }
        let prefix = Key::build().text("ab").finish();

        let first = store.scan(Table::Accounts, &prefix, None, 3).unwrap();
        let rest = store.scan(Table::Accounts, &prefix, Some(&first[2].0), 3).unwrap();
        let end = store.scan(Table::Accounts, &prefix, Some(&rest[1].0), 3).unwrap();
        let all = store.scan(Table::Accounts, &Key::empty(), None, 100).unwrap();

        let numbers = |page: &[(Key, _)]| page.iter().map(|(key, _)| read(key).1).collect::<Vec<_>>();
        assert_eq!((numbers(&first), numbers(&rest), end.len()), (vec![0, 1, 2], vec![3, 4], 0));
        assert_eq!(all.len(), 20);
        assert!(all.is_sorted_by(|left, right| read(&left.0) < read(&right.0)));
    });
}

fn read(key: &Key) -> (String, u64) {
    let mut parts = key.read();
    (parts.text().unwrap(), parts.u64().unwrap())
}

#[test]
fn malformed_changes_are_refused_before_they_are_queued() {
    with_store(|store| {
        let mut twice = put("acme", json!(1));
        twice.writes.push(twice.writes[0].clone());
        let mut by_hand = put("acme", json!(1));
        by_hand.writes[0].table = Table::Idempotency;
        let mut long = put("acme", json!(1));
        long.writes[0].key = Key::text(&"k".repeat(2_000));
        let large = put("acme", json!("x".repeat(17 * 1024 * 1024)));

        for bad in [twice, by_hand, long] {
            assert!(matches!(store.commit(bad).wait(), Err(CommitError::Invalid(_))));
        }
        assert!(matches!(store.commit(large).wait(), Err(CommitError::TooLarge { .. })));
    });
}

#[test]
fn the_audit_log_is_searched_by_actor_subject_action_and_time() {
    with_store(|store| {
        for n in 0..30_i64 {
            let mut change = put(if n % 2 == 0 { "even" } else { "odd" }, json!(n));
            change.at_ms = n * 10;
            if n % 3 == 0 {
                change.audit = audit("account.third", &["account:third", "group:text"]);
                (change.audit.actor, change.audit.actor_kind) = ("billing".to_owned(), ActorKind::ApiKey);
            }
            store.must(change);
        }
        let seqs = |filter: AuditFilter| {
            let page = store.audit(&filter, None, 100).unwrap();
            page.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>()
        };

        let all = seqs(AuditFilter::default());
        let thirds = seqs(AuditFilter { subject: Some("group:text".to_owned()), ..AuditFilter::default() });
        let billing =
            seqs(AuditFilter { actor: Some((ActorKind::ApiKey, "billing".to_owned())), ..AuditFilter::default() });
        let action = seqs(AuditFilter { action: Some("account.third".to_owned()), ..AuditFilter::default() });
        let timed = seqs(AuditFilter { from_ms: Some(50), until_ms: Some(80), ..AuditFilter::default() });

        assert_eq!(all, (1..=30).rev().collect::<Vec<_>>());
        assert_eq!(thirds, (0..10).rev().map(|n| n * 3 + 1).collect::<Vec<_>>());
        assert_eq!((&billing, &action), (&thirds, &thirds));
        assert_eq!(timed, [8, 7, 6]);
    });
}

#[test]
fn audit_pages_follow_one_another_and_carry_what_was_written() {
    with_store(|store| {
        let committed: Vec<_> = (0..7).map(|n| store.must(put("acme", json!(n)))).collect();

        let first = store.audit(&AuditFilter::default(), None, 3).unwrap();
        let second = store.audit(&AuditFilter::default(), first.next, 3).unwrap();
        let third = store.audit(&AuditFilter::default(), second.next, 3).unwrap();

        let entries: Vec<_> = [first.entries, second.entries, third.entries].concat();
        assert_eq!(third.next, None);
        assert_eq!(entries.len(), 7);
        for (entry, committed) in entries.iter().rev().zip(&committed) {
            assert_eq!((entry.seq, entry.hash), (committed.seq, committed.hash));
            assert_eq!(entry.audit, audit("account.put", &["account:acme"]));
        }
        assert!(entries.windows(2).all(|pair| pair[0].prev_hash == pair[1].hash));
    });
}

#[test]
fn counters_are_written_removed_and_visited_in_key_order() {
    with_counters(|store| {
        let batch: Vec<_> = (0..100_u8).rev().map(|n| (vec![n], vec![n; usize::from(n) * 50])).collect();
        store.put_batch(&batch).unwrap();
        store.put_batch(&[(vec![3], b"three".to_vec())]).unwrap();
        store.remove(&[vec![0], vec![200]]).unwrap();
        store.sync().unwrap();

        let mut seen = Vec::new();
        let damaged = store.for_each(&mut |key, value| seen.push((key.to_vec(), value.to_vec()))).unwrap();

        assert_eq!((damaged, seen.len()), (0, 99));
        assert!(seen.is_sorted());
        assert_eq!(seen[2], (vec![3], b"three".to_vec()));
    });
}

#[test]
fn a_counter_that_is_too_large_refuses_the_batch() {
    with_counters(|store| {
        let batch = [(vec![1], vec![0; 10]), (vec![2], vec![0; MAX_COUNTER_BYTES + 1])];

        assert!(store.put_batch(&batch).is_err());

        let mut seen = 0;
        store.for_each(&mut |_, _| seen += 1).unwrap();
        assert_eq!(seen, 0);
    });
}

#[test]
fn a_renewal_leaves_what_was_written_since_it_began() {
    with_counters(|store| {
        store.put_batch(&[(vec![1], vec![1]), (vec![2], vec![2])]).unwrap();
        store.begin_renewal().unwrap();
        store
            .put_groups(vec![vec![(vec![2], Some(vec![3])), (vec![4], Some(vec![4]))], vec![(vec![4], None)]])
            .unwrap();
        store.finish_renewal().unwrap();
        store.put_batch(&[(vec![5], vec![5])]).unwrap();

        let mut seen = Vec::new();
        store.for_each(&mut |key, value| seen.push((key.to_vec(), value.to_vec()))).unwrap();
        assert_eq!(seen, [(vec![2], vec![3]), (vec![5], vec![5])]);
    });
}
