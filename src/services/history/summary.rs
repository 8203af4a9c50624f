//! A span of the history in a few numbers: evidence for a change of a quota.

use super::histogram::{Histogram, amount_bucket, amount_of, utilisation_bucket, utilisation_of};
use super::hour::Kept;
use super::read::{Point, Sum, invalid};
use super::{HOUR_MS, HOURS_KEPT_MS, hour_at, key};
use crate::domain::account::LimitKey;
use crate::domain::history::{MINUTE_MS, Peak};
use crate::domain::ids::{AccountId, PolicyId};
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
pub fn summary(services: &Services, account: &AccountId, key: &LimitKey, span: (i64, i64)) -> Result<Summary, Error> {
    let limits = std::slice::from_ref(&key.limit);
    let mut found = by_hour(services, account, (&key.group, limits), span)?;
    // INVARIANT: there is one for each limit.
    Ok(found.remove(0).summary)
}

/// A limit over a span, and the same by hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByHour {
    pub summary: Summary,
    /// Those in which something was decided, in order.
    pub hours: Vec<Point>,
}

/// Sums up limits of a group as [`summary`] does, in the order in which they are named, and keeps the hours.
///
/// Errors: as for [`summary`].
pub fn by_hour(
    services: &Services,
    account: &AccountId,
    (group, limits): (&PolicyId, &[PolicyId]),
    (from_ms, to_ms): (i64, i64),
) -> Result<Vec<ByHour>, Error> {
    let (history, main) = services.history_of(account)?;
    if to_ms <= from_ms {
        return Err(invalid("/to", "`to` must be later than `from`".to_owned()));
    }
    let from_ms = from_ms.max(to_ms.saturating_sub(HOURS_KEPT_MS));
    let (first, end) = (hour_at(from_ms), hour_at(to_ms.saturating_add(HOUR_MS - 1)));
    let span = (i64::from(first) * HOUR_MS, i64::from(end) * HOUR_MS);
    let mut sums: Vec<Summing> = limits.iter().map(|_| Summing::new(span)).collect();
    for (hour, mut kept) in history.hours(&main, group, (first, end))? {
        let begins = i64::from(hour) * HOUR_MS;
        for (limit, sum) in limits.iter().zip(&mut sums) {
            kept.0.remove(limit).into_iter().for_each(|kept| sum.add(begins, kept));
        }
    }
    Ok(sums.into_iter().map(|sum| sum.done(&main)).collect())
}

/// Whether anything is kept of a group from before a moment.
///
/// Errors: there is no such account.
pub fn any_before(services: &Services, account: &AccountId, group: &PolicyId, ms: i64) -> Result<bool, Error> {
    let (history, main) = services.history_of(account)?;
    let (from, end) = (key(&main, group, 0), key(&main, group, hour_at(ms)));
    Ok(!history.store.scan_history(from.as_bytes(), end.as_bytes(), 1)?.is_empty())
}

/// What is added up of one limit.
struct Summing {
    span: (i64, i64),
    sum: Sum,
    weeks: Vec<Sum>,
    hours: Vec<Point>,
    by_admitted: Histogram,
    by_utilisation: Histogram,
}

impl Summing {
    fn new(span: (i64, i64)) -> Self {
        let count = (span.1 - span.0 + WEEK_MS - 1) / WEEK_MS;
        Self {
            span,
            sum: Sum::default(),
            weeks: vec![Sum::default(); usize::try_from(count).unwrap_or(0)],
            hours: Vec::new(),
            by_admitted: Histogram::default(),
            by_utilisation: Histogram::default(),
        }
    }

    fn add(&mut self, begins: i64, kept: Kept) {
        let mut of_hour = Sum::default();
        match kept {
            Kept::Whole(whole) => {
                of_hour.add_whole(begins, &whole);
                self.by_admitted.add(&whole.by_admitted);
                self.by_utilisation.add(&whole.by_utilisation);
            }
            Kept::Minutes(minutes) => {
                for (minute, tally) in minutes {
                    of_hour.add_minute(begins + i64::from(minute) * MINUTE_MS, &tally);
                    self.by_admitted.count(amount_bucket(u64::try_from(tally.admitted).unwrap_or(0)));
                    let utilisation = tally.peak.utilisation();
                    utilisation.into_iter().for_each(|it| self.by_utilisation.count(utilisation_bucket(it)));
                }
            }
        }
        self.sum.merge(&of_hour);
        let week = self.weeks.get_mut(((self.span.1 - begins - 1) / WEEK_MS) as usize);
        week.into_iter().for_each(|week| week.merge(&of_hour));
        self.hours.push(of_hour.point(begins));
    }

    fn done(self, main: &AccountId) -> ByHour {
        let Self { span: (from_ms, to_ms), sum, weeks, hours, by_admitted, by_utilisation } = self;
        let admitted = |percent| by_admitted.percentile(percent).map_or(0, amount_of);
        let utilisation = |percent| by_utilisation.percentile(percent).map(utilisation_of);
        let weeks = (0_i64..).zip(&weeks).map(|(ago, week)| week.week(to_ms - ago * WEEK_MS, from_ms));
        let mut in_order: Vec<Week> = weeks.collect();
        in_order.reverse();
        let summary = Summary {
            account: main.clone(),
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
            weeks: in_order,
        };
        ByHour { summary, hours }
    }
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
