//! A span of the history in a few numbers: evidence for a change of a quota.

use super::histogram::{Histogram, amount_bucket, amount_of, utilisation_bucket, utilisation_of};
use super::hour::Kept;
use super::read::{Sum, invalid};
use super::{HOUR_MS, HOURS_KEPT_MS, hour_at};
use crate::domain::account::LimitKey;
use crate::domain::history::{MINUTE_MS, Peak};
use crate::domain::ids::AccountId;
use crate::services::{Error, Services};

const WEEK_MS: i64 = 7 * 24 * HOUR_MS;

/// One limit of an account over a span of whole hours.
///
/// Sums, the peak and the minutes at 80 and 100 % are exact. Percentiles are of the minutes in which something was
/// decided, by nearest rank, and come from buckets: each is the least value of its bucket, so never above the exact
/// one and at most an eighth below it (utilisation below 1.15 % counts as 0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The main account.
    pub account: AccountId,
    /// The span, its ends moved outwards to whole hours.
    pub from_ms: i64,
    pub to_ms: i64,
    /// Minutes in which something was decided.
    pub active_minutes: u64,
    /// Cost; of concurrency, slots taken.
    pub admitted: u64,
    /// Requests that this limit refused.
    pub denied: u64,
    /// The most in use at once, and the beginning of that minute. None: nothing was decided.
    pub peak: Option<(i64, Peak)>,
    /// Minutes in which at least 80 % and 100 % of the quota then in force were in use at once.
    pub minutes_at_80: u64,
    pub minutes_at_100: u64,
    /// Cost admitted in a minute.
    pub admitted_p95: u64,
    pub admitted_p99: u64,
    /// Peak of a minute in parts of 10,000 of the quota. None: no quota was a number.
    pub utilisation_p95: Option<u32>,
    pub utilisation_p99: Option<u32>,
    /// Spans of seven days that end with the whole, the oldest first; it is shorter where the span is no whole weeks.
    pub weeks: Vec<Week>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Week {
    pub from_ms: i64,
    pub to_ms: i64,
    pub admitted: u64,
    pub denied: u64,
}

/// Sums up a limit from `from_ms` to `to_ms`, of which the last 90 days at most.
///
/// Errors: there is no such account, the span is empty.
pub fn summary(
    services: &Services,
    account: &AccountId,
    key: &LimitKey,
    (from_ms, to_ms): (i64, i64),
) -> Result<Summary, Error> {
    let (history, main) = services.history_of(account)?;
    if to_ms <= from_ms {
        return Err(invalid("/to", "`to` must be later than `from`".to_owned()));
    }
    let from_ms = from_ms.max(to_ms.saturating_sub(HOURS_KEPT_MS));
    let (first, end) = (hour_at(from_ms), hour_at(to_ms.saturating_add(HOUR_MS - 1)));
    let (from_ms, to_ms) = (i64::from(first) * HOUR_MS, i64::from(end) * HOUR_MS);
    let count = (to_ms - from_ms + WEEK_MS - 1) / WEEK_MS;
    let mut weeks = vec![Sum::default(); usize::try_from(count).unwrap_or(0)];
    let (mut sum, mut by_admitted, mut by_utilisation) = (Sum::default(), Histogram::default(), Histogram::default());
    for (hour, mut limits) in history.hours(&main, &key.group, (first, end))? {
        let begins = i64::from(hour) * HOUR_MS;
        let week = weeks.get_mut(((to_ms - begins - 1) / WEEK_MS) as usize);
        let mut of_hour = Sum::default();
        match limits.0.remove(&key.limit) {
            None => continue,
            Some(Kept::Whole(whole)) => {
                of_hour.add_whole(begins, &whole);
                by_admitted.add(&whole.by_admitted);
                by_utilisation.add(&whole.by_utilisation);
            }
            Some(Kept::Minutes(minutes)) => {
                for (minute, tally) in minutes {
                    of_hour.add_minute(begins + i64::from(minute) * MINUTE_MS, &tally);
                    by_admitted.count(amount_bucket(u64::try_from(tally.admitted).unwrap_or(0)));
                    tally.peak.utilisation().into_iter().for_each(|it| by_utilisation.count(utilisation_bucket(it)));
                }
            }
        }
        sum.merge(&of_hour);
        week.into_iter().for_each(|week| week.merge(&of_hour));
    }
    let admitted = |percent| by_admitted.percentile(percent).map_or(0, amount_of);
    let utilisation = |percent| by_utilisation.percentile(percent).map(utilisation_of);
    Ok(Summary {
        account: main,
        from_ms,
        to_ms,
        active_minutes: by_admitted.total(),
        admitted: sum.admitted(),
        denied: sum.tally.denied,
        peak: (by_admitted.total() > 0).then_some((sum.peak_ms, sum.tally.peak)),
        minutes_at_80: sum.minutes_at_80,
        minutes_at_100: sum.minutes_at_100,
        admitted_p95: admitted(95),
        admitted_p99: admitted(99),
        utilisation_p95: utilisation(95),
        utilisation_p99: utilisation(99),
        weeks: (0..count)
            .rev()
            .zip(weeks.iter().rev())
            .map(|(ago, week)| week.week(to_ms - ago * WEEK_MS, from_ms))
            .collect(),
    })
}

impl Sum {
    fn admitted(&self) -> u64 {
        u64::try_from(self.tally.admitted).unwrap_or(0)
    }

    fn week(&self, to_ms: i64, not_before: i64) -> Week {
        let from_ms = (to_ms - WEEK_MS).max(not_before);
        Week { from_ms, to_ms, admitted: self.admitted(), denied: self.tally.denied }
    }
}
