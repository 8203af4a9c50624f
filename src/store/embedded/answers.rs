//! The answers kept under idempotency keys, and when they end.
//!
//! `due` has a row for each, by the time it ends. Where a clock is accepted that is behind what is stored, the answers
//! of before would be kept until times that may be far away: they end at the time that the change names, or sooner.
//! Their records stay as the journal has them; what is cut short is found by comparing their revision with the change.

use super::control::{Applied, Control, record_damaged};
use super::journal::entry::{KeptAnswer, RecordedAnswer};
use super::journal::frame::Reader;
use super::record::{self, INLINE};
use super::sled_failed;
use crate::store::{AcceptedClock, Key, StoreError, Table};
use serde_json::value::to_raw_value;

/// Most expired answers removed after one group.
const SWEEP: usize = 512;
/// In `meta`: the change that last accepted a clock, and until when answers of before it are kept.
const CLOCK: &[u8] = b"accepted_clock";
/// Bytes of the time at the beginning of a row of `due`.
const TIME: usize = 8;

impl Control {
    /// Keeps the answer that a change carries.
    pub(super) fn keep_answer(
        &self,
        applied: &mut Applied,
        seq: u64,
        answer: &RecordedAnswer,
    ) -> Result<(), StoreError> {
        let kept = to_raw_value(&answer.kept)
            .map_err(|error| StoreError::Damaged { area: "an idempotency record", what: error.to_string() })?;
        let table = Table::Idempotency;
        self.put(applied, (table, &answer.key), seq, table.schema(), kept.get().as_bytes())?;
        self.due.insert(due(answer.kept.expires_at_ms, &answer.key), b"").map_err(sled_failed)?;
        Ok(())
    }

    /// The answer kept under an idempotency key, expired or not, with the entry that carried it.
    pub(crate) fn answer(&self, key: &[u8]) -> Result<Option<(u64, KeptAnswer)>, StoreError> {
        let Some(found) = self.get(Table::Idempotency, key)? else { return Ok(None) };
        let mut kept: KeptAnswer = serde_json::from_value(found.value)
            .map_err(|error| record_damaged(Table::Idempotency, key, &error.to_string()))?;
        if let Some((_, until_ms)) = self.clock()?.filter(|(seq, _)| found.revision < *seq) {
            kept.expires_at_ms = kept.expires_at_ms.min(until_ms);
        }
        Ok(Some((found.revision, kept)))
    }

    /// Removes answers that have ended by the latest change, a bounded number of them.
    pub(crate) fn sweep(&self, applied: &mut Applied) -> Result<(), StoreError> {
        for item in self.due.range(..time(applied.at_ms.saturating_add(1))).take(SWEEP) {
            let (row, _) = item.map_err(sled_failed)?;
            let key = &row[TIME..];
            if let Some((_, kept)) = self.answer(key)?
                && kept.expires_at_ms <= applied.at_ms
            {
                self.delete(applied, Table::Idempotency, key)?;
            }
            self.due.remove(&row).map_err(sled_failed)?;
        }
        Ok(())
    }

    /// Answers of before this change end when it says, at the latest.
    ///
    /// A replay may find answers of later changes and moves their rows too: they get their own again when their changes
    /// are replayed, and a row by which nothing has ended yet is passed over.
    pub(super) fn accept_clock(&self, seq: u64, clock: &AcceptedClock) -> Result<(), StoreError> {
        let until_ms = clock.answers_until_ms;
        let bytes = record::encode(CLOCK, INLINE, 1, &[&seq.to_be_bytes(), &until_ms.to_be_bytes()]);
        self.meta.insert(CLOCK, bytes).map_err(sled_failed)?;
        for item in self.due.range(time(until_ms.saturating_add(1))..) {
            let (row, _) = item.map_err(sled_failed)?;
            self.due.insert(due(until_ms, &row[TIME..]), b"").map_err(sled_failed)?;
            self.due.remove(&row).map_err(sled_failed)?;
        }
        Ok(())
    }

    fn clock(&self) -> Result<Option<(u64, i64)>, StoreError> {
        let damaged = |what: &str| StoreError::Damaged { area: "the control state", what: what.to_owned() };
        let Some(bytes) = self.meta.get(CLOCK).map_err(sled_failed)? else { return Ok(None) };
        let mut reader = Reader(record::decode(CLOCK, &bytes).map_err(damaged)?.payload);
        let read = reader.u64().and_then(|seq| Some((seq, i64::from_be_bytes(reader.take()?))));
        read.map(Some).ok_or_else(|| damaged("the clock that was accepted is cut short"))
    }
}

/// Rows of `due` sort by this.
fn time(at_ms: i64) -> Vec<u8> {
    Key::build().i64(at_ms).finish().as_bytes().to_vec()
}

fn due(at_ms: i64, key: &[u8]) -> Vec<u8> {
    [&time(at_ms), key].concat()
}
