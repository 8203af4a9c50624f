//! Reads single values of a document, reporting what is wrong with each.

use super::document::{Node, Shown, Value, is_bidi_control};
use super::finding::{Code, Report};
use super::nearest::nearest;
use std::ops::RangeInclusive;

/// The fields of a map whose names are known to be allowed.
pub(crate) struct Fields<'d> {
    node: Node<'d>,
}

impl<'d> Fields<'d> {
    /// Errors: not a map; each field that is not `known`.
    pub(crate) fn open(node: Node<'d>, known: &[&str], report: &mut Report) -> Option<Self> {
        if !matches!(node.value(), Value::Map(_)) {
            mismatch(node, "a map of fields", report);
            return None;
        }
        for field in node.children().filter(|field| !known.contains(&field.key())) {
            report.at_key(field, Code::UnknownField, unknown_field(field.key(), known));
        }
        Some(Self { node })
    }

    pub(crate) fn get(&self, name: &str) -> Option<Node<'d>> {
        self.node.field(name)
    }

    /// Errors: the field is missing.
    pub(crate) fn require(&self, name: &str, report: &mut Report) -> Option<Node<'d>> {
        let found = self.get(name);
        if found.is_none() {
            report.at_absent(self.node, name, Code::MissingField, format!("the field `{name}` is missing"));
        }
        found
    }
}

fn unknown_field(name: &str, known: &[&str]) -> String {
    let shown = Shown(name);
    match nearest(name, known.iter().copied()) {
        _ if name == "<<" => "`<<` is not a field: merge keys are not part of YAML 1.2".to_owned(),
        Some(near) => format!("`{shown}` is not a field here: did you mean `{near}`?"),
        None => format!("`{shown}` is not a field here: the fields are {}", list(known)),
    }
}

/// `` `a`, `b` ``.
fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Reports that `node` is not `expected`, with what it is and, where one is near, how to write it instead.
pub(crate) fn mismatch(node: Node<'_>, expected: &str, report: &mut Report) {
    let (found, hint) = match node.value() {
        Value::Null => ("nothing".to_owned(), "; leave the field out where it has no value"),
        Value::Bool(b) => (format!("the boolean `{b}`"), ""),
        Value::Integer(n) => (format!("the integer `{n}`"), ""),
        Value::OtherNumber(text) => (format!("the number `{}`", Shown(text)), ""),
        Value::Text(text) => (format!("the text `{}`", Shown(text)), ""),
        Value::List(_) => ("a list".to_owned(), ""),
        Value::Map(_) => ("a map".to_owned(), ""),
    };
    report.at(node, Code::Type, format!("expected {expected}, found {found}{hint}"));
}

/// The items of a list, each at most once looked at.
pub(crate) fn items<'d>(
    node: Node<'d>,
    expected: &str,
    most: usize,
    report: &mut Report,
) -> Option<impl ExactSizeIterator<Item = Node<'d>> + use<'d>> {
    if !matches!(node.value(), Value::List(_)) {
        mismatch(node, expected, report);
        return None;
    }
    let length = node.children().len();
    if length > most {
        report.at(node, Code::TooMany, format!("there are {length} items, more than {most}"));
    }
    Some(node.children().take(most))
}

/// Text as it stands. Errors: not text.
pub(crate) fn text<'d>(node: Node<'d>, expected: &str, report: &mut Report) -> Option<&'d str> {
    match node.value() {
        Value::Text(text) => Some(text),
        Value::Bool(_) | Value::Integer(_) | Value::OtherNumber(_) => {
            mismatch(node, &format!("{expected} (in quotes, or it is no text)"), report);
            None
        }
        Value::Null | Value::List(_) | Value::Map(_) => {
            mismatch(node, expected, report);
            None
        }
    }
}

/// How long a text for people may be, and whether it may have several lines.
#[derive(Clone, Copy)]
pub(crate) enum Prose {
    Line,
    Paragraphs,
}

/// Text for people. Errors: not text, empty, too long, or with characters that do not show.
pub(crate) fn prose(node: Node<'_>, kind: Prose, report: &mut Report) -> Option<String> {
    let text = text(node, "text", report)?;
    let most = match kind {
        Prose::Line => 200,
        Prose::Paragraphs => 4_000,
    };
    let allowed = |c: char| matches!((kind, c), (Prose::Paragraphs, '\n' | '\t'));
    if text.trim().is_empty() {
        report.at(node, Code::Empty, "the text is empty");
    } else if text.chars().nth(most).is_some() {
        report.at(node, Code::OutOfRange, format!("the text is longer than {most} characters"));
    } else if let Some(c) = text.chars().find(|c| (c.is_control() && !allowed(*c)) || is_bidi_control(*c)) {
        report.at(node, Code::Invalid, format!("the text has the control character `{}`", c.escape_unicode()));
    } else {
        return Some(text.to_owned());
    }
    None
}

/// Errors: not a plain decimal integer, or out of range.
pub(crate) fn integer(node: Node<'_>, range: RangeInclusive<u64>, expected: &str, report: &mut Report) -> Option<u64> {
    match node.value() {
        Value::Integer(n) => {
            let found = u64::try_from(*n).ok().filter(|n| range.contains(n));
            if found.is_none() {
                report.at(node, Code::OutOfRange, format!("`{n}` is out of range: expected {expected}"));
            }
            found
        }
        Value::OtherNumber(text) => {
            let hint = "only plain decimal digits are read, no leading zeros, point or exponent";
            let message = format!("expected {expected}, found the number `{}`; {hint}", Shown(text));
            report.at(node, Code::Type, message);
            None
        }
        Value::Text(text) => {
            let digits: String = text.chars().filter(|c| !matches!(c, '_' | ',' | ' ' | '\'')).collect();
            let looks_like_one = !digits.is_empty() && digits.len() <= 20 && digits.bytes().all(|b| b.is_ascii_digit());
            let hint = match looks_like_one {
                true if digits == *text => "; write it without quotes".to_owned(),
                true => format!("; write it as `{digits}`"),
                false => String::new(),
            };
            report.at(node, Code::Type, format!("expected {expected}, found the text `{}`{hint}", Shown(text)));
            None
        }
        Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => {
            mismatch(node, expected, report);
            None
        }
    }
}

/// One of a few words. Errors: not text, or another word.
pub(crate) fn word<T: Copy>(node: Node<'_>, words: &[(&str, T)], report: &mut Report) -> Option<T> {
    let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
    let expected = format!("one of {}", list(&names));
    let text = text(node, &expected, report)?;
    let found = words.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
    if found.is_none() {
        let hint = nearest(text, names).map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
        report.at(node, Code::Invalid, format!("`{}` is not {expected}{hint}", Shown(text)));
    }
    found
}
