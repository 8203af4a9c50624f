//! Journeys through the control plane against the real server; each ends in a later decision or read.

mod accounts;
mod audit;
mod caps;
mod changes;
mod clamps;
mod harness;
mod overrides;
mod policies;
mod restart;
mod sub_accounts;
mod tier;
mod usage;
