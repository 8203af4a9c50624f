//! The policy document, read plainly: the documents given to the model are valid.

use serde_json::Value;
use std::collections::BTreeMap;

/// One hour in milliseconds.
pub const HOUR: i128 = 3_600_000;
/// One day in milliseconds.
pub const DAY: i128 = 24 * HOUR;

/// A quota; the order of the variants is the order of section 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quota {
    Blocked,
    Of(i128),
    Unlimited,
}

impl Quota {
    /// The quota as it stands in an answer.
    pub fn json(self) -> Value {
        match self {
            Quota::Blocked => Value::from("blocked"),
            Quota::Of(q) => super::number(q),
            Quota::Unlimited => Value::from("unlimited"),
        }
    }
}

/// The three algorithms of section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Fixed,
    Sliding,
    Bucket,
}

/// What a limit counts, apart from its quotas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    Rate { unit: String, window: i128, algorithm: Algorithm },
    Concurrency,
}

/// Kind, unit and window: what overrides, clamps and caps were written for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenFor(Option<(String, i128)>);

impl Rule {
    /// Kind, unit and window of this rule (the algorithm is no part of it).
    pub fn written_for(&self) -> WrittenFor {
        match self {
            Rule::Rate { unit, window, .. } => WrittenFor(Some((unit.clone(), *window))),
            Rule::Concurrency => WrittenFor(None),
        }
    }
}

/// One limit of a group.
#[derive(Clone, Debug)]
pub struct Limit {
    pub id: String,
    pub rule: Rule,
    pub quotas: BTreeMap<String, Quota>,
    pub burst: Option<BTreeMap<String, i128>>,
}

/// One group of resources.
#[derive(Clone, Debug)]
pub struct Group {
    pub id: String,
    pub resources: Vec<String>,
    pub share_resource: bool,
    pub limits: Vec<Limit>,
}

/// How payments reach a tier.
#[derive(Clone, Debug)]
pub struct ReachedBy {
    pub net_paid: Option<BTreeMap<String, i128>>,
    pub age: Option<i128>,
}

/// One tier; its rank is its place in the policy's list.
#[derive(Clone, Debug)]
pub struct Tier {
    pub id: String,
    pub reached_by: Option<ReachedBy>,
    pub grace: i128,
}

/// A policy document.
#[derive(Clone, Debug)]
pub struct Policy {
    pub allow_unlisted: bool,
    pub utc_offset: i128,
    pub units: Vec<String>,
    pub tiers: Vec<Tier>,
    pub default_tier: String,
    pub reservation_ttl: i128,
    pub groups: Vec<Group>,
}

/// The identity of a counter, field by field as section 2 lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub account: String,
    pub group: String,
    pub share_resource: bool,
    pub resource: Option<String>,
    pub limit: String,
    pub rule: Rule,
    /// The policy's `utc_offset`, only where it aligns the windows.
    pub offset: Option<i128>,
}

impl Policy {
    /// Reads a valid document.
    pub fn read(doc: &Value) -> Policy {
        Policy {
            allow_unlisted: doc["unlisted_resources"] == "allow",
            utc_offset: doc["utc_offset"].as_str().map_or(0, offset),
            units: list(&doc["units"]).iter().map(|u| text(&u["id"])).collect(),
            tiers: list(&doc["tiers"]).iter().map(tier).collect(),
            default_tier: text(&doc["default_tier"]),
            reservation_ttl: duration_or(&doc["reservation_ttl"], 600_000),
            groups: list(&doc["groups"]).iter().map(group).collect(),
        }
    }

    /// The group with this id.
    pub fn group(&self, id: &str) -> Option<&Group> {
        self.groups.iter().find(|g| g.id == id)
    }

    /// The group a resource belongs to.
    pub fn group_of(&self, resource: &str) -> Option<&Group> {
        self.groups.iter().find(|g| g.resources.iter().any(|r| r == resource))
    }

    /// The limit of a group.
    pub fn limit(&self, group: &str, limit: &str) -> Option<&Limit> {
        self.group(group)?.limits.iter().find(|l| l.id == limit)
    }

    /// The rank of a tier, from 0.
    pub fn rank(&self, tier: &str) -> Option<usize> {
        self.tiers.iter().position(|t| t.id == tier)
    }

