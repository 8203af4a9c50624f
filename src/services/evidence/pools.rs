//! How much of the policy's pools is promised, counted from the overrides that are kept.

use super::{LimitEvidence, PoolShare};
use crate::domain::account::Shape;
use crate::domain::ids::{AccountId, PolicyId};
use crate::domain::quantity::Quota;
use crate::services::overrides::OverrideState;
use crate::services::records::OverrideRecord;
use crate::services::{Error, Services, keys, stored};
use crate::store::{Key, MAX_SCAN, Table};
use std::collections::HashMap;

/// Overrides, of any account and limit, that are looked at for one snapshot.
const MAX_COUNTED: usize = 100_000;

/// Adds its pool to each limit for which the active revision declares one.
///
/// Not counted: overrides that have ended, were revoked or are dormant. Of overrides of one account that follow each other
/// the highest counts, as only one is in force at a time.
pub(super) fn fill(
    services: &Services,
    main: &AccountId,
    (group, limits): (&PolicyId, &mut [LimitEvidence]),
    now: i64,
) -> Result<(), Error> {
    let snapshot = services.engine.snapshot();
    let capacity_of = |limit: &PolicyId| {
        let pool = snapshot.policy.pools.iter().find(|pool| pool.key.group == *group && pool.key.limit == *limit);
        pool.map(|pool| pool.capacity)
    };
    if limits.iter().all(|limit| capacity_of(&limit.limit).is_none()) {
        return Ok(());
    }
    let mut promised: HashMap<(PolicyId, AccountId), Quota> = HashMap::new();
    let complete = services.each_live_override(|record| {
        let state = record.state(now);
        let open = matches!(state, OverrideState::Active | OverrideState::Scheduled);
        let shape = || snapshot.shape_of(record.group.as_str(), record.limit.as_str());
        if open && record.group == *group && shape() == Some(Shape::from(record.shape.clone())) {
            let held = promised.entry((record.limit, record.account)).or_insert(Quota::Blocked);
            *held = (*held).max(record.quota);
        }
    })?;
    for limit in limits {
        let Some(capacity) = capacity_of(&limit.limit) else { continue };
        let mut share = PoolShare { capacity, promised: 0, accounts: 0, own: 0, unlimited: 0, complete };
        for ((_, account), quota) in promised.iter().filter(|((of, _), _)| *of == limit.limit) {
            match quota {
                Quota::Blocked => {}
                Quota::Unlimited => share.unlimited += 1,
                Quota::Units(units) => {
                    share.promised = share.promised.saturating_add(*units);
                    share.accounts += 1;
                    share.own += if account == main { *units } else { 0 };
                }
            }
        }
        limit.pool = Some(share);
    }
    Ok(())
}

impl Services {
    /// Visits overrides that were not revoked, at most [`MAX_COUNTED`]; whether that was all.
    fn each_live_override(&self, mut visit: impl FnMut(OverrideRecord)) -> Result<bool, Error> {
        let prefix = keys::live_overrides();
        let (mut after, mut seen) = (None, 0);
        loop {
            let rows = self.store.scan(Table::Index, &prefix, after.as_ref(), MAX_SCAN)?;
            for (row, _) in &rows {
                let id = keys::override_in(row).unwrap_or_default();
                let found = stored::read::<OverrideRecord>(&*self.store, Table::Overrides, &Key::text(&id))?;
                found.into_iter().for_each(|found| visit(found.value));
            }
            seen += rows.len();
            if rows.len() < MAX_SCAN {
                return Ok(true);
            }
            if seen >= MAX_COUNTED {
                return Ok(false);
            }
            after = rows.into_iter().next_back().map(|(row, _)| row);
        }
    }
}
