//! Requests to turn the connection into something else. None is granted.

use super::problem::{Code, Problem};
use actix_web::dev::ServiceRequest;
use actix_web::http::{Method, header};

/// Errors: 400, it asks for a tunnel, or for a protocol under which what follows would be no HTTP.
pub(super) fn refuse(request: &ServiceRequest) -> Result<(), Problem> {
    match asked_for(request) {
        None => Ok(()),
        Some(detail) => Err(Problem::new(Code::InvalidHttp, detail)),
    }
}

/// Why what is asked for is refused, where a tunnel or another protocol is.
///
/// Another protocol may be offered in vain: `Upgrade: h2c`, which some clients send with their first request, is passed
/// over and answered in HTTP/1.1 (RFC 9110, 7.8).
pub(super) fn asked_for(request: &ServiceRequest) -> Option<&'static str> {
    if request.method() == Method::CONNECT {
        return Some("this server makes no tunnels: ask it for one of its paths");
    }
    let mut upgrades = request.headers().get_all(header::UPGRADE);
    let is_web_socket = upgrades.any(|protocol| protocol.as_bytes().trim_ascii().eq_ignore_ascii_case(b"websocket"));
    is_web_socket.then_some("this server speaks no WebSocket: send plain requests")
}
