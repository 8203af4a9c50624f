//! Errors on the wire: `application/problem+json` (RFC 9457) with one closed list of codes.

pub(crate) use super::code::Code;
use crate::domain::ids::PolicyId;
use crate::domain::quantity::Quota;
use crate::services::credentials::without_secrets;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use std::borrow::Cow;
use std::fmt;
use utoipa::ToSchema;

pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// Where a value that is not valid stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ErrorPlace)]
pub(crate) enum Place {
    Body,
    Query,
    Path,
    Header,
}

impl Place {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_body(&self) -> bool {
        *self == Self::Body
    }
}

/// One value that is not valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// Where it stands; absent: in the body.
    #[serde(rename = "in", skip_serializing_if = "Place::is_body")]
    #[schema(required = false)]
    pub(crate) place: Place,
    /// JSON pointer (RFC 6901) to the value; of a parameter or header `/` and its name.
    #[schema(example = "/tokens")]
    pub(crate) pointer: String,
    /// What is wrong, for programs.
    #[schema(value_type = String, example = "invalid_value")]
    pub(crate) code: Cow<'static, str>,
    /// What is wrong, for people.
    #[schema(example = "`-5` is not an amount: write an integer from 0 to 10^15")]
    pub(crate) detail: String,
}

impl FieldError {
    pub(crate) fn new(place: Place, pointer: impl Into<String>, code: &'static str, detail: impl ToString) -> Self {
        let (pointer, detail) = (pointer.into(), detail.to_string());
        Self { place, pointer: shown(pointer), code: code.into(), detail: shown(detail) }
    }
}

/// Answers are logged and shown to others: what a caller sent comes back without its secrets.
fn shown(text: String) -> String {
    match without_secrets(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(kept) => kept,
    }
}

/// What is wrong with a value, in words that do not repeat it.
fn without_value(detail: &str) -> String {
    // ORDER: from the end, because what was sent may hold these words too, and what follows them is ours.
    if let Some((_, rule)) = detail.rsplit_once("` is not valid: ") {
        return format!("this is not valid: {rule}");
    }
    match detail.rsplit_once(", expected ") {
        Some((_, expected)) => format!("expected {expected}"),
        None => "this is not valid".to_owned(),
    }
}

/// How far a limit of an account can be raised.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = RaiseBounds)]
pub(crate) struct Raise {
    pub(crate) group: PolicyId,
    pub(crate) limit: PolicyId,
    /// What sets the quota at the wanted start, clamps aside.
    pub(crate) in_force: Quota,
    /// The most it can be raised to; absent: there is no ceiling.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) ceiling: Option<Quota>,
}

impl Raise {
    fn example() -> Option<Self> {
        let id = |text| PolicyId::parse(text).ok();
        let (in_force, ceiling) = (Quota::Units(500), Some(Quota::Units(5_000)));
        Some(Self { group: id("text.m2")?, limit: id("rpm")?, in_force, ceiling })
    }
}

/// An error, ready to be answered.
#[derive(Debug, Clone)]
pub(crate) struct Problem(Box<Body>);

