//! Checks a folder without changing what it holds: journal, chain, records, and that the state equals a replay.

mod chain;

pub use chain::{Anchor, Anchored};

use super::control::{Control, full_key, split_key};
use super::journal::Place;
use super::journal::entry::{Change, RecordedWrite};
use super::journal::frame::{Entry, Hash};
use super::journal::scan::damaged;
use super::lock::Lock;
use super::notes::Notes;
use super::scratch::Looked;
use super::shared::Health;
use super::{audit_index, format, guarded, sled_db, usage};
use crate::store::{StoreError, Table};
use chain::Walk;
use serde_json::value::to_raw_value;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

/// Most findings that are listed.
const MAX_FINDINGS: usize = 1_000;
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

#[derive(Debug, Clone, Default)]
pub struct VerifyReport {
    pub segments: u64,
    pub entries: u64,
    /// The last good journal entry and its hash: the head of the chain.
    pub seq: u64,
    pub hash: [u8; 32],
    /// Segment and offset at which the good part ends.
    pub end: (u64, u64),
    /// Bytes of a group that was never made durable; the next start cuts them.
    pub torn_bytes: u64,
    /// Records of the control state that were compared with the replay.
    pub records: u64,
    pub counters: u64,
    /// Whether the journal has the anchor that was given.
    pub anchor: Option<Anchored>,
    /// What is wrong, the first [`MAX_FINDINGS`].
    pub findings: Vec<Finding>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub area: Area,
    pub what: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// The truth: only a backup helps. The sequence number is the last good one before.
    Journal { segment: u64, offset: u64, after_seq: u64 },
    /// Derived: a start rebuilds it once `control/` is moved away.
    Control,
    /// Disposable: the next start goes on without what is broken.
    Counters,
    /// Disposable: the next start goes on without what is broken.
    Notes,
}

impl Area {
    /// What to do about a finding.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Journal { .. } => {
                "the journal is the truth and is never repaired in place: keep this folder as it is, restore a backup \
                 into a new one with `quotagate restore BACKUP --data NEW`, and add `--newer-journal` with this \
                 folder's `journal` if what came after the backup still reads"
            }
            Self::Control => {
                "the control state is made from the journal: move `control/` away while no server runs, and the next \
                 start makes it anew"
            }
            Self::Counters => {
                "usage alone is affected, never policy: the next start goes on without what is broken, which counts \
                 as not used"
            }
            Self::Notes => {
                "sessions and notes of when keys were used alone are affected: the next start goes on without what is \
                 broken, and who is logged out logs in again"
            }
        }
    }
}

impl VerifyReport {
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    /// Without that, the state was not compared with it.
    #[must_use]
    pub fn journal_is_sound(&self) -> bool {
        !self.findings.iter().any(|finding| matches!(finding.area, Area::Journal { .. }))
    }

    /// The journal is good as far as it goes, and does not go far enough.
    fn find_cut(&mut self, applied: u64) {
        let (segment, offset) = self.end;
        let what = StoreError::ControlAhead { applied, last: self.seq }.to_string();
        self.find(Area::Journal { segment, offset, after_seq: self.seq }, what);
    }

    fn find(&mut self, area: Area, what: impl Into<String>) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding { area, what: what.into() });
        }
    }
}

/// What a replay of the journal says a record is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Expected {
    revision: u64,
    schema: u16,
    len: usize,
    crc: u32,
    /// Of an idempotency record, which is swept some time after.
    expires_at_ms: Option<i64>,
}

#[derive(Default)]
struct Replay {
    records: BTreeMap<Vec<u8>, Expected>,
    /// Records written after what the state says it has: they may be old or new.
    unsettled: HashSet<Vec<u8>>,
    /// Latest time of any entry since a clock was accepted. A group that was half applied may have been swept up to it, though the state does
    /// not say so yet.
    at_ms: i64,
}

/// Checks the folder of a store that nobody serves from.
///
/// Of what cannot be written to, on a read-only mount, databases are looked at in a copy.
/// Errors: in use, of a newer version, no store, or unreadable. What is wrong with the content is in the report.
pub fn verify(folder: &Path) -> Result<VerifyReport, StoreError> {
    verify_against(folder, None)
}

