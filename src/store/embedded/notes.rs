//! Notes: sessions that are open, when keys were last used. Small, whole in memory, on disk in a log that is compacted.
//!
//! They come and go all day and nobody asks for their past, so they are kept out of the journal, which is never shortened.

use super::image_log::frame::FrameWriter;
use super::image_log::{ImageLog, StoreId, scan};
use super::layer::FileLayer;
use crate::store::{Key, Renewal, StoreError, Table, Write};
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

/// Version of the images: the value as JSON.
const VERSION: u16 = 1;

pub(crate) struct Notes {
    log: ImageLog,
    /// By the table's tag and the key. INVARIANT: what is in here is durable.
    records: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl Notes {
    /// Opens the folder; nothing in it is changed before something is written. The second value says what is lost.
    ///
    /// Errors: it cannot be read, or is of a newer version.
    pub(crate) fn open(
        folder: &Path,
        layer: Arc<dyn FileLayer>,
        fresh: StoreId,
    ) -> Result<(Self, Vec<String>), StoreError> {
        let found = scan::scan(scan::open(folder)?, None)?;
        let mut lost: Vec<String> = found.damage.iter().map(ToString::to_string).collect();
        let (mut records, mut unread) = (BTreeMap::new(), 0);
        let gone = found.content.for_each(&mut |key, version, value| match version {
            VERSION => _ = records.insert(key.to_vec(), value.to_vec()),
            _ => unread += 1,
        });
        let damaged = gone.map_err(StoreError::io("read the notes"))? + unread;
        if damaged > 0 {
            lost.push(format!("{damaged} records cannot be read"));
        }
        if found.torn > 0 || !lost.is_empty() {
            // That a session was ended may be what is lost: then none is taken, which costs a login.
            records.retain(|key: &Vec<u8>, _: &mut Vec<u8>| key.first() != Some(&Table::Sessions.tag()));
        }
        if found.torn > 0 {
            lost.push(format!("{} bytes at the end were never durable, or are damaged", found.torn));
        }
        let log = ImageLog::new(folder, layer, &found, (fresh, found.torn > 0 || !lost.is_empty()));
        Ok((Self { log, records: Mutex::new(records) }, lost))
    }

    /// What is wrong with a folder, changing nothing. A kill may leave a torn end, a stop in order does not.
    ///
    /// Errors: it cannot be read, or is of a newer version.
    pub(crate) fn look(folder: &Path, was_left_clean: bool) -> Result<Vec<String>, StoreError> {
        let found = scan::scan(scan::open(folder)?, None)?;
        let mut findings: Vec<String> = found.damage.iter().map(ToString::to_string).collect();
        if found.torn > 0 && was_left_clean {
            findings.push(format!("{} bytes at the end are damaged", found.torn));
        }
        Ok(findings)
    }

    /// Writes all of them or none; they are durable when it returns.
    ///
    /// Errors: nothing is written; writing them again is harmless.
    pub(crate) fn put(&self, notes: &[Write]) -> Result<(), StoreError> {
        let notes: Vec<(Vec<u8>, Option<Vec<u8>>)> = notes.iter().map(encoded).collect::<Result<_, _>>()?;
        // INVARIANT: held until the notes are durable, so that they are seen in the order in which they were written.
        let mut records = self.records.lock();
        self.write(&records, &notes).map_err(StoreError::io("write the notes"))?;
        for (key, value) in notes {
            match value {
                Some(value) => _ = records.insert(key, value),
                None => _ = records.remove(&key),
            }
        }
        if self.log.renewal() != Renewal::NotNow
            && let Err(error) = self.renew(&records, &[])
        {
            // Everything is durable where it is; the next note tries again.
            tracing::warn!(%error, "the notes could not be compacted");
        }
        Ok(())
    }

    fn write(&self, records: &BTreeMap<Vec<u8>, Vec<u8>>, notes: &[(Vec<u8>, Option<Vec<u8>>)]) -> io::Result<()> {
        if self.log.renewal() == Renewal::Needed {
            return self.renew(records, notes);
        }
        let written = self.log.append(|frames| append(frames, notes)).and_then(|()| self.log.sync());
        match written {
            // The file may have lost what it held; memory has not.
            Err(_) if self.log.renewal() == Renewal::Needed => self.renew(records, notes),
            written => written,
        }
    }

    /// Begins a log that holds every note, with those that are new.
    fn renew(&self, records: &BTreeMap<Vec<u8>, Vec<u8>>, notes: &[(Vec<u8>, Option<Vec<u8>>)]) -> io::Result<()> {
        self.log.begin_renewal()?;
        self.log.append(|frames| {
            for (key, value) in records {
                frames.put(key, VERSION, Some(value));
                frames.end_group();
            }
            append(frames, notes);
        })?;
        self.log.finish_renewal()
    }

    /// The notes of a table whose key begins with `prefix`, in key order.
    ///
    /// Errors: one is no JSON.
    pub(crate) fn of(&self, table: Table, prefix: &Key) -> Result<Vec<(Key, Value)>, StoreError> {
        let from = key_of(table, prefix);
        let records = self.records.lock();
        let found = records.range::<Vec<u8>, _>((Bound::Included(&from), Bound::Unbounded));
        let found = found.take_while(|(key, _)| key.starts_with(&from));
        found.map(|(key, value)| Ok((Key::from_bytes(key[1..].to_vec()), decoded(table, key, value)?))).collect()
    }
}

/// One after the other in one group: all of them or none.
fn append(frames: &mut FrameWriter, notes: &[(Vec<u8>, Option<Vec<u8>>)]) {
    if notes.is_empty() {
        return;
    }
    for (key, value) in notes {
        frames.put(key, VERSION, value.as_deref());
    }
    frames.end_group();
}

fn key_of(table: Table, key: &Key) -> Vec<u8> {
    [&[table.tag()], key.as_bytes()].concat()
}

fn encoded(note: &Write) -> Result<(Vec<u8>, Option<Vec<u8>>), StoreError> {
    let value = note.value.as_ref().map(serde_json::to_vec).transpose();
    let value = value.map_err(|error| damaged(note.table, note.key.clone(), &error))?;
    Ok((key_of(note.table, &note.key), value))
}

fn decoded(table: Table, key: &[u8], value: &[u8]) -> Result<Value, StoreError> {
    serde_json::from_slice(value).map_err(|error| damaged(table, Key::from_bytes(key[1..].to_vec()), &error))
}

fn damaged(table: Table, key: Key, error: &serde_json::Error) -> StoreError {
    StoreError::RecordDamaged { table, key, what: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::super::layer::RealFiles;
    use super::*;
    use serde_json::json;

    fn open(folder: &Path) -> Notes {
        let (notes, lost) = Notes::open(folder, Arc::new(RealFiles), StoreId([7; 16])).unwrap();
        assert_eq!(lost, Vec::<String>::new());
        notes
    }

    fn put(name: &str, value: i64) -> Write {
        Write::put(Table::Sessions, Key::text(name), json!(value))
    }

    fn all(notes: &Notes) -> Vec<(Key, Value)> {
        notes.of(Table::Sessions, &Key::empty()).unwrap()
    }

    #[test]
    fn what_was_put_is_there_again_by_table_and_prefix_and_what_was_removed_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let notes = open(&folder.path().join("notes"));
        let of = |operator: &str, id: &str| Key::build().text(operator).text(id).finish();

        notes.put(&[put("a", 1), put("b", 2)]).unwrap();
        notes.put(&[put("a", 3), Write::delete(Table::Sessions, Key::text("b"))]).unwrap();
        notes.put(&[Write::put(Table::Index, Key::text("a"), json!("other"))]).unwrap();
        notes.put(&[Write::put(Table::Sessions, of("alice", "1"), json!(4))]).unwrap();
        notes.put(&[Write::put(Table::Sessions, of("alice2", "1"), json!(5))]).unwrap();
        drop(notes);
        let notes = open(&folder.path().join("notes"));

        assert_eq!(all(&notes).len(), 3);
        assert_eq!(all(&notes)[0], (Key::text("a"), json!(3)));
        assert_eq!(notes.of(Table::Index, &Key::empty()).unwrap(), [(Key::text("a"), json!("other"))]);
        assert_eq!(notes.of(Table::Sessions, &Key::text("alice")).unwrap(), [(of("alice", "1"), json!(4))]);
    }

    #[test]
    fn where_anything_is_damaged_no_session_is_taken_and_it_is_told() {
        let ended = || {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("notes");
            let notes = open(&path);
            notes.put(&[put("open", 1), Write::put(Table::Index, Key::text("used"), json!(1))]).unwrap();
            notes.put(&[Write::delete(Table::Sessions, Key::text("open"))]).unwrap();
            (folder, path.join("0000000001.log"))
        };
        let (_kept, whole) = ended();
        let len = std::fs::read(&whole).unwrap().len();

        for at in [len - 1, len - 30, 40, 100] {
            let (_folder, log) = ended();
            let mut bytes = std::fs::read(&log).unwrap();
            bytes[at] ^= 1;
            std::fs::write(&log, bytes).unwrap();

            let told = Notes::look(log.parent().unwrap(), true).unwrap();
            let (notes, lost) = Notes::open(log.parent().unwrap(), Arc::new(RealFiles), StoreId([7; 16])).unwrap();

            assert!(!told.is_empty() && !lost.is_empty(), "byte {at}");
            assert_eq!(all(&notes), [], "byte {at}: the session was ended");
        }
    }

    #[test]
    fn after_many_starts_there_are_few_logs_and_every_note_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes");

        for number in 0..60 {
            open(&path).put(&[put("counted", number), put(&format!("n{number}"), number)]).unwrap();
        }

        let notes = open(&path);
        assert_eq!(all(&notes).len(), 61);
        assert!(all(&notes).contains(&(Key::text("counted"), json!(59))));
        let logs = std::fs::read_dir(&path).unwrap().count();
        assert!(logs <= 20, "{logs} logs");
    }
}
