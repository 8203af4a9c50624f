//! Who may call what: every operation with what it needs, and the guard that every request passes.
//!
//! Every operation needs what the table of [`operations`] says. As long as nobody made an operator or an API key there is nothing
//! that could meet that: then the setup token that the start printed makes the first of them.

mod operations;

use super::console;
use super::problem::{Code, Problem};
use super::request_id::RequestId;
use super::state::State;
use crate::domain::ids::AccountId;
use crate::domain::raise_request::Side;
use crate::engine::{Engine, Handle};
use crate::services::api_keys::Scope;
use crate::services::credentials::{ApiKey, Credential, Session};
use crate::services::operators::{Action, Role};
use crate::services::raise_requests::{Party, Sees};
use crate::services::{ActorKind, CONSOLE, SETUP, Services};
use actix_web::dev::ServiceRequest;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::{HttpMessage, HttpRequest};
use operations::Known;
use std::sync::Arc;

pub(crate) use operations::{Access, Reach, of_operation};

const NO_CREDENTIALS: &str = "there is no operator and no API key yet: make the first owner (`POST /v1/operators`) or a key with \
    the scope `admin` (`POST /v1/api-keys`) with the setup token that the server printed at its start, or use `quotagate \
    operator create` on its machine";
const BEARER: &str = "Bearer ";

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// Whoever has the setup token, as long as there is no operator and no key.
    Setup,
    /// Whoever owns the data folder, by the control socket: all rights.
    Console,
    Key(Arc<ApiKey>),
    Operator(Arc<Session>, Role),
}

impl Caller {
    pub(crate) fn actor(&self) -> &str {
        match self {
            Self::Setup => SETUP,
            Self::Console => CONSOLE,
            Self::Key(key) => &key.id,
            Self::Operator(session, _) => session.operator.as_str(),
        }
    }

    /// Whose idempotency keys are one name space: no operator's name is a key's id, `setup` or `console` here.
    pub(crate) fn name_space(&self) -> String {
        match self {
            Self::Setup | Self::Console | Self::Key(_) => self.actor().to_owned(),
            Self::Operator(session, _) => format!("operator:{}", session.operator),
        }
    }

    pub(crate) fn kind(&self) -> ActorKind {
        match self {
            Self::Setup | Self::Console => ActorKind::Console,
            Self::Key(_) => ActorKind::ApiKey,
            Self::Operator(..) => ActorKind::Operator,
        }
    }

    /// Whether an operator's role, or a key's scope `admin`, allows it.
    pub(crate) fn may(&self, action: Action) -> bool {
        match self {
            Self::Console => true,
            Self::Setup => action == Action::Grant,
            Self::Key(key) => key.has_any(&[Scope::Admin]),
            Self::Operator(_, role) => role.may(action),
        }
    }

    /// How far above a tier's quota it may go, in percent of it; None: as far as anybody.
    pub(crate) fn ceiling_percent(&self, services: &Services) -> Option<u32> {
        match self {
            Self::Operator(session, _) => services.keyring().ceiling_percent(&session.operator),
            Self::Setup | Self::Console | Self::Key(_) => None,
        }
    }

    /// The main account that it sees nothing beyond.
    fn bound_to(&self) -> Option<&AccountId> {
        match self {
            Self::Setup | Self::Console | Self::Operator(..) => None,
            Self::Key(key) => key.account.as_ref(),
        }
    }

