//! All that a server answers about itself, to be compared with what another one answers.

use crate::server::Client;
use serde_json::{Value, json};

/// What is compared beside the lists.
pub struct Asked<'a> {
    pub accounts: &'a [String],
    pub resources: &'a [&'a str],
    pub reservations: &'a [String],
    /// Both are asked at the same engine time, so waits are compared too.
    pub at_one_time: bool,
}

/// Without what the server writes to the audit log at a pace of its own: tiers that it notices, uses of keys.
fn list_of(client: &Client, list: &str) -> Vec<Value> {
    let own = ["account.tier_changed", "api_key.used"];
    let items = client.list(&format!("/v1/{list}")).into_iter();
    items.filter(|item| !own.iter().any(|action| item["action"] == *action)).collect()
}

/// The answers by path.
pub fn all(client: &Client, asked: &Asked<'_>) -> Vec<(String, Value)> {
    let lists = ["accounts", "overrides", "clamps", "policies/revisions", "policies/activations", "audit"];
    let mut views: Vec<(String, Value)> =
        lists.iter().map(|list| (format!("/v1/{list}"), json!(list_of(client, list)))).collect();
    let mut paths = vec!["/v1/tiers".to_owned(), "/v1/policies/active".to_owned()];
    for account in asked.accounts {
        paths.extend(["", "/tier", "/limits", "/usage"].map(|view| format!("/v1/accounts/{account}{view}")));
    }
    paths.extend(asked.reservations.iter().map(|handle| format!("/v1/reservations/{handle}")));
    for path in paths {
        let reply = client.get(&path).unwrap();
        views.push((path, json!({"status": reply.status, "etag": reply.etag, "body": reply.json})));
    }
    for account in asked.accounts {
        for resource in asked.resources {
            let body = json!({"account": account, "resource": resource, "dry_run": true});
            let reply = client.post("/v1/decisions", body).unwrap();
            views.push((format!("{account} on {resource}"), reply.json));
        }
    }
    for (path, view) in &mut views {
        remove(view, "request_id");
        if !asked.at_one_time {
            remove(view, "reset_after_ms");
            if path.ends_with("/usage") {
                remove(view, "etag");
            }
        }
    }
    views
}

fn remove(view: &mut Value, name: &str) {
    match view {
        Value::Object(fields) => {
            // The audit log keeps the request's id; a problem has that of the request just made.
            if name != "request_id" || fields.contains_key("detail") && fields.contains_key("code") {
                fields.remove(name);
            }
            fields.values_mut().for_each(|view| remove(view, name));
        }
        Value::Array(items) => items.iter_mut().for_each(|view| remove(view, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Fails with the first difference.
#[track_caller]
pub fn assert_same(before: &[(String, Value)], after: &[(String, Value)], round: &str) {
    assert_eq!(before.len(), after.len(), "{round}");
    for ((path, before), (_, after)) in before.iter().zip(after) {
        assert_eq!(before, after, "{round}: {path}");
    }
}
