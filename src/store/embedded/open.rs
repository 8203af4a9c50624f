//! Start: take the lock, open what is there, repair what may be repaired, refuse the rest.

use super::control::{Applied, Control};
use super::counters::UsageFound;
use super::format::{self, Run};
use super::journal::entry::Change;
use super::journal::frame::{Entry, Hash};
use super::journal::scan::{self, Segment, Then};
use super::journal::{Found, Journal, Place};
use super::lock::Lock;
use super::notes::Notes;
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
    /// Bytes of a group that was not whole.
    pub torn_bytes_cut: u64,
    pub torn_tail: TornTail,
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

/// What is known of changes in a torn tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TornTail {
    /// There was none.
    None,
    /// The control state has nothing of it, and a group is applied before it is answered.
    NeverAcknowledged,
    /// The control state could not be asked, and a disk may lose what it had made durable.
    MayHaveBeenAcknowledged,
}

impl TornTail {
    fn of(bytes: u64, witness: Option<Witness>) -> Self {
        match (bytes, witness) {
            (0, _) => Self::None,
            (_, Some(_)) => Self::NeverAcknowledged,
            (_, None) => Self::MayHaveBeenAcknowledged,
        }
    }

    fn tell(self, bytes: u64) {
        match self {
            Self::None => {}
            Self::NeverAcknowledged => {
                tracing::warn!(bytes, "cut a torn tail off the journal: it was never acknowledged");
            }
            Self::MayHaveBeenAcknowledged => tracing::warn!(
                bytes,
                "cut a torn tail off the journal: it may have been acknowledged, because the control state that would \
                 tell is not readable; compare with a backup, or with an audit head kept elsewhere"
            ),
        }
    }
}

/// A change that was applied once, and so must be in the journal.
type Witness = (u64, Hash);

/// Everything a store runs on.
pub(crate) struct Parts {
    pub(crate) journal: Journal,
    pub(crate) control: Control,
    pub(crate) applied: Applied,
    pub(crate) usage: Usage,
    pub(crate) notes: Notes,
    pub(crate) lock: Lock,
    pub(crate) report: StartReport,
}

pub(crate) fn open(folder: &Path, options: &Options) -> Result<Parts, StoreError> {
    let begun = Instant::now();
    std::fs::create_dir_all(folder).map_err(StoreError::io(format!("make `{}`", folder.display())))?;
    // ORDER: nothing is read, let alone repaired, before the folder is ours.
    let lock = Lock::take(folder)?;
    format::refuse_restoring(folder)?;
    format::check(folder)?;
    let last_run = format::last_run(folder)?;
    let found = Found::look(&folder.join("journal"))?;
    if let Some(run) = last_run.as_ref().filter(|run| run.seq > found.last_seq()) {
        return Err(StoreError::ControlAhead { applied: run.seq, last: found.last_seq() });
    }
    // ORDER: what was applied is compared before the journal is touched, so that a journal that lost its end is left as
    // it is, the torn part of it too.
    let opened = open_control(&folder.join("control"), &found, last_run.as_ref(), options)?;
    let OpenedControl { control, mut applied, witness, rebuilt } = opened;
    let torn_bytes_cut = found.torn_bytes();
    let torn_tail = TornTail::of(torn_bytes_cut, witness);
    let (journal, segments) = Journal::open(found, options.layer.clone(), options.segment_bytes)?;
    torn_tail.tell(torn_bytes_cut);
    let entries_replayed = replay(&segments, &control, &mut applied, witness)?;
    let usage = usage::open(folder, options, last_run.as_ref())?;
    let (notes, notes_lost) = Notes::open(&folder.join("notes"), options.layer.clone(), options.store_id)?;
    for lost in &notes_lost {
        tracing::error!(lost, "sessions, or notes of when keys were used, were lost: who is logged out logs in again");
    }
    // ORDER: from here on a stop is unclean until it is proved clean.
    let counters = Some(usage.counters.mark());
    let run = Run { boot_id: options.boot_id.clone(), clean: false, seq: journal.last_seq(), counters };
    format::record_run(folder, &run)?;
    let report = StartReport {
        seq: journal.last_seq(),
        entries_replayed,
        torn_bytes_cut,
        torn_tail,
        control: rebuilt.map_or(ControlStart::Kept, ControlStart::Rebuilt),
        counters_lost: usage.lost.clone(),
        usage: usage.found.clone(),
        took: begun.elapsed(),
    };
    Ok(Parts { journal, control, applied, usage, notes, lock, report })
}

