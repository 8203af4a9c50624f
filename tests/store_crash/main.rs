//! A process that is killed at work, many times: what it acknowledged is there afterwards, and nothing is half there.
//!
//! The test binary runs itself as the child. Its 32 writers report what was acknowledged through a pipe; the parent
//! kills it at a random moment, or the child kills itself at a named step of a commit.

#[path = "../support/changes.rs"]
mod changes;
mod child;

use child::{Checks, FOLDER, WRITERS};
use quotagate::store::embedded::verify;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Rounds in one folder before a fresh one is taken.
const ROUNDS: usize = 10;

#[derive(Default)]
struct Promises {
    /// (writer, number, revision)
    changes: Vec<(u64, u64, u64)>,
    counter: u64,
}

impl Promises {
    /// A last line without its end was cut by the kill and is none.
    fn read(&mut self, line: &str) {
        let Some(line) = line.strip_suffix('\n') else { return };
        let mut words = line.split(' ');
        let (kind, mut number) = (words.next(), || words.next()?.parse::<u64>().ok());
        match kind {
            Some("ack") => {
                if let (Some(writer), Some(n), Some(revision)) = (number(), number(), number()) {
                    self.changes.push((writer, n, revision));
                }
            }
            Some("counter") => self.counter = number().unwrap_or(self.counter),
            _ => {}
        }
    }
}

fn start(folder: &Path, failpoint: Option<&str>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "works_until_it_is_killed", "--nocapture"]).env(FOLDER, folder);
    if let Some(failpoint) = failpoint {
        command.env("QUOTAGATE_FAILPOINT", failpoint);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Runs the child until it is killed: by itself, or by us after `patience`.
fn crash(folder: &Path, failpoint: Option<&str>, patience: Duration, promises: &mut Promises) {
    let mut child = start(folder, failpoint);
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if output.read_line(&mut line).unwrap() == 0 {
                return lines;
            }
            lines.push(line);
        }
    });
    if failpoint.is_none() {
        std::thread::sleep(patience);
        child.kill().unwrap();
    }
    let status = child.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "killed, not failed: {status}");
    for line in reader.join().unwrap() {
        promises.read(&line);
    }
}

fn check(folder: &Path, promises: &Promises, round: &str) {
    let report = verify(folder).unwrap();
    assert!(report.is_sound(), "{round}: {report:?}");
    let (store, _) = changes::open(folder);
    let checks = Checks::new(&store);
    (0..WRITERS).for_each(|writer| checks.nothing_is_half_there(writer, round));
    for (writer, n, revision) in &promises.changes {
        checks.is_there(*writer, *n, *revision, round);
    }
    checks.counter_is_at_least(promises.counter, round);
}

#[test]
fn what_was_acknowledged_survives_kills_at_random_moments() {
    let mut random = SmallRng::seed_from_u64(11);
    let mut acknowledged = 0;
    for series in 0..4 {
        let folder = tempfile::tempdir().unwrap();
        let mut promises = Promises::default();
        for round in 0..ROUNDS {
            let patience = Duration::from_millis(random.random_range(10..300));
            crash(folder.path(), None, patience, &mut promises);
            check(folder.path(), &promises, &format!("series {series}, round {round}"));
        }
        acknowledged += promises.changes.len();
    }
    assert!(acknowledged > 1_000, "the child must get to work, not just {acknowledged} changes");
    println!("{acknowledged} acknowledged changes survived {} kills", 4 * ROUNDS);
}

#[test]
fn what_was_acknowledged_survives_a_kill_at_every_step_of_a_commit() {
    for step in ["commit.checked", "commit.appended", "commit.synced", "commit.applied", "commit.answered"] {
        let folder = tempfile::tempdir().unwrap();
        let mut promises = Promises::default();
        for hit in [1, 2, 3, 10, 60] {
            let failpoint = format!("{step}:{hit}");
            crash(folder.path(), Some(&failpoint), Duration::ZERO, &mut promises);
            check(folder.path(), &promises, &failpoint);
        }
    }
}

/// The child; an ordinary run of the tests passes it by.
#[test]
fn works_until_it_is_killed() {
    if let Ok(folder) = std::env::var(FOLDER) {
        child::work(Path::new(&folder));
    }
}
