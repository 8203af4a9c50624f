//! The composition root: builds the server from its parts, and stops it in order.

mod background;

use crate::calendar_file::{self, CalendarFileError};
use crate::clock::{self, Clock, ClockBehind};
use crate::config::Config;
use crate::control_socket::{self, ControlSocket};
use crate::descriptors;
use crate::engine::{Engine, Options};
use crate::http::front::Front;
use crate::http::metrics as http_metrics;
use crate::http::server::{self, Listeners};
use crate::http::state::{State, Watched};
use crate::ids::Ids;
use crate::seal_key::{self, SealKeyError};
use crate::services::backups::Backups;
use crate::services::billing_sources;
use crate::services::boot::{self, BootReport};
use crate::services::flush::{Flusher, Kept};
use crate::services::history::History;
use crate::services::policies::{self, NewRevision, Source, Warnings};
use crate::services::seal::{Seal, Secret};
use crate::services::{Context, Error, Services, follow_with};
use crate::store::embedded::{self, EmbeddedStore, StartReport};
use crate::store::{AdminStore, CounterStore, StoreError};
use crate::tls::{Tls, TlsError};
use actix_web::rt::{System, SystemRunner};
use actix_web::web::Data;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What is active where nothing was ever published and no document is named.
const BUILT_IN_POLICY: &str = include_str!("../../policies/minimax.yaml");
/// How often it is looked whether all requests have been answered.
const DRAIN_POLL: Duration = Duration::from_millis(10);
/// Time for the last answers to leave.
const DRAIN_GRACE: Duration = Duration::from_millis(50);

