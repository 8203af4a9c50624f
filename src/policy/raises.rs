//! Pools and raise rules in words.

use super::grammar::{duration_text, number_text};
use super::page::Lang;
use crate::domain::raise_rule::{Answer, Clause, Pool, RaiseRule};

/// `text/rpm: 20,000 for all overrides together`.
#[must_use]
pub fn pool_text(pool: &Pool, lang: Lang) -> String {
    let (group, limit, capacity) = (&pool.key.group, &pool.key.limit, number_text(pool.capacity));
    match lang {
        Lang::Zh => format!("{group}/{limit}：全部提额共 {capacity}"),
        Lang::En => format!("{group}/{limit}: {capacity} for all overrides together"),
    }
}

/// What must hold, and what is answered then.
#[must_use]
pub fn rule_text(rule: &RaiseRule, lang: Lang) -> String {
    let clauses: Vec<String> = rule.when.iter().map(|clause| clause_text(clause, lang)).collect();
    match (lang, &rule.answer) {
        (Lang::Zh, Answer::Approve { for_ms }) => {
            format!("{} → 自动批准 {}", clauses.join("，且"), duration_text(*for_ms))
        }
        (Lang::En, Answer::Approve { for_ms }) => {
            format!("{} -> approved for {}", clauses.join(" and "), duration_text(*for_ms))
        }
        (Lang::Zh, Answer::RequestInfo { text }) => format!("{} → 询问：{text}", clauses.join("，且")),
        (Lang::En, Answer::RequestInfo { text }) => format!("{} -> asked: {text}", clauses.join(" and ")),
    }
}

fn clause_text(clause: &Clause, lang: Lang) -> String {
    let ids = |ids: &[_]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match (lang, clause) {
        (Lang::Zh, Clause::Groups(groups)) => format!("资源组为 {}", ids(groups)),
        (Lang::En, Clause::Groups(groups)) => format!("group {}", ids(groups)),
        (Lang::Zh, Clause::Tiers(tiers)) => format!("等级为 {}", ids(tiers)),
        (Lang::En, Clause::Tiers(tiers)) => format!("tier {}", ids(tiers)),
        (Lang::Zh, Clause::AccountAgeAtLeast { ms }) => format!("账号注册满 {}", duration_text(*ms)),
        (Lang::En, Clause::AccountAgeAtLeast { ms }) => format!("an account at least {} old", duration_text(*ms)),
        (Lang::Zh, Clause::NoRefundIn { ms }) => format!("{} 内无退款", duration_text(*ms)),
        (Lang::En, Clause::NoRefundIn { ms }) => format!("no refund in {}", duration_text(*ms)),
        (Lang::Zh, Clause::AtMostPercent(percent)) => format!("不超过现额度的 {percent} %"),
        (Lang::En, Clause::AtMostPercent(percent)) => format!("at most {percent} % of the quota in force"),
        (Lang::Zh, Clause::AtMostPercentOfTier(percent)) => format!("不超过等级额度的 {percent} %"),
        (Lang::En, Clause::AtMostPercentOfTier(percent)) => format!("at most {percent} % of the tier's quota"),
        (Lang::Zh, Clause::PeakUse { percent, days }) => format!("28 天中有 {days} 天峰值达到 {percent} %"),
        (Lang::En, Clause::PeakUse { percent, days }) => {
            format!("peak use of {percent} % on {days} of 28 days")
        }
        (Lang::Zh, Clause::PeakUseBelow { percent }) => format!("峰值低于 {percent} %"),
        (Lang::En, Clause::PeakUseBelow { percent }) => format!("peak use below {percent} %"),
        (Lang::Zh, Clause::PoolHasRoom) => "容量池有余量".to_owned(),
        (Lang::En, Clause::PoolHasRoom) => "room in the pool".to_owned(),
    }
}
