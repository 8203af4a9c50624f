//! Settings from flags, the environment and a file into one typed [`Config`]. The only reader of the environment.
//!
//! Each setting has one name, written `listen` in the file, `--listen` as a flag and `QUOTAGATE_LISTEN` in the
//! environment. A flag wins over the environment, the environment over the file, the file over the default.

use crate::domain::four_eyes::FourEyes;
use crate::engine::UnknownAccounts;
use crate::peers::Caps;
use crate::tls::TlsFiles;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

const PREFIX: &str = "QUOTAGATE_";
/// Variables with the prefix that are no settings; tests name failpoints in some.
const NO_SETTINGS: &[&str] = if cfg!(feature = "failpoints") {
    &["config", "failpoint", "break", "free_bytes", "segment_bytes"]
} else {
    &["config"]
};
/// Largest settings file that is read.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub listen: SocketAddr,
    /// None: plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Plain HTTP for a network, because a proxy in front ends TLS.
    pub insecure_http: bool,
    pub data: PathBuf,
    /// A policy document to publish at the start where it differs from the active revision.
    pub policy: Option<PathBuf>,
    /// The key that seals secrets, where it is not in the data folder.
    pub seal_key: Option<PathBuf>,
    /// Folder for the backups that the server makes; None: one in the data folder.
    pub backups: Option<PathBuf>,
    pub flush_interval: Duration,
    pub workers: usize,
    pub max_body_bytes: usize,
    /// How many connections and requests there may be.
    pub caps: Caps,
    pub max_accounts: usize,
    pub log_format: LogFormat,
    /// A `tracing` filter, such as `info` or `quotagate=debug,info`.
    pub log: String,
    pub unknown_accounts: UnknownAccounts,
    pub shutdown_timeout: Duration,
    pub accept_clock: bool,
    pub history: bool,
    pub calendar: Option<PathBuf>,
    /// What takes two operators.
    pub four_eyes: FourEyes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// A setting that is not valid, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("setting `{name}` from {origin}: `{value}` is not valid: {why}")]
    Invalid { name: &'static str, origin: Origin, value: String, why: String },
    #[error("{origin} sets `{name}`, which is no setting; the settings are {}", known())]
    Unknown { name: String, origin: Origin },
    #[error("cannot read the settings file `{}`: {why}", .file.display())]
    File { file: PathBuf, why: String },
    #[error("`{set}` is set and `{missing}` is not: TLS takes both, a certificate and its private key")]
    HalfTls { set: &'static str, missing: &'static str },
    #[error("`insecure_http` and `tls_cert` contradict each other: take one away")]
    TlsAndInsecure,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Flag(String),
    Environment(String),
    File(PathBuf),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "the flag `{flag}`"),
            Self::Environment(variable) => write!(f, "the environment variable `{variable}`"),
            Self::File(file) => write!(f, "the file `{}`", file.display()),
            Self::Default => f.write_str("the default"),
        }
    }
}

/// Name, default where there is one, what it means. In the order in which they are printed.
const SETTINGS: [(&str, Option<&str>, &str); 24] = [
    ("listen", Some("127.0.0.1:8080"), "address and port to serve on; port 0 takes a free one"),
    ("tls_cert", None, "PEM file with the certificate to show and its chain; read again on SIGHUP"),
    ("tls_key", None, "PEM file with the private key of that certificate"),
    (
        "insecure_http",
        Some("false"),
        "plain HTTP for a network, because a proxy in front ends TLS; without it plain HTTP is for loopback addresses",
    ),
    ("data", Some("./data"), "folder that everything is kept in"),
    ("policy", None, "policy document to publish at the start, if it differs from the active revision"),
    (
        "seal_key",
        None,
        "file with the key that seals secrets, 64 hexadecimal digits; seal.key in the data folder if not set",
    ),
    ("backups", None, "folder for the backups that the server makes; backup in the data folder if not set"),
    ("flush_interval_ms", Some("50"), "how often usage is written, 1 to 60000"),
    ("workers", None, "threads that answer requests, 1 to 1024; the number of cores if not set"),
    ("max_body_bytes", Some("2097152"), "largest document in a request, 1024 to 67108864; other bodies are smaller"),
    (
        "max_connections",
        Some("3000"),
        "connections in all, 16 to 1000000, as far as the limit of open files goes; at the maximum an idle one makes room",
    ),
    (
        "max_connections_per_peer",
        Some("1024"),
        "connections of one address (IPv6: of one /64), 1 to 1000000; not of loopback and trusted proxies",
    ),
    (
        "trusted_proxies",
        Some("none"),
        "addresses and networks of proxies that are believed when they say whom a request is from, such as \
         10.0.0.5,fd00::/8; or none",
    ),
    ("max_requests_per_client", Some("256"), "requests in flight of one client behind a trusted proxy, 1 to 1000000"),
    ("max_accounts", Some("10000000"), "most accounts, main and sub together"),
    ("log_format", Some("text"), "text or json"),
    ("log", Some("info"), "log level or filter: error, warn, info, debug, or such as quotagate=debug,info"),
    ("unknown_accounts", Some("deny"), "deny, or default_tier to treat them as accounts of the default tier"),
    ("shutdown_timeout_ms", Some("30000"), "how long requests in flight may take when stopping, 0 to 600000"),
    ("accept_clock", Some("false"), "start although the wall clock is before the last stored time"),
    ("history", Some("true"), "keep what accounts used, minute by minute for 48 hours and by the hour for 90 days"),
    ("calendar", None, "file that says which days are worked, for raise requests; that of mainland China if not set"),
    (
        "four_eyes",
        Some("none"),
        "what takes two operators, one who asks and one who approves: none, or a list of publish, overrides, roles",
    ),
];

