//! Which limits were busiest of late: a bounded view in memory of what was taken out of the engine.

use super::HOUR_MS;
use crate::domain::account::LimitKey;
use crate::domain::history::{MINUTE_MS, Peak, Tally};
use crate::domain::ids::AccountId;
use crate::services::{Error, Services};
use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;

/// Most entries of an answer.
pub const MAX_TOP: usize = 256;
/// Limits that a board keeps; it holds twice as many before the least are dropped.
const KEPT: usize = 4 * MAX_TOP;
const MINUTES_OF_HOUR: i64 = HOUR_MS / MINUTE_MS;

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopBy {
    /// The most refused requests.
    Denied,
    /// The highest peak beside the quota.
    Utilisation,
}

/// A limit of an account, in this hour and the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopRow {
    pub account: AccountId,
    pub key: LimitKey,
    pub denied: u64,
    pub peak: Peak,
    /// When it was last refused, or the peak was: the beginning of the minute.
    pub at_ms: i64,
}

/// The busiest limits of this hour and the one before, as far as minutes were taken out of the engine.
#[derive(Debug, Default)]
pub(super) struct Top {
    /// The hour that the first of each pair is of.
    hour: i64,
    denied: [Board; 2],
    utilisation: [Board; 2],
}

#[derive(Debug, Default)]
struct Board {
    rows: HashMap<(AccountId, LimitKey), Row>,
    /// What a new limit must come to, since the board was full.
    least: u64,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    denied: u64,
    peak: Peak,
    at_minute: i64,
}

impl Row {
    fn rank(&self, by: TopBy) -> u64 {
        match by {
            TopBy::Denied => self.denied,
            TopBy::Utilisation => u64::from(self.peak.utilisation().unwrap_or(0)),
        }
    }

    fn add(&mut self, other: &Self, by: TopBy) {
        let later = match by {
            TopBy::Denied => other.at_minute > self.at_minute,
            TopBy::Utilisation => other.peak > self.peak,
        };
        if later {
            self.at_minute = other.at_minute;
        }
        self.denied = self.denied.saturating_add(other.denied);
        self.peak = self.peak.max(other.peak);
    }
}

impl Board {
    fn note(&mut self, account: &AccountId, key: &LimitKey, row: Row, by: TopBy) {
        let rank = row.rank(by);
        if rank == 0 {
            return;
        }
        let at = (account.clone(), key.clone());
        if let Some(known) = self.rows.get_mut(&at) {
            known.add(&row, by);
        } else if rank >= self.least {
            self.rows.insert(at, row);
        }
        if self.rows.len() > 2 * KEPT {
            let mut ranks: Vec<u64> = self.rows.values().map(|row| row.rank(by)).collect();
            ranks.sort_unstable_by_key(|&rank| Reverse(rank));
            self.least = ranks[KEPT - 1];
            // Rows come in no order: those above have their place whatever comes first.
            let mut room = KEPT - ranks.partition_point(|&rank| rank > self.least);
            self.rows.retain(|_, row| match row.rank(by).cmp(&self.least) {
                Ordering::Greater => true,
                Ordering::Equal if room > 0 => {
                    room -= 1;
                    true
                }
                Ordering::Equal | Ordering::Less => false,
            });
        }
    }
}

impl Top {
    pub fn note(&mut self, account: &AccountId, minute: i64, key: &LimitKey, tally: &Tally) {
        let hour = minute.div_euclid(MINUTES_OF_HOUR);
        self.turn(hour);
        let Ok(age @ 0..=1) = usize::try_from(self.hour - hour) else { return };
        let row = Row { denied: tally.denied, peak: tally.peak, at_minute: minute };
        self.denied[age].note(account, key, row, TopBy::Denied);
        self.utilisation[age].note(account, key, row, TopBy::Utilisation);
    }

    /// Makes the hour the present one.
    fn turn(&mut self, hour: i64) {
        if hour <= self.hour {
            return;
        }
        let next = hour == self.hour + 1;
        for [present, before] in [&mut self.denied, &mut self.utilisation] {
            let passed = std::mem::take(present);
            *before = if next { passed } else { Board::default() };
        }
        self.hour = hour;
    }

