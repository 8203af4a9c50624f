//! Start: take the lock, open what is there, repair what may be repaired, refuse the rest.

use super::control::{Applied, Control};
use super::counters::UsageFound;
use super::format::{self, Run};
use super::journal::entry::Change;
use super::journal::frame::{Entry, Hash};
use super::journal::scan::{self, Segment, Then, damaged};
use super::journal::{Journal, Place};
use super::lock::Lock;
use super::usage::{self, Usage};
use super::{Options, sled_db};
use crate::store::StoreError;
use std::path::Path;
use std::time::{Duration, Instant};

/// Entries after which a replay records how far it is.
const REPLAY_STEP: u64 = 1_000;
/// sled's own background flush of the control state: a kill loses at most this much of it, which is replayed.
const FLUSH_EVERY_MS: u64 = 1_000;

/// What a start found and did.
#[derive(Debug, Clone)]
pub struct StartReport {
    /// The last change.
    pub seq: u64,
    pub entries_replayed: u64,
    /// Bytes of a group that was never made durable.
    pub torn_bytes_cut: u64,
    pub control: ControlStart,
    /// Why usage starts from zero, where it does.
    pub counters_lost: Option<String>,
    /// The usage that was found, and what of it is wrong.
    pub usage: UsageFound,
    pub took: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlStart {
    Kept,
    /// Built from the whole journal, and why.
    Rebuilt(String),
}

/// Everything a store runs on.
pub(crate) struct Parts {
    pub(crate) journal: Journal,
    pub(crate) control: Control,
    pub(crate) applied: Applied,
    pub(crate) usage: Usage,
    pub(crate) lock: Lock,
    pub(crate) report: StartReport,
}

pub(crate) fn open(folder: &Path, options: &Options) -> Result<Parts, StoreError> {
    let begun = Instant::now();
    std::fs::create_dir_all(folder).map_err(StoreError::io(format!("make `{}`", folder.display())))?;
    // ORDER: nothing is read, let alone repaired, before the folder is ours.
    let lock = Lock::take(folder)?;
    format::check(folder)?;
    let last_run = format::last_run(folder)?;
    let (journal, segments, torn_bytes_cut) =
        Journal::open(&folder.join("journal"), options.layer.clone(), options.segment_bytes)?;
    if torn_bytes_cut > 0 {
        tracing::warn!(bytes = torn_bytes_cut, "cut a torn tail off the journal: it was never acknowledged");
    }
    if let Some(run) = last_run.as_ref().filter(|run| run.clean && run.seq > journal.last_seq()) {
        return Err(StoreError::ControlAhead { applied: run.seq, last: journal.last_seq() });
    }
    let (control, applied, rebuilt) = open_control(&folder.join("control"), &journal, last_run.as_ref(), options)?;
    let mut applied = applied;
    let entries_replayed = replay(&segments, &control, &mut applied)?;
    let usage = usage::open(folder, options, last_run.as_ref())?;
    // ORDER: from here on a stop is unclean until it is proved clean.
    let counters = Some(usage.counters.mark());
    format::record_run(folder, &Run { boot_id: options.boot_id.clone(), clean: false, seq: 0, counters })?;
    let report = StartReport {
        seq: journal.last_seq(),
        entries_replayed,
        torn_bytes_cut,
        control: rebuilt.map_or(ControlStart::Kept, ControlStart::Rebuilt),
        counters_lost: usage.lost.clone(),
        usage: usage.found.clone(),
        took: begun.elapsed(),
    };
    Ok(Parts { journal, control, applied, usage, lock, report })
}

/// Opens and checks the control state; where it cannot be trusted, starts an empty one and says why.
fn open_control(
    folder: &Path,
    journal: &Journal,
    last_run: Option<&Run>,
    options: &Options,
) -> Result<(Control, Applied, Option<String>), StoreError> {
    let tuning = sled_db::Tuning { cache_bytes: options.control_cache_bytes, flush_every_ms: Some(FLUSH_EVERY_MS) };
    let distrust = if !folder.exists() {
        (journal.last_seq() > 0).then(|| "it was missing".to_owned())
    } else {
        distrust(last_run, options).map(str::to_owned)
    };
    if distrust.is_none() {
        match sled_db::open(folder, &tuning, Control::over)? {
            Ok(control) => match check(&control, last_run)? {
                Ok(applied) => {
                    compare(&applied, journal)?;
                    return Ok((control, applied, None));
                }
                Err(why) => {
                    drop(control);
                    return rebuild(folder, &tuning, why);
                }
            },
            Err(why) => return rebuild(folder, &tuning, why),
        }
    }
    rebuild(folder, &tuning, distrust.unwrap_or_default())
}

fn rebuild(
    folder: &Path,
    tuning: &sled_db::Tuning,
    why: String,
) -> Result<(Control, Applied, Option<String>), StoreError> {
    tracing::warn!(why, "the control state is rebuilt from the journal");
    sled_db::move_aside(folder)?;
    match sled_db::open(folder, tuning, Control::over)? {
        Ok(control) => Ok((control, Applied::default(), Some(why))),
        Err(what) => Err(StoreError::Damaged { area: "a fresh control state", what }),
    }
}

/// Why what is there cannot be trusted: sled never makes its writes durable on its own, so a power cut may have lost
/// any of them silently.
fn distrust(last_run: Option<&Run>, options: &Options) -> Option<&'static str> {
    match last_run {
        None => Some("it is not known how the last run ended"),
        Some(run) if run.clean => None,
        Some(run) if run.boot_id == options.boot_id && !run.boot_id.is_empty() => None,
        Some(_) => Some("the machine went down while it was in use"),
    }
}

