//! Texts that others read, without the secrets that their form gives away.

use std::borrow::Cow;

/// What secrets begin with before their `_`: keys, sessions, setup tokens, billing sources' own and their senders'.
const PREFIXES: [&str; 5] = ["qg", "qs", "qt", "qgwh", "whsec"];
/// Letters and digits that follow at least. An id has 26 at most behind another prefix; a secret has 32 and more, also one that
/// was cut off a bit.
const MIN_FOLLOWING: usize = 24;

/// The text with `…` for what follows the prefix of a secret. A password has no form that it could be told by.
///
/// A secret that is written in percent escapes, even in escapes of escapes, is one too: a path is shown as it was sent. All
/// else stays as it is.
#[must_use]
pub fn without_secrets(text: &str) -> Cow<'_, str> {
    let read = Read::of(text);
    let mut kept = String::new();
    let mut done = 0;
    for at in 0..read.bytes.len() {
        if read.bytes[at] != b'_' {
            continue;
        }
        let (before, after) = (&read.bytes[..at], &read.bytes[at + 1..]);
        let following = after.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        if following >= MIN_FOLLOWING && PREFIXES.iter().any(|prefix| before.ends_with(prefix.as_bytes())) {
            kept.push_str(&text[done..read.stands_at(at + 1)]);
            kept.push('…');
            done = read.stands_at(at + 1 + following);
        }
    }
    match done {
        0 => Cow::Borrowed(text),
        _ => Cow::Owned(kept + &text[done..]),
    }
}

/// A text without its percent escapes.
struct Read<'a> {
    bytes: Cow<'a, [u8]>,
    /// Where each byte stands in the text, and where that ends. Empty: there is no escape in it.
    places: Vec<usize>,
}

impl<'a> Read<'a> {
    fn of(text: &'a str) -> Self {
        if !text.contains('%') {
            return Self { bytes: Cow::Borrowed(text.as_bytes()), places: Vec::new() };
        }
        let (mut bytes, mut places) = (Vec::with_capacity(text.len()), Vec::with_capacity(text.len() + 1));
        for (at, byte) in text.bytes().enumerate() {
            bytes.push(byte);
            places.push(at);
            // What an escape stands for may be the end of another.
            while let [.., b'%', high, low] = *bytes
                && let (Some(high), Some(low)) = (digit(high), digit(low))
            {
                bytes.truncate(bytes.len() - 3);
                bytes.push(high << 4 | low);
                places.truncate(bytes.len());
            }
        }
        places.push(text.len());
        Self { bytes: Cow::Owned(bytes), places }
    }

    /// Next to an ASCII character, and so between characters of the text.
    fn stands_at(&self, at: usize) -> usize {
        self.places.get(at).copied().unwrap_or(at)
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Ids;
    use crate::services::credentials::{Kind, draw};

    #[test]
    fn secrets_in_escapes_go_and_what_is_round_them_stays_as_it_is() {
        let key = "qg_000000000000000000000000000000000t";
        let every: String = key.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for (text, shown) in [
            (key.replace('_', "%5F"), "qg%5F…"),
            (key.replace('_', "%5f"), "qg%5f…"),
            (key.replace('_', "%255F"), "qg%255F…"),
            (key.replace('_', "%25255F"), "qg%25255F…"),
            (key.replace('_', "%%35F"), "qg%%35F…"),
            (key.replace('q', "%71"), "%71g_…"),
            (key.replace('0', "%30"), "qg_…"),
            (every, "%71%67%5f…"),
        ] {
            assert_eq!(without_secrets(&text), shown);
            let around = |text: &str| format!("GET /%0Aü%/{text}%2Fü%5 {text}\n");
            assert_eq!(without_secrets(&around(&text)), around(shown));
        }
    }

    #[test]
    fn secrets_go_and_all_else_stays() {
        let ids = Ids::seeded(1);
        let [key, session, setup] = [Kind::Key, Kind::Session, Kind::Setup].map(|kind| draw(&ids, kind));
        let text = format!("GET /v1/{}?a={}&b", key.expose(), session.expose());

        assert_eq!(without_secrets(&text), "GET /v1/qg_…?a=qs_…&b");
        assert_eq!(without_secrets(setup.expose()), "qt_…");
        assert_eq!(without_secrets(&format!("qgwh_{}", "0a".repeat(32))), "qgwh_…");
        assert_eq!(without_secrets("`whsec_0123456789abcdefghijklmn`"), "`whsec_…`");
        for other in [
            "",
            "_",
            "qg_",
            "key_01m8695z4m2vegbk4pv3pxynbs",
            "qg_short",
            "größe_qs_ü",
            "%",
            "%5",
            "%5F%ü",
            "qg%5Fshort%5F%FF",
            "key%5F01m8695z4m2vegbk4pv3pxynbs",
            "rs_AAAAAAAAAAAAAAABAAABnXqO4AphY21l",
        ] {
            assert!(matches!(without_secrets(other), Cow::Borrowed(same) if same == other), "{other}");
        }
    }
}
