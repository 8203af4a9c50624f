//! Quotagate: rate limits and quotas for LLM and API platforms.
//!
//! Reading order: [`domain`] (the words).

pub mod domain;
