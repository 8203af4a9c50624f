//! The OpenAPI document.

use super::routes;
use actix_web::App;
use utoipa::OpenApi;
use utoipa_actix_web::AppExt;

#[derive(OpenApi)]
#[openapi()]
struct Base;

#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    let app = App::new().into_utoipa_app().openapi(Base::openapi());
    app.configure(routes::hot).configure(routes::control).split_for_parts().1
}

/// The document as it is served and committed: indented, one line end.
#[must_use]
pub fn json() -> String {
    let mut json = serde_json::to_string_pretty(&document()).unwrap_or_default();
    json.push('\n');
    json
}
