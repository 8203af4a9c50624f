//! A file system that writes down all that is done to it, and rebuilds what a power cut would leave at any moment.

#![allow(dead_code, reason = "each test binary uses its own part")]

use quotagate::store::embedded::layer::{FileLayer, JournalFile, RealFiles};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// What a disk keeps or drops as one.
const PAGE: usize = 512;

enum Op {
    Create(PathBuf),
    Write(PathBuf, u64, Vec<u8>),
    Length(PathBuf, u64),
    Sync(PathBuf),
    Remove(PathBuf),
    SyncFolder(PathBuf),
}

/// Real files, and the list of what was done to them.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<Vec<Op>>>);

/// A file as far as it is durable, and what may be or not.
#[derive(Default)]
struct Tracked {
    durable: Vec<u8>,
    name_is_durable: bool,
    removed: bool,
    pending: Vec<Pending>,
}

enum Pending {
    Write(u64, Vec<u8>),
    Length(u64),
}

impl Recorder {
    /// How much was done so far.
    pub fn now(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// What a power cut after so many operations would leave: what was synced, and of the rest what `keeps` chooses.
    pub fn cut(&self, after: usize, mut keeps: impl FnMut() -> bool) -> BTreeMap<PathBuf, Vec<u8>> {
        let ops = self.0.lock().unwrap();
        let mut files: BTreeMap<&Path, Tracked> = BTreeMap::new();
        for op in &ops[..after] {
            apply(&mut files, op);
        }
        let mut left = BTreeMap::new();
        for (path, file) in files {
            if (!file.name_is_durable && !keeps()) || (file.removed && keeps()) {
                continue;
            }
            let mut content = file.durable;
            for pending in file.pending {
                match pending {
                    Pending::Length(len) if keeps() => content.resize(len as usize, 0),
                    Pending::Length(_) => {}
                    Pending::Write(offset, bytes) => {
                        for (index, page) in bytes.chunks(PAGE).enumerate().filter(|_| keeps()) {
                            write(&mut content, offset as usize + index * PAGE, page);
                        }
                    }
                }
            }
            left.insert(path.to_owned(), content);
        }
        left
    }

    /// The same of a copy of the files elsewhere.
    pub fn moved(&self, from: &Path, to: &Path) -> Self {
        let place = |path: &PathBuf| to.join(path.strip_prefix(from).unwrap());
        let moved = |op: &Op| match op {
            Op::Create(path) => Op::Create(place(path)),
            Op::Write(path, offset, bytes) => Op::Write(place(path), *offset, bytes.clone()),
            Op::Length(path, len) => Op::Length(place(path), *len),
            Op::Sync(path) => Op::Sync(place(path)),
            Op::Remove(path) => Op::Remove(place(path)),
            Op::SyncFolder(path) => Op::SyncFolder(place(path)),
        };
        Self(Arc::new(Mutex::new(self.0.lock().unwrap().iter().map(moved).collect())))
    }

    fn note(&self, op: Op) {
        self.0.lock().unwrap().push(op);
    }
}

fn apply<'a>(files: &mut BTreeMap<&'a Path, Tracked>, op: &'a Op) {
    match op {
        Op::Create(path) => _ = files.insert(path, Tracked::default()),
        Op::Write(path, offset, bytes) => {
            files.entry(path).or_default().pending.push(Pending::Write(*offset, bytes.clone()));
        }
        Op::Length(path, len) => files.entry(path).or_default().pending.push(Pending::Length(*len)),
        Op::Sync(path) => {
            let file = files.entry(path).or_default();
            for pending in std::mem::take(&mut file.pending) {
                match pending {
                    Pending::Write(offset, bytes) => write(&mut file.durable, offset as usize, &bytes),
                    Pending::Length(len) => file.durable.resize(len as usize, 0),
                }
            }
        }
        Op::Remove(path) => files.entry(path).or_default().removed = true,
        Op::SyncFolder(folder) => {
            files.retain(|path, file| !(file.removed && path.parent() == Some(folder)));
            for (path, file) in files.iter_mut() {
                file.name_is_durable |= path.parent() == Some(folder);
            }
        }
    }
}

fn write(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

struct Recorded {
    path: PathBuf,
    real: Box<dyn JournalFile>,
    recorder: Recorder,
}

impl JournalFile for Recorded {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let written = self.real.write_at(offset, bytes)?;
        self.recorder.note(Op::Write(self.path.clone(), offset, bytes[..written].to_vec()));
        Ok(written)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.real.set_len(len)?;
        self.recorder.note(Op::Length(self.path.clone(), len));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.recorder.note(Op::Sync(self.path.clone()));
        Ok(())
    }
}

impl FileLayer for Recorder {
    fn create(&self, path: &Path) -> io::Result<Box<dyn JournalFile>> {
        let real = RealFiles.create(path)?;
        self.note(Op::Create(path.to_owned()));
        Ok(Box::new(Recorded { path: path.to_owned(), real, recorder: self.clone() }))
    }

    /// Only what was made under this recorder can be opened again.
    fn open(&self, path: &Path) -> io::Result<Box<dyn JournalFile>> {
        let real = RealFiles.open(path)?;
        Ok(Box::new(Recorded { path: path.to_owned(), real, recorder: self.clone() }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealFiles.remove(path)?;
        self.note(Op::Remove(path.to_owned()));
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.note(Op::SyncFolder(folder.to_owned()));
        Ok(())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}
