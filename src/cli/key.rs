//! `quotagate key`: API keys, where no server runs.

use super::data::{self, DataFolder, refused};
use super::{Failure, Streams};
use crate::domain::ids::AccountId;
use crate::ids::Ids;
use crate::services::api_keys::{self, KeyView, NewKey, Scope};
use crate::services::{Context, Services, boot};
use crate::store::embedded::EmbeddedStore;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use jiff::Timestamp;
use std::sync::Arc;

/// Create, list and revoke API keys
///
/// The same as `/v1/api-keys` of a running server, which holds the folder: stop it before, or use that. Whoever owns the
/// machine gets in again this way after the last key was lost or revoked.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A secret is printed once, alone, to standard output; its SHA-256 is kept. Where there is no operator the first
key has the scope `admin`.

Examples:
  quotagate key create --scope admin --name automation > admin.key
  quotagate key create --scope decide --name gateway > gateway.key
  quotagate key create --scope decide --scope read --account acme --expires 2027-01-31T00:00:00Z > acme.key
  quotagate key list
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
    /// Refuse a key from now on
    Revoke {
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

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let in_use = "use `/v1/api-keys` of the server that runs, or stop it";
    args.data.change(in_use, |store, context| act(args, (store, context), streams))
}

fn act(
    args: &Args,
    (store, context): (&Arc<EmbeddedStore>, &Context),
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let unreadable = |error: &dyn std::fmt::Display| Failure::Unreadable(error.to_string());
    let keyring = boot::keyring(&**store).map_err(|error| unreadable(&error))?;
    let services = &boot::without_accounts(store.clone(), Ids::from_system()).with_keyring(keyring);
    match &args.command {
        Command::Create { scopes, name, account, expires } => {
            let new = NewKey {
                name: name.clone(),
                scopes: scopes.iter().copied().map(Scope::from).collect(),
                account: account.clone(),
                expires_at_ms: expires.map(Timestamp::as_millisecond),
            };
            let done = api_keys::create(services, context, &new).map_err(|error| refused(&error))?;
            let KeyView { id, secret, .. } = done.value;
            writeln!(streams.err, "API key `{id}` is created; keep its secret, it is not told again:")?;
            if let Some(secret) = secret {
                writeln!(streams.out, "{}", secret.expose())?;
            }
            Ok(())
        }
        Command::List => list(services, context.now, streams),
        Command::Revoke { key, reason } => {
            api_keys::revoke(services, context, key, reason).map_err(|error| refused(&error))?;
            Ok(writeln!(streams.err, "API key `{key}` is revoked")?)
        }
    }
}

fn list(services: &Services, now: i64, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["key", "scopes", "account", "state", "last used", "name"]);
    data::each(
        |paging| api_keys::list(services, paging),
        |stored| {
            let KeyView { id, record, last_used_ms, .. } = stored.value;
            let scopes: Vec<&str> = record.scopes.iter().map(|scope| scope.as_str()).collect();
            let state = match record.expires_at_ms {
                _ if record.revoked.is_some() => "revoked".to_owned(),
                Some(end) if end <= now => "expired".to_owned(),
                Some(end) => format!("until {}", shown(end)),
                None => "valid".to_owned(),
            };
            let account = record.account.as_ref().map_or("", AccountId::as_str);
            let used = last_used_ms.map(shown).unwrap_or_default();
            let name = record.name.as_deref().unwrap_or("");
            table.add_row([id.as_str(), &scopes.join(", "), account, &state, &used, name]);
        },
    )?;
    writeln!(streams.out, "{table}")?;
    Ok(())
}

fn shown(at_ms: i64) -> String {
    Timestamp::from_millisecond(at_ms).map_or_else(|_| at_ms.to_string(), |time| format!("{time:.0}"))
}
