//! What the rules of a policy say to a raise request: a pure function of the rules, the evidence and what is asked for.

use super::evidence::{Evidence, LimitEvidence, PoolShare, SPAN_DAYS, Usage};
use crate::domain::ids::PolicyId;
use crate::domain::quantity::Quota;
use crate::domain::raise_rule::{Answer, Clause, RaiseRule};
use crate::policy::{duration_text, number_text};
use serde::{Deserialize, Serialize};

const UNKNOWN: &str = "unknown";

/// What the rules came to, with all that was measured.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Verdict {
    /// The first rule that holds. None: there is no automatic answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<PolicyId>,
    /// What that rule answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// Every rule in its order, those after the first that holds too.
    pub rules: Vec<RuleResult>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleResult {
    pub rule: PolicyId,
    pub holds: bool,
    pub clauses: Vec<ClauseResult>,
}

/// One clause, of one limit where it is about limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClauseResult {
    /// As the policy names it.
    pub clause: String,
    /// None: it is about the account or the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<PolicyId>,
    /// What the rule asks for, such as `at most 150 %`.
    pub needed: String,
    /// What was found, such as `137.50 %`; `unknown` where it could not be measured, and then it does not hold.
    pub measured: String,
    pub holds: bool,
}

impl Verdict {
    /// Of the rule that answers.
    #[must_use]
    pub fn clauses(&self) -> &[ClauseResult] {
        let of = |id: &PolicyId| self.rules.iter().find(|result| result.rule == *id);
        self.rule.as_ref().and_then(of).map_or(&[], |result| &result.clauses)
    }
}

/// Asks the rules in their order; the first of which every clause holds, for every limit that is asked for, answers.
#[must_use]
pub fn judge(rules: &[RaiseRule], evidence: &Evidence, wanted: &[(PolicyId, Quota)]) -> Verdict {
    let mut verdict = Verdict::default();
    for rule in rules {
        let clauses: Vec<_> = rule.when.iter().flat_map(|clause| results(clause, evidence, wanted)).collect();
        // Without a limit nothing is asked for, and nothing is answered.
        let holds = !wanted.is_empty() && clauses.iter().all(|clause| clause.holds);
        if holds && verdict.rule.is_none() {
            verdict.rule = Some(rule.id.clone());
            verdict.answer = Some(rule.answer.clone());
        }
        verdict.rules.push(RuleResult { rule: rule.id.clone(), holds, clauses });
    }
    verdict
}

/// What was measured, and whether that is enough.
struct Measured {
    text: String,
    holds: bool,
}

impl Measured {
    fn of(text: impl Into<String>, holds: bool) -> Self {
        Self { text: text.into(), holds }
    }

    fn unknown() -> Self {
        Self::of(UNKNOWN, false)
    }
}

fn results(clause: &Clause, evidence: &Evidence, wanted: &[(PolicyId, Quota)]) -> Vec<ClauseResult> {
    let result = |limit: Option<&PolicyId>, measured: Measured| ClauseResult {
        clause: clause.name().to_owned(),
        limit: limit.cloned(),
        needed: needed(clause),
        measured: measured.text,
        holds: measured.holds,
    };
    let of_limits = |measure: &dyn Fn(&LimitEvidence, Quota) -> Measured| {
        wanted
            .iter()
            .map(|(id, wanted)| {
                let found = evidence.limit(id).map_or_else(Measured::unknown, |limit| measure(limit, *wanted));
                result(Some(id), found)
            })
            .collect()
    };
    let facts = &evidence.account;
    let since = |ms: i64| evidence.taken_at_ms.saturating_sub(ms).max(0);
    match clause {
        Clause::Groups(groups) => {
            vec![result(None, Measured::of(evidence.group.as_str(), groups.contains(&evidence.group)))]
        }
        Clause::Tiers(tiers) => vec![result(None, Measured::of(facts.tier.as_str(), tiers.contains(&facts.tier)))],
        Clause::AccountAgeAtLeast { ms } => {
            let age = since(facts.created_at_ms);
            vec![result(None, Measured::of(coarse(age), age >= *ms))]
        }
        Clause::NoRefundIn { ms } => {
            let last = facts.last_refund_ms.map(since);
            let text = last.map_or_else(|| "none ever".to_owned(), |ago| format!("the last {} ago", coarse(ago)));
            vec![result(None, Measured::of(text, last.is_none_or(|ago| ago >= *ms)))]
        }
        Clause::AtMostPercent(percent) => of_limits(&|limit, wanted| at_most(wanted, limit.quota, *percent)),
        Clause::AtMostPercentOfTier(percent) => of_limits(&|limit, wanted| at_most(wanted, limit.tier_quota, *percent)),
        Clause::PeakUse { percent, days } => of_limits(&|limit, _| days_at(limit.usage.as_ref(), *percent, *days)),
        Clause::PeakUseBelow { percent } => of_limits(&|limit, _| peak_below(limit.usage.as_ref(), *percent)),
        Clause::PoolHasRoom => of_limits(&|limit, wanted| room(limit.pool, wanted)),
    }
}

