//! The command line: one file a command.
//!
//! Owns arguments, what is printed, and exit codes: 0 done, 1 the answer is no, 2 it could not be done. Deliberately
//! absent: anything another front would need too.

mod anchor;
mod audit;
mod backup;
mod billing_source;
mod data;
mod import;
mod input;
mod key;
mod log;
mod openapi;
mod operator;
mod policy;
mod restore;
mod serve;
mod server;
mod simulate;
mod verify;

use std::io::{self, Write};
use std::process::ExitCode;

/// Rate limits and quotas for LLM and API platforms.
#[derive(Debug, clap::Parser)]
#[command(version, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  quotagate serve                                    decisions over HTTP, Swagger UI at /docs/
  quotagate policy validate policies/minimax.yaml    check a policy document
  quotagate policy show policies/minimax.yaml        the limits page
  quotagate simulate --help                          run a trace, compare two policies
  quotagate import --help                            bring over accounts and payments
  quotagate verify --data ./data                     check what is stored
  quotagate audit tail --follow                      the last changes, and those to come
  quotagate help policy                              more on a command";

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Check, show and compare policy documents
    Policy(policy::Args),
    Simulate(simulate::Args),
    Serve(Box<serve::Args>),
    Openapi(openapi::Args),
    Import(import::Args),
    Audit(audit::Args),
    Verify(verify::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    BillingSource(billing_source::Args),
    Key(key::Args),
    Operator(operator::Args),
}

/// Why a command did not end well. What is wrong with a document has been printed by then.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Unreadable(String),
    /// Something given to a command that is meant to work with it, not to judge it.
    #[error("{0}")]
    BadInput(String),
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

/// Where a command prints: answers to `out`, complaints to `err`.
struct Streams<'s> {
    out: &'s mut dyn Write,
    err: &'s mut dyn Write,
}

/// Runs one command and turns its end into an exit code.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    // Not locked: a server's threads log to it.
    let mut err = io::stderr();
    let mut streams = Streams { out: &mut out, err: &mut err };
    let done = match cli.command {
        Command::Policy(args) => policy::run(&args, &mut streams),
        Command::Simulate(args) => simulate::run(&args, &mut streams),
        Command::Serve(args) => serve::run(&args, &mut streams),
        Command::Openapi(args) => openapi::run(&args, &mut streams),
        Command::Import(args) => import::run(&args, &mut streams),
        Command::Audit(args) => audit::run(&args, &mut streams),
        Command::Verify(args) => verify::run(&args, &mut streams),
        Command::Backup(args) => backup::run(&args, &mut streams),
        Command::Restore(args) => restore::run(&args, &mut streams),
        Command::BillingSource(args) => billing_source::run(&args, &mut streams),
        Command::Key(args) => key::run(&args, &mut streams),
        Command::Operator(args) => operator::run(&args, &mut streams),
    };
    // What was printed before a failure is still an answer.
    let done = done.and(out.flush().map_err(Failure::Output));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has seen enough, as `head` does.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            let code = match &failure {
                Failure::Refused(_) => 1,
                Failure::Unreadable(_) | Failure::BadInput(_) | Failure::Output(_) => 2,
            };
            // If even this cannot be written, the exit code still says it.
            _ = writeln!(err, "quotagate: {failure}");
            ExitCode::from(code)
        }
    }
}
