//! The real server on a real folder, killed at work: what it acknowledged is there afterwards, nothing is half there,
//! usage is behind by no more than it said, and a start from the journal alone answers the same.

mod approvals;
mod backups;
#[allow(dead_code, reason = "pieces are for power cuts, in tests/faults")]
mod deciders;
mod descriptors;
mod disk_full;
mod import;
mod payments;
mod promises;
mod raises;
#[cfg(feature = "manual-clock")]
mod restart;
#[allow(dead_code, reason = "what a refused start came to is for tests/faults")]
mod server;
mod views;
mod writers;

use deciders::{CROWD, Crowd, Decider, Habit, Spent};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use server::{Client, Server, verify};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};
use views::Asked;
use writers::{Duty, Shelf, Writer};

/// No client works longer than this, so that a test that fails ends.
const LONGEST_ROUND: Duration = Duration::from_secs(15);
const CROWD_CLIENTS: u64 = 4;

/// How a server ends.
#[derive(Debug, Clone)]
enum End {
    Killed(Duration),
    /// By itself, at this step of a commit for the n-th time.
    Failpoint(String),
    Stopped(Duration),
}

/// What happens to the folder before the next one goes on with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Nothing,
    /// Starts that are killed before or after they are done.
    DyingStarts,
    /// The state is lost; the next start makes it from the journal.
    ControlLost,
}

struct Round {
    end: End,
    then: Then,
}

/// All clients, and what they were promised.
struct Cast {
    writers: Vec<Writer>,
    deciders: Vec<Decider>,
    crowd: Crowd,
    spent: Vec<Spent>,
    /// Everything charged before this is written.
    promised: Instant,
    ended: Instant,
}

/// What was seen, for the report.
#[derive(Default)]
struct Seen {
    rounds: usize,
    acknowledged: usize,
    lost: usize,
    /// How old the oldest lost charge was, of each account that lost one.
    ages: Vec<Duration>,
    /// From the last promise to the kill.
    behind: Vec<Duration>,
}

impl Cast {
    fn new() -> Self {
        use Duty::{Accounts, Both, Clamps, Dial, Overrides, SubAccounts};
        let duties = [
            vec![Accounts; 8],
            vec![SubAccounts; 6],
            vec![Overrides; 6],
            vec![Clamps; 4],
            vec![Both; 4],
            vec![Dial("d0"), Dial("d1"), Dial("d2"), Dial("d3")],
        ];
        let writers: Vec<Writer> =
            duties.concat().into_iter().zip(0..).map(|(duty, id)| Writer::new(id, duty)).collect();
        assert_eq!(writers.len(), 32);
        let habits = [vec![Habit::Mixed; 10], vec![Habit::Hoarder; 1]].concat();
        let deciders = habits.into_iter().zip(0..).map(|(habit, number)| Decider::new(number, habit)).collect();
        let now = Instant::now();
        Self { writers, deciders, crowd: Crowd::default(), spent: Vec::new(), promised: now, ended: now }
    }

    /// Everyone works until the server has ended; false: it had to be killed because it did not end by itself.
    fn work(&mut self, server: &mut Server, end: &End) -> bool {
        let until = Instant::now() + LONGEST_ROUND;
        // What is there at the start stays there.
        let promised = Mutex::new(Instant::now());
        let mut as_planned = true;
        std::thread::scope(|scope| {
            for writer in &mut self.writers {
                let client = server.client();
                scope.spawn(move || writer.work(&client, until));
            }
            for decider in &mut self.deciders {
                let client = server.client();
                scope.spawn(move || decider.work(&client, until));
            }
            let crowd: Vec<ScopedJoinHandle<'_, Spent>> = (0..CROWD_CLIENTS)
                .map(|number| {
                    let client = server.client();
                    scope.spawn(move || Crowd::work(&client, number, until))
                })
                .collect();
            let client = server.client();
            scope.spawn(|| listen(client, &promised));
            as_planned = match end {
                End::Killed(after) => {
                    std::thread::sleep(*after);
                    self.ended = Instant::now();
                    server.kill();
                    true
                }
                End::Failpoint(_) => {
                    let died = server.dies();
                    self.ended = Instant::now();
                    died
                }
                End::Stopped(after) => {
                    std::thread::sleep(*after);
                    server.stop()
                }
            };
            self.spent = crowd.into_iter().map(|client| client.join().unwrap()).collect();
        });
        self.promised = promised.into_inner().unwrap();
        if let End::Stopped(_) = end {
            // A server that stops in order keeps all that it answered.
            self.ended = Instant::now();
            self.promised = self.ended;
        }
        as_planned
    }

    fn check(&mut self, client: &Client, round: &str, seen: &mut Seen) {
        let there = Shelf::of(client);
        let mut known = std::collections::BTreeSet::new();
        for writer in &mut self.writers {
            known.append(&mut writer.check(client, &there, round));
        }
        assert_eq!(there.paths(), known, "{round}: what is there is what was asked for");
        for decider in &mut self.deciders {
            let loss = decider.check(client, self.promised, self.ended, round);
            seen.lost += loss.steps;
            seen.ages.extend(loss.age);
        }
        self.crowd.check(client, &self.spent, self.promised, round);
        seen.behind.push(self.ended - self.promised);
        seen.rounds += 1;
    }

    /// Accounts whose answers are compared in full.
    fn accounts(&self) -> Vec<String> {
        let deciders = self.deciders.iter().map(|decider| decider.account().to_owned());
        let writers = self.writers.iter().map(Writer::account);
        deciders.chain(writers).chain([CROWD.to_owned()]).collect()
    }
}

