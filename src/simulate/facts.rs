//! Accounts, overrides and clamps as a trace sets them.

use super::trace::{AccountOp, BadLine, ClampOp, OverrideOp};
use crate::domain::account::{Cap, Clamp, ClampScope, LimitKey, MainFacts, Override, Shape, SubFacts};
use crate::domain::ids::{AccountId, PolicyId};
use crate::domain::quantity::{MAX_CONCURRENCY, Quota};
use crate::engine::Snapshot;
use compact_str::CompactString;
use std::collections::HashMap;

#[derive(Debug, Clone)]
pub(super) enum Known {
    Main(MainFacts),
    Sub { main: AccountId, facts: SubFacts },
}

#[derive(Debug, Default)]
pub(super) struct Facts {
    accounts: HashMap<AccountId, Known>,
    pub clamps: Vec<Clamp>,
    last_owner: u64,
}

impl Facts {
    /// Creates or changes an account, and returns it.
    pub fn account(&mut self, op: AccountOp, snapshot: &Snapshot, now: i64) -> Result<Known, BadLine> {
        if let Some(tier) = &op.tier {
            tier_exists(snapshot, tier)?;
        }
        let mut known = match (self.accounts.get(&op.account), &op.parent) {
            (Some(_), Some(_)) => {
                return Err(BadLine::new(format!(
                    "account {:?} exists; `parent` is given at creation only",
                    op.account
                )));
            }
            (Some(known), None) => known.clone(),
            (None, None) => Known::Main(MainFacts::created(now)),
            (None, Some(parent)) => match self.accounts.get(parent) {
                None => return Err(BadLine::new(format!("parent {parent:?} does not exist"))),
                Some(Known::Sub { .. }) => {
                    return Err(BadLine::new(format!("parent {parent:?} is a sub-account itself")));
                }
                Some(Known::Main(_)) => Known::Sub { main: parent.clone(), facts: SubFacts::default() },
            },
        };
        match &mut known {
            Known::Main(facts) => {
                if op.caps.is_some() {
                    return Err(BadLine::new(format!(
                        "account {:?} is a main account; caps are a sub-account's",
                        op.account
                    )));
                }
                facts.suspended = op.suspended.unwrap_or(facts.suspended);
                facts.floor = op.tier.or(facts.floor.take());
            }
            Known::Sub { facts, .. } => {
                facts.suspended = op.suspended.unwrap_or(facts.suspended);
                if let Some(caps) = op.caps {
                    facts.caps = self.caps(caps, &facts.caps, snapshot)?;
                }
            }
        }
        self.accounts.insert(op.account, known.clone());
        Ok(known)
    }

    fn caps(&mut self, caps: Vec<(String, Quota)>, before: &[Cap], snapshot: &Snapshot) -> Result<Vec<Cap>, BadLine> {
        let mut replaced = Vec::with_capacity(caps.len());
        for (path, quota) in caps {
            let key = path
                .split_once('/')
                .and_then(|(group, limit)| {
                    Some(LimitKey { group: PolicyId::parse(group).ok()?, limit: PolicyId::parse(limit).ok()? })
                })
                .ok_or_else(|| BadLine::new(format!("caps: `{}` is not `<group>/<limit>`", path.escape_debug())))?;
            let shape = shape_for(snapshot, &key, Some(quota))?;
            let owner = before.iter().find(|cap| cap.key == key).map_or_else(
                || {
                    self.last_owner += 1;
                    self.last_owner
                },
                |cap| cap.owner,
            );
            replaced.push(Cap { key, shape, quota, owner });
        }
        Ok(replaced)
    }

    /// Sets or removes an override, and returns the account's facts.
    pub fn set_override(&mut self, op: OverrideOp, snapshot: &Snapshot) -> Result<MainFacts, BadLine> {
        let key = LimitKey { group: op.group, limit: op.limit };
        let shape = op.quota.map(|quota| shape_for(snapshot, &key, Some(quota))).transpose()?;
        let facts = self.main(&op.account)?;
        facts.overrides.retain(|existing| existing.key != key);
        if let (Some(quota), Some(shape)) = (op.quota, shape) {
            facts.overrides.push(Override {
                key,
                shape,
                quota,
                starts_at_ms: op.starts_at_ms,
                expires_at_ms: op.expires_at_ms,
                origin: "trace".into(),
            });
        }
        Ok(facts.clone())
    }

    pub fn set_clamp(&mut self, op: ClampOp, snapshot: &Snapshot) -> Result<(), BadLine> {
        let key = LimitKey { group: op.group, limit: op.limit };
        let shape = op.quota.map(|quota| shape_for(snapshot, &key, Some(quota))).transpose()?;
        let scope = match (op.account, op.tier) {
            (Some(account), _) => {
                self.main(&account)?;
                ClampScope::Account(account)
            }
            (None, Some(tier)) => {
                tier_exists(snapshot, &tier)?;
                ClampScope::Tier(tier)
            }
            (None, None) => ClampScope::All,
        };
        self.clamps.retain(|existing| existing.key != key || existing.scope != scope);
        if let (Some(quota), Some(shape)) = (op.quota, shape) {
            self.clamps.push(Clamp {
                id: CompactString::default(),
                key,
                scope,
                shape,
                quota,
                expires_at_ms: None,
                origin: "trace".into(),
            });
        }
        Ok(())
    }

    /// Every account, main accounts before sub-accounts.
    pub fn mains_first(&self) -> Vec<(AccountId, Known)> {
        let mut all: Vec<(AccountId, Known)> =
            self.accounts.iter().map(|(id, known)| (id.clone(), known.clone())).collect();
        all.sort_by_key(|(_, known)| matches!(known, Known::Sub { .. }));
        all
    }

    /// The facts of a main account, to change.
    pub fn main(&mut self, account: &AccountId) -> Result<&mut MainFacts, BadLine> {
        match self.accounts.get_mut(account) {
            Some(Known::Main(facts)) => Ok(facts),
            Some(Known::Sub { main, .. }) => Err(BadLine::new(format!(
                "account {account:?} is a sub-account; this goes to its main account {main:?}"
            ))),
            None => Err(BadLine::new(format!("account {account:?} does not exist"))),
        }
    }
}

pub(super) fn tier_exists(snapshot: &Snapshot, tier: &PolicyId) -> Result<(), BadLine> {
    if snapshot.policy.tier_index(tier.as_str()).is_some() {
        return Ok(());
    }
    let known: Vec<&str> = snapshot.policy.tiers.iter().map(|tier| tier.id.as_str()).collect();
    Err(BadLine::new(format!("tier {tier:?} does not exist; the active policy has {}", known.join(", "))))
}

fn shape_for(snapshot: &Snapshot, key: &LimitKey, quota: Option<Quota>) -> Result<Shape, BadLine> {
    let Some(group) = snapshot.policy.group(key.group.as_str()) else {
        return Err(BadLine::new(format!("group {:?} does not exist in the active policy", key.group)));
    };
    let Some(limit) = group.limit(key.limit.as_str()) else {
        let known: Vec<&str> = group.limits.iter().map(|limit| limit.id.as_str()).collect();
        return Err(BadLine::new(format!(
            "limit {:?} does not exist in group {:?}, which has {}",
            key.limit,
            key.group,
            known.join(", ")
        )));
    };
    let shape = Shape::of(&snapshot.policy, limit);
    match quota {
        Some(Quota::Units(units)) if shape == Shape::Concurrency && units > MAX_CONCURRENCY => {
            Err(BadLine::new(format!("`{units}` is above the largest concurrency quota, {MAX_CONCURRENCY}")))
        }
        _ => Ok(shape),
    }
}
