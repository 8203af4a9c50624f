//! Reading the audit log.

use super::{Cursor, Error, MAX_PAGE, Page, Paging, Services};
use crate::store::{AuditCursor, AuditEntry, AuditFilter, Key};

/// Entries, the newest first. A page may be short, even empty, while there is a next one.
pub fn list(services: &Services, filter: &AuditFilter, paging: &Paging) -> Result<Page<AuditEntry>, Error> {
    let after = paging.after.as_ref().and_then(from_cursor);
    let page = services.store.audit(filter, after, paging.size.clamp(1, MAX_PAGE))?;
    Ok(Page { items: page.entries, next: page.next.map(to_cursor) })
}

fn to_cursor(at: AuditCursor) -> Cursor {
    Cursor(Key::build().i64(at.at_ms).u64(at.seq).finish().as_bytes().to_vec())
}

fn from_cursor(cursor: &Cursor) -> Option<AuditCursor> {
    let key = Key::from_bytes(cursor.0.clone());
    let mut parts = key.read();
    Some(AuditCursor { at_ms: parts.i64()?, seq: parts.u64()? })
}
