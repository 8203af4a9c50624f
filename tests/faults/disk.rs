//! A disk as the recorder saw it used, and what a power cut may leave of it.
//!
//! A file's content and a folder's names are each durable up to a point, and have changes after it that were never
//! synced. A sync makes durable what was there when it began. A new name is the folder's and takes a sync of that;
//! a file that has content and no durable name is not there after a cut. A sync that failed has dropped what it should
//! have written: a later one does not bring it back.

use crate::recording::{Event, What};
use rand::RngExt;
use rand::rngs::SmallRng;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

const SECTOR: usize = 512;
/// What a file that is gone ends with, as `/proc` calls it.
const GONE: &str = " (deleted)";
/// Written past libc; nobody reads it.
const UNSEEN: &str = "BALLAST";

/// What a disk may keep of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keeps {
    OnlySynced,
    Everything,
    /// Any of the writes, whatever their order.
    Some,
    /// Of the last write of each file some sectors.
    Torn,
    /// Content, but names only where the folder was synced.
    NoNames,
    /// Lengths, with zeros in place of content.
    Zeros,
}

pub const ALL: [Keeps; 6] =
    [Keeps::OnlySynced, Keeps::Everything, Keeps::Some, Keeps::Torn, Keeps::NoNames, Keeps::Zeros];

#[derive(Debug, Clone)]
enum Change {
    Bytes(usize, Vec<u8>),
    Length(usize),
}

#[derive(Debug, Clone)]
enum Name {
    Is(String, usize),
    Gone(String),
    Renamed(String, String, usize),
}

#[derive(Debug, Clone)]
enum Node {
    File { durable: Vec<u8>, pending: Vec<(u64, Change)> },
    Folder { durable: BTreeMap<String, usize>, pending: Vec<(u64, Name)> },
}

type Names = BTreeMap<String, usize>;

#[derive(Debug, Clone)]
pub struct Disk {
    /// The first is the data folder.
    nodes: Vec<Node>,
    /// Syncs under way.
    syncs: HashMap<u64, usize>,
    /// Where the log is.
    now: u64,
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Bytes(at, bytes) => {
                content.resize(content.len().max(at + bytes.len()), 0);
                content[*at..at + bytes.len()].copy_from_slice(bytes);
            }
            Self::Length(length) => content.resize(*length, 0),
        }
    }

    /// The length without the content.
    fn stretch(&self, content: &mut Vec<u8>) {
        match self {
            Self::Bytes(at, bytes) => content.resize(content.len().max(at + bytes.len()), 0),
            Self::Length(length) => content.resize(*length, 0),
        }
    }

    fn tear(&self, content: &mut Vec<u8>, random: &mut SmallRng) {
        let Self::Bytes(at, bytes) = self else { return self.apply(content) };
        let mut from = *at;
        let end = at + bytes.len();
        while from < end {
            let to = ((from / SECTOR + 1) * SECTOR).min(end);
            if random.random_bool(0.5) {
                Self::Bytes(from, bytes[from - at..to - at].to_vec()).apply(content);
            }
            from = to;
        }
    }
}

impl Name {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Is(name, node) => {
                names.insert(name.clone(), *node);
            }
            Self::Gone(name) => {
                names.remove(name);
            }
            Self::Renamed(from, to, node) => {
                names.remove(from);
                names.insert(to.clone(), *node);
            }
        }
    }
}

/// Takes out what came before; a queue is in the order of the log.
fn before<T>(pending: &mut Vec<(u64, T)>, begun: u64) -> impl Iterator<Item = T> + '_ {
    let count = pending.iter().take_while(|(at, _)| *at <= begun).count();
    pending.drain(..count).map(|(_, change)| change)
}

impl Disk {
    pub fn empty() -> Self {
        Self { nodes: vec![Node::Folder { durable: Names::new(), pending: Vec::new() }], syncs: HashMap::new(), now: 0 }
    }