/// Reads every record; the inner error says why the state cannot be trusted.
fn check(control: &Control, last_run: Option<&Run>) -> Result<Result<Applied, String>, StoreError> {
    let recorded = match control.applied() {
        Ok(applied) => applied,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let counted = match super::guarded("the control state", || control.count()) {
        Ok(counted) => counted,
        Err(error) => return Ok(Err(error.to_string())),
    };
    if last_run.is_some_and(|run| run.clean) && counted != (recorded.count, recorded.sum) {
        return Ok(Err(format!("it has {} records where {} were left", counted.0, recorded.count)));
    }
    // After a kill a group may be half applied: what is there counts, and the replay goes on from it.
    let (count, sum) = counted;
    Ok(Ok(Applied { count, sum, ..recorded }))
}

fn compare(applied: &Applied, journal: &Journal) -> Result<(), StoreError> {
    let last = journal.last_seq();
    if applied.seq > last {
        return Err(StoreError::ControlAhead { applied: applied.seq, last });
    }
    if applied.seq == last && applied.hash != journal.last_hash() {
        return Err(StoreError::JournalReplaced { seq: last });
    }
    Ok(())
}

/// Applies every entry after `applied`; returns how many.
fn replay(segments: &[Segment], control: &Control, applied: &mut Applied) -> Result<u64, StoreError> {
    let from = *applied;
    let first = segments.iter().rposition(|segment| segment.first_seq <= from.seq + 1).unwrap_or(0);
    let mut replayed = 0;
    let mut visit = |entry: &Entry<'_>, hash: Hash, place: Place| {
        if entry.seq < from.seq {
            return Ok(());
        }
        if entry.seq == from.seq {
            return if hash == from.hash { Ok(()) } else { Err(StoreError::JournalReplaced { seq: from.seq }) };
        }
        let change = Change::decode(entry.payload).map_err(|what| damaged(place.segment, place.offset, what))?;
        control.apply(applied, (entry.seq, hash), &change, place)?;
        replayed += 1;
        if replayed % REPLAY_STEP == 0 {
            control.sweep(applied)?;
            control.set_applied(applied)?;
        }
        Ok(())
    };
    for (index, segment) in segments.iter().enumerate().skip(first) {
        if segment.first_seq == from.seq + 1 && segment.prev_hash != from.hash {
            return Err(StoreError::JournalReplaced { seq: from.seq });
        }
        scan::read(segment, Then::of(segments.get(index + 1)), &mut visit)?;
    }
    if replayed > 0 {
        control.sweep(applied)?;
        control.set_applied(applied)?;
    }
    Ok(replayed)
}
