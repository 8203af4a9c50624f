//! The commands as their users run them: the real binary, its output and its exit codes.

mod docs;
mod policy;
mod simulate;