const YES_OR_NO: &[(&str, bool)] = &[("true", true), ("false", false)];

fn known() -> String {
    SETTINGS.iter().map(|(name, ..)| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The settings as text, each with where it came from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Flags by the setting's name.
    pub flags: BTreeMap<&'static str, String>,
    /// Environment variables, all of them.
    pub environment: BTreeMap<String, String>,
    /// The settings file and its content.
    pub file: Option<(PathBuf, String)>,
}

impl Sources {
    /// What this process was given: `flags`, its environment, and `file` or the one that `QUOTAGATE_CONFIG` names.
    pub fn of_process(flags: BTreeMap<&'static str, String>, file: Option<&Path>) -> Result<Self, ConfigError> {
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
            .collect();
        let named = environment.get("QUOTAGATE_CONFIG").map(PathBuf::from);
        let file = match file.map(Path::to_owned).or(named) {
            None => None,
            Some(file) => Some((file.clone(), read_file(&file)?)),
        };
        Ok(Self { flags, environment, file })
    }
}

fn read_file(file: &Path) -> Result<String, ConfigError> {
    let failed = |why: String| ConfigError::File { file: file.to_owned(), why };
    let bytes = std::fs::metadata(file).map_err(|error| failed(error.to_string()))?.len();
    if bytes > MAX_FILE_BYTES {
        return Err(failed(format!("it has {bytes} bytes, at most {MAX_FILE_BYTES} are read")));
    }
    std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))
}

impl Config {
    /// Errors: the first setting that is not valid, or is none.
    pub fn from_sources(sources: &Sources) -> Result<Self, ConfigError> {
        let layers = Layers::of(sources)?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let words = [("deny", UnknownAccounts::Deny), ("default_tier", UnknownAccounts::DefaultTier)];
        Ok(Self {
            listen: layers.parsed("listen")?,
            tls: layers.tls()?,
            insecure_http: layers.word("insecure_http", YES_OR_NO)?,
            data: layers.required("data", |text| Ok(PathBuf::from(text)))?,
            policy: layers.optional("policy", |text| Ok(PathBuf::from(text)))?,
            seal_key: layers.optional("seal_key", |text| Ok(PathBuf::from(text)))?,
            backups: layers.optional("backups", |text| Ok(PathBuf::from(text)))?,
            flush_interval: Duration::from_millis(layers.integer("flush_interval_ms", 1, 60_000)?),
            workers: match layers.find("workers") {
                None => cores,
                Some(_) => layers.integer("workers", 1, 1_024)? as usize,
            },
            max_body_bytes: layers.integer("max_body_bytes", 1_024, 64 * 1024 * 1024)? as usize,
            caps: Caps {
                connections: layers.integer("max_connections", 16, 1_000_000)? as usize,
                connections_per_peer: layers.integer("max_connections_per_peer", 1, 1_000_000)? as usize,
                requests_per_client: layers.integer("max_requests_per_client", 1, 1_000_000)? as usize,
                trusted_proxies: layers.parsed("trusted_proxies")?,
            },
            max_accounts: layers.integer("max_accounts", 1, 1_000_000_000)? as usize,
            log_format: layers.word("log_format", &[("text", LogFormat::Text), ("json", LogFormat::Json)])?,
            log: layers.required("log", |text| {
                let filter = tracing_subscriber::EnvFilter::try_new(text);
                filter.map(|_| text.to_owned()).map_err(|error| error.to_string())
            })?,
            unknown_accounts: layers.word("unknown_accounts", &words)?,
            shutdown_timeout: Duration::from_millis(layers.integer("shutdown_timeout_ms", 0, 600_000)?),
            accept_clock: layers.word("accept_clock", YES_OR_NO)?,
            history: layers.word("history", YES_OR_NO)?,
            calendar: layers.optional("calendar", |text| Ok(PathBuf::from(text)))?,
            four_eyes: layers.parsed("four_eyes")?,
        })
    }

    /// Where the backups go that the server makes.
    #[must_use]
    pub fn backups_folder(&self) -> PathBuf {
        let folder = self.backups.clone().unwrap_or_else(|| self.data.join("backup"));
        // Commands that are told where a backup lies may run in another folder.
        std::path::absolute(&folder).unwrap_or(folder)
    }

