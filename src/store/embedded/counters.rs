//! Counters and reservations: a log of images, written behind, disposable.

use super::image_log::{Content, Damage, Found, ImageLog, Mark, StoreId, Tally, scan};
use super::layer::FileLayer;
use crate::store::{CounterGroup, MAX_COUNTER_BYTES, Renewal, StoreError};
use parking_lot::Mutex;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Version of the images. What is in them has a version of its own, which the engine reads.
const VERSION: u16 = 1;

pub(crate) struct Counters {
    log: ImageLog,
    /// What the start has read, until it is asked for or something is written.
    read: Mutex<Option<Content>>,
}

/// What a start found, and what of it is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageFound {
    pub records: u64,
    /// Records that a clean stop left and that are not there.
    pub missing: u64,
    /// What is wrong, in words; empty where nothing is.
    pub findings: Vec<String>,
}

/// How the folder was left, and by whom it is opened.
pub(crate) struct Left<'a> {
    /// Where the log ended, if that was written down.
    pub(crate) mark: Option<&'a Mark>,
    /// Everything was made durable.
    pub(crate) clean: bool,
    /// The id of a store that has none yet.
    pub(crate) fresh: StoreId,
}

impl Counters {
    /// Opens the folder; nothing in it is changed before something is written.
    ///
    /// Errors: it cannot be read, or is of a newer version.
    pub(crate) fn open(
        folder: &Path,
        layer: Arc<dyn FileLayer>,
        left: &Left<'_>,
    ) -> Result<(Self, UsageFound), StoreError> {
        let mut found = scan::scan(scan::open(folder)?, left.mark)?;
        let mut usage = UsageFound::of(&found, left.mark);
        if let Some(foreign) = foreign(&found, left.mark) {
            super::sled_db::move_aside_as(folder, "foreign")?;
            usage.findings.push(format!(
                "usage in `{}` is of the store {foreign}, not of this one: it was moved to `counters.foreign`",
                folder.display()
            ));
            found = Found::default();
            usage.records = 0;
        }
        let fresh = left.mark.map_or(left.fresh, |mark| mark.store);
        let distrust = !usage.findings.is_empty() || !left.clean || found.torn > 0;
        if found.torn > 0 {
            tracing::warn!(
                bytes = found.torn,
                log = found.tail.0,
                "cut a torn tail off the usage: it was never durable"
            );
        }
        let log = ImageLog::new(folder, layer, &found, (fresh, distrust && !found.numbers.is_empty()));
        Ok((Self { log, read: Mutex::new(Some(found.content)) }, usage))
    }

    /// What a folder holds and what is wrong with it, changing nothing.
    ///
    /// Errors: it cannot be read, or is of a newer version.
    pub(crate) fn look(folder: &Path, mark: Option<&Mark>) -> Result<UsageFound, StoreError> {
        let found = scan::scan(scan::open(folder)?, mark)?;
        let mut usage = UsageFound::of(&found, mark);
        if let Some(foreign) = foreign(&found, mark) {
            usage.findings.push(format!("usage is of the store {foreign}, not of this one"));
        }
        Ok(usage)
    }

    pub(crate) fn put_batch(&self, batch: &[(Vec<u8>, Vec<u8>)]) -> Result<(), StoreError> {
        check_lengths(batch.iter().map(|(_, value)| value))?;
        self.append(|put| batch.iter().for_each(|(key, value)| put.one(key, Some(value))))
    }

    pub(crate) fn put_groups(&self, groups: &[CounterGroup]) -> Result<(), StoreError> {
        check_lengths(groups.iter().flatten().filter_map(|(_, value)| value.as_ref()))?;
        self.append(|put| {
            for group in groups {
                group.iter().for_each(|(key, value)| put.part(key, value.as_deref()));
                put.frames.end_group();
            }
        })
    }

    pub(crate) fn remove(&self, keys: &[Vec<u8>]) -> Result<(), StoreError> {
        self.append(|put| keys.iter().for_each(|key| put.one(key, None)))
    }

    fn append(&self, put: impl FnOnce(&mut Put<'_>)) -> Result<(), StoreError> {
        self.read.lock().take();
        self.log.append(|frames| put(&mut Put { frames })).map_err(StoreError::io("write the usage"))
    }

    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.log.sync().map_err(StoreError::io("make the usage durable"))
    }

