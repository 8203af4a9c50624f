//! Quotagate: rate limits and quotas for LLM and API platforms.
//!
//! Reading order: [`domain`] (the words), [`policy`] (the document that says the limits).

pub mod domain;
pub mod policy;
