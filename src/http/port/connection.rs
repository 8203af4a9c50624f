//! One connection, as its worker knows it: what its stream has seen, and what the middleware says of its requests.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Bytes that are read before what came is looked at, so that a burst is no more memory than this.
const BURST_BYTES: usize = 16 * 1024;
/// Bytes of a head that is not complete. Complete ones are told at the door when their headers are longer than that.
pub(super) const MAX_HEAD_BYTES: usize = 48 * 1024;
/// What is read and dropped after an answer that leaves a body unread, so that the caller gets to see the answer.
pub(super) const MAX_DRAINED_BYTES: usize = 64 * 1024;
/// For how long.
pub(super) const DRAIN_MS: u64 = 1_000;
/// A head must be complete this long after its first byte.
const HEAD_MS: u64 = 10_000;
/// An answer that waits for its reader is given this long, and from then on has to be taken at the least rate.
const WRITE_GRACE_MS: u64 = 10_000;
/// Bytes a second, at least, that a reader takes of an answer.
pub(crate) const LEAST_RATE: u64 = 1_024;

/// Times are milliseconds of the worker's patrol, which moves a few times a second.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    /// Requests that are being answered.
    in_flight: Cell<u32>,
    /// Whether a request has come on it.
    has_asked: Cell<bool>,
    /// The last turn in which a request began or ended, or the connection was accepted.
    turn: Cell<u64>,
    /// Since when a head is incomplete.
    head_since_ms: Cell<Option<u64>>,
    /// Bytes that came since the last request began, while none was in flight.
    head_bytes: Cell<usize>,
    /// Bytes since the HTTP library last looked at what came.
    burst_bytes: Cell<usize>,
    /// Since when what is written waits for its reader, and how many bytes went since.
    blocked: Cell<Option<Blocked>>,
    /// The request's body has not been read to its end.
    body_unread: Cell<bool>,
    /// An answer that leaves a body unread has been given.
    refused: Cell<Option<Refused>>,
    cut: Cell<Option<Cut>>,
    wakers: RefCell<[Option<Waker>; 2]>,
    /// Where the patrol keeps it.
    pub(super) place: Cell<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Blocked {
    since_ms: u64,
    written: u64,
}

#[derive(Debug, Clone, Copy)]
struct Refused {
    since_ms: u64,
    bytes: usize,
}

/// Why a connection is ended without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    SlowHead,
    SlowReader,
    /// It was idle, and another one needed its place.
    MadeRoom,
}

impl Cut {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::SlowHead => "slow_head",
            Self::SlowReader => "slow_reader",
            Self::MadeRoom => "made_room",
        }
    }
}

/// What the stream may do when it is asked for more bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    /// Not before what came has been looked at.
    Breathe,
    /// Nothing more is read: it is as if the caller had ended.
    Ended,
    /// A head without an end is too long.
    HeadTooLong,
    Cut,
}

/// Which side of a stream waits.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side {
    Read,
    Write,
}

impl Connection {
    /// Turns number what the connections of a worker do, in its order: the clock is too coarse for that.
    pub(super) fn new(now_ms: u64, turn: u64) -> Self {
        Self { turn: Cell::new(turn), head_since_ms: Cell::new(Some(now_ms)), ..Self::default() }
    }

    /// TLS is agreed on: the time for the first head begins.
    pub(super) fn has_agreed(&self, now_ms: u64) {
        self.head_since_ms.set(Some(now_ms));
    }

    /// Waits until it is cut.
    pub(super) async fn is_cut_off(&self) {
        std::future::poll_fn(|cx| {
            if self.is_cut() {
                return Poll::Ready(());
            }
            self.waits(Side::Read, cx.waker(), 0);
            Poll::Pending
        })
        .await;
    }

    /// A request has begun; it is being answered until what is returned is dropped.
    pub(crate) fn begin(self: &Rc<Self>, has_body: bool) -> Answering {
        self.in_flight.set(self.in_flight.get() + 1);
        self.has_asked.set(true);
        self.turn.set(super::patrol::next_turn());
        self.head_since_ms.set(None);
        self.head_bytes.set(0);
        self.body_unread.set(has_body);
        Answering(Rc::clone(self))
    }

