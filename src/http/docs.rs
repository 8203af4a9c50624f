//! The OpenAPI document and Swagger UI, from the binary itself: nothing is loaded from elsewhere.

use super::openapi;
use super::query::NoQuery;
use super::reply;
use super::tags;
use actix_web::http::header;
use actix_web::{HttpResponse, get};
use std::sync::LazyLock;
use utoipa_swagger_ui::{Config, SwaggerUi};

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
    static JSON: LazyLock<(String, String)> = LazyLock::new(|| {
        let json = openapi::json();
        (tags::of_body(json.as_bytes()), json)
    });
    let (tag, json) = &*JSON;
    reply::tagged(tag.clone(), json.clone().into_bytes())
}

/// `/docs` without its slash.
#[get("/docs")]
pub(crate) async fn to_ui() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "/docs/")).finish()
}

pub(crate) fn ui() -> SwaggerUi {
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
    SwaggerUi::new("/docs/{_:.*}").config(config)
}
