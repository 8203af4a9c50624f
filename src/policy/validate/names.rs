//! The ids of one place, each taken once.

use super::super::document::{Node, Shown};
use super::super::finding::{Code, Report};
use super::super::nearest::nearest;
use super::super::read::{Fields, text};
use crate::domain::ids::PolicyId;
use std::collections::HashMap;

/// Ids as written, well formed or not, so that one wrong id does not make every mention of it an error too.
#[derive(Default)]
pub(super) struct Names<'d> {
    order: Vec<&'d str>,
    taken: HashMap<&'d str, Option<Node<'d>>>,
    incomplete: bool,
}

impl<'d> Names<'d> {
    /// Takes a name that is always there.
    pub(super) fn built_in(&mut self, name: &'static str) {
        self.order.push(name);
        self.taken.insert(name, None);
    }

    /// Some ids could not be read, so a name that is not found may yet exist.
    pub(super) fn incomplete(&mut self) {
        self.incomplete = true;
    }

    /// Reads the field `id` of a unit, tier, group or limit. Errors: missing, malformed, taken.
    pub(super) fn take_id(&mut self, fields: &Fields<'d>, what: &str, report: &mut Report) -> Option<PolicyId> {
        let id = fields.require("id", report).and_then(|node| Some((node, text(node, "an id", report)?)));
        let Some((node, written)) = id else {
            self.incomplete = true;
            return None;
        };
        let parsed = PolicyId::parse(written).map_err(|error| report.at(node, Code::Invalid, error.to_string())).ok();
        match self.taken.get(written) {
            Some(None) => {
                report.at(node, Code::Duplicate, format!("the {what} `{written}` always exists and is not declared"));
                return None;
            }
            Some(Some(first)) => {
                let message = format!("the {what} `{}` is already {}", Shown(written), at(*first));
                report.at(node, Code::Duplicate, message);
                return None;
            }
            None => _ = self.taken.insert(written, Some(node)),
        }
        self.order.push(written);
        parsed
    }

    /// The position of the name that a field has as its value. Errors: not text, no such name.
    pub(super) fn of_value(&self, node: Node<'_>, what: &str, report: &mut Report) -> Option<usize> {
        let name = text(node, &format!("the id of a {what}"), report)?;
        let found = self.position(name);
        if let Some(message) = self.absent(name, what).filter(|_| found.is_none()) {
            report.at(node, Code::UnknownReference, message);
        }
        found
    }

    /// The position of the name that a field has as its key. Errors: no such name.
    pub(super) fn of_key(&self, node: Node<'_>, what: &str, report: &mut Report) -> Option<usize> {
        let found = self.position(node.key());
        if let Some(message) = self.absent(node.key(), what).filter(|_| found.is_none()) {
            report.at_key(node, Code::UnknownReference, message);
        }
        found
    }

    /// What to say about a name that is not there; nothing where it may have been in what could not be read.
    fn absent(&self, name: &str, what: &str) -> Option<String> {
        if self.incomplete {
            return None;
        }
        let hint = nearest(name, self.iter()).map(|near| format!(": did you mean `{}`?", Shown(near)));
        Some(format!("there is no {what} `{}`{}", Shown(name), hint.unwrap_or_default()))
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.order.iter().position(|known| *known == name)
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &'d str> {
        self.order.iter().copied()
    }
}

/// ``at `groups[0].id` (line 3)``.
pub(super) fn at(node: Node<'_>) -> String {
    match node.place() {
        Some(place) => format!("at `{}` (line {})", node.path(), place.line),
        None => format!("at `{}`", node.path()),
    }
}
