//! Texts that others read, without the secrets that their form gives away.

use std::borrow::Cow;

/// What secrets begin with before their `_`: keys, sessions, setup tokens, billing sources' own and their senders'.
const PREFIXES: [&str; 5] = ["qg", "qs", "qt", "qgwh", "whsec"];
/// Letters and digits that follow at least. An id has 26 at most behind another prefix; a secret has 32 and more, also one that
/// was cut off a bit.
const MIN_FOLLOWING: usize = 24;

/// The text with `…` for what follows the prefix of a secret. A password has no form that it could be told by.
#[must_use]
pub fn without_secrets(text: &str) -> Cow<'_, str> {
    let mut kept = String::new();
    let mut done = 0;
    for (at, _) in text.match_indices('_') {
        let (before, after) = (&text[..at], &text[at + 1..]);
        let following = after.bytes().take_while(u8::is_ascii_alphanumeric).count();
        if following >= MIN_FOLLOWING && PREFIXES.iter().any(|prefix| before.ends_with(prefix)) {
            kept.push_str(&text[done..=at]);
            kept.push('…');
            done = at + 1 + following;
        }
    }
    match done {
        0 => Cow::Borrowed(text),
        _ => Cow::Owned(kept + &text[done..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Ids;
    use crate::services::credentials::{Kind, draw};

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
            "rs_AAAAAAAAAAAAAAABAAABnXqO4AphY21l",
        ] {
            assert!(matches!(without_secrets(other), Cow::Borrowed(same) if same == other), "{other}");
        }
    }
}
