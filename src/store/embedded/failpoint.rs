//! Places where a test can kill the process, safeguards that it can take out, and a disk as full as it says. Nothing
//! without the feature.

/// Steps of a commit, in order.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Checked,
    Appended,
    Synced,
    Applied,
    Answered,
}

/// Safeguards whose absence a test must notice.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Safeguard {
    Fsync,
    Overlay,
}

#[cfg(not(feature = "failpoints"))]
pub(crate) const fn hit(_: Step) {}

#[cfg(not(feature = "failpoints"))]
pub(crate) const fn taken_out(_: Safeguard) -> bool {
    false
}

#[cfg(not(feature = "failpoints"))]
pub(crate) const fn free_bytes() -> Option<u64> {
    None
}

#[cfg(not(feature = "failpoints"))]
pub(crate) const fn segment_bytes() -> Option<u64> {
    None
}

#[cfg(feature = "failpoints")]
pub(crate) use armed::{free_bytes, hit, segment_bytes, taken_out};

#[cfg(feature = "failpoints")]
mod armed {
    use super::{Safeguard, Step};
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// From `QUOTAGATE_FAILPOINT=name:n`.
    static TARGET: LazyLock<Option<(String, u64)>> = LazyLock::new(|| {
        let text = std::env::var("QUOTAGATE_FAILPOINT").ok()?;
        let (name, at) = text.split_once(':')?;
        Some((name.to_owned(), at.parse().ok()?))
    });
    static BROKEN: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("QUOTAGATE_BREAK").ok());
    static HITS: AtomicU64 = AtomicU64::new(0);

    /// Kills the process, as `kill -9` would, at the n-th hit of the step that the environment names.
    pub(crate) fn hit(step: Step) {
        let name = match step {
            Step::Checked => "commit.checked",
            Step::Appended => "commit.appended",
            Step::Synced => "commit.synced",
            Step::Applied => "commit.applied",
            Step::Answered => "commit.answered",
        };
        let Some((target, at)) = TARGET.as_ref() else { return };
        if target == name && HITS.fetch_add(1, Ordering::Relaxed) + 1 == *at {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            loop {
                std::thread::park();
            }
        }
    }

    /// What the file says that `QUOTAGATE_FREE_BYTES` names: how much room is left on the disk.
    pub(crate) fn free_bytes() -> Option<u64> {
        static FILE: LazyLock<Option<std::ffi::OsString>> = LazyLock::new(|| std::env::var_os("QUOTAGATE_FREE_BYTES"));
        std::fs::read_to_string(FILE.as_ref()?).ok()?.trim().parse().ok()
    }

    /// What `QUOTAGATE_SEGMENT_BYTES` says: how long a journal segment gets.
    pub(crate) fn segment_bytes() -> Option<u64> {
        std::env::var("QUOTAGATE_SEGMENT_BYTES").ok()?.parse().ok()
    }

    pub(crate) fn taken_out(safeguard: Safeguard) -> bool {
        let name = match safeguard {
            Safeguard::Fsync => "no_fsync",
            Safeguard::Overlay => "no_overlay",
        };
        BROKEN.as_deref() == Some(name)
    }
}
