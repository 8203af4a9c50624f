//! Taking evidence: from the history, the engine's explanation and the ledger.

use super::pools;
use super::{
    AccountFacts, DAY_MS, Evidence, HistoryState, HourOfUsage, LimitEvidence, PeakMinute, SPAN_DAYS, SourceOfQuota,
    Span, Usage, WeekOfUsage,
};
use crate::domain::history::Peak;
use crate::domain::ids::{AccountId, PolicyId};
use crate::domain::quantity::{MAX_AMOUNT, Quota};
use crate::engine::{Explanation, LimitExplained, Scope, SourceKind};
use crate::services::history::{self, ByHour, HOUR_MS, Point, Week};
use crate::services::{Error, Services};
use std::collections::BTreeMap;

/// Takes the evidence for limits of a group, of the main account if a sub-account is named.
///
/// `earlier` is left empty: it is for whoever keeps the requests to fill, before the evidence is frozen.
///
/// Errors: there is no such account; the active revision has no such group or limit.
pub fn take(
    services: &Services,
    account: &AccountId,
    (group, limits): (&PolicyId, &[PolicyId]),
    now: i64,
) -> Result<Evidence, Error> {
    let explained = services.engine.explain(account.as_str(), now);
    let explained = explained.ok_or_else(|| Error::not_found("account", account.as_str()))?;
    let mut found = limits.iter().map(|limit| limit_of(&explained, group, limit)).collect::<Result<Vec<_>, _>>()?;
    let to_ms = now.div_euclid(HOUR_MS).saturating_add(1).saturating_mul(HOUR_MS);
    let mut span = Span { from_ms: to_ms - SPAN_DAYS * DAY_MS, to_ms, first_ms: None, whole: false };
    let history = match services.history.is_some() {
        true => HistoryState::On,
        false => HistoryState::Off,
    };
    if history == HistoryState::On {
        let used = history::by_hour(services, &explained.main, (group, limits), (span.from_ms, span.to_ms))?;
        span.first_ms = used.iter().filter_map(|limit| limit.hours.first()).map(|hour| hour.from_ms).min();
        span.whole = span.first_ms.is_some_and(|first| first == span.from_ms)
            || history::any_before(services, &explained.main, group, span.from_ms)?;
        for (limit, used) in found.iter_mut().zip(used) {
            limit.usage = Some(usage(span, used));
        }
    }
    pools::fill(services, &explained.main, (group, &mut found), now)?;
    let account = account_facts(services, &explained, now)?;
    let revision = explained.revision;
    Ok(Evidence {
        taken_at_ms: now,
        revision,
        group: group.clone(),
        span,
        history,
        account,
        limits: found,
        earlier: Vec::new(),
    })
}

fn account_facts(services: &Services, explained: &Explanation, now: i64) -> Result<AccountFacts, Error> {
    let id = explained.main.clone();
    let record = services.main_record(&id)?.value;
    let small = |net: i128| i64::try_from(net).unwrap_or(if net < 0 { i64::MIN } else { i64::MAX });
    let net_paid = services.payments(&id).net_paid(now).into_iter().filter(|(_, net)| *net != 0);
    let net_paid = net_paid.map(|(currency, net)| (currency, small(net))).collect();
    let mut refunded = BTreeMap::<_, u64>::new();
    let (mut refunds, mut last_refund_ms) = (0, None);
    for reversal in services.reversals(&id)?.into_iter().take_while(|reversal| reversal.at_ms <= now) {
        let sum = refunded.entry(reversal.currency).or_default();
        *sum = sum.saturating_add(reversal.amount);
        refunds += 1;
        last_refund_ms = Some(reversal.at_ms);
    }
    Ok(AccountFacts {
        created_at_ms: record.created_at_ms,
        tier: PolicyId::parse(&explained.tier).map_err(|_| Error::not_found("tier", &explained.tier))?,
        suspended: record.suspended.is_some(),
        net_paid,
        refunded,
        refunds,
        last_refund_ms,
        id,
    })
}

