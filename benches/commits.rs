//! Acknowledged commits a second, each durable when it is answered, and the time a start takes.

use criterion::{Criterion, criterion_group, criterion_main};
use quotagate::store::embedded::{EmbeddedStore, Options};
use quotagate::store::{ActorKind, AdminStore, Audit, Changeset, CounterStore, Key, Origin, Table, Write};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

fn change(writer: usize, n: u64) -> Changeset {
    let name = format!("account-{writer}-{n}");
    Changeset {
        at_ms: n as i64,
        expects: Vec::new(),
        writes: vec![Write::put(Table::Accounts, Key::text(&name), json!({"tier": "paid", "n": n, "note": "a bench"}))],
        audit: Audit {
            actor: "bench".to_owned(),
            actor_kind: ActorKind::System,
            action: "account.put".to_owned(),
            subject: vec![format!("account:{name}")],
            origin: Origin::default(),
            detail: json!({"before": null}),
        },
        idempotency: None,
        accepted_clock: None,
    }
}

fn open(folder: &Path) -> EmbeddedStore {
    EmbeddedStore::open(folder, Options::default()).expect("the folder is fresh").0
}

/// Runs the writers for a while; returns commits a second and the 99th percentile of their latency.
fn measure(store: &EmbeddedStore, writers: usize, lasts: Duration) -> (f64, Duration) {
    let begun = Instant::now();
    let run = |writer: usize| {
        let mut latencies = Vec::new();
        for n in 0.. {
            let sent = Instant::now();
            if sent - begun > lasts {
                break;
            }
            store.commit(change(writer, n)).wait().expect("committed");
            latencies.push(sent.elapsed());
        }
        latencies
    };
    let run = &run;
    let mut latencies: Vec<Duration> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..writers).map(|writer| scope.spawn(move || run(writer))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a writer")).collect()
    });
    let rate = latencies.len() as f64 / begun.elapsed().as_secs_f64();
    latencies.sort_unstable();
    (rate, latencies[latencies.len() * 99 / 100])
}

fn commits(criterion: &mut Criterion) {
    for writers in [1, 32] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(folder.path());
        let (rate, p99) = measure(&store, writers, Duration::from_secs(5));
        println!("{writers} writers: {rate:.0} acknowledged commits/s, p99 {:.2} ms", p99.as_secs_f64() * 1e3);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let mut n = 0;
    criterion.bench_function("commit, 1 writer", |bencher| {
        bencher.iter(|| {
            n += 1;
            store.commit(change(0, n)).wait().expect("committed")
        });
    });
}

/// `START=1 cargo bench --bench commits` fills a folder with a million records and counters and starts on it.
fn start(_: &mut Criterion) {
    if std::env::var_os("START").is_none() {
        return;
    }
    const MILLION: usize = 1_000_000;
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    for from in (0..MILLION).step_by(4_000) {
        let tickets: Vec<_> = (from..from + 4_000).map(|n| store.commit(change(n, 0))).collect();
        tickets.into_iter().for_each(|ticket| drop(ticket.wait().expect("committed")));
        let batch: Vec<_> = (from..from + 4_000).map(|n| (n.to_be_bytes().to_vec(), vec![7; 80])).collect();
        store.put_batch(&batch).expect("written");
    }
    drop(store);
    let timed = |what: &str| {
        let (store, report) = EmbeddedStore::open(folder.path(), Options::default()).expect("opens");
        println!("start, {what}: {:.2} s, {} entries replayed", report.took.as_secs_f64(), report.entries_replayed);
        store
    };
    let store = timed("1M records, clean");
    let begun = Instant::now();
    let mut after = None;
    while let Some((last, _)) = store.scan(Table::Accounts, &Key::empty(), after.as_ref(), 1_000).expect("read").pop() {
        after = Some(last);
    }
    println!("reading 1M records: {:.2} s", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    store.for_each(&mut |_, _| ()).expect("read");
    println!("reading 1M counters: {:.2} s", begun.elapsed().as_secs_f64());
    drop(store);
    std::fs::remove_dir_all(folder.path().join("control")).expect("removed");
    drop(timed("1M records, state rebuilt"));
}

criterion_group!(benches, commits, start);
criterion_main!(benches);
