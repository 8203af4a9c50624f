//! What is read back, past whatever damage.

use super::frame::{FRAME_HEADER, LOG_HEADER};
use super::scan::{self, Found, Mark};
use super::{ImageLog, Renewal, StoreId};
use crate::store::StoreError;
use crate::store::embedded::layer::RealFiles;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const STORE: StoreId = StoreId([3; 16]);

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

fn found(folder: &Path, mark: Option<&Mark>) -> Result<Found, StoreError> {
    scan::scan(scan::open(folder)?, mark)
}

fn open(folder: &Path) -> ImageLog {
    ImageLog::new(folder, Arc::new(RealFiles), &found(folder, None).unwrap(), (STORE, false))
}

fn put(log: &ImageLog, key: &[u8], value: Option<&[u8]>) {
    log.append(|frames| {
        frames.put(key, 1, value);
        frames.end_group();
    })
    .unwrap();
}

fn records(found: &Found) -> Records {
    let mut records = Records::new();
    let lost = found.content.for_each(&mut |key, _, value| _ = records.insert(key.to_vec(), value.to_vec()));
    assert_eq!(lost.unwrap(), 0);
    records
}

/// Three logs, and where a clean stop says that they end.
fn filled(folder: &Path) -> (Records, Mark) {
    for round in 0..3_u8 {
        let log = open(folder);
        for n in 0..6_u8 {
            put(&log, &[b'k', n], Some(&[round, n, 0xF7, b'Q', b'G', b'F', 1, 2, 3]));
        }
        put(&log, &[b'g', round], Some(&[round; 20]));
        put(&log, &[b'g', round.wrapping_sub(1)], None);
        log.sync().unwrap();
    }
    let all = found(folder, None).unwrap();
    let mark = Mark { store: STORE, log: all.tail.0, len: all.tail.1, tally: Some(all.content.tally()) };
    (records(&all), mark)
}

/// In memory where there is such a place: it is made thousands of times.
fn quick_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn copy(from: &Path, to: &Path) {
    for item in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        std::fs::copy(item.path(), to.join(item.file_name())).unwrap();
    }
}

#[test]
fn the_last_image_of_each_key_is_read_back_across_logs() {
    let folder = tempfile::tempdir().unwrap();

    let (records, mark) = filled(folder.path());

    assert_eq!((mark.log, records.len()), (3, 7));
    assert_eq!((records[&[b'k', 0][..]][0], &records[&[b'g', 2][..]]), (2, &vec![2; 20]));
    assert!(found(folder.path(), Some(&mark)).unwrap().damage.is_empty());
}

#[test]
fn whatever_byte_is_flipped_lost_or_cut_off_all_is_right_or_it_is_told() {
    let source = quick_folder();
    let (records_before, mark) = filled(source.path());
    let mut told = 0;
    let mut look = |folder: &Path, what: &str| match found(folder, Some(&mark)) {
        Err(_) => told += 1,
        Ok(found) => {
            let same = records(&found) == records_before && Some(found.content.tally()) == mark.tally;
            let tells = !found.damage.is_empty() || Some(found.content.tally()) != mark.tally;
            assert!(same || tells, "{what}: silently wrong");
            told += u32::from(tells);
        }
    };
    let mut cases = 0;
    for number in 1..=3 {
        let folder = quick_folder();
        copy(source.path(), folder.path());
        let path = scan::path(folder.path(), number);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        look(folder.path(), &format!("log {number} removed"));
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            let mut lost = bytes.clone();
            lost.remove(at);
            for (what, content) in [("flipped", &flipped[..]), ("lost", &lost[..]), ("cut", &bytes[..at])] {
                std::fs::write(&path, content).unwrap();
                look(folder.path(), &format!("log {number}, byte {at} {what}"));
                cases += 1;
            }
        }
    }
    assert_eq!(told, cases + 3, "each of them concerns something that was durable");
}