    /// Who it is to raise requests: a bound key is its customer, and no key sees what reviewers say among themselves.
    pub(crate) fn party(&self) -> Party {
        const BOTH: &[Side] = &[Side::Requester, Side::Reviewer];
        const ASKS: &[Side] = &[Side::Requester];
        let (sides, sees) = match self {
            Self::Console => (BOTH, Sees::All),
            Self::Operator(_, role) if role.may(Action::Answer) => (BOTH, Sees::All),
            Self::Operator(_, role) if role.may(Action::Ask) => (ASKS, Sees::All),
            Self::Operator(..) => (&[][..], Sees::All),
            Self::Key(key) if key.account.is_some() && key.has_any(&[Scope::Raise]) => (ASKS, Sees::Shared),
            Self::Key(key) if key.account.is_some() => (&[][..], Sees::Shared),
            // Whoever files a request could have made the key: people answer.
            Self::Key(key) if key.has_any(&[Scope::Admin]) => (ASKS, Sees::NoNotes),
            Self::Setup | Self::Key(_) => (&[][..], Sees::NoNotes),
        };
        Party { account: self.bound_to().cloned(), sides, sees }
    }

    /// Whether it sees one account only: what is promised to others is none of its business.
    pub(crate) fn is_bound(&self) -> bool {
        self.bound_to().is_some()
    }

    /// Errors: 404, because the account is not the one that a bound key is for, nor a sub-account of it.
    pub(crate) fn must_reach(&self, engine: &Engine, account: &str) -> Result<(), Problem> {
        match self.bound_to() {
            None => Ok(()),
            Some(own) if own.as_str() == account => Ok(()),
            Some(own) if engine.main_of(account).is_some_and(|main| main == *own) => Ok(()),
            Some(_) => {
                let shown: String = account.chars().take(80).flat_map(char::escape_debug).collect();
                Err(Problem::new(Code::NotFound, format!("account `{shown}` does not exist")))
            }
        }
    }
}

/// What the guard knows of a request that it let in.
pub(crate) struct Passed {
    pub(crate) id: RequestId,
    /// None: nobody was asked for, or the path is no operation's.
    caller: Option<Caller>,
}

impl Passed {
    pub(crate) fn new(id: RequestId, caller: Option<Caller>) -> Self {
        Self { id, caller }
    }
}

/// Who asks.
///
/// Errors: the guard let it in without asking. INVARIANT: handlers that act for somebody fail then.
pub(crate) fn caller(request: &HttpRequest) -> Result<Caller, Problem> {
    let caller = request.extensions().get::<Passed>().and_then(|passed| passed.caller.clone());
    caller.ok_or_else(|| Problem::internal(&"a request reached its handler without passing the guard"))
}

/// Lets a request in, as its caller.
///
/// Errors: 401 without a valid credential, 403 where it does not suffice, 404 where a bound key asks for another account.
pub(crate) fn check(request: &ServiceRequest, state: &State) -> Result<Option<Caller>, Problem> {
    if console::came_by(request)? {
        return Ok(Some(Caller::Console));
    }
    let keyring = state.services.keyring();
    // The path as the router sees it, so that no other spelling of it gets past.
    let path = request.match_info().unprocessed();
    let access = Known::of_server().find(request.method(), path);
    if access == Some(Access::Open) || (access.is_none() && is_page(path)) {
        return Ok(None);
    }
    let secret = bearer(request.headers()).map_err(|problem| match keyring.is_empty() {
        true => Problem::new(Code::Unauthorized, NO_CREDENTIALS),
        false => problem,
    })?;
    let credential = keyring.authenticate(secret, state.clock.now_ms()).map_err(|error| {
        let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
        Problem::new(Code::Unauthorized, error.to_string()).with_header(header::WWW_AUTHENTICATE, challenge)
    })?;
    let Some(Access::Needs(scopes, reach, action)) = access else { return Ok(None) };
    let caller = match credential {
        Credential::Key(key) if key.has_any(scopes) => Caller::Key(key),
        Credential::Key(key) => return Err(lacking(&key, scopes)),
        Credential::Session(session, role) if role.may(action) => Caller::Operator(session, role),
        Credential::Session(_, role) => return Err(not_for(role, action)),
        Credential::Setup if action == Action::Grant => Caller::Setup,
        Credential::Setup => return Err(Problem::new(Code::Forbidden, NO_CREDENTIALS)),
    };
    must_be_bound(&caller, scopes, reach)?;
    within_reach(&caller, &state.engine, (path, reach))?;
    Ok(Some(caller))
}

