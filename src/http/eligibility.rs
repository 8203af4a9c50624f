//! What each tier takes of an account, and how much of it is there.

use super::problem::Problem;
use super::query::Read;
use super::reply;
use super::tier::TierAnswer;
use super::wire::rfc3339;
use crate::domain::ids::{AccountId, Currency, PolicyId};
use crate::policy::tiers::{AgeCondition, Eligibility, PaidCondition};
use crate::services::tier::{self, EligibilityView};
use actix_web::web::Path;
use actix_web::{HttpResponse, get};
use compact_str::CompactString;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// An account's tier, and every tier of the active revision with what it takes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TierEligibility)]
struct EligibilityAnswer {
    #[serde(flatten)]
    now: TierAnswer,
    /// The lowest first.
    tiers: Vec<TierConditions>,
}

/// What one tier takes. Every condition that is there must hold.
#[derive(Debug, Serialize, ToSchema)]
struct TierConditions {
    tier: PolicyId,
    /// Every condition holds now.
    reached: bool,
    /// Reached, or kept by grace, or the default tier.
    granted: bool,
    /// Where it is kept by grace alone: when the grace ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    granted_until: Option<CompactString>,
    /// By currency, minor units; any one of them suffices. Absent: not a condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, NetPaidCondition>>, nullable = false)]
    net_paid: Option<BTreeMap<Currency, NetPaidCondition>>,
    /// Absent: not a condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    account_age_ms: Option<AccountAgeCondition>,
    /// True where payments and age cannot reach it: only an operator sets it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    operator_only: bool,
}

#[derive(Debug, Serialize, ToSchema)]
struct NetPaidCondition {
    #[schema(example = 0)]
    have: i64,
    #[schema(example = 1)]
    need: u64,
}

#[derive(Debug, Serialize, ToSchema)]
struct AccountAgeCondition {
    #[schema(example = 86_400_000)]
    have: i64,
    #[schema(example = 2_592_000_000_u64)]
    need: i64,
    /// The account is so old from then on.
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:00:00.000Z")]
    holds_from: CompactString,
}

impl From<EligibilityView> for EligibilityAnswer {
    fn from(view: EligibilityView) -> Self {
        let tiers = view.tiers.into_iter().map(|(id, eligibility)| conditions(id, eligibility));
        Self { tiers: tiers.collect(), now: view.tier.into() }
    }
}

fn conditions(tier: PolicyId, of: Eligibility) -> TierConditions {
    let paid = |PaidCondition { currency, have, need }| {
        // At most 10^18 in an account.
        (currency, NetPaidCondition { have: i64::try_from(have).unwrap_or(i64::MAX), need })
    };
    TierConditions {
        tier,
        // Without rules it is reached by all, where it is granted: the default tier.
        reached: of.reached.unwrap_or(of.granted),
        granted: of.granted,
        granted_until: of.granted_until_ms.map(rfc3339),
        net_paid: of.net_paid.map(|any| any.into_iter().map(paid).collect()),
        account_age_ms: of.age.map(|AgeCondition { have_ms, need_ms, holds_from_ms }| AccountAgeCondition {
            have: have_ms,
            need: need_ms,
            holds_from: rfc3339(holds_from_ms),
        }),
        operator_only: of.reached.is_none() && !of.granted,
    }
}

/// Read what each tier takes of an account
///
/// And what the account has of it. Of a sub-account: its main account's.
#[utoipa::path(
    operation_id = "getTierEligibility",
    tag = "money",
    params(("id" = AccountId, Path, description = "The account", example = "acme")),
    responses((status = 200, description = "All tiers", body = EligibilityAnswer, headers(("ETag" = String)))),
)]
#[get("/v1/accounts/{id}/tier-eligibility")]
pub(crate) async fn read(reading: Read, id: Path<AccountId>) -> Result<HttpResponse, Problem> {
    let view = reading.run(move |services, now| tier::eligibility(services, &id, now)).await?;
    reply::record(&EligibilityAnswer::from(view.value), view.revision)
}
