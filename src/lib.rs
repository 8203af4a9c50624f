//! Quotagate: rate limits and quotas for LLM and API platforms.
//!
//! Reading order: [`domain`] (the words), `store` (what is kept, and how durably).

pub mod domain;
#[cfg(feature = "server")]
pub mod store;
