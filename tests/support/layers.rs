//! File systems that misbehave: one that loses power, one that fails.

#![allow(dead_code, reason = "each test binary uses its own part")]

use quotagate::store::embedded::layer::{FileLayer, JournalFile, RealFiles};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// What a disk may keep or drop on its own.
const PAGE: usize = 512;

/// Real files, and beside them what would be left of them if the power went now.
#[derive(Clone, Default)]
pub struct Recording(Arc<Mutex<BTreeMap<PathBuf, Tracked>>>);

#[derive(Default)]
struct Tracked {
    durable: Vec<u8>,
    name_is_durable: bool,
    pending: Vec<Pending>,
}

enum Pending {
    Write(u64, Vec<u8>),
    Length(u64),
}

impl Recording {
    /// What a power cut now would leave: what was synced, and of the rest the pages that `keeps` chooses.
    pub fn cut(&self, mut keeps: impl FnMut() -> bool) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = self.0.lock().unwrap();
        let mut left = BTreeMap::new();
        for (path, file) in files.iter() {
            if !file.name_is_durable && !keeps() {
                continue;
            }
            let mut content = file.durable.clone();
            for pending in &file.pending {
                match pending {
                    Pending::Length(len) if keeps() => content.resize(*len as usize, 0),
                    Pending::Length(_) => {}
                    Pending::Write(offset, bytes) => {
                        for (index, page) in bytes.chunks(PAGE).enumerate() {
                            if keeps() {
                                write(&mut content, *offset as usize + index * PAGE, page);
                            }
                        }
                    }
                }
            }
            left.insert(path.clone(), content);
        }
        left
    }
}

fn write(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

struct RecordedFile {
    path: PathBuf,
    real: Box<dyn JournalFile>,
    recording: Recording,
}

impl RecordedFile {
    fn pend(&self, pending: Pending) {
        self.recording.0.lock().unwrap().get_mut(&self.path).unwrap().pending.push(pending);
    }
}

impl JournalFile for RecordedFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let written = self.real.write_at(offset, bytes)?;
        self.pend(Pending::Write(offset, bytes[..written].to_vec()));
        Ok(written)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.real.set_len(len)?;
        self.pend(Pending::Length(len));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut files = self.recording.0.lock().unwrap();
        let file = files.get_mut(&self.path).unwrap();
        for pending in std::mem::take(&mut file.pending) {
            match pending {
                Pending::Write(offset, bytes) => write(&mut file.durable, offset as usize, &bytes),
                Pending::Length(len) => file.durable.resize(len as usize, 0),
            }
        }
        Ok(())
    }
}

