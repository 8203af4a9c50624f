//! Passwords: Argon2id, each with the parameters that it was hashed with.

use super::hashing;
use crate::ids::Ids;
use crate::services::credentials::same;
use crate::services::seal::Secret;
use crate::services::{Error, Internal};
use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};

/// Shortest password, in characters.
pub const MIN_CHARS: usize = 12;
/// Longest password, in bytes.
pub const MAX_BYTES: usize = 1_024;
/// As OWASP has it: 19 MiB, two passes, one lane.
const NOW: Cost = Cost { memory_kib: 19_456, passes: 2, lanes: 1 };
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// What is kept of a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordRecord {
    cost: Cost,
    /// Hexadecimal.
    salt: String,
    /// Hexadecimal.
    hash: String,
}

impl PasswordRecord {
    /// Takes tens of milliseconds and 19 MiB.
    pub(super) fn of(password: &Secret, ids: &Ids) -> Result<Self, Error> {
        let salt = ids.bytes::<SALT_BYTES>();
        let hash = derive(password, &salt, NOW)?;
        Ok(Self { cost: NOW, salt: hex::encode(salt), hash: hex::encode(hash) })
    }

    /// One that no password fits, to take as long as any.
    pub(super) fn nobodys() -> Self {
        Self { cost: NOW, salt: "00".repeat(SALT_BYTES), hash: String::new() }
    }

    /// Takes as long as making it.
    pub(super) fn fits(&self, password: &Secret) -> Result<bool, Error> {
        let salt = hex::decode(&self.salt).unwrap_or_default();
        let hash = derive(password, &salt, self.cost)?;
        Ok(same(&hash, &hex::decode(&self.hash).unwrap_or_default()))
    }

    /// Whether it was hashed with less than is usual by now.
    pub(super) fn is_weak(&self) -> bool {
        self.cost.memory_kib < NOW.memory_kib || self.cost.passes < NOW.passes
    }
}

fn derive(password: &Secret, salt: &[u8], cost: Cost) -> Result<[u8; HASH_BYTES], Error> {
    let (password, salt) = (password.clone(), salt.to_vec());
    let hashed = hashing::done(move || {
        let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(HASH_BYTES))?;
        let mut hash = [0; HASH_BYTES];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password_into(password.expose().as_bytes(), &salt, &mut hash).map(|()| hash)
    });
    hashed.and_then(Result::ok).ok_or_else(|| Internal::Change("a password cannot be hashed").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_fits_and_two_hashes_of_it_differ() {
        let (ids, password) = (Ids::seeded(1), Secret::new("correct horse battery".to_owned()));

        let record = PasswordRecord::of(&password, &ids).unwrap();

        assert!(record.fits(&password).unwrap() && !record.is_weak());
        assert!(!record.fits(&Secret::new("correct horse batterz".to_owned())).unwrap());
        assert_ne!(record, PasswordRecord::of(&password, &ids).unwrap());
        assert!(!PasswordRecord::nobodys().fits(&password).unwrap());
        let weak = PasswordRecord { cost: Cost { memory_kib: 1_024, ..NOW }, ..record };
        assert!(weak.is_weak());
    }
}