/// Pages for people, which are the same for everybody.
fn is_page(path: &str) -> bool {
    let is_test_clock = cfg!(feature = "manual-clock") && path == "/test/clock";
    path == "/docs" || path.starts_with("/docs/") || is_test_clock
}

fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut given = headers.get_all(header::AUTHORIZATION);
    let refused = |detail: &str| Err(Problem::new(Code::Unauthorized, detail));
    match (given.next(), given.next()) {
        (None, _) => refused("send an API key, or the token of a login, as `Authorization: Bearer …`"),
        (Some(_), Some(_)) => refused("`Authorization` is there more than once: send one"),
        (Some(value), None) => {
            let text = value.to_str().unwrap_or_default();
            match text.split_at_checked(BEARER.len()) {
                Some((scheme, secret)) if scheme.eq_ignore_ascii_case(BEARER) => Ok(secret.trim_ascii()),
                _ => refused("`Authorization` is not of the form `Bearer …`"),
            }
        }
    }
}

fn lacking(key: &ApiKey, needed: &[Scope]) -> Problem {
    if needed.is_empty() {
        let detail = format!("this is for people who log in; `{}` is a key", key.id);
        return Problem::new(Code::Forbidden, detail);
    }
    let named = |scopes: &[Scope]| scopes.iter().map(|scope| format!("`{}`", scope.as_str())).collect::<Vec<_>>();
    let (needed, has) = (named(needed).join(" or "), named(key.scopes()).join(", "));
    Problem::new(Code::Forbidden, format!("this needs the scope {needed}; the key `{}` has {has}", key.id))
}

fn not_for(role: Role, action: Action) -> Problem {
    let roles: Vec<String> = action.roles().iter().map(|role| format!("`{}`", role.as_str())).collect();
    let detail = format!("this needs the role {}; you are `{}`", roles.join(" or "), role.as_str());
    Problem::new(Code::Forbidden, detail)
}

/// Errors: a key comes by the scope `raise`, which is for one account, and is bound to none.
fn must_be_bound(caller: &Caller, scopes: &[Scope], reach: Reach) -> Result<(), Problem> {
    let Caller::Key(key) = caller else { return Ok(()) };
    let others = scopes.iter().copied().filter(|scope| *scope != Scope::Raise);
    let others: Vec<Scope> = others.chain([Scope::Admin]).collect();
    if reach != Reach::Record || key.account.is_some() || key.has_any(&others) {
        return Ok(());
    }
    let detail = format!("by the scope `raise` a key acts for one account; the key `{}` is bound to none", key.id);
    Err(Problem::new(Code::Forbidden, detail))
}

fn within_reach(caller: &Caller, engine: &Engine, (path, reach): (&str, Reach)) -> Result<(), Problem> {
    let Some(own) = caller.bound_to() else { return Ok(()) };
    match reach {
        Reach::Account => caller.must_reach(engine, segment(path, "/v1/accounts/")),
        Reach::Reservation => match Handle::parse(segment(path, "/v1/reservations/")) {
            Ok(handle) if handle.main() == own => Ok(()),
            Ok(_) => Err(crate::engine::EndError::UnknownReservation.into()),
            Err(error) => Err(super::reservations::not_a_handle(&error)),
        },
        Reach::Record | Reach::Body | Reach::Common => Ok(()),
        Reach::All => {
            let detail = format!("this is about all accounts; the key `{}` is bound to `{own}`", caller.actor());
            Err(Problem::new(Code::Forbidden, detail))
        }
    }
}

/// The part of a path that follows `before`.
fn segment<'p>(path: &'p str, before: &str) -> &'p str {
    let rest = path.strip_prefix(before).unwrap_or_default();
    rest.split_once('/').map_or(rest, |(first, _)| first)
}
