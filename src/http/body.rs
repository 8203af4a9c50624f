//! Bodies in: bounded, JSON by their content type, typed, with a pointer to what is wrong.

use super::access;
use super::held::Held;
use super::pace::Paced;
use super::port::Connection;
use super::problem::{Code, FieldError, Place, Problem};
use super::state::State;
use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut, Data};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use futures_util::{FutureExt, StreamExt};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;

/// A name and a password.
const MAX_LOGIN_BYTES: usize = 4 * 1024;
/// 256 decisions or payment events, each with ids of its own.
const MAX_BATCH_BYTES: usize = 512 * 1024;
/// Everything else that is no document.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Bytes of an unwanted body that are dropped for the connection to stay.
const MAX_DROPPED_BYTES: usize = 64 * 1024;
/// Longest piece of a caller's text in an error.
const MAX_SHOWN_CHARS: usize = 240;

/// A JSON body, read but not parsed.
pub(crate) struct JsonBytes(pub(crate) Bytes);

impl FromRequest for JsonBytes {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let checked = check_head(request);
        let request = request.clone();
        let mut payload = payload.take();
        Box::pin(async move {
            let read = match checked {
                Ok(most) => read(&mut payload, most, &request).await,
                Err(problem) => Err(problem),
            };
            match read {
                Ok(bytes) => {
                    was_read(&request);
                    Ok(Self(bytes))
                }
                Err(problem) => {
                    if has_arrived(&mut payload).await {
                        was_read(&request);
                    }
                    Err(problem)
                }
            }
        })
    }
}

/// The connection has nothing of this request left to read.
pub(crate) fn was_read(request: &HttpRequest) {
    if let Some(connection) = request.conn_data::<Rc<Connection>>() {
        connection.body_was_read();
    }
}

/// A JSON body that may be left out, together with its content type.
pub(crate) struct OptionalJson(pub(crate) Option<Bytes>);

impl FromRequest for OptionalJson {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        if !request.content_type().is_empty() {
            let json = JsonBytes::from_request(request, payload);
            return Box::pin(async move { json.await.map(|JsonBytes(bytes)| Self(Some(bytes))) });
        }
        let refused = check_head(request);
        let request = request.clone();
        let mut payload = payload.take();
        Box::pin(async move {
            // Whatever came without a content type is no body, unless it is more than nothing.
            let first = Paced::new(&mut payload, &request).next().await?;
            match (first, refused) {
                (Some(_), Err(problem)) => {
                    if has_arrived(&mut payload).await {
                        was_read(&request);
                    }
                    Err(problem)
                }
                (None, _) | (Some(_), Ok(_)) => {
                    was_read(&request);
                    Ok(Self(None))
                }
            }
        })
    }
}

/// What can be told before the body is read. Returns the most bytes that it may have.
fn check_head(request: &HttpRequest) -> Result<usize, Problem> {
    if !request.content_type().eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(Code::UnsupportedMediaType, "send the body with `content-type: application/json`"));
    }
    if request.headers().get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(Problem::new(Code::UnsupportedMediaType, "send the body without `content-encoding`"));
    }
    let most = request.app_data::<Data<State>>().map_or(0, |state| max_bytes(request.path(), state.max_body_bytes));
    match content_length(request) {
        Some(length) if length > most as u64 => Err(too_large(most)),
        _ => Ok(most),
    }
}

/// The most that the body of a request to this path may have: what its largest sensible one needs, and for documents
/// what the server is set to take.
fn max_bytes(path: &str, documents: usize) -> usize {
    let max = match path.strip_prefix("/v1/").unwrap_or_default() {
        "sessions" => MAX_LOGIN_BYTES,
        "decisions/batch" => MAX_BATCH_BYTES,
        "ledger/reconcile" => documents,
        rest if rest.starts_with("policies/") => documents,
        rest if rest.starts_with("hooks/") => MAX_BATCH_BYTES,
        rest if rest.starts_with("operators/") && rest.ends_with("/password") => MAX_LOGIN_BYTES,
        _ => MAX_BODY_BYTES,
    };
    max.min(documents)
}

fn content_length(request: &HttpRequest) -> Option<u64> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(most: usize) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("the body is larger than the {most} bytes that this operation takes"))
}

async fn read(payload: &mut Payload, most: usize, request: &HttpRequest) -> Result<Bytes, Problem> {
    // ORDER: before any of it is kept, so that what there is no room for costs nothing.
    let is_known = access::caller(request).is_ok();
    let announced = content_length(request).and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    // Of strangers what has come is counted: what they announce costs them nothing.
    let announced = if is_known { announced } else { 0 };
    let mut held = Held::of(is_known);
    held.grow_to(announced, most)?;
    let mut paced = Paced::new(payload, request);
    let Some(first) = paced.next().await? else { return Ok(Bytes::new()) };
    if first.len() > most {
        return Err(too_large(most));
    }
    // The usual body came in one piece and is not copied.
    let Some(second) = paced.next().await? else { return Ok(first) };
    let mut body = BytesMut::with_capacity(announced.max(2 * first.len()));
    body.extend_from_slice(&first);
    let mut piece = Some(second);
    while let Some(bytes) = piece {
        let len = body.len() + bytes.len();
        if len > most {
            return Err(too_large(most));
        }
        held.grow_to(len, most)?;
        body.extend_from_slice(&bytes);
        piece = paced.next().await?;
    }
    Ok(body.freeze())
}

