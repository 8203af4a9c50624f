//! Cases as a proptest strategy that shrinks by dropping events, then limits and policies.

use super::{Case, generate};
use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::Value;

/// The strategy of all cases.
#[derive(Debug)]
pub struct Cases;

/// Random cases.
pub fn cases() -> Cases {
    Cases
}

impl Strategy for Cases {
    type Tree = Shrinking;
    type Value = Case;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let seed = proptest::prelude::any::<u64>().new_tree(runner)?.current();
        Ok(shrunk(generate(seed)))
    }
}

/// The shrinking of one case.
fn shrunk(case: Case) -> Shrinking {
    let chunk = case.events.len().max(1);
    Shrinking { last: case.clone(), now: case, chunk, at: 0, part: 0, dropped: false }
}

/// A case on its way down: chunks of events go first, by halves, then parts of the policies.
#[derive(Clone, Debug)]
pub struct Shrinking {
    now: Case,
    last: Case,
    chunk: usize,
    at: usize,
    part: usize,
    dropped: bool,
}

impl Shrinking {
    fn drop_events(&mut self) -> bool {
        while self.chunk > 0 {
            // From the end, since what comes after the failure goes at once.
            let left = self.now.events.len();
            if self.at < left {
                let end = left - self.at;
                let start = end.saturating_sub(self.chunk);
                self.now.events.drain(start..end);
                return true;
            }
            self.at = 0;
            self.chunk /= 2;
        }
        false
    }

    fn drop_part(&mut self) -> bool {
        let before = self.now.clone();
        while let Some(path) = parts(&self.now).get(self.part) {
            remove(&mut self.now, path);
            if self.now != before {
                return true;
            }
            self.part += 1;
        }
        false
    }
}

impl ValueTree for Shrinking {
    type Value = Case;

    fn current(&self) -> Case {
        self.now.clone()
    }

    fn simplify(&mut self) -> bool {
        self.last = self.now.clone();
        self.dropped = self.drop_events();
        self.dropped || self.drop_part()
    }

    fn complicate(&mut self) -> bool {
        self.now = self.last.clone();
        if self.dropped {
            self.at += self.chunk;
        } else {
            self.part += 1;
        }
        self.simplify()
    }
}

/// What can be dropped from the policies: (limit or group id) in every policy at once.
fn parts(case: &Case) -> Vec<(String, Option<String>)> {
    let mut out: Vec<(String, Option<String>)> = Vec::new();
    for policy in &case.policies {
        for group in policy["groups"].as_array().into_iter().flatten() {
            let id = group["id"].as_str().unwrap_or_default().to_string();
            out.push((id.clone(), None));
            for limit in group["limits"].as_array().into_iter().flatten() {
                out.push((id.clone(), limit["id"].as_str().map(str::to_string)));
            }
        }
    }
    out.sort();
    out.dedup();
    out
}

fn remove(case: &mut Case, (group, limit): &(String, Option<String>)) {
    for policy in &mut case.policies {
        let Some(groups) = policy["groups"].as_array_mut() else {
            continue;
        };
        match limit {
            None if groups.len() > 1 => groups.retain(|g| g["id"] != **group),
            None => {}
            Some(limit) => {
                for g in groups.iter_mut().filter(|g| g["id"] == **group) {
                    let limits = g["limits"].as_array_mut();
                    if let Some(limits) = limits.filter(|l: &&mut Vec<Value>| l.len() > 1) {
                        limits.retain(|l| l["id"] != **limit);
                    }
                }
            }
        }
    }
}