/// Why the server did not start, or did not stop well.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(
        "refusing plain HTTP on `{0}`, where credentials could be read on the way: set `tls_cert` and `tls_key`; or say \
         `insecure_http` where a proxy in front ends TLS; or listen on a loopback address such as 127.0.0.1"
    )]
    PlainHttp(SocketAddr),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("cannot listen on `{address}`: {why}")]
    Listen { address: SocketAddr, why: io::Error },
    #[error(transparent)]
    Clock(#[from] ClockBehind),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot build the engine from the store: {0}")]
    Boot(Error),
    #[error(transparent)]
    SealKey(#[from] SealKeyError),
    #[error("cannot read the policy `{}`: {why}", .file.display())]
    PolicyFile { file: PathBuf, why: io::Error },
    #[error("cannot publish {policy}: {}", in_full(.error))]
    Policy { policy: String, error: Error },
    #[error(transparent)]
    Calendar(#[from] CalendarFileError),
    #[error("cannot run the server: {0}")]
    Server(#[from] io::Error),
}

/// A server that is ready to run.
pub struct App {
    started: Started,
    system: SystemRunner,
    parts: Parts,
}

/// What runs.
struct Parts {
    listeners: Listeners,
    /// None: it could not be opened. INVARIANT: before the store, whose lock is held while it is there.
    socket: Option<ControlSocket>,
    tls: Option<Arc<Tls>>,
    state: Data<State>,
    flusher: Arc<Flusher>,
    store: Arc<EmbeddedStore>,
    config: Config,
    stops: Stops,
    /// Asks for the certificate to be read again; None without TLS.
    hangups: Option<Signal>,
}

/// The signals that ask for a stop.
struct Stops {
    terminate: Signal,
    interrupt: Signal,
}

impl Stops {
    fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// What a start found.
#[derive(Debug, Clone)]
pub struct Started {
    pub address: SocketAddr,
    pub revision: u64,
    pub store: StartReport,
    pub boot: BootReport,
    /// What the first operator or key is made with; None: there is one. It is kept in memory only.
    pub setup: Option<Secret>,
}

impl App {
    /// Opens everything; nothing is answered yet.
    ///
    /// Errors: the port or the folder cannot be had, what is stored cannot be used, the clock is behind.
    pub fn start(config: Config) -> Result<Self, AppError> {
        let front = front(&config)?;
        let caps = descriptors::within_limit(config.caps.clone(), config.workers);
        let tls = config.tls.clone().map(|files| Tls::load(files, clock::wall_ms())).transpose()?.map(Arc::new);
        let calendar = calendar_file::load(config.calendar.as_deref())?;
        // ORDER: the port before the folder, so that a second server changes nothing.
        let (port, address) = listen(config.listen)?;
        let recorder = recorder();
        let (store, report) = EmbeddedStore::open(&config.data, embedded::Options::default())?;
        http_metrics::tell_found(&report.usage);
        let store = Arc::new(store);
        let counters: Arc<dyn CounterStore> = store.clone();
        let Built { engine, boot, start_ms, behind } = build(&store, &config)?;
        let clock = Arc::new(make_clock(start_ms));

        engine.drop_ended_clamps(clock.now_ms());

        let keyring = boot::keyring(&*store, clock.now_ms()).map_err(AppError::Boot)?;
        // ORDER: engine, keyring and board follow before the first commit.
        let board = boot::board(&*store, calendar).map_err(AppError::Boot)?;
        let following = follow_with(&store, &engine, (&keyring, &board));
        let admin: Arc<dyn AdminStore> = store.clone();
        let seal = Seal::new(&seal_key::load(config.seal_key.as_deref(), &config.data)?);
        let services = Services::new(admin, Arc::clone(&engine), Ids::from_system());
        let history = Arc::new(History::new(Arc::clone(&engine), store.clone()));
        let services =
            services.with_seal(seal).with_keyring(keyring).with_board(board).with_history(Arc::clone(&history));
        let services = services.with_four_eyes(config.four_eyes);
        warn_of_sealed(&services)?;
        if let Some(ClockBehind { behind_ms }) = behind {
            tracing::warn!(behind_ms, dropped = boot.usage.dropped, "the clock was accepted: later usage is dropped");
            boot::accept_clock(&services, start_ms, behind_ms).map_err(AppError::Boot)?;
        }
        let revision = publish(&services, config.policy.as_deref(), clock.now_ms())?;
        let ticking = Arc::clone(&clock);
        let kept = Kept { history, now: Box::new(move || ticking.now_ms()) };
        let flusher = Arc::new(Flusher::start(engine, counters, config.flush_interval, Some(kept)));
        let backups = Arc::new(Backups::new(config.backups_folder()));
        let watched = Watched { store: store.clone(), following, flusher: flusher.clone(), recorder, backups };
        let state = State::new(Arc::new(services), clock, watched, config.max_body_bytes);
        let state = Data::new(state.with_front(front).with_caps(caps));
        let setup = state.services.keyring().offer_setup(&Ids::from_system());
        let started = Started { address, revision, store: report, boot, setup };
        // ORDER: before anyone is told that it serves, so that whoever waits for that can stop it in order.
        let system = System::new();
        let stops = system.block_on(async { Stops::listen() })?;
        let listen = |_: &Arc<Tls>| system.block_on(async { signal(SignalKind::hangup()) });
        let hangups = tls.as_ref().map(listen).transpose()?;
        let (control, socket) = open_control(&config.data).unzip();
        let listeners = Listeners { port, control };
        let parts = Parts { listeners, tls, socket, state, flusher, store, config, stops, hangups };
        Ok(Self { started, system, parts })
    }

    #[must_use]
    pub fn started(&self) -> &Started {
        &self.started
    }

    /// Answers until SIGTERM or SIGINT, then stops in order. A second signal ends the process at once.
    pub fn run(self) -> Result<(), AppError> {
        self.system.block_on(self.parts.serve())
    }
}

impl Parts {
    async fn serve(self) -> Result<(), AppError> {
        let Self { listeners, tls, state, flusher, store, socket, config, mut stops, hangups } = self;
        let tls_config = tls.as_ref().map(Tls::server_config).transpose()?;
        let settings = server::Settings { workers: config.workers, tls: tls_config };
        let servers = server::start(listeners, &state, settings)?;
        let handles = servers.handles();
        let mut server = actix_web::rt::spawn(servers.run());
        let upkeep = actix_web::rt::spawn(background::keep_up(state.clone()));
        let notices = actix_web::rt::spawn(background::notice(state.clone()));
        let reloads = tls.zip(hangups).map(|(tls, hangups)| actix_web::rt::spawn(background::reload(tls, hangups)));
        tokio::select! {
            () = stops.asked() => {}
            ended = &mut server => return Err(AppError::Server(
                ended.map_or_else(io::Error::other, |ended| ended.err().unwrap_or(io::ErrorKind::BrokenPipe.into())),
            )),
        }
        tracing::info!("stopping: no new connections, answering what is under way");
        // From now on commands are told that the folder is held, and do not wait for an answer.
        drop(socket);
        actix_web::rt::spawn(async move {
            stops.asked().await;
            tracing::warn!("stopped by a second signal");
            std::process::exit(1);
        });
        drain(&state, &handles, config.shutdown_timeout).await;
        upkeep.abort();
        notices.abort();
        reloads.inspect(|reloads| reloads.abort());
        // ORDER: usage is final once nothing is answered any more, and is written before the store is closed.
        let stop = move || {
            // A full disk keeps nobody from stopping: what is lost is when keys were last used.
            if let Err(error) = state.write_uses() {
                tracing::warn!(%error, "it is not written when keys were last used");
            }
            flusher.stop().and_then(|()| store.close())
        };
        actix_web::rt::task::spawn_blocking(stop).await.map_err(io::Error::other)??;
        tracing::info!("stopped");
        Ok(())
    }
}

async fn drain(state: &State, servers: &server::Handles, timeout: Duration) {
    servers.pause().await;
    state.traffic().drain();
    let until = Instant::now() + timeout;
    actix_web::rt::time::sleep(DRAIN_GRACE).await;
    while !state.traffic().is_idle() && Instant::now() < until {
        actix_web::rt::time::sleep(DRAIN_POLL).await;
    }
    actix_web::rt::time::sleep(DRAIN_GRACE).await;
    servers.stop().await;
}

/// Errors: credentials would go over a network in plain HTTP.
fn front(config: &Config) -> Result<Front, AppError> {
    match (config.listen.ip().is_loopback(), &config.tls) {
        (true, Some(_)) => Ok(Front::LocalTls),
        (false, Some(_)) => Ok(Front::NetworkTls),
        (_, None) if config.insecure_http => Ok(Front::Proxy),
        (true, None) => Ok(Front::Local),
        (false, None) => Err(AppError::PlainHttp(config.listen)),
    }
}

/// Connections that the system holds until they are accepted, as far as its own maximum goes.
const BACKLOG: i32 = 4_096;

fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), AppError> {
    let failed = |why: io::Error| AppError::Listen { address, why };
    let listener = TcpListener::bind(address).map_err(failed)?;
    // The standard library asks for 128. A burst of more would have others try again after a second.
    rustix::net::listen(&listener, BACKLOG).map_err(|error| failed(error.into()))?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Without the socket all is served but the commands beside the server, so that is no reason not to start.
fn open_control(data: &Path) -> Option<(UnixListener, ControlSocket)> {
    let opened = control_socket::open(data);
    opened
        .inspect_err(|error| tracing::warn!(%error, "no command reaches this server: there is no control socket"))
        .ok()
}

/// The engine as the store has it, and where time begins.
struct Built {
    engine: Arc<Engine>,
    boot: BootReport,
    start_ms: i64,
    /// How far the clock is behind what was stored, where that was accepted.
    behind: Option<ClockBehind>,
}

fn build(store: &EmbeddedStore, config: &Config) -> Result<Built, AppError> {
    let options = Options {
        most_accounts: config.max_accounts,
        unknown_accounts: config.unknown_accounts,
        history: config.history,
    };
    let from_store = |accept| boot::engine(store, store, options, accept).map_err(AppError::Boot);
    let (engine, boot) = from_store(None)?;
    let last_ms = store.health().last_at_ms.max(boot.usage.latest_ms.unwrap_or(0));
    let wall_ms = clock::wall_ms();
    match clock::start_ms(wall_ms, last_ms) {
        Ok(start_ms) => Ok(Built { engine, boot, start_ms, behind: None }),
        Err(behind) if config.accept_clock => {
            drop(engine);
            let (engine, boot) = from_store(Some(wall_ms))?;
            Ok(Built { engine, boot, start_ms: wall_ms, behind: Some(behind) })
        }
        Err(behind) => Err(behind.into()),
    }
}

/// The recorder of this process; there can be one only.
fn recorder() -> PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    let install = || {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        // Another one that an embedding program has installed gets the numbers then.
        _ = metrics::set_global_recorder(recorder);
        handle
    };
    RECORDER.get_or_init(install).clone()
}

/// After the seal key was lost, as with a folder from a backup, deliveries are refused until there are new secrets.
fn warn_of_sealed(services: &Services) -> Result<(), AppError> {
    for source in billing_sources::unreadable(services).map_err(AppError::Boot)? {
        tracing::warn!(%source, "the seal key does not open a secret of this billing source: add another secret");
    }
    Ok(())
}

#[cfg(not(feature = "manual-clock"))]
fn make_clock(start_ms: i64) -> Clock {
    Clock::system(start_ms)
}

#[cfg(feature = "manual-clock")]
fn make_clock(start_ms: i64) -> Clock {
    Clock::manual(start_ms)
}

/// Every finding on a line of its own, where there are some.
fn in_full(error: &Error) -> String {
    let Error::Invalid(errors) = error else { return error.to_string() };
    errors.iter().map(|error| format!("\n  {}: {}", error.pointer, error.detail)).collect()
}

/// Makes the policy that was asked for active, or the built-in one where there is none. Returns the active revision.
pub(crate) fn publish(services: &Services, policy: Option<&Path>, now: i64) -> Result<u64, AppError> {
    let file = policy;
    let named = file.map(|file| format!("the policy `{}`", file.display()));
    let policy = named.unwrap_or_else(|| "the built-in policy".to_owned());
    let active = policies::active(services).map_err(AppError::Boot)?;
    let text = match file {
        Some(file) => {
            std::fs::read_to_string(file).map_err(|why| AppError::PolicyFile { file: file.to_owned(), why })?
        }
        None if active.is_none() => BUILT_IN_POLICY.to_owned(),
        None => return Ok(services.engine().snapshot().revision),
    };
    let same = |hash: [u8; 32]| active.as_ref().is_some_and(|active| active.value.policy.content_hash == hash);
    if crate::policy::parse(&text).is_ok_and(|parsed| same(parsed.policy.content_hash)) {
        return Ok(services.engine().snapshot().revision);
    }
    let reason = match file {
        Some(file) => format!("published from `{}` at the start", file.display()),
        None => "the built-in policy: nothing was published before".to_owned(),
    };
    let new = NewRevision { source: Source::Text(text), reason, warnings: Warnings::Told };
    let context = Context { if_match: active.map(|active| active.revision.into()), ..Context::system(now) };
    let published = policies::publish(services, &context, &new).map_err(|error| AppError::Policy { policy, error })?;
    Ok(published.value.activation.revision)
}
