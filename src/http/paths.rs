//! The paths that there are, read from the OpenAPI document, and the answer where a request fits none.

use super::body;
use super::openapi;
use super::problem::{Code, Problem};
use actix_web::dev::{Payload, ResourceDef};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, web};
use std::collections::BTreeSet;
use std::sync::LazyLock;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::PathItem;

/// Pages for people, which the document leaves out.
const UNDOCUMENTED: &[&str] = &["/docs", "/docs/{page:.*}"];
const READ_ONLY: &str = "GET, HEAD, OPTIONS";
/// Of the server as a whole: `OPTIONS *`.
const EVERY_METHOD: &str = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT";

/// Every path with its methods.
pub(crate) struct Paths(Vec<(ResourceDef, HeaderValue)>);

/// The paths of this server, read once.
pub(crate) fn known() -> Data<Paths> {
    static KNOWN: LazyLock<Data<Paths>> = LazyLock::new(|| Data::new(Paths::of(&openapi::document())));
    KNOWN.clone()
}

impl Paths {
    fn of(document: &OpenApi) -> Self {
        let path = |(path, item): (&String, &PathItem)| {
            // A path that could be a template of another comes after it in the document's order.
            let methods = methods(item).into_iter().collect::<Vec<_>>().join(", ");
            let methods = HeaderValue::from_str(&methods).unwrap_or(HeaderValue::from_static(""));
            (ResourceDef::new(path.as_str()), methods)
        };
        let pages = UNDOCUMENTED.iter().map(|page| (ResourceDef::new(*page), HeaderValue::from_static(READ_ONLY)));
        Self(document.paths.paths.iter().map(path).chain(pages).collect())
    }

    /// The methods of the path; None: there is no such path.
    fn allow(&self, path: &str) -> Option<HeaderValue> {
        if path == "*" {
            return Some(HeaderValue::from_static(EVERY_METHOD));
        }
        let exact = self.0.iter().find(|(known, _)| known.pattern() == Some(path));
        let known = exact.or_else(|| self.0.iter().find(|(known, _)| known.is_match(path)));
        known.map(|(_, methods)| methods.clone())
    }
}

fn methods(item: &PathItem) -> BTreeSet<&'static str> {
    let methods = [
        ("DELETE", item.delete.is_some()),
        ("GET", item.get.is_some()),
        // Answered as GET is, without the body.
        ("HEAD", item.get.is_some()),
        ("OPTIONS", true),
        ("PATCH", item.patch.is_some()),
        ("POST", item.post.is_some()),
        ("PUT", item.put.is_some()),
    ];
    methods.into_iter().filter(|(_, there)| *there).map(|(method, _)| method).collect()
}

/// 204 to `OPTIONS`, 405 where the path exists for other methods, both with `Allow`; else 404. A body is not waited for.
pub(crate) async fn fallback(
    request: HttpRequest,
    paths: Data<Paths>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    if body::has_arrived(&mut Payload::Stream { payload: Box::pin(payload) }).await {
        body::was_read(&request);
    }
    let shown: String = request.path().chars().take(200).flat_map(char::escape_debug).collect();
    Err(match paths.allow(request.path()) {
        Some(methods) if request.method() == Method::OPTIONS => {
            return Ok(HttpResponse::NoContent().insert_header((header::ALLOW, methods)).finish());
        }
        Some(methods) => {
            let listed = methods.to_str().unwrap_or_default();
            let detail = format!("`{shown}` takes {listed}, not {}", request.method());
            Problem::new(Code::MethodNotAllowed, detail).with_header(header::ALLOW, methods)
        }
        None => Problem::new(Code::NoSuchPath, format!("there is nothing at `{shown}`; `/docs/` lists what there is")),
    })
}
