//! One line for each control-plane request: who asked for what, how it ended, how long it took. No bodies, no headers.

use super::access::Passed;
use crate::services::credentials::without_secrets;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::{Error, HttpMessage};
use std::time::Instant;
use tracing::Span;
use tracing_actix_web::RootSpanBuilder;

pub(crate) struct AccessLog;

#[derive(Clone, Copy)]
struct Begun(Instant);

impl RootSpanBuilder for AccessLog {
    fn on_request_start(request: &ServiceRequest) -> Span {
        request.extensions_mut().insert(Begun(Instant::now()));
        let passed = |passed: &Passed| passed.id.as_str().to_owned();
        let id = request.extensions().get::<Passed>().map(passed).unwrap_or_default();
        let path = without_secrets(request.path());
        tracing::info_span!("request", request_id = %id, method = %request.method(), path = %path)
    }

    fn on_request_end<B: MessageBody>(span: Span, outcome: &Result<ServiceResponse<B>, Error>) {
        let _entered = span.enter();
        match outcome {
            Ok(response) => {
                let begun = response.request().extensions().get::<Begun>().copied();
                let took_us = begun.map_or(0, |Begun(begun)| begun.elapsed().as_micros());
                tracing::info!(status = response.status().as_u16(), took_us = took_us as u64, "answered");
            }
            Err(error) => tracing::info!(status = error.as_response_error().status_code().as_u16(), "answered"),
        }
    }
}
