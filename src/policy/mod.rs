//! What a policy means for an account: its tier and its effective quotas.

pub mod resolve;
pub mod tiers;
