//! What was decided, minute by minute, for whoever keeps it (docs/history.md).

use super::Engine;
use super::shards::SHARDS;
use super::snapshot::Snapshot;
use crate::domain::account::LimitKey;
use crate::domain::history::{MINUTE_MS, Tally};
use crate::domain::ids::AccountId;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// The history lies in so many parts, which are taken out one by one.
pub const HISTORY_PARTS: usize = SHARDS;
/// Names of limits that no active revision has any more; the oldest go first.
const MAX_RETIRED: usize = 1 << 14;

impl Engine {
    /// Hands the minutes of one part that end at `until_ms` or before to `take`: the account, the minute's number since
    /// the epoch, and what became of each limit in it.
    ///
    /// The same minute may come several times, with what was decided in it since; `i64::MAX` takes the present one.
    pub fn drain_history(
        &self,
        part: usize,
        until_ms: i64,
        mut take: impl FnMut(&AccountId, i64, &mut dyn Iterator<Item = (LimitKey, Tally)>),
    ) {
        self.shards.drain_minutes(part, until_ms, |account, ends, cells| {
            let mut limits = cells.iter().filter_map(|cell| Some((self.name_of(cell.limit)?, cell.tally())));
            take(account, minute_of(ends), &mut limits);
        });
    }

    /// The minutes of a main account that were not taken out yet, in order.
    #[must_use]
    pub fn history(&self, main: &str) -> Vec<(i64, LimitKey, Tally)> {
        let mut found = Vec::new();
        self.shards.see_minutes(main, |ends, cell| {
            found.extend(self.name_of(cell.limit).map(|name| (minute_of(ends), name, cell.tally())));
        });
        found
    }

    /// How often something was not noted because there was no room.
    #[must_use]
    pub fn history_dropped(&self) -> u64 {
        self.shards.minutes_dropped()
    }

    fn name_of(&self, limit: u32) -> Option<LimitKey> {
        let active = self.snapshot.load().limit_of(limit).map(|limit| limit.key.clone());
        active.or_else(|| self.retired.0.lock().get(&limit).cloned())
    }
}

fn minute_of(ends: i64) -> i64 {
    ends.div_euclid(MINUTE_MS) - 1
}

/// What limits were called that the active revision does not have: minutes under an earlier one name them still.
#[derive(Debug, Default)]
pub(super) struct Retired(Mutex<BTreeMap<u32, LimitKey>>);

impl Retired {
    /// Notes the limits that `next` does not have any more.
    pub fn note(&self, before: &Snapshot, next: &Snapshot) {
        let mut names = self.0.lock();
        let gone = before.limits().filter(|limit| next.limit_of(limit.identity).is_none());
        names.extend(gone.map(|limit| (limit.identity, limit.key.clone())));
        while names.len() > MAX_RETIRED {
            names.pop_first();
        }
    }
}
