//! Reading the audit log.

use super::{Error, MAX_PAGE, Services};
use crate::store::{AuditCursor, AuditFilter, AuditPage};

/// Entries, the newest first. A page may be short, even empty, while there is a next one.
pub fn list(
    services: &Services,
    filter: &AuditFilter,
    after: Option<AuditCursor>,
    size: usize,
) -> Result<AuditPage, Error> {
    Ok(services.store.audit(filter, after, size.clamp(1, MAX_PAGE))?)
}