    /// The identity of the counter that one account spends on one resource for one limit.
    pub fn identity(&self, account: &str, group: &Group, limit: &Limit, resource: &str) -> Identity {
        let aligned = matches!(
            limit.rule,
            Rule::Rate { window, algorithm: Algorithm::Fixed, .. } if window % HOUR == 0
        );
        Identity {
            account: account.to_string(),
            group: group.id.clone(),
            share_resource: group.share_resource,
            resource: group.share_resource.then(|| resource.to_string()),
            limit: limit.id.clone(),
            rule: limit.rule.clone(),
            offset: aligned.then_some(self.utc_offset),
        }
    }

    /// Whether a counter with this identity can exist under this policy.
    pub fn has(&self, counter: &Identity) -> bool {
        self.groups.iter().any(|g| {
            g.limits.iter().any(|l| {
                // Where the group is shared the resource is no part of the identity.
                let any_resource = [String::new()];
                let resources = if g.share_resource { &g.resources[..] } else { &any_resource[..] };
                resources.iter().any(|r| self.identity(&counter.account, g, l, r) == *counter)
            })
        })
    }
}

fn tier(v: &Value) -> Tier {
    Tier {
        id: text(&v["id"]),
        reached_by: v["reached_by"].as_object().map(|r| ReachedBy {
            net_paid: r.get("net_paid_at_least").map(|n| {
                let pairs = n.as_object().expect("thresholds are a map");
                pairs.iter().map(|(c, a)| (c.clone(), integer(a))).collect()
            }),
            age: r.get("account_age_at_least").map(|a| duration(&text(a))),
        }),
        grace: duration_or(&v["grace"], 30 * DAY),
    }
}

fn group(v: &Value) -> Group {
    Group {
        id: text(&v["id"]),
        resources: list(&v["resources"]).iter().map(text).collect(),
        share_resource: v["share"] == "resource",
        limits: list(&v["limits"]).iter().map(limit).collect(),
    }
}

fn limit(v: &Value) -> Limit {
    let rule = if v["kind"] == "concurrency" {
        Rule::Concurrency
    } else {
        Rule::Rate {
            unit: text(&v["unit"]),
            window: duration(&text(&v["window"])),
            algorithm: match v["algorithm"].as_str() {
                Some("fixed_window") => Algorithm::Fixed,
                Some("token_bucket") => Algorithm::Bucket,
                Some("sliding_window") | None => Algorithm::Sliding,
                Some(other) => panic!("a valid policy has no algorithm {other}"),
            },
        }
    };
    let quotas = v["quotas"].as_object().expect("quotas are a map");
    Limit {
        id: text(&v["id"]),
        rule,
        quotas: quotas.iter().map(|(t, q)| (t.clone(), quota(q))).collect(),
        burst: v["burst"].as_object().map(|b| b.iter().map(|(t, q)| (t.clone(), integer(q))).collect()),
    }
}

fn quota(v: &Value) -> Quota {
    match v.as_str() {
        Some("unlimited") => Quota::Unlimited,
        Some("blocked") => Quota::Blocked,
        _ => Quota::Of(integer(v)),
    }
}

fn list(v: &Value) -> &[Value] {
    v.as_array().map_or(&[], |a| &a[..])
}

fn text(v: &Value) -> String {
    v.as_str().expect("a valid policy has text here").to_string()
}

fn integer(v: &Value) -> i128 {
    i128::from(v.as_i64().expect("a valid policy has an integer here"))
}

fn duration_or(v: &Value, default: i128) -> i128 {
    v.as_str().map_or(default, duration)
}

/// A duration: an integer and one of ms, s, m, h, d.
pub fn duration(s: &str) -> i128 {
    let digits = s.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let n: i128 = digits.parse().expect("a duration starts with an integer");
    n * match &s[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => HOUR,
        "d" => DAY,
        unit => panic!("a valid policy has no duration in {unit}"),
    }
}

/// An offset like `+08:00` in milliseconds.
fn offset(s: &str) -> i128 {
    let hours: i128 = s[1..3].parse().expect("an offset is like +08:00");
    let minutes: i128 = s[4..6].parse().expect("an offset is like +08:00");
    let size = hours * HOUR + minutes * 60_000;
    if s.starts_with('-') { -size } else { size }
}
