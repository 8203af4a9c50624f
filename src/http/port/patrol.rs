//! The worker's round: a few times a second it looks at each of its connections and ends what is too slow.
//!
//! One timer a worker instead of several a connection, and a clock that costs a request nothing. Each worker has one,
//! and nothing of it is shared.

use super::connection::{Connection, Cut};
use super::linger::Lingering;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ops::Deref;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How often it goes round, and so how exact its deadlines are.
const ROUND: Duration = Duration::from_millis(200);
/// Connections that are looked at to find the one that makes room.
const SAMPLE: usize = 512;

thread_local! {
    static PATROL: Patrol = Patrol::default();
}

#[derive(Default)]
struct Patrol {
    begun: Cell<Option<Instant>>,
    now_ms: Cell<u64>,
    turn: Cell<u64>,
    is_walking: Cell<bool>,
    connections: RefCell<Vec<Rc<Connection>>>,
    lingering: RefCell<VecDeque<Lingering>>,
    /// Where the next search for an idle connection begins.
    cursor: Cell<usize>,
}

/// This worker's time, exact to a round.
pub(crate) fn now_ms() -> u64 {
    PATROL.with(|patrol| patrol.now_ms.get())
}

/// The next number in the order of what this worker's connections do.
pub(super) fn next_turn() -> u64 {
    PATROL.with(|patrol| {
        patrol.turn.set(patrol.turn.get() + 1);
        patrol.turn.get()
    })
}

/// One of this worker's connections, looked after until this is dropped.
pub(super) struct Joined(Rc<Connection>);

impl Deref for Joined {
    type Target = Rc<Connection>;

    fn deref(&self) -> &Rc<Connection> {
        &self.0
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        leave(&self.0);
    }
}

/// A new connection of this worker.
pub(super) fn join() -> Joined {
    let turn = next_turn();
    PATROL.with(|patrol| {
        patrol.start();
        let connection = Rc::new(Connection::new(patrol.now_ms.get(), turn));
        let mut connections = patrol.connections.borrow_mut();
        connection.place.set(connections.len());
        connections.push(Rc::clone(&connection));
        Joined(connection)
    })
}

fn leave(connection: &Rc<Connection>) {
    PATROL.with(|patrol| {
        let mut connections = patrol.connections.borrow_mut();
        let place = connection.place.get();
        // INVARIANT: each connection knows its place.
        if connections.get(place).is_some_and(|found| Rc::ptr_eq(found, connection)) {
            connections.swap_remove(place);
            if let Some(moved) = connections.get(place) {
                moved.place.set(place);
            }
        }
    });
}

/// Sees to it that the caller gets to read what was written, then lets the stream go.
pub(super) fn linger(lingering: Lingering) {
    PATROL.with(|patrol| patrol.lingering.borrow_mut().push_back(lingering));
}

/// Lets the stream go that lingers the longest, or else ends the connection of this worker that is worth the least, of a
/// few that are idle. Returns whether there was one.
pub(super) fn make_room() -> bool {
    PATROL.with(|patrol| {
        let lingering = patrol.lingering.borrow_mut().pop_front();
        if lingering.is_some() {
            return true;
        }
        let connections = patrol.connections.borrow();
        let count = connections.len();
        let from = patrol.cursor.get();
        patrol.cursor.set(from.wrapping_add(SAMPLE));
        let looked_at = (0..SAMPLE.min(count)).filter_map(|step| connections.get(from.wrapping_add(step) % count));
        let idle = looked_at.filter(|connection| connection.is_idle()).min_by_key(|connection| connection.worth());
        idle.map(|connection| connection.cut(Cut::MadeRoom)).is_some()
    })
}

impl Patrol {
    fn start(&self) {
        let begun = self.begun.get().unwrap_or_else(|| {
            let now = Instant::now();
            self.begun.set(Some(now));
            now
        });
        if !self.is_walking.replace(true) {
            self.now_ms.set(since(begun));
            actix_web::rt::spawn(walk(begun));
        }
    }

    /// Returns whether anything is left to look at.
    fn round(&self, now_ms: u64) -> bool {
        self.now_ms.set(now_ms);
        let connections = self.connections.borrow();
        connections.iter().for_each(|connection| connection.look_at(now_ms));
        let mut lingering = self.lingering.borrow_mut();
        lingering.retain_mut(|lingering| lingering.goes_on(now_ms));
        !(connections.is_empty() && lingering.is_empty())
    }
}

fn since(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}

async fn walk(begun: Instant) {
    loop {
        actix_web::rt::time::sleep(ROUND).await;
        let goes_on = PATROL.with(|patrol| patrol.round(since(begun)));
        if !goes_on {
            PATROL.with(|patrol| patrol.is_walking.set(false));
            return;
        }
    }
}
