//! The steps of a raise request, each a path of its name.

use super::bodies::{AssignRequest, DenyRequest, GrantsRequest, MaybeTextRequest, TextRequest};
use super::views::RequestAnswer;
use super::{Asker, answer};
use crate::http::change::{Act, Change, ChangeQuery, IdempotencyKey, IfMatch};
use crate::http::problem::Problem;
use crate::services::raise_requests::{self as requests, Approval, Denial, Handling, Offer, RequestView};
use crate::services::{Context, Done, Error, Services};
use actix_web::web::Path;
use actix_web::{HttpResponse, post};

/// Takes a step of the request that the path names, in the name of who asks.
async fn step<T: Send + 'static>(
    (asker, id): (Asker, Path<String>),
    change: Change<T>,
    work: impl FnOnce(&Services, &Handling<'_>, T) -> Result<Done<RequestView>, Error> + Send + 'static,
) -> Result<HttpResponse, Problem> {
    let work = move |services: &Services, context: &Context, body: T| {
        work(services, &Handling { context, party: &asker.party, id: &id }, body)
    };
    answer::changed(change.run(work).await?, RequestAnswer::from)
}

/// The same without a body.
async fn act(
    (asker, id): (Asker, Path<String>),
    act: Act,
    work: impl FnOnce(&Services, &Handling<'_>) -> Result<Done<RequestView>, Error> + Send + 'static,
) -> Result<HttpResponse, Problem> {
    let work = move |services: &Services, context: &Context| {
        work(services, &Handling { context, party: &asker.party, id: &id })
    };
    answer::changed(act.run(work).await?, RequestAnswer::from)
}

/// Take the evidence anew
///
/// Beside what there is, at most ten times; a snapshot is never changed.
#[utoipa::path(
    operation_id = "refreshRaiseRequestEvidence",
    tag = "raise requests",
    params(
        ("id" = String, Path, description = "The raise request", example = "rr_01kg8y2v0031gwr3b99bwpg6k4"),
        ChangeQuery, IdempotencyKey,
    ),
    responses(
        (status = 200, description = "As it stands now", body = RequestAnswer, headers(("ETag" = String))),
        (status = 409, description = "`wrong_state`: it is closed"),
    ),
)]
#[post("/v1/raise-requests/{id}/evidence/refresh")]
pub(crate) async fn refresh(asker: Asker, id: Path<String>, change: Act) -> Result<HttpResponse, Problem> {
    act((asker, id), change, requests::refresh_evidence).await
}

/// Take up a raise request
///
/// It is in review then. One that somebody has taken up can be taken over.
#[utoipa::path(
    operation_id = "assignRaiseRequest",
    tag = "raise requests",
    params(
        ("id" = String, Path, description = "The raise request", example = "rr_01kg8y2v0031gwr3b99bwpg6k4"),
        ChangeQuery, IdempotencyKey,
    ),
    request_body = AssignRequest,
    responses(
        (status = 200, description = "As it stands now", body = RequestAnswer, headers(("ETag" = String))),
        (status = 409, description = "`wrong_state`: `allowed_transitions` has the steps that it takes from you"),
    ),
)]
#[post("/v1/raise-requests/{id}/assign")]
pub(crate) async fn assign(
    asker: Asker,
    id: Path<String>,
    change: Change<AssignRequest>,
) -> Result<HttpResponse, Problem> {
    step((asker, id), change, |services, on, body| requests::assign(services, on, body.to.as_ref())).await
}

/// Ask the customer
///
/// The clock stands still until they reply; after ten working days without one the request expires.
#[utoipa::path(
    operation_id = "requestRaiseRequestInfo",
    tag = "raise requests",
    params(
        ("id" = String, Path, description = "The raise request", example = "rr_01kg8y2v0031gwr3b99bwpg6k4"),
        ChangeQuery, IdempotencyKey,
    ),
    request_body = TextRequest,
    responses(
        (status = 200, description = "As it stands now", body = RequestAnswer, headers(("ETag" = String))),
        (status = 409, description = "`wrong_state`: `allowed_transitions` has the steps that it takes from you"),
    ),
)]
#[post("/v1/raise-requests/{id}/request-info")]
pub(crate) async fn request_info(
    asker: Asker,
    id: Path<String>,
    change: Change<TextRequest>,
) -> Result<HttpResponse, Problem> {
    step((asker, id), change, |services, on, body| requests::request_info(services, on, &body.text)).await
}

