//! The `Idempotency-Key` header: its grammar, its scope, and the requests under way.

use super::problem::{Code, Place, Problem};
use crate::services::IdempotencyRequest;
use actix_web::HttpRequest;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::sync::Arc;

const HEADER: &str = "idempotency-key";
const MAX_KEY_BYTES: usize = 255;
/// Most requests with a key that are under way at once.
const MAX_IN_FLIGHT: usize = 10_000;

/// Keys of requests that have not been answered.
#[derive(Debug, Default, Clone)]
pub(crate) struct InFlight(Arc<Mutex<HashSet<Vec<u8>>>>);

/// Holds a key until the request is answered.
pub(crate) struct Held {
    in_flight: InFlight,
    key: Vec<u8>,
}

impl InFlight {
    /// Errors: a request with this key is under way; too many are.
    pub(crate) fn hold(&self, key: &[u8]) -> Result<Held, Problem> {
        let mut keys = self.0.lock();
        if keys.len() >= MAX_IN_FLIGHT {
            return Err(Problem::new(Code::Busy, "too many changes are under way: try again"));
        }
        if !keys.insert(key.to_vec()) {
            let detail = "a request with this idempotency key has not been answered yet: wait for its answer";
            return Err(Problem::new(Code::IdempotencyInFlight, detail));
        }
        Ok(Held { in_flight: self.clone(), key: key.to_vec() })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.in_flight.0.lock().remove(&self.key);
    }
}

/// What the header asks for, scoped to the actor.
///
/// Errors: more than one; not 1 to 255 printable ASCII characters.
pub(crate) fn read(request: &HttpRequest, actor: &str, body: &[u8]) -> Result<Option<IdempotencyRequest>, Problem> {
    let mut lines = request.headers().get_all(HEADER);
    let Some(value) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(Problem::new(Code::InvalidHttp, "`Idempotency-Key` is there more than once: send one key"));
    }
    let given = value.as_bytes();
    if !(1..=MAX_KEY_BYTES).contains(&given.len()) || !given.iter().all(|b| matches!(b, b' '..=b'~')) {
        let detail = format!("an idempotency key has 1 to {MAX_KEY_BYTES} printable ASCII characters");
        return Err(Problem::field(Place::Header, "/Idempotency-Key", "invalid_value", detail));
    }
    let key = [actor.as_bytes(), b"\0", given].concat();
    let mut fingerprint = Sha256::new();
    for part in [request.method().as_str().as_bytes(), request.uri().to_string().as_bytes(), body] {
        fingerprint.update((part.len() as u64).to_be_bytes());
        fingerprint.update(part);
    }
    Ok(Some(IdempotencyRequest { key, fingerprint: fingerprint.finalize().into() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn a_key_is_in_flight_until_it_is_dropped() {
        let in_flight = InFlight::default();

        let held = in_flight.hold(b"k").unwrap();
        let second = in_flight.hold(b"k").err().map(|problem| problem.code());
        drop(held);

        assert_eq!(second, Some(Code::IdempotencyInFlight));
        assert!(in_flight.hold(b"k").is_ok());
    }

    #[test]
    fn the_fingerprint_covers_method_path_and_body() {
        let of = |request: TestRequest, body: &[u8]| {
            let request = request.insert_header((HEADER, "k")).to_http_request();
            read(&request, "alice", body).unwrap().unwrap().fingerprint
        };
        let base = of(TestRequest::post().uri("/a"), b"{}");

        assert_eq!(base, of(TestRequest::post().uri("/a"), b"{}"));
        assert_ne!(base, of(TestRequest::put().uri("/a"), b"{}"));
        assert_ne!(base, of(TestRequest::post().uri("/b"), b"{}"));
        assert_ne!(base, of(TestRequest::post().uri("/a"), b"{} "));
    }

    #[test]
    fn a_key_is_printable_and_bounded() {
        let read = |key: &str| {
            let request = TestRequest::post().insert_header((HEADER, key)).to_http_request();
            read(&request, "alice", b"").is_ok()
        };

        assert!(read("a b~") && read(&"k".repeat(255)));
        assert!(!read("") && !read(&"k".repeat(256)) && !read("a\tb"));
    }
}
