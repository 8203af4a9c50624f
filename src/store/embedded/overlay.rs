//! What the state will be once the changes accepted so far in a group are applied.

use super::control::Control;
use super::failpoint::{Safeguard, taken_out};
use crate::store::{Changeset, CommitError, Expect, Idempotency, Key, StoredAnswer, Table};
use std::collections::HashMap;

pub(crate) struct Overlay<'a> {
    control: &'a Control,
    /// Sequence number of the last accepted change.
    seq: u64,
    /// None: deleted.
    revisions: HashMap<(Table, Key), Option<u64>>,
    answers: HashMap<Vec<u8>, StoredAnswer>,
}

impl<'a> Overlay<'a> {
    pub(crate) fn over(control: &'a Control, last_seq: u64) -> Self {
        Self { control, seq: last_seq, revisions: HashMap::new(), answers: HashMap::new() }
    }

    /// Accepts a change (None), or finds the answer that the same request was given before.
    ///
    /// Errors: an expectation does not hold, or the idempotency key belongs to another request.
    pub(crate) fn admit(&mut self, change: &Changeset) -> Result<Option<StoredAnswer>, CommitError> {
        // ORDER: a repeated request must find its answer, though what it expected then no longer holds now.
        if let Some(given) = &change.idempotency
            && let Some(kept) = self.answer(&given.key)?
            && kept.expires_at_ms > change.at_ms
        {
            return if kept.fingerprint == given.fingerprint {
                Ok(Some(kept))
            } else {
                Err(CommitError::IdempotencyMismatch)
            };
        }
        for expect in &change.expects {
            self.check(expect)?;
        }
        self.accept(change);
        Ok(None)
    }

    fn check(&self, expect: &Expect) -> Result<(), CommitError> {
        let (table, key, expected) = match expect {
            Expect::Absent { table, key } => (*table, key, None),
            Expect::Revision { table, key, revision } => (*table, key, Some(*revision)),
        };
        let current = match self.revisions.get(&(table, key.clone())) {
            Some(accepted) => *accepted,
            None => self.control.revision(table, key.as_bytes())?,
        };
        if current == expected { Ok(()) } else { Err(CommitError::Conflict { table, key: key.clone(), current }) }
    }

    fn answer(&self, key: &[u8]) -> Result<Option<StoredAnswer>, CommitError> {
        if let Some(accepted) = self.answers.get(key) {
            return Ok(Some(accepted.clone()));
        }
        Ok(self.control.answer(key)?.map(|(seq, kept)| StoredAnswer {
            fingerprint: kept.fingerprint,
            response: kept.response,
            expires_at_ms: kept.expires_at_ms,
            seq,
        }))
    }

    fn accept(&mut self, change: &Changeset) {
        self.seq += 1;
        if taken_out(Safeguard::Overlay) {
            return;
        }
        for write in &change.writes {
            let revision = write.value.as_ref().map(|_| self.seq);
            self.revisions.insert((write.table, write.key.clone()), revision);
        }
        if let Some(Idempotency { key, fingerprint, response, expires_at_ms }) = &change.idempotency {
            let (fingerprint, response, expires_at_ms) = (*fingerprint, response.clone(), *expires_at_ms);
            self.answers.insert(key.clone(), StoredAnswer { fingerprint, response, expires_at_ms, seq: self.seq });
        }
    }
}
