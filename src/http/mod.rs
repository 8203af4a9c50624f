//! The REST surface: actix and utoipa live here and nowhere else.
//!
//! Owns routes, wire types beside their handlers, problems, the OpenAPI document and Swagger UI. Deliberately absent:
//! what a request means (the engine and the services), any decision of its own, reading the clock more than once a
//! request (the guard reads it for itself).
//!
//! Reading order: [`decisions`] (the hot path), `body` and `reply` (in and out), `problem` (errors), `change` (what a
//! control-plane request is made of), `floor` (what every request passes), `access` (who may call what), `console` (the control socket), `openapi`, `server`.

mod access;
mod access_log;
mod accounts;
mod api_keys;
mod approvals;
mod audit;
mod audit_chain;
mod backups;
mod billing_sources;
pub(crate) mod body;
mod caps;
mod change;
mod clamps;
mod client;
mod code;
mod console;
mod decisions;
mod docs;
mod door;
mod eligibility;
mod error;
mod floor;
pub mod front;
mod health;
mod held;
mod help;
mod history;
mod hooks;
mod idempotency;
mod json;
pub(crate) mod metrics;
pub mod openapi;
mod operators;
mod overrides;
mod pace;
mod paths;
mod payments;
mod policies;
pub mod port;
pub(crate) mod problem;
mod query;
mod raise_requests;
mod reconcile;
mod renewals;
mod reply;
mod request_id;
mod reservations;
mod routes;
mod schema;
mod security_headers;
mod security_log;
pub mod server;
mod sessions;
mod sliced;
pub mod state;
mod sub_accounts;
mod tags;
#[cfg(feature = "manual-clock")]
mod test_clock;
mod tier;
mod tiers;
mod tunnel;
mod usage;
pub(crate) mod views;
mod wire;
