//! Operators as the server that holds the folder has them, or the folder itself.

use crate::cli::Failure;
use crate::cli::data::{self, Reached, refused};
use crate::cli::server::{Ask, Server, segment};
use crate::domain::ids::OperatorName;
use crate::ids::Ids;
use crate::services::operators::{self, NewOperator, OperatorPatch, OperatorView, Role};
use crate::services::seal::Secret;
use crate::services::{Context, IfMatch, Services, boot};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

const PATH: &str = "/v1/operators";

pub(super) enum Operators<'a> {
    Server(&'a Server),
    Folder(Box<Services>, Context),
}

/// An operator as it is shown.
#[derive(Debug, Deserialize)]
pub(super) struct Operator {
    pub(super) name: OperatorName,
    pub(super) role: Role,
    pub(super) by: String,
}

impl From<OperatorView> for Operator {
    fn from(OperatorView { name, role, by, .. }: OperatorView) -> Self {
        Self { name, role, by }
    }
}

impl<'a> Operators<'a> {
    pub(super) fn of(reached: Reached<'a>) -> Self {
        match reached {
            Reached::Server(server) => Self::Server(server),
            Reached::Folder(store, context) => {
                let services = boot::without_accounts(store.clone(), Ids::from_system());
                Self::Folder(Box::new(services), Context { if_match: Some(IfMatch::Any), ..context.clone() })
            }
        }
    }

    pub(super) fn create(&self, new: &NewOperator) -> Result<(), Failure> {
        match self {
            Self::Server(server) => {
                let NewOperator { name, role, ceiling_percent, password } = new;
                let password = password.expose();
                let body =
                    json!({"name": name, "role": role, "ceiling_percent": ceiling_percent, "password": password});
                server.ask(Ask::post(PATH, body)).map(|IgnoredAny| ())
            }
            Self::Folder(services, context) => {
                let done = operators::create(services, context, new);
                done.map(|_| ()).map_err(|error| refused(&error))
            }
        }
    }

    pub(super) fn each(&self, mut visit: impl FnMut(Operator)) -> Result<(), Failure> {
        match self {
            Self::Server(server) => server.each(PATH, visit),
            Self::Folder(services, _) => {
                data::each(|paging| operators::list(services, paging), |stored| visit(stored.value.into()))
            }
        }
    }

    pub(super) fn set_password(&self, name: &OperatorName, password: Secret) -> Result<(), Failure> {
        match self {
            Self::Server(server) => {
                let body = json!({"password": password.expose()});
                server.ask(Ask::patch(&of(name), body)).map(|IgnoredAny| ())
            }
            Self::Folder(services, context) => {
                let patch = OperatorPatch { password: Some(password), ..OperatorPatch::default() };
                operators::patch(services, context, name, &patch).map(|_| ()).map_err(|error| refused(&error))
            }
        }
    }

    pub(super) fn remove(&self, name: &OperatorName) -> Result<(), Failure> {
        match self {
            Self::Server(server) => server.ask(Ask::delete(&of(name))).map(|IgnoredAny| ()),
            Self::Folder(services, context) => {
                operators::remove(services, context, name).map(|_| ()).map_err(|error| refused(&error))
            }
        }
    }
}

fn of(name: &OperatorName) -> String {
    format!("{PATH}/{}", segment(name.as_str()))
}
