//! Rot: bytes of a folder at rest change, or files go. The next start answers as before, or refuses and says what to do,
//! or says what is lost; `verify` finds whatever makes a difference; nothing is wrong in silence.

use crate::load::Load;
use crate::server::{Client, Server};
use crate::tally::{self, Tally};
use crate::views::{self, Asked};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const WORK: Duration = Duration::from_millis(1_200);
const BLOCK: usize = 512;
/// One of these in what a start that refuses says tells what to do.
const REMEDIES: [&str; 9] = ["restore", "verify", "remove", "delete", "move ", "put ", "bring ", "use version", "set "];
/// One of these in what a start says tells that something is not as it was.
const TOLD: [&str; 9] =
    ["lost", "damaged", "starts from zero", "torn", "broken", "missing", "not be read", "dropped", "gone"];
/// Nobody looks into these: they hold nothing.
const EMPTY: [&str; 3] = ["LOCK", "BALLAST", "control.sock"];

#[derive(Debug, Clone, Copy)]
enum Harm {
    FlipBit,
    ZeroBlock,
    ZeroByte,
    LoseByte,
    Noise,
    CutShort,
    Empty,
    Append,
    LoseFile,
    LoseFolder,
}

const HARMS: [Harm; 12] = [
    Harm::FlipBit,
    Harm::FlipBit,
    Harm::FlipBit,
    Harm::ZeroBlock,
    Harm::ZeroByte,
    Harm::LoseByte,
    Harm::Noise,
    Harm::CutShort,
    Harm::Empty,
    Harm::Append,
    Harm::LoseFile,
    Harm::LoseFolder,
];

/// A folder at rest, and what a server on it answers.
struct Source {
    folder: tempfile::TempDir,
    accounts: Vec<String>,
    how: &'static str,
    answers: Vec<(String, Value)>,
}

impl Source {
    fn make(how: &'static str, tally: &mut Tally) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Server::start(folder.path(), &[]);
        let mut load = Load::new();
        load.work(&server, WORK, None, |_, _| ());
        tally.acknowledged += load.acknowledged();
        if how == "a kill" {
            server.kill();
        } else {
            assert!(server.stop(), "{}", server.log());
        }
        let mut source = Self { folder, accounts: load.accounts(), how, answers: Vec::new() };
        let copy = source.copy();
        let mut server = Server::start(copy.path(), &[]);
        source.answers = source.ask(&server.client());
        server.kill();
        source
    }