/// The same, and whether the journal has an anchor.
///
/// Errors: in use, of a newer version, no store, or unreadable.
pub fn verify_against(folder: &Path, anchor: Option<Anchor>) -> Result<VerifyReport, StoreError> {
    // ORDER: before the lock, which would make a file in whatever folder was named.
    must_hold_store(folder)?;
    let lock = Lock::take_to_read(folder)?;
    let control_place = Looked::at(folder.join("control"), &lock)?;
    let history_place = Looked::at(usage::history_folder(folder), &lock)?;
    let mut report = VerifyReport::default();
    let control = open_control(control_place.path(), &mut report)?;
    let applied = match &control {
        Some(control) => match control.applied() {
            Ok(applied) => applied,
            Err(error) => {
                report.find(Area::Control, error.to_string());
                return finish(folder, history_place.path(), (anchor, report));
            }
        },
        None => return finish(folder, history_place.path(), (anchor, report)),
    };
    let mut replay = Replay::default();
    let mut visit = |entry: &Entry<'_>, hash: Hash, place: Place| {
        if entry.seq == applied.seq && hash != applied.hash {
            let what = StoreError::JournalReplaced { seq: entry.seq }.to_string();
            return Err(damaged(place.segment, place.offset, what));
        }
        replay.take(entry, place, applied.seq)
    };
    Walk { folder: &folder.join("journal"), served: None, anchor }.run(&mut report, &mut visit)?;
    if report.journal_is_sound() && applied.seq > report.seq {
        report.find_cut(applied.seq);
    } else if report.is_sound()
        && let Some(control) = &control
    {
        let compared = guarded("the control state", || compare(control, &replay, &mut report));
        if let Err(error) = compared {
            report.find(Area::Control, error.to_string());
        }
        let rows = guarded("the audit index", || audit_index::count(&control.audit));
        match rows {
            Ok(rows) if rows < applied.seq => {
                report.find(Area::Control, format!("the audit index has {rows} of {} changes", applied.seq));
            }
            Ok(_) => {}
            Err(error) => report.find(Area::Control, error.to_string()),
        }
    }
    drop(control);
    verify_usage(folder, history_place.path(), &mut report)?;
    Ok(report)
}

/// Without a control state to compare with: the journal and the counters alone.
fn finish(
    folder: &Path,
    history: &Path,
    (anchor, mut report): (Option<Anchor>, VerifyReport),
) -> Result<VerifyReport, StoreError> {
    Walk { folder: &folder.join("journal"), served: None, anchor }.run(&mut report, &mut |_, _, _| Ok(()))?;
    if let Some(run) = format::last_run(folder)?.filter(|run| run.seq > report.seq)
        && report.journal_is_sound()
    {
        report.find_cut(run.seq);
    }
    verify_usage(folder, history, &mut report)?;
    Ok(report)
}

/// Checks checksums and chain of the journal alone, also while the folder is served from.
///
/// Errors: of a newer version, no store, or unreadable.
pub fn verify_journal(folder: &Path, anchor: Option<Anchor>) -> Result<VerifyReport, StoreError> {
    must_hold_store(folder)?;
    check_chain(&folder.join("journal"), None, anchor)
}

/// The same by the process that serves from it, up to where it is now, which must be what that process wrote.
pub(crate) fn verify_served(
    folder: &Path,
    health: &Health,
    anchor: Option<Anchor>,
) -> Result<VerifyReport, StoreError> {
    check_chain(&folder.join("journal"), Some(health), anchor)
}

/// Looks whether the folder holds a store, changing nothing.
///
/// Errors: it holds none, or one of a newer version.
pub fn must_hold_store(folder: &Path) -> Result<(), StoreError> {
    let marked = format::refuse_newer(folder)?;
    format::refuse_restoring(folder)?;
    if marked || folder.join("journal").exists() { Ok(()) } else { Err(StoreError::NoStore(folder.to_owned())) }
}

/// Checks checksums and chain of a folder of segments.
pub(crate) fn verify_segments(folder: &Path) -> Result<VerifyReport, StoreError> {
    check_chain(folder, None, None)
}

fn check_chain(folder: &Path, served: Option<&Health>, anchor: Option<Anchor>) -> Result<VerifyReport, StoreError> {
    let mut report = VerifyReport::default();
    Walk { folder, served, anchor }.run(&mut report, &mut |_, _, _| Ok(()))?;
    Ok(report)
}

fn open_control(folder: &Path, report: &mut VerifyReport) -> Result<Option<Control>, StoreError> {
    if !folder.exists() {
        report.find(Area::Control, "it is missing");
        return Ok(None);
    }
    let tuning = sled_db::Tuning { cache_bytes: CACHE_BYTES, flush_every_ms: None };
    match sled_db::open(folder, &tuning, Control::over)? {
        Ok(control) => Ok(Some(control)),
        Err(why) => {
            report.find(Area::Control, why);
            Ok(None)
        }
    }
}

