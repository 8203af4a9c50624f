//! A store that is a log: opaque, versioned images of records by key, appended, never changed.
//!
//! ```text
//! 0000000007.log   the base: with what follows it holds every record
//! 0000000008.log   goes on from it, and says so in its header
//! ```
//!
//! Owns: the bytes ([`frame`]), reading them back past damage ([`scan`]), appending, making durable, and the renewal: a
//! new log is begun, its owner puts every record into it among what changes meanwhile, and then the next log's header
//! names it as the base, with which the older ones may go. One header is all that this turns on, and it is durable before
//! anything is removed.
//!
//! After a write that failed for want of room the log goes on where it was. After any other failure, and after every
//! sync that failed, nothing is written to that file again: what it holds may be gone, so a renewal is needed.
//!
//! Deliberately absent: what an image means, a cache of what was written, threads.

pub(crate) mod frame;
mod read;
pub(crate) mod scan;
mod state;
#[cfg(test)]
mod tests;

pub use frame::StoreId;
pub(crate) use scan::{Content, Found};
pub use scan::{Damage, Mark, Tally};

use super::layer::FileLayer;
use crate::store::{Renewal, StoreError};
use frame::FrameWriter;
use parking_lot::Mutex;
use state::State;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes beyond the base with which a renewal is worth it, where that is more than [`WORTH_FACTOR`] times its size.
const WORTH_BYTES: u64 = 64 * 1024 * 1024;
const WORTH_FACTOR: u64 = 2;
/// Logs, one of which is begun at each start, with which a renewal is worth it.
const WORTH_LOGS: usize = 16;

pub(crate) struct ImageLog {
    folder: PathBuf,
    state: Mutex<State>,
}

impl ImageLog {
    /// Goes on with what was found in the folder; nothing is written before something is put.
    ///
    /// `fresh` is the id where there is none yet. `distrust`: what was found may not all be on the disk, or is damaged.
    pub(crate) fn new(
        folder: &Path,
        layer: Arc<dyn FileLayer>,
        found: &Found,
        (fresh, distrust): (StoreId, bool),
    ) -> Self {
        Self { folder: folder.to_owned(), state: Mutex::new(State::new(folder, layer, found, (fresh, distrust))) }
    }

    /// Appends what `write` puts, in one write. It outlives a kill then, not yet a power cut.
    ///
    /// Errors: nothing of it counts as written; putting it again is harmless.
    pub(crate) fn append(&self, write: impl FnOnce(&mut FrameWriter)) -> io::Result<()> {
        self.state.lock().append(write)
    }

    /// Makes everything appended before outlive a power cut.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.state.lock().sync()
    }

    pub(crate) fn renewal(&self) -> Renewal {
        self.state.lock().renewal()
    }

    /// Begins a log that is to hold every record; a renewal that was under way is begun anew.
    ///
    /// Errors: the log goes on as it was, unless [`Self::renewal`] says otherwise.
    pub(crate) fn begin_renewal(&self) -> io::Result<()> {
        self.state.lock().begin_renewal()
    }

    /// Every record was put since the renewal began: the older logs go.
    ///
    /// Errors: they stay; it can be called again.
    pub(crate) fn finish_renewal(&self) -> io::Result<()> {
        self.state.lock().finish_renewal()
    }

    /// Where the newest log ends, as far as that is durable.
    pub(crate) fn mark(&self) -> Mark {
        self.state.lock().mark()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.state.lock().bytes()
    }

    /// Reads all that was appended, while it goes on.
    pub(crate) fn read(&self) -> Result<Found, StoreError> {
        // ORDER: renewals remove logs under this lock. Once they are open they can be read, removed or not.
        let (logs, mark) = {
            let state = self.state.lock();
            (scan::open(&self.folder)?, state.mark())
        };
        scan::scan(logs, Some(&mark))
    }
}