    /// All of it is durable.
    pub fn of(folder: &Path) -> Self {
        let mut disk = Self::empty();
        disk.take_in(0, folder);
        disk
    }

    fn take_in(&mut self, into: usize, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let (name, kind) = (entry.file_name().into_string().unwrap(), entry.file_type().unwrap());
            let node = self.nodes.len();
            if kind.is_dir() {
                self.nodes.push(Node::Folder { durable: Names::new(), pending: Vec::new() });
                self.take_in(node, &entry.path());
            } else if kind.is_file() {
                self.nodes.push(Node::File { durable: std::fs::read(entry.path()).unwrap(), pending: Vec::new() });
            } else {
                continue;
            }
            let Node::Folder { durable, .. } = &mut self.nodes[into] else { unreachable!() };
            durable.insert(name, node);
        }
    }

    /// Names as the running system shows them.
    fn names(&self, folder: usize) -> Names {
        let Node::Folder { durable, pending } = &self.nodes[folder] else { panic!("no folder") };
        let mut names = durable.clone();
        pending.iter().for_each(|(_, name)| name.apply(&mut names));
        names
    }

    fn find(&self, path: &str) -> Option<usize> {
        path.split('/').filter(|name| !name.is_empty()).try_fold(0, |folder, name| match &self.nodes[folder] {
            Node::Folder { .. } => self.names(folder).get(name).copied(),
            Node::File { .. } => None,
        })
    }

    /// The folder of a path, and the name in it.
    fn place<'p>(&self, path: &'p str) -> (usize, &'p str) {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        (self.find(folder).unwrap_or_else(|| panic!("no folder for `{path}`")), name)
    }

    fn name(&mut self, folder: usize, name: Name) {
        let now = self.now;
        let Node::Folder { pending, .. } = &mut self.nodes[folder] else { panic!("no folder") };
        pending.push((now, name));
    }

    fn make(&mut self, path: &str, node: Node) -> usize {
        let (folder, name) = self.place(path);
        self.nodes.push(node);
        let made = self.nodes.len() - 1;
        self.name(folder, Name::Is(name.to_owned(), made));
        made
    }

    fn make_file(&mut self, path: &str) -> usize {
        self.make(path, Node::File { durable: Vec::new(), pending: Vec::new() })
    }

    fn change(&mut self, path: &str, change: Change) {
        if path.ends_with(GONE) {
            return;
        }
        // What was opened past libc is first seen here.
        let file = self.find(path).unwrap_or_else(|| self.make_file(path));
        let now = self.now;
        let Node::File { pending, .. } = &mut self.nodes[file] else { panic!("`{path}` is a folder") };
        pending.push((now, change));
    }

    pub fn take(&mut self, event: &Event) {
        self.now = event.end;
        match &event.what {
            // The data folder itself, whose name is taken for durable.
            What::MakeFolder(path) if path.is_empty() => {}
            What::Create(path) => _ = self.make_file(path),
            What::MakeFolder(path) => {
                self.make(path, Node::Folder { durable: Names::new(), pending: Vec::new() });
            }
            What::Write { file, at, bytes } => self.change(file, Change::Bytes(*at as usize, bytes.clone())),
            What::Length { file, bytes } => self.change(file, Change::Length(*bytes as usize)),
            What::Unlink(path) | What::RemoveFolder(path) => {
                let (folder, name) = self.place(path);
                self.name(folder, Name::Gone(name.to_owned()));
            }
            What::Rename { from, to } => self.rename(from, to),
            What::SyncBegun { path, begun } => {
                if let Some(node) = self.find(path) {
                    self.syncs.insert(*begun, node);
                }
            }
            What::Synced { begun } => self.synced(*begun),
            What::SyncFailed { begun } => self.dropped(*begun),
        }
    }

    fn rename(&mut self, from: &str, to: &str) {
        // A socket, which no cut leaves.
        let Some(node) = self.find(from) else { return };
        let ((left, old), (right, new)) = (self.place(from), self.place(to));
        if left == right {
            return self.name(left, Name::Renamed(old.to_owned(), new.to_owned(), node));
        }
        self.name(right, Name::Is(new.to_owned(), node));
        self.name(left, Name::Gone(old.to_owned()));
    }

    fn synced(&mut self, begun: u64) {
        let Some(node) = self.syncs.remove(&begun) else { return };
        match &mut self.nodes[node] {
            Node::File { durable, pending } => before(pending, begun).for_each(|change| change.apply(durable)),
            Node::Folder { durable, pending } => before(pending, begun).for_each(|name| name.apply(durable)),
        }
    }

    fn dropped(&mut self, begun: u64) {
        let Some(node) = self.syncs.remove(&begun) else { return };
        if let Node::File { durable, pending } = &mut self.nodes[node] {
            before(pending, begun).for_each(|change| change.stretch(durable));
        }
    }

    /// Writes what a cut now may leave.
    pub fn leave(&self, keeps: Keeps, random: &mut SmallRng, folder: &Path) {
        self.leave_folder(0, keeps, random, folder);
    }

    fn leave_folder(&self, node: usize, keeps: Keeps, random: &mut SmallRng, folder: &Path) {
        let Node::Folder { durable, pending } = &self.nodes[node] else { panic!("no folder") };
        std::fs::create_dir_all(folder).unwrap();
        let kept = match keeps {
            Keeps::OnlySynced | Keeps::NoNames => 0,
            // File systems keep names in their order.
            Keeps::Some => random.random_range(0..=pending.len()),
            Keeps::Everything | Keeps::Torn | Keeps::Zeros => pending.len(),
        };
        let mut names = durable.clone();
        pending[..kept].iter().for_each(|(_, name)| name.apply(&mut names));
        for (name, node) in names {
            let path = folder.join(name);
            match &self.nodes[node] {
                Node::Folder { .. } => self.leave_folder(node, keeps, random, &path),
                Node::File { durable, pending } => {
                    std::fs::write(path, content(durable, pending, keeps, random)).unwrap();
                }
            }
        }
    }

    /// Fails where the folder is not what the events make of it: then something went past the recorder.
    pub fn assert_is(&self, folder: &Path) {
        let here = tempfile::tempdir().unwrap();
        self.leave(Keeps::Everything, &mut rand::SeedableRng::seed_from_u64(0), here.path());
        assert_same(here.path(), folder);
    }
}

