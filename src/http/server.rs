//! The HTTP server: workers over the routes, in plain HTTP or TLS.

use super::console;
use super::floor::floor;
use super::routes::configure;
use super::state::State;
use actix_web::dev::Server;
use actix_web::web::Data;
use actix_web::{App, HttpServer};
use rustls::ServerConfig;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::time::Duration;

/// An idle connection is kept this long; LLM gateways keep theirs busy.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// A request's head must have come by then.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection must have agreed on TLS by then.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What is listened on.
pub struct Listeners {
    pub port: TcpListener,
    /// Whoever connects here owns the data folder.
    pub control: Option<UnixListener>,
}

/// Answers until it is stopped, on the port in plain HTTP without `tls`; signals are the caller's.
///
/// Errors: a listener cannot be used.
pub fn start(
    listeners: Listeners,
    state: Data<State>,
    workers: usize,
    tls: Option<ServerConfig>,
) -> io::Result<Server> {
    let mut server = HttpServer::new(move || App::new().app_data(state.clone()).configure(configure).wrap_fn(floor))
        .workers(workers)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIMEOUT)
        .tls_handshake_timeout(HANDSHAKE_TIMEOUT)
        .tcp_nodelay(true)
        .disable_signals()
        .on_connect(console::mark);
    server = match tls {
        None => server.listen(listeners.port)?,
        Some(tls) => server.listen_rustls_0_23(listeners.port, tls)?,
    };
    if let Some(control) = listeners.control {
        server = server.listen_uds(control)?;
    }
    Ok(server.run())
}
