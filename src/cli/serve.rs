//! `quotagate serve`: the server.

use super::{Failure, Streams, log};
use crate::app::{App, Started};
use crate::config::{Config, Sources};
use crate::services::seal::Secret;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

/// Most findings about usage that the greeting has; all of them are in the log.
const MAX_FINDINGS: usize = 5;

/// Serve decisions and their administration over HTTP
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every setting can also stand in the environment (QUOTAGATE_LISTEN=127.0.0.1:9000) or in a TOML file
(listen = \"127.0.0.1:9000\"). A flag wins over the environment, the environment over the file.

On an empty data folder the policy of the MiniMax open platform is published, so there is something to try at once.
Plain HTTP is for loopback addresses; for a network name a certificate and its key, which are read again on SIGHUP, or
put a proxy in front that ends TLS and say --insecure-http. A network is served only once there are credentials.
SIGTERM or Ctrl-C stops in order: requests under way are answered, usage is written. A second one stops at once.

Examples:
  quotagate serve                                          on 127.0.0.1:8080, data in ./data
  quotagate serve --policy policies/minimax.yaml           publish it first, if it differs
  quotagate serve --listen 127.0.0.1:0 --data /tmp/try     a free port, another folder
  quotagate serve --listen 0.0.0.0:8443 --tls-cert chain.pem --tls-key key.pem
  quotagate serve --unknown-accounts default_tier          no need to create accounts first
  quotagate serve --print-config                           what is set, and where it came from")]
pub(super) struct Args {
    /// Address and port; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// PEM file with the certificate to show and its chain; read again on SIGHUP [default: plain HTTP]
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// PEM file with the private key of that certificate
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// Plain HTTP for a network, because a proxy in front ends TLS
    #[arg(long)]
    insecure_http: bool,
    /// Folder that everything is kept in [default: ./data]
    #[arg(long, value_name = "FOLDER")]
    data: Option<String>,
    /// Policy document to publish at the start, if it differs from the active revision
    #[arg(long, value_name = "FILE")]
    policy: Option<String>,
    /// Settings file, TOML; QUOTAGATE_CONFIG names one too
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// File with the key that seals secrets [default: seal.key in the data folder]
    #[arg(long, value_name = "FILE")]
    seal_key: Option<String>,
    /// Folder for the backups that the server makes [default: backup in the data folder]
    #[arg(long, value_name = "FOLDER")]
    backups: Option<String>,
    /// How often usage is written, in milliseconds [default: 50]
    #[arg(long, value_name = "MS")]
    flush_interval_ms: Option<String>,
    /// Threads that answer requests [default: the number of cores]
    #[arg(long, value_name = "N")]
    workers: Option<String>,
    /// Largest document in a request; other bodies are smaller [default: 2097152]
    #[arg(long, value_name = "BYTES")]
    max_body_bytes: Option<String>,
    /// Connections in all; at the maximum an idle one makes room [default: 3000]
    #[arg(long, value_name = "N")]
    max_connections: Option<String>,
    /// Connections of one address, not of loopback and trusted proxies [default: 1024]
    #[arg(long, value_name = "N")]
    max_connections_per_peer: Option<String>,
    /// Proxies that are believed when they say whom a request is from: addresses and networks, or `none` [default: none]
    #[arg(long, value_name = "LIST")]
    trusted_proxies: Option<String>,
    /// Requests in flight of one client behind a trusted proxy [default: 256]
    #[arg(long, value_name = "N")]
    max_requests_per_client: Option<String>,
    /// Most accounts, main and sub together [default: 10000000]
    #[arg(long, value_name = "N")]
    max_accounts: Option<String>,
    /// Log as `text` or `json`, to standard error [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Log level or filter, such as `debug` or `quotagate=debug,info` [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// `deny`, or `default_tier` to treat unknown accounts as of the default tier [default: deny]
    #[arg(long, value_name = "WHAT")]
    unknown_accounts: Option<String>,
    /// How long requests under way may take when stopping, in milliseconds [default: 30000]
    #[arg(long, value_name = "MS")]
    shutdown_timeout_ms: Option<String>,
    /// Start although the wall clock is before the last stored time; usage later than now is dropped
    #[arg(long)]
    accept_clock: bool,
    /// `true`, or `false` to keep no history of what accounts used [default: true]
    #[arg(long, value_name = "WHETHER")]
    history: Option<String>,
    /// File that says which days are worked, for raise requests [default: mainland China]
    #[arg(long, value_name = "FILE")]
    calendar: Option<String>,
    /// What takes two operators, one who asks and one who approves: `none`, or a list of `publish`, `overrides`, `roles`
    /// [default: none]
    #[arg(long, value_name = "WHAT")]
    four_eyes: Option<String>,
    /// Print every setting with where it came from, as a settings file, and stop
    #[arg(long)]
    print_config: bool,
}

impl Args {
    fn flags(&self) -> BTreeMap<&'static str, String> {
        let yes = |given: bool| given.then(|| "true".to_owned());
        let (accept_clock, insecure_http) = (yes(self.accept_clock), yes(self.insecure_http));
        let given = [
            ("listen", &self.listen),
            ("tls_cert", &self.tls_cert),
            ("tls_key", &self.tls_key),
            ("insecure_http", &insecure_http),
            ("data", &self.data),
            ("policy", &self.policy),
            ("seal_key", &self.seal_key),
            ("backups", &self.backups),
            ("flush_interval_ms", &self.flush_interval_ms),
            ("workers", &self.workers),
            ("max_body_bytes", &self.max_body_bytes),
            ("max_connections", &self.max_connections),
            ("max_connections_per_peer", &self.max_connections_per_peer),
            ("trusted_proxies", &self.trusted_proxies),
            ("max_requests_per_client", &self.max_requests_per_client),
            ("max_accounts", &self.max_accounts),
            ("log_format", &self.log_format),
            ("log", &self.log),
            ("unknown_accounts", &self.unknown_accounts),
            ("shutdown_timeout_ms", &self.shutdown_timeout_ms),
            ("accept_clock", &accept_clock),
            ("history", &self.history),
            ("calendar", &self.calendar),
            ("four_eyes", &self.four_eyes),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let refused = |error: &dyn std::fmt::Display| Failure::Refused(error.to_string());
    let sources = Sources::of_process(args.flags(), args.config.as_deref()).map_err(|error| refused(&error))?;
    if args.print_config {
        let settings = Config::explain(&sources).map_err(|error| refused(&error))?;
        return Ok(write!(streams.out, "{settings}")?);
    }
    let config = Config::from_sources(&sources).map_err(|error| refused(&error))?;
    log::to_stderr(&config);
    let app = App::start(config.clone()).map_err(|error| refused(&error))?;
    greet(app.started(), &config, streams)?;
    app.run().map_err(|error| refused(&error))
}

const JSON: &str = "-H 'content-type: application/json'";

fn greet(started: &Started, config: &Config, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let base = format!("{scheme}://{}", started.address);
    let out = &mut *streams.out;
    writeln!(out, "quotagate {} is serving on {base}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "  Swagger UI  {base}/docs/")?;
    writeln!(out, "  data        {}", config.data.display())?;
    writeln!(out, "  policy      revision {}", started.revision)?;
    let report = &started.boot;
    writeln!(out, "  accounts    {} and {} sub-accounts", report.accounts, report.sub_accounts)?;
    if let Some(why) = &started.store.counters_lost {
        writeln!(out, "  usage       starts from zero: {why}")?;
    }
    let findings = &started.store.usage.findings;
    let told = if started.store.counters_lost.is_some() { 1 } else { 0 };
    for finding in findings.iter().skip(told).take(MAX_FINDINGS) {
        writeln!(out, "  usage       {finding}")?;
    }
    if findings.len() > told + MAX_FINDINGS {
        writeln!(out, "  usage       and {} more findings, in the log", findings.len() - told - MAX_FINDINGS)?;
    }
    let usage = report.usage;
    if usage.damaged + usage.dropped > 0 {
        writeln!(out, "  usage       lost of {} accounts, dropped of {}", usage.damaged, usage.dropped)?;
    }
    match &started.setup {
        Some(token) => greet_first(out, &base, token)?,
        None => greet_again(out, &base)?,
    }
    Ok(out.flush()?)
}

/// Nobody can log in yet.
fn greet_first(out: &mut dyn Write, base: &str, token: &Secret) -> Result<(), Failure> {
    writeln!(out, "nobody can log in yet: make the first owner with this setup token, which is printed this once")?;
    writeln!(out, "  T={}", token.expose())?;
    writeln!(out, "  curl {base}/v1/operators -H \"authorization: Bearer $T\" \\")?;
    writeln!(out, "    {JSON} -d '{{\"name\": \"alice\", \"role\": \"owner\", \"password\": \"…\"}}'")?;
    greet_again(out, base)
}

fn greet_again(out: &mut dyn Write, base: &str) -> Result<(), Failure> {
    writeln!(out, "log in, and send the token of the answer as `Authorization: Bearer …` (in Swagger UI: Authorize):")?;
    writeln!(out, "  curl {base}/v1/sessions {JSON} -d '{{\"name\": \"alice\", \"password\": \"…\"}}'")?;
    Ok(())
}
