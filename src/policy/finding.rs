//! What is wrong or odd about a document.

use super::document::{Node, Place, push_key};
use serde::Serialize;
use std::fmt;

/// How many errors, and how many warnings, are reported of one document.
pub const MAX_FINDINGS: usize = 1_000;

/// One error or warning, with the path of what it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Such as `groups[2].limits[0].quotas.paid`; empty where it is about the whole document.
    pub path: String,
    /// From 1; None where the document did not come as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// In characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    pub code: Code,
    pub message: String,
}

/// The cause of a finding, for programs; messages are for people and may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Not YAML.
    Syntax,
    /// YAML that policy documents do not use: tags, keys that are not text, a second document.
    NotSupported,
    /// Text, depth or number of values above its maximum, or too many findings to report.
    TooLarge,
    DuplicateKey,
    UnknownField,
    MissingField,
    /// Another kind of value is expected.
    Type,
    /// The right kind of value that does not follow its grammar.
    Invalid,
    OutOfRange,
    Empty,
    TooMany,
    /// An id, resource or unit that is already taken.
    Duplicate,
    /// A tier or unit that the policy does not have.
    UnknownReference,
    /// A tier without its quota or burst.
    MissingTier,
    /// A field that has no meaning for this kind of limit.
    Misplaced,
    /// Warning: a tier's quota is below the lower tier's.
    QuotaFalls,
    /// Warning: payments can never decide about a tier.
    TierUnreachable,
    /// Warning: a quota looks out of scale for its unit.
    QuotaOutOfScale,
    /// Warning: all tiers have the same quota.
    QuotasEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

impl Code {
    /// As it is serialized.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::NotSupported => "not_supported",
            Self::TooLarge => "too_large",
            Self::DuplicateKey => "duplicate_key",
            Self::UnknownField => "unknown_field",
            Self::MissingField => "missing_field",
            Self::Type => "type",
            Self::Invalid => "invalid",
            Self::OutOfRange => "out_of_range",
            Self::Empty => "empty",
            Self::TooMany => "too_many",
            Self::Duplicate => "duplicate",
            Self::UnknownReference => "unknown_reference",
            Self::MissingTier => "missing_tier",
            Self::Misplaced => "misplaced",
            Self::QuotaFalls => "quota_falls",
            Self::TierUnreachable => "tier_unreachable",
            Self::QuotaOutOfScale => "quota_out_of_scale",
            Self::QuotasEqual => "quotas_equal",
        }
    }

    #[must_use]
    pub fn severity(self) -> Severity {
        match self {
            Self::QuotaFalls | Self::TierUnreachable | Self::QuotaOutOfScale | Self::QuotasEqual => Severity::Warning,
            Self::Syntax
            | Self::NotSupported
            | Self::TooLarge
            | Self::DuplicateKey
            | Self::UnknownField
            | Self::MissingField
            | Self::Type
            | Self::Invalid
            | Self::OutOfRange
            | Self::Empty
            | Self::TooMany
            | Self::Duplicate
            | Self::UnknownReference
            | Self::MissingTier
            | Self::Misplaced => Severity::Error,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// `LINE:COL: error: path: message`, without the parts that are absent.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "{line}:{}: ", self.column.unwrap_or(1))?;
        }
        write!(f, "{}: ", self.code.severity())?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Collects findings while a document is read, up to [`MAX_FINDINGS`] of each severity.
#[derive(Debug, Default)]
pub(crate) struct Report {
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
    errors_left_out: usize,
}

impl Report {
    /// About a value.
    pub(crate) fn at(&mut self, node: Node<'_>, code: Code, message: impl Into<String>) {
        self.push(node.path(), node.place(), code, message.into());
    }

    /// About the key that leads to a value.
    pub(crate) fn at_key(&mut self, node: Node<'_>, code: Code, message: impl Into<String>) {
        self.push(node.path(), node.key_place(), code, message.into());
    }

    /// About a field that `map` lacks: the path names the field, the line is the map's.
    pub(crate) fn at_absent(&mut self, map: Node<'_>, field: &str, code: Code, message: impl Into<String>) {
        let mut path = map.path();
        push_key(&mut path, field);
        self.push(path, map.place(), code, message.into());
    }

    pub(crate) fn push(&mut self, path: String, place: Option<Place>, code: Code, message: String) {
        let list = match code.severity() {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        if list.len() < MAX_FINDINGS {
            list.push(Finding { path, line: place.map(|p| p.line), column: place.map(|p| p.column), code, message });
        } else if code.severity() == Severity::Error {
            self.errors_left_out += 1;
        }
    }

    pub(crate) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// The errors in the order of the text, else in that of reading.
    pub(crate) fn into_errors(mut self) -> Vec<Finding> {
        self.errors.sort_by_key(|f| (f.line, f.column));
        if self.errors_left_out > 0 {
            let message = format!("{} more errors are not shown", self.errors_left_out);
            self.errors.push(Finding { path: String::new(), line: None, column: None, code: Code::TooLarge, message });
        }
        self.errors
    }

    pub(crate) fn into_warnings(mut self) -> Vec<Finding> {
        self.warnings.sort_by_key(|f| (f.line, f.column));
        self.warnings
    }
}
