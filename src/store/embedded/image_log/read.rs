//! Reading one log through: every sound frame, what is bad between them, and where it ends.

use super::frame::{Entry, FRAME_HEADER, FRAME_MAGIC, FrameHeader, LOG_HEADER, MAX_BODY_BYTES, StoreId, entries};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes that are read at a time.
const WINDOW: usize = 1024 * 1024;

/// One log to be read.
pub(super) struct Source<'a> {
    pub(super) file: &'a File,
    pub(super) store: StoreId,
    /// Where reading ends at the latest.
    pub(super) end: u64,
    /// Up to here it was durable once: what is bad before is damage, what is bad after all sound frames is a torn tail.
    pub(super) vouched: u64,
}

/// A part of a log that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) from: u64,
    pub(super) to: u64,
    /// How many images it held at most; None: that cannot be told.
    pub(super) images: Option<u64>,
    pub(super) what: &'static str,
}

/// How a log ended.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// Behind the last sound frame.
    pub(super) good: u64,
    /// Number of the last sound frame.
    pub(super) last_frame: Option<u64>,
    pub(super) gaps: Vec<Gap>,
    /// Bytes behind [`Self::good`] that no sync ever covered.
    pub(super) torn: u64,
}

enum At {
    Frame(FrameHeader),
    BadBody(FrameHeader),
    NoFrame,
}

/// Reads the log through; `visit` is given each entry and where its value begins in the log.
pub(super) fn read(source: &Source<'_>, visit: &mut dyn FnMut(&Entry<'_>, u64)) -> io::Result<Ending> {
    let mut window = Window { file: source.file, end: source.end, from: 0, bytes: Vec::new() };
    let mut ending = Ending { good: LOG_HEADER as u64, ..Ending::default() };
    let mut pending: Vec<Gap> = Vec::new();
    let mut at = LOG_HEADER as u64;
    let mut body = Vec::new();
    let mut vouched = source.vouched;
    while at < source.end {
        let next = match frame_at(&mut window, source, at, &mut body)? {
            At::Frame(header) => {
                vouched = vouched.max(header.durable);
                // What a power cut left behind a gap may be newer than what it lost: it is not pieced together.
                if let Some(gap) = pending.iter().find(|gap| gap.from >= vouched)
                    && gap.from >= durable_behind(&mut window, source, at)?
                {
                    ending.torn = source.end.saturating_sub(ending.good);
                    break;
                }
                let read = visit_all(&body, at + FRAME_HEADER as u64, visit);
                ending.gaps.append(&mut pending);
                let next = at + FRAME_HEADER as u64 + u64::from(header.body_len);
                if !read {
                    let images = Some(u64::from(header.entries));
                    ending.gaps.push(Gap { from: at, to: next, images, what: "a frame was written wrongly" });
                }
                (ending.good, ending.last_frame) = (next, Some(header.number));
                next
            }
            At::BadBody(header) => {
                let next = at + FRAME_HEADER as u64 + u64::from(header.body_len);
                let images = Some(u64::from(header.entries));
                pending.push(Gap { from: at, to: next.min(source.end), images, what: "a frame fails its checksum" });
                next
            }
            At::NoFrame => {
                let next = find_frame(&mut window, source, at + 1, &mut body)?;
                let what = "the header of a frame cannot be read";
                pending.push(Gap { from: at, to: next.unwrap_or(source.end), images: None, what });
                next.unwrap_or(source.end)
            }
        };
        at = next;
    }
    settle(source, vouched, pending, &mut ending);
    Ok(ending)
}

/// The most that any sound frame from a place on says was durable.
fn durable_behind(window: &mut Window<'_>, source: &Source<'_>, from: u64) -> io::Result<u64> {
    let (mut at, mut durable, mut body) = (from, 0, Vec::new());
    while at < source.end {
        at = match frame_at(window, source, at, &mut body)? {
            At::Frame(header) => {
                durable = durable.max(header.durable);
                at + FRAME_HEADER as u64 + u64::from(header.body_len)
            }
            At::BadBody(header) => at + FRAME_HEADER as u64 + u64::from(header.body_len),
            At::NoFrame => find_frame(window, source, at + 1, &mut body)?.unwrap_or(source.end),
        };
    }
    Ok(durable)
}

