//! The REST surface by user journey: the real binary on a port of its own, a real folder, a plain client.

mod control;
mod support;

mod accounts;
mod audit;
mod bad_input;
mod batch;
mod caps;
mod changes;
#[cfg(feature = "manual-clock")]
mod clamps;
mod decisions;
mod denials;
mod documents;
mod door;
mod ends;
mod health;
#[cfg(feature = "manual-clock")]
mod long_times;
#[cfg(feature = "manual-clock")]
mod overrides;
mod policies;
mod reads;
mod reservations;
mod restart;
mod start_and_stop;
mod sub_accounts;
mod tier;
mod times;
mod usage;
