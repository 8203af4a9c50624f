//! Who is let in, told by the head of a request alone.
//!
//! Pages in a browser on this machine can reach a loopback port too: one whose host name was pointed at a loopback address
//! (it sends its own name as `Host`), or any page that posts across origins (its browser sends `Origin`). Both are refused
//! here. What a network reaches has names that this server does not know, so any `Host` will do there; no page has a
//! credential that it was not given. A foreign `Origin` is refused everywhere.

use super::front::Front;
use super::problem::{Code, Problem};
use actix_web::dev::ServiceRequest;
use actix_web::http::Uri;
use actix_web::http::header::{self, HeaderMap};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Bytes of a path with its query.
const MAX_URI_BYTES: usize = 8 * 1024;
/// Bytes of all names and values of headers. Far below what the HTTP parser takes, which refuses without a body.
const MAX_HEADER_BYTES: usize = 32 * 1024;
const MAX_SHOWN_CHARS: usize = 80;

/// Errors: 414, 431, 421, 403.
pub(crate) fn check(request: &ServiceRequest, front: Front) -> Result<(), Problem> {
    check_size(request.uri(), request.headers())?;
    // The HTTP parser takes just one, and none only of HTTP/1.0.
    let host = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or("?"));
    let authority = request.uri().authority().map(|authority| authority.as_str());
    if !front.faces_network() {
        [authority, host].into_iter().flatten().try_for_each(must_be_here)?;
    }
    // What the target itself names wins over `Host`, which HTTP/2 does not have.
    let asked = authority.or(host);
    match request.headers().get_all(header::ORIGIN).find(|origin| !is_own(origin.as_bytes(), asked, front)) {
        None => Ok(()),
        Some(origin) => {
            let shown = shown(origin.to_str().unwrap_or("?"));
            let detail = format!("a page of `{shown}` asked for this: only pages of this server itself may");
            Err(Problem::new(Code::ForeignOrigin, detail))
        }
    }
}

fn check_size(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    if uri.path_and_query().is_some_and(|path| path.as_str().len() > MAX_URI_BYTES) {
        let detail = format!("path and query are longer than the {MAX_URI_BYTES} bytes that this server takes");
        return Err(Problem::new(Code::UriTooLong, detail));
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > MAX_HEADER_BYTES {
        let detail = format!("the headers are longer than the {MAX_HEADER_BYTES} bytes that this server takes");
        return Err(Problem::new(Code::HeadersTooLarge, detail));
    }
    Ok(())
}

fn must_be_here(authority: &str) -> Result<(), Problem> {
    match split(authority) {
        Some((host, _)) if is_loopback(host) => Ok(()),
        _ => Err(foreign_host(authority)),
    }
}

fn foreign_host(authority: &str) -> Problem {
    let shown = shown(authority);
    let detail = format!("`{shown}` is not this server: ask it as `localhost` or by its loopback address");
    Problem::new(Code::ForeignHost, detail)
}

/// Host and port; None: not of that form.
fn split(authority: &str) -> Option<(&str, Option<u16>)> {
    let end = if authority.starts_with('[') {
        authority.find(']')? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, rest) = authority.split_at(end);
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        Some("") => None,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
        _ => return None,
    };
    Some((host, port))
}

fn is_loopback(host: &str) -> bool {
    let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match in_brackets {
        Some(address) => address.parse().is_ok_and(|address: Ipv6Addr| address.is_loopback()),
        None => {
            host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())
        }
    }
}

/// Whether an origin is the one that the request was sent to; a missing port is the scheme's.
///
/// In TLS it is one of TLS. A proxy keeps the scheme and often the port to itself, so the host's name decides there.
fn is_own(origin: &[u8], host: Option<&str>, front: Front) -> bool {
    let origin = std::str::from_utf8(origin).unwrap_or_default();
    let of_scheme = |scheme, port: u16| origin.strip_prefix(scheme).map(|authority| (authority, port));
    let plain = of_scheme("http://", 80).filter(|_| !front.is_tls());
    let Some((authority, usual)) = plain.or_else(|| of_scheme("https://", 443)) else { return false };
    match (split(authority), host.and_then(split)) {
        (Some((theirs, their_port)), Some((ours, our_port))) => {
            let same_port = || their_port.unwrap_or(usual) == our_port.unwrap_or(usual);
            theirs.eq_ignore_ascii_case(ours) && (front == Front::Proxy || same_port())
        }
        _ => false,
    }
}

fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN_CHARS).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn an_authority_is_a_host_with_or_without_a_port() {
        assert_eq!(split("localhost"), Some(("localhost", None)));
        assert_eq!(split("localhost:"), Some(("localhost", None)));
        assert_eq!(split("[::1]:80"), Some(("[::1]", Some(80))));
        for bad in ["[::1", "[::1]80", "a:b", "a:+1", "a:70000", "a:1:2"] {
            assert_eq!(split(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_origin_is_own_where_scheme_host_and_port_fit() {
        let is_own = |origin: &[u8], host| is_own(origin, host, Front::Local);
        assert!(is_own(b"http://LOCALHOST", Some("localhost:80")));
        assert!(is_own(b"https://localhost", Some("localhost:443")));
        for foreign in ["http://localhost:81", "https://localhost", "null", "", "localhost:80", "http://localhost:80/"]
        {
            assert!(!is_own(foreign.as_bytes(), Some("localhost:80")), "{foreign}");
        }
        assert!(!is_own(b"http://localhost", None));
    }

    #[test]
    fn a_page_of_plain_http_is_foreign_to_tls() {
        for front in [Front::LocalTls, Front::NetworkTls] {
            assert!(is_own(b"https://q.example", Some("q.example"), front));
            assert!(is_own(b"https://q.example:8443", Some("q.example:8443"), front));
            assert!(!is_own(b"https://q.example", Some("q.example:8443"), front));
            assert!(!is_own(b"http://q.example:8443", Some("q.example:8443"), front));
        }
    }

    #[test]
    fn behind_a_proxy_the_name_of_the_host_decides() {
        let is_own = |origin: &[u8]| is_own(origin, Some("q.example:8080"), Front::Proxy);

        assert!(is_own(b"https://q.example") && is_own(b"http://Q.example:81"));
        for foreign in ["https://evil.example", "https://q.example.evil.example:8080", "null", "ftp://q.example"] {
            assert!(!is_own(foreign.as_bytes()), "{foreign}");
        }
    }

    /// As requests of HTTP/2 come: the target names the host, there is no `Host`.
    #[test]
    fn the_host_of_a_target_is_the_one_that_was_asked() {
        let ask = |target: &str, origin: &str, front| {
            let request = TestRequest::with_uri(target).insert_header((header::ORIGIN, origin)).to_srv_request();
            check(&request, front).err().map(|problem| problem.code())
        };
        let (local, evil) = ("https://localhost:8443", "https://evil.example");

        assert_eq!(ask("https://localhost:8443/healthz", local, Front::LocalTls), None);
        assert_eq!(ask("https://localhost:8443/healthz", evil, Front::LocalTls), Some(Code::ForeignOrigin));
        assert_eq!(ask("https://evil.example/healthz", evil, Front::LocalTls), Some(Code::ForeignHost));
        assert_eq!(ask("https://evil.example/healthz", evil, Front::NetworkTls), None);
        assert_eq!(ask("https://q.example/healthz", evil, Front::NetworkTls), Some(Code::ForeignOrigin));
    }
}
