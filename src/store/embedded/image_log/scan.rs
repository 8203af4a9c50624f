//! Which logs have to be read, in which order, and what they hold together.

use super::frame::{LOG_HEADER, LogHeader, NotRead, StoreId, record_crc};
use super::read::{Ending, Source, read};
use crate::store::StoreError;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Most places of damage that are told one by one.
const MAX_DAMAGE: usize = 100;

/// A place where something that was written cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub log: u64,
    /// In bytes, from the beginning of the log.
    pub offset: u64,
    /// How many images are concerned at most; None: that cannot be told.
    pub images: Option<u64>,
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "log {}, byte {}: {}", self.log, self.offset, self.what)?;
        match self.images {
            Some(1) => write!(f, " (1 image)"),
            Some(images) => write!(f, " ({images} images)"),
            None => Ok(()),
        }
    }
}

/// How many records there are and what they sum up to, whatever their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    pub records: u64,
    pub sum: u64,
}

/// Where the newest log ended at a time when that was written down elsewhere, and all that there was, if it was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub store: StoreId,
    pub log: u64,
    pub len: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tally: Option<Tally>,
}

/// Where the value of a record is.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: u64,
    log: u32,
    len: u32,
    crc: u32,
    version: u16,
}

/// Takes a key, the version of its image, and the image.
pub(crate) type Visit<'a> = dyn FnMut(&[u8], u16, &[u8]) + 'a;

/// What is in the logs.
#[derive(Default)]
pub(crate) struct Content {
    files: Vec<File>,
    live: HashMap<Box<[u8]>, Place, RandomState>,
}

impl Content {
    pub(crate) fn tally(&self) -> Tally {
        let sum = self.live.values().fold(0u64, |sum, place| sum.wrapping_add(u64::from(place.crc)));
        Tally { records: self.live.len() as u64, sum }
    }

    /// Bytes of keys and values.
    pub(super) fn bytes(&self) -> u64 {
        self.live.iter().map(|(key, place)| key.len() as u64 + u64::from(place.len)).sum()
    }

    /// Visits every record in key order, with its version; returns how many have become unreadable since.
    pub(crate) fn for_each(&self, visit: &mut Visit<'_>) -> io::Result<u64> {
        let mut sorted: Vec<(&[u8], &Place)> = self.live.iter().map(|(key, place)| (&**key, place)).collect();
        sorted.sort_unstable_by_key(|(key, _)| *key);
        let (mut value, mut lost) = (Vec::new(), 0);
        for (key, place) in sorted {
            value.resize(place.len as usize, 0);
            let Some(file) = self.files.get(place.log as usize) else { continue };
            file.read_exact_at(&mut value, place.at)?;
            if record_crc(key, place.version, &value) == place.crc {
                visit(key, place.version, &value);
            } else {
                lost += 1;
            }
        }
        Ok(lost)
    }
}

/// What a folder of logs holds.
#[derive(Default)]
pub(crate) struct Found {
    /// None: there is no log.
    pub(crate) store: Option<StoreId>,
    /// As the newest log says; 0: what was written is not complete.
    pub(crate) base: u64,
    /// The newest log with a sound header, and where its last sound frame ends.
    pub(crate) tail: (u64, u64),
    /// Bytes of the tail that no sync ever covered.
    pub(crate) torn: u64,
    /// Every log in the folder, read or not.
    pub(crate) numbers: Vec<u64>,
    pub(crate) next_frame: u64,
    pub(crate) damage: Vec<Damage>,
    pub(crate) content: Content,
}

impl Found {
    fn tell(&mut self, log: u64, offset: u64, images: Option<u64>, what: impl Into<String>) {
        if self.damage.len() < MAX_DAMAGE {
            self.damage.push(Damage { log, offset, images, what: what.into() });
        }
    }
}

pub(crate) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:010}.log"))
}

