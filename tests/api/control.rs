//! Short ways to change what the control plane holds, and to see what it does to decisions.

use crate::support::{Reply, Server};
use rustix::process::Signal;
use serde_json::{Value, json};

pub const JSON: (&str, &str) = ("content-type", "application/json");

/// A server that knows no account but those that are created.
pub struct Control(pub Server);

impl Control {
    pub fn start() -> Self {
        Self(Server::start_with(&["--flush-interval-ms", "5"]))
    }

    /// Nobody has made a credential yet.
    pub fn bare() -> Self {
        Self(Server::bare_with(&["--flush-interval-ms", "5"]))
    }

    /// Kills it and starts another one over the same folder.
    pub fn after_kill(mut self) -> Self {
        self.0.signal(Signal::KILL);
        self.0.ended();
        Self(Server::on_the_folder_of(&self.0))
    }

    /// Stops it in order and starts another one over the same folder.
    pub fn after_stop(self) -> Self {
        Self(self.0.restart())
    }

    #[cfg(feature = "manual-clock")]
    pub fn advance_minutes(&self, minutes: u64) {
        self.post("/test/clock", json!({"advance_ms": minutes * 60_000})).is(200);
    }

    pub fn get(&self, path: &str) -> Reply {
        self.0.get(path)
    }

    pub fn post(&self, path: &str, body: Value) -> Reply {
        self.0.post(path, &body)
    }

    /// With the entity tag of what is changed.
    pub fn on(&self, etag: &str, method: &str, path: &str, body: Value) -> Reply {
        self.0.send(method, path, &[JSON, ("if-match", etag)], &body.to_string())
    }

    pub fn delete(&self, etag: &str, path: &str) -> Reply {
        self.0.send("DELETE", path, &[("if-match", etag)], "")
    }

    /// The present entity tag of what is at a path.
    pub fn tag(&self, path: &str) -> String {
        self.get(path).is(200).etag().to_owned()
    }

    pub fn decide(&self, account: &str, resource: &str, tokens: u64) -> Value {
        self.0.decide(&json!({"account": account, "resource": resource, "tokens": tokens}))
    }

    /// How many of `tries` requests are allowed; each is settled at once, so that no slot stays taken.
    pub fn allowed(&self, account: &str, resource: &str, tries: usize) -> usize {
        (0..tries).filter(|_| self.reserve_and_settle(account, resource)["decision"] == "allow").count()
    }

    pub fn reserve_and_settle(&self, account: &str, resource: &str) -> Value {
        let decided = self.0.decide(&json!({"account": account, "resource": resource, "reserve": {}}));
        if let Some(handle) = decided["reservation"]["handle"].as_str() {
            self.post(&format!("/v1/reservations/{handle}/settle"), json!({})).is(200);
        }
        decided
    }

    /// A main account of the default tier.
    pub fn create(&self, id: &str) {
        self.post("/v1/accounts", json!({"id": id})).is(201);
    }

    /// Sets the tier of an account for good.
    pub fn pin(&self, id: &str, tier: &str) {
        let path = format!("/v1/accounts/{id}");
        let body = json!({"tier": tier, "reason": "test"});
        self.on(&self.tag(&path), "PUT", &format!("{path}/tier"), body).is(200);
    }
}

impl Reply {
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Checks that it is this problem.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Self {
        self.problem(status, code);
        self
    }

    pub fn etag(&self) -> &str {
        self.header("etag")
    }

    /// The entity tag of the record that was read, whatever its body, as changes and lists have it.
    pub fn revision(&self) -> String {
        self.etag().split_once('-').map(|(revision, _)| format!("{revision}\"")).unwrap_or_default()
    }
}
