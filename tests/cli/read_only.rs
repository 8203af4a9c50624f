//! A folder that cannot be written to, such as one on a snapshot of a file system.

use crate::changes::memory_folder;
use crate::verify::{filled, path, quotagate, text};
use std::path::Path;
use std::process::{Command, Output};

/// Runs the command where the folder is mounted so that nothing can be written to it; None: this machine lets nobody mount.
fn on_a_read_only_mount(folder: &Path, arguments: &[&str]) -> Option<Output> {
    let script = "mount --bind \"$0\" \"$0\" && mount -o remount,ro,bind \"$0\" && exec \"$@\"";
    let run = |command: &[&str]| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--map-root-user", "sh", "-c", script, path(folder)]).args(command);
        unshare.env_remove("QUOTAGATE_DATA").output()
    };
    if !run(&["true"]).is_ok_and(|output| output.status.success()) {
        println!("nothing is tried: `unshare --mount` is not allowed here");
        return None;
    }
    Some(run(&[&[env!("CARGO_BIN_EXE_quotagate")], arguments].concat()).unwrap())
}

#[test]
fn a_folder_on_a_read_only_mount_is_verified_and_backed_up() {
    for has_lock in [true, false] {
        let (folder, elsewhere) = (filled(), memory_folder());
        if !has_lock {
            std::fs::remove_file(folder.path().join("LOCK")).unwrap();
        }
        let file = elsewhere.path().join("one.backup");
        let before = std::fs::read_dir(folder.path().join("control")).unwrap().count();
        let Some(verified) = on_a_read_only_mount(folder.path(), &["verify", "--data", path(folder.path())]) else {
            return;
        };

        let backup = ["backup", "--data", path(folder.path()), path(&file)];
        let written = on_a_read_only_mount(folder.path(), &backup).unwrap();
        let target = elsewhere.path().join("new");
        let restored = quotagate(&["restore", path(&file), "--data", path(&target)]);

        assert_eq!(verified.status.code(), Some(0), "{}", text(&verified.stderr));
        assert!(text(&verified.stdout).contains("records compared with a replay"), "{}", text(&verified.stdout));
        assert_eq!(written.status.code(), Some(0), "{}", text(&written.stderr));
        assert!(text(&written.stdout).contains("100 changes in "), "{}", text(&written.stdout));
        assert!(text(&written.stdout).contains("usage in 2 records"), "{}", text(&written.stdout));
        assert_eq!(restored.status.code(), Some(0), "{}", text(&restored.stderr));
        assert_eq!(std::fs::read_dir(folder.path().join("control")).unwrap().count(), before);
        assert_eq!(folder.path().join("LOCK").exists(), has_lock);
    }
}
