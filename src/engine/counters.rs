//! The counters of one record, found by key.

use crate::limits::Counter;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use smallvec::SmallVec;

/// Above this many a record keeps an index; up to it a scan is faster.
const SCAN_UP_TO: usize = 32;

/// A sweep looks at every counter, so a full table that stays full must not ask for one at every request.
const SWEEP_EVERY_MS: i64 = 1_000;

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
    /// The first two lie in the record itself: most accounts have no more, and a decision waits for memory once less.
    list: SmallVec<[(CounterKey, Counter); 2]>,
    index: Option<Box<Index>>,
}

#[derive(Debug)]
struct Index {
    positions: HashMap<CounterKey, u32, RandomState>,
    swept_at: i64,
}

impl Counters {
    /// Where the key's counter is; `likely` is where to look first.
    ///
    /// Counters are added in the order of a group's limits, so the one after the last found is nearly always right.
    #[inline]
    pub fn position(&self, key: CounterKey, likely: u32) -> Option<u32> {
        match self.list.get(likely as usize) {
            Some((found, _)) if *found == key => Some(likely),
            _ => self.search(key),
        }
    }

    fn search(&self, key: CounterKey) -> Option<u32> {
        match &self.index {
            None => self.list.iter().zip(0u32..).find(|((found, _), _)| *found == key).map(|(_, position)| position),
            Some(index) => index.positions.get(&key).copied(),
        }
    }

    #[inline]
    pub fn at(&mut self, position: u32) -> &mut Counter {
        &mut self.list[position as usize].1
    }

    pub fn get(&mut self, key: CounterKey) -> Option<&mut Counter> {
        self.search(key).map(|position| self.at(position))
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
    pub fn push(&mut self, key: CounterKey, counter: Counter) -> u32 {
        // A record has at most `MAX_COUNTERS_PER_ACCOUNT` of them.
        let position = self.list.len() as u32;
        self.list.push((key, counter));
        if let Some(index) = &mut self.index {
            index.positions.insert(key, position);
        } else if self.list.len() > SCAN_UP_TO {
            self.reindex();
        }
        position
    }

    pub fn retain(&mut self, keep: impl FnMut(&mut (CounterKey, Counter)) -> bool) {
        let before = self.list.len();
        self.list.retain(keep);
        if self.list.len() != before {
            self.reindex();
        }
    }

    fn reindex(&mut self) {
        let swept_at = self.index.as_ref().map_or(i64::MIN, |index| index.swept_at);
        self.index = (self.list.len() > SCAN_UP_TO).then(|| {
            let positions = self.list.iter().zip(0u32..).map(|((key, _), position)| (*key, position)).collect();
            Box::new(Index { positions, swept_at })
        });
    }

    /// Whether it is time to look for counters to drop again; at most once a second.
    pub fn begin_sweep(&mut self, now: i64) -> bool {
        let Some(index) = &mut self.index else { return false };
        let due = now.saturating_sub(SWEEP_EVERY_MS) >= index.swept_at;
        if due {
            index.swept_at = now;
        }
        due
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
            for likely in [0, limit / 3, 99] {
                assert_eq!(counters.position(key(limit), likely).is_some(), limit % 3 == 0, "{limit}");
            }
        }
        assert_eq!(counters.len(), 34);
    }
}
