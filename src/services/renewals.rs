//! What to do about an override that is about to end, by what was used of it.

use super::history::{self, Point};
use super::overrides::{self, OverrideFilter, OverrideState, OverrideView};
use super::records::OverrideRecord;
use super::{Error, Page, Paging, Services, Stored};
use crate::domain::history::Peak;
use crate::domain::policy::{Algorithm, Limit, Rule};
use crate::domain::quantity::{MAX_AMOUNT, Quota};
use crate::policy::number_text;

/// How far back it looks, if the override was in force for so long.
const SPAN_MS: i64 = 28 * 86_400_000;
/// An override whose peak reached so many percent of it is needed as it is.
const NEEDED_PERCENT: u128 = 80;
/// A smaller one is so many percent of the peak.
const ROOM_PERCENT: u128 = 125;

/// An override of a list of those that end soon.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    pub view: OverrideView,
    /// None: it is not in force, does not raise the tier's quota, or there is no history.
    pub proposal: Option<Proposal>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    pub action: Action,
    /// What it would be from its end on; of `let_end`, the tier's own quota.
    pub quota: Quota,
    /// The most in use at once while it was in force, 28 days at most, and the beginning of that minute; None: nothing was.
    pub peak: Option<(i64, u64)>,
    /// Requests that the limit refused in that time.
    pub denied: u64,
    /// In a sentence.
    pub why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The same once more.
    Renew,
    /// A smaller one instead.
    Shrink,
    /// The tier's quota is enough.
    LetEnd,
}

/// The overrides that end by then, as [`overrides::list`] gives them, each with a proposal.
pub fn list(
    services: &Services,
    filter: &OverrideFilter,
    paging: &Paging,
    now: i64,
) -> Result<Page<Stored<Ending>>, Error> {
    let Page { items, next } = overrides::list(services, filter, paging, now)?;
    let with_proposal = |Stored { revision, value: view }: Stored<OverrideView>| {
        let proposal = propose(services, &view, now)?;
        Ok(Stored { revision, value: Ending { view, proposal } })
    };
    Ok(Page { items: items.into_iter().map(with_proposal).collect::<Result<_, Error>>()?, next })
}

/// What to do about an override at its end, by what was used while it was in force.
pub fn propose(services: &Services, view: &OverrideView, now: i64) -> Result<Option<Proposal>, Error> {
    let record = &view.record;
    if services.history.is_none() || view.state != OverrideState::Active || view.dormant {
        return Ok(None);
    }
    let snapshot = services.engine.snapshot();
    let account = services.main_record(&record.account)?.value;
    let tier = services.tier_of(&record.account, &account, now)?.effective;
    let limit = snapshot.policy.group(record.group.as_str()).and_then(|group| group.limit(record.limit.as_str()));
    // Between the two another revision may have become active.
    let (Some(limit), Some(rank)) = (limit, snapshot.policy.tier_index(tier.as_str())) else { return Ok(None) };
    let of_tier = limit.quotas[rank];
    if record.quota <= of_tier {
        return Ok(None);
    }
    let begun = record.starts_at_ms.unwrap_or(record.made.at_ms);
    // At its very beginning there is no span yet.
    let from_ms = begun.max(now - SPAN_MS).min(now - 1);
    let limits = std::slice::from_ref(&record.limit);
    let mut found = history::by_hour(services, &record.account, (&record.group, limits), (from_ms, now))?;
    // INVARIANT: there is one for each limit.
    let used = found.remove(0);
    let peak = highest(record, limit, &used.hours);
    Ok(Some(decide(record.quota, of_tier, peak, used.summary.denied)))
}

