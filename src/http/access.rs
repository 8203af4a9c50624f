//! Who may call what: every operation with what it needs, and the guard that every request passes.
//!
//! As long as nobody made an operator or an API key everything is open to whoever reaches the loopback address, as the actor `loopback`.
//! From the first on every operation needs what [`OPERATIONS`] says.

use super::problem::{Code, Problem};
use super::request_id::RequestId;
use super::state::State;
use crate::domain::ids::AccountId;
use crate::engine::{Engine, Handle};
use crate::services::ActorKind;
use crate::services::api_keys::Scope;
use crate::services::credentials::{ApiKey, Credential, Session};
use crate::services::operators::{Action, Role};
use actix_web::dev::{ResourceDef, ServiceRequest};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::{HttpMessage, HttpRequest};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::PathItem;

/// The actor of requests while there are no credentials.
const LOOPBACK: &str = "loopback";
const BEARER: &str = "Bearer ";

/// What an operation needs, and what of it is for a key that is bound to an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// No credential.
    Open,
    /// A key with any of the scopes, or an operator whose role may.
    Needs(&'static [Scope], Reach, Action),
}

/// Where the account stands that an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// In the path, behind `/v1/accounts/`.
    Account,
    /// In the path, in a reservation's handle.
    Reservation,
    /// In the body: the handler asks [`must_reach`] for each.
    Body,
    /// Nowhere: it tells everybody the same.
    Common,
    /// Nowhere: it is about all accounts, so not for bound keys.
    All,
}

const fn admin(action: Action) -> Access {
    Access::Needs(&[Scope::Admin], Reach::All, action)
}

const ACCOUNTS: Access = admin(Action::Accounts);
const CLAMPS: Access = admin(Action::Clamps);
const OVERRIDES: Access = admin(Action::Overrides);
const POLICIES: Access = admin(Action::Policies);
const SOURCES: Access = admin(Action::Money);
const CREDENTIALS: Access = admin(Action::Credentials);
const OWN: Access = Access::Needs(&Scope::ALL, Reach::Common, Action::Own);
const READ_ALL: Access = Access::Needs(&[Scope::Read], Reach::All, Action::Read);
const READ_COMMON: Access = Access::Needs(&[Scope::Read], Reach::Common, Action::Read);
const READ_ACCOUNT: Access = Access::Needs(&[Scope::Read], Reach::Account, Action::Read);
const MONEY_OF_ACCOUNT: Access = Access::Needs(&[Scope::Read, Scope::Billing], Reach::Account, Action::Read);
const MONEY: Access = Access::Needs(&[Scope::Read, Scope::Billing], Reach::All, Action::Read);
const RECORD: Access = Access::Needs(&[Scope::Billing], Reach::All, Action::Money);
const DECIDE: Access = Access::Needs(&[Scope::Decide], Reach::Body, Action::Decide);
const RESERVATION: Access = Access::Needs(&[Scope::Decide], Reach::Reservation, Action::Decide);

