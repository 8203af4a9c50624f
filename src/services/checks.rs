//! Rules for what people write: names, reasons, labels, times, limits that exist.

use super::{FieldError, MAX_LABELS, MAX_TEXT};
use crate::domain::account::{LimitKey, Shape};
use crate::domain::ids::PolicyId;
use crate::domain::policy::Policy;
use crate::domain::quantity::{MAX_CONCURRENCY, MAX_TIME_MS, Quota};
use crate::engine::Snapshot;
use std::collections::BTreeMap;

/// Collects what is wrong with a request, so that all of it is told at once.
#[derive(Debug, Default)]
pub(super) struct Checks(Vec<FieldError>);

impl Checks {
    pub fn fail(&mut self, pointer: &str, code: &'static str, detail: impl Into<String>) {
        self.0.push(FieldError::new(pointer, code, detail));
    }

    /// A reason: always given, never blank.
    pub fn reason(&mut self, pointer: &str, reason: &str) {
        if reason.trim().is_empty() {
            self.fail(pointer, "required", "a reason is required");
        } else {
            self.text(pointer, reason);
        }
    }

    /// A reason that may be left out.
    pub fn note(&mut self, pointer: &str, note: &str) {
        self.text(pointer, note);
    }

    pub fn name(&mut self, pointer: &str, name: Option<&str>) {
        match name {
            Some(name) if name.trim().is_empty() => self.fail(pointer, "empty", "a name has at least one character"),
            Some(name) => self.text(pointer, name),
            None => {}
        }
    }

    fn text(&mut self, pointer: &str, text: &str) {
        if text.chars().count() > MAX_TEXT {
            self.fail(pointer, "too_long", format!("at most {MAX_TEXT} characters are taken"));
        }
        if text.chars().any(char::is_control) {
            self.fail(pointer, "control_character", "control characters are not taken");
        }
    }

    /// A text of several lines, which may be required.
    pub fn long_text(&mut self, pointer: &str, text: &str, (most, required): (usize, bool)) {
        if required && text.trim().is_empty() {
            self.fail(pointer, "required", "it is required");
        }
        if text.chars().count() > most {
            self.fail(pointer, "too_long", format!("at most {most} characters are taken"));
        }
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            self.fail(pointer, "control_character", "control characters but tabs and ends of lines are not taken");
        }
    }

    pub fn labels(&mut self, pointer: &str, labels: &BTreeMap<String, String>) {
        if labels.len() > MAX_LABELS {
            self.fail(pointer, "too_many", format!("at most {MAX_LABELS} labels are taken"));
        }
        for (key, value) in labels.iter().take(MAX_LABELS) {
            if let Err(error) = PolicyId::parse(key) {
                self.fail(pointer, "invalid", format!("label {error}"));
            } else {
                self.text(&format!("{pointer}/{key}"), value);
            }
        }
    }

    /// A moment that has not come yet.
    pub fn ahead(&mut self, pointer: &str, at_ms: Option<i64>, now: i64) {
        match at_ms {
            Some(at) if at <= now => self.fail(pointer, "not_ahead", "the time is not in the future"),
            Some(at) if at > MAX_TIME_MS => self.fail(pointer, "out_of_range", "the time is beyond the year 9999"),
            _ => {}
        }
    }

    /// An end is given, or having none is said to be meant.
    pub fn one_end(&mut self, has_end: bool, permanent: bool) {
        match (has_end, permanent) {
            (false, false) => {
                self.fail("/expires_at", "required", "give the time it ends, or say `permanent: true`");
            }
            (true, true) => self.fail("/permanent", "misplaced", "what is permanent has no end"),
            _ => {}
        }
    }

    /// Errors: anything that was wrong.
    pub fn done(self) -> Result<(), super::Error> {
        if self.0.is_empty() { Ok(()) } else { Err(super::Error::Invalid(self.0)) }
    }
}

/// A tier that is named must be one of the policy's.
pub(super) fn tier_must_exist(checks: &mut Checks, pointer: &str, tier: Option<&PolicyId>, policy: &Policy) {
    if let Some(tier) = tier
        && policy.tier_index(tier.as_str()).is_none()
    {
        checks.fail(pointer, "unknown_tier", unknown_tier(tier, policy));
    }
}

pub(super) fn unknown_tier(tier: &PolicyId, policy: &Policy) -> String {
    let known: Vec<&str> = policy.tiers.iter().map(|tier| tier.id.as_str()).collect();
    format!("tier {tier:?} does not exist; the active revision has {}", known.join(", "))
}

/// Why a quota does not go with a limit of the active revision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Misfit {
    #[error("group {0:?} does not exist in the active revision")]
    Group(PolicyId),
    #[error("limit {:?} does not exist in group {:?}, which has {known}", .key.limit, .key.group)]
    Limit { key: LimitKey, known: String },
    #[error("`{0}` is above the largest concurrency quota, {MAX_CONCURRENCY}")]
    Quota(u64),
}

impl Misfit {
    /// The shape of the limit that a quota is written for.
    pub fn check(snapshot: &Snapshot, key: &LimitKey, quota: Quota) -> Result<Shape, Self> {
        let group = snapshot.policy.group(key.group.as_str()).ok_or_else(|| Self::Group(key.group.clone()))?;
        let Some(shape) = snapshot.shape_of(key.group.as_str(), key.limit.as_str()) else {
            let known: Vec<&str> = group.limits.iter().map(|limit| limit.id.as_str()).collect();
            return Err(Self::Limit { key: key.clone(), known: known.join(", ") });
        };
        match quota {
            Quota::Units(units) if shape == Shape::Concurrency && units > MAX_CONCURRENCY => Err(Self::Quota(units)),
            _ => Ok(shape),
        }
    }

    pub fn code(&self) -> &'static str {
        match self {
            Self::Group(_) => "unknown_group",
            Self::Limit { .. } => "unknown_limit",
            Self::Quota(_) => "out_of_range",
        }
    }

    /// Of a request with the fields `group`, `limit` and `quota`.
    pub fn pointer(&self) -> &'static str {
        match self {
            Self::Group(_) => "/group",
            Self::Limit { .. } => "/limit",
            Self::Quota(_) => "/quota",
        }
    }
}

impl Checks {
    /// The shape of the limit that a request with the fields `group`, `limit` and `quota` is about.
    pub fn limit(&mut self, snapshot: &Snapshot, key: &LimitKey, quota: Quota) -> Option<Shape> {
        match Misfit::check(snapshot, key, quota) {
            Ok(shape) => Some(shape),
            Err(misfit) => {
                self.fail(misfit.pointer(), misfit.code(), misfit.to_string());
                None
            }
        }
    }
}
