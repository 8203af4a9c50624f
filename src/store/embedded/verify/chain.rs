//! The journal by itself: every checksum, the chain, where it ends, and whether an anchor is in it.

use super::super::journal::Place;
use super::super::journal::frame::{Entry, GENESIS, Hash};
use super::super::journal::scan::{self, Segment, Then, Visit};
use super::super::shared::Health;
use super::{Area, VerifyReport};
use crate::store::StoreError;
use std::path::Path;

/// A change and its hash, as somebody kept them apart from the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    pub seq: u64,
    pub hash: [u8; 32],
}

/// What the journal has for an anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchored {
    /// The same: no change up to this one was rewritten since.
    Held,
    /// That change with another hash: it, or one before it, was rewritten.
    Differs { hash: [u8; 32] },
    /// It ends before.
    BeyondEnd,
    /// Damage, so that it cannot be told.
    Unreadable,
}

impl Anchored {
    /// `held`, `differs`, `beyond_end` or `unreadable`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Differs { .. } => "differs",
            Self::BeyondEnd => "beyond_end",
            Self::Unreadable => "unreadable",
        }
    }
}

/// One reading of the whole journal.
#[derive(Clone, Copy)]
pub(super) struct Walk<'a> {
    /// Of the segments.
    pub(super) folder: &'a Path,
    /// How far the process is that serves from it; None: to the end.
    pub(super) served: Option<&'a Health>,
    pub(super) anchor: Option<Anchor>,
}

impl Walk<'_> {
    pub(super) fn run(self, report: &mut VerifyReport, visit: Visit<'_>) -> Result<(), StoreError> {
        let mut met = Met { anchor: self.anchor, found: None };
        if let Some(Anchor { seq: 0, .. }) = self.anchor {
            met.found = Some((GENESIS, (1, 0)));
        }
        if self.folder.exists() {
            self.read(report, &mut met, visit)?;
        }
        if let Some(health) = self.served
            && report.journal_is_sound()
            && (report.seq, report.hash) != (health.seq, health.hash)
        {
            let (segment, offset) = report.end;
            let what = format!(
                "the journal ends with change {} and hash {}, this process wrote change {} with {}",
                report.seq,
                hex::encode(report.hash),
                health.seq,
                hex::encode(health.hash)
            );
            report.find(Area::Journal { segment, offset, after_seq: report.seq }, what);
        }
        if let Some(anchor) = self.anchor {
            report.anchor = Some(settle(anchor, met.found, report));
        }
        Ok(())
    }

    fn read(self, report: &mut VerifyReport, met: &mut Met, visit: Visit<'_>) -> Result<(), StoreError> {
        let (mut segments, _) = match scan::list(self.folder) {
            Ok(listed) => listed,
            Err(error) => return note(report, error),
        };
        if let Some(health) = self.served {
            let (number, len) = health.journal;
            segments.truncate(number as usize);
            if (segments.len() as u64) < number {
                report.find(Area::Journal { segment: number, offset: 0, after_seq: 0 }, "the segment is missing");
            } else {
                return read_all(&segments, Then::Durable(len), report, met, visit);
            }
        }
        read_all(&segments, Then::End, report, met, visit)
    }
}

fn read_all(
    segments: &[Segment],
    last: Then<'_>,
    report: &mut VerifyReport,
    met: &mut Met,
    visit: Visit<'_>,
) -> Result<(), StoreError> {
    report.segments = segments.len() as u64;
    for (index, segment) in segments.iter().enumerate() {
        let then = segments.get(index + 1).map_or(last, Then::Next);
        let mut good = (segment.first_seq - 1, segment.prev_hash);
        let read = scan::read(segment, then, &mut |entry, hash, place| {
            visit(entry, hash, place)?;
            met.see(entry, hash, place);
            good = (entry.seq, hash);
            Ok(())
        });
        report.entries += good.0 - (segment.first_seq - 1);
        (report.seq, report.hash) = good;
        match read {
            Ok(end) => {
                report.torn_bytes = end.torn;
                report.end = (segment.number, end.len);
            }
            Err(error) => note(report, error)?,
        }
    }
    Ok(())
}

/// The change that an anchor names, once it has come by.
struct Met {
    anchor: Option<Anchor>,
    found: Option<(Hash, (u64, u64))>,
}

impl Met {
    fn see(&mut self, entry: &Entry<'_>, hash: Hash, place: Place) {
        if self.anchor.is_some_and(|anchor| anchor.seq == entry.seq) {
            self.found = Some((hash, (place.segment, place.offset)));
        }
    }
}

/// What is known of the anchor in the end; a finding where the journal contradicts it.
fn settle(anchor: Anchor, found: Option<(Hash, (u64, u64))>, report: &mut VerifyReport) -> Anchored {
    let Anchor { seq, hash: kept } = anchor;
    match found {
        Some((hash, _)) if hash == kept => Anchored::Held,
        Some((hash, (segment, offset))) => {
            let what = format!("change {seq} is not the anchor's: it, or one before it, was rewritten since");
            report.find(Area::Journal { segment, offset, after_seq: seq.saturating_sub(1) }, what);
            Anchored::Differs { hash }
        }
        None if !report.journal_is_sound() => Anchored::Unreadable,
        None => {
            let (segment, offset) = report.end;
            let what = format!("the anchor is change {seq}, the journal ends at {}: the rest was cut off", report.seq);
            report.find(Area::Journal { segment, offset, after_seq: report.seq }, what);
            Anchored::BeyondEnd
        }
    }
}

/// Damage is a finding; anything else ends the check.
fn note(report: &mut VerifyReport, error: StoreError) -> Result<(), StoreError> {
    match error {
        StoreError::JournalDamaged { segment, offset, what } => {
            report.find(Area::Journal { segment, offset, after_seq: report.seq }, what);
            Ok(())
        }
        other => Err(other),
    }
}
