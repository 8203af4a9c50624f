//! The OpenAPI document and Swagger UI, from the binary itself: nothing is loaded from elsewhere.

use super::openapi;
use super::query::NoQuery;
use super::reply;
use super::tags;
use actix_web::http::header;
use actix_web::web::{Bytes, Path};
use actix_web::{HttpResponse, get};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use utoipa_swagger_ui::Config;

/// The OpenAPI document
///
/// The description of this API, OpenAPI 3.1. Swagger UI at `/docs/` shows it.
#[utoipa::path(
    operation_id = "getOpenApi",
    tag = "server",
    responses((status = 200, description = "The document", body = Object, content_type = "application/json")),
)]
#[get("/openapi.json")]
pub(crate) async fn document(_: NoQuery) -> HttpResponse {
    static JSON: LazyLock<(String, Bytes)> = LazyLock::new(|| {
        let json = openapi::json();
        (tags::of_body(json.as_bytes()), Bytes::from(json))
    });
    let (tag, json) = &*JSON;
    reply::tagged(tag.clone(), json.clone())
}

/// `/docs` without its slash.
#[get("/docs")]
pub(crate) async fn to_ui() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "/docs/")).finish()
}

/// One of Swagger UI's files.
#[get("/docs/{file:.*}")]
pub(crate) async fn ui(file: Path<String>) -> HttpResponse {
    match UI.get(file.as_str()) {
        Some((content_type, bytes)) => HttpResponse::Ok().content_type(content_type.as_str()).body(bytes.clone()),
        None => HttpResponse::NotFound().finish(),
    }
}

/// Swagger UI's files by name, each with its content type. Read once: whoever asks for one holds no copy of it.
static UI: LazyLock<HashMap<&str, (String, Bytes)>> = LazyLock::new(|| {
    let config = Config::new(["/openapi.json"])
        .try_it_out_enabled(true)
        .deep_linking(true)
        .display_request_duration(true)
        .persist_authorization(true)
        .filter(true)
        .default_models_expand_depth(0)
        .doc_expansion("list")
        .request_snippets_enabled(true)
        .validator_url("none");
    let config = Arc::new(config);
    let read = |name: &'static str| {
        let found = utoipa_swagger_ui::serve(name, Arc::clone(&config)).ok().flatten()?;
        Some((name, (found.content_type, Bytes::from(found.bytes.into_owned()))))
    };
    FILES.iter().filter_map(|name| read(name)).collect()
});

/// The files that the page loads, and the page itself.
const FILES: [&str; 9] = [
    "",
    "index.html",
    "index.css",
    "swagger-ui.css",
    "swagger-ui-bundle.js",
    "swagger-ui-standalone-preset.js",
    "swagger-initializer.js",
    "favicon-16x16.png",
    "favicon-32x32.png",
];
