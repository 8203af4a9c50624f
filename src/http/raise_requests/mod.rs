//! Raise requests: file, read, answer. What who may do is in [`super::access`], what a customer sees in the services.

mod bodies;
mod evidence;
mod steps;
mod verdict;
mod views;

pub(crate) use evidence::read_evidence;
pub(crate) use steps::{
    accept, approve, assign, counter_offer, decline, deny, note, refresh, reply, request_info, withdraw,
};

use super::access;
use super::change::{Change, ChangeQuery, IdempotencyKey};
use super::problem::Problem;
use super::query::{List, Listed, PageQuery, Read};
use super::reply as answer;
use super::state::State;
use super::views::Item;
use crate::services::raise_requests::{self as requests, NewRequest, Party, RequestFilter};
use actix_web::dev::Payload;
use actix_web::web::{Data, Path};
use actix_web::{FromRequest, HttpRequest, HttpResponse, get, post};
use bodies::{RequestsQuery, SubmitRequest};
use std::future::{Ready, ready};
use views::RequestAnswer;

/// Who asks, as raise requests see it.
pub(crate) struct Asker {
    caller: access::Caller,
    party: Party,
}

impl FromRequest for Asker {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(access::caller(request).map(|caller| Self { party: caller.party(), caller }))
    }
}

/// Ask for a raise
///
/// For one or more limits of a group, by the customer's own key or by an operator for them. The server takes evidence with
/// it. There is one open request for each limit of an account.
///
/// Where the policy has `raise_rules`, they are asked at once, and what they answer acts with it: it is approved, or the
/// customer is asked. `verdict` has each clause with what was measured; with `validate_only=true` it is what the rules would say.
#[utoipa::path(
    operation_id = "submitRaiseRequest",
    tag = "raise requests",
    params(ChangeQuery, IdempotencyKey),
    request_body = SubmitRequest,
    responses(
        (status = 201, description = "Filed; and answered, where a rule did", body = RequestAnswer, headers(("ETag" = String), ("Location" = String))),
        (status = 409, description = "`raise_request_open`: `link` leads to it; `not_a_main_account`"),
        (status = 422, description = "`already_satisfied`, `above_maximum`, `not_adjustable`: `raise` says how far it can go; `invalid_request`"),
    ),
)]
#[post("/v1/raise-requests")]
pub(crate) async fn submit(
    asker: Asker,
    state: Data<State>,
    change: Change<SubmitRequest>,
) -> Result<HttpResponse, Problem> {
    asker.caller.must_reach(&state.engine, change.body.account().as_str())?;
    let work = move |services: &_, context: &_, body: SubmitRequest| {
        requests::submit(services, context, &asker.party, &NewRequest::from(body))
    };
    let done = change.run(work).await?;
    answer::created(done, |view| format!("/v1/raise-requests/{}", view.id), RequestAnswer::from)
}

/// List raise requests
///
/// In the order in which they were filed. A key that is bound to an account sees its own.
#[utoipa::path(
    operation_id = "listRaiseRequests",
    tag = "raise requests",
    params(RequestsQuery, PageQuery),
    responses(
        (status = 200, description = "One page", body = Listed<Item<RequestAnswer>>),
        (status = 404, description = "`not_found`: the key is bound to another account"),
    ),
)]
#[get("/v1/raise-requests")]
pub(crate) async fn list(
    asker: Asker,
    state: Data<State>,
    listing: List<RequestsQuery>,
) -> Result<HttpResponse, Problem> {
    if let Some(account) = &listing.filter().account {
        asker.caller.must_reach(&state.engine, account.as_str())?;
    }
    listing
        .run(
            move |services, query, paging, now| {
                let filter = RequestFilter {
                    account: query.account.clone(),
                    group: query.group.clone(),
                    state: query.state,
                    assigned_to: query.assigned_to.clone(),
                    overdue: query.overdue,
                    past_target: query.past_target,
                };
                requests::list(services, (&asker.party, &filter), paging, now)
            },
            Item::<RequestAnswer>::of,
        )
        .await
}

/// Read a raise request
///
/// With its history, what is due when, and the steps that you may take.
#[utoipa::path(
    operation_id = "getRaiseRequest",
    tag = "raise requests",
    params(("id" = String, Path, description = "The raise request", example = "rr_01kg8y2v0031gwr3b99bwpg6k4")),
    responses((status = 200, description = "The raise request", body = RequestAnswer, headers(("ETag" = String)))),
)]
#[get("/v1/raise-requests/{id}")]
pub(crate) async fn read(asker: Asker, reading: Read, id: Path<String>) -> Result<HttpResponse, Problem> {
    let view = reading.run(move |services, now| requests::get(services, &asker.party, &id, now)).await?;
    answer::record(&RequestAnswer::from(view.value), view.revision)
}