impl FileLayer for Recording {
    fn create(&self, path: &Path) -> io::Result<Box<dyn JournalFile>> {
        let real = RealFiles.create(path)?;
        self.0.lock().unwrap().insert(path.to_owned(), Tracked::default());
        Ok(Box::new(RecordedFile { path: path.to_owned(), real, recording: self.clone() }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn JournalFile>> {
        let real = RealFiles.open(path)?;
        let durable = std::fs::read(path)?;
        let tracked = Tracked { durable, name_is_durable: true, pending: Vec::new() };
        self.0.lock().unwrap().entry(path.to_owned()).or_insert(tracked);
        Ok(Box::new(RecordedFile { path: path.to_owned(), real, recording: self.clone() }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.lock().unwrap().remove(path);
        RealFiles.remove(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        for (path, file) in self.0.lock().unwrap().iter_mut() {
            file.name_is_durable |= path.parent() == Some(folder);
        }
        Ok(())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The operation fails and does nothing.
    Error,
    /// A write takes a part and then there is no room; anything else fails for want of room.
    Full,
}

/// Real files until the n-th operation that changes something; from there on `lasts` of them fail.
#[derive(Clone)]
pub struct Failing {
    state: Arc<FailingState>,
}

struct FailingState {
    operations: AtomicU64,
    first: u64,
    lasts: u64,
    fault: Fault,
    free_bytes: AtomicU64,
}

impl Failing {
    pub fn at(first: u64, lasts: u64, fault: Fault) -> Self {
        let (operations, free_bytes) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
        Self { state: Arc::new(FailingState { operations, first, lasts, fault, free_bytes }) }
    }

    pub fn set_free_bytes(&self, free_bytes: u64) {
        self.state.free_bytes.store(free_bytes, Ordering::SeqCst);
    }

    pub fn operations(&self) -> u64 {
        self.state.operations.load(Ordering::SeqCst)
    }

    fn step(&self) -> io::Result<()> {
        let number = self.state.operations.fetch_add(1, Ordering::SeqCst) + 1;
        if (self.state.first..self.state.first + self.state.lasts).contains(&number) {
            return Err(match self.state.fault {
                Fault::Error => io::Error::from_raw_os_error(5),
                Fault::Full => io::Error::from_raw_os_error(28),
            });
        }
        Ok(())
    }
}

struct FailingFile {
    real: Box<dyn JournalFile>,
    layer: Failing,
}

impl JournalFile for FailingFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        // Short writes happen all the time and are no failure.
        let half = bytes.len().div_ceil(2);
        if let Err(error) = self.layer.step() {
            if self.layer.state.fault == Fault::Full {
                self.real.write_at(offset, &bytes[..half])?;
            }
            return Err(error);
        }
        self.real.write_at(offset, &bytes[..half])
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.real.set_len(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.layer.step()?;
        self.real.sync()
    }
}

impl FileLayer for Failing {
    fn create(&self, path: &Path) -> io::Result<Box<dyn JournalFile>> {
        self.step()?;
        Ok(Box::new(FailingFile { real: RealFiles.create(path)?, layer: self.clone() }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn JournalFile>> {
        Ok(Box::new(FailingFile { real: RealFiles.open(path)?, layer: self.clone() }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealFiles.remove(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.step()?;
        RealFiles.sync_folder(folder)
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(self.state.free_bytes.load(Ordering::SeqCst))
    }
}

/// What fails while a [`Switch`] is on, and the number of the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fails {
    Nothing,
    Creates(i32),
    Writes(i32),
    Syncs(i32),
}

/// Real files; what is switched on fails, below one folder.
#[derive(Clone)]
pub struct Switch {
    folder: &'static str,
    fails: Arc<Mutex<Fails>>,
}

impl Switch {
    pub fn on(folder: &'static str) -> Self {
        Self { folder, fails: Arc::new(Mutex::new(Fails::Nothing)) }
    }

    pub fn set(&self, fails: Fails) {
        *self.fails.lock().unwrap() = fails;
    }

    fn check(&self, path: &Path, fails: impl Fn(Fails) -> Option<i32>) -> io::Result<()> {
        let below = path.components().any(|part| part.as_os_str() == self.folder);
        match fails(*self.fails.lock().unwrap()).filter(|_| below) {
            Some(code) => Err(io::Error::from_raw_os_error(code)),
            None => Ok(()),
        }
    }
}

struct SwitchedFile {
    path: PathBuf,
    real: Box<dyn JournalFile>,
    switch: Switch,
}

impl JournalFile for SwitchedFile {
    /// A failing write takes a part first, as a disk that runs full does.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let failed = self.switch.check(&self.path, |fails| match fails {
            Fails::Writes(code) => Some(code),
            _ => None,
        });
        if failed.is_err() {
            self.real.write_at(offset, &bytes[..bytes.len() / 2])?;
        }
        failed?;
        self.real.write_at(offset, bytes)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.real.set_len(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.switch.check(&self.path, |fails| match fails {
            Fails::Syncs(code) => Some(code),
            _ => None,
        })?;
        self.real.sync()
    }
}

impl FileLayer for Switch {
    fn create(&self, path: &Path) -> io::Result<Box<dyn JournalFile>> {
        self.check(path, |fails| match fails {
            Fails::Creates(code) => Some(code),
            _ => None,
        })?;
        Ok(Box::new(SwitchedFile { path: path.to_owned(), real: RealFiles.create(path)?, switch: self.clone() }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn JournalFile>> {
        Ok(Box::new(SwitchedFile { path: path.to_owned(), real: RealFiles.open(path)?, switch: self.clone() }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealFiles.remove(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.check(folder, |fails| match fails {
            Fails::Syncs(code) => Some(code),
            _ => None,
        })?;
        RealFiles.sync_folder(folder)
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}
