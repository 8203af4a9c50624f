//! Writing usage behind: the log of images beside sled, in turns, and a renewal under way.

use quotagate::engine::{Costs, Engine, Options as Bounds, Request, UnknownAccounts};
use quotagate::services::flush::Flusher;
use quotagate::store::embedded::{EmbeddedStore, Options};
use quotagate::store::{CounterStore, Renewal};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const POLICY: &str = "
schema: quotagate.policy/v1
name: bench
tiers: [{id: free}]
default_tier: free
groups:
  - id: text
    resources: [text]
    limits:
      - {id: rpm, unit: requests, window: 1m, quotas: {free: 1000000000}}
      - {id: tpm, unit: tokens, window: 1m, quotas: {free: 1000000000000}}
";
const NOW: i64 = 1_790_000_000_000;

fn engine() -> Arc<Engine> {
    let policy = quotagate::policy::parse(POLICY).expect("the policy is valid").policy;
    let bounds = Bounds { unknown_accounts: UnknownAccounts::DefaultTier, ..Bounds::default() };
    Arc::new(Engine::new(Arc::new(policy), bounds))
}

fn charge(engine: &Engine, account: usize, now: i64) {
    let costs = Costs::new(1, 100, []);
    let account = format!("account-{account}");
    let request = Request { account: &account, resource: "text", costs: &costs, reserve: None, dry_run: false };
    engine.decide(&request, now).expect("decided");
}

/// Of this process, all threads.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("a Linux /proc");
    // Behind the name: fields 14 and 15 of proc(5), in ticks of 10 ms.
    let fields = stat.rsplit(')').next().unwrap_or("").split_whitespace().skip(11).take(2);
    Duration::from_millis(fields.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>() * 10)
}

fn size(folder: &Path) -> u64 {
    std::fs::read_dir(folder)
        .expect("a folder")
        .map(|item| item.expect("an item").metadata().expect("known").len())
        .sum()
}

/// Rounds in which so many records of a store are written, the way sled was written to, and the way the log is.
fn rounds(accounts: usize, dirty: usize, rounds: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = EmbeddedStore::open(&folder.path().join("log"), Options::default()).expect("opens");
    let sled = sled::Config::new().path(folder.path().join("sled")).cache_capacity(256 << 20).open().expect("opens");
    let engine = engine();
    // Windows in which many slots are in use, as those of busy accounts are.
    for slot in 0..40 {
        (0..accounts).for_each(|account| charge(&engine, account, NOW + slot * 1_000));
    }
    engine.drain_dirty(|_, _| ());
    let (mut log_cpu, mut sled_cpu, mut bytes) = (Duration::ZERO, Duration::ZERO, 0);
    for round in 0..rounds {
        for n in 0..dirty {
            charge(&engine, (n * 7919 + round * 104_729) % accounts, NOW + 40_000 + round as i64 * 50);
        }
        let mut groups = Vec::new();
        engine.drain_dirty(|_, group| groups.push(group));
        bytes += groups.iter().flatten().filter_map(|(_, value)| value.as_ref().map(Vec::len)).sum::<usize>();
        let begun = cpu();
        for (key, value) in groups.iter().flatten() {
            sled.insert(key, [&[0; 7], value.as_deref().expect("a value")].concat()).expect("written");
        }
        sled.flush().expect("flushed");
        let between = cpu();
        store.put_groups(groups).expect("written");
        if round % 20 == 19 {
            store.sync().expect("synced");
        }
        sled_cpu += between - begun;
        log_cpu += cpu() - between;
    }
    let records = (dirty * rounds) as f64;
    let micros = |cpu: Duration| cpu.as_secs_f64() * 1e6 / records;
    let log_bytes = size(&folder.path().join("log/counters")) as f64;
    println!(
        "{dirty} dirty of {accounts}: log {:.2} us of CPU a record, {:.0} B written; sled {:.2} us; image {:.0} B",
        micros(log_cpu),
        log_bytes / records,
        micros(sled_cpu),
        bytes as f64 / records,
    );
}

/// The lag and the disk while all accounts are renewed under load.
fn renewal(accounts: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine();
    (0..accounts).for_each(|account| charge(&engine, account, NOW));
    for _ in 0..17 {
        let (store, _) = EmbeddedStore::open(folder.path(), Options::default()).expect("opens");
        charge(&engine, 0, NOW);
        let mut groups = Vec::new();
        engine.drain_dirty(|_, group| groups.push(group));
        store.put_groups(groups).expect("written");
    }
    let begun = Instant::now();
    let (store, _) = EmbeddedStore::open(folder.path(), Options::default()).expect("opens");
    let opened = begun.elapsed();
    let store = Arc::new(store);
    let before = store.bytes();
    assert_eq!(store.renewal(), Renewal::Worth);
    let (begun, cpu_before) = (Instant::now(), cpu());
    let flusher = Flusher::start(Arc::clone(&engine), store.clone(), Duration::from_millis(50), None);
    let (mut worst, mut most, mut lags, mut slowest) = (Duration::ZERO, 0, Vec::new(), Duration::ZERO);
    let mut n = 0;
    while !(store.renewal() == Renewal::NotNow && folder_is_small(folder.path())) {
        // 2,000 decisions a second.
        for _ in 0..10 {
            n += 1;
            let sent = Instant::now();
            charge(&engine, (n * 7919) % accounts, NOW + begun.elapsed().as_millis() as i64);
            slowest = slowest.max(sent.elapsed());
        }
        std::thread::sleep(Duration::from_millis(5));
        lags.push(flusher.lag());
        worst = worst.max(flusher.lag());
        most = most.max(store.bytes());
    }
    lags.sort_unstable();
    println!(
        "renewal of {accounts}: {:.1} s, {:.2} s of CPU, lag p50 {:.0} ms, p99 {:.0} ms, worst {:.0} ms; slowest decision {:.1} ms; disk {} MB, {} MB at most, {} MB after; start read it in {:.2} s",
        begun.elapsed().as_secs_f64(),
        (cpu() - cpu_before).as_secs_f64(),
        lags[lags.len() / 2].as_secs_f64() * 1e3,
        lags[lags.len() * 99 / 100].as_secs_f64() * 1e3,
        worst.as_secs_f64() * 1e3,
        slowest.as_secs_f64() * 1e3,
        before / 1_000_000,
        most / 1_000_000,
        store.bytes() / 1_000_000,
        opened.as_secs_f64(),
    );
    flusher.stop().expect("stopped");
    let begun = Instant::now();
    store.close().expect("closed");
    println!("a stop sealed it in {:.2} s", begun.elapsed().as_secs_f64());
}

fn folder_is_small(folder: &Path) -> bool {
    std::fs::read_dir(folder.join("counters")).expect("a folder").count() <= 2
}

fn main() {
    rounds(100_000, 100_000, 5);
    rounds(100_000, 5_000, 40);
    rounds(10_000, 100, 400);
    renewal(100_000);
    renewal(1_000_000);
}
