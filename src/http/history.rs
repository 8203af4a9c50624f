//! What accounts used in the past, and which limits were busiest of late.

use super::problem::Problem;
use super::query::{PageSize, ReadWith, page_size};
use super::reply;
use super::views::{Time, ms};
use super::wire::rfc3339;
use crate::domain::account::LimitKey;
use crate::domain::history::Peak;
use crate::domain::ids::{AccountId, PolicyId};
use crate::domain::quantity::Quota;
use crate::services::history::{self, HOUR_MS, Point, Range, Series, Step, TopBy, TopRow};
use actix_web::web::Path;
use actix_web::{HttpResponse, get};
use compact_str::CompactString;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

/// How far back a read goes that does not say from when.
const USUAL_RANGE_MS: i64 = 24 * HOUR_MS;

/// Which limit, when, in which steps.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryQuery {
    /// The limit's group.
    #[param(value_type = PolicyId, example = "text.m2")]
    group: PolicyId,
    /// The limit.
    #[param(value_type = PolicyId, example = "rpm")]
    limit: PolicyId,
    /// Absent: 24 hours before `to`.
    #[serde(default)]
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Time>,
    /// Absent: now.
    #[serde(default)]
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Time>,
    /// How long one point is: minutes that an hour is a multiple of, or whole hours or days, such as `5m`, `1h`, `7d`.
    /// Absent: `1h`.
    #[serde(default)]
    #[param(value_type = Option<String>, pattern = r"^[0-9]{1,6}[mhd]$", example = "1h")]
    step: Option<StepText>,
}

#[derive(Debug)]
struct StepText(Step);

impl<'de> Deserialize<'de> for StepText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = CompactString::deserialize(deserializer)?;
        let shown = "a step is 1m, 2m, 3m, 4m, 5m, 6m, 10m, 12m, 15m, 20m, 30m or whole hours or days such as 1h or 7d, at most 90d";
        Step::parse(&text).map(Self).ok_or_else(|| D::Error::custom(shown))
    }
}

/// One limit of an account over time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageHistory)]
pub(crate) struct HistoryAnswer {
    /// The main account: sub-accounts spend its limits.
    #[schema(example = "acme")]
    account: AccountId,
    #[schema(example = "text.m2")]
    group: PolicyId,
    #[schema(example = "rpm")]
    limit: PolicyId,
    /// The range, its ends moved outwards to whole steps.
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:00:00.000Z")]
    from: CompactString,
    #[schema(value_type = String, format = DateTime, example = "2026-02-01T08:00:00.000Z")]
    to: CompactString,
    #[schema(minimum = 60000, example = 3600000)]
    step_ms: i64,
    /// Those in which something was decided, in order.
    points: Vec<PointAnswer>,
}

/// One step of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsagePoint)]
pub(crate) struct PointAnswer {
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:00:00.000Z")]
    from: CompactString,
    /// Cost admitted, in the limit's unit; of concurrency, slots taken. What a settle or cancel corrects counts when it comes.
    #[schema(minimum = 0, example = 4200)]
    admitted: u64,
    /// Requests that this limit refused.
    #[schema(minimum = 0, example = 3)]
    denied: u64,
    #[serde(flatten)]
    peak: PeakAnswer,
    /// The minute of the peak.
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:17:00.000Z")]
    peak_at: CompactString,
    /// Minutes in which at least 80 % of the quota was in use at once.
    #[schema(minimum = 0, example = 12)]
    minutes_at_80: u64,
    /// Minutes in which all of it was.
    #[schema(minimum = 0, example = 2)]
    minutes_at_100: u64,
}

/// The most in use at once.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsagePeak)]
pub(crate) struct PeakAnswer {
    #[schema(minimum = 0, example = 500)]
    peak_used: u64,
    /// In force at the peak; of a token bucket, the burst.
    quota: Quota,
    /// The peak in parts of 10,000 of the quota, rounded down; absent where that is no number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, example = 10000)]
    peak_utilisation: Option<u32>,
}

impl From<Peak> for PeakAnswer {
    fn from(peak: Peak) -> Self {
        Self { peak_used: peak.used, quota: peak.quota, peak_utilisation: peak.utilisation() }
    }
}

