//! The answer to one event of a trace, and its line of JSON.

use crate::domain::quantity::Quota;
use crate::engine::{DecideError, Decision, EndError, Ended, LimitState, Snapshot, Status, StatusError};

/// One line of the decisions file.
#[derive(Debug)]
pub struct Answer {
    /// The file's line, from 1.
    pub line: u64,
    pub at_ms: i64,
    pub op: &'static str,
    pub body: Body,
}

#[derive(Debug)]
pub enum Body {
    Decided {
        decision: Box<Decision>,
        dry_run: bool,
    },
    NotDecided(DecideError),
    /// Settled, cancelled or renewed.
    Ended(Box<Ended>),
    NotEnded(EndError),
    Status(Box<Status>),
    NoStatus(StatusError),
    /// The account's tier after the event.
    Tier(String),
    Done,
}

impl Answer {
    /// Appends the line of JSON, with its end.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        let mut object = Object::open(out);
        object.number("line", self.line);
        object.number("at_ms", self.at_ms);
        object.word("op", self.op);
        match &self.body {
            Body::Decided { decision, dry_run } => decided(&mut object, decision, *dry_run),
            Body::NotDecided(error) => {
                object.word("error", error.as_str());
                if let DecideError::ReservationEnded(how) = error {
                    object.word("ended", how.as_str());
                }
            }
            Body::Ended(ended) => {
                object.truth("ok", true);
                limits(&mut object, &ended.snapshot, ended.group, &ended.limits);
                object.truth("late", ended.late);
                object.truth("replayed", ended.replayed);
            }
            Body::NotEnded(error) => {
                object.word("error", error.as_str());
                if let EndError::ReservationEnded(how) = error {
                    object.word("ended", how.as_str());
                }
            }
            Body::Status(status) => limits(&mut object, &status.snapshot, status.group, &status.limits),
            Body::NoStatus(error) => object.word("error", error.as_str()),
            Body::Tier(tier) => object.word("tier", tier),
            Body::Done => {}
        }
        object.close();
        out.push(b'\n');
    }
}

fn decided(object: &mut Object<'_>, decision: &Decision, dry_run: bool) {
    match decision.denied {
        None => object.word("decision", "allow"),
        Some(reason) => {
            object.word("decision", "deny");
            object.word("reason", reason.as_str());
            object.list("violated", decision.violated(), quoted);
        }
    }
    if let Some(ms) = decision.retry_after_ms {
        object.number("retry_after_ms", ms);
    }
    if let Some(ms) = decision.slot_expires_in_ms {
        object.number("slot_expires_in_ms", ms);
    }
    if let Some(held) = &decision.reservation {
        match &held.id {
            Some(id) => object.word("reservation", id),
            None => object.word("reservation", &held.handle.to_string()),
        }
    }
    object.truth("replayed", decision.replayed);
    object.truth("dry_run", dry_run);
    limits(object, &decision.snapshot, decision.group, &decision.limits);
}

fn limits(object: &mut Object<'_>, snapshot: &Snapshot, group: Option<u16>, states: &[LimitState]) {
    let named = group.into_iter().flat_map(|group| states.iter().map(move |state| (group, state)));
    object.list("limits", named, |out, (group, state)| {
        let mut object = Object::open(out);
        object.word("id", snapshot.limit_id(group, state.limit));
        object.word("scope", state.scope.as_str());
        match state.quota {
            Quota::Units(units) => object.number("quota", units),
            Quota::Unlimited => object.word("quota", "unlimited"),
            Quota::Blocked => object.word("quota", "blocked"),
        }
        if let Some(burst) = state.burst {
            object.wide("burst", burst);
        }
        object.wide("used", state.used);
        if let Some(remaining) = state.remaining() {
            object.wide("remaining", remaining);
        }
        if let Some(ms) = state.reset_after_ms {
            object.number("reset_after_ms", ms);
        }
        object.close();
    });
}

/// A JSON object on its way into a buffer. Answers are written by the million, so nothing is made on the way.
struct Object<'o> {
    out: &'o mut Vec<u8>,
    separator: u8,
}

impl<'o> Object<'o> {
    fn open(out: &'o mut Vec<u8>) -> Self {
        Self { out, separator: b'{' }
    }

    fn key(&mut self, key: &'static str) {
        self.out.push(self.separator);
        self.separator = b',';
        quoted(self.out, key);
        self.out.push(b':');
    }

    fn word(&mut self, key: &'static str, word: &str) {
        self.key(key);
        quoted(self.out, word);
    }

    fn number(&mut self, key: &'static str, number: impl itoa::Integer) {
        self.key(key);
        self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    /// Most fit into 64 bits, whose digits are found faster.
    fn wide(&mut self, key: &'static str, number: u128) {
        match u64::try_from(number) {
            Ok(number) => self.number(key, number),
            Err(_) => self.number(key, number),
        }
    }

    /// What is not so is left out.
    fn truth(&mut self, key: &'static str, holds: bool) {
        if holds {
            self.key(key);
            self.out.extend_from_slice(b"true");
        }
    }

    fn list<T>(&mut self, key: &'static str, items: impl Iterator<Item = T>, write: impl Fn(&mut Vec<u8>, T)) {
        self.key(key);
        self.out.push(b'[');
        for (position, item) in items.enumerate() {
            if position > 0 {
                self.out.push(b',');
            }
            write(self.out, item);
        }
        self.out.push(b']');
    }

    /// INVARIANT: at least one field was written.
    fn close(self) {
        self.out.push(b'}');
    }
}

/// INVARIANT: `text` is a word of ours, or a name whose grammar has no character that JSON escapes.
fn quoted(out: &mut Vec<u8>, text: &str) {
    debug_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\'));
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}
