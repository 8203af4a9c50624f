//! Reads: query parameters, pages of lists, one record.

use super::access;
use super::body::field_error;
use super::problem::{FieldError, Place, Problem};
use super::reply;
use super::state::State;
use crate::services::{self, Cursor, MAX_PAGE, Page, Paging, Services};
use actix_web::dev::Payload;
use actix_web::web::{Data, block};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::future::{Ready, ready};
use std::sync::Arc;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};

/// Entries of a page where none are asked for.
const USUAL_PAGE: usize = 50;
/// Bytes of a page token that bind it to its query.
const BINDING_BYTES: usize = 8;

/// Reads query parameters as a `T`, which refuses those it does not know.
///
/// Errors: 422 with the parameter.
pub(crate) fn parse<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(pairs).map_err(|error| {
        let pointer = match error.path().to_string() {
            path if path == "." => String::new(),
            path => format!("/{path}"),
        };
        Problem::invalid(vec![field_error(Place::Query, pointer, &error.inner().to_string())])
    })
}

/// For routes that take no parameters.
///
/// Errors: 422 with the parameter.
pub(crate) fn none(request: &HttpRequest) -> Result<(), Problem> {
    match request.query_string() {
        "" => Ok(()),
        query => parse::<NoFilter>(query).map(|NoFilter {}| ()),
    }
}

/// A read without parameters and without services.
pub(crate) struct NoQuery;

impl FromRequest for NoQuery {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(none(request).map(|()| Self))
    }
}

/// Which page of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// Entries of a page; brought into 1 to 200. A page may be shorter although there is a next one.
    #[param(value_type = Option<PageSize>)]
    page_size: Option<String>,
    /// The `next_page_token` of the page before, with the same filters.
    #[param(max_length = 2048)]
    page_token: Option<String>,
}

/// Describes `page_size` in the OpenAPI document. Any integer: it is brought into the bounds, so it has none here.
pub(crate) struct PageSize;

impl PartialSchema for PageSize {
    fn schema() -> RefOr<Schema> {
        let integer = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
        integer.default(Some(USUAL_PAGE.into())).examples([serde_json::json!(USUAL_PAGE)]).into()
    }
}

impl ToSchema for PageSize {}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Listed<T> {
    items: Vec<T>,
    /// Send it as `page_token` for the next page; absent: this is the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_page_token: Option<String>,
}

/// A list asked for: typed filters, which page, and what to read it with.
pub(crate) struct List<F> {
    filter: F,
    paging: Paging,
    binding: [u8; BINDING_BYTES],
    read: Read,
}

/// A read: the services, at one moment.
pub(crate) struct Read {
    services: Arc<Services>,
    now: i64,
}

impl Read {
    /// Reads where blocking is fine. The second argument is the time.
    pub(crate) async fn run<R: Send + 'static>(
        self,
        work: impl FnOnce(&Services, i64) -> Result<R, services::Error> + Send + 'static,
    ) -> Result<R, Problem> {
        let read = block(move || work(&self.services, self.now));
        Ok(read.await.map_err(|error| Problem::internal(&error))??)
    }

    /// Errors: the guard has not asked who reads.
    fn of(request: &HttpRequest) -> Result<Self, Problem> {
        access::caller(request)?;
        let state = request.app_data::<Data<State>>().ok_or_else(|| Problem::internal(&"the server has no state"))?;
        Ok(Self { services: Arc::clone(&state.services), now: state.clock.now_ms() })
    }
}

impl<F: Send + 'static> List<F> {
    pub(crate) fn filter(&self) -> &F {
        &self.filter
    }

    /// Reads the page where blocking is fine, and answers it.
    pub(crate) async fn run<T: Send + 'static, V: Serialize>(
        self,
        work: impl FnOnce(&Services, &F, &Paging, i64) -> Result<Page<T>, services::Error> + Send + 'static,
        view: impl FnMut(T) -> V,
    ) -> Result<HttpResponse, Problem> {
        let Self { filter, paging, binding, read } = self;
        let page = read.run(move |services, now| work(services, &filter, &paging, now)).await?;
        let next_page_token = page.next.map(|cursor| token(binding, &cursor));
        reply::view(&Listed { items: page.items.into_iter().map(view).collect(), next_page_token })
    }

    fn of(request: &HttpRequest) -> Result<Self, Problem>
    where
        F: DeserializeOwned,
    {
        let is_paging = |name: &str| matches!(name, "page_size" | "page_token");
        let (paging, filters): (Vec<_>, Vec<_>) =
            form_urlencoded::parse(request.query_string().as_bytes()).partition(|(name, _)| is_paging(name));
        let encoded = |pairs: &[_]| form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let filter_text = encoded(&filters);
        let asked: PageQuery = parse(&encoded(&paging))?;
        let binding = binding(request.path(), &filter_text);
        let paging = Paging { after: asked.cursor(binding)?, size: asked.size()? };
        Ok(Self { filter: parse(&filter_text)?, paging, binding, read: Read::of(request)? })
    }
}

