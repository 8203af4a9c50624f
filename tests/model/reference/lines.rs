//! Section 7: reading one event of a trace, and telling bad lines.

use super::decide::{Call, Reserve};
use super::fields::{Bad, Fields, as_text, as_whole};
use super::policy::{Limit, Policy, Quota};
use super::reservation::Amounts;
use super::tier::{Clamp, Kind, Override, Payment};
use super::{Account, Cap, Model};
use serde_json::Value;
use std::collections::BTreeMap;

/// The greatest quota, cost or amount.
const MOST: u64 = 1_000_000_000_000_000;
/// The greatest quota of a concurrency limit.
const MOST_SLOTS: i128 = 100_000;
/// The longest life of a reservation.
const DAY: u64 = 86_400_000;

/// Whether text can be the id of an account or a reservation.
fn is_id(s: &str) -> bool {
    (1..=64).contains(&s.len()) && s.chars().all(|c| c.is_ascii_alphanumeric() || "._:-".contains(c))
}

fn quota_for(v: &Value, limit: &Limit) -> Bad<Quota> {
    match v.as_str() {
        Some("unlimited") => return Ok(Quota::Unlimited),
        Some("blocked") => return Ok(Quota::Blocked),
        _ => {}
    }
    let n = as_whole("quota", v, MOST)?;
    let slots = limit.rule == super::policy::Rule::Concurrency;
    if n == 0 || (slots && n > MOST_SLOTS) {
        return Err(format!("quota {n} is out of range"));
    }
    Ok(Quota::Of(n))
}

impl Model {
    fn limit_or_bad(&self, group: &str, limit: &str) -> Bad<&Limit> {
        let found = self.policy.limit(group, limit);
        found.ok_or(format!("no limit {group}/{limit}"))
    }

    fn known(&self, account: &str) -> Bad<&Account> {
        self.account(account).ok_or(format!("no account {account}"))
    }

    fn known_main(&self, account: &str) -> Bad<&Account> {
        let known = self.known(account)?;
        match known.parent {
            Some(_) => Err(format!("{account} is a sub-account")),
            None => Ok(known),
        }
    }

    fn known_tier(&self, tier: &str) -> Bad<()> {
        self.policy.rank(tier).map(|_| ()).ok_or(format!("no tier {tier}"))
    }

    /// The `account` event: creates or changes.
    pub fn account_line(&mut self, mut f: Fields, now: i128) -> Bad<String> {
        let id = f.text("account")?;
        let tier = f.maybe_text("tier")?;
        let parent = f.maybe_text("parent")?;
        let suspended = f.maybe_bool("suspended")?;
        let caps = f.take("caps");
        f.finish()?;
        if !is_id(&id) {
            return Err(format!("{id} is no account id"));
        }
        if let Some(tier) = &tier {
            self.known_tier(tier)?;
        }
        let before = self.account(&id).cloned();
        if let Some(parent) = &parent {
            if before.is_some() {
                return Err("a parent is given at creation only".into());
            }
            self.known_main(parent)?;
        }
        let is_sub = before.as_ref().map_or(parent.is_some(), |b| b.parent.is_some());
        let caps = caps.map(|c| self.caps(&c, is_sub)).transpose()?;
        let mut account = before.unwrap_or(Account {
            id: id.clone(),
            parent,
            made_at: now,
            floor: None,
            pin: None,
            suspended: false,
            caps: Vec::new(),
        });
        if tier.is_some() {
            account.floor = tier;
        }
        account.suspended = suspended.unwrap_or(account.suspended);
        if let Some(caps) = caps {
            let kept = |group: &str, limit: &str| caps.iter().any(|c| c.group == group && c.limit == limit);
            self.forget(|counter| counter.account == id && !kept(&counter.group, &counter.limit));
            account.caps = caps;
        }
        self.accounts.retain(|a| a.id != id);
        self.accounts.push(account);
        Ok(id)
    }

    fn caps(&self, v: &Value, is_sub: bool) -> Bad<Vec<Cap>> {
        if !is_sub {
            return Err("caps on a main account".into());
        }
        let pairs = v.as_object().ok_or("caps is not a map")?;
        let mut caps = Vec::new();
        for (key, quota) in pairs {
            let (group, limit) = key.split_once('/').ok_or(format!("cap {key} names no limit"))?;
            let rule = self.limit_or_bad(group, limit)?;
            caps.push(Cap {
                group: group.into(),
                limit: limit.into(),
                quota: quota_for(quota, rule)?,
                written_for: rule.rule.written_for(),
            });
        }
        Ok(caps)
    }

    /// The `pin` event.
    pub fn pin_line(&mut self, mut f: Fields) -> Bad<String> {
        let id = f.text("account")?;
        let tier = match f.must("tier")? {
            Value::Null => None,
            tier => Some(as_text("tier", &tier)?),
        };
        let until = f.maybe_whole("until_ms")?;
        f.finish()?;
        self.known_main(&id)?;
        if let Some(tier) = &tier {
            self.known_tier(tier)?;
        }
        self.account_mut(&id).pin = tier.map(|tier| (tier, until));
        Ok(id)
    }

    /// The `override` event.
    pub fn override_line(&mut self, mut f: Fields, now: i128) -> Bad<()> {
        let account = f.text("account")?;
        let (group, limit) = (f.text("group")?, f.text("limit")?);
        let quota = f.must("quota")?;
        let starts_at = f.maybe_whole("starts_at_ms")?.unwrap_or(now);
        let expires_at = f.maybe_whole("expires_at_ms")?;
        f.finish()?;
        self.known_main(&account)?;
        let new = if quota.is_null() {
            None
        } else {
            let rule = self.limit_or_bad(&group, &limit)?;
            Some(Override {
                account: account.clone(),
                group: group.clone(),
                limit: limit.clone(),
                quota: quota_for(&quota, rule)?,
                starts_at,
                expires_at,
                written_for: rule.rule.written_for(),
            })
        };
        self.overrides.retain(|o| !(o.account == account && o.group == group && o.limit == limit));
        self.overrides.extend(new);
        Ok(())
    }

