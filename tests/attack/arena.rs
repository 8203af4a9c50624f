//! A server to attack, the ways to it, and what can be seen of its process from outside.

use crate::descriptors;
use crate::outcome::Outcome;
use crate::support::Server;
use crate::tls_client::{Certificate, Files, Secured};
use crate::wire::{JSON, Line, request};
use crate::witness::{self, works};
use serde_json::json;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// By then everything works again after an attack.
const RECOVERY: Duration = Duration::from_secs(5);
/// What this process needs for its own side of the connections.
const OWN_DESCRIPTORS: u64 = 8_192;
const CAPPED: [&str; 2] = ["--max-connections", "64"];
const SERVE: [&str; 2] = ["--unknown-accounts", "default_tier"];

/// How hard an attack is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// A few seconds, among all other tests.
    Short,
    /// As it was seen, and as long as it takes until deadlines end it.
    Long,
}

impl Scale {
    pub fn of<T>(self, short: T, long: T) -> T {
        match self {
            Self::Short => short,
            Self::Long => long,
        }
    }
}

/// What the server under attack is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Front {
    Plain,
    Tls,
    /// Plain, in a process that may have 256 descriptors open.
    Poor,
    /// Plain, 64 connections in all.
    Capped,
    /// The same in TLS.
    CappedTls,
    /// Plain, behind a proxy at 127.0.0.2, four requests in flight of each of its clients.
    Proxied,
}

/// What an attacker did, and what came of it.
#[derive(Debug, Default)]
pub struct Got {
    /// Connections, bytes.
    pub effort: String,
    pub got: String,
    /// What should have been otherwise.
    pub faults: Vec<String>,
}

impl Got {
    pub fn fault_unless(&mut self, holds: bool, what: impl Into<String>) {
        if !holds {
            self.faults.push(what.into());
        }
    }
}

pub struct Attack {
    pub name: &'static str,
    pub front: Front,
    pub run: fn(&Arena, Scale) -> Got,
}

pub struct Arena {
    pub server: Server,
    tls: Option<(Certificate, tempfile::TempDir)>,
    /// A key that may decide and nothing else.
    decider: String,
}

impl Arena {
    pub fn open(front: Front) -> Self {
        allow_descriptors();
        let server = match front {
            // What a shell gives a process that asks for no more.
            Front::Plain | Front::Tls | Front::CappedTls => Server::start_under("-Sn 1024", &SERVE),
            Front::Poor => Server::start_under("-n 256", &SERVE),
            Front::Capped => Server::start_with(&[&SERVE[..], &CAPPED].concat()),
            Front::Proxied => {
                let proxied = ["--trusted-proxies", "127.0.0.2", "--max-requests-per-client", "4"];
                Server::start_with(&[&SERVE[..], &proxied].concat())
            }
        };
        let made = server.post("/v1/api-keys", &json!({"name": "decider", "scopes": ["decide"]}));
        assert_eq!(made.status, 201, "{}", made.text);
        let decider = made.json["secret"].as_str().unwrap().to_owned();
        let arena = match front {
            Front::Plain | Front::Poor | Front::Capped | Front::Proxied => Self { server, tls: None, decider },
            Front::Tls | Front::CappedTls => {
                let (certificate, folder) = (Certificate::new(), tempfile::tempdir().unwrap());
                let files = Files::of(folder.path(), &certificate);
                let capped = if front == Front::CappedTls { &CAPPED[..] } else { &[] };
                let server = server.restart_with(&[&SERVE[..], &files.flags(), capped].concat());
                Self { server, tls: Some((certificate, folder)), decider }
            }
        };
        arena.warm_up();
        arena
    }

    /// So that what a first request of its kind keeps for good counts as there before.
    fn warm_up(&self) {
        works(self, "warm-up").unwrap();
        let mut line = self.line(Duration::from_secs(10)).unwrap();
        for path in ["/openapi.json", "/docs/", "/metrics"] {
            line.ask(&crate::wire::head(&format!("GET {path}"), JSON)).unwrap();
        }
    }

    pub fn address(&self) -> &str {
        &self.server.address
    }

    pub fn certificate(&self) -> Option<&Certificate> {
        self.tls.as_ref().map(|(certificate, _)| certificate)
    }

    /// A connection as an honest client makes it.
    pub fn line(&self, patience: Duration) -> io::Result<Line<'_>> {
        match self.certificate() {
            None => witness::plain(self, patience),
            Some(certificate) => Secured::connect(self.server.port(), certificate, &[]).map(Line::over),
        }
    }

    pub fn control_socket(&self) -> PathBuf {
        self.server.data().join("control.sock")
    }

    /// Headers of a request that may everything.
    pub fn admin(&self) -> String {
        format!("{}{JSON}", self.server.authorization())
    }

    /// Headers of a request that may decide.
    pub fn decider(&self) -> String {
        format!("authorization: Bearer {}\r\n{JSON}", self.decider)
    }

    pub fn decision(&self, account: &str) -> Vec<u8> {
        let body = format!(r#"{{"account": "{account}", "resource": "MiniMax-M2", "tokens": 1}}"#);
        request("POST /v1/decisions", &self.decider(), &body)
    }

    /// What the process has in memory, in bytes.
    pub fn rss(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.server.process())).unwrap_or_default();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
        kib.unwrap_or(0_u64) * 1024
    }

    /// How many sockets the process has open.
    pub fn sockets(&self) -> usize {
        let Ok(open) = std::fs::read_dir(format!("/proc/{}/fd", self.server.process())) else { return 0 };
        let targets = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
    }

    /// Whether the process comes down to so many sockets in time, and after how long.
    pub fn lets_go(&self, most: usize, within: Duration) -> Option<Duration> {
        let since = Instant::now();
        while self.sockets() > most {
            if since.elapsed() > within {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(since.elapsed())
    }
}

/// Attacks are run one at a time, whatever runs them, so that each one's witnesses have the machine.
pub fn alone() -> File {
    let file = File::create(concat!(env!("CARGO_TARGET_TMPDIR"), "/attack.lock")).unwrap();
    file.lock().unwrap();
    file
}

/// Runs an attack on a server of its own, honest clients beside it.
pub fn run(attack: &Attack, scale: Scale) -> Outcome {
    let _alone = alone();
    let arena = Arena::open(attack.front);
    if attack.front == Front::Poor {
        descriptors::fill(&arena);
    }
    let sockets = arena.sockets();
    let began = Instant::now();
    let (got, seen) = witness::watch(&arena, || (attack.run)(&arena, scale));
    let lasted = began.elapsed();
    let recovered = recover(&arena, sockets);
    Outcome::new(attack, got, seen, lasted, recovered)
}

/// How long until everything works and the connections of the attack are gone.
fn recover(arena: &Arena, sockets: usize) -> Result<Duration, String> {
    let since = Instant::now();
    let mut attempt = 0;
    loop {
        attempt += 1;
        let trouble = match works(arena, &format!("after-{attempt}")) {
            // Honest clients may have left one or two of their own.
            Ok(()) if arena.sockets() <= sockets + 8 => return Ok(since.elapsed()),
            Ok(()) => format!("{} sockets are open, {sockets} were before", arena.sockets()),
            Err(error) => error.to_string(),
        };
        if since.elapsed() > RECOVERY {
            return Err(format!("it does not work after the attack: {trouble}"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// As many as the system lets this process have.
fn allow_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < OWN_DESCRIPTORS) {
        let most = limit.maximum.map_or(OWN_DESCRIPTORS, |maximum| maximum.min(OWN_DESCRIPTORS));
        setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum }).unwrap();
    }
}