/// Every operation, by its id. `admin` has every scope.
const OPERATIONS: &[(&str, Access)] = &[
    ("decide", DECIDE),
    ("decideBatch", DECIDE),
    ("getReservation", RESERVATION),
    ("settleReservation", RESERVATION),
    ("cancelReservation", RESERVATION),
    ("renewReservation", RESERVATION),
    ("getHealth", Access::Open),
    ("getReadiness", Access::Open),
    ("getOpenApi", Access::Open),
    ("getMetrics", READ_ALL),
    ("createAccount", ACCOUNTS),
    ("listAccounts", READ_ALL),
    ("getAccount", READ_ACCOUNT),
    ("updateAccount", ACCOUNTS),
    ("suspendAccount", ACCOUNTS),
    ("resumeAccount", ACCOUNTS),
    ("createSubAccount", ACCOUNTS),
    ("listSubAccounts", READ_ACCOUNT),
    ("getCaps", READ_ACCOUNT),
    ("replaceCaps", ACCOUNTS),
    ("getAccountTier", READ_ACCOUNT),
    ("pinAccountTier", OVERRIDES),
    ("unpinAccountTier", OVERRIDES),
    ("getAccountLimits", READ_ACCOUNT),
    ("getAccountUsage", READ_ACCOUNT),
    ("resetAccountUsage", OVERRIDES),
    ("recordTopUp", RECORD),
    ("recordRefund", RECORD),
    ("listLedger", MONEY_OF_ACCOUNT),
    ("getLedgerEntry", MONEY_OF_ACCOUNT),
    ("getTierEligibility", MONEY_OF_ACCOUNT),
    ("getLedgerDigest", MONEY),
    ("reconcileLedger", MONEY),
    // Signed instead.
    ("deliverBillingEvents", Access::Open),
    ("createBillingSource", SOURCES),
    ("listBillingSources", READ_ALL),
    ("getBillingSource", READ_ALL),
    ("addBillingSecret", SOURCES),
    ("removeBillingSecret", SOURCES),
    ("disableBillingSource", SOURCES),
    ("enableBillingSource", SOURCES),
    ("createOverride", OVERRIDES),
    ("listOverrides", READ_ALL),
    ("getOverride", READ_ALL),
    ("revokeOverride", OVERRIDES),
    ("createClamp", CLAMPS),
    ("listClamps", READ_ALL),
    ("getClamp", READ_ALL),
    ("deleteClamp", CLAMPS),
    ("publishPolicy", POLICIES),
    ("listRevisions", READ_ALL),
    ("getRevision", READ_ALL),
    ("activateRevision", POLICIES),
    ("getActiveRevision", READ_COMMON),
    ("listActivations", READ_ALL),
    ("listTiers", READ_COMMON),
    ("setTierQuota", POLICIES),
    ("listAudit", READ_ALL),
    ("getAuditHead", READ_ALL),
    ("verifyAudit", READ_ALL),
    ("createApiKey", CREDENTIALS),
    ("listApiKeys", CREDENTIALS),
    ("getApiKey", CREDENTIALS),
    ("rotateApiKey", CREDENTIALS),
    ("revokeApiKey", CREDENTIALS),
    ("createOperator", CREDENTIALS),
    ("listOperators", CREDENTIALS),
    ("getOperator", CREDENTIALS),
    ("updateOperator", CREDENTIALS),
    ("removeOperator", CREDENTIALS),
    ("listSecurityLog", CREDENTIALS),
    // It is how one gets a credential.
    ("login", Access::Open),
    ("logout", OWN),
    ("getMe", OWN),
];

/// What an operation needs; one that nobody thought of needs the most.
pub(crate) fn of_operation(id: &str) -> Access {
    OPERATIONS.iter().find(|(known, _)| *known == id).map_or(CREDENTIALS, |(_, access)| *access)
}

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// Whoever reaches the loopback address, as long as there are no credentials.
    Loopback,
    Key(Arc<ApiKey>),
    Operator(Arc<Session>, Role),
}

impl Caller {
    pub(crate) fn actor(&self) -> &str {
        match self {
            Self::Loopback => LOOPBACK,
            Self::Key(key) => &key.id,
            Self::Operator(session, _) => session.operator.as_str(),
        }
    }

    /// Whose idempotency keys are one name space: no operator's name is a key's id or `loopback` here.
    pub(crate) fn name_space(&self) -> String {
        match self {
            Self::Loopback | Self::Key(_) => self.actor().to_owned(),
            Self::Operator(session, _) => format!("operator:{}", session.operator),
        }
    }

    pub(crate) fn kind(&self) -> ActorKind {
        match self {
            Self::Loopback => ActorKind::Console,
            Self::Key(_) => ActorKind::ApiKey,
            Self::Operator(..) => ActorKind::Operator,
        }
    }