/// Drops what has come of a body that nobody wants, without waiting for more, and tells whether that was all of it.
///
/// A caller that sent all of it keeps its connection.
pub(crate) async fn has_arrived(payload: &mut Payload) -> bool {
    // What came with the head is taken out of the buffer once the handler waits, which it does this once.
    tokio::task::yield_now().await;
    let mut left = MAX_DROPPED_BYTES;
    while let Some(next) = payload.next().now_or_never() {
        match next {
            None => return true,
            Some(Ok(bytes)) if bytes.len() <= left => left -= bytes.len(),
            Some(_) => return false,
        }
    }
    false
}

/// Reads and drops the body of an operation that has none.
///
/// Errors: 413, it is more than anybody would send by mistake; 408, it comes too slowly.
pub(crate) async fn pass_over(request: &HttpRequest, payload: &mut Payload) -> Result<(), Problem> {
    let mut paced = Paced::new(payload, request);
    let mut left = MAX_DROPPED_BYTES;
    while let Some(piece) = paced.next().await? {
        left = left.checked_sub(piece.len()).ok_or_else(|| too_large(MAX_DROPPED_BYTES))?;
    }
    was_read(request);
    Ok(())
}

/// Reads a JSON object as a `T`.
///
/// Errors: 400 where it is not JSON, 422 with a pointer where it is not a `T`.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map(|Object(value)| value).map_err(|_| explain::<Object<T>>(bytes))
}

/// The same for a body that has a password in it: no value is repeated in an error.
pub(crate) fn parse_private<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    parse(bytes).map_err(Problem::without_values)
}

/// A `T` written as an object: serde would take a list of its fields' values too.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = T;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            // It may be a secret, and is not repeated.
            fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<T, E> {
                Err(E::custom("invalid type: a string, expected a JSON object"))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

/// For a field that is an object or absent; `#[serde(default, deserialize_with = "body::object")]`.
pub(crate) fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(Option::<Object<T>>::deserialize(deserializer)?.map(|Object(value)| value))
}

/// Reads it once more, keeping track of where.
#[cold]
fn explain<T: DeserializeOwned>(bytes: &[u8]) -> Problem {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Problem::new(Code::InvalidJson, "the body is empty: send a JSON object");
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Ok(_) => Problem::new(Code::InvalidJson, "more follows after the end of the JSON value"),
        Err(error) => match error.inner().classify() {
            Category::Data => data_error(error.path(), &error.inner().to_string()),
            Category::Syntax | Category::Eof | Category::Io => {
                Problem::new(Code::InvalidJson, shortened(&error.inner().to_string()))
            }
        },
    }
}

fn data_error(path: &Path, message: &str) -> Problem {
    // serde_json puts the place behind the message; the pointer says it better.
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    Problem::invalid(vec![field_error(Place::Body, pointer(path), message)])
}

/// The code of a serde error, with the field that it names made part of the pointer.
pub(crate) fn field_error(place: Place, mut pointer: String, message: &str) -> FieldError {
    let code = match message {
        _ if message.starts_with("unknown field") => "unknown_field",
        _ if message.starts_with("missing field") => "missing_field",
        _ if message.starts_with("duplicate field") => "duplicate_field",
        _ => "invalid_value",
    };
    if code != "invalid_value"
        && let Some(field) = message.split('`').nth(1)
    {
        let last = format!("/{}", escaped(field));
        if !pointer.ends_with(&last) {
            pointer.push_str(&last);
        }
    }
    FieldError::new(place, shortened(&pointer), code, shortened(message))
}

fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{}", escaped(key))),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

/// A key as a part of a JSON pointer.
pub(crate) fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[expect(dead_code, reason = "read by serde only")]
        list: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "read by serde only")]
        cost: crate::domain::quantity::Amount,
    }

    fn error(text: &str) -> (Code, String, String) {
        let problem = serde_json::to_value(parse::<Sample>(text.as_bytes()).unwrap_err().body()).unwrap();
        let first = |name: &str| problem["errors"][0][name].as_str().unwrap_or_default().to_owned();
        let code = parse::<Sample>(text.as_bytes()).unwrap_err().code();
        (code, first("pointer"), first("code"))
    }

    #[test]
    fn an_error_points_at_the_value() {
        let invalid = |pointer: &str, code: &str| (Code::InvalidRequest, pointer.to_owned(), code.to_owned());

        assert_eq!(error(r#"{"list": [{"cost": 1}, {"cost": -1}]}"#), invalid("/list/1/cost", "invalid_value"));
        assert_eq!(error(r#"{"list": [{"cost": 1.5}]}"#), invalid("/list/0/cost", "invalid_value"));
        assert_eq!(error(r#"{"list": [{}]}"#), invalid("/list/0/cost", "missing_field"));
        assert_eq!(error(r#"{"list": [{"cost": 1, "a/b": 2}]}"#), invalid("/list/0/a~1b", "unknown_field"));
        assert_eq!(error(r#"{"list": [], "list": []}"#), invalid("/list", "duplicate_field"));
        assert_eq!(error("[[]]"), invalid("", "invalid_value"));
    }

    #[test]
    fn what_is_not_json_is_told_apart() {
        for text in ["", " ", "{", "{\"list\": [}", "{\"list\": []} x", "\u{feff}{}", &"[".repeat(100_000)] {
            let code = error(text).0;
            assert!(matches!(code, Code::InvalidJson | Code::InvalidRequest), "{text:.20}");
        }
        assert_eq!(error("{\"list\": []} x").0, Code::InvalidJson);
    }

    #[test]
    fn a_long_text_of_the_callers_is_shortened() {
        let long = format!("{{\"list\": [], \"{}\": 1}}", "k".repeat(50_000));

        assert!(error(&long).1.len() < 1_000);
    }
}
