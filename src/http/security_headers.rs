//! What an answer tells a browser that it must not do with it.
//!
//! The decision path has the few that mean something for JSON that a program reads; credentials are bearer tokens, which a
//! browser never sends by itself. There is no `Access-Control-*` anywhere: pages of other origins read nothing.

use super::front::Front;
use super::problem::Problem;
use actix_web::dev::ServiceRequest;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CROSS_ORIGIN_RESOURCE_POLICY, HeaderMap, HeaderName, HeaderValue,
    REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

type Header = (HeaderName, HeaderValue);

const NOSNIFF: Header = (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
const NO_STORE: Header = (CACHE_CONTROL, HeaderValue::from_static("no-store"));
const HTTPS_ONLY: Header = (STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
const NOTHING_TO_SHOW: Header =
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
/// What Swagger UI needs: its own files, styles that its pictures bring along, its icons, and to ask this server.
const OWN_FILES: Header = (
    CONTENT_SECURITY_POLICY,
    HeaderValue::from_static(
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
);
const FOR_BROWSERS: [Header; 3] = [
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("same-origin")),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Decisions and their reservations.
    Decision,
    /// The rest of `/v1`.
    Api,
    /// Pages and their files.
    Page,
    Other,
}

impl Kind {
    fn of(path: &str) -> Self {
        match path.strip_prefix("/v1/") {
            Some(rest) if rest.starts_with("decisions") || rest.starts_with("reservations") => Self::Decision,
            Some(_) => Self::Api,
            None if path == "/docs" || path.starts_with("/docs/") => Self::Page,
            None => Self::Other,
        }
    }
}

/// The headers that the answer to one request gets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Protection {
    kind: Kind,
    front: Front,
}

impl Protection {
    pub(super) fn of(request: &ServiceRequest, front: Front) -> Self {
        // The path as the router sees it.
        Self { kind: Kind::of(request.match_info().unprocessed()), front }
    }

    /// Adds to an answer what its handler did not set itself.
    pub(super) fn of_answer(self, headers: &mut HeaderMap) {
        self.each(|(name, value)| {
            if !headers.contains_key(&name) {
                headers.insert(name, value);
            }
        });
    }

    /// For a problem that the server answers by itself.
    pub(super) fn of_problem(self, mut problem: Problem) -> Problem {
        self.each(|(name, value)| problem.add_header(name, value));
        problem
    }

    /// No allocation: every name and value is a constant.
    fn each(self, mut add: impl FnMut(Header)) {
        add(NOSNIFF);
        if self.front.is_tls() {
            add(HTTPS_ONLY);
        }
        if matches!(self.kind, Kind::Decision | Kind::Api) {
            add(NO_STORE);
        }
        if self.kind != Kind::Decision {
            FOR_BROWSERS.into_iter().for_each(&mut add);
            add(if self.kind == Kind::Page { OWN_FILES } else { NOTHING_TO_SHOW });
        }
    }
}