    /// The `clamp` event.
    pub fn clamp_line(&mut self, mut f: Fields) -> Bad<()> {
        let (group, limit) = (f.text("group")?, f.text("limit")?);
        let account = f.maybe_text("account")?;
        let tier = f.maybe_text("tier")?;
        let quota = f.must("quota")?;
        f.finish()?;
        if account.is_some() && tier.is_some() {
            return Err("a clamp names an account or a tier".into());
        }
        if let Some(account) = &account {
            self.known_main(account)?;
        }
        if let Some(tier) = &tier {
            self.known_tier(tier)?;
        }
        let new = if quota.is_null() {
            None
        } else {
            let rule = self.limit_or_bad(&group, &limit)?;
            let quota = quota_for(&quota, rule)?;
            if quota == Quota::Unlimited {
                return Err("a clamp is an integer or blocked".into());
            }
            Some(Clamp {
                group: group.clone(),
                limit: limit.clone(),
                account: account.clone(),
                tier: tier.clone(),
                quota,
                written_for: rule.rule.written_for(),
            })
        };
        self.clamps.retain(|c| !(c.group == group && c.limit == limit && c.account == account && c.tier == tier));
        self.clamps.extend(new);
        Ok(())
    }

    /// The `top_up`, `refund` and `chargeback` events.
    pub fn payment_line(&mut self, kind: Kind, event: &Value, mut f: Fields, now: i128) -> Bad<String> {
        let account = f.text("account")?;
        let event_id = f.text("event_id")?;
        let payment_id = f.text("payment_id")?;
        let amount = as_whole("amount", &f.must("amount")?, MOST)?;
        let currency = match kind {
            Kind::TopUp => f.text("currency")?,
            _ => String::new(),
        };
        let occurred_at = f.maybe_whole("occurred_at_ms")?.unwrap_or(now);
        f.finish()?;
        self.known_main(&account)?;
        if amount == 0 {
            return Err("an amount of nothing".into());
        }
        let mut given = event.as_object().expect("it was read as an object").clone();
        given.remove("at_ms");
        if let Some(known) = self.payments.iter().find(|p| p.event_id == event_id) {
            let differs = |(k, v): (&String, &Value)| known.given.get(k).is_some_and(|before| before != v);
            return match given.iter().any(differs) {
                true => Err(format!("event {event_id} was something else")),
                false => Ok(account),
            };
        }
        let topped = |p: &Payment| p.kind == Kind::TopUp && p.payment_id == payment_id;
        if kind == Kind::TopUp && self.payments.iter().any(topped) {
            return Err(format!("payment {payment_id} was topped up before"));
        }
        self.payments.push(Payment {
            kind,
            account: account.clone(),
            event_id,
            payment_id,
            amount,
            currency,
            occurred_at,
            given,
        });
        Ok(account)
    }

    /// The `policy` event: usage under identities that no longer exist is gone for good.
    pub fn policy_line(&mut self, mut f: Fields) -> Bad<()> {
        let file = f.text("file")?;
        f.finish()?;
        let doc = match self.files.get(&file) {
            Some(doc) => doc.clone(),
            None => {
                let text = std::fs::read_to_string(self.base.join(&file)).map_err(|e| format!("{file}: {e}"))?;
                serde_json::from_str(&text).map_err(|e| format!("{file}: {e}"))?
            }
        };
        let policy = Policy::read(&doc);
        self.forget(|counter| !policy.has(counter));
        self.policy = policy;
        Ok(())
    }

    /// The `decide` event as a call.
    pub fn decide_line(&self, mut f: Fields) -> Bad<Call> {
        let account = f.text("account")?;
        let resource = f.text("resource")?;
        let mut named = self.amounts(&mut f)?;
        let dry_run = f.maybe_bool("dry_run")?.unwrap_or(false);
        let reserve = f.take("reserve").map(|v| reserve(&v)).transpose()?;
        f.finish()?;
        named.entry("requests".into()).or_insert(1);
        let costs = named.into_iter().filter(|(_, n)| *n > 0).collect();
        Ok(Call { account, resource, costs, dry_run, reserve })
    }

    /// `requests`, `tokens` and `units` of a decide or a settle.
    pub fn amounts(&self, f: &mut Fields) -> Bad<Amounts> {
        let mut named: Amounts = BTreeMap::new();
        for unit in ["requests", "tokens"] {
            if let Some(v) = f.take(unit) {
                named.insert(unit.into(), as_whole(unit, &v, MOST)?);
            }
        }
        if let Some(units) = f.take("units") {
            for (unit, v) in units.as_object().ok_or("units is not a map")? {
                if !self.policy.units.contains(unit) {
                    return Err(format!("no unit {unit} among units"));
                }
                named.insert(unit.clone(), as_whole(unit, v, MOST)?);
            }
        }
        Ok(named)
    }
}

fn reserve(v: &Value) -> Bad<Reserve> {
    let mut f = Fields::of(v)?;
    let id = f.maybe_text("id")?;
    let ttl = f.take("ttl_ms").map(|v| as_whole("ttl_ms", &v, DAY)).transpose()?;
    f.finish()?;
    if id.as_deref().is_some_and(|id| !is_id(id)) {
        return Err("that is no reservation id".into());
    }
    Ok(Reserve { id, ttl })
}
