//! Traces: events with times of their own, run through the same engine (SEMANTICS, section 7).
//!
//! Owns the trace formats, their bad lines, the answers, and what is gathered from them: a summary, series over time,
//! a comparison of two policies. Deliberately absent: files other than the policies that a trace names, the terminal,
//! how any of it is drawn (`cli`).

pub mod answer;
pub mod azure;
pub mod bins;
mod carry;
pub mod compare;
mod facts;
mod fields;
pub mod lines;
mod payments;
mod plain_decide;
mod runner;
pub mod series;
pub mod summary;
#[cfg(test)]
mod testing;
pub mod trace;
pub mod uses;

pub use answer::Answer;
pub use compare::Comparison;
pub use lines::{LineError, Lines};
pub use runner::{OpenError, Runner};
pub use series::Series;
pub use summary::Summary;
pub use trace::{BadLine, Event, Op};