/// What went wrong (RFC 9457).
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Body {
    /// Where the code is explained.
    #[serde(rename = "type")]
    #[schema(format = "uri-reference", example = "/docs/errors#invalid_request")]
    kind: String,
    code: Code,
    /// The code in words.
    #[schema(value_type = String, example = "Invalid request")]
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599, example = 422)]
    status: u16,
    /// What happened this time, and what to do.
    detail: String,
    /// Every value that is not valid.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldError>,
    /// The entity tag to send instead, after reading what it stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "\"42\"")]
    current_etag: Option<String>,
    /// The transitions that the present state has; none where it is the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    allowed_transitions: Option<Vec<String>>,
    /// Where what stands in the way is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "uri-reference", example = "/v1/raise-requests/rr_01kg8y2v0031gwr3b99bwpg6k4")]
    link: Option<String>,
    /// How far the limit can be raised.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    raise: Option<Raise>,
    /// How the reservation ended: `settled`, `cancelled` or `expired`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    ended: Option<&'static str>,
    /// To find this request in the log.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    request_id: String,
    #[serde(skip)]
    headers: Vec<(header::HeaderName, HeaderValue)>,
    /// For the log only.
    #[serde(skip)]
    cause: Option<String>,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        let headers = match (code, code.status()) {
            (_, StatusCode::SERVICE_UNAVAILABLE) => vec![(header::RETRY_AFTER, HeaderValue::from_static("1"))],
            (Code::Unauthorized, _) => vec![(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))],
            (_, StatusCode::UNAUTHORIZED) => vec![(header::WWW_AUTHENTICATE, HeaderValue::from_static("Signature"))],
            _ => Vec::new(),
        };
        Self(Box::new(Body {
            kind: format!("/docs/errors#{}", code.as_value()),
            code,
            title: code.title(),
            status: code.status().as_u16(),
            detail: shown(detail.into()),
            errors: Vec::new(),
            current_etag: None,
            allowed_transitions: None,
            link: None,
            raise: None,
            ended: None,
            request_id: String::new(),
            headers,
            cause: None,
        }))
    }

    /// 500; the cause is for the log, the caller gets the request's id.
    pub(crate) fn internal(cause: &impl fmt::Display) -> Self {
        let mut problem =
            Self::new(Code::Internal, "something broke in the server; its log has the cause under this id");
        problem.0.cause = Some(cause.to_string());
        problem
    }

    pub(crate) fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// 422, with every value that is not valid.
    pub(crate) fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [] => "the request is not valid".to_owned(),
            [only] => format!("{}: {}", only.pointer, only.detail),
            [first, rest @ ..] => format!("{}: {}, and {} more", first.pointer, first.detail, rest.len()),
        };
        let mut problem = Self::new(Code::InvalidRequest, detail);
        problem.0.errors = errors;
        problem
    }

    /// 422 for one value.
    pub(crate) fn field(place: Place, pointer: impl Into<String>, code: &'static str, detail: impl ToString) -> Self {
        Self::invalid(vec![FieldError::new(place, pointer, code, detail)])
    }

    /// How a problem of this code looks, for the OpenAPI document.
    pub(crate) fn example(code: Code) -> Self {
        let problem = match code {
            Code::InvalidRequest => {
                let detail = "`-5` is not an amount: write an integer from 0 to 10^15";
                Self::field(Place::Body, "/tokens", "invalid_value", detail)
            }
            _ => Self::new(code, code.about()),
        };
        let problem = match code {
            Code::Stale => problem.with_current_etag(Some("\"13\"".to_owned())),
            Code::ReservationEnded => problem.with_ended("settled"),
            Code::WrongState => problem.with_allowed_transitions(vec!["assign".to_owned(), "withdraw".to_owned()]),
            Code::RaiseRequestOpen => problem.with_link("/v1/raise-requests/rr_01kg8y2v0031gwr3b99bwpg6k4".to_owned()),
            Code::AlreadySatisfied | Code::AboveMaximum | Code::NotAdjustable => problem.with_example_raise(),
            _ => problem,
        };
        problem.with_request_id("90a24527-00000008")
    }

    /// For a body that has a password in it, which may be any text and may stand in the wrong place.
    pub(crate) fn without_values(self) -> Self {
        if self.0.errors.is_empty() {
            return self;
        }
        let told = |error: FieldError| match error.code.as_ref() {
            "invalid_value" => FieldError { detail: without_value(&error.detail), ..error },
            _ => error,
        };
        Self::invalid(self.0.errors.into_iter().map(told).collect())
    }

    /// The values that are not valid stand in the query.
    pub(crate) fn in_query(mut self) -> Self {
        self.0.errors.iter_mut().for_each(|error| error.place = Place::Query);
        self
    }

    pub(crate) fn code(&self) -> Code {
        self.0.code
    }

    pub(crate) fn body(&self) -> &Body {
        &self.0
    }

    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    pub(crate) fn with_request_id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.0.request_id);
        self
    }

    pub(crate) fn with_ended(mut self, how: &'static str) -> Self {
        self.0.ended = Some(how);
        self
    }

    pub(crate) fn with_current_etag(mut self, etag: Option<String>) -> Self {
        self.0.current_etag = etag;
        self
    }

    pub(crate) fn with_allowed_transitions(mut self, transitions: Vec<String>) -> Self {
        self.0.allowed_transitions = Some(transitions);
        self
    }

    pub(crate) fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.0.errors = errors;
        self
    }

    pub(crate) fn with_link(mut self, link: String) -> Self {
        self.0.link = Some(link);
        self
    }

    pub(crate) fn with_raise(mut self, raise: Raise) -> Self {
        self.0.raise = Some(raise);
        self
    }

    fn with_example_raise(mut self) -> Self {
        self.0.raise = Raise::example();
        self
    }

    pub(crate) fn with_header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.add_header(name, value);
        self
    }

    pub(crate) fn without_header(mut self, name: &header::HeaderName) -> Self {
        self.0.headers.retain(|(known, _)| known != name);
        self
    }

    pub(crate) fn add_header(&mut self, name: header::HeaderName, value: HeaderValue) {
        self.0.headers.push((name, value));
    }

    pub(crate) fn respond(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.0.code.status());
        for header in &self.0.headers {
            response.insert_header(header.clone());
        }
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        response.content_type(PROBLEM_JSON).insert_header((header::CACHE_CONTROL, "no-store")).body(body)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.0.code.status()
    }

    fn error_response(&self) -> HttpResponse {
        self.respond()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_named_in_its_type_and_has_an_error_status() {
        for &code in Code::ALL {
            let problem = Problem::new(code, "why");

            assert_eq!(problem.0.kind, format!("/docs/errors#{}", code.as_value()));
            assert!(code.status().as_u16() >= 400, "{code:?}");
        }
    }

    #[test]
    fn of_a_private_body_it_is_told_what_is_wrong_and_not_what_was_sent() {
        for (detail, told) in [
            ("operator name `my secret` is not valid: write it so", "this is not valid: write it so"),
            ("unknown variant `a, expected b`, expected one of `viewer`, `owner`", "expected one of `viewer`, `owner`"),
            ("invalid type: string \"my secret\", expected u32", "expected u32"),
            ("`my secret` is no number", "this is not valid"),
        ] {
            let problem = Problem::field(Place::Body, "/name", "invalid_value", detail).without_values();
            assert_eq!(problem.0.errors[0].detail, told);
            assert_eq!(problem.0.detail, format!("/name: {told}"));
        }
        let unknown = Problem::field(Place::Body, "/nam", "unknown_field", "unknown field `nam`").without_values();
        assert_eq!(unknown.0.errors[0].detail, "unknown field `nam`");
    }

    #[test]
    fn the_page_of_errors_has_one_section_for_each_code() {
        let page = include_str!("../../docs/errors.md");

        let sections: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        let mut sorted = sections.clone();
        sorted.sort_unstable();
        let mut codes: Vec<String> = Code::ALL.iter().map(|code| code.as_value()).collect();
        codes.sort_unstable();

        assert_eq!(sorted, codes);
        for code in &codes {
            assert!(page.lines().any(|line| line.starts_with('|') && line.contains(&format!("`{code}`"))), "{code}");
        }
        let status = |code: &str| Code::named(code).map_or(0, |code| code.status().as_u16());
        let mut heading = 0;
        for line in page.lines() {
            match line.split_once(' ') {
                Some(("#", text)) => heading = text.parse().unwrap_or(0),
                Some(("##", code)) => assert_eq!(status(code), heading, "{code}"),
                _ => {}
            }
        }
    }
}
