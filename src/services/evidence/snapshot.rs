//! Evidence with its hash.

use super::Evidence;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Evidence as it was taken, and what it hashed to then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub evidence: Evidence,
    /// As by [`Evidence::hash`].
    pub hash: String,
}

impl Evidence {
    /// SHA-256, hexadecimal, over its canonical JSON: keys in the order of their bytes, no white space, integers as integers,
    /// what is absent left out.
    #[must_use]
    pub fn hash(&self) -> String {
        hex::encode(Sha256::digest(self.canonical_json()))
    }

    /// What is hashed.
    #[must_use]
    pub fn canonical_json(&self) -> String {
        // Maps of a JSON value are sorted by their keys.
        serde_json::to_value(self).map(|value| value.to_string()).unwrap_or_default()
    }

    #[must_use]
    pub fn freeze(self) -> Snapshot {
        Snapshot { hash: self.hash(), evidence: self }
    }
}

impl Snapshot {
    /// Whether the evidence is what was hashed.
    #[must_use]
    pub fn verify(&self) -> bool {
        self.evidence.hash() == self.hash
    }
}
