//! The server's own name for a reservation: opaque, and enough to find it without a global table.

use crate::domain::ids::AccountId;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;

/// Written `rs_` + base64url of (slot, number, made at, main account).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Handle {
    pub(crate) main: AccountId,
    pub(crate) slot: u32,
    pub(crate) number: u64,
    pub(crate) made_at: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a reservation handle: it is the `handle` that came back with the decision, and starts with `rs_`")]
pub struct InvalidHandle;

impl Handle {
    /// The main account that it belongs to.
    #[must_use]
    pub fn main(&self) -> &AccountId {
        &self.main
    }

    /// Errors: anything that [`fmt::Display`] did not write.
    pub fn parse(text: &str) -> Result<Self, InvalidHandle> {
        let coded = text.strip_prefix("rs_").filter(|coded| coded.len() <= 128).ok_or(InvalidHandle)?;
        let bytes = URL_SAFE_NO_PAD.decode(coded).map_err(|_| InvalidHandle)?;
        let (slot, rest) = bytes.split_first_chunk::<4>().ok_or(InvalidHandle)?;
        let (number, rest) = rest.split_first_chunk::<8>().ok_or(InvalidHandle)?;
        let (made_at, main) = rest.split_first_chunk::<8>().ok_or(InvalidHandle)?;
        let main = std::str::from_utf8(main).ok().and_then(|main| AccountId::parse(main).ok()).ok_or(InvalidHandle)?;
        Ok(Self {
            main,
            slot: u32::from_be_bytes(*slot),
            number: u64::from_be_bytes(*number),
            made_at: i64::from_be_bytes(*made_at),
        })
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(20 + self.main.as_str().len());
        bytes.extend(self.slot.to_be_bytes());
        bytes.extend(self.number.to_be_bytes());
        bytes.extend(self.made_at.to_be_bytes());
        bytes.extend(self.main.as_str().as_bytes());
        write!(f, "rs_{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_read_back_and_nothing_else_is() {
        let handle = Handle { main: AccountId::parse("acme-eu").unwrap(), slot: 3, number: 9, made_at: 1_700 };

        assert_eq!(Handle::parse(&handle.to_string()), Ok(handle));
        for bad in ["", "rs_", "rs_!!!!", "job-7", "rs_AAAA", &format!("rs_{}", "A".repeat(4_000))] {
            assert_eq!(Handle::parse(bad), Err(InvalidHandle), "{bad}");
        }
    }
}