#[test]
fn a_bad_frame_in_the_middle_is_named_and_what_follows_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mark) = filled(folder.path());
    let path = scan::path(folder.path(), 3);
    let frame = FRAME_HEADER + 8 + 2 + 9;
    let bytes = std::fs::read(&path).unwrap();

    for (at, images) in [(LOG_HEADER + frame + FRAME_HEADER + 3, Some(1)), (LOG_HEADER + frame + 5, None)] {
        let mut bad = bytes.clone();
        bad[at] ^= 0x20;
        std::fs::write(&path, &bad).unwrap();

        let found = found(folder.path(), Some(&mark)).unwrap();

        let [damage] = &found.damage[..] else { panic!("{:?}", found.damage) };
        assert_eq!((damage.log, damage.offset, damage.images), (3, (LOG_HEADER + frame) as u64, images));
        // What is lost is as the log before left it; all others are of this one.
        let first: Vec<u8> = records(&found).values().map(|value| value[0]).collect();
        assert_eq!(first, [2, 2, 1, 2, 2, 2, 2]);
    }
}

#[test]
fn a_tail_that_no_sync_covered_is_torn_and_cut_before_anything_follows() {
    let folder = tempfile::tempdir().unwrap();
    let (before, _) = filled(folder.path());
    let path = scan::path(folder.path(), 3);
    let good = std::fs::read(&path).unwrap();
    for tail in [vec![0; 70], good[LOG_HEADER..LOG_HEADER + 30].to_vec(), vec![0xF7; 5_000]] {
        std::fs::write(&path, [&good[..], &tail].concat()).unwrap();

        let torn = found(folder.path(), None).unwrap();
        let log = open(folder.path());
        put(&log, b"new", Some(b"value"));

        assert_eq!((torn.torn, torn.damage.len()), (tail.len() as u64, 0));
        assert_eq!(std::fs::read(&path).unwrap(), good);
        let after = found(folder.path(), None).unwrap();
        assert!(after.damage.is_empty() && after.torn == 0, "{:?}", after.damage);
        let mut wanted = before.clone();
        wanted.insert(b"new".to_vec(), b"value".to_vec());
        assert_eq!(records(&after), wanted);
        std::fs::remove_file(scan::path(folder.path(), 4)).unwrap();
    }
}

#[test]
fn a_log_of_a_newer_format_is_refused_with_the_version_that_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let path = scan::path(folder.path(), 2);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8..10].copy_from_slice(&9_u16.to_be_bytes());
    bytes[12..28].copy_from_slice(b"7.1.0\0\0\0\0\0\0\0\0\0\0\0");
    let crc = crc32c::crc32c(&bytes[..28]);
    bytes[28..32].copy_from_slice(&crc.to_be_bytes());
    std::fs::write(&path, bytes).unwrap();

    let error = found(folder.path(), None).err().unwrap();

    assert!(error.to_string().contains("7.1.0"), "{error}");
}

#[test]
fn a_renewal_leaves_two_logs_that_hold_what_was_put_since_it_began() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let log = open(folder.path());
    put(&log, b"old", Some(b"old"));

    log.begin_renewal().unwrap();
    put(&log, b"kept", Some(b"kept"));
    let before = found(folder.path(), None).unwrap();
    log.finish_renewal().unwrap();
    put(&log, b"after", Some(b"after"));

    assert_eq!((before.base, records(&before).len()), (1, 9), "not before it is finished");
    let after = found(folder.path(), None).unwrap();
    assert_eq!(records(&after).into_keys().collect::<Vec<_>>(), [b"after".to_vec(), b"kept".to_vec()]);
    assert_eq!((after.base, after.numbers.as_slice(), after.damage.len()), (5, &[5, 6][..], 0));
}

#[test]
fn many_starts_make_a_renewal_worth_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut starts = 0;
    loop {
        let log = open(folder.path());
        if log.renewal() == Renewal::Worth {
            break;
        }
        put(&log, b"key", Some(b"value"));
        starts += 1;
    }

    assert_eq!(starts, super::WORTH_LOGS + 1);
}

#[test]
fn it_is_read_while_it_is_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    for n in 0..100_u8 {
        put(&log, &[n], Some(&[n; 100]));
    }
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            for _ in 0..200 {
                let found = log.read().unwrap();
                assert_eq!((found.content.tally().records, found.damage.len()), (100, 0), "{:?}", found.damage);
            }
        });
        while !reader.is_finished() {
            log.begin_renewal().unwrap();
            for n in 0..100_u8 {
                put(&log, &[n], Some(&[n; 100]));
            }
            log.finish_renewal().unwrap();
        }
    });
}
