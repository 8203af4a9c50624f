//! What a control-plane change is made of: a body, and everything about the request that is not its body.

use super::access::{self, Passed};
use super::body::{self, JsonBytes};
use super::console;
use super::idempotency::{self, Held};
use super::problem::Problem;
use super::query;
use super::request_id::RequestId;
use super::state::State;
use super::tags;
use crate::services::{self, Context, Origin, Services};
use actix_web::dev::Payload;
use actix_web::web::{Bytes, Data, block};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use utoipa::IntoParams;

/// A change with a JSON body.
pub(crate) struct Change<T> {
    pub(crate) body: T,
    act: Act,
}

/// The same, and its body has a password or another secret in it: no value of it is repeated in an error.
pub(crate) struct PrivateChange<T>(pub(crate) Change<T>);

/// A change without a body; what is sent as one is read and passed over.
pub(crate) struct Act {
    services: Arc<Services>,
    context: Context,
    /// Until the change is answered, another one with the same key is told to wait.
    held: Option<Held>,
}

/// Goes with every change.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ChangeQuery {
    /// Make all checks and write nothing.
    #[param(default = false)]
    validate_only: Option<bool>,
}

impl ChangeQuery {
    pub(crate) fn read(request: &HttpRequest) -> Result<Self, Problem> {
        match request.query_string() {
            "" => Ok(Self { validate_only: None }),
            query => query::parse(query),
        }
    }

    pub(crate) fn validate_only(&self) -> bool {
        self.validate_only.unwrap_or_default()
    }
}

/// Goes with every POST that makes something.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes a header in the OpenAPI document")]
pub(crate) struct IdempotencyKey {
    /// Your own name for this request: sent again with the same body it gives the first answer again. Kept for at
    /// least 24 hours.
    #[param(
        rename = "Idempotency-Key",
        required = false,
        min_length = 1,
        max_length = 255,
        pattern = "^[ -~]{1,255}$"
    )]
    key: String,
}

/// Goes with every change of something that exists.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes a header in the OpenAPI document")]
pub(crate) struct IfMatch {
    /// The `ETag` that was read, with its quotes: the change is refused with 412 where it has moved on since. A list of
    /// them, or `*` for whatever is there.
    #[param(rename = "If-Match", example = "\"1\"", pattern = r#"^(\*|(W/)?"[!#-~]*"(, (W/)?"[!#-~]*")*)$"#)]
    etag: String,
}

impl<T: 'static> Change<T> {
    /// Does the change where blocking is fine, and gives what it came to.
    pub(crate) async fn run<R: Send + 'static>(
        self,
        work: impl FnOnce(&Services, &Context, T) -> Result<R, services::Error> + Send + 'static,
    ) -> Result<R, Problem>
    where
        T: Send,
    {
        let body = self.body;
        self.act.run(move |services, context| work(services, context, body)).await
    }
}

impl Act {
    /// Does the change where blocking is fine, and gives what it came to.
    pub(crate) async fn run<R: Send + 'static>(
        self,
        work: impl FnOnce(&Services, &Context) -> Result<R, services::Error> + Send + 'static,
    ) -> Result<R, Problem> {
        let Self { services, context, held } = self;
        let done = block(move || {
            let done = work(&services, &context);
            // Not before: the caller may be gone while the change is still under way.
            drop(held);
            done
        });
        Ok(done.await.map_err(|error| Problem::internal(&error))??)
    }

    fn of(request: &HttpRequest, query: &ChangeQuery, body: &[u8]) -> Result<Self, Problem> {
        let state = state(request)?;
        let caller = access::caller(request)?;
        let idempotency = idempotency::read(request, &caller.name_space(), body)?;
        let held = idempotency.as_ref().map(|asked| state.in_flight_keys.hold(&asked.key)).transpose()?;
        let context = Context {
            now: state.clock.now_ms(),
            actor: caller.actor().to_owned(),
            actor_kind: caller.kind(),
            origin: origin(request),
            if_match: tags::if_match(request.headers())?,
            idempotency,
            validate_only: query.validate_only(),
            ceiling_percent: caller.ceiling_percent(&state.services),
            approval: None,
        };
        Ok(Self { services: Arc::clone(&state.services), context, held })
    }
}

pub(crate) fn origin(request: &HttpRequest) -> Origin {
    origin_of(request, request.extensions().get::<Passed>().map(|passed| &passed.id))
}

pub(super) fn origin_of(request: &HttpRequest, id: Option<&RequestId>) -> Origin {
    let request_id = id.map(|id| id.as_str().to_owned());
    Origin { address: console::address(request), request_id }
}

fn state(request: &HttpRequest) -> Result<Data<State>, Problem> {
    request.app_data::<Data<State>>().cloned().ok_or_else(|| Problem::internal(&"the server has no state"))
}

impl<T> Change<T> {
    async fn read(
        request: HttpRequest,
        bytes: impl Future<Output = Result<JsonBytes, Problem>>,
        parse: fn(&[u8]) -> Result<T, Problem>,
    ) -> Result<Self, Problem> {
        let bytes: Bytes = bytes.await?.0;
        let query = ChangeQuery::read(&request)?;
        let body = parse(&bytes)?;
        let act = Act::of(&request, &query, &bytes)?;
        Ok(Self { body, act })
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for Change<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let bytes = JsonBytes::from_request(request, payload);
        Box::pin(Self::read(request.clone(), bytes, body::parse))
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for PrivateChange<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let bytes = JsonBytes::from_request(request, payload);
        let read = Change::read(request.clone(), bytes, body::parse_private);
        Box::pin(async { read.await.map(Self) })
    }
}

impl FromRequest for Act {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let mut payload = payload.take();
        Box::pin(async move {
            body::pass_over(&request, &mut payload).await?;
            Self::of(&request, &ChangeQuery::read(&request)?, b"")
        })
    }
}