    fn copy(&self) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(self.folder.path(), copy.path());
        copy
    }

    fn ask(&self, client: &Client) -> Vec<(String, Value)> {
        let accounts = &self.accounts;
        let asked = Asked { accounts, resources: &["plain", "jobs", "dials"], reservations: &[], at_one_time: false };
        views::all(client, &asked)
    }

    /// The first answer that is another one.
    fn difference(&self, client: &Client) -> Option<String> {
        let now = self.ask(client);
        let pairs = self.answers.iter().zip(&now);
        let other = pairs.into_iter().find(|(before, after)| before != after);
        let text = |(before, after): (&(String, Value), &(String, Value))| {
            let (before, after) = (&before.1.to_string(), &after.1.to_string());
            let at = before.bytes().zip(after.bytes()).take_while(|(left, right)| left == right).count();
            let near = |text: &str| text.chars().skip(at.saturating_sub(60)).take(160).collect::<String>();
            format!("…{}… became …{}…", near(before), near(after))
        };
        other.map(|pair| format!("{}: {}", pair.0.0, text(pair)))
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for item in std::fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let (target, kind) = (to.join(item.file_name()), item.file_type().unwrap());
        if kind.is_dir() {
            copy_folder(&item.path(), &target);
        } else if kind.is_file() && item.file_name() != "BALLAST" {
            std::fs::copy(item.path(), target).unwrap();
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for item in std::fs::read_dir(folder).unwrap() {
        let item = item.unwrap();
        if item.file_type().unwrap().is_dir() {
            found.extend(files(&item.path()));
        } else if !EMPTY.contains(&item.file_name().to_str().unwrap()) {
            found.push(item.path());
        }
    }
    found.sort();
    found
}

/// A file of a folder, so that all that is kept comes up, however many files it is in.
fn victim(data: &Path, random: &mut SmallRng) -> PathBuf {
    let areas = ["journal", "control", "counters", "history", ""];
    let there: Vec<&str> = areas.into_iter().filter(|area| data.join(area).exists()).collect();
    let area = *there.choose(random).unwrap();
    let found = if area.is_empty() {
        let all = files(data).into_iter();
        all.filter(|file| file.parent() == Some(data)).collect()
    } else {
        files(&data.join(area))
    };
    found.choose(random).unwrap().clone()
}

/// Says what was done.
fn harm(data: &Path, random: &mut SmallRng) -> String {
    let (file, harm) = (victim(data, random), *HARMS.choose(random).unwrap());
    let name = file.strip_prefix(data).unwrap().display().to_string();
    let mut bytes = std::fs::read(&file).unwrap();
    // Most of a preallocated file is nothing.
    let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    let any = used.choose(random).copied().unwrap_or(0);
    let mut at = any;
    match harm {
        Harm::LoseFile => {
            std::fs::remove_file(&file).unwrap();
            return format!("{name} is lost");
        }
        Harm::LoseFolder if file.parent() != Some(data) => {
            let folder = data.join(name.split('/').next().unwrap());
            std::fs::remove_dir_all(&folder).unwrap();
            return format!("{} is lost", folder.file_name().unwrap().display());
        }
        Harm::CutShort => bytes.truncate(at),
        Harm::Empty => bytes.clear(),
        Harm::Append | Harm::LoseFolder => {
            at = bytes.len();
            bytes.extend((0..random.random_range(1..2_000)).map(|_| random.random::<u8>()));
        }
        _ if bytes.is_empty() => bytes.push(1),
        Harm::FlipBit => bytes[at] ^= 1 << random.random_range(0..8),
        Harm::ZeroByte => bytes[at] = 0,
        Harm::ZeroBlock => {
            at = at / BLOCK * BLOCK;
            let end = (at + BLOCK).min(bytes.len());
            bytes[at..end].fill(0);
        }
        Harm::LoseByte => _ = bytes.remove(at),
        Harm::Noise => {
            let end = (at + random.random_range(1..BLOCK)).min(bytes.len());
            bytes[at..end].iter_mut().for_each(|byte| *byte = random.random());
        }
    }
    std::fs::write(&file, bytes).unwrap();
    format!("{harm:?} of {name} at {at}")
}

/// Whether it found nothing, and what it said.
fn verify(data: &Path) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quotagate"));
    let output = command.arg("verify").arg("--data").arg(data).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said)
}

fn says(text: &str, words: &[&str]) -> bool {
    let text = text.to_lowercase();
    words.iter().any(|word| text.contains(word))
}

fn judge(source: &Source, folder: &Path, what: &str, tally: &mut Tally) {
    let (sound, found) = verify(&folder.join("data"));
    assert!(!tally::panicked(&found), "verify: {found}");
    // It seals secrets, and is no part of what is verified.
    let sealing = what.contains("seal.key");
    let mut server = match Server::try_start(folder, &[]) {
        Ok(server) => server,
        Err(refused) => {
            assert!(refused.status.is_some(), "the start hangs: {}", refused.said);
            assert!(!tally::panicked(&refused.said), "the start: {}", refused.said);
            assert!(says(&refused.said, &REMEDIES), "no word of what to do: {}", refused.said);
            assert!(!sound || sealing, "refused, and verify finds nothing: {}", refused.said);
            return tally.came("refused with a remedy");
        }
    };
    let difference = source.difference(&server.client());
    let said = server.said();
    assert!(!tally::panicked(&said), "{said}");
    let Some(difference) = difference else {
        tally.came(if sound { "without effect" } else { "mended, found by verify" });
        assert!(server.stop(), "{}", server.log());
        return;
    };
    assert!(says(&said, &TOLD), "wrong in silence: {difference}; it said: {said}; verify: {found}");
    // A log that ends too early is what a kill or a power cut leaves too, so it is no damage; but the start tells.
    let told = !sound || (source.how == "a kill" && says(&said, &["torn tail"]));
    assert!(told, "lost, and verify finds nothing: {difference}; it said: {said}; verify: {found}");
    tally.came("lost and said");
    server.kill();
}

#[test]
fn rot_is_mended_or_told() {
    let rounds = tally::rounds(10);
    let mut random = SmallRng::seed_from_u64(tally::seed());
    let mut tally = Tally::default();
    let sources = [Source::make("a stop", &mut tally), Source::make("a kill", &mut tally)];

    for (round, source) in (0..rounds).zip(sources.iter().cycle()) {
        let copy = source.copy();
        let what = harm(&copy.path().join("data"), &mut random);
        let name = format!("round {round}, after {}: {what}", source.how);
        tally.round(&name, |tally| judge(source, copy.path(), &what, tally));
    }

    tally.close("rot");
}
