//! Whom a request is from, where a trusted proxy passes it on; and how many one client may have in flight that way.

use super::port::ClientPermit;
use super::problem::{Code, Problem};
use super::state::State;
use crate::peers::TrustedProxies;
use actix_web::dev::ServiceRequest;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use std::net::IpAddr;

/// Addresses in a `Forwarded` or `X-Forwarded-For` that are looked at, from the last.
const MAX_HOPS: usize = 32;
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Lets a request in; what is returned is held until it is answered. Callers that no proxy stands before are counted by
/// their connections.
///
/// Errors: 429, this client has too many in flight.
pub(super) fn admit(request: &ServiceRequest, state: &State) -> Result<Option<ClientPermit>, Problem> {
    let Some(peer) = request.peer_addr().map(|peer| peer.ip()) else { return Ok(None) };
    if !state.admission.trusted_proxies().contains(peer) {
        return Ok(None);
    }
    // A proxy that does not say whom it asks for is a client itself, such as a gateway.
    let client = address(state.admission.trusted_proxies(), peer, request.headers());
    let Some(client) = client else { return Ok(None) };
    match state.admission.admit_client(client) {
        Some(permit) => Ok(Some(permit)),
        None => {
            let detail = "this client has as many requests in flight as it may: wait for some to be answered";
            let problem = Problem::new(Code::TooManyRequests, detail);
            Err(problem.with_header(header::RETRY_AFTER, HeaderValue::from_static("1")))
        }
    }
}

/// Whom a request is from: the peer, or where that is a trusted proxy the last address that no trusted proxy has, of
/// `Forwarded` or else `X-Forwarded-For`.
///
/// None: a trusted proxy says nothing, or nothing that can be read.
fn address(trusted: &TrustedProxies, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
    if !trusted.contains(peer) {
        return Some(peer);
    }
    let hops = if headers.contains_key(header::FORWARDED) {
        hops(headers, header::FORWARDED, forwarded_for)
    } else {
        hops(headers, X_FORWARDED_FOR, |hop| Some(hop.trim()))
    };
    // A hop that cannot be read ends the chain of those who are believed.
    hops.map_while(address_of).find(|hop| !trusted.contains(*hop))
}

/// From the nearest on.
fn hops<'a>(
    headers: &'a HeaderMap,
    name: HeaderName,
    read: fn(&'a str) -> Option<&'a str>,
) -> impl Iterator<Item = Option<&'a str>> {
    let values: Vec<&str> = headers.get_all(name).map(|value| value.to_str().unwrap_or("?")).collect();
    values.into_iter().rev().flat_map(|value| value.rsplit(',')).map(read).take(MAX_HOPS)
}

/// The value of `for` in one element of `Forwarded` (RFC 7239).
fn forwarded_for(element: &str) -> Option<&str> {
    let pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(name, _)| name.eq_ignore_ascii_case("for")).map(|(_, value)| value.trim().trim_matches('"')).next()
}

/// With or without a port, IPv6 in brackets where it has one.
fn address_of(hop: Option<&str>) -> Option<IpAddr> {
    let hop = hop?;
    if let Some(rest) = hop.strip_prefix('[') {
        return rest.split_once(']')?.0.parse().ok();
    }
    hop.parse().ok().or_else(|| hop.rsplit_once(':')?.0.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, headers: &[(&'static str, &str)]) -> Option<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        let trusted = "127.0.0.1, 10.0.0.0/8, fd00::/8".parse().unwrap();
        address(&trusted, peer.parse().unwrap(), &map).map(|address| address.to_string())
    }

    #[test]
    fn only_a_trusted_proxy_says_whom_a_request_is_from() {
        let said = [("x-forwarded-for", "198.51.100.7")];

        assert_eq!(client("192.0.2.1", &said).as_deref(), Some("192.0.2.1"));
        assert_eq!(client("10.0.0.1", &said).as_deref(), Some("198.51.100.7"));
        assert_eq!(client("10.0.0.1", &[]), None);
    }

    #[test]
    fn the_last_address_that_is_no_proxys_is_the_clients() {
        let forged = [("x-forwarded-for", "8.8.8.8, 198.51.100.7:4711, 10.0.0.2")];
        let by_rfc = [("forwarded", r#"for=8.8.8.8, for="[2001:db8::7]:80";proto=https, For=10.0.0.2"#)];
        let unread = [("x-forwarded-for", "198.51.100.7, unknown, 10.0.0.2")];
        let twice = [("x-forwarded-for", "8.8.8.8"), ("x-forwarded-for", "198.51.100.7")];

        assert_eq!(client("127.0.0.1", &forged).as_deref(), Some("198.51.100.7"));
        assert_eq!(client("127.0.0.1", &by_rfc).as_deref(), Some("2001:db8::7"));
        assert_eq!(client("127.0.0.1", &unread), None);
        assert_eq!(client("127.0.0.1", &twice).as_deref(), Some("198.51.100.7"));
    }
}
