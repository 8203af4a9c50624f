//! What every request passes: its name, its errors in one form, and a net under handlers that panic.

use super::access::{self, Passed};
use super::body;
use super::client;
use super::door;
use super::front::Front;
use super::port::{self, Answering, Connection};
use super::problem::{Code, Problem};
use super::request_id::{self, RequestId};
use super::security_headers::Protection;
use super::security_log;
use super::sliced::Sliced;
use super::state::State;
use super::tags;
use super::tunnel;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::http::{ConnectionType, Method, StatusCode, header};
use actix_web::web::Data;
use actix_web::{Error, HttpMessage, HttpResponse};
use futures_util::FutureExt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

/// The outermost middleware.
pub(crate) fn floor<S, B>(
    mut request: ServiceRequest,
    service: &S,
) -> impl Future<Output = Result<ServiceResponse<Sliced<EitherBody<B>>>, Error>> + use<S, B>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    let id = RequestId::of(request.headers());
    let state = request.app_data::<Data<State>>().cloned();
    if request.method() == Method::HEAD {
        // The same answer; that its body is not sent is seen to where answers are written.
        request.head_mut().method = Method::GET;
    }
    let connection = request.conn_data::<Rc<Connection>>().cloned();
    let answering = connection.map(|connection| connection.begin(has_body(&request)));
    let front = state.as_ref().map_or_else(Front::default, |state| state.front);
    let protection = Protection::of(&request, front);
    let checked = tunnel::refuse(&request).and_then(|()| door::check(&request, front)).and_then(|()| match &state {
        Some(state) => client::admit(&request, state).and_then(|client| Ok((client, access::check(&request, state)?))),
        None => Err(Problem::internal(&"the server has no state")),
    });
    let let_in = match checked {
        Ok((client, caller)) => {
            if let (Some(answering), Some(_)) = (&answering, &caller) {
                answering.connection().has_shown_a_credential();
            }
            request.extensions_mut().insert(Passed::new(id.clone(), caller));
            Ok((client, AssertUnwindSafe(service.call(request)).catch_unwind()))
        }
        Err(problem) => Err((request, problem)),
    };
    async move {
        let _in_traffic = state.as_ref().map(|state| state.traffic.enter());
        let mut response = match let_in {
            Ok((_client, answered)) => match answered.await {
                Ok(Ok(response)) => finished(response, &id),
                // No response to work on: the error is answered by the server itself, so it carries all it needs.
                Ok(Err(error)) => return Err(protection.of_problem(named(as_problem(&error), &id)).into()),
                Err(panic) => return Err(protection.of_problem(named(panicked(&*panic), &id)).into()),
            },
            Err((mut request, problem)) => {
                // ORDER: before the answer, which is not held up by what has not come.
                if body::has_arrived(&mut request.take_payload()).await {
                    body::was_read(request.request());
                }
                if let Some(state) = &state {
                    security_log::note_refusal(state, &request, (&problem, &id));
                }
                tracing::info!(request_id = id.as_str(), code = ?problem.code(), "refused at the door");
                let problem = problem.with_request_id(id.as_str());
                request.into_response(problem.respond()).map_into_right_body::<B>()
            }
        };
        response.headers_mut().insert(request_id::HEADER, id.header_value());
        protection.of_answer(response.headers_mut());
        if state.as_ref().is_some_and(|state| state.traffic.is_draining()) {
            response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
        }
        if let Some(answering) = answering.as_ref().map(Answering::connection)
            && answering.leaves_body()
        {
            response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
            answering.end_with_answer(port::now_ms());
        }
        Ok(response.map_body(|_, body| Sliced::new(body)))
    }
}

/// Whether a body follows the head: then whoever answers has to know whether it was read.
fn has_body(request: &ServiceRequest) -> bool {
    let headers = request.headers();
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0")
        || tunnel::asked_for(request).is_some()
}

/// A problem in our form, a read that the caller has already without its body, else as it is.
fn finished<B>(response: ServiceResponse<B>, id: &RequestId) -> ServiceResponse<EitherBody<B>> {
    match problem_in(&response) {
        Some(problem) => {
            let problem = problem.with_request_id(id.as_str());
            log(&problem, id);
            response.into_response(problem.respond()).map_into_right_body()
        }
        None if is_unchanged(&response) => not_modified(response).map_into_right_body(),
        None => response.map_into_left_body(),
    }
}

/// A read whose answer the caller has already.
fn is_unchanged<B>(response: &ServiceResponse<B>) -> bool {
    let request = response.request();
    let tag = response.headers().get(header::ETAG);
    request.method() == Method::GET
        && response.status() == StatusCode::OK
        && tag.is_some_and(|tag| tags::none_match_names(request.headers(), tag))
}

fn not_modified<B>(response: ServiceResponse<B>) -> ServiceResponse {
    let mut unchanged = HttpResponse::NotModified();
    if let Some(tag) = response.headers().get(header::ETAG) {
        unchanged.insert_header((header::ETAG, tag.clone()));
    }
    response.into_response(unchanged.finish())
}

fn named(problem: Problem, id: &RequestId) -> Problem {
    let problem = problem.with_request_id(id.as_str()).with_header(request_id::HEADER, id.header_value());
    log(&problem, id);
    problem
}

/// The problem that an answer stands for; None where it is none, or says all there is to say.
fn problem_in<B>(response: &ServiceResponse<B>) -> Option<Problem> {
    if let Some(error) = response.response().error() {
        return Some(as_problem(error));
    }
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    // Health and the like answer an error status with a body of their own.
    let has_body = response.headers().contains_key(header::CONTENT_TYPE);
    (is_error && !has_body).then(|| from_status(status, "the request cannot be answered"))
}

/// Ours as it is; what the framework refused by itself in our form.
fn as_problem(error: &Error) -> Problem {
    error.as_error::<Problem>().cloned().unwrap_or_else(|| {
        let status = error.as_response_error().status_code();
        from_status(status, &error.to_string())
    })
}

fn from_status(status: StatusCode, detail: &str) -> Problem {
    let code = match status {
        StatusCode::NOT_FOUND => Code::NoSuchPath,
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => Code::BodyTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
        StatusCode::UNPROCESSABLE_ENTITY => Code::InvalidRequest,
        _ if status.is_client_error() => Code::InvalidHttp,
        _ => return Problem::internal(&detail),
    };
    Problem::new(code, detail)
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Problem {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Problem::internal(&format_args!("a handler panicked: {}", text.unwrap_or("(no text)")))
}

/// Once, where it is answered.
fn log(problem: &Problem, id: &RequestId) {
    if matches!(problem.code(), Code::ReadOnly | Code::Busy) {
        // The store has told once, when it changed: a line for each request would bury that.
        return tracing::debug!(request_id = id.as_str(), code = ?problem.code(), cause = problem.detail(), "refused");
    }
    if problem.code().status().is_server_error() {
        let cause = problem.cause().unwrap_or_else(|| problem.detail());
        tracing::error!(request_id = id.as_str(), code = ?problem.code(), cause, "a request failed");
    }
}
