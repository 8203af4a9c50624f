//! Usage at the start: the log of counters, the history beside it, and the folder of versions that had both in one sled.

use super::counters::{self, Counters, Left, UsageFound};
use super::format::Run;
use super::history::{self, HistoryDb};
use super::image_log::scan;
use super::record::{self, INLINE};
use super::{Options, format, guarded, sled_failed};
use crate::store::StoreError;
use std::path::Path;

/// Records that are taken over at a time.
const PORTION: usize = 10_000;
/// For a folder that is only looked at.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

pub(crate) struct Usage {
    pub(crate) counters: Counters,
    pub(crate) history: HistoryDb,
    pub(crate) found: UsageFound,
    /// Why all usage is lost, where it is.
    pub(crate) lost: Option<String>,
}

/// Opens what there is, and takes over what an older version has left. What is wrong with usage keeps nobody from
/// starting: it is told.
///
/// Errors: the folder cannot be read or written, or is of a newer version.
pub(crate) fn open(folder: &Path, options: &Options, last_run: Option<&Run>) -> Result<Usage, StoreError> {
    let (counters, history) = (folder.join("counters"), folder.join("history"));
    if is_sled(&counters) && !history.exists() {
        // The history stays where it is, under another name; a kill here leaves the one name or the other.
        std::fs::rename(&counters, &history).map_err(StoreError::io("move the history to its own folder"))?;
        format::sync_folder(folder).map_err(StoreError::io("move the history to its own folder"))?;
    }
    let (history, broken) = HistoryDb::open(&history, options.counter_cache_bytes)?;
    let mut found = UsageFound::default();
    take_over(&history, &counters, options, &mut found)?;
    let mark = last_run.and_then(|run| run.counters.as_ref());
    let clean = last_run.is_some_and(|run| run.clean);
    let left = Left { mark, clean, fresh: options.store_id };
    let (counters, UsageFound { records, missing, findings }) =
        Counters::open(&counters, options.layer.clone(), &left)?;
    found.findings.extend(findings);
    found.findings.extend(broken.map(|why| format!("the history of usage was broken and begins anew: {why}")));
    (found.records, found.missing) = (records, missing);
    for finding in &found.findings {
        tracing::error!(finding, "usage was lost");
    }
    let lost = (records == 0 && !found.findings.is_empty()).then(|| found.findings[0].clone());
    Ok(Usage { counters, history, found, lost })
}

/// What is wrong with usage and its history, changing nothing; and how many counters there are.
pub(crate) fn look(folder: &Path, last_run: Option<&Run>) -> Result<UsageFound, StoreError> {
    let (counters, history) = (folder.join("counters"), folder.join("history"));
    let mark = last_run.and_then(|run| run.counters.as_ref());
    let mut found = Counters::look(&counters, mark)?;
    let (sled, has_counters) = if is_sled(&history) { (history, found.records == 0) } else { (counters, true) };
    if !is_sled(&sled) {
        return Ok(found);
    }
    match HistoryDb::look(&sled, CACHE_BYTES)? {
        Ok(history) => look_at_sled(&history, has_counters, &mut found)
            .unwrap_or_else(|error| found.findings.push(error.to_string())),
        Err(why) => found.findings.push(format!("the history: {why}")),
    }
    Ok(found)
}

fn look_at_sled(history: &HistoryDb, has_counters: bool, found: &mut UsageFound) -> Result<(), StoreError> {
    let (_, damaged) = history.check()?;
    if damaged > 0 {
        found.findings.push(format!("{damaged} records of the history fail their checksum"));
    }
    if has_counters {
        let mut records = Records::new(history);
        while let portion = records.next()?
            && !portion.is_empty()
        {
            found.records += portion.len() as u64;
        }
        found.findings.extend(records.damage());
    }
    Ok(())
}

fn is_sled(folder: &Path) -> bool {
    folder.join("conf").exists() || folder.join("db").exists()
}

/// Counters that an older version has left in sled go to a log, all of them; then they are removed there.
fn take_over(
    history: &HistoryDb,
    counters: &Path,
    options: &Options,
    found: &mut UsageFound,
) -> Result<(), StoreError> {
    let none = guarded("the old counters", || Ok(history.db.is_empty()))?;
    if none {
        return Ok(());
    }
    // A log that is complete has all of them: a kill came before they were removed.
    if scan::scan(scan::open(counters)?, None)?.base == 0 {
        let mut records = Records::new(history);
        counters::fill(counters, options.layer.clone(), options.store_id, || records.next())?;
        found.findings.extend(records.damage());
        tracing::info!(records = records.taken, "usage was taken over from the store of an older version");
    }
    guarded("the old counters", || history.db.clear().map_err(sled_failed))?;
    history.sync()
}

/// Keys and values.
type Portion = Vec<(Vec<u8>, Vec<u8>)>;

/// The counters in a sled of an older version, in portions.
struct Records {
    iter: sled::Iter,
    taken: u64,
    damaged: u64,
}

impl Records {
    fn new(history: &HistoryDb) -> Self {
        Self { iter: history.db.iter(), taken: 0, damaged: 0 }
    }

    /// The next records; none where there are no more.
    fn next(&mut self) -> Result<Portion, StoreError> {
        guarded("the old counters", || {
            let mut portion = Vec::new();
            for item in self.iter.by_ref() {
                let (key, bytes) = item.map_err(sled_failed)?;
                match record::decode(&key, &bytes) {
                    Ok(record) if record.format == INLINE && record.schema == history::SCHEMA => {
                        portion.push((key.to_vec(), record.payload.to_vec()));
                    }
                    Ok(_) | Err(_) => self.damaged += 1,
                }
                if portion.len() == PORTION {
                    break;
                }
            }
            self.taken += portion.len() as u64;
            Ok(portion)
        })
    }

    fn damage(&self) -> Option<String> {
        (self.damaged > 0).then(|| format!("{} records of usage fail their checksum", self.damaged))
    }
}