fn content(durable: &[u8], pending: &[(u64, Change)], keeps: Keeps, random: &mut SmallRng) -> Vec<u8> {
    let mut content = durable.to_vec();
    for (number, (_, change)) in (1..).zip(pending) {
        match keeps {
            Keeps::OnlySynced => {}
            Keeps::Everything | Keeps::NoNames => change.apply(&mut content),
            Keeps::Some if random.random_bool(0.5) => change.apply(&mut content),
            Keeps::Some => {}
            Keeps::Torn if number == pending.len() => change.tear(&mut content, random),
            Keeps::Torn => change.apply(&mut content),
            Keeps::Zeros => change.stretch(&mut content),
        }
    }
    content
}

fn assert_same(made: &Path, found: &Path) {
    let list = |folder: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let kept = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_file()));
        let mut names: Vec<String> = kept.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.retain(|name| name != UNSEEN);
        names.sort();
        names
    };
    assert_eq!(list(made), list(found), "{}: the recorder has missed something", found.display());
    for name in list(found) {
        let (made, found) = (made.join(&name), found.join(&name));
        if found.is_dir() {
            assert_same(&made, &found);
        } else {
            let same = std::fs::read(made).unwrap() == std::fs::read(&found).unwrap();
            assert!(same, "{}: the recorder has missed something", found.display());
        }
    }
}
