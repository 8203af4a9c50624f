//! From an accepted socket to a stream that HTTP is spoken on: admission, socket options, TLS.

use super::admission::{Admission, Permit};
use super::patrol;
use super::stream::{Socket, Stream};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsAcceptor;

/// A connection must have agreed on TLS by then.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a connection passes on its way in.
#[derive(Clone)]
pub(crate) struct Doors {
    pub(crate) admission: Arc<Admission>,
    /// None: plain HTTP.
    pub(crate) tls: Option<TlsAcceptor>,
}

/// A connection by the port.
///
/// Errors: there are too many, or no TLS was agreed on; it is closed.
pub(crate) async fn port(doors: Doors, socket: TcpStream) -> io::Result<(Stream, Option<SocketAddr>)> {
    let peer = socket.peer_addr().ok();
    let permit = admitted(&doors, peer)?;
    // Small answers are not held back to be sent with later ones.
    socket.set_nodelay(true)?;
    // ORDER: before TLS, so that whoever does not agree on it makes room like any other.
    let joined = patrol::join();
    let socket = match &doors.tls {
        None => Socket::Plain(socket),
        Some(tls) => {
            let agreed = tokio::select! {
                biased;
                () = joined.is_cut_off() => return Err(io::ErrorKind::ConnectionAborted.into()),
                agreed = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(socket)) => agreed,
            };
            joined.has_agreed(patrol::now_ms());
            Socket::Tls(Box::new(agreed.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??))
        }
    };
    Ok((Stream::new(socket, permit, joined), peer))
}

/// A connection by the control socket.
///
/// Errors: there are too many; it is closed.
pub(crate) fn control(doors: &Doors, socket: UnixStream) -> io::Result<(Stream, Option<SocketAddr>)> {
    Ok((Stream::new(Socket::Control(socket), admitted(doors, None)?, patrol::join()), None))
}

fn admitted(doors: &Doors, peer: Option<SocketAddr>) -> io::Result<Permit> {
    doors.admission.admit(peer.map(|peer| peer.ip())).ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
}
