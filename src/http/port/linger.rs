//! A connection after its last answer: half closed, and kept until the caller has had time to read that answer.
//!
//! A socket that is closed with bytes unread is reset, and a reset takes away what the caller has not read yet.

use super::admission::Permit;
use super::stream::Socket;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How long the caller has to end the connection from its side.
const LINGER_MS: u64 = 1_000;
/// Bytes that are read and dropped meanwhile.
const MAX_BYTES: usize = 64 * 1024;

pub(super) struct Lingering {
    socket: Socket,
    since_ms: u64,
    left_bytes: usize,
    _permit: Permit,
}

impl Lingering {
    pub(super) fn new(mut socket: Socket, permit: Permit, now_ms: u64) -> Self {
        let mut context = Context::from_waker(Waker::noop());
        // A socket that cannot be half closed is gone already, which the first round finds.
        _ = Pin::new(&mut socket).poll_shutdown(&mut context);
        Self { socket, since_ms: now_ms, left_bytes: MAX_BYTES, _permit: permit }
    }

    /// Whether the caller may still be reading. Nothing wakes it: it is asked every round.
    pub(super) fn goes_on(&mut self, now_ms: u64) -> bool {
        if now_ms.saturating_sub(self.since_ms) >= LINGER_MS {
            return false;
        }
        let mut context = Context::from_waker(Waker::noop());
        let mut bytes = [0; 4 * 1024];
        while self.left_bytes > 0 {
            let mut read = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.socket).poll_read(&mut context, &mut read) {
                Poll::Pending => return true,
                Poll::Ready(Ok(())) if !read.filled().is_empty() => {
                    self.left_bytes = self.left_bytes.saturating_sub(read.filled().len());
                }
                Poll::Ready(_) => return false,
            }
        }
        true
    }
}
