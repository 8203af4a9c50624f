//! The store: what every backend promises, and what the embedded one survives.

mod backup;
#[path = "../support/changes.rs"]
mod changes;
mod clock;
mod concurrency;
mod contract;
mod counters;
mod damage;
mod faults;
#[path = "../support/layers.rs"]
mod layers;
#[path = "../support/recorder.rs"]
mod recorder;
mod start;
