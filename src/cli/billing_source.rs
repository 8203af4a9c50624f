//! `quotagate billing-source`: who may deliver signed payment events, where no server runs.

use super::data::{self, DataFolder, refused};
use super::{Failure, Streams};
use crate::domain::ids::SourceId;
use crate::ids::Ids;
use crate::seal_key;
use crate::services::billing_sources::{self, NewSource, SourceFormat, SourceView};
use crate::services::seal::{Seal, Secret};
use crate::services::{Context, Done, Error, IfMatch, Services, boot};
use crate::store::embedded::EmbeddedStore;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest file that a secret is read from, in bytes.
const MAX_SECRET_FILE: u64 = 4_096;

/// Create, list, rotate and disable the billing systems that deliver signed payment events
///
/// The same as `/v1/billing-sources` of a running server, which holds the folder: stop it before, or use that.
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
    /// File with the key that seals secrets [default: seal.key in the data folder]
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
    let in_use = "use `/v1/billing-sources` of the server that runs, or stop it";
    args.data.change(in_use, |store, context| act(args, (store, context), streams))
}

fn act(
    args: &Args,
    (store, context): (&Arc<EmbeddedStore>, &Context),
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let unreadable = |error: &dyn std::fmt::Display| Failure::Unreadable(error.to_string());
    let key = seal_key::load(args.seal_key.as_deref(), &args.data.path).map_err(|error| unreadable(&error))?;
    let services = boot::without_accounts(store.clone(), Ids::from_system()).with_seal(Seal::new(&key));
    let services = &services;
    let of = |secret_file: &Option<PathBuf>| secret_file.as_deref().map(read_secret).transpose();
    match &args.command {
        Command::Create { source, format, name, secret_file } => {
            let (format, name, secret) = ((*format).into(), name.clone(), of(secret_file)?);
            let new = NewSource { id: source.clone(), format, name, secret };
            tell(billing_sources::create(services, context, &new), "is created", streams)
        }
        Command::List => list(services, streams),
        Command::AddSecret { source, secret_file } => {
            let secret = of(secret_file)?;
            let done = billing_sources::add_secret(services, context, source, secret.as_ref());
            tell(done, "has another secret", streams)
        }
        Command::RemoveSecret { source, number } => {
            let context = &Context { if_match: Some(IfMatch::Any), ..context.clone() };
            tell(billing_sources::remove_secret(services, context, source, *number), "is without that secret", streams)
        }
        Command::Disable { source, reason } => {
            tell(billing_sources::disable(services, context, source, reason), "is disabled", streams)
        }
        Command::Enable { source, reason } => {
            tell(billing_sources::enable(services, context, source, reason), "is enabled", streams)
        }
    }
}

/// The secret, where there is a new one, stands alone on standard output.
fn tell(done: Result<Done<SourceView>, Error>, what: &str, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let SourceView { id, record, secret } = done.map_err(|error| refused(&error))?.value;
    let numbers: Vec<String> = record.secrets.iter().map(|secret| secret.number.to_string()).collect();
    writeln!(streams.err, "billing source `{id}` {what}; it delivers to /v1/hooks/billing/{id}")?;
    writeln!(streams.err, "secrets: {}", numbers.join(", "))?;
    if let Some(secret) = secret {
        writeln!(streams.err, "keep this, it is not told again:")?;
        writeln!(streams.out, "{}", secret.expose())?;
    }
    Ok(())
}

fn list(services: &Services, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["source", "format", "state", "secrets", "name"]);
    data::each(
        |paging| billing_sources::list(services, paging),
        |stored| {
            let SourceView { id, record, .. } = stored.value;
            let format = match record.format {
                SourceFormat::Generic => "generic",
                SourceFormat::Stripe => "stripe",
            };
            let state = if record.disabled.is_some() { "disabled" } else { "enabled" };
            let secrets: Vec<String> = record.secrets.iter().map(|secret| secret.number.to_string()).collect();
            table.add_row([id.as_str(), format, state, &secrets.join(", "), record.name.as_deref().unwrap_or("")]);
        },
    )?;
    writeln!(streams.out, "{}", table)?;
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
