//! Rules for what people write: names, reasons, labels, times.

use super::{FieldError, MAX_LABELS, MAX_TEXT};
use crate::domain::ids::PolicyId;
use crate::domain::quantity::MAX_TIME_MS;
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

    /// Errors: anything that was wrong.
    pub fn done(self) -> Result<(), super::Error> {
        if self.0.is_empty() { Ok(()) } else { Err(super::Error::Invalid(self.0)) }
    }
}
