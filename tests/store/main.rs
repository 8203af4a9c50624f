//! The store: what every backend promises, and what the embedded one survives.

mod backup;
#[path = "../support/changes.rs"]
mod changes;
mod clock;
mod concurrency;
mod contract;
mod damage;
mod descriptors;
mod faults;
#[path = "../support/layers.rs"]
mod layers;
mod leftovers;
mod lost_ends;
mod reread;
mod start;
