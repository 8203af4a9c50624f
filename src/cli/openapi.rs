//! `quotagate openapi`: the description of the REST API.

use super::{Failure, Streams};

/// Print the OpenAPI document of the REST API
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  quotagate openapi > openapi.json      for code generators; a running server has it at /openapi.json")]
pub(super) struct Args {}

pub(super) fn run(_args: &Args, streams: &mut Streams<'_>) -> Result<(), Failure> {
    Ok(write!(streams.out, "{}", crate::http::openapi::json())?)
}
