//! Reading the audit log: which entries, in which portions.

use super::Audit;
use super::changeset::ActorKind;

/// Every condition that is named must hold.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    pub actor: Option<(ActorKind, String)>,
    pub subject: Option<String>,
    pub action: Option<String>,
    /// Inclusive, milliseconds since the Unix epoch.
    pub from_ms: Option<i64>,
    /// Exclusive, milliseconds since the Unix epoch.
    pub until_ms: Option<i64>,
}

/// Where a page ended: the next one goes on with what is older.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditCursor {
    pub at_ms: i64,
    pub seq: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    pub seq: u64,
    pub at_ms: i64,
    pub audit: Audit,
    pub prev_hash: [u8; 32],
    pub hash: [u8; 32],
}

#[derive(Debug, Clone, PartialEq)]
pub struct AuditPage {
    /// Newest first. May be short of the limit, even empty, while `next` is there: a search is bounded.
    pub entries: Vec<AuditEntry>,
    pub next: Option<AuditCursor>,
}
