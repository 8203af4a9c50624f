//! Usage on a disk that fails: told within two seconds, written again without a restart, and not lost by a stop.

use crate::layers::{Fails, Switch};
use crate::recorder::Recorder;
use quotagate::engine::{Costs, Engine, Options as Bounds, Request, Reserve, UnknownAccounts};
use quotagate::services::flush::Flusher;
use quotagate::store::CounterStore;
use quotagate::store::embedded::layer::FileLayer;
use quotagate::store::embedded::{EmbeddedStore, Options};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const EIO: i32 = 5;
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;
const ENOSPC: i32 = 28;

const INTERVAL: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(10);

const POLICY: &str = "
schema: quotagate.policy/v1
name: faults
tiers: [{id: free}]
default_tier: free
groups:
  - id: text
    resources: [text]
    limits:
      - {id: rpm, unit: requests, window: 1h, quotas: {free: unlimited}}
      - {id: conn, kind: concurrency, quotas: {free: 100000}}
";

fn engine() -> Arc<Engine> {
    let policy = quotagate::policy::parse(POLICY).unwrap().policy;
    let bounds = Bounds { unknown_accounts: UnknownAccounts::DefaultTier, ..Bounds::default() };
    Arc::new(Engine::new(Arc::new(policy), bounds))
}

fn open(folder: &Path, layer: Arc<dyn FileLayer>) -> Arc<EmbeddedStore> {
    let options = Options { reserve_bytes: 0, ballast_bytes: 0, layer, ..Options::default() };
    Arc::new(EmbeddedStore::open(folder, options).unwrap().0)
}

fn restore(store: &EmbeddedStore) -> Arc<Engine> {
    let engine = engine();
    let mut restorer = engine.restorer(None);
    assert_eq!(store.for_each(&mut |key, value| restorer.record(key, value)).unwrap(), 0);
    assert_eq!(restorer.finish().0.damaged, 0);
    engine
}

fn name(account: usize) -> String {
    format!("account-{account}")
}

/// What is charged often has reservations enough to be stored in pieces.
fn charge(engine: &Engine, accounts: usize) {
    for account in 0..accounts {
        let costs = Costs::new(1, 1, []);
        let reserve = Some(Reserve { id: None, ttl_ms: None });
        let (account, resource) = (name(account), "text");
        let request = Request { account: &account, resource, costs: &costs, reserve, dry_run: false };
        assert!(engine.decide(&request, crate::harness::START).unwrap().allowed());
    }
}

fn used(engine: &Engine, accounts: usize) -> Vec<String> {
    let usage = |account| format!("{:?}", engine.usage(&name(account), crate::harness::START));
    (0..accounts).map(usage).collect()
}

#[track_caller]
fn until(what: &str, patience: Duration, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + patience;
    while !holds() {
        assert!(Instant::now() < end, "not within {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What a kill now would leave.
fn killed(folder: &TempDir) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in ["counters", "history", "journal", "control"] {
        crate::harness::copy(&folder.path().join(name), &copy.path().join(name));
    }
    copy
}

#[test]
fn after_any_disk_error_usage_is_written_again_without_a_restart() {
    for fails in [
        Fails::Writes(ENOSPC),
        Fails::Writes(EIO),
        Fails::Syncs(EIO),
        Fails::Syncs(ENOSPC),
        Fails::Creates(EMFILE),
        Fails::Creates(ENFILE),
        Fails::Creates(EIO),
    ] {
        let (folder, switch) = (tempfile::tempdir().unwrap(), Switch::on("counters"));
        let store = open(folder.path(), Arc::new(switch.clone()));
        let engine = engine();
        let begun_already = !matches!(fails, Fails::Creates(_));
        if begun_already {
            charge(&engine, 20);
        } else {
            switch.set(fails);
        }
        let flusher = Flusher::start(engine.clone(), store.clone(), INTERVAL, None);
        if begun_already {
            until("usage is written", PATIENCE, || engine.dirty() == 0);
            switch.set(fails);
        }
        charge(&engine, 30);
        until(&format!("{fails:?} is told"), Duration::from_secs(2), || flusher.trouble().is_some());
        (0..30).for_each(|_| charge(&engine, 10));
        std::thread::sleep(Duration::from_millis(700));
        assert!(flusher.trouble().is_some() && flusher.lag() > Duration::from_millis(500), "{fails:?}");

        switch.set(Fails::Nothing);
        until(&format!("{fails:?} is over"), PATIENCE, || flusher.trouble().is_none() && engine.dirty() == 0);
        until("all is written", PATIENCE, || flusher.lag() < Duration::from_millis(100));

        let after_kill = killed(&folder);
        flusher.stop().unwrap();
        store.close().unwrap();
        for folder in [after_kill, killed(&folder)] {
            let again = restore(&open(folder.path(), Arc::new(Switch::on("counters"))));
            assert_eq!(used(&again, 30), used(&engine, 30), "{fails:?}");
        }
    }
}

#[test]
fn a_stop_writes_what_memory_holds_once_the_disk_takes_it() {
    for fails in [Fails::Writes(ENOSPC), Fails::Syncs(EIO)] {
        let (folder, switch) = (tempfile::tempdir().unwrap(), Switch::on("counters"));
        let store = open(folder.path(), Arc::new(switch.clone()));
        let engine = engine();
        charge(&engine, 100);
        let flusher = Flusher::start(engine.clone(), store.clone(), INTERVAL, None);
        until("usage is written", PATIENCE, || engine.dirty() == 0);
        switch.set(fails);
        charge(&engine, 100);
        until("it is told", Duration::from_secs(2), || flusher.trouble().is_some());

        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(400));
                switch.set(Fails::Nothing);
            });
            flusher.stop().unwrap();
        });
        store.close().unwrap();

        let stopped = killed(&folder);
        let again = restore(&open(stopped.path(), Arc::new(Switch::on("counters"))));
        assert_eq!(used(&again, 100), used(&engine, 100), "{fails:?}");
    }
}

