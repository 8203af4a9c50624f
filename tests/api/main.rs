//! The REST surface by user journey: the real binary on a port of its own, a real folder, a plain client.

mod control;
#[path = "../support/forge.rs"]
mod forge;
mod money;
mod people;
mod signing;
mod support;
#[path = "../support/tls_client.rs"]
mod tls_client;
mod witness;

mod accounts;
mod api_keys;
mod approvals;
mod audit;
mod audit_chain;
mod bad_input;
mod batch;
mod billing_sources;
mod browsers;
mod caps;
mod changes;
#[cfg(feature = "manual-clock")]
mod clamps;
mod console;
mod decisions;
mod denials;
mod documents;
mod door;
#[cfg(feature = "manual-clock")]
mod eligibility;
mod ends;
mod health;
#[cfg(feature = "manual-clock")]
mod history;
mod hooks;
mod ledger;
#[cfg(feature = "manual-clock")]
mod long_times;
mod operators;
#[cfg(feature = "manual-clock")]
mod overrides;
mod policies;
#[cfg(feature = "manual-clock")]
mod raise_requests;
mod reads;
mod reconcile;
#[cfg(feature = "manual-clock")]
mod refunds;
mod reservations;
mod restart;
mod secrets;
mod start_and_stop;
mod sub_accounts;
mod tier;
mod times;
mod tls;
mod top_ups;
mod usage;
