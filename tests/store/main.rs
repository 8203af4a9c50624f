//! The store: what every backend promises, and what the embedded one survives.

mod backup;
#[path = "../support/changes.rs"]
mod changes;
mod clock;
mod concurrency;
mod contract;
mod counters;
mod damage;
mod descriptors;
mod faults;
#[path = "../support/layers.rs"]
mod layers;
mod leftovers;
mod lost_ends;
#[path = "../support/recorder.rs"]
mod recorder;
mod reread;
mod start;
