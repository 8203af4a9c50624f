//! The HTTP server: workers over the routes, in plain HTTP or TLS.

use super::floor::floor;
use super::routes::configure;
use super::state::State;
use actix_web::dev::Server;
use actix_web::web::Data;
use actix_web::{App, HttpServer};
use rustls::ServerConfig;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

/// An idle connection is kept this long; LLM gateways keep theirs busy.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// A request's head must have come by then.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection must have agreed on TLS by then.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers on `listener` until it is stopped, in plain HTTP without `tls`; signals are the caller's.
///
/// Errors: the listener cannot be used.
pub fn start(
    listener: TcpListener,
    state: Data<State>,
    workers: usize,
    tls: Option<ServerConfig>,
) -> io::Result<Server> {
    let server = HttpServer::new(move || App::new().app_data(state.clone()).configure(configure).wrap_fn(floor))
        .workers(workers)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIMEOUT)
        .tls_handshake_timeout(HANDSHAKE_TIMEOUT)
        .tcp_nodelay(true)
        .disable_signals();
    let server = match tls {
        None => server.listen(listener)?,
        Some(tls) => server.listen_rustls_0_23(listener, tls)?,
    };
    Ok(server.run())
}
