//! Deliveries as a billing system signs them.

use crate::control::Control;
use crate::support::Reply;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::time::UNIX_EPOCH;

/// Seconds since 1970, `off` from now.
pub fn seconds(off: i64) -> i64 {
    UNIX_EPOCH.elapsed().unwrap().as_secs() as i64 + off
}

pub fn mac(secret: &str, time: i64, body: &str) -> String {
    let keyed = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    hex::encode(keyed.chain_update(format!("{time}.{body}")).finalize().into_bytes())
}

pub fn signature(secret: &str, time: i64, body: &str) -> String {
    format!("t={time},v1={}", mac(secret, time, body))
}

impl Control {
    /// A source of this form; gives its secret.
    pub fn source(&self, id: &str, format: &str) -> String {
        let made = self.post("/v1/billing-sources", json!({"id": id, "format": format})).is(201);
        made.json["secret"].as_str().unwrap().to_owned()
    }

    pub fn deliver_as(&self, source: &str, header: (&str, &str), body: &str) -> Reply {
        let headers = [("content-type", "application/json"), header];
        self.0.send("POST", &format!("/v1/hooks/billing/{source}"), &headers, body)
    }

    /// Signed now.
    pub fn deliver(&self, source: &str, secret: &str, body: &Value) -> Reply {
        let body = body.to_string();
        self.deliver_as(source, ("quotagate-signature", &signature(secret, seconds(0), &body)), &body)
    }
}

pub fn top_up(account: &str, number: u64, amount: u64) -> Value {
    json!({"kind": "top_up", "account": account, "event_id": format!("e{number}"), "payment_id": format!("p{number}"),
        "amount": amount, "currency": "CNY", "occurred_at": "2026-01-31T08:00:00Z"})
}
