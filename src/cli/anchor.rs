//! `SEQ:HASH`: a change and its hash, as they are kept apart from a journal.

use crate::store::embedded::Anchor;

/// Errors: what is wrong with it, in words.
pub(super) fn anchor(text: &str) -> Result<Anchor, String> {
    let parsed = text.split_once(':').and_then(|(seq, digits)| {
        let mut hash = [0; 32];
        hex::decode_to_slice(digits, &mut hash).ok()?;
        Some(Anchor { seq: seq.parse().ok()?, hash })
    });
    parsed.ok_or_else(|| "write the number of a change, a colon, and the 64 digits of its hash".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_is_a_change_and_its_hash() {
        let digits = "0a".repeat(32);

        assert_eq!(anchor(&format!("12:{digits}")), Ok(Anchor { seq: 12, hash: [10; 32] }));
        for bad in ["", "12", ":", "12:0a", &format!(":{digits}"), &format!("-1:{digits}"), &format!("12:{digits}0")] {
            assert!(anchor(bad).is_err(), "{bad}");
        }
    }
}
