//! Bytes an account: what the allocator was asked for, and what the process grew by.

#[allow(dead_code, reason = "the measurements share it")]
#[path = "support/load.rs"]
mod load;

use quotagate::engine::{Engine, Options};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

const ACCOUNTS: usize = 200_000;

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is handed to the system's allocator; the sum is an atomic.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_add(size, Ordering::Relaxed);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[derive(Clone, Copy)]
struct Bytes {
    live: usize,
    resident: usize,
}

impl Bytes {
    fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a resident size");
        let kib: usize = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
        Self { live: LIVE.load(Ordering::Relaxed), resident: kib * 1024 }
    }
}

fn tell(what: &str, since: Bytes) {
    let now = Bytes::now();
    let each = |now: usize, before: usize| now.saturating_sub(before) as f64 / ACCOUNTS as f64;
    let (live, resident) = (each(now.live, since.live), each(now.resident, since.resident));
    println!("{what:<52} {live:>7.0} B allocated  {resident:>7.0} B resident");
}

/// One decision for each account at each of the times, written back as the server does every 50 ms.
fn charge(engine: &Engine, ids: &[load::Id], times: impl Iterator<Item = i64>) {
    let costs = load::costs();
    for now in times {
        for part in ids.chunks(10_000) {
            for id in part {
                let request = load::request(load::text(id), &costs);
                assert!(engine.decide(&request, now).expect("decided").allowed());
            }
            engine.drain_dirty(|_, _| ());
        }
    }
}

fn main() {
    let ids = load::ids(ACCOUNTS);
    println!("bytes an account, {ACCOUNTS} accounts with ids of 16 bytes:");
    let before = Bytes::now();
    let engine = load::engine(load::AMPLE_RPM, &ids);
    tell("idle, known", before);

    let idle = Bytes::now();
    charge(&engine, &ids, (0..8).map(|second| load::BEGUN + second * 1_000));
    tell("RPM + TPM with 8 charges, on top of that", idle);
    tell("  in all", before);

    charge(&engine, &ids, (8..70).map(|second| load::BEGUN + second * 1_000));
    tell("RPM + TPM, all 60 slots, on top of idle", idle);
    tell("  in all", before);
    drop(engine);

    let before = Bytes::now();
    let options = Options { history: true, ..Options::default() };
    let engine = load::engine_with(load::AMPLE_RPM, &ids, options);
    charge(&engine, &ids, (0..8).map(|second| load::BEGUN + second * 1_000));
    tell("RPM + TPM with 8 charges and the minute's history", before);
}
