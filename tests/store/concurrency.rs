//! Many writers at once.

use crate::changes::{expecting, expecting_absent, memory_folder, once, open, put};
use quotagate::store::{AdminStore, CommitError, Key, Outcome, Table, Ticket, Write};
use serde_json::json;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;

const WRITERS: u64 = 32;

#[test]
fn of_writers_that_expect_the_same_revision_exactly_one_wins() {
    let folder = memory_folder();
    let (store, _) = open(folder.path());
    let barrier = Barrier::new(WRITERS as usize);
    let (wins, conflicts) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut revision = 0;

    for round in 0..20_u64 {
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (store, barrier, wins, conflicts) = (&store, &barrier, &wins, &conflicts);
                scope.spawn(move || {
                    let change = put("hot", json!({"round": round, "writer": writer}));
                    let change =
                        if round == 0 { expecting_absent(change, "hot") } else { expecting(change, "hot", revision) };
                    barrier.wait();
                    match store.commit(change).wait() {
                        Ok(_) => wins.fetch_add(1, Ordering::Relaxed),
                        Err(CommitError::Conflict { .. }) => conflicts.fetch_add(1, Ordering::Relaxed),
                        Err(other) => panic!("{other}"),
                    };
                });
            }
        });
        revision = store.get(Table::Accounts, &Key::text("hot")).unwrap().unwrap().revision;
        assert_eq!(wins.load(Ordering::Relaxed), round + 1);
    }
    assert_eq!(conflicts.load(Ordering::Relaxed), 20 * (WRITERS - 1));
}

/// Holds the committer up, so that what is committed meanwhile lands in one group.
fn as_one_group<T>(store: &quotagate::store::embedded::EmbeddedStore, submit: impl FnOnce() -> T) -> T {
    let (entered, has_entered) = channel();
    let (release, released) = channel::<()>();
    let mut once = Some((entered, released));
    store.on_apply(Box::new(move |_, _| {
        if let Some((entered, released)) = once.take() {
            entered.send(()).unwrap();
            released.recv().unwrap();
        }
    }));
    let held = store.commit(put("held", json!(0)));
    has_entered.recv().unwrap();
    let submitted = submit();
    release.send(()).unwrap();
    held.wait().unwrap();
    submitted
}

#[test]
fn two_changes_of_one_record_in_a_group_cannot_both_win() {
    let folder = memory_folder();
    let (store, _) = open(folder.path());

    let tickets = as_one_group(&store, || -> Vec<Ticket> {
        (0..10).map(|n| store.commit(expecting_absent(put("one", json!(n)), "one"))).collect()
    });
    let answers: Vec<_> = tickets.into_iter().map(Ticket::wait).collect();

    assert!(answers[0].is_ok(), "{answers:?}");
    assert!(answers[1..].iter().all(|answer| matches!(answer, Err(CommitError::Conflict { current: Some(2), .. }))));
    assert_eq!(store.get(Table::Accounts, &Key::text("one")).unwrap().unwrap().value, json!(0));
}

#[test]
fn a_change_may_rest_on_one_accepted_before_it_in_the_same_group() {
    let folder = memory_folder();
    let (store, _) = open(folder.path());

    let tickets = as_one_group(&store, || {
        let mut delete = expecting(put("one", json!(0)), "one", 2);
        delete.writes[0] = Write::delete(Table::Accounts, Key::text("one"));
        let changes =
            [expecting_absent(put("one", json!(1)), "one"), delete, expecting_absent(put("one", json!(2)), "one")];
        changes.map(|change| store.commit(change))
    });
    let seqs = tickets.map(|ticket| ticket.wait().unwrap().committed().unwrap().seq);

    assert_eq!(seqs, [2, 3, 4]);
    assert_eq!(store.get(Table::Accounts, &Key::text("one")).unwrap().unwrap().value, json!(2));
}

#[test]
fn a_request_repeated_within_a_group_is_committed_once() {
    let folder = memory_folder();
    let (store, _) = open(folder.path());
    let request = || once(expecting_absent(put("one", json!(1)), "one"), "k", 1, json!("made"), 9_000);

    let tickets = as_one_group(&store, || [0, 1].map(|_| store.commit(request())));
    let [first, second] = tickets.map(|ticket| ticket.wait().unwrap());

    assert!(matches!(first, Outcome::Committed(committed) if committed.seq == 2));
    assert!(matches!(second, Outcome::Replayed(answer) if answer.seq == 2));
}

#[test]
fn every_committed_change_is_told_once_in_order_before_it_is_answered() {
    let folder = memory_folder();
    let (store, _) = open(folder.path());
    let told = std::sync::Arc::new(AtomicU64::new(0));
    let teller = told.clone();
    store.on_apply(Box::new(move |seq, _| {
        assert_eq!(teller.fetch_add(1, Ordering::SeqCst) + 1, seq);
    }));

    std::thread::scope(|scope| {
        for writer in 0..8 {
            let (store, told) = (&store, &told);
            scope.spawn(move || {
                for n in 0..50 {
                    let committed = store.commit(put(&format!("w{writer}"), json!(n))).wait().unwrap().committed();
                    assert!(told.load(Ordering::SeqCst) >= committed.unwrap().seq);
                }
            });
        }
    });

    assert_eq!(told.load(Ordering::SeqCst), 400);
}

#[test]
fn a_large_value_that_is_replaced_all_the_time_is_never_read_torn() {
    let folder = memory_folder();
    let (store, _) = open(folder.path());
    let value = |n: u64| json!(vec![n; 10_000]);
    store.commit(put("doc", value(0))).wait().unwrap();

    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for n in 1..100 {
                store.commit(put("doc", value(n))).wait().unwrap();
            }
        });
        while !writer.is_finished() {
            let found = store.get(Table::Accounts, &Key::text("doc")).unwrap().unwrap();
            assert_eq!(found.value, value(found.revision - 1));
        }
    });
}

#[test]
fn a_closed_store_refuses_and_what_it_took_before_is_there() {
    let folder = memory_folder();
    let (store, _) = open(folder.path());
    let tickets: Vec<_> = (0..100).map(|n| store.commit(put(&format!("a{n}"), json!(n)))).collect();

    store.close().unwrap();

    assert!(tickets.into_iter().all(|ticket| ticket.wait().is_ok()));
    assert!(store.commit(put("late", json!(0))).wait().is_err());
    drop(store);
    let (store, report) = open(folder.path());
    assert_eq!((report.seq, report.entries_replayed), (100, 0));
    assert_eq!(store.scan(Table::Accounts, &Key::empty(), None, 1_000).unwrap().len(), 100);
}
