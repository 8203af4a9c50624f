//! Every operation with what it needs, and how a request finds its own.

use crate::services::api_keys::Scope;
use crate::services::operators::Action;
use actix_web::dev::ResourceDef;
use actix_web::http::Method;
use std::collections::HashMap;
use std::sync::LazyLock;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::PathItem;

/// What an operation needs, and what of it is for a key that is bound to an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// No credential.
    Open,
    /// A key with any of the scopes, or an operator whose role may. No scopes: it is not for keys.
    Needs(&'static [Scope], Reach, Action),
}

/// Where the account stands that an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// In the path, behind `/v1/accounts/`.
    Account,
    /// In the path, in a reservation's handle.
    Reservation,
    /// In a record that the path names, or a list is filtered by: the handler reads it and asks [`super::Caller::party`].
    /// The scope `raise` does not suffice for a key that is bound to no account.
    Record,
    /// In the body: the handler asks [`super::Caller::must_reach`] for each.
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
const GRANT: Access = admin(Action::Grant);
const OWN: Access = Access::Needs(&Scope::ALL, Reach::Common, Action::Own);
const APPROVE: Access = Access::Needs(&[], Reach::All, Action::Approve);
const READ_ALL: Access = Access::Needs(&[Scope::Read], Reach::All, Action::Read);
const READ_COMMON: Access = Access::Needs(&[Scope::Read], Reach::Common, Action::Read);
const READ_ACCOUNT: Access = Access::Needs(&[Scope::Read], Reach::Account, Action::Read);
const MONEY_OF_ACCOUNT: Access = Access::Needs(&[Scope::Read, Scope::Billing], Reach::Account, Action::Read);
const MONEY: Access = Access::Needs(&[Scope::Read, Scope::Billing], Reach::All, Action::Read);
const RECORD: Access = Access::Needs(&[Scope::Billing], Reach::All, Action::Money);
const DECIDE: Access = Access::Needs(&[Scope::Decide], Reach::Body, Action::Decide);
const RESERVATION: Access = Access::Needs(&[Scope::Decide], Reach::Reservation, Action::Decide);

const RAISES: Access = Access::Needs(&[Scope::Raise, Scope::Read], Reach::Record, Action::Read);
const ASK: Access = Access::Needs(&[Scope::Raise], Reach::Record, Action::Ask);
const ANSWER: Access = Access::Needs(&[], Reach::All, Action::Answer);

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
    ("getUsageHistory", READ_ACCOUNT),
    ("getUsageTop", READ_ALL),
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
    ("listApprovals", READ_ALL),
    ("getApproval", READ_ALL),
    ("approve", APPROVE),
    ("reject", APPROVE),
    ("createOverride", OVERRIDES),
    ("listOverrides", READ_ALL),
    ("getOverride", READ_ALL),
    ("revokeOverride", OVERRIDES),
    ("createClamp", CLAMPS),
    ("listClamps", READ_ALL),
    ("getClamp", READ_ALL),
    ("deleteClamp", CLAMPS),
    ("submitRaiseRequest", ASK),
    ("listRaiseRequests", RAISES),
    ("getRaiseRequest", RAISES),
    ("getRaiseRequestEvidence", RAISES),
    ("refreshRaiseRequestEvidence", ANSWER),
    ("assignRaiseRequest", ANSWER),
    ("requestRaiseRequestInfo", ANSWER),
    ("replyToRaiseRequest", ASK),
    ("counterOfferRaiseRequest", ANSWER),
    ("acceptCounterOffer", ASK),
    ("declineCounterOffer", ASK),
    ("approveRaiseRequest", ANSWER),
    ("denyRaiseRequest", ANSWER),
    ("withdrawRaiseRequest", ASK),
    ("addRaiseRequestNote", ANSWER),
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
    ("createApiKey", GRANT),
    ("listApiKeys", CREDENTIALS),
    ("getApiKey", CREDENTIALS),
    ("rotateApiKey", CREDENTIALS),
    ("revokeApiKey", CREDENTIALS),
    ("createOperator", GRANT),
    ("listOperators", CREDENTIALS),
    ("getOperator", CREDENTIALS),
    ("updateOperator", CREDENTIALS),
    ("removeOperator", CREDENTIALS),
    ("listSecurityLog", CREDENTIALS),
    ("createBackup", CREDENTIALS),
    ("listBackups", CREDENTIALS),
    // It is how one gets a credential.
    ("login", Access::Open),
    ("logout", OWN),
    ("listSessions", OWN),
    ("endSession", OWN),
    ("listOperatorSessions", CREDENTIALS),
    ("endOperatorSession", CREDENTIALS),
    ("changePassword", OWN),
    ("getMe", OWN),
];

/// What an operation needs; one that nobody thought of needs the most.
pub(crate) fn of_operation(id: &str) -> Access {
    OPERATIONS.iter().find(|(known, _)| *known == id).map_or(CREDENTIALS, |(_, access)| *access)
}

/// What is needed, by method and path.
pub(super) struct Known {
    /// Paths without parameters, decisions among them: found without trying one after the other.
    fixed: HashMap<String, Vec<(Method, Access)>>,
    others: Vec<(ResourceDef, Vec<(Method, Access)>)>,
}

impl Known {
    pub(super) fn of_server() -> &'static Self {
        static KNOWN: LazyLock<Known> = LazyLock::new(|| Known::of(&crate::http::openapi::document()));
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
    pub(super) fn find(&self, method: &Method, path: &str) -> Option<Access> {
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
        let document = crate::http::openapi::document();
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
