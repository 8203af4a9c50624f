//! Memory for large bodies: bounded for all of them together.

use super::problem::{Code, Problem};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A body of up to so many bytes is not counted among the large ones.
const MAX_SMALL_BYTES: usize = 16 * 1024;
/// Bytes of all large bodies that are being read.
const MAX_HELD_BYTES: usize = 8 * 1024 * 1024;

/// Bytes of the large bodies that are being read: of strangers, such as deliveries whose signature is yet to be looked
/// at, and of whoever has a credential. The ones take nothing from the others.
static HELD_BYTES: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];

/// What one of them holds of that.
pub(super) struct Held {
    all: &'static AtomicUsize,
    bytes: usize,
}

impl Held {
    pub(super) fn of(is_known: bool) -> Self {
        Self { all: &HELD_BYTES[usize::from(is_known)], bytes: 0 }
    }

    /// Errors: 503, there is no room for it now.
    pub(super) fn grow_to(&mut self, len: usize, most: usize) -> Result<(), Problem> {
        let more = len.saturating_sub(MAX_SMALL_BYTES).saturating_sub(self.bytes);
        if more == 0 {
            return Ok(());
        }
        self.bytes += more;
        let held = self.all.fetch_add(more, Ordering::Relaxed) + more;
        if held > MAX_HELD_BYTES.max(2 * most) {
            return Err(Problem::new(Code::Busy, "too many large bodies are being sent at once: try again"));
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
