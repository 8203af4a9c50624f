//! The `quotagate` binary: parses the command line and calls one command.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    quotagate::cli::run(quotagate::cli::Cli::parse())
}