fn limit_of(explained: &Explanation, group: &PolicyId, limit: &PolicyId) -> Result<LimitEvidence, Error> {
    let named = |it: &&LimitExplained| it.scope == Scope::Account && it.group == group.as_str();
    let mut of_group = explained.limits.iter().filter(named).peekable();
    if of_group.peek().is_none() {
        return Err(Error::not_found("group", group));
    }
    let found = of_group.find(|it| it.limit == limit.as_str()).ok_or_else(|| Error::not_found("limit", limit))?;
    let source = |source: &crate::engine::Source| SourceOfQuota {
        source: source.kind.as_str().to_owned(),
        quota: source.quota,
        outcome: source.outcome.as_str().to_owned(),
        origin: source.origin.clone(),
        revision: source.revision,
    };
    let of_tier = found.sources.iter().find(|source| source.kind == SourceKind::Tier);
    Ok(LimitEvidence {
        limit: limit.clone(),
        unit: found.unit.as_ref().and_then(|unit| PolicyId::parse(unit).ok()),
        window_ms: found.window_ms,
        algorithm: found.algorithm.map(|algorithm| algorithm.as_str().to_owned()),
        quota: found.quota,
        burst: found.burst.map(|burst| u64::try_from(burst).unwrap_or(u64::MAX)),
        tier_quota: of_tier.map_or(found.quota, |source| source.quota),
        sources: found.sources.iter().map(source).collect(),
        usage: None,
        pool: None,
    })
}

fn usage(span: Span, ByHour { summary, hours }: ByHour) -> Usage {
    let mut daily_peaks = vec![None; SPAN_DAYS as usize];
    for hour in &hours {
        let day = usize::try_from((hour.from_ms - span.from_ms) / DAY_MS).ok().and_then(|day| daily_peaks.get_mut(day));
        // None is below every number.
        day.into_iter().for_each(|day: &mut Option<u32>| *day = (*day).max(hour.peak.utilisation()));
    }
    let of_hour = |Point { from_ms, admitted, denied, peak: Peak { used, quota }, .. }: Point| {
        let number = u16::try_from((from_ms - span.from_ms) / HOUR_MS).unwrap_or(u16::MAX);
        HourOfUsage(number, used, shown(quota), admitted, denied)
    };
    let peak = summary.peak.map(|(at_ms, peak)| PeakMinute {
        at_ms,
        used: peak.used,
        quota: shown(peak.quota),
        utilisation: peak.utilisation(),
    });
    Usage {
        active_minutes: summary.active_minutes,
        admitted: summary.admitted,
        denied: summary.denied,
        peak,
        admitted_p95: summary.admitted_p95,
        admitted_p99: summary.admitted_p99,
        utilisation_p95: summary.utilisation_p95,
        utilisation_p99: summary.utilisation_p99,
        minutes_at_80: summary.minutes_at_80,
        minutes_at_100: summary.minutes_at_100,
        weeks: weeks(&summary.weeks),
        daily_peaks,
        hours: hours.into_iter().map(of_hour).collect(),
    }
}

/// A quota as it can be read back: a burst may be above the largest quota.
fn shown(quota: Quota) -> Quota {
    match quota {
        Quota::Units(units) => Quota::of(units.min(MAX_AMOUNT)).unwrap_or(Quota::Blocked),
        word => word,
    }
}

fn weeks(weeks: &[Week]) -> Vec<WeekOfUsage> {
    let before = std::iter::once(None).chain(weeks.iter().map(Some));
    let week = |(week, before): (&Week, Option<&Week>)| WeekOfUsage {
        from_ms: week.from_ms,
        to_ms: week.to_ms,
        admitted: week.admitted,
        denied: week.denied,
        growth_permille: before.and_then(|before| growth_permille(before.admitted, week.admitted)),
    };
    weeks.iter().zip(before).map(week).collect()
}

fn growth_permille(before: u64, after: u64) -> Option<i64> {
    let (before, after) = (i128::from(before), i128::from(after));
    if before == 0 {
        return None;
    }
    let growth = ((after - before) * 1_000).div_euclid(before);
    Some(i64::try_from(growth).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_rounded_down_and_needs_a_base() {
        assert_eq!(growth_permille(0, 5), None);
        assert_eq!(growth_permille(3, 4), Some(333));
        assert_eq!(growth_permille(3, 2), Some(-334));
        assert_eq!(growth_permille(7, 7), Some(0));
        assert_eq!(growth_permille(1, u64::MAX), Some(i64::MAX));
    }
}