/// The numbers of the logs in the folder, in order; none where there is no folder.
pub(crate) fn list(folder: &Path) -> io::Result<Vec<u64>> {
    let items = match std::fs::read_dir(folder) {
        Ok(items) => items,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut numbers = Vec::new();
    for item in items {
        let name = item?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(".log")).filter(|stem| stem.len() == 10);
        numbers.extend(stem.and_then(|stem| stem.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// A log as it was when it was opened.
struct Opened {
    file: File,
    len: u64,
    header: Result<LogHeader, NotRead>,
}

impl Opened {
    fn sound(&self) -> Option<&LogHeader> {
        self.header.as_ref().ok()
    }
}

/// Every log of a folder, opened: it can be read however the folder changes.
pub(crate) struct Logs(BTreeMap<u64, Opened>);

pub(crate) fn open(folder: &Path) -> Result<Logs, StoreError> {
    let opened = || -> io::Result<Logs> {
        list(folder)?
            .into_iter()
            .map(|number| Ok((number, open_log(folder, number)?)))
            .collect::<io::Result<_>>()
            .map(Logs)
    };
    opened().map_err(StoreError::io(format!("read `{}`", folder.display())))
}

fn open_log(folder: &Path, number: u64) -> io::Result<Opened> {
    let file = File::open(path(folder, number))?;
    let len = file.metadata()?.len();
    let mut bytes = [0; LOG_HEADER];
    let mut read = 0;
    while read < LOG_HEADER {
        match file.read_at(&mut bytes[read..], read as u64)? {
            0 => break,
            more => read += more,
        }
    }
    let named = |header: LogHeader| match header.number == number {
        true => Ok(header),
        false => Err(NotRead::Bad("its header is another log's")),
    };
    let header = LogHeader::decode(&bytes[..read]).and_then(named);
    Ok(Opened { file, len, header })
}

/// Reads everything that counts. Nothing is changed.
///
/// Errors: a log cannot be read, or has a newer format.
pub(crate) fn scan(Logs(logs): Logs, mark: Option<&Mark>) -> Result<Found, StoreError> {
    for log in logs.values() {
        if let Err(NotRead::Newer { format, needs }) = &log.header {
            let known = u32::from(super::frame::FORMAT);
            return Err(StoreError::NewerFormat { found: u32::from(*format), known, needs: needs.clone() });
        }
    }
    let newest = logs.values().rev().find_map(Opened::sound).copied();
    let mut found = Found {
        store: newest.map(|header| header.store),
        base: newest.map_or(0, |header| header.base),
        numbers: logs.keys().copied().collect(),
        tail: newest.map_or((0, 0), |header| (header.number, LOG_HEADER as u64)),
        ..Found::default()
    };
    let base = found.base.max(1);
    tell_missing(&logs, base, mark, &mut found);
    let Some(store) = found.store.or(mark.map(|mark| mark.store)) else {
        // There is no header that could be read, so nothing can: what is more than one that was being begun is lost.
        for (number, log) in logs.iter().filter(|(_, log)| log.len > LOG_HEADER as u64) {
            found.tell(*number, 0, None, format!("its header cannot be read ({} bytes)", log.len));
        }
        return Ok(found);
    };
    let vouched: BTreeMap<u64, u64> = logs.keys().map(|number| (*number, vouched(&logs, *number, mark))).collect();
    for (number, log) in logs.into_iter().filter(|(number, _)| *number >= base) {
        let vouched = vouched.get(&number).copied().unwrap_or(0);
        let read = read_log(number, log, (store, vouched), &mut found);
        read.map_err(StoreError::io(format!("read log {number}")))?;
    }
    Ok(found)
}

/// Tells of each log from the base on that must have been there and is not.
///
/// Those that were given up after a failure are read too: images are absolute, so more of them that were written before
/// the next log was begun do no harm.
fn tell_missing(logs: &BTreeMap<u64, Opened>, base: u64, mark: Option<&Mark>, found: &mut Found) {
    let begun = logs.range(base..).filter_map(|(_, log)| log.sound());
    let named = begun.map(|header| header.before).chain(mark.map(|mark| mark.log));
    let named = named.chain((!logs.is_empty()).then_some(base));
    let missing: BTreeSet<u64> = named.filter(|log| *log >= base && !logs.contains_key(log)).collect();
    for log in missing {
        found.tell(log, 0, None, "the log is missing");
    }
}

/// Up to where a log was durable, as later ones or the mark say.
fn vouched(logs: &BTreeMap<u64, Opened>, number: u64, mark: Option<&Mark>) -> u64 {
    let later = logs.range(number + 1..).filter_map(|(_, log)| log.sound());
    let said = later.filter(|header| header.before == number).map(|header| header.before_len);
    let marked = mark.filter(|mark| mark.log == number).map(|mark| mark.len);
    said.chain(marked).max().unwrap_or(0)
}

fn read_log(number: u64, log: Opened, (store, vouched): (StoreId, u64), found: &mut Found) -> io::Result<()> {
    let Opened { file, len: end, header } = log;
    match &header {
        // It was being begun when the process or the machine went down: nothing was ever put in it.
        Err(_) if end <= LOG_HEADER as u64 && vouched < LOG_HEADER as u64 => return Ok(()),
        Err(_) => found.tell(number, 0, None, "its header cannot be read"),
        Ok(header) if header.store != store => {
            found.tell(number, 0, None, "it is of another store, and is passed over");
            return Ok(());
        }
        Ok(_) => {}
    }
    let at_log = found.content.files.len() as u32;
    let live = &mut found.content.live;
    let ending = read(&Source { file: &file, store, end, vouched }, &mut |entry, at| match entry.value {
        Some(value) => {
            let (len, crc) = (value.len() as u32, record_crc(entry.key, entry.version, value));
            live.insert(entry.key.into(), Place { at, log: at_log, len, crc, version: entry.version });
        }
        None => _ = live.remove(entry.key),
    })?;
    found.content.files.push(file);
    let Ending { good, last_frame, gaps, torn } = ending;
    for gap in gaps {
        found.tell(number, gap.from, gap.images, format!("{} ({} bytes)", gap.what, gap.to - gap.from));
    }
    if header.is_ok() {
        (found.tail, found.torn) = ((number, good), torn);
    }
    let first = header.map_or(0, |header| header.first_frame);
    found.next_frame = found.next_frame.max(first).max(last_frame.map_or(0, |last| last + 1));
    Ok(())
}
