use crate::harness::{Plane, account, decide, id, refused};
use quotagate::engine::Engine;
use quotagate::services::usage::{self, Selector};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::sync::Arc;

fn used(plane: &Plane) -> Vec<(String, u128)> {
    let rows = usage::usage(&plane.services, &account("acme"), plane.now).unwrap();
    rows.into_iter().filter(|row| row.state.used > 0).map(|row| (row.limit, row.state.used)).collect()
}

fn reset(plane: &Plane, what: &Selector) {
    usage::reset(&plane.services, &plane.context(), &account("acme"), what, "our fault").unwrap();
}

/// An engine built from the store as a kill would leave it now: what was not yet written is lost.
fn after_kill(plane: &Plane) -> Arc<Engine> {
    quotagate::services::boot::engine(&*plane.store, &*plane.store, Default::default(), None).unwrap().0
}

/// What was used of each limit.
fn used_in(engine: &Engine, now: i64) -> Vec<(String, u128)> {
    let rows = engine.usage("acme", now).unwrap();
    rows.into_iter().filter(|row| row.state.used > 0).map(|row| (row.limit, row.state.used)).collect()
}

fn one_limit(limit: &str) -> Selector {
    Selector { group: Some(id("text.m2")), limit: Some(id(limit)) }
}

#[test]
fn a_reset_forgets_what_was_used() {
    let plane = Plane::new();
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 5), 3);
    let rpm = Selector { group: Some(id("text.m2")), limit: Some(id("rpm")) };

    usage::reset(&plane.services, &plane.context(), &account("acme"), &rpm, "our fault").unwrap();

    assert_eq!(used(&plane), [("tpm".to_owned(), 3)]);
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 5), 3);
    usage::reset(&plane.services, &plane.context(), &account("acme"), &Selector::default(), "all").unwrap();
    assert_eq!(used(&plane), []);
    assert_eq!(plane.audited("account:acme"), ["account.reset_usage", "account.reset_usage", "account.create"]);
}

#[test]
fn a_reset_outlives_a_stop_that_lost_what_was_not_yet_written() {
    let mut plane = Plane::new();
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 5), 3);
    plane.flush();
    plane.now += 1;
    usage::reset(&plane.services, &plane.context(), &account("acme"), &Selector::default(), "all").unwrap();

    assert_eq!(used_in(&after_kill(&plane), plane.now), []);
}

#[test]
fn a_reset_is_done_again_though_the_usage_that_came_back_is_of_a_later_time() {
    let mut plane = Plane::new();
    plane.now += 1_000;
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 2), 2);
    plane.flush();
    plane.now -= 1_000;
    reset(&plane, &Selector::default());

    assert_eq!(used_in(&after_kill(&plane), plane.now + 1_000), []);
}

#[test]
fn a_reset_that_was_written_is_not_done_again() {
    let mut plane = Plane::new();
    plane.now += 1_000;
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 2), 2);
    reset(&plane, &Selector::default());
    plane.now -= 1_000;
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 1), 1);
    plane.flush();

    assert_eq!(used_in(&after_kill(&plane), plane.now), used(&plane));
    assert_eq!(used(&plane), [("rpm".to_owned(), 1), ("tpm".to_owned(), 1)]);
}

#[test]
fn of_several_resets_those_are_done_again_that_the_written_usage_has_not_seen() {
    let plane = Plane::new();
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 1), 1);
    reset(&plane, &one_limit("tpm"));
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 2), 2);
    plane.flush();
    reset(&plane, &one_limit("rpm"));

    let engine = after_kill(&plane);

    assert_eq!(used_in(&engine, plane.now), [("tpm".to_owned(), 2)]);
    assert_eq!(used(&plane), [("tpm".to_owned(), 2)]);
}

