//! Billing sources as the server that holds the folder has them, or the folder itself.

use crate::cli::Failure;
use crate::cli::data::{self, Reached, refused};
use crate::cli::server::{Ask, Server};
use crate::domain::ids::SourceId;
use crate::ids::Ids;
use crate::seal_key;
use crate::services::billing_sources::{self, NewSource, SourceFormat, SourceView};
use crate::services::seal::{Seal, Secret};
use crate::services::{Context, Done, Error, IfMatch, Services, boot};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;

const PATH: &str = "/v1/billing-sources";

pub(super) enum Sources<'a> {
    Server(&'a Server),
    Folder(Box<Services>, Context),
}

/// A source as it is shown. Not printable as a whole, because of its secret.
#[derive(Deserialize)]
pub(super) struct Source {
    pub(super) id: SourceId,
    pub(super) format: SourceFormat,
    pub(super) enabled: bool,
    secrets: Vec<Numbered>,
    pub(super) name: Option<String>,
    /// Where it was made just now.
    pub(super) secret: Option<String>,
}

/// A secret, by its number.
#[derive(Debug, Deserialize)]
struct Numbered {
    number: u32,
}

impl Source {
    /// Of its secrets.
    pub(super) fn numbers(&self) -> String {
        self.secrets.iter().map(|secret| secret.number.to_string()).collect::<Vec<_>>().join(", ")
    }
}

impl From<SourceView> for Source {
    fn from(SourceView { id, record, secret }: SourceView) -> Self {
        Self {
            id,
            format: record.format,
            enabled: record.disabled.is_none(),
            secrets: record.secrets.iter().map(|secret| Numbered { number: secret.number }).collect(),
            name: record.name,
            secret: secret.map(|secret| secret.expose().to_owned()),
        }
    }
}

fn shown(done: Result<Done<SourceView>, Error>) -> Result<Source, Failure> {
    Ok(done.map_err(|error| refused(&error))?.value.into())
}

impl<'a> Sources<'a> {
    /// The server has a seal key of its own; `seal_key` is for the folder.
    pub(super) fn of(reached: Reached<'a>, data: &Path, seal_key: Option<&Path>) -> Result<Self, Failure> {
        Ok(match reached {
            Reached::Server(server) => Self::Server(server),
            Reached::Folder(store, context) => {
                let key = seal_key::load(seal_key, data).map_err(|error| Failure::Unreadable(error.to_string()))?;
                let services = boot::without_accounts(store.clone(), Ids::from_system()).with_seal(Seal::new(&key));
                Self::Folder(Box::new(services), Context { if_match: Some(IfMatch::Any), ..context.clone() })
            }
        })
    }

    pub(super) fn create(&self, new: &NewSource) -> Result<Source, Failure> {
        match self {
            Self::Server(server) => {
                let mut body = json!({"id": new.id, "format": new.format, "name": new.name});
                if let Some(secret) = &new.secret {
                    body["secret"] = json!(secret.expose());
                }
                server.ask(Ask::post(PATH, body))
            }
            Self::Folder(services, context) => shown(billing_sources::create(services, context, new)),
        }
    }

    pub(super) fn each(&self, mut visit: impl FnMut(Source)) -> Result<(), Failure> {
        match self {
            Self::Server(server) => server.each(PATH, visit),
            Self::Folder(services, _) => {
                data::each(|paging| billing_sources::list(services, paging), |stored| visit(stored.value.into()))
            }
        }
    }

    pub(super) fn add_secret(&self, source: &SourceId, secret: Option<&Secret>) -> Result<Source, Failure> {
        match self {
            Self::Server(server) => {
                let body = secret.map_or_else(|| json!({}), |secret| json!({"secret": secret.expose()}));
                act(server, source, "secrets", body)
            }
            Self::Folder(services, context) => shown(billing_sources::add_secret(services, context, source, secret)),
        }
    }

    pub(super) fn remove_secret(&self, source: &SourceId, number: u32) -> Result<Source, Failure> {
        match self {
            Self::Server(server) => server.ask(Ask::delete(&format!("{PATH}/{source}/secrets/{number}"))),
            Self::Folder(services, context) => shown(billing_sources::remove_secret(services, context, source, number)),
        }
    }

    pub(super) fn disable(&self, source: &SourceId, reason: &str) -> Result<Source, Failure> {
        match self {
            Self::Server(server) => act(server, source, "disable", json!({"reason": reason})),
            Self::Folder(services, context) => shown(billing_sources::disable(services, context, source, reason)),
        }
    }

    pub(super) fn enable(&self, source: &SourceId, reason: &str) -> Result<Source, Failure> {
        match self {
            Self::Server(server) => act(server, source, "enable", json!({"reason": reason})),
            Self::Folder(services, context) => shown(billing_sources::enable(services, context, source, reason)),
        }
    }
}

fn act(server: &Server, source: &SourceId, word: &str, body: Value) -> Result<Source, Failure> {
    server.ask(Ask::post(&format!("{PATH}/{source}/{word}"), body))
}
