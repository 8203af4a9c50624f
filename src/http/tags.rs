//! Entity tags: how they are made, and the lists of them in conditions (RFC 9110, sections 8.8.3 and 13.1).
//!
//! The tag of a record is `"<revision>-<hash of the body>"`, because a body may change with the time or the active
//! policy while its record stays; of anything else it is `"h<hash of the body>"`. A change names revisions, so it takes
//! a tag by its first part, and `"<revision>"` alone.

use super::problem::{Place, Problem};
use crate::services::IfMatch;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

/// Bytes of the body's hash that a tag has.
const HASH_BYTES: usize = 8;

/// Of a revision, whatever its body.
pub(crate) fn of_revision(revision: u64) -> String {
    format!("\"{revision}\"")
}

pub(crate) fn of_record(revision: u64, body: &[u8]) -> String {
    format!("\"{revision}-{}\"", hash(body))
}

pub(crate) fn of_body(body: &[u8]) -> String {
    format!("\"h{}\"", hash(body))
}

fn hash(body: &[u8]) -> String {
    hex::encode(&Sha256::digest(body)[..HASH_BYTES])
}

/// The tags of a condition.
#[derive(Debug, PartialEq, Eq)]
enum Tags<'a> {
    Any,
    List(Vec<Tag<'a>>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tag<'a> {
    weak: bool,
    /// Without its quotes.
    opaque: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Malformed;

/// All lines of the header as one list; None where there are none.
fn read<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<Tags<'a>>, Malformed> {
    let mut tags = Vec::new();
    let mut lines = headers.get_all(name).peekable();
    if lines.peek().is_none() {
        return Ok(None);
    }
    for line in lines {
        let line = line.to_str().map_err(|_| Malformed)?.trim_matches([' ', '\t']);
        if line == "*" && headers.get_all(name).count() == 1 {
            return Ok(Some(Tags::Any));
        }
        read_line(line, &mut tags)?;
    }
    if tags.is_empty() { Err(Malformed) } else { Ok(Some(Tags::List(tags))) }
}

fn read_line<'a>(line: &'a str, tags: &mut Vec<Tag<'a>>) -> Result<(), Malformed> {
    let mut rest = line;
    loop {
        // A list may have empty elements.
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Ok(());
        }
        let weak = rest.starts_with("W/");
        let quoted = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"').ok_or(Malformed)?;
        let (opaque, after) = quoted.split_once('"').ok_or(Malformed)?;
        if !opaque.bytes().all(|b| matches!(b, b'!'..=b'~')) {
            return Err(Malformed);
        }
        tags.push(Tag { weak, opaque });
        rest = after.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with(',') {
            return Err(Malformed);
        }
    }
}

/// The revisions that `If-Match` names.
///
/// Errors: not a list of entity tags. A tag that is not one of ours is not an error: it matches nothing.
pub(crate) fn if_match(headers: &HeaderMap) -> Result<Option<IfMatch>, Problem> {
    match read(headers, &header::IF_MATCH) {
        Ok(None) => Ok(None),
        Ok(Some(Tags::Any)) => Ok(Some(IfMatch::Any)),
        Ok(Some(Tags::List(tags))) => Ok(Some(IfMatch::OneOf(tags.into_iter().filter_map(Tag::revision).collect()))),
        Err(Malformed) => {
            let detail =
                "write the entity tag that was read, with its quotes, such as `\"12\"`; a list of them; or `*`";
            Err(Problem::field(Place::Header, "/If-Match", "invalid_value", detail))
        }
    }
}

impl Tag<'_> {
    /// None: not a strong tag of a record.
    fn revision(self) -> Option<u64> {
        let (revision, hash) = self.opaque.split_once('-').map_or((self.opaque, None), |(r, hash)| (r, Some(hash)));
        let is_hash = |hash: &str| {
            hash.len() == 2 * HASH_BYTES && hash.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
        };
        let ours = !self.weak && revision.bytes().all(|b| b.is_ascii_digit()) && hash.is_none_or(is_hash);
        ours.then(|| revision.parse().ok()).flatten()
    }
}

/// Whether `If-None-Match` names the tag, strong or weak. One that is malformed is no condition.
pub(crate) fn none_match_names(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    match read(headers, &header::IF_NONE_MATCH) {
        Ok(Some(Tags::Any)) => true,
        Ok(Some(Tags::List(tags))) => {
            let bare = tag.to_str().unwrap_or_default().trim_matches('"');
            tags.iter().any(|tag| tag.opaque == bare)
        }
        Ok(None) | Err(Malformed) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::IF_MATCH, HeaderValue::from_str(line).unwrap());
        }
        headers
    }

    fn revisions(lines: &[&str]) -> Option<Vec<u64>> {
        match if_match(&headers(lines)) {
            Ok(Some(IfMatch::OneOf(revisions))) => Some(revisions),
            Ok(Some(IfMatch::Any)) | Ok(None) | Err(_) => None,
        }
    }

    #[test]
    fn if_match_names_revisions() {
        let tag = of_record(12, b"{}");

        assert_eq!(if_match(&headers(&[])).unwrap(), None);
        assert_eq!(if_match(&headers(&[" * "])).unwrap(), Some(IfMatch::Any));
        assert_eq!(revisions(&[&tag]), Some(vec![12]));
        assert_eq!(revisions(&["\"1\",,\"2\" ,\t\"3\"", "\"4\""]), Some(vec![1, 2, 3, 4]));
        for none in
            ["W/\"12\"", "\"abc\"", "\"\"", "\"-1\"", "\"+1\"", "\"99999999999999999999\"", "\"1-2\"", "\"1,2\""]
        {
            assert_eq!(revisions(&[none]), Some(vec![]), "{none}");
        }
    }

    #[test]
    fn what_is_no_list_of_tags_is_refused() {
        for bad in ["12", "*, \"1\"", "\"1\" \"2\"", "", ",", "\"", "w/\"1\"", "\"a b\""] {
            assert!(if_match(&headers(&[bad])).is_err(), "{bad}");
        }
        assert!(if_match(&headers(&["*", "\"1\""])).is_err());
        assert!(if_match(&headers(&["*", "*"])).is_err());
    }

    #[test]
    fn other_bodies_have_other_tags() {
        assert_ne!(of_record(1, b"a"), of_record(1, b"b"));
        assert_ne!(of_record(1, b"a"), of_record(2, b"a"));
        assert!(of_body(b"a").starts_with("\"h"));
    }
}
