//! Changes that would all but one be refused because they rest on one record wait for their turn instead.
//!
//! An expectation at commit is what keeps them right; taking turns keeps them from planning in vain again and again.

use crate::store::{Key, Table};
use parking_lot::{Mutex, MutexGuard};
use std::hash::{BuildHasher, RandomState};

/// Records that share a queue merely wait for each other.
const QUEUES: usize = 128;

pub(super) struct Turns {
    queues: Box<[Mutex<()>]>,
    hasher: RandomState,
}

/// Held over the plan and the commit of one change.
///
/// INVARIANT: a thread holds one at most, so no two wait for each other.
#[must_use]
pub(super) struct Turn<'t> {
    _held: MutexGuard<'t, ()>,
}

impl Turns {
    pub fn new() -> Self {
        Self { queues: (0..QUEUES).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }

    /// Waits until nobody else changes the record, or one that shares its queue.
    pub fn wait(&self, table: Table, key: &Key) -> Turn<'_> {
        let queue = self.hasher.hash_one((table.name(), key)) as usize % QUEUES;
        Turn { _held: self.queues[queue].lock() }
    }
}
