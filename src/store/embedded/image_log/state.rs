//! Where the log is: which file is written to, what is durable, what may be removed.

use super::frame::{FrameWriter, LOG_HEADER, LogHeader, StoreId};
use super::scan::{self, Found, Mark};
use super::{WORTH_BYTES, WORTH_FACTOR, WORTH_LOGS};
use crate::store::Renewal;
use crate::store::embedded::layer::{FileLayer, JournalFile, write_all};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The buffer of frames is let go of where a flush made it larger.
const MAX_KEPT_BUFFER: usize = 8 * 1024 * 1024;

/// The newest log.
#[derive(Default)]
struct Tail {
    /// 0: there is none.
    number: u64,
    len: u64,
    /// Up to here it is durable.
    durable: u64,
    /// None: it was found and is not written to, or no longer.
    file: Option<Box<dyn JournalFile>>,
}

/// What was found is to be made durable before anything follows it.
struct Unsettled {
    /// Bytes at its end are cut first.
    torn: bool,
}

/// A renewal under way.
struct Renewing {
    /// The log with which it began.
    begun: u64,
    /// The log before that, and up to where that was durable.
    before: (u64, u64),
    /// It began because what was written may have been gone.
    heals: bool,
}

pub(super) struct State {
    folder: PathBuf,
    layer: Arc<dyn FileLayer>,
    store: StoreId,
    /// The oldest log that has to be read; 0: what there is, is not complete.
    base: u64,
    /// Numbers of logs that are there, or may be.
    logs: Vec<u64>,
    highest: u64,
    tail: Tail,
    unsettled: Option<Unsettled>,
    next_frame: u64,
    /// Of the base, and of what came after it.
    base_bytes: u64,
    more_bytes: u64,
    renewing: Option<Renewing>,
    /// What was written may be gone.
    failed: bool,
    /// A renewal would heal what was found.
    distrust: bool,
    buffer: Vec<u8>,
}

impl State {
    pub(super) fn new(
        folder: &Path,
        layer: Arc<dyn FileLayer>,
        found: &Found,
        (fresh, distrust): (StoreId, bool),
    ) -> Self {
        let (number, len) = found.tail;
        let live = found.content.bytes();
        let on_disk: u64 = found.numbers.iter().filter_map(|log| len_of(folder, *log)).sum();
        Self {
            folder: folder.to_owned(),
            layer,
            store: found.store.unwrap_or(fresh),
            base: found.base,
            logs: found.numbers.clone(),
            highest: found.numbers.last().copied().unwrap_or(0),
            tail: Tail { number, len, durable: len, file: None },
            unsettled: (number != 0).then_some(Unsettled { torn: found.torn > 0 }),
            next_frame: found.next_frame,
            base_bytes: live,
            more_bytes: on_disk.saturating_sub(live),
            renewing: None,
            failed: false,
            distrust: distrust || !found.damage.is_empty(),
            buffer: Vec::new(),
        }
    }

    pub(super) fn append(&mut self, write: impl FnOnce(&mut FrameWriter)) -> io::Result<()> {
        if self.failed {
            return Err(gone());
        }
        // Of a log that is yet to be begun nothing is.
        let durable = self.tail.file.as_ref().map_or(0, |_| self.tail.durable);
        let buffer = std::mem::take(&mut self.buffer);
        let mut frames = FrameWriter::new(buffer, self.store, (self.next_frame, durable));
        write(&mut frames);
        let (bytes, next_frame) = frames.finish();
        let written = if bytes.is_empty() { Ok(()) } else { self.write(&bytes) };
        if written.is_ok() {
            self.next_frame = next_frame;
        }
        if bytes.capacity() <= MAX_KEPT_BUFFER {
            self.buffer = bytes;
        }
        written
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.tail.file.is_none() {
            // The first log of a folder is its own base.
            let base = if self.logs.is_empty() { self.highest + 1 } else { self.base };
            self.begin_log(base)?;
        }
        let Tail { file, len, .. } = &mut self.tail;
        let Some(open) = file else { return Err(io::ErrorKind::NotConnected.into()) };
        let Err(error) = write_all(&mut **open, *len, bytes) else {
            *len += bytes.len() as u64;
            self.more_bytes += bytes.len() as u64;
            return Ok(());
        };
        // INVARIANT: nothing of a write that failed is left behind the end, where it could be taken for frames later.
        if !is_passing(&error) || open.set_len(*len).is_err() {
            self.give_up();
        }
        Err(error)
    }

    /// Nothing more is written to the file: what it holds may be gone.
    fn give_up(&mut self) {
        self.tail.file = None;
        self.tail.len = self.tail.durable;
        self.failed = true;
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.failed {
            return Err(gone());
        }
        self.settle()?;
        let Tail { file: Some(file), len, durable, .. } = &mut self.tail else { return Ok(()) };
        if len == durable {
            return Ok(());
        }
        match file.sync() {
            Ok(()) => {
                *durable = *len;
                Ok(())
            }
            Err(error) => {
                // The pages may have been dropped: a second try would say that all is well.
                self.give_up();
                Err(error)
            }
        }
    }

