//! The vocabulary: ids, quantities, policies, accounts, payments, decisions.
//!
//! Pure: no I/O, no clock, small pure crates only. Deliberately absent: wire formats and stored records,
//! which live beside the handlers and in the store.

pub mod account;
mod currency;
pub mod four_eyes;
pub mod history;
pub mod ids;
pub mod ledger;
pub mod policy;
pub mod quantity;
pub mod raise_request;
pub mod raise_rule;