impl From<Point> for PointAnswer {
    fn from(point: Point) -> Self {
        Self {
            from: rfc3339(point.from_ms),
            admitted: point.admitted,
            denied: point.denied,
            peak: point.peak.into(),
            peak_at: rfc3339(point.peak_ms),
            minutes_at_80: point.minutes_at_80,
            minutes_at_100: point.minutes_at_100,
        }
    }
}

impl HistoryAnswer {
    fn of(series: Series, range: Range) -> Self {
        Self {
            account: series.account,
            group: range.group,
            limit: range.limit,
            from: rfc3339(series.from_ms),
            to: rfc3339(series.to_ms),
            step_ms: range.step.ms(),
            points: series.points.into_iter().map(PointAnswer::from).collect(),
        }
    }
}

/// What to rank by, and how many.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TopQuery {
    /// By the most refused requests, or by the highest share of a quota in use at once.
    #[param(inline, example = "denied")]
    by: By,
    /// Entries; brought into 1 to 200.
    #[serde(default)]
    #[param(value_type = Option<PageSize>)]
    page_size: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum By {
    Denied,
    Utilisation,
}

/// The busiest limits of this hour and the one before.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageTop)]
pub(crate) struct TopAnswer {
    /// The busiest first.
    items: Vec<TopRowAnswer>,
}

/// A limit of an account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageTopRow)]
pub(crate) struct TopRowAnswer {
    #[schema(example = "acme")]
    account: AccountId,
    #[schema(example = "text.m2")]
    group: PolicyId,
    #[schema(example = "rpm")]
    limit: PolicyId,
    /// Requests that this limit refused.
    #[schema(minimum = 0, example = 31)]
    denied: u64,
    #[serde(flatten)]
    peak: PeakAnswer,
    /// The minute of the last refusal, or of the peak.
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:17:00.000Z")]
    at: CompactString,
}

impl From<TopRow> for TopRowAnswer {
    fn from(row: TopRow) -> Self {
        let LimitKey { group, limit } = row.key;
        let (denied, peak, at) = (row.denied, row.peak.into(), rfc3339(row.at_ms));
        Self { account: row.account, group, limit, denied, peak, at }
    }
}

/// Read the history of a limit
///
/// What was admitted and refused and how near the quota it came, the present minute included. Single minutes are kept for
/// 48 hours, then whole hours for 90 days: an older hour is in the point that it begins in. At most 3,000 points.
#[utoipa::path(
    operation_id = "getUsageHistory",
    tag = "usage",
    params(("id" = AccountId, Path, description = "The account", example = "acme"), HistoryQuery),
    responses((status = 200, description = "The history", body = HistoryAnswer)),
)]
#[get("/v1/accounts/{id}/usage/history")]
pub(crate) async fn read(
    id: Path<AccountId>,
    ReadWith { query, read: reading }: ReadWith<HistoryQuery>,
) -> Result<HttpResponse, Problem> {
    let HistoryQuery { group, limit, from, to, step } = query;
    let step = step.map_or(Step::HOUR, |StepText(step)| step);
    let work = move |services: &_, now| {
        let to_ms = ms(to).unwrap_or(now);
        let from_ms = ms(from).unwrap_or(to_ms.saturating_sub(USUAL_RANGE_MS));
        let range = Range { group, limit, from_ms, to_ms, step };
        Ok((history::read(services, &id, &range)?, range))
    };
    let (series, range) = reading.run(work).await.map_err(Problem::in_query)?;
    reply::view(&HistoryAnswer::of(series, range))
}

/// List the busiest limits
///
/// Of all accounts, in this hour and the one before, as far as minutes have passed and been written, which takes a few
/// seconds. Kept in memory: it begins anew with the server.
#[utoipa::path(
    operation_id = "getUsageTop",
    tag = "usage",
    params(TopQuery),
    responses((status = 200, description = "The busiest first", body = TopAnswer)),
)]
#[get("/v1/usage/top")]
pub(crate) async fn top(ReadWith { query, read: reading }: ReadWith<TopQuery>) -> Result<HttpResponse, Problem> {
    let most = page_size(query.page_size.as_deref())?;
    let by = match query.by {
        By::Denied => TopBy::Denied,
        By::Utilisation => TopBy::Utilisation,
    };
    let rows = reading.run(move |services, now| history::top(services, by, now)).await?;
    reply::view(&TopAnswer { items: rows.into_iter().take(most).map(TopRowAnswer::from).collect() })
}
