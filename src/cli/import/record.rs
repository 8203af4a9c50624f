//! A line as a record: the fields of the API's bodies, with the names that the API has in the path.

use crate::domain::ids::{AccountId, Currency, PaymentRef, PolicyId};
use crate::domain::ledger::PaymentKind;
use crate::domain::quantity::Amount;
use crate::http::body;
use crate::http::problem::Problem;
use crate::http::views::{NewAccountId, Reason, Time, ms};
use crate::services::accounts::{NewAccount, Past};
use crate::services::bulk::{Became, ImportedAccount, Importer, Kind};
use crate::services::payments::NewPayment;
use crate::services::{Error, FieldError};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
struct AccountLine {
    id: NewAccountId,
    #[serde(default)]
    parent: Option<AccountId>,
    #[serde(default)]
    tier: Option<PolicyId>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    created_at: Option<Time>,
    #[serde(default, deserialize_with = "body::object")]
    suspension: Option<Reason>,
}

impl From<AccountLine> for ImportedAccount {
    fn from(line: AccountLine) -> Self {
        let AccountLine { id: NewAccountId(id), parent, tier, name, labels, created_at, suspension } = line;
        Self {
            new: NewAccount { id, tier, name, labels: labels.unwrap_or_default() },
            parent,
            past: Past { created_at_ms: ms(created_at), suspended: suspension.map(|Reason { reason }| reason) },
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
struct PaymentLine {
    account: AccountId,
    kind: PaymentKind,
    event_id: PaymentRef,
    payment_id: PaymentRef,
    amount: Amount,
    #[serde(default)]
    currency: Option<Currency>,
    #[serde(default)]
    occurred_at: Option<Time>,
}

impl From<PaymentLine> for NewPayment {
    fn from(line: PaymentLine) -> Self {
        let PaymentLine { account, kind, event_id, payment_id, amount, currency, occurred_at } = line;
        let (amount, occurred_at_ms) = (amount.get(), ms(occurred_at));
        Self { account, kind, event_id, payment_id, amount, currency, occurred_at_ms }
    }
}

/// Why a record was not taken in.
pub(super) enum Refused {
    /// The line is bad.
    Line(Box<Problem>),
    /// Nothing can be taken in any more.
    All(Error),
}

/// Takes the record of a line in.
pub(super) fn take(kind: Kind, importer: &mut Importer, text: &str) -> Result<Became, Refused> {
    let bytes = text.as_bytes();
    let bad = |problem| Refused::Line(Box::new(problem));
    let done = match kind {
        Kind::Accounts => importer.account(&body::parse::<AccountLine>(bytes).map_err(bad)?.into()),
        Kind::Payments => importer.payment(&body::parse::<PaymentLine>(bytes).map_err(bad)?.into()),
    };
    done.map_err(|error| match error {
        Error::NotFound { .. } | Error::Conflict { .. } | Error::Invalid(_) | Error::TableFull { .. } => {
            bad(error.into())
        }
        fatal => Refused::All(fatal),
    })
}

/// Where in the line a problem is that names no field.
pub(super) fn pointer(kind: Kind, code: &str) -> &'static str {
    match (kind, code) {
        (Kind::Accounts, "account_exists") => "/id",
        (Kind::Accounts, "not_found" | "not_a_main_account" | "capacity") => "/parent",
        (Kind::Payments, "not_found" | "not_a_main_account") => "/account",
        (Kind::Payments, "event_conflict") => "/event_id",
        (Kind::Payments, "payment_conflict") => "/payment_id",
        _ => "",
    }
}

/// A line that cannot be read as text, in the words of the others.
pub(super) fn unreadable(what: String) -> Box<Problem> {
    Box::new(
        Error::Invalid(vec![FieldError { pointer: String::new(), code: "invalid_line".into(), detail: what }]).into(),
    )
}