/// Reply to a question
///
/// By the customer's own key, or by an operator for them. The clock goes on.
#[utoipa::path(
    operation_id = "replyToRaiseRequest",
    tag = "raise requests",
    params(
        ("id" = String, Path, description = "The raise request", example = "rr_01kg8y2v0031gwr3b99bwpg6k4"),
        ChangeQuery, IdempotencyKey,
    ),
    request_body = TextRequest,
    responses(
        (status = 200, description = "As it stands now", body = RequestAnswer, headers(("ETag" = String))),
        (status = 409, description = "`wrong_state`: `allowed_transitions` has the steps that it takes from you"),
    ),
)]
#[post("/v1/raise-requests/{id}/reply")]
pub(crate) async fn reply(
    asker: Asker,
    id: Path<String>,
    change: Change<TextRequest>,
) -> Result<HttpResponse, Problem> {
    step((asker, id), change, |services, on, body| requests::reply(services, on, &body.text)).await
}

/// Offer something else
///
/// At most what was asked for, within your ceiling. The clock stands still until the customer accepts or declines.
#[utoipa::path(
    operation_id = "counterOfferRaiseRequest",
    tag = "raise requests",
    params(
        ("id" = String, Path, description = "The raise request", example = "rr_01kg8y2v0031gwr3b99bwpg6k4"),
        ChangeQuery, IdempotencyKey,
    ),
    request_body = GrantsRequest,
    responses(
        (status = 200, description = "As it stands now", body = RequestAnswer, headers(("ETag" = String))),
        (status = 409, description = "`wrong_state`: `allowed_transitions` has the steps that it takes from you"),
        (status = 403, description = "`own_request`: you filed it; `above_ceiling`; `forbidden`"),
        (status = 422, description = "`already_satisfied`, `above_maximum`, `not_adjustable`; `invalid_request`"),
    ),
)]
#[post("/v1/raise-requests/{id}/counter-offer")]
pub(crate) async fn counter_offer(
    asker: Asker,
    id: Path<String>,
    change: Change<GrantsRequest>,
) -> Result<HttpResponse, Problem> {
    step((asker, id), change, |services, on, body| requests::counter_offer(services, on, &Offer::from(body))).await
}

/// Accept an offer
///
/// It is approved as it was offered, and takes effect at once.
#[utoipa::path(
    operation_id = "acceptCounterOffer",
    tag = "raise requests",
    params(
        ("id" = String, Path, description = "The raise request", example = "rr_01kg8y2v0031gwr3b99bwpg6k4"),
        ChangeQuery, IdempotencyKey,
    ),
    responses(
        (status = 200, description = "As it stands now", body = RequestAnswer, headers(("ETag" = String))),
        (status = 409, description = "`wrong_state`: there is no offer; `offer_over`"),
        (status = 422, description = "`already_satisfied`, `above_maximum`, `not_adjustable`: the policy, or what is in force, has changed; `invalid_request`"),
    ),
)]
#[post("/v1/raise-requests/{id}/accept-counter-offer")]
pub(crate) async fn accept(asker: Asker, id: Path<String>, change: Act) -> Result<HttpResponse, Problem> {
    act((asker, id), change, requests::accept_counter_offer).await
}

/// Decline an offer
///
/// It is in review again.
#[utoipa::path(
    operation_id = "declineCounterOffer",
    tag = "raise requests",
    params(
        ("id" = String, Path, description = "The raise request", example = "rr_01kg8y2v0031gwr3b99bwpg6k4"),
        ChangeQuery, IdempotencyKey,
    ),
    request_body = MaybeTextRequest,
    responses(
        (status = 200, description = "As it stands now", body = RequestAnswer, headers(("ETag" = String))),
        (status = 409, description = "`wrong_state`: `allowed_transitions` has the steps that it takes from you"),
    ),
)]
#[post("/v1/raise-requests/{id}/decline-counter-offer")]
pub(crate) async fn decline(
    asker: Asker,
    id: Path<String>,
    change: Change<MaybeTextRequest>,
) -> Result<HttpResponse, Problem> {
    step((asker, id), change, |services, on, body| requests::decline_counter_offer(services, on, body.text.as_deref()))
        .await
}

