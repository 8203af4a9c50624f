//! What differs in pools and raise rules.

use super::{Changes, LimitKey, Swap, What, reordered, swap};
use crate::domain::raise_rule::{Pool, RaiseRule};

impl Changes<'_> {
    pub(super) fn pools(&mut self) {
        let (from, to) = (&self.from.pools, &self.to.pools);
        let key = |pool: &Pool| LimitKey { group: pool.key.group.clone(), limit: pool.key.limit.clone() };
        let of = |pools: &[Pool], pool: &Pool| pools.iter().find(|other| other.key == pool.key).cloned();
        for pool in from.iter().filter(|pool| of(to, pool).is_none()) {
            self.keep(What::PoolRemoved(key(pool)));
        }
        for pool in to {
            match of(from, pool) {
                None => self.keep(What::PoolAdded(pool.clone())),
                Some(old) => {
                    if let Some(swap) = swap(&old.capacity, &pool.capacity) {
                        self.keep(What::PoolCapacity { limit: key(pool), swap });
                    }
                }
            }
        }
    }

    pub(super) fn raise_rules(&mut self) {
        let (from, to) = (&self.from.raise_rules, &self.to.raise_rules);
        let of = |rules: &[RaiseRule], rule: &RaiseRule| rules.iter().find(|other| other.id == rule.id).cloned();
        for rule in from.iter().filter(|rule| of(to, rule).is_none()) {
            self.keep(What::RaiseRuleRemoved(rule.id.clone()));
        }
        for rule in to {
            let Some(old) = of(from, rule) else {
                self.keep(What::RaiseRuleAdded(rule.clone()));
                continue;
            };
            if (&old.when, &old.answer) != (&rule.when, &rule.answer) {
                self.keep(What::RaiseRule(Swap { from: old, to: rule.clone() }));
            } else if old.note != rule.note {
                self.keep(What::Wording { of: format!("raise rule `{}`", rule.id) });
            }
        }
        if let Some(swap) = reordered(from.iter().map(|rule| &rule.id), to.iter().map(|rule| &rule.id)) {
            self.keep(What::RaiseRulesReordered(swap));
        }
    }
}
