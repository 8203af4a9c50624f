//! Keys as the server that holds the folder has them, or the folder itself.

use crate::cli::Failure;
use crate::cli::data::{self, Reached, refused};
use crate::cli::server::{Ask, Server, segment};
use crate::ids::Ids;
use crate::services::api_keys::{self, KeyView, NewKey, Scope};
use crate::services::{Context, Services, boot};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

const PATH: &str = "/v1/api-keys";

pub(super) enum Keys<'a> {
    Server(&'a Server),
    Folder(Box<Services>, &'a Context),
}

/// A key as it is shown. Not printable as a whole, because of its secret.
#[derive(Deserialize)]
pub(super) struct Key {
    pub(super) id: String,
    pub(super) scopes: Vec<Scope>,
    pub(super) account: Option<String>,
    #[serde(rename = "expires_at")]
    pub(super) expires: Option<Timestamp>,
    #[serde(rename = "last_used_at")]
    pub(super) last_used: Option<Timestamp>,
    /// Of the secret before the last one.
    pub(super) previous_until: Option<Timestamp>,
    revoked: Option<Value>,
    pub(super) name: Option<String>,
    /// Where it was made just now.
    pub(super) secret: Option<String>,
}

impl Key {
    pub(super) fn is_revoked(&self) -> bool {
        self.revoked.is_some()
    }
}

impl From<KeyView> for Key {
    fn from(KeyView { id, record, last_used_ms, secret }: KeyView) -> Self {
        let time = |at_ms: i64| Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::MAX);
        Self {
            id: id.into(),
            scopes: record.scopes,
            account: record.account.map(|account| account.as_str().to_owned()),
            expires: record.expires_at_ms.map(time),
            last_used: last_used_ms.map(time),
            previous_until: record.previous.map(|previous| time(previous.until_ms)),
            revoked: record.revoked.map(|act| json!(act.reason)),
            name: record.name,
            secret: secret.map(|secret| secret.expose().to_owned()),
        }
    }
}

impl<'a> Keys<'a> {
    pub(super) fn of(reached: Reached<'a>) -> Result<Self, Failure> {
        Ok(match reached {
            Reached::Server(server) => Self::Server(server),
            Reached::Folder(store, context) => {
                let keyring =
                    boot::keyring(&**store, context.now).map_err(|error| Failure::Unreadable(error.to_string()))?;
                let services = boot::without_accounts(store.clone(), Ids::from_system()).with_keyring(keyring);
                Self::Folder(Box::new(services), context)
            }
        })
    }

    pub(super) fn create(&self, new: &NewKey) -> Result<Key, Failure> {
        match self {
            Self::Server(server) => {
                let mut body = json!({"scopes": new.scopes, "name": new.name, "account": new.account});
                if let Some(end) = new.expires_at_ms {
                    body["expires_at"] = json!(Timestamp::from_millisecond(end).unwrap_or(Timestamp::MAX));
                }
                server.ask(Ask::post(PATH, body))
            }
            Self::Folder(services, context) => {
                Ok(api_keys::create(services, context, new).map_err(|error| refused(&error))?.value.into())
            }
        }
    }

    pub(super) fn each(&self, mut visit: impl FnMut(Key)) -> Result<(), Failure> {
        match self {
            Self::Server(server) => server.each(PATH, visit),
            Self::Folder(services, _) => {
                data::each(|paging| api_keys::list(services, paging), |stored| visit(stored.value.into()))
            }
        }
    }

    pub(super) fn rotate(&self, id: &str, overlap_ms: i64) -> Result<Key, Failure> {
        match self {
            Self::Server(server) => {
                let path = format!("{PATH}/{}/rotate", segment(id));
                server.ask(Ask::post(&path, json!({"overlap_ms": overlap_ms})))
            }
            Self::Folder(services, context) => {
                let done = api_keys::rotate(services, context, id, overlap_ms);
                Ok(done.map_err(|error| refused(&error))?.value.into())
            }
        }
    }

    pub(super) fn revoke(&self, id: &str, reason: &str) -> Result<Key, Failure> {
        match self {
            Self::Server(server) => {
                let path = format!("{PATH}/{}/revoke", segment(id));
                server.ask(Ask::post(&path, json!({"reason": reason})))
            }
            Self::Folder(services, context) => {
                let done = api_keys::revoke(services, context, id, reason);
                Ok(done.map_err(|error| refused(&error))?.value.into())
            }
        }
    }
}
