//! Disks that fail for a while under a server at work: decisions go on, what was acknowledged stays, the state is told,
//! it goes on by itself where that is promised, and a stop in order loses nothing that memory still holds.

use crate::disk::{ALL, Disk};
use crate::load::{Cut, Load, Watched};
use crate::power::{Moment, start};
use crate::recording;
use crate::server::{Client, Server, verify};
use crate::shim::{EIO, EMFILE, ENOSPC, On, Rule, Shim};
use crate::tally::{self, Tally};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const BEFORE: Duration = Duration::from_millis(300);
/// For the server to be ready again, and to work on for a while.
const AFTER: Duration = Duration::from_secs(3);
/// The readiness tells of a failure within this.
const TOLD_WITHIN: Duration = Duration::from_secs(2);
const LEEWAY: Duration = Duration::from_millis(500);
/// Longest that a decision may take, on a machine that does other things too.
const SLOWEST: Duration = Duration::from_secs(2);

/// What is promised of the server once the disk is well again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// It goes on without a restart.
    GoesOn,
    /// It takes no more changes until a restart, and says so.
    WaitsForRestart,
    /// Either, as it says itself.
    AsItSays,
}

struct Scenario {
    name: &'static str,
    rules: &'static [Rule],
    then: Then,
}

/// How the server ends afterwards.
#[derive(Debug, Clone, Copy)]
enum End {
    Stopped,
    Killed,
    PowerCut,
}

const fn rule(on: &'static [On], inside: &'static str, error: i32) -> Rule {
    Rule { on, error, pass: 0, halves: false, inside }
}

const fn halves(inside: &'static str) -> Rule {
    Rule { on: &[On::Write], error: ENOSPC, pass: 1, halves: true, inside }
}

const SYNCS: &[On] = &[On::Sync, On::SyncRange];
const OPENS: &[On] = &[On::Open];
const WRITES: &[On] = &[On::Write];
const TAKES_ROOM: &[On] = &[On::Write, On::Create, On::Rename];

const SCENARIOS: [Scenario; 15] = [
    Scenario { name: "counters: write EIO", rules: &[rule(WRITES, "counters", EIO)], then: Then::GoesOn },
    Scenario { name: "counters: sync EIO", rules: &[rule(SYNCS, "counters", EIO)], then: Then::GoesOn },
    Scenario { name: "journal: write ENOSPC in halves", rules: &[halves("journal/")], then: Then::GoesOn },
    Scenario { name: "journal: sync EIO", rules: &[rule(SYNCS, "journal/", EIO)], then: Then::WaitsForRestart },
    Scenario { name: "counters: write ENOSPC in halves", rules: &[halves("counters")], then: Then::GoesOn },
    Scenario { name: "everything: open EMFILE", rules: &[rule(OPENS, "", EMFILE)], then: Then::GoesOn },
    Scenario { name: "journal: write EIO", rules: &[rule(WRITES, "journal/", EIO)], then: Then::WaitsForRestart },
    Scenario { name: "control: write EIO", rules: &[rule(WRITES, "control/", EIO)], then: Then::AsItSays },
    Scenario { name: "everything: ENOSPC", rules: &[rule(TAKES_ROOM, "", ENOSPC)], then: Then::AsItSays },
    Scenario { name: "everything: EIO", rules: &[rule(WRITES, "", EIO), rule(SYNCS, "", EIO)], then: Then::AsItSays },
    Scenario {
        name: "counters: open EIO, write EIO",
        rules: &[rule(OPENS, "counters", EIO), rule(WRITES, "counters", EIO)],
        then: Then::GoesOn,
    },
    Scenario {
        name: "counters: open EMFILE, write EIO",
        rules: &[rule(OPENS, "counters", EMFILE), rule(WRITES, "counters", EIO)],
        then: Then::GoesOn,
    },
    Scenario { name: "control: sync EIO", rules: &[rule(SYNCS, "control/", EIO)], then: Then::AsItSays },
    Scenario { name: "control: write ENOSPC in halves", rules: &[halves("control/")], then: Then::AsItSays },
    Scenario { name: "counters: rename EIO", rules: &[rule(&[On::Rename], "counters", EIO)], then: Then::GoesOn },
];

/// What happened while everyone worked.
struct Seen {
    /// When the first call failed.
    failed: Option<Instant>,
    healed: Instant,
}

