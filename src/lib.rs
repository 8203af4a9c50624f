//! Quotagate: rate limits and quotas for LLM and API platforms.
//!
//! Reading order: [`domain`] (the words), [`limits`] (the algorithms), [`policy`] (documents, tiers, quotas),
//! [`engine`] (the decision), [`simulate`] (traces), `store` (what is kept), `cli` (the commands).

#[cfg(feature = "server")]
pub mod cli;
pub mod domain;
pub mod engine;
pub mod limits;
pub mod policy;
pub mod simulate;
#[cfg(feature = "server")]
pub mod store;
