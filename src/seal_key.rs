//! The file with the key that seals secrets: 32 bytes in hexadecimal.

use crate::ids::Ids;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;
/// Its name in the data folder, where no other file is named.
const FILE: &str = "seal.key";
/// Longest file that is read: the key and an end of line.
const MAX_FILE_BYTES: u64 = 2 * KEY_BYTES as u64 + 2;

#[derive(Debug, thiserror::Error)]
pub enum SealKeyError {
    #[error("cannot read the seal key `{}`: {why}", .file.display())]
    Read { file: PathBuf, why: io::Error },
    #[error("cannot write the seal key `{}`: {why}", .file.display())]
    Write { file: PathBuf, why: io::Error },
    #[error("the seal key `{}` does not exist: make one with `openssl rand -hex 32`, readable by the server alone", .0.display())]
    Missing(PathBuf),
    #[error(
        "`{}` is no seal key: it has to be 64 hexadecimal digits; put your copy of it there, or where there is none move \
         it away for a new one to be made, and give each billing source another secret", .0.display()
    )]
    Malformed(PathBuf),
}

/// The key in the file that is named, which must be there; else that of the data folder, which is made at the first start.
pub fn load(named: Option<&Path>, data: &Path) -> Result<Zeroizing<[u8; KEY_BYTES]>, SealKeyError> {
    let own = data.join(FILE);
    let file = named.unwrap_or(&own);
    match read(file)? {
        Some(key) => Ok(key),
        None if named.is_some() => Err(SealKeyError::Missing(file.to_owned())),
        None => make(&own, data).map_err(|why| SealKeyError::Write { file: own, why }),
    }
}

/// None: there is no such file.
fn read(file: &Path) -> Result<Option<Zeroizing<[u8; KEY_BYTES]>>, SealKeyError> {
    let mut text = Zeroizing::new(String::new());
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(SealKeyError::Read { file: file.to_owned(), why }),
    };
    match opened.take(MAX_FILE_BYTES + 1).read_to_string(&mut text) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(SealKeyError::Malformed(file.to_owned()));
        }
        Err(why) => return Err(SealKeyError::Read { file: file.to_owned(), why }),
    }
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    match hex::decode_to_slice(text.trim_end(), &mut *key) {
        Ok(()) => Ok(Some(key)),
        Err(_) => Err(SealKeyError::Malformed(file.to_owned())),
    }
}

/// ORDER: durable under its name before anything is sealed with it; a kill on the way leaves no key, never half of one.
fn make(file: &Path, folder: &Path) -> io::Result<Zeroizing<[u8; KEY_BYTES]>> {
    let key = Zeroizing::new(Ids::from_system().bytes());
    let text = Zeroizing::new(format!("{}\n", hex::encode(*key)));
    let unfinished = file.with_extension("key.new");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
    let opened: OwnedFd = rustix::fs::open(&unfinished, flags, Mode::RUSR | Mode::WUSR)?;
    let mut opened = File::from(opened);
    opened.write_all(text.as_bytes())?;
    opened.sync_all()?;
    std::fs::rename(&unfinished, file)?;
    File::open(folder)?.sync_all()?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_key_of_the_folder_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();

        let first = load(None, folder.path()).unwrap();
        let again = load(None, folder.path()).unwrap();

        assert_eq!(first, again);
        let mode = std::fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_ne!(first, load(None, tempfile::tempdir().unwrap().path()).unwrap());
    }

    #[test]
    fn a_key_that_is_named_is_taken_as_it_is_and_never_made() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");

        assert!(matches!(load(Some(&file), folder.path()), Err(SealKeyError::Missing(_))));
        std::fs::write(&file, format!("{}\n", "0a".repeat(32))).unwrap();
        assert_eq!(*load(Some(&file), folder.path()).unwrap(), [10; 32]);
        for bad in ["", "0a", &"0g".repeat(32), &"0a".repeat(33)] {
            std::fs::write(&file, bad).unwrap();
            assert!(matches!(load(Some(&file), folder.path()), Err(SealKeyError::Malformed(_))), "{bad}");
        }
        std::fs::write(&file, [0xFF; 64]).unwrap();
        let error = load(Some(&file), folder.path()).unwrap_err().to_string();
        assert!(error.contains("64 hexadecimal digits"), "{error}");
    }
}
