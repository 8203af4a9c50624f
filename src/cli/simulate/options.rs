//! What the options of `simulate` must agree on.

use super::super::Failure;
use super::{Args, is_standard};
use crate::domain::ids::{AccountId, PolicyId, ResourceName};
use crate::domain::policy::{Policy, UnlistedResources};
use std::path::Path;

/// Names listed in a message.
const MAX_LISTED: usize = 20;

/// Who asks for what in a CSV trace.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub account: AccountId,
    pub tier: Option<PolicyId>,
    pub resource: ResourceName,
}

/// Errors: an output that would overwrite an input or cannot be, or standard input asked for twice.
pub(super) fn check_files(args: &Args) -> Result<(), Failure> {
    let inputs = [Some(&args.policy), Some(&args.trace), args.compare.as_ref()];
    let inputs: Vec<&Path> = inputs.into_iter().flatten().map(|file| &**file).collect();
    if inputs.iter().filter(|file| is_standard(file)).count() > 1 {
        return Err(Failure::BadInput("only one of `--policy`, `--trace` and `--compare` can be `-`".to_owned()));
    }
    if args.report.as_deref().is_some_and(is_standard) {
        return Err(Failure::BadInput("`--report` takes a file".to_owned()));
    }
    for output in [&args.decisions, &args.report].into_iter().flatten().filter(|file| !is_standard(file)) {
        if inputs.iter().any(|input| same_file(input, output)) {
            return Err(Failure::BadInput(format!("`{}` is read and would be overwritten", output.display())));
        }
        let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty());
        if folder.is_some_and(|folder| !folder.is_dir()) {
            return Err(Failure::BadInput(format!("cannot write `{}`: no such folder", output.display())));
        }
    }
    match (&args.decisions, &args.report) {
        (Some(decisions), Some(report)) if decisions == report => {
            Err(Failure::BadInput("`--decisions` and `--report` name the same file".to_owned()))
        }
        _ => Ok(()),
    }
}

fn same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// Errors: an option that only a CSV trace takes was given.
pub(super) fn no_caller(args: &Args) -> Result<(), Failure> {
    let given = [("--account", &args.account), ("--tier", &args.tier), ("--resource", &args.resource)];
    match given.iter().find(|(_, value)| value.is_some()) {
        Some((option, _)) => {
            Err(Failure::BadInput(format!("`{option}` is for CSV traces; a JSON Lines trace names its own accounts")))
        }
        None => Ok(()),
    }
}

/// The account, tier and resource of a CSV trace.
///
/// Errors: no resource was given, or a name that is none or that the policy lacks.
pub(super) fn caller(args: &Args, policy: &Policy) -> Result<Caller, Failure> {
    let bad = |option: &str, why: &dyn std::fmt::Display| Failure::BadInput(format!("`{option}`: {why}"));
    let Some(resource) = &args.resource else {
        let why = format!("a CSV trace needs `--resource`; the policy has {}", resources(policy));
        return Err(Failure::BadInput(why));
    };
    let resource = ResourceName::parse(resource).map_err(|error| bad("--resource", &error))?;
    let listed = policy.groups.iter().any(|group| group.resources.contains(&resource));
    if !listed && policy.unlisted_resources == UnlistedResources::Deny {
        let why = format!("resource {resource:?} does not exist; the policy has {}", resources(policy));
        return Err(bad("--resource", &why));
    }
    let account = AccountId::parse(args.account.as_deref().unwrap_or("trace"));
    let account = account.map_err(|error| bad("--account", &error))?;
    let tier = args.tier.as_deref().map(PolicyId::parse).transpose().map_err(|error| bad("--tier", &error))?;
    if let Some(tier) = tier.as_ref().filter(|tier| policy.tier_index(tier.as_str()).is_none()) {
        let known: Vec<&str> = policy.tiers.iter().map(|tier| tier.id.as_str()).collect();
        return Err(bad("--tier", &format!("tier {tier:?} does not exist; the policy has {}", known.join(", "))));
    }
    Ok(Caller { account, tier, resource })
}

fn resources(policy: &Policy) -> String {
    let all: Vec<&str> =
        policy.groups.iter().flat_map(|group| &group.resources).map(|resource| resource.as_str()).collect();
    match all.len().saturating_sub(MAX_LISTED) {
        0 if all.is_empty() => "none".to_owned(),
        0 => all.join(", "),
        more => format!("{} and {more} more", all[..MAX_LISTED].join(", ")),
    }
}
