//! Old hours lose their minutes and then go, a slice at a time.

use super::hour::Hour;
use super::{HOURS_KEPT_MS, History, MINUTES_KEPT_MS, hour_at, hour_of};
use crate::store::{HistoryRecord, StoreError};

/// Groups of accounts that one slice looks at.
const SLICE: usize = 200;
/// Hours that one slice takes away or thins before it ends early.
const MAX_CHANGES: usize = 2_000;
/// Behind every key.
const END: [u8; 1] = [0xFF];
/// Bytes of a key that say which hour.
const HOUR_BYTES: usize = 4;

/// How far the walk over all accounts and groups has come.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Where it goes on; empty: at the beginning.
    next: Vec<u8>,
    /// The hour in which the last walk began that came to an end.
    done_in: Option<u32>,
    /// The hour in which this one began.
    begun_in: Option<u32>,
}

impl History {
    /// Thins hours whose minutes have been kept long enough and drops those that are too old: a slice of the work.
    /// Once an hour there is some.
    ///
    /// It seeks from one account and group to the next, and back from where minutes may still be to the first hour
    /// that has none, so it does not read what there is nothing to do with.
    /// Returns whether there is more to do now.
    /// Errors: the store fails; the next slice goes on from there.
    pub fn tidy(&self, now: i64) -> Result<bool, StoreError> {
        let mut walk = self.walk.lock();
        let hour = hour_at(now);
        if walk.begun_in.is_none() {
            if walk.done_in == Some(hour) {
                return Ok(false);
            }
            walk.begun_in = Some(hour);
        }
        let mut changes = 0;
        for _ in 0..SLICE {
            let Some((oldest, _)) = self.store.scan_history(&walk.next, &END, 1)?.into_iter().next() else {
                *walk = Walk { done_in: walk.begun_in, ..Walk::default() };
                return Ok(false);
            };
            let prefix = oldest[..oldest.len().saturating_sub(HOUR_BYTES)].to_vec();
            let (changed, whole) = self.tidy_group(&prefix, &oldest, now)?;
            changes += changed;
            if whole {
                walk.next = [&prefix[..], &[0xFF; HOUR_BYTES], &[0]].concat();
            }
            if changes >= MAX_CHANGES {
                break;
            }
        }
        Ok(true)
    }

    /// Returns how many hours were changed, and whether that is all there was to do.
    fn tidy_group(&self, prefix: &[u8], oldest: &[u8], now: i64) -> Result<(usize, bool), StoreError> {
        let bound = |kept_ms: i64| [prefix, &hour_at(now.saturating_sub(kept_ms)).to_be_bytes()].concat();
        let (drop_before, thin_before) = (bound(HOURS_KEPT_MS), bound(MINUTES_KEPT_MS));
        let mut changed = 0;
        if oldest < drop_before.as_slice() {
            let old = self.store.scan_history(oldest, &drop_before, MAX_CHANGES)?;
            for (key, _) in &old {
                self.store.put_history(key, None)?;
            }
            changed += old.len();
        }
        // ORDER: the oldest is thinned first. Where that ends early, the last is found to have its minutes still.
        let mut thick: Vec<HistoryRecord> = Vec::new();
        let mut before = thin_before;
        while let Some((key, value)) = self.store.last_history(&drop_before, &before)? {
            if !Hour::has_minutes(&value) {
                break;
            }
            before.clone_from(&key);
            thick.push((key, value));
        }
        let few = thick.len() <= MAX_CHANGES;
        for (key, value) in thick.into_iter().rev().take(MAX_CHANGES) {
            match Hour::read(&value) {
                Some(hour) => self.store.put_history(&key, Some(&hour.thin().write()))?,
                None => {
                    tracing::error!(hour = ?hour_of(&key), "an hour of the history cannot be read: it is dropped");
                    self.store.put_history(&key, None)?;
                }
            }
            changed += 1;
        }
        Ok((changed, few))
    }
}
