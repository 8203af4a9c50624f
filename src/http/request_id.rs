//! The name of one request: in the answer's header, in errors and in the log.

use crate::services::credentials::without_secrets;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use compact_str::CompactString;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// A longer one of the caller's is replaced.
const MAX_BYTES: usize = 64;
const HEX: &[u8; 16] = b"0123456789abcdef";

#[derive(Debug, Clone)]
pub(crate) struct RequestId(CompactString);

impl RequestId {
    /// The caller's own where it is a sane one, else a new one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(HEADER).and_then(|value| value.to_str().ok()).filter(|id| is_sane(id));
        given.map_or_else(Self::new, |id| Self(CompactString::new(id)))
    }

    fn new() -> Self {
        static RUN: LazyLock<u32> = LazyLock::new(rand::random);
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = u64::from(*RUN) << 32 | NEXT.fetch_add(1, Ordering::Relaxed) & u64::from(u32::MAX);
        let digits = std::array::from_fn::<u8, 16, _>(|place| HEX[(number >> (60 - 4 * place)) as usize & 15]);
        // The digits are ASCII.
        Self(CompactString::from_utf8(digits).unwrap_or_default())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn header_value(&self) -> HeaderValue {
        // Both ways to make one leave printable ASCII only.
        HeaderValue::from_str(&self.0).unwrap_or(HeaderValue::from_static("-"))
    }
}

fn is_sane(id: &str) -> bool {
    let sane = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-');
    // It is kept for good: a key in the wrong header is not.
    (1..=MAX_BYTES).contains(&id.len()) && id.bytes().all(sane) && without_secrets(id) == id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sane_id_of_the_callers_is_kept() {
        let of = |id: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_str(id).unwrap());
            RequestId::of(&headers).as_str().to_owned()
        };

        assert_eq!(of("job-7.a"), "job-7.a");
        for bad in ["", "a b", "a\"b", &"a".repeat(65), "qg_000000000000000000000000000000000t"] {
            assert_ne!(of(bad), bad);
        }
    }
}