fn harm(shim: &Shim, rules: &[Rule], lasts: Duration) -> Seen {
    std::thread::sleep(BEFORE);
    shim.fail(rules);
    let (mut failed, until) = (None, Instant::now() + lasts);
    while Instant::now() < until {
        if failed.is_none() && shim.failures() > 0 {
            failed = Some(Instant::now());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    shim.heal();
    Seen { failed, healed: Instant::now() }
}

/// What is promised while it lasts and after it.
fn check_meanwhile(scenario: &Scenario, watched: &Watched, seen: &Seen, client: &Client, said: &str) {
    assert_eq!(watched.unanswered, None, "decisions go on; it said: {said}");
    assert!(watched.slowest < SLOWEST, "a decision took {:?}", watched.slowest);
    assert!(!tally::panicked(said), "{said}");
    let last = watched.looks.last().expect("someone looked");
    if let Some(failed) = seen.failed
        && seen.healed - failed > TOLD_WITHIN + LEEWAY
        && !scenario.name.starts_with("control")
        && !scenario.name.contains("open EMFILE")
        && !scenario.name.contains("rename")
    {
        let told = watched.looks.iter().any(|look| !look.ready && look.asked < failed + TOLD_WITHIN + LEEWAY);
        assert!(told, "the readiness told nothing within {TOLD_WITHIN:?}");
    }
    let waits = last.reasons.contains("restart");
    let goes_on = match scenario.then {
        Then::GoesOn => true,
        Then::WaitsForRestart => seen.failed.is_none(),
        Then::AsItSays => !waits,
    };
    if goes_on {
        assert!(last.ready, "{AFTER:?} after the disk was well: {}; it said: {said}", last.reasons);
        let made = client.post("/v1/accounts", serde_json::json!({"id": "afterwards"})).unwrap();
        assert_eq!(made.status, 201, "{}", made.text);
    } else {
        assert!(!last.ready && waits, "it says what it waits for: {}", last.reasons);
    }
}

/// What is lost of usage, and what may be.
fn end(
    server: &mut Server,
    (load, watched, may_fail): (&Load, &Watched, bool),
    (shim, how): (&Shim, End),
    (folder, log, moment): (&Path, &Path, Moment),
    random: &mut SmallRng,
) -> (Duration, Duration) {
    let mut cut = Cut { log_bytes: u64::MAX, at: Instant::now() };
    let mut allowed = Duration::ZERO;
    match how {
        End::Stopped => {
            let in_order = server.stop();
            assert!(in_order || may_fail, "the stop in order: {}", server.log());
        }
        End::Killed => {
            server.kill();
            allowed = cut.at - watched.promised().expect("someone looked");
        }
        End::PowerCut => {
            server.kill();
            let events = recording::read(log);
            let mut disk = Disk::empty();
            events.iter().for_each(|event| disk.take(event));
            (cut, allowed) = moment.cut(&events);
            std::fs::remove_dir_all(folder.join("data")).unwrap();
            disk.leave(*ALL.choose(random).unwrap(), random, &folder.join("data"));
            shim.boot_again();
        }
    }
    let mut server = start(folder, shim, None);
    let client = server.client();
    load.check_changes(&client, cut, None);
    let behind = load.check_usage(&client, cut, &server.said());
    assert!(!tally::panicked(&server.said()), "{}", server.said());
    assert!(server.stop(), "{}", server.log());
    verify(folder, "the end");
    (behind, allowed)
}

fn play(scenario: &Scenario, how: End, lasts: Duration, random: &mut SmallRng, tally: &mut Tally) {
    let folder = tempfile::tempdir().unwrap();
    let shim = Shim::new(folder.path()).unwrap();
    let log = folder.path().canonicalize().unwrap().join("events");
    let moment = Moment::now();
    let mut server = start(folder.path(), &shim, Some(&log));
    let mut load = Load::new();
    let time = BEFORE + lasts + AFTER;
    let meanwhile = |_: &Mutex<Watched>, _: Instant| harm(&shim, scenario.rules, lasts);
    let (watched, seen) = load.work(&server, time, Some(&log), meanwhile);
    tally.acknowledged += load.acknowledged();
    tally.came(scenario.name);
    check_meanwhile(scenario, &watched, &seen, &server.client(), &server.said());
    for code in load.refused().keys() {
        assert!(!["none", "internal"].contains(&code.as_str()), "a refusal says why: {:?}", load.refused());
    }
    // What sled or the journal lost of its own is said once more at the stop; the next start has it from the journal.
    let may_fail = scenario.then != Then::GoesOn;
    let ended = end(&mut server, (&load, &watched, may_fail), (&shim, how), (folder.path(), &log, moment), random);
    let (behind, allowed) = ended;
    tally.behind.push(behind);
    assert!(behind <= allowed, "usage of {behind:?} is lost, {allowed:?} may be; {}", server.said());
}

#[test]
fn a_disk_that_fails_for_a_while_loses_nothing_that_was_promised() {
    let rounds = tally::rounds(3);
    let mut random = SmallRng::seed_from_u64(tally::seed());
    let mut tally = Tally::default();
    let empty = tempfile::tempdir().unwrap();
    if Shim::new(empty.path()).is_none() {
        return;
    }

    for round in 0..rounds {
        let scenario = &SCENARIOS[round % SCENARIOS.len()];
        let how = [End::Stopped, End::Killed, End::PowerCut][(round + round / SCENARIOS.len()) % 3];
        let lasts = if round % 2 == 0 { 2_700 } else { random.random_range(100..1_500) };
        let lasts = Duration::from_millis(lasts);
        let name = format!("round {round}: {} for {lasts:?}, then {how:?}", scenario.name);
        tally.round(&name, |tally| play(scenario, how, lasts, &mut random, tally));
    }

    tally.close("disk error");
}
