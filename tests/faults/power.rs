//! Power cuts: the server works under the recorder, and starts again, after another boot, from what a disk may have kept
//! at some moment of it.

use crate::disk::{ALL, Disk, Keeps};
use crate::load::{Cut, Load};
use crate::recording::{self, Event, What};
use crate::server::{Server, verify};
use crate::shim::Shim;
use crate::tally::{self, Tally};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// Cuts of one recording, each in one of the ways in which a disk may keep things.
const CUTS: usize = 24;
const WORK: Duration = Duration::from_millis(3_500);
/// Usage is made durable so often.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// For writing what is made durable, on a machine that does other things too.
const LEEWAY: Duration = Duration::from_millis(250);

/// A run that was recorded, from an empty folder to a stop in order.
struct Recording {
    folder: tempfile::TempDir,
    events: Vec<Event>,
    load: Load,
    /// The log of all changes at the end.
    audit: BTreeMap<u64, Value>,
    /// Where the work began in the log.
    began: u64,
    /// When everyone was done.
    done: Instant,
    moment: Moment,
}

/// One moment, on both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Moment(Instant, SystemTime);

impl Moment {
    pub fn now() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the recorder has the time of day")]
        Self(Instant::now(), SystemTime::now())
    }

    pub fn instant(self, at: SystemTime) -> Instant {
        self.0 + at.duration_since(self.1).unwrap_or_default()
    }

    /// What is promised where the power goes after the last of these events, and how old usage may be that is lost.
    pub fn cut(self, events: &[Event]) -> (Cut, Duration) {
        let last = events.last().expect("there is an event");
        let at = self.instant(last.at);
        // A disk or a machine that stands still for a while holds up what is written as well.
        let near = events.iter().map(|event| self.instant(event.at));
        let times: Vec<Instant> = near.filter(|time| at.duration_since(*time) < 3 * SYNC_EVERY).collect();
        let pause = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
        (Cut { log_bytes: last.end, at }, SYNC_EVERY + LEEWAY + 2 * pause + slowest_sync(events))
    }
}

fn size(log: &Path) -> u64 {
    std::fs::metadata(log).unwrap().len()
}

/// Starts a server on the folder that is recorded, where a log is named.
pub fn start(folder: &Path, shim: &Shim, log: Option<&Path>) -> Server {
    let environment = shim.environment(log);
    let given: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Server::start(folder, &given)
}

impl Recording {
    fn make() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let shim = Shim::new(folder.path())?;
        let log = folder.path().canonicalize().unwrap().join("events");
        let moment = Moment::now();
        let mut server = start(folder.path(), &shim, Some(&log));
        let mut load = Load::new();
        let began = size(&log);
        let (watched, ()) = load.work(&server, WORK, Some(&log), |_, _| ());
        assert_eq!(watched.unanswered, None);
        let audit = crate::changers::There::of(&server.client()).audit;
        let done = Instant::now();
        assert!(server.stop(), "{}", server.log());
        let events = recording::read(&log);
        let mut disk = Disk::empty();
        events.iter().for_each(|event| disk.take(event));
        disk.assert_is(&folder.path().join("data"));
        Some(Self { folder, events, load, audit, began, done, moment })
    }

    /// A cut at each of these events, in each of the ways.
    fn play(&self, random: &mut SmallRng, rounds: usize, tally: &mut Tally) {
        let first = self.events.iter().position(|event| event.end > self.began).unwrap();
        let mut cuts: Vec<usize> =
            (0..rounds.div_ceil(ALL.len())).map(|_| random.random_range(first..self.events.len())).collect();
        // The last is after a stop in order.
        if rounds > 3 * ALL.len() {
            cuts[0] = self.events.len() - 1;
        }
        cuts.sort_unstable();
        let (mut disk, mut taken) = (Disk::empty(), 0);
        for (round, keeps) in cuts.iter().flat_map(|cut| ALL.map(|keeps| (*cut, keeps))).take(rounds) {
            self.events[taken..=round].iter().for_each(|event| disk.take(event));
            taken = round + 1;
            let twice = random.random_range(0..6) == 0;
            let name = format!("cut at {round} of {}, {keeps:?}, twice: {twice}", self.events.len());
            tally.round(&name, |tally| self.start_again(&disk, round, (keeps, twice), random, tally));
        }
    }

    fn start_again(&self, disk: &Disk, event: usize, how: (Keeps, bool), random: &mut SmallRng, tally: &mut Tally) {
        let (mut cut, mut allowed) = self.moment.cut(&self.events[..=event]);
        if event + 1 == self.events.len() {
            // Nothing of what was answered before a stop in order is lost.
            (cut.at, allowed) = (self.done, Duration::ZERO);
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(self.folder.path().join("key"), folder.path().join("key")).unwrap();
        let data = folder.path().join("data");
        disk.leave(how.0, random, &data);
        let shim = Shim::new(folder.path()).unwrap();
        if how.1 {
            cut_the_recovery(folder.path(), &shim, how.0, random);
        }
        shim.boot_again();
        let mut server = start(folder.path(), &shim, None);
        let client = server.client();
        self.load.check_changes(&client, cut, Some(&self.audit));
        let behind = self.load.check_usage(&client, cut, &server.said());
        tally.behind.push(behind);
        tally.came(&format!("{:?}", how.0));
        assert!(behind <= allowed, "usage of {behind:?} is lost, {allowed:?} may be; it said: {}", server.said());
        assert!(!tally::panicked(&server.said()), "{}", server.said());
        assert!(server.stop(), "{}", server.log());
        verify(folder.path(), "after a power cut");
    }
}

/// From its beginning to its end.
fn slowest_sync(events: &[Event]) -> Duration {
    let mut begun = BTreeMap::new();
    let mut slowest = Duration::ZERO;
    for event in events {
        match &event.what {
            What::SyncBegun { begun: number, .. } => _ = begun.insert(*number, event.at),
            What::Synced { begun: number } => {
                let took = begun.remove(number).and_then(|from| event.at.duration_since(from).ok());
                slowest = slowest.max(took.unwrap_or_default());
            }
            _ => {}
        }
    }
    slowest
}

/// The power goes again, while the next server starts.
fn cut_the_recovery(folder: &Path, shim: &Shim, keeps: Keeps, random: &mut SmallRng) {
    let (data, log) = (folder.join("data"), folder.canonicalize().unwrap().join("events"));
    let mut disk = Disk::of(&data);
    shim.boot_again();
    let mut server = start(folder, shim, Some(&log));
    server.kill();
    let events = recording::read(&log);
    let cut = random.random_range(0..events.len());
    events[..=cut].iter().for_each(|event| disk.take(event));
    std::fs::remove_dir_all(&data).unwrap();
    disk.leave(keeps, random, &data);
}

#[test]
fn a_power_cut_loses_no_change_and_about_a_second_of_usage() {
    let rounds = tally::rounds(6);
    let mut random = SmallRng::seed_from_u64(tally::seed());
    let mut tally = Tally::default();
    while tally.rounds < rounds {
        let Some(recording) = Recording::make() else { return };
        tally.acknowledged += recording.load.acknowledged();
        recording.play(&mut random, CUTS.min(rounds - tally.rounds), &mut tally);
    }
    tally.close("power cut");
}