    /// The main account that it sees nothing beyond.
    fn bound_to(&self) -> Option<&AccountId> {
        match self {
            Self::Loopback | Self::Operator(..) => None,
            Self::Key(key) => key.account.as_ref(),
        }
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
    let keyring = state.services.keyring();
    if keyring.is_empty() {
        return Ok(Some(Caller::Loopback));
    }
    // The path as the router sees it, so that no other spelling of it gets past.
    let path = request.match_info().unprocessed();
    let access = Known::of_server().find(request.method(), path);
    if access == Some(Access::Open) || (access.is_none() && is_page(path)) {
        return Ok(None);
    }
    let secret = bearer(request.headers())?;
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
    };
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
    let named = |scopes: &[Scope]| scopes.iter().map(|scope| format!("`{}`", scope.as_str())).collect::<Vec<_>>();
    let (needed, has) = (named(needed).join(" or "), named(key.scopes()).join(", "));
    Problem::new(Code::Forbidden, format!("this needs the scope {needed}; the key `{}` has {has}", key.id))
}

fn not_for(role: Role, action: Action) -> Problem {
    let roles: Vec<String> = action.roles().iter().map(|role| format!("`{}`", role.as_str())).collect();
    let detail = format!("this needs the role {}; you are `{}`", roles.join(" or "), role.as_str());
    Problem::new(Code::Forbidden, detail)
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
        Reach::Body | Reach::Common => Ok(()),
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

/// What is needed, by method and path.
struct Known {
    /// Paths without parameters, decisions among them: found without trying one after the other.
    fixed: HashMap<String, Vec<(Method, Access)>>,
    others: Vec<(ResourceDef, Vec<(Method, Access)>)>,
}

impl Known {
    fn of_server() -> &'static Self {
        static KNOWN: LazyLock<Known> = LazyLock::new(|| Known::of(&super::openapi::document()));
        &KNOWN
    }

    fn of(document: &OpenApi) -> Self {
        let mut known = Self { fixed: HashMap::new(), others: Vec::new() };
        for (path, item) in &document.paths.paths {
            let needs = needs(item);
            match path.contains('{') {
                false => _ = known.fixed.insert(path.clone(), needs),
                true => known.others.push((ResourceDef::new(path.as_str()), needs)),
            }
        }
        // The only ones on the decision path.
        known.others.sort_by_key(|(path, _)| !path.pattern().unwrap_or_default().starts_with("/v1/reservations/"));
        known
    }

    /// None: no operation.
    fn find(&self, method: &Method, path: &str) -> Option<Access> {
        let of =
            |needs: &[(Method, Access)]| needs.iter().find(|(known, _)| known == method).map(|(_, access)| *access);
        match self.fixed.get(path) {
            Some(needs) => of(needs),
            None => self.others.iter().filter(|(known, _)| known.is_match(path)).find_map(|(_, needs)| of(needs)),
        }
    }
}

fn needs(item: &PathItem) -> Vec<(Method, Access)> {
    let methods = [
        (Method::GET, &item.get),
        (Method::PUT, &item.put),
        (Method::POST, &item.post),
        (Method::DELETE, &item.delete),
        (Method::PATCH, &item.patch),
    ];
    let access = |id: &Option<String>| of_operation(id.as_deref().unwrap_or_default());
    methods.into_iter().filter_map(|(method, found)| Some((method, access(&found.as_ref()?.operation_id)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_operation_says_who_may_call_it_and_nothing_else_does() {
        let document = super::super::openapi::document();
        let items = document.paths.paths.values();
        let operations = items.flat_map(|item| [&item.get, &item.put, &item.post, &item.delete, &item.patch]);
        let registered: BTreeSet<&str> =
            operations.flatten().filter_map(|operation| operation.operation_id.as_deref()).collect();

        let declared: BTreeSet<&str> = OPERATIONS.iter().map(|(id, _)| *id).collect();

        assert_eq!(declared, registered);
        assert_eq!(declared.len(), OPERATIONS.len());
    }

    #[test]
    fn what_the_router_takes_is_found_by_the_guard() {
        let known = Known::of_server();

        assert_eq!(known.find(&Method::POST, "/v1/decisions"), Some(DECIDE));
        assert_eq!(known.find(&Method::POST, "/v1/accounts/a/usage/reset"), Some(OVERRIDES));
        assert_eq!(known.find(&Method::GET, "/v1/accounts/a"), Some(READ_ACCOUNT));
        assert_eq!(known.find(&Method::PUT, "/v1/accounts/a"), None);
        assert_eq!(known.find(&Method::GET, "/v1/nowhere"), None);
    }
}