fn compare(control: &Control, replay: &Replay, report: &mut VerifyReport) -> Result<(), StoreError> {
    let mut seen = HashSet::new();
    for item in control.heads() {
        let (full, head) = item?;
        let shown = shown(&full);
        report.records += 1;
        let value = match control.value(&full, &head) {
            Ok(Some(value)) => value,
            Ok(None) => {
                report.find(Area::Control, format!("a piece of {shown} is missing"));
                continue;
            }
            Err(error) => {
                report.find(Area::Control, error.to_string());
                continue;
            }
        };
        if !replay.unsettled.contains(full.as_ref()) {
            match replay.records.get(full.as_ref()) {
                None => report.find(Area::Control, format!("{shown} is in no journal entry")),
                Some(expected) if expected.differs(&value) => {
                    let what = format!("{shown} is not what change {} of the journal wrote", expected.revision);
                    report.find(Area::Control, what);
                }
                Some(_) => {}
            }
        }
        seen.insert(full.to_vec());
    }
    for (full, expected) in &replay.records {
        let swept = expected.expires_at_ms.is_some_and(|expires_at_ms| expires_at_ms <= replay.at_ms);
        if !seen.contains(full) && !replay.unsettled.contains(full) && !swept {
            let what = format!("{} of change {} of the journal is missing", shown(full), expected.revision);
            report.find(Area::Control, what);
        }
    }
    Ok(())
}

fn shown(full: &[u8]) -> String {
    match split_key(full) {
        Ok((table, key)) => format!("record `{}` of `{}`", key.escape_ascii(), table.name()),
        Err(_) => format!("record `{}`", full.escape_ascii()),
    }
}

fn verify_usage(folder: &Path, history: &Path, report: &mut VerifyReport) -> Result<(), StoreError> {
    let found = usage::look(folder, history, format::last_run(folder)?.as_ref())?;
    report.counters = found.records;
    found.findings.into_iter().for_each(|finding| report.find(Area::Counters, finding));
    let clean = format::last_run(folder)?.is_some_and(|run| run.clean);
    Notes::look(&folder.join("notes"), clean)?.into_iter().for_each(|finding| report.find(Area::Notes, finding));
    Ok(())
}

impl Expected {
    fn new(revision: u64, schema: u16, json: &str) -> Self {
        Self { revision, schema, len: json.len(), crc: crc32c::crc32c(json.as_bytes()), expires_at_ms: None }
    }

    fn differs(&self, value: &super::control::Value) -> bool {
        self.revision != value.revision
            || self.schema != value.schema
            || self.len != value.json.len()
            || self.crc != crc32c::crc32c(&value.json)
    }
}

impl Replay {
    /// Time begins anew. Answers that had ended by then may have been swept, the others end by `until_ms`.
    fn accept_clock(&mut self, at_ms: i64, until_ms: i64) {
        for expires_at_ms in self.records.values_mut().filter_map(|record| record.expires_at_ms.as_mut()) {
            *expires_at_ms = if *expires_at_ms <= self.at_ms { i64::MIN } else { until_ms.min(*expires_at_ms) };
        }
        self.at_ms = at_ms;
    }

    fn take(&mut self, entry: &Entry<'_>, place: Place, applied_seq: u64) -> Result<(), StoreError> {
        let bad = |what| damaged(place.segment, place.offset, what);
        let change = Change::decode(entry).map_err(|error| error.at(place))?;
        match &change.accepted_clock {
            None => self.at_ms = self.at_ms.max(change.at_ms),
            Some(clock) => self.accept_clock(change.at_ms, clock.answers_until_ms),
        }
        let mut put = |full: Vec<u8>, expected: Option<Expected>| {
            if entry.seq > applied_seq {
                self.unsettled.insert(full.clone());
            }
            match expected {
                Some(expected) => self.records.insert(full, expected),
                None => self.records.remove(&full),
            };
        };
        for write in &change.writes {
            match write {
                RecordedWrite::Put { table, key, schema, value } => {
                    put(full_key(*table, key), Some(Expected::new(entry.seq, *schema, value.get())));
                }
                RecordedWrite::Delete { table, key } => put(full_key(*table, key), None),
            }
        }
        if let Some(answer) = &change.idempotency {
            let table = Table::Idempotency;
            let kept = to_raw_value(&answer.kept).map_err(|error| bad(error.to_string()))?;
            let mut expected = Expected::new(entry.seq, table.schema(), kept.get());
            expected.expires_at_ms = Some(answer.kept.expires_at_ms);
            put(full_key(table, &answer.key), Some(expected));
        }
        Ok(())
    }
}
