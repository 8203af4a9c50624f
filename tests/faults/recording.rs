//! What the library wrote down, event by event.

use std::path::Path;
use std::time::{Duration, SystemTime};

const HEAD_BYTES: usize = 48;

#[derive(Debug, Clone)]
pub struct Event {
    /// Where it ends in the log. An answer seen while the log was this long came after it.
    pub end: u64,
    pub at: SystemTime,
    pub what: What,
}

#[derive(Debug, Clone)]
pub enum What {
    Create(String),
    Write {
        file: String,
        at: u64,
        bytes: Vec<u8>,
    },
    Length {
        file: String,
        bytes: u64,
    },
    Rename {
        from: String,
        to: String,
    },
    Unlink(String),
    MakeFolder(String),
    RemoveFolder(String),
    /// Of a file or a folder; it is known by where it begins in the log.
    SyncBegun {
        path: String,
        begun: u64,
    },
    Synced {
        begun: u64,
    },
    SyncFailed {
        begun: u64,
    },
}

/// Reads a whole log; what the library did not understand fails.
pub fn read(log: &Path) -> Vec<Event> {
    let bytes = std::fs::read(log).unwrap();
    let (mut events, mut position) = (Vec::new(), 0);
    while bytes.len() - position >= HEAD_BYTES {
        let small = |at: usize| u32::from_ne_bytes(bytes[position + at..][..4].try_into().unwrap());
        let large = |at: usize| u64::from_ne_bytes(bytes[position + at..][..8].try_into().unwrap());
        let (length, kind, time_ns, a) = (small(0) as usize, small(4), large(8), large(16));
        // The end of a server that was killed while it wrote this down.
        if position + length > bytes.len() {
            break;
        }
        let (first, second, data) = (small(32) as usize, small(36) as usize, small(40) as usize);
        let text = &bytes[position + HEAD_BYTES..position + length];
        let name = |from: usize, to: usize| String::from_utf8(text[from..to].to_vec()).unwrap();
        let (path, other) = (name(0, first), name(first, first + second));
        let content = text[first + second..first + second + data].to_vec();
        let what = match kind {
            1 => What::Create(path),
            2 => What::Write { file: path, at: a, bytes: content },
            3 => What::Length { file: path, bytes: a },
            4 => What::Rename { from: path, to: other },
            5 => What::Unlink(path),
            6 => What::MakeFolder(path),
            7 => What::RemoveFolder(path),
            8 => What::SyncBegun { path, begun: a },
            9 => What::Synced { begun: a },
            10 => What::SyncFailed { begun: a },
            _ => panic!("the recorder does not know what this does to the disk: {other} of `{path}`"),
        };
        position += length;
        let at = SystemTime::UNIX_EPOCH + Duration::from_nanos(time_ns);
        events.push(Event { end: position as u64, at, what });
    }
    events
}
