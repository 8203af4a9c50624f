//! The one thread that hashes passwords: one at a time, and after everything else that wants a core.
//!
//! A hash takes tens of milliseconds of a core. At the priority of all other threads a flood of logins made one decision in a
//! hundred wait several times as long.

use rustix::process::setpriority_process;
use std::sync::LazyLock;
use std::sync::mpsc::{SendError, SyncSender, sync_channel};

/// Nice value: it gets about a tenth of a core that others want too, so that logins go on under any load.
const NICE: i32 = 10;
/// Whoever hands over more than that waits; see the turns of `http`.
const MAX_QUEUED: usize = 2;

type Job = Box<dyn FnOnce() + Send>;

/// None: there could be no thread.
static QUEUE: LazyLock<Option<SyncSender<Job>>> = LazyLock::new(|| {
    let (queue, jobs) = sync_channel::<Job>(MAX_QUEUED);
    let run = move || {
        // On Linux this is the thread's own. Where it is refused, hashing is no worse than any other work.
        _ = setpriority_process(None, NICE);
        jobs.iter().for_each(|job| job());
    };
    std::thread::Builder::new().name("hashing".to_owned()).spawn(run).ok().map(|_| queue)
});

/// Does the work there and waits for what it comes to.
///
/// None: it panicked. Without that thread it is done on this one.
pub(super) fn done<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (answer, answered) = sync_channel(1);
    let job: Job = Box::new(move || _ = answer.send(work()));
    match &*QUEUE {
        None => job(),
        Some(queue) => {
            if let Err(SendError(job)) = queue.send(job) {
                job();
            }
        }
    }
    answered.recv().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::getpriority_process;

    #[test]
    fn it_is_one_thread_that_is_nicer_than_this_one() {
        let there = || done(|| (std::thread::current().id(), getpriority_process(None).unwrap())).unwrap();

        let (first, second) = (there(), there());

        assert_eq!(first, second);
        assert_ne!(first.0, std::thread::current().id());
        assert!(cfg!(not(target_os = "linux")) || first.1 > getpriority_process(None).unwrap());
    }
}
