//! What the engine answers.

use super::handle::Handle;
use super::reservations::How;
use super::snapshot::{CompiledLimit, Snapshot};
use crate::domain::policy::Rule;
use crate::domain::quantity::Quota;
use arc_swap::Guard;
use compact_str::CompactString;
use smallvec::SmallVec;
use std::sync::Arc;

/// How one limit stands after a decision or other event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitState {
    /// Index in the group's limits.
    pub limit: u8,
    pub scope: Scope,
    /// Whether this limit refused.
    pub refuses: bool,
    pub quota: Quota,
    /// Token buckets with an integer quota.
    pub burst: Option<u128>,
    pub used: u128,
    pub reset_after_ms: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The main account's own.
    Account,
    /// A cap of the sub-account that asked.
    SubAccount,
}

impl Scope {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::SubAccount => "sub_account",
        }
    }
}

impl LimitState {
    /// What is left; None for `unlimited`.
    #[must_use]
    pub fn remaining(&self) -> Option<u128> {
        match self.quota {
            Quota::Unlimited => None,
            Quota::Blocked => Some(0),
            Quota::Units(quota) => Some(self.burst.unwrap_or(u128::from(quota)).saturating_sub(self.used)),
        }
    }
}

pub type Limits = SmallVec<[LimitState; 4]>;

/// Why a request is denied. In the order in which the first that holds is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    UnknownAccount,
    AccountSuspended,
    UnknownResource,
    Blocked,
    CostExceedsQuota,
    QuotaExceeded,
    ConcurrencyExceeded,
}

impl Reason {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownAccount => "unknown_account",
            Self::AccountSuspended => "account_suspended",
            Self::UnknownResource => "unknown_resource",
            Self::Blocked => "blocked",
            Self::CostExceedsQuota => "cost_exceeds_quota",
            Self::QuotaExceeded => "quota_exceeded",
            Self::ConcurrencyExceeded => "concurrency_exceeded",
        }
    }
}

/// Allow or deny, with the state of every limit that took part.
#[derive(Debug)]
pub struct Decision {
    /// What it was decided by: names of the limits, the revision.
    pub snapshot: Guard<Arc<Snapshot>>,
    /// None: allowed.
    pub denied: Option<Reason>,
    /// The resource's group, an index into the policy's; None for the reasons of step 1 and unlisted resources.
    pub group: Option<u16>,
    pub limits: Limits,
    pub retry_after_ms: Option<i64>,
    pub slot_expires_in_ms: Option<i64>,
    pub reservation: Option<Held>,
    pub replayed: bool,
}

/// A reservation as its holder sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The caller's own id, where it gave one.
    pub id: Option<CompactString>,
    pub handle: Handle,
    pub expires_at_ms: i64,
}

impl Decision {
    #[must_use]
    pub fn allowed(&self) -> bool {
        self.denied.is_none()
    }

    /// Ids of the refusing limits in their order, each once.
    pub fn violated(&self) -> impl Iterator<Item = &str> {
        let refusing = |state: &&LimitState| state.refuses;
        self.limits.iter().enumerate().filter(move |(_, state)| refusing(state)).filter_map(|(position, state)| {
            let again = self.limits[..position].iter().any(|earlier| earlier.refuses && earlier.limit == state.limit);
            if again { None } else { Some(self.snapshot.limit_id(self.group?, state.limit)) }
        })
    }
}

/// Why a request got no decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    #[error("the resource's group limits concurrency, so the request must ask for a reservation")]
    ReservationRequired,
    #[error("the reservation id is in use for another account, resource or cost")]
    ReservationConflict,
    #[error("the reservation has ended: {}", .0.as_str())]
    ReservationEnded(How),
    #[error("a table is full")]
    Capacity,
}

impl DecideError {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReservationRequired => "reservation_required",
            Self::ReservationConflict => "reservation_conflict",
            Self::ReservationEnded(_) => "reservation_ended",
            Self::Capacity => "capacity",
        }
    }
}

/// A reservation that was settled, cancelled or renewed.
#[derive(Debug)]
pub struct Ended {
    pub snapshot: Guard<Arc<Snapshot>>,
    pub group: Option<u16>,
    /// Of the reservation's account and resource.
    pub limits: Limits,
    /// The settle corrected one that had expired.
    pub late: bool,
    /// The same settle as before: nothing was charged.
    pub replayed: bool,
    pub expires_at_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndError {
    #[error("no such reservation is remembered")]
    UnknownReservation,
    #[error("the reservation has ended: {}", .0.as_str())]
    ReservationEnded(How),
}

impl EndError {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownReservation => "unknown_reservation",
            Self::ReservationEnded(_) => "reservation_ended",
        }
    }
}

/// The limits of an account on a resource, as they stand.
#[derive(Debug)]
pub struct Status {
    pub snapshot: Guard<Arc<Snapshot>>,
    /// None: an unlisted resource under a policy that allows those.
    pub group: Option<u16>,
    pub limits: Limits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StatusError {
    #[error("no such account")]
    UnknownAccount,
    #[error("no such resource in the active revision")]
    UnknownResource,
}

impl StatusError {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownAccount => "unknown_account",
            Self::UnknownResource => "unknown_resource",
        }
    }
}

impl Snapshot {
    /// The id of a limit named in a [`LimitState`].
    #[must_use]
    pub fn limit_id(&self, group: u16, limit: u8) -> &str {
        self.compiled(group, limit).key.limit.as_str()
    }

    #[must_use]
    pub fn group_id(&self, group: u16) -> &str {
        self.policy.groups[usize::from(group)].id.as_str()
    }

    /// The rule of a limit named in a [`LimitState`].
    #[must_use]
    pub fn limit_rule(&self, group: u16, limit: u8) -> Rule {
        self.compiled(group, limit).rule
    }

    fn compiled(&self, group: u16, limit: u8) -> &CompiledLimit {
        &self.group(group).limits[usize::from(limit)]
    }
}
