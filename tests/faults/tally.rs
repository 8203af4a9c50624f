//! What came of the rounds of a campaign.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Rounds of one kind, unless `FAULT_ROUNDS` says how many.
pub fn rounds(usual: usize) -> usize {
    std::env::var("FAULT_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(usual)
}

/// Another one gives other rounds.
pub fn seed() -> u64 {
    std::env::var("FAULT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(17)
}

/// Whether what a process said tells of a panic. Those of sled on what rot or a power cut left of its files are caught
/// where it is opened.
pub fn panicked(said: &str) -> bool {
    said.lines().any(|line| line.contains("panicked at") && !line.contains("/sled-"))
}

#[derive(Default)]
pub struct Tally {
    pub rounds: usize,
    pub acknowledged: usize,
    /// What came of rounds that were as they should be.
    outcomes: BTreeMap<String, usize>,
    /// How long before each fault the oldest answer was given that is not counted afterwards.
    pub behind: Vec<Duration>,
    reds: Vec<String>,
}

impl Tally {
    /// Does a round, and counts it as red where it fails.
    pub fn round<T>(&mut self, name: &str, work: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.rounds += 1;
        match catch_unwind(AssertUnwindSafe(|| work(self))) {
            Ok(done) => Some(done),
            Err(panic) => {
                let said = panic.downcast_ref::<String>().cloned();
                let said = said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()));
                self.red(name, &said.unwrap_or_default());
                None
            }
        }
    }

    pub fn red(&mut self, name: &str, why: &str) {
        self.reds.push(format!("{name}: {}", why.chars().take(1_500).collect::<String>()));
    }

    pub fn came(&mut self, outcome: &str) {
        *self.outcomes.entry(outcome.to_owned()).or_default() += 1;
    }

    /// Prints the row for the documentation, and fails where a round was red.
    pub fn close(mut self, what: &str) {
        self.behind.sort();
        let ms = |duration: Option<&Duration>| duration.map_or("-".to_owned(), |one| format!("{} ms", one.as_millis()));
        let (usual, most) = (self.behind.get(self.behind.len() / 2), self.behind.last());
        let outcomes: Vec<String> = self.outcomes.iter().map(|(what, count)| format!("{count} {what}")).collect();
        println!(
            "tally | {what} | {} | {} | {} | {} | {} | {} |",
            self.rounds,
            self.acknowledged,
            ms(usual),
            ms(most),
            self.reds.len(),
            outcomes.join(", "),
        );
        self.reds.iter().for_each(|red| println!("RED {red}"));
        let few: Vec<&String> = self.reds.iter().take(3).collect();
        assert!(self.reds.is_empty(), "{} of {} rounds are red: {few:#?}", self.reds.len(), self.rounds);
    }
}
