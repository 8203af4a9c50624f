//! What is asked of the engine.

use crate::domain::ids::PolicyId;
use smallvec::SmallVec;

/// One request to decide.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub account: &'a str,
    pub resource: &'a str,
    pub costs: &'a Costs,
    /// Asks for a reservation.
    pub reserve: Option<Reserve<'a>>,
    /// The verdict only: nothing is charged, made or replayed.
    pub dry_run: bool,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Reserve<'a> {
    /// The caller's own id.
    pub id: Option<&'a str>,
    /// None: the policy's `reservation_ttl`.
    pub ttl_ms: Option<i64>,
}

/// What a request costs, by unit. Equal costs compare equal however they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Costs {
    pub requests: u64,
    pub tokens: u64,
    /// Other units, sorted by name, none of them 0.
    others: SmallVec<[(PolicyId, u64); 1]>,
}

impl Default for Costs {
    fn default() -> Self {
        Self { requests: 1, tokens: 0, others: SmallVec::new() }
    }
}

impl Costs {
    #[must_use]
    pub fn new(requests: u64, tokens: u64, others: impl IntoIterator<Item = (PolicyId, u64)>) -> Self {
        let mut others: SmallVec<[(PolicyId, u64); 1]> = others.into_iter().filter(|(_, cost)| *cost > 0).collect();
        others.sort();
        Self { requests, tokens, others }
    }

    #[must_use]
    pub fn others(&self) -> &[(PolicyId, u64)] {
        &self.others
    }

    #[inline]
    pub(super) fn of(&self, unit: &super::snapshot::CostUnit) -> u64 {
        use super::snapshot::CostUnit;
        match unit {
            CostUnit::Requests => self.requests,
            CostUnit::Tokens => self.tokens,
            CostUnit::Other(id) => self.others.iter().find(|(unit, _)| unit == id).map_or(0, |(_, cost)| *cost),
            CostUnit::None => 0,
        }
    }
}

/// The true costs named by a settle; what is not named stays as charged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Amounts {
    pub requests: Option<u64>,
    pub tokens: Option<u64>,
    /// Sorted by name.
    others: SmallVec<[(PolicyId, u64); 1]>,
}

impl Amounts {
    #[must_use]
    pub fn new(requests: Option<u64>, tokens: Option<u64>, others: impl IntoIterator<Item = (PolicyId, u64)>) -> Self {
        let mut others: SmallVec<[(PolicyId, u64); 1]> = others.into_iter().collect();
        others.sort();
        Self { requests, tokens, others }
    }

    #[must_use]
    pub fn others(&self) -> &[(PolicyId, u64)] {
        &self.others
    }

    pub(super) fn of(&self, unit: &super::snapshot::CostUnit) -> Option<u64> {
        use super::snapshot::CostUnit;
        match unit {
            CostUnit::Requests => self.requests,
            CostUnit::Tokens => self.tokens,
            CostUnit::Other(id) => self.others.iter().find(|(unit, _)| unit == id).map(|(_, amount)| *amount),
            CostUnit::None => None,
        }
    }
}
