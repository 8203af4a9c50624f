//! Answers out: JSON, entity tags, what a change came to.

use super::problem::Problem;
use super::tags;
use crate::services::Done;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde::Serialize;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// 200 with JSON that is already written.
pub(crate) fn json_bytes(bytes: impl Into<Bytes>) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CONTENT_TYPE, JSON)).body(bytes.into())
}

/// 200 with a value.
pub(crate) fn ok(value: &impl Serialize) -> Result<HttpResponse, Problem> {
    body(HttpResponse::Ok(), value)
}

/// 200 with what a record shows at this moment.
pub(crate) fn record(value: &impl Serialize, revision: u64) -> Result<HttpResponse, Problem> {
    let bytes = written(value)?;
    let tag = tags::of_record(revision, &bytes);
    Ok(tagged(tag, bytes))
}

/// 200 with what was read and is no one record.
pub(crate) fn view(value: &impl Serialize) -> Result<HttpResponse, Problem> {
    let bytes = written(value)?;
    let tag = tags::of_body(&bytes);
    Ok(tagged(tag, bytes))
}

/// 200 with JSON that is already written, and its entity tag.
pub(crate) fn tagged(tag: String, bytes: impl Into<Bytes>) -> HttpResponse {
    let mut response = json_bytes(bytes);
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// 200 with what a change came to.
pub(crate) fn changed<T, V: Serialize>(done: Done<T>, view: impl FnOnce(T) -> V) -> Result<HttpResponse, Problem> {
    done_with(HttpResponse::Ok(), done, view)
}

/// 201 with what was made, found from now on at `location`. Where nothing was written (`validate_only`) it is 200.
pub(crate) fn created<T, V: Serialize>(
    done: Done<T>,
    location: impl FnOnce(&T) -> String,
    view: impl FnOnce(T) -> V,
) -> Result<HttpResponse, Problem> {
    if done.revision.is_none() {
        return done_with(HttpResponse::Ok(), done, view);
    }
    let mut response = HttpResponse::Created();
    response.insert_header((header::LOCATION, location(&done.value)));
    done_with(response, done, view)
}

/// 202 with what has to be approved first, found at `location`.
pub(crate) fn accepted<T, V: Serialize>(
    done: Done<T>,
    location: impl FnOnce(&T) -> String,
    view: impl FnOnce(T) -> V,
) -> Result<HttpResponse, Problem> {
    let mut response = HttpResponse::Accepted();
    response.insert_header((header::LOCATION, location(&done.value)));
    done_with(response, done, view)
}

fn done_with<T, V: Serialize>(
    mut response: HttpResponseBuilder,
    done: Done<T>,
    view: impl FnOnce(T) -> V,
) -> Result<HttpResponse, Problem> {
    if let Some(revision) = done.revision {
        response.insert_header((header::ETAG, tags::of_revision(revision)));
    }
    if done.replayed {
        response.insert_header(("idempotent-replayed", "true"));
    }
    body(response, &view(done.value))
}

fn body(mut response: HttpResponseBuilder, value: &impl Serialize) -> Result<HttpResponse, Problem> {
    Ok(response.insert_header((header::CONTENT_TYPE, JSON)).body(written(value)?))
}

fn written(value: &impl Serialize) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(value).map_err(|error| Problem::internal(&error))
}
