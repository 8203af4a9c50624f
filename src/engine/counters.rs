//! The counters of one record, found by key.

use crate::limits::Counter;
use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// Above this many a record keeps an index; up to it a scan is faster.
const SCAN_UP_TO: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CounterKey {
    /// [`crate::domain::account::MAIN_OWNER`], or the cap whose counter it is.
    pub owner: u64,
    /// Number of the limit's identity.
    pub limit: u32,
    /// Number of the resource's identity; 0 where the group shares one bucket.
    pub resource: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    list: Vec<(CounterKey, Counter)>,
    index: Option<Box<HashMap<CounterKey, u32, RandomState>>>,
}

impl Counters {
    #[inline]
    pub fn position(&self, key: CounterKey) -> Option<usize> {
        match &self.index {
            None => self.list.iter().position(|(k, _)| *k == key),
            Some(index) => index.get(&key).map(|&position| position as usize),
        }
    }

    #[inline]
    pub fn at(&mut self, position: usize) -> &mut Counter {
        &mut self.list[position].1
    }

    pub fn get(&mut self, key: CounterKey) -> Option<&mut Counter> {
        self.position(key).map(|position| &mut self.list[position].1)
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &(CounterKey, Counter)> {
        self.list.iter()
    }

    /// Room for just as many as a request is about to add.
    pub fn reserve(&mut self, more: usize) {
        if self.list.len() + more <= SCAN_UP_TO {
            self.list.reserve_exact(more);
        }
    }

    /// The key must not be there yet.
    pub fn push(&mut self, key: CounterKey, counter: Counter) -> usize {
        let position = self.list.len();
        self.list.push((key, counter));
        if let Some(index) = &mut self.index {
            index.insert(key, position as u32);
        } else if self.list.len() > SCAN_UP_TO {
            self.reindex();
        }
        position
    }

    pub fn retain(&mut self, keep: impl FnMut(&mut (CounterKey, Counter)) -> bool) {
        let before = self.list.len();
        self.list.retain_mut(keep);
        if self.list.len() != before {
            self.reindex();
        }
    }

    fn reindex(&mut self) {
        self.index = (self.list.len() > SCAN_UP_TO)
            .then(|| Box::new(self.list.iter().zip(0u32..).map(|((key, _), position)| (*key, position)).collect()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::Rule;

    #[test]
    fn keys_are_found_below_and_above_the_scan_bound_and_after_removals() {
        let key = |limit| CounterKey { owner: 0, limit, resource: 0 };
        let mut counters = Counters::default();
        for limit in 0..100 {
            counters.push(key(limit), Counter::empty(Rule::Concurrency));
        }

        counters.retain(|(key, _)| key.limit % 3 == 0);

        for limit in 0..100 {
            assert_eq!(counters.position(key(limit)).is_some(), limit % 3 == 0, "{limit}");
        }
        assert_eq!(counters.len(), 34);
    }
}