/// Approve a raise request
///
/// In full or in part. The overrides are made in the same step, so the next decision knows them; those that they
/// overlap end, and say by what.
#[utoipa::path(
    operation_id = "approveRaiseRequest",
    tag = "raise requests",
    params(
        ("id" = String, Path, description = "The raise request", example = "rr_01kg8y2v0031gwr3b99bwpg6k4"),
        ChangeQuery, IdempotencyKey, IfMatch,
    ),
    request_body = GrantsRequest,
    responses(
        (status = 200, description = "As it stands now", body = RequestAnswer, headers(("ETag" = String))),
        (status = 409, description = "`wrong_state`: `allowed_transitions` has the steps that it takes from you"),
        (status = 403, description = "`own_request`: you filed it; `above_ceiling`; `forbidden`"),
        (status = 422, description = "`already_satisfied`, `above_maximum`, `not_adjustable`; `invalid_request`"),
    ),
)]
#[post("/v1/raise-requests/{id}/approve")]
pub(crate) async fn approve(
    asker: Asker,
    id: Path<String>,
    change: Change<GrantsRequest>,
) -> Result<HttpResponse, Problem> {
    step((asker, id), change, |services, on, body| requests::approve(services, on, &Approval::from(body))).await
}

/// Deny a raise request
///
/// With a reason and a text to the customer.
#[utoipa::path(
    operation_id = "denyRaiseRequest",
    tag = "raise requests",
    params(
        ("id" = String, Path, description = "The raise request", example = "rr_01kg8y2v0031gwr3b99bwpg6k4"),
        ChangeQuery, IdempotencyKey, IfMatch,
    ),
    request_body = DenyRequest,
    responses(
        (status = 200, description = "As it stands now", body = RequestAnswer, headers(("ETag" = String))),
        (status = 409, description = "`wrong_state`: `allowed_transitions` has the steps that it takes from you"),
        (status = 403, description = "`own_request`: you filed it; `forbidden`"),
    ),
)]
#[post("/v1/raise-requests/{id}/deny")]
pub(crate) async fn deny(asker: Asker, id: Path<String>, change: Change<DenyRequest>) -> Result<HttpResponse, Problem> {
    step((asker, id), change, |services, on, body| requests::deny(services, on, &Denial::from(body))).await
}

/// Withdraw a raise request
///
/// At any time before it is closed.
#[utoipa::path(
    operation_id = "withdrawRaiseRequest",
    tag = "raise requests",
    params(
        ("id" = String, Path, description = "The raise request", example = "rr_01kg8y2v0031gwr3b99bwpg6k4"),
        ChangeQuery, IdempotencyKey,
    ),
    request_body = MaybeTextRequest,
    responses(
        (status = 200, description = "As it stands now", body = RequestAnswer, headers(("ETag" = String))),
        (status = 409, description = "`wrong_state`: `allowed_transitions` has the steps that it takes from you"),
    ),
)]
#[post("/v1/raise-requests/{id}/withdraw")]
pub(crate) async fn withdraw(
    asker: Asker,
    id: Path<String>,
    change: Change<MaybeTextRequest>,
) -> Result<HttpResponse, Problem> {
    step((asker, id), change, |services, on, body| requests::withdraw(services, on, body.text.as_deref())).await
}

/// Note something among reviewers
///
/// Operators see it; no key does, and no customer.
#[utoipa::path(
    operation_id = "addRaiseRequestNote",
    tag = "raise requests",
    params(
        ("id" = String, Path, description = "The raise request", example = "rr_01kg8y2v0031gwr3b99bwpg6k4"),
        ChangeQuery, IdempotencyKey,
    ),
    request_body = TextRequest,
    responses(
        (status = 200, description = "As it stands now", body = RequestAnswer, headers(("ETag" = String))),
        (status = 409, description = "`wrong_state`: it is closed"),
    ),
)]
#[post("/v1/raise-requests/{id}/notes")]
pub(crate) async fn note(asker: Asker, id: Path<String>, change: Change<TextRequest>) -> Result<HttpResponse, Problem> {
    step((asker, id), change, |services, on, body| requests::add_note(services, on, &body.text)).await
}