/// The highest use in any of the hours, in the terms of the override's quota.
fn highest(record: &OverrideRecord, limit: &Limit, hours: &[Point]) -> Option<(i64, u64)> {
    let in_its_terms = |Peak { used, quota }: Peak| match (limit.rule, record.quota, quota) {
        // A bucket is measured beside its burst, which grows with the quota.
        (
            Rule::Rate { algorithm: Algorithm::TokenBucket, .. },
            Quota::Units(of_override),
            Quota::Units(burst @ 1..),
        ) => {
            let share = (u128::from(used) * u128::from(of_override)).div_ceil(u128::from(burst));
            u64::try_from(share).unwrap_or(u64::MAX)
        }
        _ => used,
    };
    let mut best: Option<(i64, u64)> = None;
    for hour in hours {
        let used = in_its_terms(hour.peak);
        if best.is_none_or(|(_, most)| used > most) {
            best = Some((hour.peak_ms, used));
        }
    }
    best
}

/// `quota` is above `of_tier`.
fn decide(quota: Quota, of_tier: Quota, peak: Option<(i64, u64)>, denied: u64) -> Proposal {
    let used = peak.map_or(0, |(_, used)| used);
    let shown = |quota: Quota| quota.units().map_or_else(|| quota.to_string(), number_text);
    let share = quota.units().filter(|units| *units > 0).map(|units| u128::from(used) * 100 / u128::from(units));
    let (action, proposed, why) = if share.is_some_and(|share| share >= NEEDED_PERCENT) {
        let share = share.unwrap_or_default();
        let why = format!("the peak of {} is {share} % of it: it is needed", number_text(used));
        (Action::Renew, quota, why)
    } else if Quota::Units(used.max(1)) <= of_tier || (used == 0 && peak.is_none()) {
        let why = match peak {
            None => "nothing was used".to_owned(),
            Some(_) => format!("the peak of {} is within the tier's {}", number_text(used), shown(of_tier)),
        };
        (Action::LetEnd, of_tier, why)
    } else {
        let room = (u128::from(used) * ROOM_PERCENT).div_ceil(100).min(u128::from(MAX_AMOUNT));
        let smaller = Quota::Units(u64::try_from(room).unwrap_or(MAX_AMOUNT)).max(of_tier).min(quota);
        let of = share.map_or_else(String::new, |share| format!(" is {share} % of it,"));
        let why = format!("the peak of {}{of} above the tier's {}", number_text(used), shown(of_tier));
        match smaller == quota {
            true => (Action::Renew, quota, why),
            false => (Action::Shrink, smaller, why),
        }
    };
    Proposal { action, quota: proposed, peak, denied, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(n: u64) -> Quota {
        Quota::Units(n)
    }

    #[test]
    fn what_is_proposed_follows_from_the_peak_beside_both_quotas() {
        use Action::{LetEnd, Renew, Shrink};
        let cases = [
            (units(1_000), units(100), 800, (Renew, units(1_000))),
            (units(1_000), units(100), 799, (Shrink, units(999))),
            (units(1_000), units(100), 401, (Shrink, units(502))),
            (units(1_000), units(100), 101, (Shrink, units(127))),
            (units(1_000), units(100), 100, (LetEnd, units(100))),
            (units(1_000), units(100), 0, (LetEnd, units(100))),
            (units(110), units(100), 90, (Renew, units(110))),
            (units(1_000), Quota::Blocked, 1, (Shrink, units(2))),
            (units(4), Quota::Blocked, 3, (Renew, units(4))),
            (Quota::Unlimited, units(100), 5_000, (Shrink, units(6_250))),
            (Quota::Unlimited, units(100), 70, (LetEnd, units(100))),
            (Quota::Unlimited, units(100), u64::MAX, (Shrink, units(MAX_AMOUNT))),
        ];
        for (quota, of_tier, used, expected) in cases {
            let found = decide(quota, of_tier, Some((0, used)), 0);
            assert_eq!((found.action, found.quota), expected, "{quota} {of_tier} {used}: {}", found.why);
        }
        let unused = decide(units(1_000), Quota::Blocked, None, 0);
        assert_eq!((unused.action, unused.quota, unused.why.as_str()), (LetEnd, Quota::Blocked, "nothing was used"));
    }
}
