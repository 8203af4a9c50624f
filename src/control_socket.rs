//! The socket in the data folder, by which whoever owns the files works through the server that holds them.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// The socket's name in the data folder.
pub const NAME: &str = "control.sock";
/// Folder in which it is made, and its name there. INVARIANT: together not longer than [`NAME`].
const NURSERY: (&str, &str) = ("sock.new", "s");
/// Systems take 104 to 108 bytes with the zero at the end.
const MAX_PATH_BYTES: usize = 100;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum ControlSocketError {
    #[error(
        "the path of `{}` has {bytes} bytes and a socket's has {MAX_PATH_BYTES} at most: name the data folder by a \
         shorter path",
        .path.display()
    )]
    TooLong { path: PathBuf, bytes: usize },
    #[error("`{}` is something else than a socket: move it away", .0.display())]
    NoSocket(PathBuf),
    #[error("cannot make `{}`: {why}", .path.display())]
    Failed { path: PathBuf, why: io::Error },
}

/// The socket's file, removed when this is dropped.
#[derive(Debug)]
pub struct ControlSocket(PathBuf);

impl Drop for ControlSocket {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(%error, "the control socket was not removed");
        }
    }
}

/// Opens the socket of a folder, for its owner alone. One that a killed server left is replaced.
///
/// INVARIANT: call it while the folder's lock is held, so that no living server's socket is replaced; and let go of what
/// is returned before the lock.
///
/// Errors: the path is too long, something else has the name, the file system refuses.
pub fn open(data: &Path) -> Result<(UnixListener, ControlSocket), ControlSocketError> {
    let path = data.join(NAME);
    let bytes = path.as_os_str().len();
    if bytes > MAX_PATH_BYTES {
        return Err(ControlSocketError::TooLong { path, bytes });
    }
    match fs::symlink_metadata(&path) {
        Ok(found) if !found.file_type().is_socket() => return Err(ControlSocketError::NoSocket(path)),
        _ => {}
    }
    match listen(data, &path) {
        Ok(listener) => Ok((listener, ControlSocket(path))),
        Err(why) => Err(ControlSocketError::Failed { path, why }),
    }
}

/// ORDER: made in a folder that nobody else may enter, so that it has its mode before it can be reached.
fn listen(data: &Path, path: &Path) -> io::Result<UnixListener> {
    let nursery = data.join(NURSERY.0);
    let fresh = nursery.join(NURSERY.1);
    // What a kill may have left.
    gone(fs::remove_file(&fresh))?;
    gone(fs::remove_dir(&nursery))?;
    DirBuilder::new().mode(0o700).create(&nursery)?;
    let listener = UnixListener::bind(&fresh)?;
    fs::set_permissions(&fresh, Permissions::from_mode(0o600))?;
    fs::rename(&fresh, path)?;
    fs::remove_dir(&nursery)?;
    Ok(listener)
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_socket_is_for_its_owner_alone_and_replaces_one_that_was_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        drop(UnixListener::bind(&path).unwrap());
        fs::create_dir(folder.path().join(NURSERY.0)).unwrap();
        drop(UnixListener::bind(folder.path().join(NURSERY.0).join(NURSERY.1)).unwrap());
        assert!(UnixStream::connect(&path).is_err());

        let (_listener, socket) = open(folder.path()).unwrap();

        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        UnixStream::connect(&path).unwrap();
        drop(socket);
        assert!(fs::read_dir(folder.path()).unwrap().next().is_none(), "nothing is left");
    }

    #[test]
    fn what_is_no_socket_is_not_replaced_and_a_long_path_is_told() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(NAME), "kept").unwrap();
        let long = folder.path().join("a".repeat(MAX_PATH_BYTES));

        assert!(matches!(open(folder.path()), Err(ControlSocketError::NoSocket(_))));
        assert!(matches!(open(&long), Err(ControlSocketError::TooLong { .. })));

        assert_eq!(fs::read(folder.path().join(NAME)).unwrap(), b"kept");
    }
}
