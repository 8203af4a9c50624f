//! Quotagate: rate limits and quotas for LLM and API platforms.
//!
//! Reading order: [`domain`] (the words), [`limits`] (the algorithms), [`policy`] (documents, tiers, quotas),
//! [`engine`] (the decision), [`simulate`] (traces), `store` (what is kept), `services` (the use cases of the control
//! plane), `http` (the REST surface), `app` (what a server is made of), `cli` (the commands).

#[cfg(feature = "server")]
pub mod app;
#[cfg(feature = "server")]
pub mod calendar;
#[cfg(feature = "server")]
mod calendar_file;
#[cfg(feature = "server")]
mod charts;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod clock;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod control_socket;
#[cfg(feature = "server")]
mod descriptors;
pub mod domain;
pub mod engine;
#[cfg(feature = "mutations")]
pub mod fault;
#[cfg(not(feature = "mutations"))]
mod fault;
#[cfg(feature = "server")]
pub mod http;
#[cfg(feature = "server")]
pub mod ids;
pub mod limits;
#[cfg(feature = "server")]
pub mod peers;
pub mod policy;
#[cfg(feature = "server")]
mod seal_key;
#[cfg(feature = "server")]
pub mod services;
pub mod simulate;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod tls;
