//! Filling a new folder from a backup.

use super::super::counters::{Counters, Left};
use super::super::journal::frame::Reader;
use super::super::lock::Lock;
use super::super::{Options, format, journal, layer};
use super::BackupReport;
use super::frames::{COUNTER, JOURNAL, bad, read_through};
use crate::store::StoreError;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

/// Counters written at a time.
const BATCH: usize = 1_000;

/// Fills a new folder from a backup; opening it rebuilds the state.
///
/// `newer` is the journal folder of the store that the backup came from, if it still reads: segments that go on from
/// the backup are taken over, so that nothing after it is lost.
/// Errors: the folder holds a store, the backup is damaged or not whole, or the newer journal does not continue it.
pub fn restore(file: &Path, folder: &Path, newer: Option<&Path>) -> Result<BackupReport, StoreError> {
    let reading = || StoreError::io(format!("read `{}`", file.display()));
    // ORDER: the file is read through once before anything is written.
    let report = read_through(file, &mut |_, _| Ok(()))?;
    if folder.join("journal").exists() || folder.join("control").exists() {
        let why = "it holds a store already".to_owned();
        return Err(StoreError::Io { doing: format!("restore into `{}`", folder.display()), why });
    }
    std::fs::create_dir_all(folder).map_err(StoreError::io(format!("make `{}`", folder.display())))?;
    let _lock = Lock::take(folder)?;
    // ORDER: the journal takes its name last, so that an interrupted restore is not taken for a store.
    let target = folder.join(format::RESTORING);
    let counters = folder.join("counters");
    if target.exists() {
        // ORDER: the usage that it wrote goes first: without the other it would be taken for somebody's.
        for left in [&counters, &target] {
            match std::fs::remove_dir_all(left) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::io("remove an interrupted restore")(error));
                }
                _ => {}
            }
        }
    }
    // What a run before left behind is said of another journal and of other usage.
    format::forget_run(folder)?;
    std::fs::create_dir_all(&target).map_err(StoreError::io("make the journal folder"))?;
    let left = Left { mark: None, clean: true, fresh: Options::default().store_id };
    let (usage, _) = Counters::open(&counters, Arc::new(layer::RealFiles), &left)?;
    let mut current: Option<(u64, File)> = None;
    let mut batch = Vec::new();
    read_through(file, &mut |kind, content| match kind {
        JOURNAL => write_piece(&target, &mut current, content).map_err(StoreError::io("write the journal")),
        COUNTER => match read_counter(content) {
            Some(record) => {
                batch.push(record);
                if batch.len() < BATCH { Ok(()) } else { usage.put_batch(&std::mem::take(&mut batch)) }
            }
            None => Err(bad("a counter is cut short")),
        },
        _ => Ok(()),
    })?;
    usage.put_batch(&batch)?;
    usage.sync()?;
    drop(usage);
    let finish = || {
        if let Some((_, last)) = current {
            last.sync_all()?;
        }
        format::sync_folder(&target)
    };
    finish().map_err(reading())?;
    if let Some(newer) = newer {
        take_newer(newer, &target, &report)?;
    }
    let found = super::super::verify::verify_segments(&target)?;
    let whole = found.is_sound() && found.torn_bytes == 0 && found.seq >= report.seq;
    if !whole || (found.seq == report.seq && found.hash != report.hash) {
        let what = found.findings.first().map_or("it ends elsewhere", |finding| finding.what.as_str());
        return Err(bad(&format!("the restored journal is not sound: {what}")));
    }
    let name = || {
        std::fs::rename(&target, folder.join("journal"))?;
        format::sync_folder(folder)
    };
    name().map_err(StoreError::io("name the restored journal"))?;
    Ok(report)
}

fn write_piece(target: &Path, current: &mut Option<(u64, File)>, content: &[u8]) -> io::Result<()> {
    let mut reader = Reader(content);
    let number = reader.u64().ok_or(io::ErrorKind::InvalidData)?;
    if current.as_ref().is_none_or(|(open, _)| *open != number) {
        if let Some((_, done)) = current.take() {
            done.sync_all()?;
        }
        *current = Some((number, File::create_new(journal::path(target, number))?));
    }
    match current {
        Some((_, file)) => file.write_all(reader.0),
        None => Ok(()),
    }
}

fn read_counter(content: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut reader = Reader(content);
    let len = reader.u32()? as usize;
    let (key, value) = reader.0.split_at_checked(len)?;
    Some((key.to_vec(), value.to_vec()))
}

/// Replaces the last segment by its longer original and adds those after it.
fn take_newer(newer: &Path, target: &Path, report: &BackupReport) -> Result<(), StoreError> {
    for number in report.segments.. {
        let (from, to) = (journal::path(newer, number), journal::path(target, number));
        if !from.exists() {
            break;
        }
        let original = std::fs::read(&from).map_err(StoreError::io("read the newer journal"))?;
        if number == report.segments {
            let restored = std::fs::read(&to).map_err(StoreError::io("read the restored journal"))?;
            if !original.starts_with(&restored) {
                return Err(bad("the newer journal does not continue this backup"));
            }
        }
        let write = || -> io::Result<()> {
            let mut file = File::create(&to)?;
            file.write_all(&original)?;
            file.sync_all()
        };
        write().map_err(StoreError::io("write the newer journal"))?;
    }
    format::sync_folder(target).map_err(StoreError::io("write the newer journal"))?;
    // A torn tail of the newer journal is cut here, as a start would.
    let found = journal::Found::look(target)?;
    journal::Journal::open(found, Arc::new(layer::RealFiles), u64::MAX).map(|_| ())
}
