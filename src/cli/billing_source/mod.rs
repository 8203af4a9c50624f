//! `quotagate billing-source`: who may deliver signed payment events, by the server that holds the folder or on the folder
//! itself.

mod sources;

use super::data::DataFolder;
use super::{Failure, Streams};
use crate::domain::ids::SourceId;
use crate::services::billing_sources::{NewSource, SourceFormat};
use crate::services::seal::Secret;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use sources::{Source, Sources};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Longest file that a secret is read from, in bytes.
const MAX_SECRET_FILE: u64 = 4_096;

/// Create, list, rotate and disable the billing systems that deliver signed payment events
///
/// With a server running on the folder it asks that server, over the `control.sock` in the folder, and what it changes
/// holds from the next delivery on; else it works on the folder itself.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A secret that is made here is printed once, alone, to standard output, and kept sealed.

Examples:
  quotagate billing-source create billing > billing.secret
  quotagate billing-source create stripe --format stripe --secret-file whsec.txt
  quotagate billing-source list
  quotagate billing-source add-secret billing > next.secret     rotate: both are taken from now on
  quotagate billing-source remove-secret billing 1              once the sender signs with the new one
  quotagate billing-source disable billing --reason 'leaked'")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    data: DataFolder,
    /// File with the key that seals secrets [default: seal.key in the data folder]; a running server has its own
    #[arg(long, value_name = "FILE", env = "QUOTAGATE_SEAL_KEY", global = true)]
    seal_key: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Create a source; prints its secret
    Create {
        #[arg(value_parser = source_id)]
        source: SourceId,
        /// What its deliveries look like
        #[arg(long, value_enum, default_value = "generic")]
        format: Format,
        #[arg(long)]
        name: Option<String>,
        /// Take the sender's own secret from a file, `-` for standard input, instead of making one
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
    },
    /// List the sources, without their secrets
    List,
    /// Add a second secret; prints it
    AddSecret {
        #[arg(value_parser = source_id)]
        source: SourceId,
        /// Take the sender's own secret from a file, `-` for standard input, instead of making one
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
    },
    /// Remove a secret, by its number in the list
    RemoveSecret {
        #[arg(value_parser = source_id)]
        source: SourceId,
        number: u32,
    },
    /// Refuse all deliveries of a source
    Disable {
        #[arg(value_parser = source_id)]
        source: SourceId,
        #[arg(long)]
        reason: String,
    },
    /// Take deliveries of a source again
    Enable {
        #[arg(value_parser = source_id)]
        source: SourceId,
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Generic,
    Stripe,
}

impl From<Format> for SourceFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Generic => Self::Generic,
            Format::Stripe => Self::Stripe,
        }
    }
}

fn source_id(text: &str) -> Result<SourceId, String> {
    SourceId::parse(text).map_err(|error| error.to_string())
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let in_use = "`/v1/billing-sources` of that server does the same";
    args.data.change(in_use, |reached| {
        let sources = Sources::of(reached, &args.data.path, args.seal_key.as_deref())?;
        act(&args.command, &sources, streams)
    })
}

fn act(command: &Command, sources: &Sources<'_>, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let of = |secret_file: &Option<PathBuf>| secret_file.as_deref().map(read_secret).transpose();
    let (source, what) = match command {
        Command::Create { source, format, name, secret_file } => {
            let (format, name, secret) = ((*format).into(), name.clone(), of(secret_file)?);
            (sources.create(&NewSource { id: source.clone(), format, name, secret })?, "is created")
        }
        Command::List => return list(sources, streams),
        Command::AddSecret { source, secret_file } => {
            (sources.add_secret(source, of(secret_file)?.as_ref())?, "has another secret")
        }
        Command::RemoveSecret { source, number } => (sources.remove_secret(source, *number)?, "is without that secret"),
        Command::Disable { source, reason } => (sources.disable(source, reason)?, "is disabled"),
        Command::Enable { source, reason } => (sources.enable(source, reason)?, "is enabled"),
    };
    tell(&source, what, streams)
}

/// The secret, where there is a new one, stands alone on standard output.
fn tell(source: &Source, what: &str, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let id = &source.id;
    writeln!(streams.err, "billing source `{id}` {what}; it delivers to /v1/hooks/billing/{id}")?;
    writeln!(streams.err, "secrets: {}", source.numbers())?;
    if let Some(secret) = &source.secret {
        writeln!(streams.err, "keep this, it is not told again:")?;
        writeln!(streams.out, "{secret}")?;
    }
    Ok(())
}

fn list(sources: &Sources<'_>, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["source", "format", "state", "secrets", "name"]);
    sources.each(|source| {
        let format = match source.format {
            SourceFormat::Generic => "generic",
            SourceFormat::Stripe => "stripe",
        };
        let state = if source.enabled { "enabled" } else { "disabled" };
        table.add_row([source.id.as_str(), format, state, &source.numbers(), source.name.as_deref().unwrap_or("")]);
    })?;
    writeln!(streams.out, "{table}")?;
    Ok(())
}

/// Without the end of line that an editor leaves.
fn read_secret(file: &Path) -> Result<Secret, Failure> {
    let mut text = String::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().take(MAX_SECRET_FILE).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(MAX_SECRET_FILE).read_to_string(&mut text))
    };
    read.map_err(|error| Failure::Unreadable(format!("cannot read the secret from `{}`: {error}", file.display())))?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}