    pub(crate) fn renewal(&self) -> Renewal {
        self.log.renewal()
    }

    pub(crate) fn begin_renewal(&self) -> Result<(), StoreError> {
        self.log.begin_renewal().map_err(StoreError::io("begin a new log of usage"))
    }

    pub(crate) fn finish_renewal(&self) -> Result<(), StoreError> {
        self.log.finish_renewal().map_err(StoreError::io("go over to a new log of usage"))
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.log.bytes()
    }

    pub(crate) fn for_each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<u64, StoreError> {
        let at_start = self.read.lock().take();
        let content = match at_start {
            Some(content) => content,
            None => self.log.read()?.content,
        };
        let mut unread = 0;
        let gone = content.for_each(&mut |key, version, value| match version {
            VERSION => visit(key, value),
            _ => unread += 1,
        });
        let damaged = gone.map_err(StoreError::io("read the usage"))? + unread;
        if damaged > 0 {
            tracing::error!(damaged, "records of usage are damaged or of a later version, and were passed over");
        }
        Ok(damaged)
    }

    /// Where the log ends now.
    pub(crate) fn mark(&self) -> Mark {
        self.log.mark()
    }

    /// Makes everything durable and reads it back: what a later start has to find.
    ///
    /// Errors: it cannot be written or read. What is damaged is in the log, and told again by every start.
    pub(crate) fn seal(&self) -> Result<Mark, StoreError> {
        self.sync()?;
        let found = self.log.read()?;
        for damage in &found.damage {
            tracing::error!(%damage, "a part of the usage cannot be read back");
        }
        Ok(Mark { tally: Some(found.content.tally()), ..self.log.mark() })
    }
}

/// Puts images of this version.
struct Put<'a> {
    frames: &'a mut super::image_log::frame::FrameWriter,
}

impl Put<'_> {
    fn part(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.frames.put(key, VERSION, value);
    }

    fn one(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.part(key, value);
        self.frames.end_group();
    }
}

fn check_lengths<'a>(mut values: impl Iterator<Item = &'a Vec<u8>>) -> Result<(), StoreError> {
    match values.find(|value| value.len() > MAX_COUNTER_BYTES) {
        Some(value) => Err(StoreError::TooLarge { bytes: value.len(), most: MAX_COUNTER_BYTES }),
        None => Ok(()),
    }
}

/// The store that the logs are of, if that is another one.
fn foreign(found: &Found, mark: Option<&Mark>) -> Option<StoreId> {
    found.store.filter(|store| mark.is_some_and(|mark| mark.store != *store))
}

impl UsageFound {
    fn of(found: &Found, mark: Option<&Mark>) -> Self {
        let tally = found.content.tally();
        let mut usage = Self { records: tally.records, ..Self::default() };
        usage.findings.extend(found.damage.iter().map(Damage::to_string));
        if let Some(sealed) = mark.and_then(|mark| mark.tally) {
            usage.compare(tally, sealed);
        }
        usage
    }

    fn compare(&mut self, now: Tally, sealed: Tally) {
        self.missing = sealed.records.saturating_sub(now.records);
        if self.missing > 0 {
            let sentence = format!("{} of {} records of the last stop are missing", self.missing, sealed.records);
            self.findings.push(sentence);
        } else if now != sealed {
            let sentence = format!(
                "of {} records at least one is not what the last stop left, which were {}",
                now.records, sealed.records
            );
            self.findings.push(sentence);
        }
    }
}

/// Fills an empty folder from what gives records in portions, all of them or none.
///
/// A kill at any point leaves logs that say themselves that they are not complete.
/// Errors: it cannot be written.
pub(super) fn fill(
    folder: &Path,
    layer: Arc<dyn FileLayer>,
    fresh: StoreId,
    mut next: impl FnMut() -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError>,
) -> Result<(), StoreError> {
    let opened =
        scan::list(folder).and_then(|logs| logs.into_iter().try_for_each(|log| layer.remove(&scan::path(folder, log))));
    opened.map_err(|error: io::Error| StoreError::io("remove logs of usage that are not complete")(error))?;
    let (counters, _) = Counters::open(folder, layer, &Left { mark: None, clean: true, fresh })?;
    counters.begin_renewal()?;
    loop {
        let portion = next()?;
        if portion.is_empty() {
            return counters.finish_renewal();
        }
        counters.put_batch(&portion)?;
    }
}