    /// The settings as a settings file, each with what it means and where it came from.
    pub fn explain(sources: &Sources) -> Result<String, ConfigError> {
        Self::from_sources(sources)?;
        let layers = Layers::of(sources)?;
        let mut text = String::new();
        for (name, _, meaning) in SETTINGS {
            let line = match layers.find(name) {
                None => format!("# {meaning}\n# {name} is not set\n"),
                Some((value, origin)) => format!("# {meaning}; from {origin}\n{name} = {}\n", as_toml(&value)),
            };
            text.push_str(&line);
        }
        Ok(text)
    }
}

fn as_toml(value: &str) -> String {
    let plain = value.parse::<i64>().is_ok() || matches!(value, "true" | "false");
    if plain { value.to_owned() } else { toml::Value::String(value.to_owned()).to_string() }
}

/// Every layer as text.
struct Layers<'a> {
    sources: &'a Sources,
    file: BTreeMap<String, String>,
}

impl<'a> Layers<'a> {
    fn of(sources: &'a Sources) -> Result<Self, ConfigError> {
        let mut values = BTreeMap::new();
        if let Some((file, text)) = &sources.file {
            let table: toml::Table = text
                .parse()
                .map_err(|error: toml::de::Error| ConfigError::File { file: file.clone(), why: error.to_string() })?;
            for (name, value) in table {
                if !is_setting(&name) {
                    return Err(ConfigError::Unknown { name, origin: Origin::File(file.clone()) });
                }
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                values.insert(name, text);
            }
        }
        // A misspelt variable would be silently without effect.
        for variable in sources.environment.keys().filter(|variable| variable.starts_with(PREFIX)) {
            let name = variable[PREFIX.len()..].to_ascii_lowercase();
            if !is_setting(&name) && !NO_SETTINGS.contains(&name.as_str()) {
                return Err(ConfigError::Unknown { name, origin: Origin::Environment(variable.clone()) });
            }
        }
        Ok(Self { sources, file: values })
    }

    /// The value in force, and where it came from.
    fn find(&self, name: &'static str) -> Option<(String, Origin)> {
        if let Some(value) = self.sources.flags.get(name) {
            return Some((value.clone(), Origin::Flag(format!("--{}", name.replace('_', "-")))));
        }
        let variable = format!("{PREFIX}{}", name.to_ascii_uppercase());
        if let Some(value) = self.sources.environment.get(&variable) {
            return Some((value.clone(), Origin::Environment(variable)));
        }
        if let Some((value, (file, _))) = self.file.get(name).zip(self.sources.file.as_ref()) {
            return Some((value.clone(), Origin::File(file.clone())));
        }
        let (_, default, _) = SETTINGS.iter().find(|(known, ..)| *known == name)?;
        default.map(|value| (value.to_owned(), Origin::Default))
    }

    fn optional<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let Some((value, origin)) = self.find(name) else { return Ok(None) };
        match read(&value) {
            Ok(read) => Ok(Some(read)),
            Err(why) => Err(ConfigError::Invalid { name, origin, value, why }),
        }
    }

    fn required<T>(&self, name: &'static str, read: impl FnOnce(&str) -> Result<T, String>) -> Result<T, ConfigError> {
        self.optional(name, read)?.ok_or(ConfigError::Invalid {
            name,
            origin: Origin::Default,
            value: String::new(),
            why: "it is not set".to_owned(),
        })
    }

    /// Both files or none, and no word against TLS beside them.
    fn tls(&self) -> Result<Option<TlsFiles>, ConfigError> {
        let file = |name| self.optional(name, |text| Ok(PathBuf::from(text)));
        match (file("tls_cert")?, file("tls_key")?) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) if self.word("insecure_http", YES_OR_NO)? => Err(ConfigError::TlsAndInsecure),
            (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert, key })),
            (Some(_), None) => Err(ConfigError::HalfTls { set: "tls_cert", missing: "tls_key" }),
            (None, Some(_)) => Err(ConfigError::HalfTls { set: "tls_key", missing: "tls_cert" }),
        }
    }

    fn parsed<T: FromStr<Err: fmt::Display>>(&self, name: &'static str) -> Result<T, ConfigError> {
        self.required(name, |text| text.parse().map_err(|error: T::Err| error.to_string()))
    }

    fn integer(&self, name: &'static str, least: u64, most: u64) -> Result<u64, ConfigError> {
        self.required(name, |text| match text.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(format!("write an integer from {least} to {most}")),
        })
    }

    fn word<T: Copy>(&self, name: &'static str, words: &[(&str, T)]) -> Result<T, ConfigError> {
        self.required(name, |text| {
            let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
            found.ok_or_else(|| {
                let known: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
                format!("write {}", known.join(" or "))
            })
        })
    }
}

fn is_setting(name: &str) -> bool {
    SETTINGS.iter().any(|(known, ..)| *known == name)
}

#[cfg(test)]
mod tests;
