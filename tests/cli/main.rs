//! The commands as their users run them: the real binary, its output and its exit codes.

mod audit;
mod backup;
#[path = "../support/changes.rs"]
mod changes;
mod docs;
#[path = "../support/forge.rs"]
mod forge;
mod import;
mod policy;
mod read_only;
mod simulate;
mod verify;
