//! The store: what every backend promises, and what the embedded one survives.

#[path = "../support/changes.rs"]
mod changes;
mod contract;
