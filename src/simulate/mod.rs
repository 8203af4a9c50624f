//! Traces: events with times of their own, run through the same engine (SEMANTICS, section 7).
//!
//! Owns the trace format, its bad lines and its answers. Deliberately absent: files other than the policies that a
//! trace names, the terminal, reports (`cli`).

pub mod answer;
mod facts;
mod payments;
mod runner;
pub mod trace;

pub use answer::Answer;
pub use runner::{OpenError, Runner};
pub use trace::{BadLine, Event, Op};
