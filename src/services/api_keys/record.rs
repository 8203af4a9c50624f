//! What the records of API keys hold.

use crate::domain::ids::AccountId;
use crate::services::records::Act;
use serde::{Deserialize, Serialize};

/// `api_keys`, by id. Never deleted: whose key did something must stay known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// At least one, each once, in the order of [`Scope::ALL`].
    pub scopes: Vec<Scope>,
    /// The main account that it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<i64>,
    pub created_at_ms: i64,
    pub by: String,
    /// SHA-256 of the secret, hexadecimal.
    pub hash: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_at_ms: Option<i64>,
    /// The secret before the last rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousSecret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Act>,
}

/// A secret that another one has taken over from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviousSecret {
    pub hash: String,
    /// It is taken before that time.
    pub until_ms: i64,
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Decisions and reservations.
    Decide,
    /// Payments and the ledger.
    Billing,
    /// Everything that is read.
    Read,
    /// Raise requests.
    Raise,
    /// Everything.
    Admin,
}

impl Scope {
    pub const ALL: [Self; 5] = [Self::Decide, Self::Billing, Self::Read, Self::Raise, Self::Admin];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Decide => "decide",
            Self::Billing => "billing",
            Self::Read => "read",
            Self::Raise => "raise",
            Self::Admin => "admin",
        }
    }
}

/// `index`, by (`key_used`, id): when a key was last used, written behind.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct UsedRecord {
    pub at_ms: i64,
}
