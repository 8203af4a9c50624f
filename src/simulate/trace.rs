//! One line of a trace, read strictly: an unknown, missing, doubled or ill-typed field is an error.

use super::fields::{Pairs, given, given_object, given_text, nullable};
use super::plain_decide;
use crate::domain::ids::{AccountId, Currency, PaymentRef, PolicyId, ReservationId};
use crate::domain::ledger::PaymentKind;
use crate::domain::quantity::{Amount, MAX_RESERVATION_TTL_MS, MAX_TIME_MS, Quota};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use std::borrow::Cow;

/// Why a line of a trace stops the run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadLine(pub String);

impl BadLine {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Event<'a> {
    pub at_ms: i64,
    pub op: Op<'a>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Op<'a> {
    Account(AccountOp),
    Pin { account: AccountId, tier: Option<PolicyId>, until_ms: Option<i64> },
    Override(OverrideOp),
    Clamp(ClampOp),
    Payment(PaymentOp),
    Policy { file: Cow<'a, str> },
    Decide(DecideOp<'a>),
    Settle { reservation: Cow<'a, str>, amounts: Spent },
    Cancel { reservation: Cow<'a, str> },
    Renew { reservation: Cow<'a, str>, ttl_ms: i64 },
    Status { account: Cow<'a, str>, resource: Cow<'a, str> },
}

#[derive(Debug, Clone, PartialEq)]
pub struct AccountOp {
    pub account: AccountId,
    pub tier: Option<PolicyId>,
    pub parent: Option<AccountId>,
    pub suspended: Option<bool>,
    pub caps: Option<Vec<(String, Quota)>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct OverrideOp {
    pub account: AccountId,
    pub group: PolicyId,
    pub limit: PolicyId,
    /// None removes.
    pub quota: Option<Quota>,
    pub starts_at_ms: Option<i64>,
    pub expires_at_ms: Option<i64>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ClampOp {
    pub group: PolicyId,
    pub limit: PolicyId,
    pub account: Option<AccountId>,
    pub tier: Option<PolicyId>,
    /// None removes.
    pub quota: Option<Quota>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct PaymentOp {
    pub account: AccountId,
    pub kind: PaymentKind,
    pub event_id: PaymentRef,
    pub payment_id: PaymentRef,
    pub amount: u64,
    pub currency: Option<Currency>,
    pub occurred_at_ms: Option<i64>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct DecideOp<'a> {
    pub account: Cow<'a, str>,
    pub resource: Cow<'a, str>,
    pub requests: u64,
    pub tokens: u64,
    pub units: Vec<(PolicyId, u64)>,
    pub dry_run: bool,
    pub reserve: Option<ReserveOp>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReserveOp {
    #[serde(default, deserialize_with = "given")]
    pub id: Option<ReservationId>,
    #[serde(default, deserialize_with = "given")]
    pub ttl_ms: Option<Ms>,
}

/// Amounts named by a settle.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Spent {
    pub requests: Option<u64>,
    pub tokens: Option<u64>,
    pub units: Vec<(PolicyId, u64)>,
}

/// A time or a duration: whole milliseconds, 0 up to the year 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ms(pub i64);

impl<'de> Deserialize<'de> for Ms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match i64::deserialize(deserializer)? {
            ms @ 0..=MAX_TIME_MS => Ok(Self(ms)),
            ms => {
                Err(D::Error::custom(format_args!("`{ms}` is not a time: write milliseconds from 0 to {MAX_TIME_MS}")))
            }
        }
    }
}

macro_rules! line {
    ($($(#[$attr:meta])* $field:ident : $type:ty),* $(,)?) => {
        /// Every field that any op has; which of them an op takes is checked afterwards.
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, expecting = "an object")]
        struct Line<'a> {
            at_ms: Ms,
            #[serde(borrow)]
            op: Cow<'a, str>,
            $($(#[$attr])* $field: Option<$type>,)*
        }

        impl Line<'_> {
            /// The first field given that is not among `allowed`.
            fn stray(&self, allowed: &[&str]) -> Option<&'static str> {
                $(if self.$field.is_some() && !allowed.contains(&stringify!($field)) {
                    return Some(stringify!($field));
                })*
                None
            }
        }
    };
}

line! {
    #[serde(default, deserialize_with = "given_text", borrow)] account: Cow<'a, str>,
    #[serde(default, deserialize_with = "given_text", borrow)] resource: Cow<'a, str>,
    #[serde(default, deserialize_with = "given")] requests: Amount,
    #[serde(default, deserialize_with = "given")] tokens: Amount,
    #[serde(default, deserialize_with = "given")] units: Pairs<Amount>,
    #[serde(default, deserialize_with = "given")] dry_run: bool,
    #[serde(default, deserialize_with = "given_object")] reserve: ReserveOp,
    #[serde(default, deserialize_with = "given_text", borrow)] reservation: Cow<'a, str>,
    #[serde(default, deserialize_with = "given")] ttl_ms: Ms,
    #[serde(default, deserialize_with = "nullable")] tier: Option<PolicyId>,
    #[serde(default, deserialize_with = "given")] parent: AccountId,
    #[serde(default, deserialize_with = "given")] suspended: bool,
    #[serde(default, deserialize_with = "given")] caps: Pairs<Quota>,
    #[serde(default, deserialize_with = "given")] until_ms: Ms,
    #[serde(default, deserialize_with = "given")] group: PolicyId,
    #[serde(default, deserialize_with = "given")] limit: PolicyId,
    #[serde(default, deserialize_with = "nullable")] quota: Option<Quota>,
    #[serde(default, deserialize_with = "given")] starts_at_ms: Ms,
    #[serde(default, deserialize_with = "given")] expires_at_ms: Ms,
    #[serde(default, deserialize_with = "given")] event_id: PaymentRef,
    #[serde(default, deserialize_with = "given")] payment_id: PaymentRef,
    #[serde(default, deserialize_with = "given")] amount: Amount,
    #[serde(default, deserialize_with = "given")] currency: Currency,
    #[serde(default, deserialize_with = "given")] occurred_at_ms: Ms,
    #[serde(default, deserialize_with = "given_text", borrow)] file: Cow<'a, str>,
}

impl<'a> Event<'a> {
    /// Errors: what is wrong with the line on its own, without knowing what came before.
    pub fn parse(text: &'a str) -> Result<Self, BadLine> {
        if let Some(event) = plain_decide::parse(text) {
            return Ok(event);
        }
        if text.trim().is_empty() {
            return Err(BadLine::new("the line is blank"));
        }
        // serde would read a list as the fields in their order.
        if text.trim_start().starts_with('[') {
            return Err(BadLine::new("an event is an object, not a list"));
        }
        let mut line: Line<'a> = serde_json::from_str(text).map_err(|error| BadLine::new(explain(&error)))?;
        let at_ms = line.at_ms.0;
        let op = op(&mut line)?;
        Ok(Self { at_ms, op })
    }
}

/// serde_json counts lines from the text it was given, which is always one line here.
fn explain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let (what, _) = text.split_once(" at line ").unwrap_or((&text, ""));
    match error.classify() {
        serde_json::error::Category::Data => format!("{what} (column {})", error.column()),
        _ => format!("not JSON: {what} (column {})", error.column()),
    }
}

/// Takes what it needs out of a line, which is too large to be moved about.
fn op<'a>(line: &mut Line<'a>) -> Result<Op<'a>, BadLine> {
    let kind = line.op.clone();
    let allowed: &[&str] = match &*kind {
        "account" => &["account", "tier", "parent", "suspended", "caps"],
        "pin" => &["account", "tier", "until_ms"],
        "override" => &["account", "group", "limit", "quota", "starts_at_ms", "expires_at_ms"],
        "clamp" => &["group", "limit", "account", "tier", "quota"],
        "top_up" => &["account", "event_id", "payment_id", "amount", "currency", "occurred_at_ms"],
        "refund" | "chargeback" => &["account", "event_id", "payment_id", "amount", "occurred_at_ms"],
        "policy" => &["file"],
        "decide" => &["account", "resource", "requests", "tokens", "units", "dry_run", "reserve"],
        "settle" => &["reservation", "requests", "tokens", "units"],
        "cancel" => &["reservation"],
        "renew" => &["reservation", "ttl_ms"],
        "status" => &["account", "resource"],
        other => {
            return Err(BadLine::new(format!(
                "unknown op `{}`: it is one of account, pin, override, clamp, top_up, refund, chargeback, policy, \
                 decide, settle, cancel, renew, status",
                other.chars().take(40).flat_map(char::escape_debug).collect::<String>()
            )));
        }
    };
    if let Some(field) = line.stray(allowed) {
        return Err(BadLine::new(format!("`{kind}` has no field `{field}`; it takes {}", allowed.join(", "))));
    }
    Ok(match &*kind {
        "account" => Op::Account(account_op(line)?),
        "pin" => Op::Pin {
            account: account_id(line.account.take())?,
            tier: required(line.tier.take(), "tier")?,
            until_ms: line.until_ms.map(|Ms(ms)| ms),
        },
        "override" => Op::Override(OverrideOp {
            account: account_id(line.account.take())?,
            group: required(line.group.take(), "group")?,
            limit: required(line.limit.take(), "limit")?,
            quota: required(line.quota, "quota")?,
            starts_at_ms: line.starts_at_ms.map(|Ms(ms)| ms),
            expires_at_ms: line.expires_at_ms.map(|Ms(ms)| ms),
        }),
        "clamp" => Op::Clamp(clamp_op(line)?),
        "top_up" => Op::Payment(payment_op(line, PaymentKind::TopUp)?),
        "refund" => Op::Payment(payment_op(line, PaymentKind::Refund)?),
        "chargeback" => Op::Payment(payment_op(line, PaymentKind::Chargeback)?),
        "policy" => Op::Policy { file: required(line.file.take(), "file")? },
        "decide" => Op::Decide(decide_op(line)?),
        "settle" => Op::Settle {
            reservation: required(line.reservation.take(), "reservation")?,
            amounts: Spent {
                requests: line.requests.map(Amount::get),
                tokens: line.tokens.map(Amount::get),
                units: units(line.units.take())?,
            },
        },
        "cancel" => Op::Cancel { reservation: required(line.reservation.take(), "reservation")? },
        "renew" => Op::Renew {
            reservation: required(line.reservation.take(), "reservation")?,
            ttl_ms: required(line.ttl_ms, "ttl_ms")?.0,
        },
        _ => Op::Status {
            account: required(line.account.take(), "account")?,
            resource: required(line.resource.take(), "resource")?,
        },
    })
}

fn account_op(line: &mut Line<'_>) -> Result<AccountOp, BadLine> {
    Ok(AccountOp {
        account: account_id(line.account.take())?,
        tier: not_null(line.tier.take(), "tier")?,
        parent: line.parent.take(),
        suspended: line.suspended,
        caps: line.caps.take().map(|Pairs(caps)| caps),
    })
}

fn clamp_op(line: &mut Line<'_>) -> Result<ClampOp, BadLine> {
    let clamp = ClampOp {
        group: required(line.group.take(), "group")?,
        limit: required(line.limit.take(), "limit")?,
        account: line.account.take().map(|account| account_id(Some(account))).transpose()?,
        tier: not_null(line.tier.take(), "tier")?,
        quota: required(line.quota, "quota")?,
    };
    if clamp.account.is_some() && clamp.tier.is_some() {
        return Err(BadLine::new("a clamp is for one `account` or for one `tier`, not for both"));
    }
    if clamp.quota == Some(Quota::Unlimited) {
        return Err(BadLine::new("a clamp's `quota` is an integer, `blocked`, or null to remove it"));
    }
    Ok(clamp)
}

fn payment_op(line: &mut Line<'_>, kind: PaymentKind) -> Result<PaymentOp, BadLine> {
    let amount = required(line.amount, "amount")?.get();
    if amount == 0 {
        return Err(BadLine::new("`amount` must be at least 1"));
    }
    Ok(PaymentOp {
        account: account_id(line.account.take())?,
        kind,
        event_id: required(line.event_id.take(), "event_id")?,
        payment_id: required(line.payment_id.take(), "payment_id")?,
        amount,
        currency: match kind {
            PaymentKind::TopUp => Some(required(line.currency.take(), "currency")?),
            PaymentKind::Refund | PaymentKind::Chargeback => None,
        },
        occurred_at_ms: line.occurred_at_ms.map(|Ms(ms)| ms),
    })
}

fn decide_op<'a>(line: &mut Line<'a>) -> Result<DecideOp<'a>, BadLine> {
    if let Some(Ms(ttl_ms)) = line.reserve.as_ref().and_then(|reserve| reserve.ttl_ms)
        && ttl_ms > MAX_RESERVATION_TTL_MS
    {
        return Err(BadLine::new(format!("`reserve.ttl_ms` is {ttl_ms}, but at most 24 h ({MAX_RESERVATION_TTL_MS})")));
    }
    Ok(DecideOp {
        account: required(line.account.take(), "account")?,
        resource: required(line.resource.take(), "resource")?,
        requests: line.requests.map_or(1, Amount::get),
        tokens: line.tokens.map_or(0, Amount::get),
        units: units(line.units.take())?,
        dry_run: line.dry_run.unwrap_or(false),
        reserve: line.reserve.take(),
    })
}

fn units(units: Option<Pairs<Amount>>) -> Result<Vec<(PolicyId, u64)>, BadLine> {
    let Some(Pairs(units)) = units else { return Ok(Vec::new()) };
    units
        .into_iter()
        .map(|(unit, amount)| match unit.as_str() {
            "requests" | "tokens" => Err(BadLine::new(format!("`{unit}` is a field of its own, not one of `units`"))),
            _ => match PolicyId::parse(&unit) {
                Ok(unit) => Ok((unit, amount.get())),
                Err(error) => Err(BadLine::new(format!("units: {error}"))),
            },
        })
        .collect()
}

fn account_id(account: Option<Cow<'_, str>>) -> Result<AccountId, BadLine> {
    AccountId::parse(&required(account, "account")?).map_err(|error| BadLine::new(error.to_string()))
}

fn required<T>(field: Option<T>, name: &str) -> Result<T, BadLine> {
    field.ok_or_else(|| BadLine::new(format!("missing field `{name}`")))
}

fn not_null<T>(field: Option<Option<T>>, name: &str) -> Result<Option<T>, BadLine> {
    match field {
        Some(None) => Err(BadLine::new(format!("`{name}` is null; leave it out instead"))),
        Some(value) => Ok(value),
        None => Ok(None),
    }
}