fn needed(clause: &Clause) -> String {
    let ids = |ids: &[PolicyId]| ids.iter().map(PolicyId::as_str).collect::<Vec<_>>().join(", ");
    match clause {
        Clause::Groups(of) | Clause::Tiers(of) => format!("one of {}", ids(of)),
        Clause::AccountAgeAtLeast { ms } => format!("at least {}", duration_text(*ms)),
        Clause::NoRefundIn { ms } => format!("none in {}", duration_text(*ms)),
        Clause::AtMostPercent(percent) | Clause::AtMostPercentOfTier(percent) => format!("at most {percent} %"),
        Clause::PeakUse { percent, days } => format!("{percent} % on at least {days} of {SPAN_DAYS} days"),
        Clause::PeakUseBelow { percent } => format!("below {percent} %"),
        Clause::PoolHasRoom => "within the capacity".to_owned(),
    }
}

/// A span in whole days where it is longer than one, rounded down.
fn coarse(ms: i64) -> String {
    const DAY_MS: i64 = 86_400_000;
    const MINUTE_MS: i64 = 60_000;
    if ms >= DAY_MS { format!("{}d", ms / DAY_MS) } else { duration_text(ms / MINUTE_MS * MINUTE_MS) }
}

/// Hundredths of a percent as percent.
fn percent_text(hundredths: u128) -> String {
    format!("{}.{:02} %", number_text(hundredths / 100), hundredths % 100)
}

fn at_most(wanted: Quota, of: Quota, percent: u64) -> Measured {
    let (Quota::Units(wanted), Some(of)) = (wanted, of.units().filter(|units| *units > 0)) else {
        return Measured::unknown();
    };
    let (wanted, of) = (u128::from(wanted), u128::from(of));
    // Rounded up, so that what is shown is above the bound where the amount is.
    let hundredths = (wanted * 10_000).div_ceil(of);
    Measured::of(percent_text(hundredths), wanted * 100 <= of * u128::from(percent))
}

fn days_at(usage: Option<&Usage>, percent: u64, days: u64) -> Measured {
    let Some(usage) = usage else { return Measured::unknown() };
    let enough = |parts: &Option<u32>| parts.is_some_and(|parts| u64::from(parts) >= percent * 100);
    let found = usage.daily_peaks.iter().filter(|parts| enough(parts)).count() as u64;
    Measured::of(format!("on {found} days"), found >= days)
}

fn peak_below(usage: Option<&Usage>, percent: u64) -> Measured {
    let Some(usage) = usage else { return Measured::unknown() };
    let peak = match usage.daily_peaks.iter().flatten().max() {
        Some(parts) => *parts,
        None if usage.active_minutes == 0 => 0,
        // It was used, but no quota was a number.
        None => return Measured::unknown(),
    };
    Measured::of(percent_text(u128::from(peak)), u64::from(peak) < percent * 100)
}

fn room(pool: Option<PoolShare>, wanted: Quota) -> Measured {
    let (Some(pool), Quota::Units(wanted)) = (pool, wanted) else { return Measured::unknown() };
    if !pool.complete {
        return Measured::unknown();
    }
    if pool.unlimited > 0 {
        return Measured::of(format!("{} accounts without a limit", pool.unlimited), false);
    }
    let others = u128::from(pool.promised.saturating_sub(pool.own));
    let sum = others + u128::from(wanted);
    let text = format!("{} of {} with this", number_text(sum), number_text(pool.capacity));
    Measured::of(text, sum <= u128::from(pool.capacity))
}

#[cfg(test)]
mod tests;