struct OpenedControl {
    control: Control,
    applied: Applied,
    /// What is known to have been applied, also where the state is not trusted otherwise. None: nothing is.
    witness: Option<Witness>,
    /// Why it is made anew.
    rebuilt: Option<String>,
}

/// Opens and checks the control state; where it cannot be trusted, starts an empty one and says why.
///
/// Errors: it has what the journal lacks, trusted or not.
fn open_control(
    folder: &Path,
    journal: &Found,
    last_run: Option<&Run>,
    options: &Options,
) -> Result<OpenedControl, StoreError> {
    let tuning = sled_db::Tuning { cache_bytes: options.control_cache_bytes, flush_every_ms: Some(FLUSH_EVERY_MS) };
    if !folder.exists() {
        let why = if journal.last_seq() > 0 { "it was missing" } else { "" };
        return rebuild(folder, &tuning, why.to_owned(), None);
    }
    let distrust = distrust(last_run, options);
    let opened = match sled_db::open(folder, &tuning, Control::over) {
        // It would be made anew anyway: what cannot be asked keeps nobody from that.
        Err(StoreError::Io { why, .. }) if distrust.is_some() => Err(why),
        opened => opened?,
    };
    let control = match opened {
        Ok(control) => control,
        Err(why) => return rebuild(folder, &tuning, why, None),
    };
    let recorded = match super::guarded("the control state", || control.applied()) {
        Ok(recorded) => recorded,
        Err(error) => {
            drop(control);
            return rebuild(folder, &tuning, error.to_string(), None);
        }
    };
    compare(&recorded, journal)?;
    // What has nothing applied may have lost it.
    let witness = (recorded.seq > 0 || journal.last_seq() == 0).then_some((recorded.seq, recorded.hash));
    let checked = match distrust {
        Some(why) => Err(why.to_owned()),
        None => check(&control, recorded, last_run),
    };
    match checked {
        Ok(applied) => Ok(OpenedControl { control, applied, witness, rebuilt: None }),
        Err(why) => {
            drop(control);
            rebuild(folder, &tuning, why, witness)
        }
    }
}

fn rebuild(
    folder: &Path,
    tuning: &sled_db::Tuning,
    why: String,
    witness: Option<Witness>,
) -> Result<OpenedControl, StoreError> {
    if !why.is_empty() {
        tracing::warn!(why, "the control state is rebuilt from the journal");
    }
    sled_db::move_aside(folder)?;
    match sled_db::open(folder, tuning, Control::over)? {
        Ok(control) => {
            let rebuilt = Some(why).filter(|why| !why.is_empty());
            Ok(OpenedControl { control, applied: Applied::default(), witness, rebuilt })
        }
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

/// Reads every record; the error says why the state cannot be trusted.
fn check(control: &Control, recorded: Applied, last_run: Option<&Run>) -> Result<Applied, String> {
    let counted = super::guarded("the control state", || control.count()).map_err(|error| error.to_string())?;
    if last_run.is_some_and(|run| run.clean) && counted != (recorded.count, recorded.sum) {
        return Err(format!("it has {} records where {} were left", counted.0, recorded.count));
    }
    // After a kill a group may be half applied: what is there counts, and the replay goes on from it.
    let (count, sum) = counted;
    Ok(Applied { count, sum, ..recorded })
}

fn compare(applied: &Applied, journal: &Found) -> Result<(), StoreError> {
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
///
/// Errors: damage, or the journal has another change where `witness` is.
fn replay(
    segments: &[Segment],
    control: &Control,
    applied: &mut Applied,
    witness: Option<Witness>,
) -> Result<u64, StoreError> {
    let from = *applied;
    let first = segments.iter().rposition(|segment| segment.first_seq <= from.seq + 1).unwrap_or(0);
    let mut replayed = 0;
    let mut visit = |entry: &Entry<'_>, hash: Hash, place: Place| {
        if witness.is_some_and(|(seq, known)| seq == entry.seq && known != hash) {
            return Err(StoreError::JournalReplaced { seq: entry.seq });
        }
        if entry.seq < from.seq {
            return Ok(());
        }
        if entry.seq == from.seq {
            return if hash == from.hash { Ok(()) } else { Err(StoreError::JournalReplaced { seq: from.seq }) };
        }
        let change = Change::decode(entry).map_err(|error| error.at(place))?;
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