    /// What a process before has written may be in memory only, and nobody will sync that file any more.
    fn settle(&mut self) -> io::Result<()> {
        let Some(Unsettled { torn }) = self.unsettled else { return Ok(()) };
        let settle = || -> io::Result<()> {
            let mut file = self.layer.open(&scan::path(&self.folder, self.tail.number))?;
            if torn {
                file.set_len(self.tail.len)?;
            }
            file.sync()?;
            self.layer.sync_folder(&self.folder)
        };
        let settled = settle();
        match &settled {
            Ok(()) => self.unsettled = None,
            Err(error) if is_passing(error) => {}
            Err(_) => self.give_up(),
        }
        settled
    }

    /// ORDER: what is before is durable, then the header, then the name, then the first frame.
    fn begin_log(&mut self, base: u64) -> io::Result<()> {
        if !self.failed {
            self.sync()?;
        }
        let number = self.highest + 1;
        let header = LogHeader {
            store: self.store,
            number,
            base,
            before: self.tail.number,
            before_len: self.tail.durable,
            first_frame: self.next_frame,
        };
        if self.highest == 0 {
            std::fs::create_dir_all(&self.folder)?;
            self.layer.sync_folder(self.folder.parent().unwrap_or(Path::new(".")))?;
        }
        let path = scan::path(&self.folder, number);
        let file = self.layer.create(&path)?;
        // Whatever comes of it, its number is not used again: what is left of it may come back after a power cut.
        self.highest = number;
        self.logs.push(number);
        match self.write_header(file, &header) {
            Ok(file) => {
                let len = LOG_HEADER as u64;
                self.tail = Tail { number, len, durable: len, file: Some(file) };
                (self.base, self.unsettled) = (base, None);
                self.more_bytes += len;
                Ok(())
            }
            Err(error) => {
                self.remove(number);
                Err(error)
            }
        }
    }

    fn write_header(&self, mut file: Box<dyn JournalFile>, header: &LogHeader) -> io::Result<Box<dyn JournalFile>> {
        write_all(&mut *file, 0, &header.encode())?;
        file.sync()?;
        self.layer.sync_folder(&self.folder)?;
        Ok(file)
    }

    pub(super) fn renewal(&self) -> Renewal {
        let most = WORTH_BYTES.max(self.base_bytes.saturating_mul(WORTH_FACTOR));
        if self.failed {
            Renewal::Needed
        } else if self.renewing.is_none() && (self.distrust || self.more_bytes > most || self.logs.len() > WORTH_LOGS) {
            Renewal::Worth
        } else {
            Renewal::NotNow
        }
    }

    pub(super) fn begin_renewal(&mut self) -> io::Result<()> {
        let heals = self.failed;
        if let Some(given_up) = self.renewing.take_if(|under_way| heals && under_way.heals) {
            // Every record is put again, so nothing of it is missed, and on a full disk its room is needed.
            let gone: Vec<u64> = self.logs.iter().copied().filter(|log| *log >= given_up.begun).collect();
            gone.into_iter().for_each(|log| self.remove(log));
            let (number, len) = given_up.before;
            self.tail = Tail { number, len, durable: len, file: None };
        }
        let before = (self.tail.number, self.tail.durable);
        self.begin_log(self.base)?;
        self.failed = false;
        self.renewing = Some(Renewing { begun: self.tail.number, before, heals });
        Ok(())
    }

    pub(super) fn finish_renewal(&mut self) -> io::Result<()> {
        let Some(base) = self.renewing.as_ref().map(|renewing| renewing.begun) else { return Ok(()) };
        // ORDER: durable before a header names it, and that header before anything is removed.
        self.sync()?;
        self.begin_log(base)?;
        self.renewing = None;
        self.distrust = false;
        let gone: Vec<u64> = self.logs.iter().copied().filter(|log| *log < base).collect();
        gone.into_iter().for_each(|log| self.remove(log));
        self.base_bytes = self.logs.iter().filter_map(|log| len_of(&self.folder, *log)).sum();
        self.more_bytes = 0;
        Ok(())
    }

    /// What cannot be removed is of no harm and tried again with the next renewal.
    fn remove(&mut self, log: u64) {
        match self.layer.remove(&scan::path(&self.folder, log)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(log, %error, "a log that is not needed any more cannot be removed");
            }
            _ => self.logs.retain(|kept| *kept != log),
        }
    }

    pub(super) fn mark(&self) -> Mark {
        let Tail { number, durable, .. } = self.tail;
        Mark { store: self.store, log: number, len: durable, tally: None }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.base_bytes + self.more_bytes
    }
}

fn gone() -> io::Error {
    io::Error::other("what was written before may be gone: everything is to be written anew")
}

fn len_of(folder: &Path, log: u64) -> Option<u64> {
    std::fs::metadata(scan::path(folder, log)).ok().map(|about| about.len())
}

/// Whether what was written before is still there: for want of room, of memory or of descriptors.
fn is_passing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    const PASSING: [Errno; 7] =
        [Errno::NOSPC, Errno::DQUOT, Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN, Errno::INTR];
    error.raw_os_error().is_some_and(|code| PASSING.iter().any(|errno| errno.raw_os_error() == code))
}
