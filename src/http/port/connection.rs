//! One connection, as its worker knows it: what its stream has seen, and what the middleware says of its requests.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Bytes that are read before what came is looked at. The HTTP library makes requests of all that is there, each of which
/// takes a hundred times the memory of the shortest that can be sent: strangers are read in small portions.
const PORTION_BYTES: usize = 4 * 1024;
const STRANGERS_PORTION_BYTES: usize = 1024;
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
    /// Whether a request has come on it, and whether one had a credential that is taken.
    has_asked: Cell<bool>,
    is_known: Cell<bool>,
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
    /// Whoever answers the request waits for more of its body.
    wants_body: Cell<bool>,
    /// Reading was put off.
    withheld: Cell<bool>,
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
    /// Not before the request is answered, unless its body is wanted, and the caller has taken what was answered: else one
    /// who asks and never reads fills memory with requests that wait, or with answers.
    Withheld,
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

    /// Whoever asks has a credential: strangers make room before.
    pub(crate) fn has_shown_a_credential(&self) {
        self.is_known.set(true);
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

    /// A stranger whose body is waited for is idle too: else slow bodies would keep everybody else out.
    pub(super) fn is_idle(&self) -> bool {
        let waits_for_stranger = self.wants_body.get() && !self.is_known.get();
        self.cut.get().is_none() && (self.in_flight.get() == 0 || waits_for_stranger)
    }

    /// The least one makes room first: whoever never asked for anything, then whoever showed no credential, then whoever has
    /// not asked for the longest.
    pub(super) fn worth(&self) -> (bool, bool, u64) {
        (self.is_known.get(), self.has_asked.get(), self.turn.get())
    }

    /// Ends what has become too slow.
    pub(super) fn look_at(&self, now_ms: u64) {
        let is_free = self.in_flight.get() == 0 && self.blocked.get().is_none();
        if is_free && self.head_since_ms.get().is_some_and(|since| now_ms - since > HEAD_MS) {
            return self.cut(Cut::SlowHead);
        }
        if self.blocked.get().is_some_and(|blocked| blocked.is_too_slow(now_ms)) {
            return self.cut(Cut::SlowReader);
        }
        if self.refused.get().is_some_and(|refused| refused.is_over(now_ms)) {
            self.wake();
        }
    }

    /// Most bytes that are read at a time.
    pub(super) fn portion(&self) -> usize {
        if self.is_known.get() { PORTION_BYTES } else { STRANGERS_PORTION_BYTES }
    }

    /// What may be read now.
    pub(super) fn gate(&self, now_ms: u64) -> Gate {
        if self.is_cut() {
            return Gate::Cut;
        }
        if let Some(refused) = self.refused.get().filter(|_| self.in_flight.get() == 0) {
            return if refused.is_over(now_ms) { Gate::Ended } else { Gate::Open };
        }
        if self.blocked.get().is_some() || (self.in_flight.get() > 0 && !self.wants_body.get()) {
            self.withheld.set(true);
            return Gate::Withheld;
        }
        if self.burst_bytes.get() >= self.portion() {
            self.burst_bytes.set(0);
            return Gate::Breathe;
        }
        if self.in_flight.get() == 0 && self.head_bytes.get() >= MAX_HEAD_BYTES {
            return Gate::HeadTooLong;
        }
        Gate::Open
    }

    pub(super) fn has_read(&self, bytes: usize, now_ms: u64) {
        if bytes == 0 {
            return;
        }
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
        if self.blocked.take().is_some() && self.head_since_ms.get().is_some() {
            // What came of the next head waited for the answer, not for the caller.
            self.head_since_ms.set(Some(super::patrol::now_ms()));
        }
        self.go_on_reading();
    }

    /// More of the request's body is waited for, or no longer.
    pub(crate) fn wants_body(&self, wanted: bool) {
        self.wants_body.set(wanted);
        if wanted {
            self.go_on_reading();
        }
    }

    fn go_on_reading(&self) {
        if self.withheld.take() {
            self.wake();
        }
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
        self.0.wants_body.set(false);
        self.0.go_on_reading();
        self.0.turn.set(super::patrol::next_turn());
    }
}

#[cfg(test)]
mod tests;
