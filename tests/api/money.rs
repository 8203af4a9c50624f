//! Short ways to pay and to see what came of it.

use crate::control::Control;
use crate::support::Reply;
use serde_json::{Value, json};

/// All of time.
pub const EVER: &str = "from=1970-01-01T00:00:00Z&to=2999-01-01T00:00:00Z";

impl Control {
    pub fn top_up(&self, account: &str, event: &str, payment: &str, amount: u64) -> Reply {
        let body = json!({"event_id": event, "payment_id": payment, "amount": amount, "currency": "CNY"});
        self.post(&format!("/v1/accounts/{account}/top-ups"), body)
    }

    #[cfg(feature = "manual-clock")]
    pub fn top_up_long_ago(&self, account: &str, event: &str, payment: &str, amount: u64) {
        let body = json!({"event_id": event, "payment_id": payment, "amount": amount, "currency": "CNY",
            "occurred_at": "2025-01-01T00:00:00Z"});
        self.post(&format!("/v1/accounts/{account}/top-ups"), body).is(201);
    }

    /// `kind` is `refund` or `chargeback`.
    pub fn take_back(&self, account: &str, kind: &str, event: &str, payment: &str, amount: u64) -> Reply {
        let body = json!({"event_id": event, "payment_id": payment, "amount": amount, "kind": kind});
        self.post(&format!("/v1/accounts/{account}/refunds"), body)
    }

    pub fn ledger(&self, account: &str) -> Vec<Value> {
        let page = self.get(&format!("/v1/accounts/{account}/ledger?page_size=200")).is(200).json;
        assert_eq!(page["next_page_token"], Value::Null);
        page["items"].as_array().unwrap().clone()
    }

    pub fn digest(&self) -> Value {
        self.get(&format!("/v1/ledger/digest?{EVER}")).is(200).json
    }

    /// All that can be read about the payments of an account, to be compared.
    pub fn money(&self, account: &str) -> Value {
        json!({
            "ledger": self.ledger(account),
            "digest": self.digest(),
            "tier": self.get(&format!("/v1/accounts/{account}/tier")).is(200).json,
        })
    }

    /// Audit entries of an account with this action, the newest first.
    pub fn audited(&self, account: &str, action: &str) -> Vec<Value> {
        let page = self.get(&format!("/v1/audit?subject=account:{account}&action={action}")).is(200).json;
        page["items"].as_array().unwrap().clone()
    }

    /// Waits for the next audit entries of an account with this action: they come within a second or two.
    #[cfg(feature = "manual-clock")]
    pub fn soon_audited(&self, account: &str, action: &str, number: usize) -> Vec<Value> {
        for _ in 0..400 {
            let entries = self.audited(account, action);
            if entries.len() >= number {
                return entries;
            }
            std::thread::sleep(std::time::Duration::from_millis(25));
        }
        panic!("no {number} audit entries {action} of {account}");
    }
}
