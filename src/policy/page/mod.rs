//! The limits page: a policy as its readers want to see it, in one language.
//!
//! Owns the choice of titles, the numbers and words for people, and the page as Markdown and JSON. Deliberately
//! absent: how a terminal draws it.

mod json;
mod markdown;
mod words;

use super::grammar::{number_text, utc_offset_text};
use super::raises::{pool_text, rule_text};
use crate::domain::policy::{Algorithm, Group, Limit, Policy, Rule, Tier, Titles, UnlistedResources};
use crate::domain::quantity::Quota;
use words::Words;
#[cfg(feature = "server")]
pub(crate) use words::money;
pub use words::{Lang, UnknownLang};

/// All texts of the page; numbers are already written for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub title: String,
    pub note: Option<String>,
    pub source: Option<String>,
    pub tiers: Vec<PageTier>,
    pub groups: Vec<PageGroup>,
    /// A line for each pool.
    pub pools: Vec<String>,
    /// The id of each raise rule, and the rule in words.
    pub raise_rules: Vec<(String, String)>,
    /// What holds for the whole policy, a sentence each.
    pub remarks: Vec<String>,
    pub labels: Labels,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageTier {
    pub id: String,
    pub title: String,
    /// How an account comes to it, in words.
    pub reached_by: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageGroup {
    pub id: String,
    pub title: String,
    pub note: Option<String>,
    pub resources: Vec<String>,
    /// Who spends which bucket; None where there is but one resource, so that both ways are the same.
    pub share: Option<String>,
    pub limits: Vec<PageLimit>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageLimit {
    pub id: String,
    pub title: String,
    pub note: Option<String>,
    /// What is counted.
    pub counts: String,
    /// One for each tier, by rank, such as `500 / 1m`.
    pub quotas: Vec<String>,
    pub algorithm: String,
}

/// The headings, in the language of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Labels {
    pub tier: &'static str,
    pub reached_by: &'static str,
    pub limit: &'static str,
    pub counts: &'static str,
    pub algorithm: &'static str,
    pub resources: &'static str,
    pub source: &'static str,
    pub pools: &'static str,
    pub raise_rules: &'static str,
}

/// The limits page of a policy.
#[must_use]
pub fn page(policy: &Policy, lang: Lang) -> Page {
    let words = Words(lang);
    let mut remarks = vec![match policy.unlisted_resources {
        UnlistedResources::Deny => words.unlisted_denied(),
        UnlistedResources::Allow => words.unlisted_allowed(),
    }];
    if policy.groups.iter().flat_map(|group| &group.limits).any(|limit| begins_with_the_day(&limit.rule)) {
        remarks.push(words.days_begin(&utc_offset_text(policy.utc_offset_ms)));
    }
    Page {
        title: title(&policy.title, lang, &policy.name),
        note: policy.note.clone(),
        source: policy.source.clone(),
        tiers: policy.tiers.iter().enumerate().map(|(rank, tier)| page_tier(policy, rank, tier, lang)).collect(),
        groups: policy.groups.iter().map(|group| page_group(policy, group, lang)).collect(),
        pools: policy.pools.iter().map(|pool| pool_text(pool, lang)).collect(),
        raise_rules: policy.raise_rules.iter().map(|rule| (rule.id.to_string(), rule_text(rule, lang))).collect(),
        remarks,
        labels: words.labels(),
    }
}

fn page_tier(policy: &Policy, rank: usize, tier: &Tier, lang: Lang) -> PageTier {
    let words = Words(lang);
    let reached_by = match &tier.reached_by {
        _ if rank == policy.default_tier => words.every_account(),
        None => words.operator_only(),
        Some(rule) => words.reached_by(rule, tier.grace_ms),
    };
    PageTier { id: tier.id.to_string(), title: title(&tier.title, lang, tier.id.as_str()), reached_by }
}

fn page_group(policy: &Policy, group: &Group, lang: Lang) -> PageGroup {
    PageGroup {
        id: group.id.to_string(),
        title: title(&group.title, lang, group.id.as_str()),
        note: group.note.clone(),
        resources: group.resources.iter().map(ToString::to_string).collect(),
        share: (group.resources.len() > 1).then(|| Words(lang).share(group.share)),
        limits: group.limits.iter().map(|limit| page_limit(policy, limit, lang)).collect(),
    }
}

fn page_limit(policy: &Policy, limit: &Limit, lang: Lang) -> PageLimit {
    let words = Words(lang);
    let (counts, algorithm) = match limit.rule {
        Rule::Concurrency => (words.slots(), words.concurrency()),
        Rule::Rate { unit, algorithm, .. } => {
            let unit = &policy.units[unit];
            (title(&unit.title, lang, words.unit(unit.id.as_str())), words.algorithm(algorithm))
        }
    };
    let quotas = limit.quotas.iter().enumerate().map(|(rank, quota)| quota_text(limit, rank, *quota, words)).collect();
    let title = title(&limit.title, lang, limit.id.as_str());
    PageLimit { id: limit.id.to_string(), title, note: limit.note.clone(), counts, quotas, algorithm }
}

fn quota_text(limit: &Limit, rank: usize, quota: Quota, words: Words) -> String {
    let units = match quota {
        Quota::Units(n) => number_text(n),
        Quota::Unlimited => return words.unlimited(),
        Quota::Blocked => return words.blocked(),
    };
    match (limit.rule, &limit.bursts) {
        (Rule::Concurrency, _) => units,
        (Rule::Rate { window_ms, .. }, None) => words.per_window(&units, window_ms),
        (Rule::Rate { window_ms, .. }, Some(bursts)) => {
            format!("{} {}", words.per_window(&units, window_ms), words.burst(&number_text(bursts[rank])))
        }
    }
}

/// Whether the policy's `utc_offset` matters to a limit.
fn begins_with_the_day(rule: &Rule) -> bool {
    const HOUR_MS: i64 = 3_600_000;
    matches!(rule, Rule::Rate { window_ms, algorithm: Algorithm::FixedWindow, .. } if window_ms % HOUR_MS == 0)
}

/// The title in a language, else in a variant of it, else in English, else any, else the id.
#[must_use]
pub fn title(titles: &Titles, lang: Lang, id: &str) -> String {
    let primary = |tag: &str| tag.split('-').next().unwrap_or(tag).to_ascii_lowercase();
    let variant = |code: &str| titles.iter().find(|(tag, _)| primary(tag) == code).map(|(_, text)| text);
    titles
        .get(lang.code())
        .or_else(|| variant(lang.code()))
        .or_else(|| titles.get(Lang::En.code()))
        .or_else(|| variant(Lang::En.code()))
        .or_else(|| titles.values().next())
        .cloned()
        .unwrap_or_else(|| id.to_owned())
}

#[cfg(test)]
mod tests;
