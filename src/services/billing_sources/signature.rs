//! The signature of a delivery: `t=<seconds since 1970>,v1=<HMAC-SHA256 of "t.body", hexadecimal>`, `v1` as often as the
//! sender has secrets. Other schemes in the header are passed over.

use crate::services::seal::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// How far a delivery's time may be from ours, either way.
pub const TOLERANCE_MS: i64 = 300_000;
/// Parts of one header; more are not read.
const MAX_PARTS: usize = 16;
const MAC_BYTES: usize = 32;

/// Why a delivery was not taken for a billing system's own. What is told is no help to forge one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("there is no signature")]
    Missing,
    #[error("the signature is not of the form `t=<seconds since 1970>,v1=<64 hexadecimal digits>`")]
    Malformed,
    #[error("no `v1` is the signature of these bytes with a secret of this source")]
    Wrong,
    #[error("it was signed more than 300 s ago: sign each delivery anew, and check both clocks")]
    Old,
    #[error("it was signed more than 300 s ahead of this server's clock: check both clocks")]
    Ahead,
}

impl Refused {
    /// For metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Wrong => "wrong",
            Self::Old => "old",
            Self::Ahead => "ahead",
        }
    }
}

/// A header that follows the grammar.
struct Signature<'a> {
    /// As it was signed.
    time: &'a str,
    at_ms: i64,
    macs: Vec<[u8; MAC_BYTES]>,
}

fn parse(header: &str) -> Option<Signature<'_>> {
    let parts: Vec<&str> = header.split(',').take(MAX_PARTS + 1).collect();
    if parts.len() > MAX_PARTS {
        return None;
    }
    let (mut time, mut macs) = (None, Vec::new());
    for part in parts {
        let (scheme, value) = part.trim().split_once('=')?;
        match scheme {
            "t" if time.is_some() => return None,
            "t" => time = Some(value),
            "v1" => {
                let mut mac = [0; MAC_BYTES];
                hex::decode_to_slice(value, &mut mac).ok()?;
                macs.push(mac);
            }
            _ => {}
        }
    }
    let time = time.filter(|time| !time.is_empty() && time.bytes().all(|b| b.is_ascii_digit()))?;
    let at_ms = time.parse::<i64>().ok()?.checked_mul(1_000)?;
    (!macs.is_empty()).then_some(Signature { time, at_ms, macs })
}

/// Checks that the body was signed with one of the secrets, and lately.
///
/// Every secret is tried against every `v1`, each compared in constant time; the time is looked at last, so that only
/// who knows a secret is told about it.
pub(super) fn check(secrets: &[Secret], header: Option<&str>, body: &[u8], now: i64) -> Result<(), Refused> {
    let header = header.ok_or(Refused::Missing)?;
    let signature = parse(header).ok_or(Refused::Malformed)?;
    let mut genuine = false;
    for secret in secrets {
        let Ok(keyed) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else { continue };
        let signed = keyed.chain_update(signature.time).chain_update(b".").chain_update(body);
        for mac in &signature.macs {
            genuine |= signed.clone().verify_slice(mac).is_ok();
        }
    }
    if !genuine {
        return Err(Refused::Wrong);
    }
    match now.saturating_sub(signature.at_ms) {
        age if age > TOLERANCE_MS => Err(Refused::Old),
        age if age < -TOLERANCE_MS => Err(Refused::Ahead),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000_000;
    /// `printf '%s' '1790000000.{}' | openssl dgst -sha256 -hmac first`
    const BY_FIRST: &str = "e41b57f1ef7ed23d89f42aa2943dfe43742e4abee227ae6b3a5aa5a4dc394ad6";

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    fn mac(key: &str, time: &str, body: &[u8]) -> String {
        let keyed = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
        hex::encode(keyed.chain_update(time).chain_update(b".").chain_update(body).finalize().into_bytes())
    }

    fn checked(header: &str, body: &[u8], now: i64) -> Result<(), Refused> {
        check(&[secret("first"), secret("second")], Some(header), body, now)
    }

    #[test]
    fn the_mac_is_what_openssl_makes() {
        assert_eq!(mac("first", "1790000000", b"{}"), BY_FIRST);
        assert_eq!(checked(&format!("t=1790000000,v1={BY_FIRST}"), b"{}", NOW), Ok(()));
    }

    #[test]
    fn any_of_the_secrets_and_any_of_the_macs_will_do() {
        let (first, second, other) =
            (mac("first", "1790000000", b"x"), mac("second", "1790000000", b"x"), "0".repeat(64));

        for macs in [vec![&first], vec![&second], vec![&other, &second], vec![&first, &other]] {
            let macs: Vec<String> = macs.iter().map(|mac| format!("v1={mac}")).collect();
            assert_eq!(checked(&format!("t=1790000000, {}, v0=zzz", macs.join(", ")), b"x", NOW), Ok(()));
        }
        assert_eq!(checked(&format!("t=1790000000,v1={other}"), b"x", NOW), Err(Refused::Wrong));
        assert_eq!(check(&[], Some(&format!("t=1790000000,v1={first}")), b"x", NOW), Err(Refused::Wrong));
    }

    #[test]
    fn a_changed_byte_anywhere_is_refused() {
        let body = br#"{"amount": 100}"#;
        let header = format!("t=1790000000,v1={}", mac("first", "1790000000", body));
        assert_eq!(checked(&header, body, NOW), Ok(()));

        for at in 0..body.len() {
            let mut changed = body.to_vec();
            changed[at] ^= 1;
            assert_eq!(checked(&header, &changed, NOW), Err(Refused::Wrong), "{at}");
        }
        assert_eq!(checked(&header.replace("t=179", "t=178"), body, NOW), Err(Refused::Wrong));
        assert_eq!(checked(&header, &body[..body.len() - 1], NOW), Err(Refused::Wrong));
    }

    #[test]
    fn a_time_may_be_300_s_off_and_no_more() {
        let header = format!("t=1790000000,v1={BY_FIRST}");

        assert_eq!(checked(&header, b"{}", NOW + 300_000), Ok(()));
        assert_eq!(checked(&header, b"{}", NOW + 300_001), Err(Refused::Old));
        assert_eq!(checked(&header, b"{}", NOW - 300_000), Ok(()));
        assert_eq!(checked(&header, b"{}", NOW - 300_001), Err(Refused::Ahead));
    }

    #[test]
    fn what_is_not_of_the_form_is_told_and_is_no_panic() {
        let many = format!("t=1,{}", vec![format!("v1={BY_FIRST}"); 16].join(","));
        for header in [
            "",
            "t",
            "t=1",
            "v1=00",
            &format!("v1={BY_FIRST}"),
            &format!("t=,v1={BY_FIRST}"),
            &format!("t=-1,v1={BY_FIRST}"),
            &format!("t=1.5,v1={BY_FIRST}"),
            &format!("t=1,t=1,v1={BY_FIRST}"),
            &format!("t=99999999999999999999,v1={BY_FIRST}"),
            &format!("t=9999999999999999,v1={BY_FIRST}"),
            &format!("t=1,v1={}", &BY_FIRST[1..]),
            &format!("t=1,v1={}g", &BY_FIRST[1..]),
            &many,
        ] {
            assert_eq!(checked(header, b"{}", NOW), Err(Refused::Malformed), "{header}");
        }
        assert_eq!(check(&[secret("first")], None, b"{}", NOW), Err(Refused::Missing));
    }
}
