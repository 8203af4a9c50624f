//! Policy documents: text to a typed [`Policy`], with every error at its path and line.
//!
//! Owns the document's format (YAML and JSON), its rules, its canonical form and content hash, the difference between
//! two policies and the limits page. Deliberately absent: which revision is active (the store and the services), what
//! an account has used (the engine), and any reading of files.
//!
//! Reading order: [`finding`] (what is reported), `document` (values with paths), `yaml` and `json` (in and out),
//! `read` and `validate` (the rules).

pub mod diff;
mod document;
pub mod finding;
mod grammar;
mod json;
mod nearest;
pub mod page;
pub mod raises;
mod read;
pub mod resolve;
mod scalar;
pub mod tiers;
mod validate;
mod yaml;

pub use document::{MAX_DEPTH, MAX_NODES, MAX_TEXT_BYTES};
pub use finding::{Code, Finding, Severity};
#[cfg(feature = "server")]
pub(crate) use grammar::duration_ms;
pub use grammar::{duration_text, number_text, utc_offset_text};
pub use validate::SCHEMA;

use crate::domain::policy::Policy;
use document::Document;
use finding::Report;

/// A policy that is valid, with what may still be a mistake.
#[derive(Debug, Clone)]
pub struct Parsed {
    pub policy: Policy,
    pub warnings: Vec<Finding>,
}

/// Reads a policy document, YAML or JSON, at most [`MAX_TEXT_BYTES`].
///
/// Errors: all that can be found at once, in the order of the text, at most [`finding::MAX_FINDINGS`].
pub fn parse(text: &str) -> Result<Parsed, Vec<Finding>> {
    let mut report = Report::default();
    let document = yaml::read(text, &mut report);
    checked(document, report)
}

/// Reads a policy document that has already been parsed as JSON.
///
/// The rules are those of [`parse`]; findings have paths but no lines, and a key given twice is not noticed, because
/// the value has already lost it.
pub fn from_json(json: &serde_json::Value) -> Result<Parsed, Vec<Finding>> {
    let mut report = Report::default();
    let document = json::read(json, &mut report);
    checked(document, report)
}

fn checked(document: Option<Document>, mut report: Report) -> Result<Parsed, Vec<Finding>> {
    match document.and_then(|document| validate::policy(&document, &mut report)) {
        Some(policy) => Ok(Parsed { policy, warnings: report.into_warnings() }),
        None => Err(report.into_errors()),
    }
}

#[cfg(test)]
mod tests;
