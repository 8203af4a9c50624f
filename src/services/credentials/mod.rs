//! What requests are checked against: secrets as they are written, and who they belong to, in memory.
//!
//! Owns the form of secrets ([`Kind`]), what leaves them out of texts, and the [`Keyring`]. Deliberately absent: how keys, operators and sessions come to be
//! ([`super::api_keys`], [`super::operators`]).

mod keyring;
mod redact;
mod text;

pub use keyring::{ApiKey, Credential, Keyring, NotValid, Session, Standing};
pub use redact::without_secrets;
pub use text::SecretHash;
pub(super) use text::{Kind, draw, same};
