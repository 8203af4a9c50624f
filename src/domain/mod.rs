//! The vocabulary: ids, quantities, policies, accounts, payments, decisions.
//!
//! Pure: no I/O, no clock, small pure crates only. Deliberately absent: wire formats and stored records,
//! which live beside the handlers and in the store.

mod currency;
pub mod ids;
pub mod policy;
pub mod quantity;