#[test]
fn after_any_kills_what_is_used_is_what_was_written_and_not_reset() {
    let mut random = StdRng::seed_from_u64(7);
    let mut plane = Plane::new();
    // Of rpm and tpm: in the engine, and as written.
    let (mut live, mut written) = ([0; 2], [0; 2]);
    for _ in 0..400 {
        match random.random_range(0..10) {
            0..4 if live[0] < 3 => {
                assert!(plane.decide("acme", "MiniMax-M2").allowed());
                live = live.map(|used| used + 1);
            }
            0..6 => {
                plane.flush();
                written = live;
            }
            6..9 => {
                let (what, reset_of) = [
                    (one_limit("rpm"), [true, false]),
                    (one_limit("tpm"), [false, true]),
                    (Selector::default(), [true, true]),
                ][random.random_range(0..3)]
                .clone();
                reset(&plane, &what);
                for (limit, _) in reset_of.iter().enumerate().filter(|(_, reset)| **reset) {
                    (live[limit], written[limit]) = (0, 0);
                }
            }
            _ => {
                plane = plane.after_kill();
                live = written;
            }
        }
        let expected: Vec<_> =
            ["rpm", "tpm"].map(str::to_owned).into_iter().zip(live).filter(|(_, n)| *n > 0).collect();
        assert_eq!(used(&plane), expected);
    }
}

#[test]
fn a_reset_of_what_was_never_used_is_not_done_again_to_what_is_used_later() {
    let plane = Plane::new();
    reset(&plane, &Selector::default());

    let plane = plane.restart();
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 2), 2);
    let plane = plane.restart();

    assert_eq!(plane.allowed("acme", "MiniMax-M2", 5), 1);
}

#[test]
fn a_reset_moves_no_time() {
    let plane = Plane::new();
    reset(&plane, &Selector::default());
    let engine = after_kill(&plane);

    let (live, restarted) = (plane.decide("acme", "MiniMax-M2"), decide(&engine, "acme", "MiniMax-M2", plane.now));

    assert_eq!(live.limits, restarted.limits);
}

#[test]
fn a_reset_done_again_moves_no_time() {
    let plane = Plane::new();
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 2), 2);
    let before = plane.engine().status("acme", "MiniMax-M2", plane.now).unwrap().limits;
    plane.flush();
    reset(&plane, &Selector::default());
    let engine = after_kill(&plane);

    for engine in [plane.engine(), &engine] {
        assert!(decide(engine, "acme", "MiniMax-M2", plane.now).allowed());
        let limits = engine.status("acme", "MiniMax-M2", plane.now).unwrap().limits;
        assert_eq!(limits[0].reset_after_ms, before[0].reset_after_ms);
    }
}

#[test]
fn usage_after_a_reset_survives_a_restart() {
    let mut plane = Plane::new();
    usage::reset(&plane.services, &plane.context(), &account("acme"), &Selector::default(), "all").unwrap();
    plane.now += 5;
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 2), 2);

    let plane = plane.restart();

    assert_eq!(plane.allowed("acme", "MiniMax-M2", 5), 1);
}

#[test]
fn what_is_reset_must_exist() {
    let plane = Plane::new();
    plane.create_sub("acme", "acme-eu");
    let reset = |name: &str, group: Option<&str>, limit: Option<&str>| {
        let what = Selector { group: group.map(id), limit: limit.map(id) };
        refused(usage::reset(&plane.services, &plane.context(), &account(name), &what, "why"))
    };

    assert_eq!(reset("acme", Some("text.m9"), None), "/group unknown_group");
    assert_eq!(reset("acme", Some("text.m2"), Some("rpd")), "/limit unknown_limit");
    assert_eq!(reset("acme", None, Some("rpd")), "/limit unknown_limit");
    assert_eq!(reset("acme-eu", None, None), "not_a_main_account");
    assert_eq!(reset("nobody", None, None), "no account");
}

#[test]
fn limits_say_where_they_come_from() {
    let plane = Plane::new();

    let explanation = usage::limits(&plane.services, &account("acme"), plane.now).unwrap();

    assert_eq!((explanation.revision, explanation.tier.as_str()), (1, "free"));
    assert_eq!(refused(usage::limits(&plane.services, &account("nobody"), plane.now)), "no account");
}
