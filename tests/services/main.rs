//! The control plane's use cases over a real store, and what they do to decisions.

mod accounts;
mod automatic;
mod backups;
mod bulk;
mod caps;
mod changes;
mod clamps;
mod evidence;
mod flush;
mod flush_faults;
mod harness;
mod history;
#[path = "../support/layers.rs"]
mod layers;
mod notes;
mod overrides;
mod payments;
mod policies;
mod raise_requests;
mod rebuilt;
#[path = "../support/recorder.rs"]
mod recorder;
mod renewals;
mod room;
mod strangers;
mod tier;
mod usage;
mod watched;
