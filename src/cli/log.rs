//! The server's log, on standard error: without secrets, whoever writes a line and whatever a caller has sent.

use crate::config::{Config, LogFormat};
use crate::services::credentials::without_secrets;
use std::io::{self, IsTerminal, Write};
use tracing::Level;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// What the HTTP library says of requests that cannot be read.
const STRANGERS: &str = "actix_http::h1=off";

pub(super) fn to_stderr(config: &Config) {
    // The filter was read once already; what it lacks is no reason to stop.
    let filter = EnvFilter::try_new(&config.log).unwrap_or_else(|_| EnvFilter::new("info"));
    // It calls each stranger's malformed request an error, and they may send as many as they like.
    let filter = match STRANGERS.parse() {
        Ok(quiet) if !config.log.contains("actix_http") => filter.add_directive(quiet),
        Ok(_) | Err(_) => filter,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(|| Redacting(io::stderr()));
    let lines = lines.with_ansi(io::stderr().is_terminal());
    let lines = match config.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // The store's traces are lists of the bytes that it looks for, among them what a caller gave in the place of an id.
    let readable = filter_fn(|of| !(*of.level() == Level::TRACE && of.target().starts_with("sled")));
    // A program that embeds the server may have its own log.
    _ = tracing_subscriber::registry().with(filter).with(readable).with(lines).try_init();
}

/// Passes on each line without secrets; a line comes in one piece.
struct Redacting<W>(W);

impl<W: Write> Write for Redacting<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_all(without_secrets(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_passed_on_without_secrets() {
        let mut out = Redacting(Vec::new());

        out.write_all(b"path=/v1/qg_000000000000000000000000000000000t status=404\n").unwrap();

        assert_eq!(out.0, "path=/v1/qg_… status=404\n".as_bytes());
    }
}
