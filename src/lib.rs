//! Quotagate: rate limits and quotas for LLM and API platforms.
//!
//! Reading order: [`domain`] (the words), [`limits`] (the algorithms), [`policy`] (documents, tiers, quotas),
//! [`engine`] (the decision), [`simulate`] (traces), `store` (what is kept), `services` (the control plane's use cases),
//! `cli` (the commands).

#[cfg(feature = "server")]
pub mod cli;
pub mod domain;
pub mod engine;
#[cfg(feature = "server")]
pub mod ids;
pub mod limits;
pub mod policy;
#[cfg(feature = "server")]
pub mod services;
pub mod simulate;
#[cfg(feature = "server")]
pub mod store;
