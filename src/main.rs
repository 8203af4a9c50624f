//! The `quotagate` binary: parses the command line and calls one command.

use clap::Parser;
use mimalloc::MiMalloc;
use std::process::ExitCode;

/// Changes are made of many small pieces on several threads: the system's allocator takes up to half of an import's time.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    quotagate::cli::run(quotagate::cli::Cli::parse())
}