#[test]
fn a_stop_on_a_disk_that_takes_nothing_ends_and_says_so() {
    let (folder, switch) = (tempfile::tempdir().unwrap(), Switch::on("counters"));
    let store = open(folder.path(), Arc::new(switch.clone()));
    let engine = engine();
    let flusher = Flusher::start(engine.clone(), store.clone(), INTERVAL, None);
    switch.set(Fails::Creates(EIO));
    charge(&engine, 3);

    let begun = Instant::now();
    let stopped = flusher.stop();

    assert!(stopped.is_err() && begun.elapsed() < PATIENCE, "{stopped:?} after {:?}", begun.elapsed());
    assert_eq!(engine.dirty(), 3);
}

/// Logs of many starts are made one while decisions go on; a kill or a power cut at any moment loses nothing of before.
#[test]
fn a_renewal_under_load_loses_nothing_wherever_it_is_killed() {
    const ACCOUNTS: usize = 500;
    let (folder, recorder) = (tempfile::tempdir().unwrap(), Recorder::default());
    let engine = engine();
    charge(&engine, ACCOUNTS);
    for _ in 0..18 {
        let store = open(folder.path(), Arc::new(recorder.clone()));
        charge(&engine, 2);
        let mut groups = Vec::new();
        engine.drain_dirty(|_, group| groups.push(group));
        store.put_groups(groups).unwrap();
        store.close().unwrap();
    }
    let store = open(folder.path(), Arc::new(recorder.clone()));
    let before = used(&engine, ACCOUNTS);
    let first = recorder.now();

    let flusher = Flusher::start(engine.clone(), store.clone(), INTERVAL, None);
    let oldest = folder.path().join("counters/0000000001.log");
    until("the old logs are gone", PATIENCE, || {
        charge(&engine, 2);
        !oldest.exists()
    });
    let last = recorder.now();
    flusher.stop().unwrap();

    assert!(last > first + 20, "there is something between");
    for moment in (first..=last).step_by(1.max((last - first) / 25)) {
        for kept in [false, true] {
            let image = tempfile::tempdir().unwrap();
            let files = recorder.cut(moment, || kept);
            for (path, content) in files.iter().filter(|(path, _)| path.parent().unwrap().ends_with("counters")) {
                std::fs::create_dir_all(image.path().join("counters")).unwrap();
                std::fs::write(image.path().join("counters").join(path.file_name().unwrap()), content).unwrap();
            }
            let again = restore(&open(image.path(), Arc::new(Switch::on("counters"))));
            // The first two go on being charged; all others are as they were.
            assert_eq!(used(&again, ACCOUNTS)[2..], before[2..], "operation {moment} of {first} to {last}, {kept}");
        }
    }
}
