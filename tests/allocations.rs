//! The promise of the hot path: a decision without a reservation allocates nothing once its account has counters.

#[allow(dead_code, reason = "the measurements share it")]
#[path = "../benches/support/load.rs"]
mod load;

use quotagate::engine::{HISTORY_PARTS, Options, Reason, Reserve};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Most allocations of one decision in steady state.
const MOST: u64 = 0;

struct Counting;

thread_local! {
    static MADE: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is handed to the system's allocator; the count is a plain thread-local.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MADE.set(MADE.get() + 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        MADE.set(MADE.get() + 1);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations made by this thread meanwhile.
fn allocations(act: impl FnOnce()) -> u64 {
    let before = MADE.get();
    act();
    MADE.get() - before
}

/// The most allocations that one of `times` decisions makes, `step_ms` apart.
fn most_in_a_decision(rpm: u64, times: i64, step_ms: i64, denied: Option<Reason>) -> u64 {
    let ids = load::ids(64);
    let engine = load::engine_with(rpm, &ids, Options { history: true, ..Options::default() });
    let costs = load::costs();
    let decide = |n: i64| {
        let account = load::text(&ids[n as usize % ids.len()]);
        engine.decide(&load::request(account, &costs), load::BEGUN + n * step_ms).expect("decided")
    };
    for n in 0..times {
        decide(n);
    }
    let most = (times..2 * times).map(|n| {
        // As the flush loop does: minutes that have passed are taken out.
        if n % 1_000 == 0 {
            (0..HISTORY_PARTS).for_each(|part| engine.drain_history(part, load::BEGUN + n * step_ms, |_, _, _| {}));
        }
        allocations(|| {
            let decision = decide(n);
            assert_eq!(decision.denied, denied);
        })
    });
    most.max().expect("some decisions")
}

#[test]
fn an_allowed_decision_allocates_nothing_in_steady_state() {
    // Each account is charged every 64 ms, so most decisions add to a slot that is there.
    assert!(most_in_a_decision(load::AMPLE_RPM, 64 * 1_000, 1, None) == MOST);
}

#[test]
fn slots_that_come_and_go_allocate_nothing_once_the_window_has_been_full() {
    // Each account is charged once a second, so each decision opens a slot and drops one.
    assert!(most_in_a_decision(load::AMPLE_RPM, 64 * 120, 16, None) == MOST);
}

#[test]
fn a_denied_decision_allocates_nothing() {
    assert!(most_in_a_decision(load::TIGHT_RPM, 64 * 20, 1, Some(Reason::QuotaExceeded)) == MOST);
}

#[test]
fn the_count_sees_what_a_reservation_allocates() {
    let ids = load::ids(1);
    let engine = load::engine(1_000, &ids);
    let costs = load::costs();
    let request =
        quotagate::engine::Request { reserve: Some(Reserve::default()), ..load::request(load::text(&ids[0]), &costs) };

    let made = allocations(|| assert!(engine.decide(&request, load::BEGUN).expect("decided").allowed()));

    assert!(made > 0);
}

#[cfg(feature = "server")]
#[test]
fn a_key_is_checked_without_allocating() {
    use quotagate::ids::Ids;
    use quotagate::services::api_keys::{self, NewKey, Scope};
    use quotagate::services::{Context, boot};
    use quotagate::store::embedded::{EmbeddedStore, Options};
    let folder = tempfile::tempdir().expect("a folder can be made");
    let store = std::sync::Arc::new(EmbeddedStore::open(folder.path(), Options::default()).expect("it opens").0);
    let services = boot::without_accounts(store.clone(), Ids::seeded(1));
    let new = NewKey { name: None, scopes: vec![Scope::Admin], account: None, expires_at_ms: None };
    let made = api_keys::create(&services, &Context::system(1_000), &new).expect("a key is made").value;
    let secret = made.secret.expect("its secret is told");
    let keyring = boot::keyring(&*store, 0).expect("the keys are read");
    let wrong = format!("{}0", &secret.expose()[..36]);
    let check = |now| (keyring.authenticate(secret.expose(), now).is_ok(), keyring.authenticate(&wrong, now).is_ok());
    assert_eq!(check(1_000), (true, false));

    let made = allocations(|| (0..100).for_each(|minute| _ = check(minute * 60_000)));

    assert_eq!(made, 0);
    store.close().expect("it closes");
}
