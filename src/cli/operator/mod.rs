//! `quotagate operator`: people who log in, by the server that holds the folder or on the folder itself.

mod operators;

use super::data::DataFolder;
use super::{Failure, Streams};
use crate::domain::ids::OperatorName;
use crate::services::operators::{MAX_BYTES, NewOperator, Role};
use crate::services::seal::Secret;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use operators::Operators;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read};
use std::path::{Path, PathBuf};

/// Create, list, change and remove the people who log in
///
/// With a server running on the folder it asks that server, over the `control.sock` in the folder, and what it changes
/// holds from the next request on; else it works on the folder itself. Whoever owns the machine gets in again this way
/// after every password was lost.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A password is asked for without being shown, or read from standard input or a file. It has at least 12 characters.

Examples:
  quotagate operator create alice --role owner
  quotagate operator create bob --role reviewer --ceiling 300 --password-file bob.txt
  quotagate operator list
  quotagate operator reset-password alice        ends all sessions of alice
  quotagate operator remove bob")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    data: DataFolder,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Create an operator; the first one is an owner
    Create {
        #[arg(value_parser = operator_name)]
        name: OperatorName,
        #[arg(long, value_parser = role)]
        role: Role,
        /// How far a reviewer's overrides may go, in percent of the tier's quota [default: 200]
        #[arg(long, value_name = "PERCENT")]
        ceiling: Option<u32>,
        /// Take the password from a file, `-` for standard input
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// List the operators
    List,
    /// Set another password; all sessions end
    ResetPassword {
        #[arg(value_parser = operator_name)]
        name: OperatorName,
        /// Take the password from a file, `-` for standard input
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Remove an operator; the last owner stays
    Remove {
        #[arg(value_parser = operator_name)]
        name: OperatorName,
    },
}

fn operator_name(text: &str) -> Result<OperatorName, String> {
    OperatorName::parse(text).map_err(|error| error.to_string())
}

fn role(text: &str) -> Result<Role, String> {
    let known = || Role::ALL.map(Role::as_str).join(", ");
    Role::named(text).ok_or_else(|| format!("roles are {}", known()))
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let in_use = "`/v1/operators` of that server does the same";
    args.data.change(in_use, |reached| act(args, &Operators::of(reached), streams))
}

fn act(args: &Args, operators: &Operators<'_>, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let told = match &args.command {
        Command::Create { name, role, ceiling, password_file } => {
            let password = password(password_file.as_deref(), streams)?;
            let new = NewOperator { name: name.clone(), role: *role, ceiling_percent: *ceiling, password };
            operators.create(&new)?;
            format!("`{name}` is created")
        }
        Command::List => return list(operators, streams),
        Command::ResetPassword { name, password_file } => {
            operators.set_password(name, password(password_file.as_deref(), streams)?)?;
            format!("`{name}` has another password; all sessions have ended")
        }
        Command::Remove { name } => {
            operators.remove(name)?;
            format!("`{name}` is removed")
        }
    };
    Ok(writeln!(streams.err, "operator {told}")?)
}

fn list(operators: &Operators<'_>, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["operator", "role", "made by"]);
    operators.each(|operator| _ = table.add_row([operator.name.as_str(), operator.role.as_str(), &operator.by]))?;
    Ok(writeln!(streams.out, "{table}")?)
}

/// From the file, else from the terminal without showing it, else the first line of standard input.
fn password(file: Option<&Path>, streams: &mut Streams<'_>) -> Result<Secret, Failure> {
    let failed = |error: io::Error| Failure::Unreadable(format!("cannot read the password: {error}"));
    let text = match file.filter(|file| *file != Path::new("-")) {
        Some(file) => first_line(File::open(file).map_err(failed)?),
        None if file.is_none() && io::stdin().is_terminal() => {
            write!(streams.err, "password: ")?;
            streams.err.flush()?;
            let text = unseen(|| first_line(io::stdin()));
            writeln!(streams.err)?;
            text
        }
        None => first_line(io::stdin()),
    };
    Ok(Secret::new(text.map_err(failed)?))
}

fn first_line(source: impl Read) -> io::Result<String> {
    let mut line = String::new();
    // One byte too many is told by the check of the password.
    io::BufReader::new(source.take(MAX_BYTES as u64 + 2)).read_line(&mut line)?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    Ok(line)
}

/// Reads while the terminal does not show what is typed.
fn unseen(read: impl FnOnce() -> io::Result<String>) -> io::Result<String> {
    let stdin = io::stdin();
    let shown = tcgetattr(&stdin)?;
    let mut unseen = shown.clone();
    unseen.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &unseen)?;
    let text = read();
    tcsetattr(&stdin, OptionalActions::Flush, &shown)?;
    text
}
