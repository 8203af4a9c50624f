//! Random cases: policies, and a trace that makes interesting things happen under them.

mod bad;
mod calls;
mod control;
mod events;
mod mutate;
mod policy;
mod shrink;

use serde_json::Value;
use std::collections::BTreeMap;

pub use shrink::cases;

/// A starting policy, the policies that come later, and a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    pub policies: Vec<Value>,
    pub events: Vec<Value>,
}

impl Case {
    /// The policies by the names that `policy` events give them.
    pub fn files(&self) -> BTreeMap<String, Value> {
        let named = self.policies.iter().enumerate();
        named.map(|(i, p)| (file_name(i), p.clone())).collect()
    }

    /// The case as text for a person: policies, then one event a line.
    pub fn shown(&self) -> String {
        let mut out = String::new();
        for (name, policy) in self.files() {
            let used = self.events.iter().any(|e| e["file"] == *name);
            if used || name == file_name(0) {
                out += &format!("--- {name}\n{policy}\n");
            }
        }
        out += "--- trace\n";
        for event in &self.events {
            out += &format!("{event}\n");
        }
        out
    }
}

/// The file name of a policy of a case.
pub fn file_name(index: usize) -> String {
    format!("policy-{index}.json")
}

/// The case that belongs to a seed.
pub fn generate(seed: u64) -> Case {
    let mut rng = Rng(seed);
    let policies = policy::policies(&mut rng);
    let events = events::trace(&mut rng, &policies);
    Case { policies, events }
}

/// A small seeded generator of random numbers (splitmix64).
pub struct Rng(u64);

impl Rng {
    /// The next 64 random bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// True this many times in a hundred.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.within(1, 100) <= chance
    }

    /// One of the items.
    pub fn of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.within(0, items.len() as u64 - 1) as usize]
    }

    /// One of the items if there are any.
    pub fn of_any<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        (!items.is_empty()).then(|| self.of(items))
    }

    /// The index of one of these weights, by weight.
    pub fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut at = self.within(1, weights.iter().sum());
        for (i, weight) in weights.iter().enumerate() {
            if at <= *weight {
                return i;
            }
            at -= weight;
        }
        unreachable!("the weights add up to their sum")
    }
}