    fn rows(&mut self, by: TopBy, now: i64) -> Vec<TopRow> {
        self.turn(now.div_euclid(HOUR_MS));
        let boards = match by {
            TopBy::Denied => &self.denied,
            TopBy::Utilisation => &self.utilisation,
        };
        let mut rows: HashMap<&(AccountId, LimitKey), Row> = HashMap::new();
        for (at, row) in boards.iter().flat_map(|board| &board.rows) {
            rows.entry(at).and_modify(|known| known.add(row, by)).or_insert(*row);
        }
        let mut rows: Vec<_> = rows.into_iter().collect();
        rows.sort_unstable_by_key(|(at, row)| (Reverse(row.rank(by)), *at));
        let row = |(at, row): (&(AccountId, LimitKey), Row)| TopRow {
            account: at.0.clone(),
            key: at.1.clone(),
            denied: row.denied,
            peak: row.peak,
            at_ms: row.at_minute * MINUTE_MS,
        };
        rows.into_iter().take(MAX_TOP).map(row).collect()
    }
}

/// The limits that were busiest in this hour and the one before, the first first; at most [`MAX_TOP`].
///
/// Minutes are in it once they have passed and were written. With more limits than a board keeps (about a thousand) that
/// were refused at all, those with few refusals a minute may be missing or counted in part; the highest peaks are exact.
pub fn top(services: &Services, by: TopBy, now: i64) -> Result<Vec<TopRow>, Error> {
    Ok(services.history()?.top.lock().rows(by, now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::PolicyId;
    use crate::domain::quantity::Quota;

    fn note(top: &mut Top, account: u64, minute: i64, denied: u64, used: u64) {
        let id = |text: &str| PolicyId::parse(text).unwrap();
        let key = LimitKey { group: id("g"), limit: id("l") };
        let account = AccountId::parse(&format!("a{account}")).unwrap();
        let peak = Peak { used, quota: Quota::Units(100_000) };
        top.note(&account, minute, &key, &Tally { admitted: 0, denied, peak });
    }

    #[test]
    fn the_highest_peaks_are_kept_and_the_board_stays_bounded() {
        let mut top = Top::default();
        for account in 0..20_000_u64 {
            note(&mut top, account, 600, 0, account * 7_919 % 20_000 * 10);
        }
        // The same for the last of them, of which some have to go.
        for account in 20_000..22_000_u64 {
            note(&mut top, account, 600, 0, 195_000);
        }

        let rows = top.rows(TopBy::Utilisation, 600 * MINUTE_MS);

        assert!(top.utilisation[0].rows.len() <= 2 * KEPT);
        assert_eq!(rows.len(), MAX_TOP);
        let used: Vec<u64> = rows.iter().map(|row| row.peak.used).collect();
        assert_eq!(used[0], 199_990);
        assert!(used.iter().copied().eq((0..MAX_TOP as u64).map(|place| 199_990 - 10 * place)), "{used:?}");
        assert!(top.rows(TopBy::Denied, 600 * MINUTE_MS).is_empty());
    }

    #[test]
    fn denials_of_an_hour_and_the_one_before_are_summed_and_older_ones_go() {
        let mut top = Top::default();
        for (minute, denied) in [(600, 5), (659, 1), (660, 2)] {
            note(&mut top, 1, minute, denied, 1);
        }
        note(&mut top, 2, 661, 7, 1);
        let denied = |top: &mut Top, minute: i64| -> Vec<(u64, i64)> {
            top.rows(TopBy::Denied, minute * MINUTE_MS).iter().map(|row| (row.denied, row.at_ms / MINUTE_MS)).collect()
        };

        assert_eq!(denied(&mut top, 719), [(8, 660), (7, 661)]);
        assert_eq!(denied(&mut top, 720), [(7, 661), (2, 660)]);
        assert_eq!(denied(&mut top, 780), []);
    }
}
