//! Requests that came by the control socket: in the name of whoever owns the data folder.
//!
//! What a connection came by is written down when it is accepted, from the kind of socket that it is. Nothing in a request
//! has a part in it.

use super::port::{Socket, Stream};
use super::problem::{Code, Problem};
use actix_web::HttpRequest;
use actix_web::dev::{Extensions, ServiceRequest};

/// What the audit log has as the address.
const ADDRESS: &str = "control.sock";

/// Who is at the other end of a connection by the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Owner,
    /// The socket's mode keeps them out; this is for where the mode was changed.
    Stranger,
}

impl Peer {
    fn of(user: Option<u32>, own: u32) -> Self {
        match user {
            Some(user) if user == own || user == 0 => Self::Owner,
            Some(_) | None => Self::Stranger,
        }
    }
}

/// Called for each connection that is accepted.
pub(super) fn mark(stream: &Stream, data: &mut Extensions) {
    if let Some(Socket::Control(socket)) = stream.socket() {
        let user = socket.peer_cred().ok().map(|peer| peer.uid());
        data.insert(Peer::of(user, rustix::process::geteuid().as_raw()));
    }
}

/// Whether a request came by the socket.
///
/// Errors: 403, another user than the owner connected.
pub(super) fn came_by(request: &ServiceRequest) -> Result<bool, Problem> {
    match request.conn_data::<Peer>() {
        None => Ok(false),
        Some(Peer::Owner) => Ok(true),
        Some(Peer::Stranger) => {
            let detail = "the control socket is for the user that the server runs as, and for root";
            Err(Problem::new(Code::Forbidden, detail))
        }
    }
}

/// Where a request came from, as the logs have it.
pub(super) fn address(request: &HttpRequest) -> Option<String> {
    match request.conn_data::<Peer>() {
        Some(_) => Some(ADDRESS.to_owned()),
        None => request.peer_addr().map(|address| address.ip().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_and_root_alone_are_let_in() {
        assert_eq!([Some(7), Some(0)].map(|user| Peer::of(user, 7)), [Peer::Owner; 2]);
        assert_eq!([Some(8), None].map(|user| Peer::of(user, 7)), [Peer::Stranger; 2]);
        assert_eq!(Peer::of(Some(7), 0), Peer::Stranger);
    }
}
