//! Secrets that have to be read again are kept sealed: a copy of the data without the seal key is no copy of them.
//!
//! XChaCha20-Poly1305 with a random nonce. What a secret is for is authenticated with it, so a sealed one that is moved to
//! another record does not open.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use std::fmt;
use zeroize::Zeroizing;

pub const KEY_BYTES: usize = 32;
pub(super) const NONCE_BYTES: usize = 24;

/// A text that is never printed, and wiped from memory after use.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Name what it is given to where this is called: it must not end in a log or an error.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The seal key, ready for use.
pub struct Seal(XChaCha20Poly1305);

impl Seal {
    #[must_use]
    pub fn new(key: &Zeroizing<[u8; KEY_BYTES]>) -> Self {
        Self(XChaCha20Poly1305::new(&Key::from(**key)))
    }

    /// `purpose` must be the same when it is opened. None: the text is too long for the cipher.
    pub(super) fn close(&self, purpose: &str, secret: &Secret, nonce: [u8; NONCE_BYTES]) -> Option<String> {
        let payload = Payload { msg: secret.expose().as_bytes(), aad: purpose.as_bytes() };
        let sealed = self.0.encrypt(&XNonce::from(nonce), payload).ok()?;
        Some(STANDARD_NO_PAD.encode([nonce.as_slice(), &sealed].concat()))
    }

    /// None: sealed with another key or for another purpose, or damaged.
    pub(super) fn open(&self, purpose: &str, sealed: &str) -> Option<Secret> {
        let bytes = STANDARD_NO_PAD.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload { msg: sealed, aad: purpose.as_bytes() };
        let opened = self.0.decrypt(&XNonce::from(*nonce), payload).ok()?;
        Some(Secret::new(String::from_utf8(opened).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(first: u8) -> Seal {
        Seal::new(&Zeroizing::new([first; KEY_BYTES]))
    }

    #[test]
    fn a_sealed_secret_opens_with_its_key_for_its_purpose_only() {
        let secret = Secret::new("qgwh_1".to_owned());

        let sealed = seal(1).close("a", &secret, [7; NONCE_BYTES]).unwrap();

        assert_eq!(seal(1).open("a", &sealed), Some(secret));
        assert_eq!(seal(2).open("a", &sealed), None);
        assert_eq!(seal(1).open("b", &sealed), None);
        assert!(!sealed.contains("qgwh"));
    }

    #[test]
    fn what_was_changed_does_not_open_and_is_no_panic() {
        let sealed = seal(1).close("a", &Secret::new("secret".to_owned()), [7; NONCE_BYTES]).unwrap();
        let bytes = STANDARD_NO_PAD.decode(&sealed).unwrap();

        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(seal(1).open("a", &STANDARD_NO_PAD.encode(changed)), None, "{at}");
        }
        for text in ["", "????", "AAAA"] {
            assert_eq!(seal(1).open("a", text), None);
        }
    }

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", Secret::new("hush".to_owned())), "Secret(…)");
    }
}
