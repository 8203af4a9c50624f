//! One byte of usage that is flipped, lost or cut off after a clean stop: all is right, or it is told.

use super::{Records, records, rounds};
use crate::changes::{memory_folder, open};
use crate::start::copy;
use quotagate::store::CounterStore;
use quotagate::store::embedded::{Area, verify};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::path::Path;

/// Usage of several starts, the last one stopped in order.
fn filled(folder: &Path) -> Records {
    let mut last = Records::new();
    for start in 0..3_u8 {
        let (store, _) = open(folder);
        for n in 0..20_u8 {
            store.put_batch(&[(vec![n], vec![start; 40]), (vec![n, start], vec![n])]).unwrap();
        }
        store.remove(&[vec![5, 0]]).unwrap();
        last = records(&store);
        store.close().unwrap();
    }
    last
}

fn damage(folder: &Path, random: &mut SmallRng) -> String {
    let mut files: Vec<_> =
        std::fs::read_dir(folder.join("counters")).unwrap().map(|item| item.unwrap().path()).collect();
    files.sort();
    let file = &files[random.random_range(0..files.len())];
    let mut bytes = std::fs::read(file).unwrap();
    let at = random.random_range(0..bytes.len());
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    let what = match random.random_range(0..5) {
        0 | 1 => {
            bytes[at] ^= 1 << random.random_range(0..8);
            "flipped"
        }
        2 => {
            bytes.remove(at);
            "lost"
        }
        3 => {
            bytes.truncate(at);
            "cut"
        }
        _ => {
            std::fs::remove_file(file).unwrap();
            return format!("{name} removed");
        }
    };
    std::fs::write(file, bytes).unwrap();
    format!("{name}: byte {at} {what}")
}

#[test]
fn damage_after_a_clean_stop_is_told_by_the_start_and_by_verify() {
    let source = memory_folder();
    let before = filled(source.path());
    let mut random = SmallRng::seed_from_u64(11);
    for _ in 0..rounds(40) {
        let folder = memory_folder();
        copy(source.path(), folder.path());
        let what = damage(folder.path(), &mut random);

        let verified = verify(folder.path()).unwrap();
        let (store, report) = open(folder.path());

        let told = verified.findings.iter().any(|finding| finding.area == Area::Counters);
        assert!(told && !report.usage.findings.is_empty(), "{what}: {report:?}");
        let right = records(&store) == before;
        let named = |finding: &String| finding.contains("log ") || finding.contains("records");
        assert!(right || report.usage.findings.iter().any(named), "{what}: {report:?}");
    }
}

#[test]
fn what_is_lost_is_told_with_how_much_and_where() {
    let folder = memory_folder();
    let (store, _) = open(folder.path());
    store.put_batch(&[(vec![1], vec![1; 40]), (vec![2], vec![2; 40]), (vec![3], vec![3; 40])]).unwrap();
    store.put_batch(&[(vec![4], vec![4; 40])]).unwrap();
    drop(store);
    crate::start::flip(&folder.path().join("counters/0000000001.log"), 96 + 28 + 20);

    let (store, report) = open(folder.path());

    assert_eq!(records(&store).into_keys().collect::<Vec<_>>(), [[4]]);
    assert_eq!((report.usage.records, report.usage.missing), (1, 3));
    let [place, count] = &report.usage.findings[..] else { panic!("{report:?}") };
    assert!(place.starts_with("log 1, byte 96: a frame fails its checksum") && place.contains("3 images"), "{place}");
    assert_eq!(count, "3 of 4 records of the last stop are missing");
}

#[test]
fn usage_of_another_store_is_not_taken_over() {
    let (folder, other) = (memory_folder(), memory_folder());
    filled(folder.path());
    filled(other.path());
    std::fs::remove_dir_all(folder.path().join("counters")).unwrap();
    copy(&other.path().join("counters"), &folder.path().join("counters"));

    let (store, report) = open(folder.path());

    assert!(records(&store).is_empty() && folder.path().join("counters.foreign").exists());
    assert!(report.counters_lost.is_some(), "{report:?}");
    assert!(report.usage.findings.iter().any(|finding| finding.contains("not of this one")), "{report:?}");
}

#[test]
fn usage_that_is_gone_altogether_is_told_and_policy_survives() {
    let folder = memory_folder();
    let before = filled(folder.path());
    std::fs::remove_dir_all(folder.path().join("counters")).unwrap();

    let (store, report) = open(folder.path());

    assert!(records(&store).is_empty());
    assert_eq!(report.usage.missing, before.len() as u64);
    assert!(report.counters_lost.is_some());
}
