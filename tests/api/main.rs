//! The REST surface by user journey: the real binary on a port of its own, a real folder, a plain client.

mod support;

mod bad_input;
mod batch;
mod decisions;
mod denials;
mod documents;
mod health;
#[cfg(feature = "manual-clock")]
mod long_times;
mod reservations;
mod start_and_stop;
