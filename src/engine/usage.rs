//! Reading and resetting usage for people, off the decision path.

use super::answer::{LimitState, Scope};
use super::ending::find;
use super::handle::Handle;
use super::identities::WHOLE_GROUP;
use super::record::Record;
use super::request::Costs;
use super::reservations::How;
use super::snapshot::Snapshot;
use crate::domain::account::MAIN_OWNER;
use crate::domain::ids::AccountId;
use crate::domain::policy::{Algorithm, Rule};
use crate::limits::Counter;
use std::collections::HashMap;

/// One counter that holds or held usage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    pub group: String,
    /// Where the group gives each resource a bucket of its own.
    pub resource: Option<String>,
    pub limit: String,
    /// The unit counted; None for concurrency.
    pub unit: Option<String>,
    pub window_ms: Option<i64>,
    pub state: LimitState,
}

/// Which usage to forget; None means every one.
#[derive(Debug, Clone, Copy, Default)]
pub struct ResetWhat<'a> {
    pub group: Option<&'a str>,
    pub limit: Option<&'a str>,
}

/// A reservation as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservationView {
    pub id: Option<String>,
    /// The account that asked.
    pub account: AccountId,
    pub main: AccountId,
    pub resource: String,
    pub costs: Costs,
    pub made_at_ms: i64,
    pub expires_at_ms: i64,
    /// How and when it ended; None while it is open.
    pub ended: Option<(How, i64)>,
}

pub(super) fn rows(record: &mut Record, asker: Option<&AccountId>, snapshot: &Snapshot, now: i64) -> Vec<UsageRow> {
    let tier = record.tier(snapshot, now);
    let resources: HashMap<u32, &str> = snapshot
        .resources()
        .filter(|(_, at)| at.identity != WHOLE_GROUP)
        .map(|(name, at)| (at.identity, name))
        .collect();
    let own = |owner: u64, record: &Record| {
        asker.and_then(|sub| record.sub(sub.as_str())).is_some_and(|sub| sub.caps.iter().any(|cap| cap.owner == owner))
    };
    let keys: Vec<_> = record
        .counters
        .iter()
        .map(|(key, _)| *key)
        .filter(|key| key.owner == MAIN_OWNER || own(key.owner, record))
        .collect();
    let mut rows = Vec::with_capacity(keys.len());
    for key in keys {
        let Some((_, position, limit)) = snapshot.limit_at(key.limit) else { continue };
        let Some(terms) = record.terms_of_owner(snapshot, limit, key.owner, (tier, now)) else { continue };
        let Some(reading) = record.counters.get(key).map(|counter| counter.read(&terms, now)) else { continue };
        let bucket = matches!(limit.rule, Rule::Rate { algorithm: Algorithm::TokenBucket, .. });
        rows.push(UsageRow {
            group: limit.key.group.to_string(),
            resource: resources.get(&key.resource).map(|&name| name.to_owned()),
            limit: limit.key.limit.to_string(),
            unit: match limit.rule {
                Rule::Rate { unit, .. } => Some(snapshot.policy.units[unit].id.to_string()),
                Rule::Concurrency => None,
            },
            window_ms: (limit.rule != Rule::Concurrency).then_some(limit.window_ms),
            state: LimitState {
                limit: position,
                scope: if key.owner == MAIN_OWNER { Scope::Account } else { Scope::SubAccount },
                refuses: false,
                quota: terms.quota,
                burst: (bucket && terms.quota.units().is_some()).then_some(terms.burst),
                used: reading.used,
                reset_after_ms: reading.reset_after_ms,
            },
        });
    }
    rows.sort_by(|a, b| (&a.group, &a.resource, a.state.limit).cmp(&(&b.group, &b.resource, b.state.limit)));
    rows
}

pub(super) fn reset(record: &mut Record, snapshot: &Snapshot, what: ResetWhat<'_>) -> usize {
    let named = |limit: u32| {
        snapshot.limit_of(limit).is_some_and(|limit| {
            what.group.is_none_or(|group| limit.key.group.as_str() == group)
                && what.limit.is_none_or(|id| limit.key.limit.as_str() == id)
        })
    };
    let before = record.counters.len();
    let mut gone = Vec::new();
    record.counters.retain(|(key, counter)| {
        let goes = !matches!(counter, Counter::Concurrency(_)) && named(key.limit);
        if goes {
            gone.push(*key);
        }
        !goes
    });
    if !gone.is_empty() {
        record.touch();
        if let Some(reservations) = &mut record.reservations {
            reservations.forget_charges(|key| gone.contains(&key));
        }
    }
    before - record.counters.len()
}

pub(super) fn reservation(record: &Record, handle: &Handle) -> Option<ReservationView> {
    let reservation = find(record, handle)?;
    Some(ReservationView {
        id: reservation.id.as_ref().map(ToString::to_string),
        account: reservation.sub.clone().unwrap_or_else(|| record.id.clone()),
        main: record.id.clone(),
        resource: reservation.resource.to_string(),
        costs: reservation.costs.clone(),
        made_at_ms: reservation.made_at,
        expires_at_ms: reservation.expires_at,
        ended: reservation.ended(),
    })
}