impl PageQuery {
    fn size(&self) -> Result<usize, Problem> {
        page_size(self.page_size.as_deref())
    }

    fn cursor(&self, binding: [u8; BINDING_BYTES]) -> Result<Option<Cursor>, Problem> {
        let Some(text) = &self.page_token else { return Ok(None) };
        let bytes = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
        match bytes.split_first_chunk::<BINDING_BYTES>() {
            Some((bound, cursor)) if *bound == binding => Ok(Some(Cursor(cursor.to_vec()))),
            _ => {
                let detail = "not a page token of this list with these filters: take `next_page_token` as it is";
                Err(Problem::invalid(vec![FieldError::new(Place::Query, "/page_token", "invalid_value", detail)]))
            }
        }
    }
}

/// Reads a `page_size`.
pub(crate) fn page_size(text: Option<&str>) -> Result<usize, Problem> {
    match text {
        None => Ok(USUAL_PAGE),
        // However many digits: it is brought into the bounds.
        Some(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
            Ok(text.parse().unwrap_or(MAX_PAGE).clamp(1, MAX_PAGE))
        }
        Some(text) => {
            let shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
            let detail = format!("`{shown}` is not a page size: write an integer from 1 to {MAX_PAGE}");
            Err(Problem::field(Place::Query, "/page_size", "invalid_value", detail))
        }
    }
}

fn binding(path: &str, filters: &str) -> [u8; BINDING_BYTES] {
    let hash = Sha256::new().chain_update(path).chain_update(b"?").chain_update(filters).finalize();
    let mut binding = [0; BINDING_BYTES];
    binding.copy_from_slice(&hash[..BINDING_BYTES]);
    binding
}

fn token(binding: [u8; BINDING_BYTES], cursor: &Cursor) -> String {
    URL_SAFE_NO_PAD.encode([binding.as_slice(), &cursor.0].concat())
}

impl FromRequest for Read {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(none(request).and_then(|()| Self::of(request)))
    }
}

/// A read with parameters of its own.
pub(crate) struct ReadWith<Q> {
    pub(crate) query: Q,
    pub(crate) read: Read,
}

impl<Q: DeserializeOwned> FromRequest for ReadWith<Q> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let query = parse(request.query_string());
        ready(query.and_then(|query| Ok(Self { query, read: Read::of(request)? })))
    }
}

impl<F: DeserializeOwned + Send + 'static> FromRequest for List<F> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request))
    }
}

/// A list without filters of its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoFilter {}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Result<PageQuery, Problem> {
        parse(query)
    }

    #[test]
    fn a_page_size_is_brought_into_its_bounds() {
        let size = |query: &str| of(query).unwrap().size().ok();

        assert_eq!(size(""), Some(50));
        assert_eq!(size("page_size=0"), Some(1));
        assert_eq!(size("page_size=99999999999999999999999"), Some(200));
        for bad in ["page_size=", "page_size=-1", "page_size=1.5", "page_size=ten"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_page_token_belongs_to_its_list_and_filters() {
        let cursor = Cursor(b"acme".to_vec());
        let here = binding("/v1/accounts", "tier=paid");
        let query = of(&format!("page_token={}", token(here, &cursor))).unwrap();

        assert_eq!(query.cursor(here).unwrap(), Some(cursor));
        assert!(query.cursor(binding("/v1/accounts", "tier=free")).is_err());
        assert!(of("page_token=%F0%9F").unwrap().cursor(here).is_err());
    }

    #[test]
    fn an_unknown_parameter_is_named() {
        let body = serde_json::to_value(of("pagesize=1").unwrap_err().body()).unwrap();

        assert_eq!(body["errors"][0]["pointer"], "/pagesize");
        assert_eq!(body["errors"][0]["in"], "query");
        assert_eq!(body["errors"][0]["code"], "unknown_field");
    }
}
