//! The HTTP servers: workers over the routes, for the port in plain HTTP or TLS, and for the control socket.
//!
//! HTTP/1.1 only. The library's HTTP/2 has no setting for how many streams a connection may have open, so one connection
//! could have any number; a proxy in front speaks it to the world.

use super::console;
use super::floor::floor;
use super::port::{self, Admission, Doors, Stream};
use super::routes::configure;
use super::state::State;
use crate::peers::Caps;
use actix_http::HttpService;
use actix_server::{Server, ServerHandle};
use actix_service::{ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::App;
use actix_web::dev::AppConfig;
use actix_web::web::Data;
use rustls::ServerConfig;
use std::future::{Future, ready};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsAcceptor;

/// An idle connection is kept this long; LLM gateways keep theirs busy.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// A request's head must have come by then.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a caller may take to read the last answer, if nothing before that ends the connection.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes that the system keeps of an answer for a reader that is slow, and of a body for a handler that is: with more,
/// every idle reader could hold megabytes.
const SEND_BUFFER_BYTES: usize = 256 * 1024;
const RECEIVE_BUFFER_BYTES: usize = 128 * 1024;
/// Bytes of an answer that wait in memory before more of it is fetched.
const WRITE_BUFFER_BYTES: usize = 4 * 1024;
/// Connections by the control socket.
const MAX_CONTROL_CONNECTIONS: usize = 64;
/// A worker never stops accepting by itself: what is too much is turned away, not kept waiting.
const NO_WORKER_CAP: usize = 1 << 20;

/// What is listened on.
pub struct Listeners {
    pub port: TcpListener,
    /// Whoever connects here owns the data folder.
    pub control: Option<UnixListener>,
}

/// The servers that run.
pub struct Servers {
    port: Server,
    control: Option<Server>,
}

/// Stops them.
#[derive(Clone)]
pub struct Handles {
    port: ServerHandle,
    control: Option<ServerHandle>,
}

impl Servers {
    #[must_use]
    pub fn handles(&self) -> Handles {
        Handles { port: self.port.handle(), control: self.control.as_ref().map(Server::handle) }
    }

    /// Runs until the server of the port ends; that of the control socket runs beside it.
    pub async fn run(self) -> io::Result<()> {
        if let Some(control) = self.control {
            actix_web::rt::spawn(control);
        }
        self.port.await
    }
}

impl Handles {
    /// Accepts no more connections.
    pub async fn pause(&self) {
        self.port.pause().await;
        if let Some(control) = &self.control {
            control.pause().await;
        }
    }

    /// Ends the connections that are open.
    pub async fn stop(&self) {
        self.port.stop(false).await;
        if let Some(control) = &self.control {
            control.stop(false).await;
        }
    }
}

/// How the servers are run.
pub struct Settings {
    pub workers: usize,
    /// None: plain HTTP.
    pub tls: Option<ServerConfig>,
}

/// Answers until it is stopped; signals are the caller's.
///
/// Errors: a listener cannot be used.
pub fn start(listeners: Listeners, state: &Data<State>, settings: Settings) -> io::Result<Servers> {
    let Settings { workers, tls } = settings;
    let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
    let doors = Doors { admission: Arc::clone(&state.admission), tls };
    bound_buffers(&listeners.port)?;
    let port = builder(workers).listen("port", listeners.port, {
        let state = state.clone();
        move || {
            let doors = doors.clone();
            fn_service(move |socket: TcpStream| port::port(doors.clone(), socket)).and_then(http(state.clone()))
        }
    })?;
    let control = listeners.control.map(|listener| start_control(listener, state)).transpose()?;
    Ok(Servers { port: port.run(), control })
}

/// Threads and places of its own, so that whoever owns the machine gets in whatever happens at the port.
fn start_control(listener: UnixListener, state: &Data<State>) -> io::Result<Server> {
    let doors = Doors { admission: Admission::new(Caps::of_one_kind(MAX_CONTROL_CONNECTIONS)), tls: None };
    let state = state.clone();
    let server = builder(1).listen_uds("control", listener, move || {
        let doors = doors.clone();
        fn_service(move |socket: UnixStream| ready(port::control(&doors, socket))).and_then(http(state.clone()))
    })?;
    Ok(server.run())
}

fn builder(workers: usize) -> actix_server::ServerBuilder {
    Server::build().workers(workers).max_concurrent_connections(NO_WORKER_CAP).disable_signals()
}

/// HTTP/1.1 on a stream.
fn http(
    state: Data<State>,
) -> impl ServiceFactory<
    (Stream, Option<SocketAddr>),
    Config = (),
    Response = (),
    Error = io::Error,
    InitError = (),
    Future = impl Future,
> {
    let app = App::new().app_data(state).configure(configure).wrap_fn(floor);
    HttpService::build()
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIMEOUT)
        .client_disconnect_timeout(DISCONNECT_TIMEOUT)
        .h1_write_buffer_size(WRITE_BUFFER_BYTES)
        .on_connect_ext(|stream: &Stream, data| {
            data.insert(std::rc::Rc::clone(stream.connection()));
            console::mark(stream, data);
        })
        .h1(map_config(app, |()| AppConfig::default()))
        // What became of a connection is told to its caller, and counted where it is ended.
        .map_err(|_| io::ErrorKind::ConnectionAborted.into())
}

/// Accepted connections have them from the listener.
fn bound_buffers(listener: &TcpListener) -> io::Result<()> {
    rustix::net::sockopt::set_socket_send_buffer_size(listener.as_fd(), SEND_BUFFER_BYTES)?;
    rustix::net::sockopt::set_socket_recv_buffer_size(listener.as_fd(), RECEIVE_BUFFER_BYTES)?;
    Ok(())
}
