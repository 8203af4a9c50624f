//! The clamps that may still lower something, by the limit they are for.
//!
//! A part of the snapshot of its own: a change of clamps copies the lists of the limits it is about, and pointers to
//! the rest. Those that have ended are dropped whenever clamps change.

use super::Engine;
use super::snapshot::CompiledLimit;
use crate::domain::account::{Clamp, ClampScope, LimitKey};
use compact_str::CompactString;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::sync::Arc;

/// In the order of their ids; those without keep theirs.
type List = Arc<Vec<Arc<Clamp>>>;

#[derive(Debug, Clone)]
pub(crate) struct Clamps {
    of: HashMap<LimitKey, List, RandomState>,
    /// Of `of`, by the identity of the limit: those that are not dormant under the active revision.
    live: HashMap<u32, List, RandomState>,
    /// No clamp ends before this.
    next_end: i64,
}

impl Default for Clamps {
    fn default() -> Self {
        Self { of: HashMap::default(), live: HashMap::default(), next_end: i64::MAX }
    }
}

impl Clamps {
    /// Whether there is none that could lower a limit of the active revision.
    #[inline]
    pub fn lower_nothing(&self) -> bool {
        self.live.is_empty()
    }

    /// Those that lower a limit, unless they have ended or are for others.
    #[inline]
    pub fn live(&self, limit: &CompiledLimit) -> &[Arc<Clamp>] {
        if self.live.is_empty() {
            return &[];
        }
        self.live.get(&limit.identity).map_or(&[], |list| list)
    }

    /// Those that were written for a limit, dormant ones too.
    pub fn of(&self, key: &LimitKey) -> &[Arc<Clamp>] {
        self.of.get(key).map_or(&[], |list| list)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Clamp> {
        self.of.values().flat_map(|list| list.iter()).map(AsRef::as_ref)
    }

    fn put(&mut self, clamp: Clamp) {
        self.next_end = self.next_end.min(clamp.expires_at_ms.unwrap_or(i64::MAX));
        let list = Arc::make_mut(self.of.entry(clamp.key.clone()).or_default());
        let at = list.partition_point(|other| other.id <= clamp.id);
        list.insert(at, Arc::new(clamp));
    }

    fn remove(&mut self, id: &str) {
        for list in self.of.values_mut() {
            if let Ok(at) = list.binary_search_by(|clamp| clamp.id.as_str().cmp(id)) {
                Arc::make_mut(list).remove(at);
            }
        }
        self.of.retain(|_, list| !list.is_empty());
    }

    fn drop_ended(&mut self, now: i64) {
        if now < self.next_end {
            return;
        }
        let ended = |clamp: &Clamp| clamp.expires_at_ms.is_some_and(|end| end <= now);
        for list in self.of.values_mut().filter(|list| list.iter().any(|clamp| ended(clamp))) {
            Arc::make_mut(list).retain(|clamp| !ended(clamp));
        }
        self.of.retain(|_, list| !list.is_empty());
        self.next_end = self.iter().filter_map(|clamp| clamp.expires_at_ms).min().unwrap_or(i64::MAX);
    }

    /// Finds out anew which are dormant.
    pub fn settle<'l>(&mut self, limits: impl Iterator<Item = &'l CompiledLimit>) {
        self.live.clear();
        if self.of.is_empty() {
            return;
        }
        for limit in limits {
            let Some(list) = self.of.get(&limit.key) else { continue };
            let fits = |clamp: &Arc<Clamp>| clamp.shape == limit.shape;
            if list.iter().all(fits) {
                self.live.insert(limit.identity, Arc::clone(list));
            } else if list.iter().any(fits) {
                let fitting = list.iter().filter(|clamp| fits(clamp)).cloned().collect();
                self.live.insert(limit.identity, Arc::new(fitting));
            }
        }
    }
}

impl Engine {
    /// Replaces all clamps.
    pub fn set_clamps(&self, clamps: Vec<Clamp>) {
        let mut all = Clamps::default();
        clamps.into_iter().for_each(|clamp| all.put(clamp));
        self.swap_clamps(|before| *before = all);
    }

    /// Puts clamps in the place of those with their ids, removes those that are None, and drops those that have ended.
    pub fn change_clamps(&self, changes: Vec<(CompactString, Option<Clamp>)>, now: i64) {
        self.swap_clamps(|clamps| {
            for (id, clamp) in changes {
                clamps.remove(&id);
                if let Some(clamp) = clamp {
                    clamps.put(clamp);
                }
            }
            clamps.drop_ended(now);
        });
    }

    /// Drops those that have ended: they lower nothing any more.
    pub fn drop_ended_clamps(&self, now: i64) {
        self.change_clamps(Vec::new(), now);
    }

    fn swap_clamps(&self, change: impl FnOnce(&mut Clamps)) {
        let _swapping = self.swapping.lock();
        let before = self.snapshot.load();
        let mut clamps = before.clamps.clone();
        change(&mut clamps);
        self.snapshot.store(Arc::new(before.with_clamps(before.generation + 1, clamps)));
    }
}

impl Clamp {
    /// Whether it lowers anything for this account at this moment.
    pub(crate) fn in_force(&self, main: &str, tier: &str, now: i64) -> bool {
        !self.is_over(now) && self.is_for(main, tier)
    }

    pub(crate) fn is_for(&self, main: &str, tier: &str) -> bool {
        match &self.scope {
            ClampScope::All => true,
            ClampScope::Tier(id) => id.as_str() == tier,
            ClampScope::Account(id) => id.as_str() == main,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::account::Shape;
    use crate::domain::ids::PolicyId;
    use crate::domain::quantity::Quota;

    fn clamp(id: &str, limit: &str, expires_at_ms: Option<i64>) -> Clamp {
        let policy_id = |id: &str| PolicyId::parse(id).unwrap();
        Clamp {
            id: id.into(),
            key: LimitKey { group: policy_id("g"), limit: policy_id(limit) },
            scope: ClampScope::All,
            shape: Shape::Concurrency,
            quota: Quota::Units(1),
            expires_at_ms,
            origin: id.into(),
        }
    }

    fn ids(clamps: &Clamps) -> Vec<&str> {
        let mut ids: Vec<_> = clamps.iter().map(|clamp| clamp.id.as_str()).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn a_change_leaves_the_lists_of_other_limits_as_they_are() {
        let mut before = Clamps::default();
        before.put(clamp("a", "one", None));
        before.put(clamp("b", "two", None));
        let mut after = before.clone();

        after.put(clamp("c", "two", None));
        after.remove("b");

        let list = |clamps: &Clamps, limit| Arc::clone(&clamps.of[&clamp("", limit, None).key]);
        assert!(Arc::ptr_eq(&list(&before, "one"), &list(&after, "one")));
        assert_eq!((ids(&before), ids(&after)), (vec!["a", "b"], vec!["a", "c"]));
    }

    #[test]
    fn what_has_ended_is_dropped_and_a_list_keeps_the_order_of_ids() {
        let mut clamps = Clamps::default();
        for (id, end) in [("c", Some(10)), ("a", None), ("d", Some(30)), ("b", Some(20))] {
            clamps.put(clamp(id, "one", end));
        }

        clamps.drop_ended(9);
        let order: Vec<_> = clamps.of(&clamp("", "one", None).key).iter().map(|clamp| clamp.id.as_str()).collect();
        assert_eq!((order, clamps.next_end), (vec!["a", "b", "c", "d"], 10));
        clamps.drop_ended(20);

        assert_eq!((ids(&clamps), clamps.next_end), (vec!["a", "d"], 30));
    }
}
