//! The answer to one event of a trace, and its line of JSON.

use crate::domain::quantity::Quota;
use crate::engine::{DecideError, Decision, EndError, Ended, LimitState, Snapshot, Status, StatusError};
use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};

/// One line of the decisions file.
#[derive(Debug)]
pub struct Answer {
    /// The file's line, from 1.
    pub line: u64,
    pub at_ms: i64,
    pub op: &'static str,
    pub body: Body,
}

#[derive(Debug)]
pub enum Body {
    Decided {
        decision: Box<Decision>,
        dry_run: bool,
    },
    NotDecided(DecideError),
    /// Settled, cancelled or renewed.
    Ended(Box<Ended>),
    NotEnded(EndError),
    Status(Box<Status>),
    NoStatus(StatusError),
    /// The account's tier after the event.
    Tier(String),
    Done,
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("line", &self.line)?;
        map.serialize_entry("at_ms", &self.at_ms)?;
        map.serialize_entry("op", self.op)?;
        match &self.body {
            Body::Decided { decision, dry_run } => decided(&mut map, decision, *dry_run)?,
            Body::NotDecided(error) => {
                map.serialize_entry("error", error.as_str())?;
                if let DecideError::ReservationEnded(how) = error {
                    map.serialize_entry("ended", how.as_str())?;
                }
            }
            Body::Ended(ended) => {
                map.serialize_entry("ok", &true)?;
                map.serialize_entry("limits", &LimitsView::of(&ended.snapshot, ended.group, &ended.limits))?;
                flag(&mut map, "late", ended.late)?;
                flag(&mut map, "replayed", ended.replayed)?;
            }
            Body::NotEnded(error) => {
                map.serialize_entry("error", error.as_str())?;
                if let EndError::ReservationEnded(how) = error {
                    map.serialize_entry("ended", how.as_str())?;
                }
            }
            Body::Status(status) => {
                map.serialize_entry("limits", &LimitsView::of(&status.snapshot, status.group, &status.limits))?;
            }
            Body::NoStatus(error) => map.serialize_entry("error", error.as_str())?,
            Body::Tier(tier) => map.serialize_entry("tier", tier)?,
            Body::Done => {}
        }
        map.end()
    }
}

fn decided<M: SerializeMap>(map: &mut M, decision: &Decision, dry_run: bool) -> Result<(), M::Error> {
    match decision.denied {
        None => map.serialize_entry("decision", "allow")?,
        Some(reason) => {
            map.serialize_entry("decision", "deny")?;
            map.serialize_entry("reason", reason.as_str())?;
            map.serialize_entry("violated", &Violated(decision))?;
        }
    }
    if let Some(ms) = decision.retry_after_ms {
        map.serialize_entry("retry_after_ms", &ms)?;
    }
    if let Some(ms) = decision.slot_expires_in_ms {
        map.serialize_entry("slot_expires_in_ms", &ms)?;
    }
    if let Some(held) = &decision.reservation {
        match &held.id {
            Some(id) => map.serialize_entry("reservation", id)?,
            None => map.serialize_entry("reservation", &held.handle.to_string())?,
        }
    }
    flag(map, "replayed", decision.replayed)?;
    flag(map, "dry_run", dry_run)?;
    map.serialize_entry("limits", &LimitsView::of(&decision.snapshot, decision.group, &decision.limits))
}

fn flag<M: SerializeMap>(map: &mut M, name: &'static str, set: bool) -> Result<(), M::Error> {
    if set { map.serialize_entry(name, &true) } else { Ok(()) }
}

struct Violated<'a>(&'a Decision);

impl Serialize for Violated<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.violated())
    }
}

struct LimitsView<'a> {
    snapshot: &'a Snapshot,
    group: Option<u16>,
    limits: &'a [LimitState],
}

impl<'a> LimitsView<'a> {
    fn of(snapshot: &'a Snapshot, group: Option<u16>, limits: &'a [LimitState]) -> Self {
        Self { snapshot, group, limits }
    }
}

impl Serialize for LimitsView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.limits.len()))?;
        if let Some(group) = self.group {
            for state in self.limits {
                list.serialize_element(&LimitView { id: self.snapshot.limit_id(group, state.limit), state })?;
            }
        }
        list.end()
    }
}

struct LimitView<'a> {
    id: &'a str,
    state: &'a LimitState,
}

impl Serialize for LimitView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let state = self.state;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", self.id)?;
        map.serialize_entry("scope", state.scope.as_str())?;
        map.serialize_entry::<str, Quota>("quota", &state.quota)?;
        if let Some(burst) = state.burst {
            map.serialize_entry("burst", &burst)?;
        }
        map.serialize_entry("used", &state.used)?;
        if let Some(remaining) = state.remaining() {
            map.serialize_entry("remaining", &remaining)?;
        }
        if let Some(ms) = state.reset_after_ms {
            map.serialize_entry("reset_after_ms", &ms)?;
        }
        map.end()
    }
}
