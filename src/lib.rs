//! Quotagate: rate limits and quotas for LLM and API platforms.
//!
//! Reading order: [`domain`] (the words), [`policy`] (the document that says the limits), and of the server
//! [`cli`] (the commands).

#[cfg(feature = "server")]
pub mod cli;
pub mod domain;
pub mod policy;
