//! The algorithms: state + terms + cost + now -> outcome (SEMANTICS, section 3).
//!
//! Owns: what one counter remembers and how it is charged, given back and read. A closed enum, no trait, no clock.
//! Deliberately absent: where quotas come from (`policy`), which counters a request touches (`engine`).

mod amounts;
pub mod concurrency;
pub mod fixed_window;
pub mod sliding_window;
pub mod token_bucket;
mod wide;

use crate::domain::policy::{Algorithm, Rule};
use crate::domain::quantity::Quota;
use crate::fault::Fault;
pub use concurrency::Concurrency;
pub use fixed_window::FixedWindow;
pub use sliding_window::SlidingWindow;
pub use token_bucket::TokenBucket;

/// What is in force for a limit at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    pub quota: Quota,
    /// Units; read by token buckets only. 0 under `blocked`.
    pub burst: u128,
    /// 0 for concurrency.
    pub window_ms: i64,
    /// Milliseconds east of UTC where windows align to it, else 0.
    pub offset_ms: i64,
}

/// How one counter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    pub used: u128,
    /// Smallest `d >= 0` such that usage would be 0 at `now + d`; None where there is no such time.
    pub reset_after_ms: Option<i64>,
}

/// Where a charge went, so that it can be given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Window {
        index: i64,
    },
    Slot {
        slot: i64,
    },
    /// Both scaled by the window: units x ms.
    Place {
        place: u128,
        charged: u128,
    },
    Open,
}

/// The state of one limit for one account: usage, never quotas.
#[derive(Debug, Clone, PartialEq)]
pub enum Counter {
    FixedWindow(FixedWindow),
    SlidingWindow(SlidingWindow),
    TokenBucket(TokenBucket),
    Concurrency(Concurrency),
}

impl Counter {
    #[must_use]
    pub fn empty(rule: Rule) -> Self {
        match rule {
            Rule::Concurrency => Self::Concurrency(Concurrency::default()),
            Rule::Rate { algorithm: Algorithm::FixedWindow, .. } => Self::FixedWindow(FixedWindow::default()),
            Rule::Rate { algorithm: Algorithm::SlidingWindow, .. } => Self::SlidingWindow(SlidingWindow::default()),
            Rule::Rate { algorithm: Algorithm::TokenBucket, .. } => Self::TokenBucket(TokenBucket::default()),
        }
    }

    /// Whether `cost` is admitted now. A concurrency limit takes one slot, whatever the cost.
    #[inline]
    pub fn admits(&mut self, terms: &Terms, cost: u64, now: i64) -> bool {
        match (terms.quota, self) {
            (Quota::Blocked, _) => false,
            (Quota::Unlimited, _) => true,
            (Quota::Units(quota), Self::FixedWindow(state)) => {
                state.used(terms, now) + u128::from(cost)
                    <= u128::from(quota) + u128::from(Fault::FixedOneMore.chosen())
            }
            (Quota::Units(quota), Self::SlidingWindow(state)) => {
                state.used(terms, now) + u128::from(cost) <= u128::from(quota)
            }
            (Quota::Units(_), Self::TokenBucket(state)) => state.admits(terms, cost, now),
            (Quota::Units(quota), Self::Concurrency(state)) => (state.open() as u64) < quota,
        }
    }

    /// Adds `cost` now, past the quota if need be. Concurrency slots are taken by [`Concurrency::take`] instead.
    #[inline]
    pub fn charge(&mut self, terms: &Terms, cost: u64, now: i64) -> Mark {
        match self {
            Self::FixedWindow(state) => Mark::Window { index: state.charge(terms, cost, now) },
            Self::SlidingWindow(state) => Mark::Slot { slot: state.charge(terms, cost, now) },
            Self::TokenBucket(state) => {
                let (place, charged) = state.charge(terms, cost, now);
                Mark::Place { place, charged }
            }
            Self::Concurrency(_) => Mark::Open,
        }
    }

    /// [`Self::charge`], then [`Self::read`].
    #[inline]
    pub fn charge_and_read(&mut self, terms: &Terms, cost: u64, now: i64) -> Reading {
        if let Self::SlidingWindow(state) = self {
            state.charge(terms, cost, now);
            return state.reading(terms, now);
        }
        self.charge(terms, cost, now);
        self.read(terms, now)
    }

    /// Gives back `amount` units of the charge at `mark`, as far as it still counts.
    pub fn give_back(&mut self, terms: &Terms, mark: Mark, amount: u64, now: i64) {
        match (self, mark) {
            (Self::FixedWindow(state), Mark::Window { index }) => state.give_back(terms, index, amount, now),
            (Self::SlidingWindow(state), Mark::Slot { slot }) => state.give_back(terms, slot, amount, now),
            (Self::TokenBucket(state), Mark::Place { place, charged }) => {
                state.give_back(terms, (place, charged), amount, now);
            }
            _ => {}
        }
    }

    /// Brings a token bucket to `now` with the quota in force; the others need no bringing.
    pub fn bring(&mut self, terms: &Terms, now: i64) {
        if let Self::TokenBucket(state) = self {
            state.bring(terms, now);
        }
    }

    #[inline]
    pub fn read(&mut self, terms: &Terms, now: i64) -> Reading {
        match self {
            Self::FixedWindow(state) => state.read(terms, now),
            Self::SlidingWindow(state) => state.read(terms, now),
            Self::TokenBucket(state) => state.read(terms, now),
            Self::Concurrency(state) => Reading { used: state.open() as u128, reset_after_ms: None },
        }
    }

    /// Time until a refused `cost` would be admitted if nothing else happens.
    ///
    /// Units: whole milliseconds, at least 1. None where it can never pass, and for concurrency.
    pub fn retry_after_ms(&mut self, terms: &Terms, cost: u64, now: i64) -> Option<i64> {
        if !can_ever_pass(self, terms, cost) {
            return None;
        }
        let wait = match (self, terms.quota) {
            (Self::FixedWindow(state), _) => state.end_of_window(terms, now) - now,
            (Self::SlidingWindow(state), Quota::Units(quota)) => {
                state.retry_after_ms(terms, u128::from(quota) - u128::from(cost), now)
            }
            (Self::TokenBucket(state), Quota::Units(_)) => state.retry_after_ms(terms, cost, now),
            _ => return None,
        };
        Some(wait.max(1))
    }

    /// Whether the counter holds nothing that a later answer could depend on, reservations aside.
    pub fn is_idle(&mut self, terms: &Terms, now: i64) -> bool {
        self.read(terms, now).used == 0
    }
}

/// Whether any wait could let `cost` pass under these terms.
#[must_use]
pub fn can_ever_pass(counter: &Counter, terms: &Terms, cost: u64) -> bool {
    match (terms.quota, counter) {
        (Quota::Blocked, _) => false,
        (Quota::Unlimited, _) | (Quota::Units(_), Counter::Concurrency(_)) => true,
        (Quota::Units(_), Counter::TokenBucket(_)) => u128::from(cost) <= terms.burst,
        (Quota::Units(quota), _) => cost <= quota,
    }
}
