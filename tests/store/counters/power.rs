//! A power cut at any moment loses what was not synced, and nothing else, whatever an unsynced disk keeps.

use super::{records, rounds};
use crate::changes::{memory_folder, small};
use crate::recorder::Recorder;
use quotagate::store::CounterStore;
use quotagate::store::embedded::{EmbeddedStore, Options};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

const ACCOUNTS: usize = 8;

/// Writes as the flusher does, and knows what must be there at which moment.
struct Writer<'a> {
    store: &'a EmbeddedStore,
    recorder: &'a Recorder,
    random: SmallRng,
    /// The number of the last write of each account.
    last: [u64; ACCOUNTS],
    number: u64,
    /// Of each account: from when on a number may be there, and which.
    begun: Vec<Vec<(usize, u64)>>,
    /// From when on a number, or a later one, must be there.
    safe: Vec<Vec<(usize, u64)>>,
}

impl Writer<'_> {
    /// Writes some accounts, each with its part, which belong together.
    fn write(&mut self, chosen: impl Fn(usize, &mut SmallRng) -> bool) {
        let mut groups = Vec::new();
        for account in 0..ACCOUNTS {
            if chosen(account, &mut self.random) {
                self.number += 1;
                self.last[account] = self.number;
                self.begun[account].push((self.recorder.now(), self.number));
                groups.push(self.group(account));
            }
        }
        self.store.put_groups(groups).unwrap();
    }

    fn group(&self, account: usize) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let value = |len: usize| Some([&self.last[account].to_be_bytes()[..], &vec![7; len]].concat());
        vec![(key(account), value(20)), ([key(account), b"\0r".to_vec()].concat(), value(700))]
    }

    fn sync(&mut self) {
        self.store.sync().unwrap();
        for account in 0..ACCOUNTS {
            self.safe[account].push((self.recorder.now(), self.last[account]));
        }
    }

    fn renew(&mut self) {
        self.store.begin_renewal().unwrap();
        for half in [0..ACCOUNTS / 2, ACCOUNTS / 2..ACCOUNTS] {
            self.write(|_, random| random.random_bool(0.3));
            if self.random.random_bool(0.5) {
                self.sync();
            }
            let groups = half.map(|account| self.group(account)).collect();
            self.store.put_groups(groups).unwrap();
        }
        if self.random.random_bool(0.8) {
            self.store.finish_renewal().unwrap();
        }
    }

    fn work(&mut self) {
        self.write(|_, _| true);
        self.sync();
        for _ in 0..30 {
            match self.random.random_range(0..10) {
                0..6 => self.write(|_, random| random.random_bool(0.4)),
                6..9 => self.sync(),
                _ => self.renew(),
            }
        }
    }
}

fn key(account: usize) -> Vec<u8> {
    format!("account-{account}").into_bytes()
}

/// The last number up to a moment.
fn at(history: &[(usize, u64)], moment: usize) -> u64 {
    history.iter().rev().find(|(when, _)| *when <= moment).map_or(0, |(_, number)| *number)
}

fn options(recorder: &Recorder) -> Options {
    Options { layer: Arc::new(recorder.clone()), ..small() }
}

fn check(image: &BTreeMap<PathBuf, Vec<u8>>, writer: &Writer<'_>, moment: usize, what: &str) {
    let folder = memory_folder();
    for (path, content) in image.iter().filter(|(path, _)| path.parent().unwrap().ends_with("counters")) {
        std::fs::create_dir_all(folder.path().join("counters")).unwrap();
        std::fs::write(folder.path().join("counters").join(path.file_name().unwrap()), content).unwrap();
    }
    let (store, report) = EmbeddedStore::open(folder.path(), small()).unwrap();
    let there = records(&store);
    for account in 0..ACCOUNTS {
        let number = |key: &[u8]| there.get(key).map_or(0, |value| u64::from_be_bytes(value[..8].try_into().unwrap()));
        let (header, part) = (number(&key(account)), number(&[key(account), b"\0r".to_vec()].concat()));
        let (least, most) = (at(&writer.safe[account], moment), at(&writer.begun[account], moment));
        assert_eq!(header, part, "{what}: a group is torn: {report:?}");
        assert!((least..=most).contains(&header), "{what}: account {account} has {header}, not {least} to {most}");
    }
}

#[test]
fn a_power_cut_loses_only_what_was_not_synced() {
    for round in 0..rounds(12) {
        let (folder, recorder) = (memory_folder(), Recorder::default());
        let (store, _) = EmbeddedStore::open(folder.path(), options(&recorder)).unwrap();
        let empty = vec![Vec::new(); ACCOUNTS];
        let mut writer = Writer {
            store: &store,
            recorder: &recorder,
            random: SmallRng::seed_from_u64(round),
            last: [0; ACCOUNTS],
            number: 0,
            begun: empty.clone(),
            safe: empty,
        };
        writer.work();

        let mut random = SmallRng::seed_from_u64(round + 1_000);
        for _ in 0..8 {
            let moment = random.random_range(0..=recorder.now());
            for kept in [0.0, 1.0, 0.5, 0.9, 0.1] {
                let image = recorder.cut(moment, || random.random_bool(kept));
                check(&image, &writer, moment, &format!("round {round}, operation {moment}, {kept} kept"));
            }
        }
    }
}

/// A start makes durable what a kill has left in memory only: nobody else would ever sync that log.
#[test]
fn what_a_killed_process_wrote_is_durable_a_second_after_the_next_start() {
    let (folder, recorder) = (memory_folder(), Recorder::default());
    let (store, _) = EmbeddedStore::open(folder.path(), options(&recorder)).unwrap();
    store.put_batch(&[(b"early".to_vec(), b"1".to_vec())]).unwrap();
    store.sync().unwrap();
    store.put_batch(&[(b"late".to_vec(), b"2".to_vec())]).unwrap();
    let killed = memory_folder();
    crate::start::copy(folder.path(), killed.path());
    std::mem::forget(store);
    // The same files, seen by another process: what was not synced is so still.
    let recorder = recorder.moved(folder.path(), killed.path());

    let (store, _) = EmbeddedStore::open(killed.path(), options(&recorder)).unwrap();
    store.sync().unwrap();
    let image = recorder.cut(recorder.now(), || false);

    let bytes = image.iter().find(|(path, _)| path.ends_with("counters/0000000001.log")).unwrap().1;
    assert!(bytes.windows(4).any(|bytes| bytes == b"late"));
}
