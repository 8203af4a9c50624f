//! Closed segments, read again in the background: a bit that flipped on the disk is told while there still is a backup,
//! and not when the segment is needed.

use super::journal::frame::SegmentHeader;
use super::journal::scan::{self, Segment, Then};
use super::layer::is_out_of_files;
use super::shared::Shared;
use crate::store::StoreError;
use parking_lot::{Condvar, Mutex};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How closed segments are read again.
#[derive(Debug, Clone, Copy)]
pub struct Rereading {
    /// Most bytes a second.
    pub bytes_per_second: u64,
    /// From the end of one reading to the beginning of the next.
    pub pause: Duration,
}

impl Default for Rereading {
    fn default() -> Self {
        Self { bytes_per_second: 8 * 1024 * 1024, pause: Duration::from_secs(6 * 60 * 60) }
    }
}

/// What reading closed segments again has come to.
#[derive(Debug, Clone, Default)]
pub struct Reread {
    /// Readings of all closed segments that were finished.
    pub rounds: u64,
    /// Segment that is being read; 0 between two readings.
    pub segment: u64,
    /// Closed segments of this reading, or of the last one.
    pub segments: u64,
    /// Bytes read since the start.
    pub bytes: u64,
    /// When the last reading was finished.
    pub finished: Option<Instant>,
    /// What is wrong: the first place, until a whole reading finds nothing.
    pub damage: Option<String>,
}

/// The thread that reads, until it is dropped.
pub(crate) struct Rereader {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Stop {
    asked: Mutex<bool>,
    waiting: Condvar,
}

impl Stop {
    /// Waits that long, or until it is asked to stop; whether it was.
    fn wait(&self, time: Duration) -> bool {
        let mut asked = self.asked.lock();
        if !*asked {
            self.waiting.wait_for(&mut asked, time);
        }
        *asked
    }
}

impl Drop for Rereader {
    fn drop(&mut self) {
        *self.stop.asked.lock() = true;
        self.stop.waiting.notify_all();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that reads closed journal segments again has panicked");
        }
    }
}

impl Rereader {
    /// Errors: no thread can be made.
    pub(crate) fn start(journal: &Path, how: Rereading, shared: Arc<Shared>) -> Result<Self, StoreError> {
        let stop = Arc::new(Stop::default());
        let reading = Reading { journal: journal.to_owned(), how, shared, stop: Arc::clone(&stop) };
        let thread = std::thread::Builder::new().name("quotagate-reread".to_owned());
        let thread = thread.spawn(move || reading.run()).map_err(StoreError::io("start the journal reader"))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

struct Reading {
    journal: PathBuf,
    how: Rereading,
    shared: Arc<Shared>,
    stop: Arc<Stop>,
}

/// Asked to stop.
struct Stopped;

impl Reading {
    fn run(&self) {
        while self.round().is_ok() {
            if self.stop.wait(self.how.pause) {
                return;
            }
        }
    }

    /// Reads every closed segment once.
    fn round(&self) -> Result<(), Stopped> {
        // INVARIANT: a closed segment never changes, so those before the present one are read without a lock.
        let closed = self.shared.health().journal.0.saturating_sub(1);
        self.shared.reread(|reread| reread.segments = closed);
        let mut first = None;
        for number in 1..=closed {
            self.shared.reread(|reread| reread.segment = number);
            let Err(error) = self.segment(number)? else { continue };
            if first.is_none() {
                self.tell(&error);
                first = Some(error.to_string());
            }
        }
        self.shared.reread(|reread| {
            let before = std::mem::replace(&mut reread.damage, first);
            if before.is_some() && reread.damage.is_none() {
                tracing::info!("the closed journal segments read well again");
            }
            (reread.segment, reread.rounds, reread.finished) = (0, reread.rounds + 1, Some(Instant::now()));
        });
        Ok(())
    }

    /// One line for each new place, at once: a reading may take long.
    fn tell(&self, error: &StoreError) {
        let what = error.to_string();
        self.shared.reread(|reread| {
            if reread.damage.as_ref() != Some(&what) {
                tracing::error!(error = what, "a closed journal segment is damaged; decisions and changes go on");
                reread.damage = Some(what);
            }
        });
    }

    fn segment(&self, number: u64) -> Result<Result<(), StoreError>, Stopped> {
        loop {
            match self.read(number) {
                Ok(()) => return Ok(Ok(())),
                Err(Ended::Stopped) => return Err(Stopped),
                Err(Ended::OutOfFiles) => {
                    // That says nothing about the segment.
                    if self.stop.wait(Duration::from_secs(1)) {
                        return Err(Stopped);
                    }
                }
                Err(Ended::Failed(error)) => return Ok(Err(error)),
            }
        }
    }

    fn read(&self, number: u64) -> Result<(), Ended> {
        let (segment, next) = (self.header(number)?, self.header(number + 1)?);
        let mut due = Due { since: Instant::now(), bytes: 0 };
        let mut stopped = false;
        let read = scan::read(&segment, Then::Next(&next), &mut |entry, _, _| {
            let bytes = entry.encoded_len() as u64;
            self.shared.reread(|reread| reread.bytes += bytes);
            let wait = due.after(bytes, self.how.bytes_per_second);
            if !wait.is_zero() && self.stop.wait(wait) {
                stopped = true;
                return Err(StoreError::Closed);
            }
            Ok(())
        });
        match read {
            Ok(_) => Ok(()),
            Err(_) if stopped => Err(Ended::Stopped),
            Err(error) => Err(Ended::Failed(error)),
        }
    }

    fn header(&self, number: u64) -> Result<Segment, Ended> {
        use std::io::Read;
        let path = super::journal::path(&self.journal, number);
        let mut start = [0; super::journal::frame::SEGMENT_HEADER];
        let read = std::fs::File::open(&path).and_then(|mut file| file.read_exact(&mut start));
        match read {
            Ok(()) => {}
            Err(error) if is_out_of_files(&error) => return Err(Ended::OutOfFiles),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(Ended::Failed(scan::damaged(number, 0, error.to_string()))),
        }
        let header = SegmentHeader::decode(&start).and_then(|header| match header.number == number {
            true => Ok(header),
            false => Err(format!("the file holds segment {}", header.number)),
        });
        let SegmentHeader { number, first_seq, prev_hash } =
            header.map_err(|what| Ended::Failed(scan::damaged(number, 0, what)))?;
        Ok(Segment { path, number, first_seq, prev_hash })
    }
}

enum Ended {
    Stopped,
    OutOfFiles,
    Failed(StoreError),
}

/// How long to wait so that no more is read than there may be.
struct Due {
    since: Instant,
    bytes: u64,
}

/// Shorter waits are added up.
const LEAST_WAIT: Duration = Duration::from_millis(20);

impl Due {
    fn after(&mut self, bytes: u64, bytes_per_second: u64) -> Duration {
        self.bytes += bytes;
        let due_us = self.bytes.saturating_mul(1_000_000) / bytes_per_second.max(1);
        let wait = Duration::from_micros(due_us).saturating_sub(self.since.elapsed());
        if wait < LEAST_WAIT { Duration::ZERO } else { wait }
    }
}