    /// The request's body has been read to its end.
    pub(crate) fn body_was_read(&self) {
        self.body_unread.set(false);
    }

    /// Whether the request that is being answered has a body that was not read to its end.
    pub(crate) fn leaves_body(&self) -> bool {
        self.body_unread.get()
    }

    /// The connection ends with the answer that is given now: what follows is drained a while, then the caller is told.
    pub(crate) fn end_with_answer(&self, now_ms: u64) {
        if self.refused.get().is_none() {
            self.refused.set(Some(Refused { since_ms: now_ms, bytes: 0 }));
        }
    }

    /// Ends it without an answer.
    pub(super) fn cut(&self, why: Cut) {
        if self.cut.get().is_none() {
            self.cut.set(Some(why));
            metrics::counter!("quotagate_connections_cut_total", "reason" => why.as_str()).increment(1);
        }
        self.wake();
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut.get().is_some()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.get() == 0 && self.cut.get().is_none()
    }

    /// The least one makes room first: whoever never asked for anything, then whoever has not for the longest.
    pub(super) fn worth(&self) -> (bool, u64) {
        (self.has_asked.get(), self.turn.get())
    }

    /// Ends what has become too slow.
    pub(super) fn look_at(&self, now_ms: u64) {
        if self.in_flight.get() == 0 && self.head_since_ms.get().is_some_and(|since| now_ms - since > HEAD_MS) {
            return self.cut(Cut::SlowHead);
        }
        if self.blocked.get().is_some_and(|blocked| blocked.is_too_slow(now_ms)) {
            return self.cut(Cut::SlowReader);
        }
        if self.refused.get().is_some_and(|refused| refused.is_over(now_ms)) {
            self.wake();
        }
    }

    /// What may be read now.
    pub(super) fn gate(&self, now_ms: u64) -> Gate {
        if self.is_cut() {
            return Gate::Cut;
        }
        if let Some(refused) = self.refused.get().filter(|_| self.in_flight.get() == 0) {
            return if refused.is_over(now_ms) { Gate::Ended } else { Gate::Open };
        }
        if self.burst_bytes.get() >= BURST_BYTES {
            self.burst_bytes.set(0);
            return Gate::Breathe;
        }
        if self.in_flight.get() == 0 && self.head_bytes.get() >= MAX_HEAD_BYTES {
            return Gate::HeadTooLong;
        }
        Gate::Open
    }

    pub(super) fn has_read(&self, bytes: usize, now_ms: u64) {
        if let Some(refused) = self.refused.get() {
            self.refused.set(Some(Refused { bytes: refused.bytes + bytes, ..refused }));
            return;
        }
        self.burst_bytes.set(self.burst_bytes.get() + bytes);
        if self.in_flight.get() == 0 {
            self.head_bytes.set(self.head_bytes.get() + bytes);
            self.head_since_ms.set(self.head_since_ms.get().or(Some(now_ms)));
        }
    }

    /// Nothing is there to be read or written for now.
    pub(super) fn waits(&self, side: Side, waker: &Waker, now_ms: u64) {
        match side {
            Side::Read => self.burst_bytes.set(0),
            Side::Write if self.blocked.get().is_none() => {
                self.blocked.set(Some(Blocked { since_ms: now_ms, written: 0 }));
            }
            Side::Write => {}
        }
        let waiting = &mut self.wakers.borrow_mut()[side as usize];
        if waiting.as_ref().is_none_or(|waiting| !waiting.will_wake(waker)) {
            *waiting = Some(waker.clone());
        }
    }

    pub(super) fn has_written(&self, bytes: usize) {
        if let Some(blocked) = self.blocked.get() {
            self.blocked.set(Some(Blocked { written: blocked.written + bytes as u64, ..blocked }));
        }
    }

    /// All that was written is on its way.
    pub(super) fn has_flushed(&self) {
        self.blocked.set(None);
    }

