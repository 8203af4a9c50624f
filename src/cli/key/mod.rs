//! `quotagate key`: API keys, by the server that holds the folder or on the folder itself.

mod keys;

use super::data::DataFolder;
use super::{Failure, Streams};
use crate::clock;
use crate::domain::ids::AccountId;
use crate::policy::{duration_ms, duration_text};
use crate::services::api_keys::{NewKey, Scope};
use clap::builder::NonEmptyStringValueParser;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use jiff::Timestamp;
use keys::{Key, Keys};

/// Create, list, rotate and revoke API keys
///
/// With a server running on the folder it asks that server, over the `control.sock` in the folder, and what it changes
/// holds from the next request on; else it works on the folder itself. Whoever owns the machine gets in again this way
/// after the last key was lost or revoked.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A secret is printed once, alone, to standard output; its SHA-256 is kept. Where there is no operator the first
key has the scope `admin`.

Examples:
  quotagate key create --scope admin --name automation > admin.key
  quotagate key create --scope decide --name gateway > gateway.key
  quotagate key create --scope decide --scope read --account acme --expires 2027-01-31T00:00:00Z > acme.key
  quotagate key list
  quotagate key rotate key_01m8695z4m2vegbk4pv3pxynbs --overlap 24h > next.key
  quotagate key revoke key_01m8695z4m2vegbk4pv3pxynbs --reason 'leaked'")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    data: DataFolder,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Create a key; prints its secret
    Create {
        /// What it may do; give it several times for several
        #[arg(long = "scope", value_enum, required = true)]
        scopes: Vec<KeyScope>,
        #[arg(long)]
        name: Option<String>,
        /// Bind it to this main account
        #[arg(long, value_parser = account_id)]
        account: Option<AccountId>,
        /// When it ends, such as 2027-01-31T00:00:00Z
        #[arg(long, value_name = "TIME")]
        expires: Option<Timestamp>,
    },
    /// List the keys, without their secrets
    List,
    /// Make another secret for a key; prints it
    Rotate {
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        key: String,
        /// How long the present secret goes on being taken, such as 24h or 7d, at most 30d; 0s: it is refused at once
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = overlap)]
        overlap: i64,
    },
    /// Refuse a key from now on
    Revoke {
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        key: String,
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum KeyScope {
    Decide,
    Billing,
    Read,
    Raise,
    Admin,
}

impl From<KeyScope> for Scope {
    fn from(scope: KeyScope) -> Self {
        match scope {
            KeyScope::Decide => Self::Decide,
            KeyScope::Billing => Self::Billing,
            KeyScope::Read => Self::Read,
            KeyScope::Raise => Self::Raise,
            KeyScope::Admin => Self::Admin,
        }
    }
}

fn account_id(text: &str) -> Result<AccountId, String> {
    AccountId::parse(text).map_err(|error| error.to_string())
}

fn overlap(text: &str) -> Result<i64, String> {
    duration_ms(text).ok_or_else(|| "write an integer and a unit: ms, s, m, h or d".to_owned())
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let in_use = "`/v1/api-keys` of that server does the same";
    args.data.change(in_use, |reached| act(args, &Keys::of(reached)?, streams))
}

fn act(args: &Args, keys: &Keys<'_>, streams: &mut Streams<'_>) -> Result<(), Failure> {
    match &args.command {
        Command::Create { scopes, name, account, expires } => {
            let made = keys.create(&NewKey {
                name: name.clone(),
                scopes: scopes.iter().copied().map(Scope::from).collect(),
                account: account.clone(),
                expires_at_ms: expires.map(Timestamp::as_millisecond),
            })?;
            tell(&made, "is created", streams)
        }
        Command::List => list(keys, streams),
        Command::Rotate { key, overlap } => {
            let made = keys.rotate(key, *overlap)?;
            let before = match made.previous_until {
                Some(until) => format!("the one before is taken for {}, until {until:.0}", duration_text(*overlap)),
                None => "the one before is refused from now on".to_owned(),
            };
            tell(&made, &format!("has another secret, {before}"), streams)
        }
        Command::Revoke { key, reason } => {
            keys.revoke(key, reason)?;
            Ok(writeln!(streams.err, "API key `{key}` is revoked")?)
        }
    }
}

/// The secret stands alone on standard output.
fn tell(key: &Key, what: &str, streams: &mut Streams<'_>) -> Result<(), Failure> {
    writeln!(streams.err, "API key `{}` {what}; keep its secret, it is not told again:", key.id)?;
    if let Some(secret) = &key.secret {
        writeln!(streams.out, "{secret}")?;
    }
    Ok(())
}

fn list(keys: &Keys<'_>, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["key", "scopes", "account", "state", "last used", "name"]);
    let now_ms = clock::wall_ms();
    keys.each(|key| {
        let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
        let state = match key.expires {
            _ if key.is_revoked() => "revoked".to_owned(),
            Some(end) if end.as_millisecond() <= now_ms => "expired".to_owned(),
            Some(end) => format!("until {end:.0}"),
            None => "valid".to_owned(),
        };
        let used = key.last_used.map(|time| format!("{time:.0}")).unwrap_or_default();
        let (account, name) = (key.account.as_deref().unwrap_or(""), key.name.as_deref().unwrap_or(""));
        table.add_row([&*key.id, &scopes.join(", "), account, &state, &used, name]);
    })?;
    writeln!(streams.out, "{table}")?;
    Ok(())
}
