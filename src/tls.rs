//! TLS: the certificate and its key from two PEM files, read again while the server runs.
//!
//! Owns reading and checking the files and the one certificate that is shown. Deliberately absent: client certificates,
//! more than one certificate, fetching or renewing one.

mod validity;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{Error, InconsistentKeys};
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Largest file that is read.
const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// Most certificates in a chain.
const MAX_CHAIN: usize = 16;
/// What a file's permissions let others than owner and group do.
const OTHERS: u32 = 0o007;

/// Where certificate and key stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM: the server's certificate, then those that lead to its root.
    pub cert: PathBuf,
    /// PEM: the private key, not encrypted.
    pub key: PathBuf,
}

/// Why certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read `{}`: {why}", .file.display())]
    Read { file: PathBuf, why: io::Error },
    #[error("`{}` has {bytes} bytes, at most {MAX_FILE_BYTES} are read", .file.display())]
    TooLarge { file: PathBuf, bytes: u64 },
    #[error("`{}` is not PEM: {why}", .file.display())]
    NotPem { file: PathBuf, why: &'static str },
    #[error("`{}` has no certificate: it has to hold the server's own, then those that lead to its root", .0.display())]
    NoCertificate(PathBuf),
    #[error("`{}` has more than {MAX_CHAIN} certificates", .0.display())]
    LongChain(PathBuf),
    #[error("`{}` has no private key", .0.display())]
    NoKey(PathBuf),
    #[error("the private key in `{}` is encrypted: write it without a password, readable by the server alone", .0.display())]
    Encrypted(PathBuf),
    #[error("the certificate in `{}` cannot be used: {why}", .file.display())]
    Certificate { file: PathBuf, why: Error },
    #[error("the private key in `{}` cannot be used: {why}", .file.display())]
    Key { file: PathBuf, why: Error },
    #[error("the private key in `{}` does not fit the certificate in `{}`", .key.display(), .cert.display())]
    Mismatch { cert: PathBuf, key: PathBuf },
    #[error("cannot set TLS up: {0}")]
    Setup(Error),
}

/// The certificate that is shown, and the files that it is from.
pub struct Tls {
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
    shown: ArcSwap<CertifiedKey>,
}

impl Tls {
    /// Reads the files and says in the log what it found. A certificate that has ended is told, and taken.
    ///
    /// Errors: the files cannot be read or used, or do not fit one another.
    pub fn load(files: TlsFiles, now_ms: i64) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let shown = ArcSwap::from_pointee(read(&files, &provider, now_ms)?);
        Ok(Self { files, provider, shown })
    }

    /// Reads the files again. Connections that are open go on as they are, new ones see what was read.
    ///
    /// Errors: as of [`Tls::load`]; the present certificate stays.
    pub fn reload(&self, now_ms: i64) -> Result<(), TlsError> {
        self.shown.store(Arc::new(read(&self.files, &self.provider, now_ms)?));
        Ok(())
    }

    /// TLS 1.2 and 1.3, by whatever certificate is the present one.
    pub fn server_config(self: &Arc<Self>) -> Result<ServerConfig, TlsError> {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider));
        let builder = builder.with_protocol_versions(&[&TLS13, &TLS12]).map_err(TlsError::Setup)?;
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Self>::clone(self);
        let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
        // A client that speaks nothing else is told so by TLS itself.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Tls {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown.load_full())
    }
}

fn read(files: &TlsFiles, provider: &CryptoProvider, now_ms: i64) -> Result<CertifiedKey, TlsError> {
    let chain = read_chain(&files.cert)?;
    let key = read_key(&files.key)?;
    let own = chain.first().cloned().ok_or_else(|| TlsError::NoCertificate(files.cert.clone()))?;
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|why| TlsError::Key { file: files.key.clone(), why })?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(Error::InconsistentKeys(_)) => {
            return Err(TlsError::Mismatch { cert: files.cert.clone(), key: files.key.clone() });
        }
        Err(why) => return Err(TlsError::Certificate { file: files.cert.clone(), why }),
    }
    tell(&files.cert, &own, now_ms);
    Ok(certified)
}

/// What is shown from now on, and whether it is still valid.
fn tell(file: &Path, own: &CertificateDer<'_>, now_ms: i64) {
    let fingerprint = hex::encode(Sha256::digest(own));
    let cert = file.display();
    let Some(ends_at) = validity::ends_at(own) else {
        tracing::info!(%cert, sha256 = fingerprint, "this certificate is shown");
        return;
    };
    tracing::info!(%cert, sha256 = fingerprint, %ends_at, "this certificate is shown");
    if ends_at.as_millisecond() <= now_ms {
        tracing::warn!(%cert, %ends_at, "the certificate has expired: clients will refuse it; renew it, then send SIGHUP");
    }
}

fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let (bytes, _) = read_file(file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).take(MAX_CHAIN + 1).collect();
    let chain = found.map_err(|error| not_pem(file, &error))?;
    match chain.len() {
        0 if is_pem(&bytes) => Err(TlsError::NoCertificate(file.to_owned())),
        0 => Err(not_pem(file, &pem::Error::NoItemsFound)),
        1..=MAX_CHAIN => Ok(chain),
        _ => Err(TlsError::LongChain(file.to_owned())),
    }
}

fn read_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let (bytes, metadata) = read_file(file)?;
    if metadata.permissions().mode() & OTHERS != 0 {
        let key = file.display();
        tracing::warn!(%key, "everybody on this machine may read the private key: `chmod o-rwx {key}`");
    }
    match PrivateKeyDer::from_pem_slice(&bytes) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) if has(&bytes, b"-----BEGIN ENCRYPTED PRIVATE KEY") => {
            Err(TlsError::Encrypted(file.to_owned()))
        }
        Err(pem::Error::NoItemsFound) if is_pem(&bytes) => Err(TlsError::NoKey(file.to_owned())),
        Err(error) => Err(not_pem(file, &error)),
    }
}

fn read_file(file: &Path) -> Result<(Zeroizing<Vec<u8>>, Metadata), TlsError> {
    let failed = |why: io::Error| TlsError::Read { file: file.to_owned(), why };
    let opened = File::open(file).map_err(failed)?;
    let metadata = opened.metadata().map_err(failed)?;
    let bytes = metadata.len();
    if bytes > MAX_FILE_BYTES {
        return Err(TlsError::TooLarge { file: file.to_owned(), bytes });
    }
    let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(bytes).unwrap_or_default() + 1));
    opened.take(MAX_FILE_BYTES).read_to_end(&mut text).map_err(failed)?;
    Ok((text, metadata))
}

/// Without a line of the file, which may be one of a key.
fn not_pem(file: &Path, error: &pem::Error) -> TlsError {
    let why = match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end",
        pem::Error::IllegalSectionStart { .. } => "a line that begins a section is malformed",
        pem::Error::Base64Decode(_) => "what a section holds is not Base64",
        pem::Error::NoItemsFound => "it has no line `-----BEGIN ...-----`",
        _ => "it cannot be read as PEM",
    };
    TlsError::NotPem { file: file.to_owned(), why }
}

fn is_pem(bytes: &[u8]) -> bool {
    has(bytes, b"-----BEGIN ")
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertifiedKey as Generated, generate_simple_self_signed};

    const NOW_MS: i64 = 1_800_000_000_000;

    fn generated() -> Generated<rcgen::KeyPair> {
        generate_simple_self_signed(["localhost".to_owned()]).unwrap()
    }

    /// The complaint about files with this content; None: not there.
    fn complaint(cert: Option<&str>, key: Option<&str>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles { cert: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
        for (file, text) in [(&files.cert, cert), (&files.key, key)] {
            if let Some(text) = text {
                std::fs::write(file, text).unwrap();
            }
        }
        Tls::load(files, NOW_MS).unwrap_err().to_string()
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_the_reason() {
        let made = generated();
        let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let other = generated().signing_key.serialize_pem();
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let hollow = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

        for (cert, key, file, why) in [
            (None, Some(&*key), "cert.pem", "No such file"),
            (Some(&*cert), None, "key.pem", "No such file"),
            (Some("words"), Some(&*key), "cert.pem", "is not PEM: it has no line"),
            (Some(&*cert), Some(""), "key.pem", "is not PEM: it has no line"),
            (Some(&cert[..cert.len() - 20]), Some(&*key), "cert.pem", "is not PEM: a section has no end"),
            (Some(&*key), Some(&*key), "cert.pem", "has no certificate"),
            (Some(&*cert), Some(&*cert), "key.pem", "has no private key"),
            (Some(&*cert), Some(&*encrypted), "key.pem", "is encrypted"),
            (Some(hollow), Some(&*key), "cert.pem", "cannot be used"),
            (Some(&*cert), Some(&*other), "key.pem", "does not fit the certificate"),
            (Some(&*cert.repeat(MAX_CHAIN + 1)), Some(&*key), "cert.pem", "more than 16"),
        ] {
            let said = complaint(cert, key);
            assert!(said.contains(file) && said.contains(why), "{said}");
        }
    }

    #[test]
    fn a_reload_that_fails_keeps_what_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles { cert: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
        let write = |made: &Generated<rcgen::KeyPair>| {
            std::fs::write(&files.cert, made.cert.pem()).unwrap();
            std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        };
        let (first, second) = (generated(), generated());
        write(&first);
        let tls = Tls::load(files.clone(), NOW_MS).unwrap();
        let shown = || tls.shown.load().cert[0].clone();

        std::fs::write(&files.cert, second.cert.pem()).unwrap();
        assert!(matches!(tls.reload(NOW_MS), Err(TlsError::Mismatch { .. })));
        assert_eq!(shown(), *first.cert.der());

        write(&second);
        tls.reload(NOW_MS).unwrap();
        assert_eq!(shown(), *second.cert.der());
    }
}
