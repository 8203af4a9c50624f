//! The limits page as JSON: the texts of the page beside the numbers of the policy.

use super::super::grammar::{duration_text, utc_offset_text};
use super::{Page, PageGroup, PageLimit};
use crate::domain::policy::{Adjustable, Group, Limit, Policy, Rule, Share, UnlistedResources};
use crate::domain::raise_rule::Pool;
use serde_json::{Map, Value, json};

impl Page {
    /// The page of `policy`, of which it was made; what is absent is left out.
    #[must_use]
    pub fn json(&self, policy: &Policy) -> Value {
        let tiers =
            self.tiers.iter().map(|tier| json!({"id": tier.id, "title": tier.title, "reached_by": tier.reached_by}));
        let groups = self.groups.iter().zip(&policy.groups).map(|(page, group)| group_json(policy, page, group));
        let mut out = json!({
            "name": policy.name,
            "title": self.title,
            "content_hash": hex::encode(policy.content_hash),
            "unlisted_resources": match policy.unlisted_resources {
                UnlistedResources::Deny => "deny",
                UnlistedResources::Allow => "allow",
            },
            "utc_offset": utc_offset_text(policy.utc_offset_ms),
            "default_tier": policy.tiers[policy.default_tier].id,
            "tiers": tiers.collect::<Vec<_>>(),
            "groups": groups.collect::<Vec<_>>(),
        });
        if !policy.pools.is_empty() {
            let pool =
                |pool: &Pool| json!({"group": pool.key.group, "limit": pool.key.limit, "capacity": pool.capacity});
            out["pools"] = policy.pools.iter().map(pool).collect();
        }
        if !self.raise_rules.is_empty() {
            out["raise_rules"] = self.raise_rules.iter().map(|(id, text)| json!({"id": id, "text": text})).collect();
        }
        put(&mut out, "note", self.note.as_deref());
        put(&mut out, "source", self.source.as_deref());
        out
    }
}

fn group_json(policy: &Policy, page: &PageGroup, group: &Group) -> Value {
    let limits = page.limits.iter().zip(&group.limits).map(|(page, limit)| limit_json(policy, page, limit));
    let mut out = json!({
        "id": page.id,
        "title": page.title,
        "resources": page.resources,
        "share": match group.share {
            Share::Group => "group",
            Share::Resource => "resource",
        },
        "limits": limits.collect::<Vec<_>>(),
    });
    put(&mut out, "note", page.note.as_deref());
    out
}

fn limit_json(policy: &Policy, page: &PageLimit, limit: &Limit) -> Value {
    let by_tier = |values: Vec<Value>| -> Value {
        Value::Object(policy.tiers.iter().map(|tier| tier.id.to_string()).zip(values).collect::<Map<_, _>>())
    };
    let mut out = json!({
        "id": page.id,
        "title": page.title,
        "quotas": by_tier(limit.quotas.iter().map(|quota| json!(quota)).collect()),
    });
    match limit.rule {
        Rule::Concurrency => out["kind"] = "concurrency".into(),
        Rule::Rate { unit, window_ms, algorithm } => {
            out["kind"] = "rate".into();
            out["unit"] = policy.units[unit].id.as_str().into();
            out["window"] = duration_text(window_ms).into();
            out["algorithm"] = algorithm.as_str().into();
        }
    }
    if let Some(bursts) = &limit.bursts {
        out["burst"] = by_tier(bursts.iter().map(|burst| json!(burst)).collect());
    }
    match limit.adjustable {
        Adjustable::Freely => {}
        Adjustable::UpTo(max) => out["adjustable"] = json!({"max": max}),
        Adjustable::Fixed => out["adjustable"] = false.into(),
    }
    put(&mut out, "note", page.note.as_deref());
    out
}

fn put(out: &mut Value, name: &str, text: Option<&str>) {
    if let Some(text) = text {
        out[name] = text.into();
    }
}
