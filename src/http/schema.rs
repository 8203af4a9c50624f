//! How the vocabulary looks in the OpenAPI document: each name and quantity with its grammar and bounds.

use super::views::Time;
use super::wire::{TtlMs, Units};
use crate::domain::ids::{
    AccountId, Currency, OperatorName, PaymentRef, PolicyId, ReservationId, ResourceName, SourceId,
};
use crate::domain::ledger::PaymentKind;
use crate::domain::quantity::{Amount, MAX_AMOUNT, MAX_RESERVATION_TTL_MS, Quota};
use crate::domain::raise_request::{Side, State, Step};
use crate::engine::Handle;
use crate::services::raise_requests::DenyReason;
use serde_json::json;
use std::borrow::Cow;
use utoipa::openapi::schema::{AdditionalProperties, KnownFormat, OneOfBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::{ObjectBuilder, RefOr};
use utoipa::{PartialSchema, ToSchema};

macro_rules! named {
    ($type:ty, $name:literal, $schema:expr) => {
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                $schema.into()
            }
        }
        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }
        }
    };
}

named!(
    AccountId,
    "AccountId",
    text("^[A-Za-z0-9._:-]{1,64}$", 64, "acme").description(Some("A main account or a sub-account."))
);
named!(
    ReservationId,
    "ReservationId",
    text("^[A-Za-z0-9._:-]{1,64}$", 64, "job-7")
        .description(Some("Your own name for a reservation, unique within the main account."))
);
named!(
    Handle,
    "ReservationHandle",
    text("^rs_[A-Za-z0-9_-]{28,112}$", 115, "rs_AAAAAAAAAAAAAAABAAABnXqO4AphY21lLWV1")
        .description(Some("The server's own name for a reservation, which came with the decision."))
);
named!(
    ResourceName,
    "ResourceName",
    text("^[A-Za-z0-9._:/@+-]{1,128}$", 128, "MiniMax-M2")
        .description(Some("What is to be used: a model or an endpoint, as the policy names it."))
);
named!(
    PolicyId,
    "PolicyId",
    text("^[a-z0-9][a-z0-9._-]{0,63}$", 64, "paid").description(Some("A tier, group, limit or unit of a policy."))
);
named!(
    SourceId,
    "SourceId",
    text("^[a-z0-9][a-z0-9._-]{0,63}$", 64, "billing")
        .description(Some("A billing system that delivers signed events."))
);
named!(
    OperatorName,
    "OperatorName",
    text("^[a-z0-9][a-z0-9._-]{0,63}$", 64, "alice").description(Some("A person who logs in."))
);
named!(
    PaymentRef,
    "PaymentRef",
    text("^[!-~]{1,255}$", 255, "pay-2026-0001")
        .description(Some("A payment or payment event, as the billing system names it."))
);
named!(
    PaymentKind,
    "PaymentKind",
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some([PaymentKind::TopUp, PaymentKind::Refund, PaymentKind::Chargeback].map(PaymentKind::as_str)))
        .description(Some("What a payment event is."))
);
named!(Currency, "Currency", text("^[A-Z]{3}$", 3, "CNY").min_length(Some(3)).description(Some("An ISO 4217 code.")));
named!(Amount, "Amount", integer(0, MAX_AMOUNT, 1_200).description(Some("A cost or amount; `80.0` is read as 80.")));
named!(
    TtlMs,
    "TtlMs",
    integer(1, MAX_RESERVATION_TTL_MS.unsigned_abs(), 60_000)
        .description(Some("A time to live in milliseconds, at most 24 h."))
);
named!(
    Time,
    "Time",
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .description(Some(
            "A time: RFC 3339, any offset, from the year 0000 to 9999; what is finer than a millisecond is cut off."
        ))
        .examples([json!("2099-01-31T00:00:00Z")])
);
named!(
    Units,
    "Units",
    ObjectBuilder::new()
        .property_names(Some(text("^[a-z0-9][a-z0-9._-]{0,63}$", 64, "images").build()))
        .additional_properties(Some(AdditionalProperties::RefOr(integer(0, MAX_AMOUNT, 1).into())))
        .max_properties(Some(crate::domain::policy::MAX_UNITS))
        .description(Some("Amounts in the policy's own units, by name; `requests` and `tokens` are not among them."))
        .examples([json!({})])
);
named!(
    Quota,
    "Quota",
    Schema::from(
        OneOfBuilder::new()
            .item(integer(1, MAX_AMOUNT, 500).title(Some("Units")))
            .item(
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .title(Some("Word"))
                    .enum_values(Some(["unlimited", "blocked"])),
            )
            .description(Some("What a limit allows: an integer, `unlimited` or `blocked`."))
            .examples([json!(500)])
            .build()
    )
);

named!(
    State,
    "RaiseRequestState",
    words(State::ALL.map(State::as_str)).description(Some(
        "Where a raise request stands. `needs_info` and `counter_offered` wait for the customer, and expire when nobody \
         answers; the last five are closed for good."
    ))
);
named!(
    Step,
    "RaiseRequestStep",
    words(Step::ALL.map(Step::as_str))
        .description(Some("What moves a raise request on; most are paths of the same name."))
);
named!(Side, "RaiseRequestSide", words(Side::ALL.map(Side::as_str)).description(Some("Whose turn or words it is.")));
named!(
    DenyReason,
    "RaiseDenyReason",
    words(DenyReason::ALL.map(DenyReason::as_str)).description(Some("Why a raise request is denied."))
);

fn words<const N: usize>(words: [&'static str; N]) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words))
}

fn text(pattern: &str, most: usize, example: &str) -> ObjectBuilder {
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern));
    text.min_length(Some(1)).max_length(Some(most)).examples([json!(example)])
}

fn integer(least: u64, most: u64, example: u64) -> ObjectBuilder {
    let integer = ObjectBuilder::new().schema_type(Type::Integer);
    let integer = integer.format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)));
    integer.minimum(Some(least)).maximum(Some(most)).examples([json!(example)])
}
