//! The frames of a backup: writing them, and reading them through with every check.

use super::super::journal::frame::Reader;
use super::BackupReport;
use crate::store::StoreError;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const MAGIC: [u8; 8] = *b"\xF7QGBAK\r\n";
pub(super) const FORMAT: u32 = 1;
/// Longest piece of a segment in one frame, in bytes.
const PIECE: usize = 1024 * 1024;
/// Bytes after which what was written is made durable.
const SETTLE_BYTES: usize = 8 * PIECE;
const MAX_FRAME: usize = 4 * PIECE;

pub(super) const BEGIN: u8 = 1;
pub(super) const JOURNAL: u8 = 2;
pub(super) const COUNTER: u8 = 3;
pub(super) const END: u8 = 4;

#[derive(Serialize, Deserialize)]
pub(super) struct Begin {
    pub(super) format: u32,
    pub(super) seq: u64,
    #[serde(with = "hex::serde")]
    pub(super) hash: [u8; 32],
}

/// For its owner alone: a backup holds what the data folder holds.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
}

/// Takes one frame: its kind and content.
pub(super) type Visit<'a> = dyn FnMut(u8, &[u8]) -> Result<(), StoreError> + 'a;

pub(super) struct FrameWriter {
    out: BufWriter<File>,
    digest: Sha256,
    /// Bytes that may not be on the disk yet.
    unsettled: usize,
}

impl FrameWriter {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let mut writer = Self { out: BufWriter::new(private().open(path)?), digest: Sha256::new(), unsettled: 0 };
        writer.put(&MAGIC)?;
        Ok(writer)
    }

    pub(super) fn frame(&mut self, kind: u8, parts: &[&[u8]]) -> io::Result<()> {
        let content = parts.concat();
        let mut header = [0; 9];
        header[0] = kind;
        header[1..5].copy_from_slice(&(content.len() as u32).to_be_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..5]), &content);
        header[5..].copy_from_slice(&crc.to_be_bytes());
        self.put(&header)?;
        self.put(&content)
    }

    pub(super) fn json<T: Serialize>(&mut self, kind: u8, content: &T) -> io::Result<()> {
        self.frame(kind, &[&serde_json::to_vec(content)?])
    }

    /// Copies a segment up to `limit`, shows each piece to `check` before; returns its length.
    ///
    /// Errors: it cannot be read or written, or what `check` says.
    pub(super) fn segment(
        &mut self,
        (number, path): (u64, &Path),
        limit: u64,
        check: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<u64, StoreError> {
        let reading = || StoreError::io(format!("read segment {number}"));
        let mut input = File::open(path).map_err(reading())?.take(limit);
        let mut copied = 0;
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            (&mut input).take(PIECE as u64).read_to_end(&mut piece).map_err(reading())?;
            if piece.is_empty() {
                return Ok(copied);
            }
            check(&piece)?;
            copied += piece.len() as u64;
            let written = self.frame(JOURNAL, &[&number.to_be_bytes(), &piece]);
            written.and_then(|()| self.settle()).map_err(StoreError::io("write the backup"))?;
        }
    }

    /// Hands what was written to the disk now and then: else all of it would be in the way of the journal at the end.
    fn settle(&mut self) -> io::Result<()> {
        if self.unsettled < SETTLE_BYTES {
            return Ok(());
        }
        self.unsettled = 0;
        self.out.flush()?;
        self.out.get_ref().sync_data()
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.unsettled += bytes.len();
        self.out.write_all(bytes)
    }

    pub(super) fn digest(&self) -> [u8; 32] {
        self.digest.clone().finalize().into()
    }

    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.out.get_ref().sync_all()
    }
}

/// Checks every frame, the counts and the digest; returns what the end says.
pub(super) fn read_through(file: &Path, visit: &mut Visit<'_>) -> Result<BackupReport, StoreError> {
    let reading = || StoreError::io(format!("read `{}`", file.display()));
    let mut input = BufReader::new(File::open(file).map_err(reading())?);
    let mut digest = Sha256::new();
    let mut magic = [0; 8];
    input.read_exact(&mut magic).map_err(|_| bad("it is too short"))?;
    if magic != MAGIC {
        return Err(bad("it is not a backup"));
    }
    digest.update(magic);
    let (mut journal_bytes, mut counters, mut begun) = (0, 0, None);
    loop {
        let (kind, header, content) = read_frame(&mut input)?;
        let json = |error: serde_json::Error| bad(&error.to_string());
        match (kind, &begun) {
            (BEGIN, None) => {
                let begin: Begin = serde_json::from_slice(&content).map_err(json)?;
                if begin.format > FORMAT {
                    return Err(bad("it has a newer format: use a newer version"));
                }
                begun = Some(begin);
            }
            (JOURNAL, Some(_)) => journal_bytes += content.len().saturating_sub(8) as u64,
            (COUNTER, Some(_)) => counters += 1,
            (END, Some(begin)) => {
                let report: BackupReport = serde_json::from_slice(&content).map_err(json)?;
                let sums = (report.journal_bytes, report.counters, report.seq, report.hash);
                let digest: [u8; 32] = digest.finalize().into();
                if sums != (journal_bytes, counters, begin.seq, begin.hash) || report.digest != digest {
                    return Err(bad("its end does not match its content"));
                }
                if input.read(&mut [0]).map_err(reading())? != 0 {
                    return Err(bad("something follows its end"));
                }
                return Ok(report);
            }
            _ => return Err(bad("a frame is out of place")),
        }
        digest.update(header);
        digest.update(&content);
        visit(kind, &content)?;
    }
}

fn read_frame(input: &mut impl Read) -> Result<(u8, [u8; 9], Vec<u8>), StoreError> {
    let mut header = [0; 9];
    input.read_exact(&mut header).map_err(|_| bad("it ends too early"))?;
    let mut reader = Reader(&header);
    let parsed = reader.take().and_then(|[kind]: [u8; 1]| Some((kind, reader.u32()?, reader.u32()?)));
    let (kind, len, crc) = parsed.ok_or_else(|| bad("a frame is cut short"))?;
    if len as usize > MAX_FRAME {
        return Err(bad("a frame is too long"));
    }
    let mut content = vec![0; len as usize];
    input.read_exact(&mut content).map_err(|_| bad("it ends too early"))?;
    if crc != crc32c::crc32c_append(crc32c::crc32c(&header[..5]), &content) {
        return Err(bad("a frame fails its checksum"));
    }
    Ok((kind, header, content))
}

pub(super) fn bad(what: &str) -> StoreError {
    StoreError::Damaged { area: "the backup", what: what.to_owned() }
}
