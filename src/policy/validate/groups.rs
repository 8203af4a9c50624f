//! Groups and the resources in them.

use super::super::document::Node;
use super::super::finding::{Code, Report};
use super::super::read::{Fields, items, text, word};
use super::limits::limits;
use super::names::{Names, at};
use super::{Texts, texts};
use crate::domain::ids::ResourceName;
use crate::domain::policy::{Group, MAX_GROUPS, MAX_RESOURCES_IN_GROUP, Share};
use std::collections::HashMap;

/// What the limits of a group may mention.
pub(super) struct Scope<'n, 'd> {
    pub units: &'n Names<'d>,
    pub tiers: &'n Names<'d>,
}

/// What is unique over all groups.
#[derive(Default)]
struct Taken<'d> {
    ids: Names<'d>,
    resources: Resources<'d>,
}

/// Where each resource of the policy was first named.
type Resources<'d> = HashMap<&'d str, Node<'d>>;

const FIELDS: [&str; 6] = ["id", "title", "note", "resources", "share", "limits"];

pub(super) fn groups<'d>(policy: &Fields<'d>, scope: &Scope<'_, 'd>, report: &mut Report) -> Option<Vec<Group>> {
    let list = items(policy.require("groups", report)?, "a list of groups", MAX_GROUPS, report)?;
    let mut taken = Taken::default();
    let mut groups = Vec::with_capacity(list.len());
    let mut complete = true;
    for node in list {
        match group(node, &mut taken, scope, report) {
            Some(group) => groups.push(group),
            None => complete = false,
        }
    }
    complete.then_some(groups)
}

fn group<'d>(node: Node<'d>, taken: &mut Taken<'d>, scope: &Scope<'_, 'd>, report: &mut Report) -> Option<Group> {
    let fields = Fields::open(node, &FIELDS, report)?;
    let id = taken.ids.take_id(&fields, "group", report);
    let Texts { title, note } = texts(&fields, report);
    let resources = fields.require("resources", report).and_then(|node| resources(node, &mut taken.resources, report));
    let share = fields.get("share").map_or(Some(Share::Group), |node| {
        word(node, &[("group", Share::Group), ("resource", Share::Resource)], report)
    });
    let limits = fields.require("limits", report).and_then(|node| limits(node, scope, report));
    Some(Group { id: id?, title: title?, note: note?, resources: resources?, share: share?, limits: limits? })
}

fn resources<'d>(node: Node<'d>, taken: &mut Resources<'d>, report: &mut Report) -> Option<Vec<ResourceName>> {
    let list = items(node, "a list of resources", MAX_RESOURCES_IN_GROUP, report)?;
    if list.len() == 0 {
        report.at(node, Code::Empty, "a group has at least one resource");
        return None;
    }
    let mut resources = Vec::with_capacity(list.len());
    let mut complete = true;
    for node in list {
        match resource(node, taken, report) {
            Some(name) => resources.push(name),
            None => complete = false,
        }
    }
    complete.then_some(resources)
}

fn resource<'d>(node: Node<'d>, taken: &mut Resources<'d>, report: &mut Report) -> Option<ResourceName> {
    let written = text(node, "the name of a resource", report)?;
    let name = ResourceName::parse(written).map_err(|error| report.at(node, Code::Invalid, error.to_string())).ok()?;
    if let Some(first) = taken.get(written) {
        let message = format!("the resource `{written}` is already {}: it is in exactly one group, once", at(*first));
        report.at(node, Code::Duplicate, message);
        return None;
    }
    taken.insert(written, node);
    Some(name)
}