    fn wake(&self) {
        let wakers = self.wakers.borrow();
        wakers.iter().flatten().for_each(Waker::wake_by_ref);
    }
}

impl Blocked {
    fn is_too_slow(self, now_ms: u64) -> bool {
        let waited_ms = now_ms.saturating_sub(self.since_ms);
        waited_ms > WRITE_GRACE_MS && self.written * 1_000 < waited_ms * LEAST_RATE
    }
}

impl Refused {
    fn is_over(self, now_ms: u64) -> bool {
        self.bytes >= MAX_DRAINED_BYTES || now_ms.saturating_sub(self.since_ms) >= DRAIN_MS
    }
}

/// A request that is being answered.
pub(crate) struct Answering(Rc<Connection>);

impl Answering {
    pub(crate) fn connection(&self) -> &Connection {
        &self.0
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get().saturating_sub(1));
        self.0.turn.set(super::patrol::next_turn());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Rc<Connection> {
        Rc::new(Connection::new(0, 0))
    }

    #[test]
    fn a_head_has_ten_seconds_from_its_first_byte_whichever_request_it_is() {
        let connection = connection();

        connection.look_at(HEAD_MS);
        assert!(!connection.is_cut());
        drop(connection.begin(false));
        connection.look_at(100 * HEAD_MS);
        assert!(!connection.is_cut(), "idle is not slow: nothing has come");
        connection.has_read(1, 100 * HEAD_MS);
        connection.look_at(101 * HEAD_MS + 1);

        assert_eq!(connection.cut.get(), Some(Cut::SlowHead));
        assert_eq!(connection.gate(101 * HEAD_MS + 1), Gate::Cut);
    }

    #[test]
    fn a_request_that_is_being_answered_is_never_a_slow_head() {
        let connection = connection();
        let answering = connection.begin(true);

        connection.has_read(MAX_HEAD_BYTES * 2, 0);
        connection.look_at(HEAD_MS * 3);

        assert!(!connection.is_cut());
        drop(answering);
        assert!(connection.is_idle());
    }

    #[test]
    fn a_burst_is_looked_at_before_more_is_read_and_a_head_has_an_end() {
        let connection = connection();

        connection.has_read(BURST_BYTES, 0);
        assert_eq!(connection.gate(0), Gate::Breathe);
        assert_eq!(connection.gate(0), Gate::Open, "once it has been looked at");
        connection.has_read(MAX_HEAD_BYTES - BURST_BYTES, 0);
        assert_eq!(connection.gate(0), Gate::Breathe);

        assert_eq!(connection.gate(0), Gate::HeadTooLong);
    }

    #[test]
    fn a_reader_is_given_a_grace_and_then_a_least_rate() {
        let taken_at = |bytes: u64, waited_ms: u64| {
            let connection = connection();
            drop(connection.begin(false));
            connection.waits(Side::Write, Waker::noop(), 0);
            connection.has_written(bytes as usize);
            connection.look_at(waited_ms);
            connection.is_cut()
        };

        assert!(!taken_at(0, WRITE_GRACE_MS));
        assert!(taken_at(0, WRITE_GRACE_MS + 1));
        assert!(!taken_at(LEAST_RATE * 20, 20_000));
        assert!(taken_at(LEAST_RATE * 20 - 1, 20_000));
    }

    #[test]
    fn what_follows_a_refusal_is_drained_for_a_second_and_64_kib_at_most() {
        let refused = || {
            let connection = connection();
            let answering = connection.begin(true);
            connection.end_with_answer(0);
            drop(answering);
            connection
        };

        let (slow, large) = (refused(), refused());
        assert_eq!(slow.gate(DRAIN_MS - 1), Gate::Open);
        assert_eq!(slow.gate(DRAIN_MS), Gate::Ended);
        large.has_read(MAX_DRAINED_BYTES - 1, 0);
        assert_eq!(large.gate(0), Gate::Open);
        large.has_read(1, 0);
        assert_eq!(large.gate(0), Gate::Ended);
    }
}
