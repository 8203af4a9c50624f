//! What the records of billing sources hold.

use crate::services::records::Act;
use serde::{Deserialize, Serialize};

/// `secrets`, by (`billing_source`, id): a billing system that delivers signed events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRecord {
    pub format: SourceFormat,
    pub created_at_ms: i64,
    pub by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<Act>,
    /// At most two: the present one, and one that takes over or is about to go.
    pub secrets: Vec<SecretRecord>,
    /// The last number given to a secret.
    pub last_secret: u32,
}

/// What a billing system's deliveries look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceFormat {
    Generic,
    Stripe,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRecord {
    pub number: u32,
    pub added_at_ms: i64,
    pub by: String,
    /// See [`crate::services::seal`].
    pub sealed: String,
}