/// Asks again and again how far usage is written.
fn listen(client: Client, promised: &Mutex<Instant>) {
    loop {
        let asked = Instant::now();
        let Ok(reply) = client.get("/readyz") else { return };
        let Some(lag_ms) = reply.json["flush_lag_ms"].as_u64() else { return };
        // The lag is cut to whole milliseconds, and was this long at some moment after it was asked for.
        if let Some(safe) = asked.checked_sub(Duration::from_millis(lag_ms + 1)) {
            let mut promised = promised.lock().unwrap();
            *promised = safe.max(*promised);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One folder, one server after another on it.
fn play(rounds: &[Round], seen: &mut Seen) {
    let folder = tempfile::tempdir().unwrap();
    let mut cast = Cast::new();
    let mut random = SmallRng::seed_from_u64(rounds.len() as u64);
    let mut server = start(folder.path(), rounds.first());
    for (number, Round { end, then }) in rounds.iter().enumerate() {
        let round = format!("round {number} of {}, {end:?}, {then:?}", rounds.len());
        let as_planned = cast.work(&mut server, end);
        assert!(as_planned, "{round}: it did not end so:\n{}", server.log());
        if *then == Then::DyingStarts {
            for _ in 0..3 {
                Server::start_and_die(folder.path(), Duration::from_millis(random.random_range(1..250)));
            }
        }
        // Half of the time the next start is the first to see what is left.
        if number.is_multiple_of(2) {
            verify(folder.path(), &round);
        }
        if *then == Then::ControlLost {
            lose_control(folder.path(), &cast.accounts(), &round);
        }
        server = start(folder.path(), rounds.get(number + 1));
        cast.check(&server.client(), &round, seen);
    }
    let log = audit_log(&server.client());
    seen.acknowledged += cast.writers.iter().map(|writer| writer.check_audit(&log)).sum::<usize>();
    assert!(server.stop(), "{}", server.log());
    verify(folder.path(), "the end");
}

fn start(folder: &Path, round: Option<&Round>) -> Server {
    match round.map(|round| &round.end) {
        Some(End::Failpoint(point)) => Server::start(folder, &[("QUOTAGATE_FAILPOINT", point)]),
        _ => Server::start(folder, &[]),
    }
}

/// A start on what was left and a start on the journal alone answer the same.
fn lose_control(folder: &Path, accounts: &[String], round: &str) {
    let asked = Asked { accounts, resources: &["plain", "jobs", "dials"], reservations: &[], at_one_time: false };
    let mut server = Server::start(folder, &[]);
    let kept = views::all(&server.client(), &asked);
    server.kill();
    std::fs::remove_dir_all(folder.join("data/control")).unwrap();
    let mut server = Server::start(folder, &[]);
    let rebuilt = views::all(&server.client(), &asked);
    server.kill();
    views::assert_same(&kept, &rebuilt, round);
}

/// The audit log by number; it has no gap.
fn audit_log(client: &Client) -> BTreeMap<u64, String> {
    let entries = client.list("/v1/audit");
    let log: BTreeMap<u64, String> =
        entries.iter().map(|entry| (entry["seq"].as_u64().unwrap(), entry.to_string())).collect();
    let last = client.read("/readyz")["last_change"].as_u64().unwrap();
    assert_eq!(log.keys().copied().collect::<Vec<_>>(), (1..=last).collect::<Vec<_>>());
    log
}

#[test]
fn a_server_that_is_killed_at_work_keeps_what_it_acknowledged() {
    let begun = Instant::now();
    let mut random = SmallRng::seed_from_u64(5);
    let mut some_time = || Duration::from_millis(random.random_range(20..350));
    let mut rounds = Vec::new();
    for step in ["checked", "appended", "synced", "applied", "answered"] {
        for hit in [1, 4, 20] {
            rounds.push(Round { end: End::Failpoint(format!("commit.{step}:{hit}")), then: Then::Nothing });
        }
    }
    // More of them, where it is said how many.
    let killed = std::env::var("FAULT_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(23);
    rounds.extend((0..killed).map(|_| Round { end: End::Killed(some_time()), then: Then::Nothing }));
    rounds.extend((0..6).map(|_| Round { end: End::Killed(some_time()), then: Then::ControlLost }));
    rounds.extend((0..5).map(|_| Round { end: End::Killed(some_time()), then: Then::DyingStarts }));
    rounds.extend((0..3).map(|_| Round { end: End::Stopped(some_time()), then: Then::Nothing }));
    rounds.shuffle(&mut SmallRng::seed_from_u64(7));
    let mut seen = Seen::default();

    for rounds in rounds.chunks(11) {
        play(rounds, &mut seen);
    }

    let Seen { rounds, acknowledged, lost, mut ages, mut behind } = seen;
    ages.sort();
    behind.sort();
    let (worst, usual) = (ages.last().copied().unwrap_or_default(), behind[behind.len() / 2]);
    println!(
        "{rounds} rounds in {:?}: {acknowledged} acknowledged changes are there; {lost} charges were lost in {} \
         histories, the oldest {worst:?} before its kill; usage was written up to {usual:?} before the kill (median), \
         {:?} at worst",
        begun.elapsed(),
        ages.len(),
        behind.last().unwrap(),
    );
    // The row for docs/reliability.md.
    println!(
        "tally | kill | {rounds} | {acknowledged} | {} ms | {} ms | 0 | {} charges lost within the lag |",
        usual.as_millis(),
        behind.last().unwrap().as_millis(),
        lost
    );
    assert!(acknowledged > 200, "the clients must get to work, not just {acknowledged} changes");
}