/// What is bad behind the last sound frame is damage as far as it was durable once, and a torn tail otherwise.
fn settle(source: &Source<'_>, vouched: u64, pending: Vec<Gap>, ending: &mut Ending) {
    let mut torn = false;
    for gap in pending {
        torn |= gap.from >= vouched;
        if gap.from < vouched {
            ending.gaps.push(gap);
        }
    }
    if torn {
        ending.torn = source.end.saturating_sub(ending.good);
    }
    let reached = source.end.max(LOG_HEADER as u64);
    if reached < source.vouched {
        let what = "it is shorter than it was";
        ending.gaps.push(Gap { from: reached, to: source.vouched, images: None, what });
    }
}

/// False: the body is sound and no writer's.
fn visit_all(body: &[u8], body_at: u64, visit: &mut dyn FnMut(&Entry<'_>, u64)) -> bool {
    let mut whole = true;
    for entry in entries(body) {
        match entry {
            Some(entry) => visit(&entry, body_at + entry.value_at as u64),
            None => whole = false,
        }
    }
    whole
}

fn frame_at(window: &mut Window<'_>, source: &Source<'_>, at: u64, body: &mut Vec<u8>) -> io::Result<At> {
    let mut header = [0; FRAME_HEADER];
    if !window.read(at, &mut header)? {
        return Ok(At::NoFrame);
    }
    let Some(header) = FrameHeader::decode(&header, source.store) else { return Ok(At::NoFrame) };
    let body_at = at + FRAME_HEADER as u64;
    if header.body_len as usize > MAX_BODY_BYTES || body_at + u64::from(header.body_len) > source.end {
        return Ok(At::BadBody(header));
    }
    body.resize(header.body_len as usize, 0);
    let read = window.read(body_at, body)?;
    Ok(if read && header.fits(body) { At::Frame(header) } else { At::BadBody(header) })
}

/// Where the next frame begins that is sound throughout.
fn find_frame(window: &mut Window<'_>, source: &Source<'_>, from: u64, body: &mut Vec<u8>) -> io::Result<Option<u64>> {
    let mut at = from;
    let mut piece = [0; 4096];
    while at + (FRAME_HEADER as u64) <= source.end {
        let len = piece.len().min((source.end - at) as usize);
        window.read(at, &mut piece[..len])?;
        let found = piece[..len].windows(FRAME_MAGIC.len()).position(|bytes| bytes == FRAME_MAGIC);
        let Some(found) = found else {
            at += (len - (FRAME_MAGIC.len() - 1)).max(1) as u64;
            continue;
        };
        let place = at + found as u64;
        if let At::Frame(_) = frame_at(window, source, place, body)? {
            return Ok(Some(place));
        }
        at = place + 1;
    }
    Ok(None)
}

/// A part of the file that is at hand.
struct Window<'a> {
    file: &'a File,
    end: u64,
    from: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// False: the file ends before.
    fn read(&mut self, at: u64, to: &mut [u8]) -> io::Result<bool> {
        if at + to.len() as u64 > self.end {
            return Ok(false);
        }
        if to.len() > WINDOW / 4 {
            return read_all(self.file, at, to);
        }
        if at < self.from || at + to.len() as u64 > self.from + self.bytes.len() as u64 {
            self.fill(at)?;
        }
        let begin = (at - self.from) as usize;
        let Some(bytes) = self.bytes.get(begin..begin + to.len()) else { return Ok(false) };
        to.copy_from_slice(bytes);
        Ok(true)
    }

    fn fill(&mut self, at: u64) -> io::Result<()> {
        let len = (self.end - at).min(WINDOW as u64) as usize;
        self.from = at;
        self.bytes.resize(len, 0);
        let mut read = 0;
        while read < len {
            match self.file.read_at(&mut self.bytes[read..], at + read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.bytes.truncate(read);
        Ok(())
    }
}

fn read_all(file: &File, at: u64, to: &mut [u8]) -> io::Result<bool> {
    match file.read_exact_at(to, at) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
