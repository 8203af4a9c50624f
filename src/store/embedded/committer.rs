//! The committer: one thread, the only writer of the journal and of the control state.

use super::control::{Applied, Control};
use super::failpoint::{Step, hit};
use super::guarded;
use super::journal::entry::Change;
use super::journal::{AppendError, Appended, GROUP_FULL_BYTES, Journal, MAX_GROUP_ENTRIES};
use super::layer::is_out_of_files;
use super::overlay::Overlay;
use super::room::{Room, is_full};
use super::shared::Shared;
use crate::store::{Answer, Changeset, CommitError, Committed, Outcome, ReadOnly, StoreError};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;
use tokio::sync::oneshot;

/// How often it is looked for room on the disk while nobody commits.
const IDLE: Duration = Duration::from_millis(100);

/// A change on its way in.
pub(crate) struct Job {
    pub(crate) change: Changeset,
    pub(crate) record: Change,
    pub(crate) payload: Vec<u8>,
    pub(crate) answer: oneshot::Sender<Answer>,
}

pub(crate) struct Committer {
    pub(crate) journal: Journal,
    pub(crate) control: Control,
    pub(crate) applied: Applied,
    pub(crate) room: Room,
    pub(crate) shared: Arc<Shared>,
}

/// What became of one job: accepted ones are answered after the group is durable, and so are refusals, because they
/// may rest on what was accepted before them.
enum Fate {
    Accepted,
    Answered(Answer),
}

impl Committer {
    /// Commits group after group until every sender is gone; returns what was applied.
    pub(crate) fn run(mut self, jobs: &Receiver<Job>) -> Applied {
        loop {
            self.prepare();
            match jobs.recv_timeout(IDLE) {
                Ok(first) => {
                    let group = drain(first, jobs);
                    self.commit(group);
                }
                // Readiness is told of a full disk before a change meets it, and of room before one is tried.
                Err(RecvTimeoutError::Timeout) => _ = self.refuses(),
                Err(RecvTimeoutError::Disconnected) => {
                    self.journal.unprepare();
                    return self.applied;
                }
            }
        }
    }

    /// Has the next segment ready before it is needed. What is in the way for a while is no trouble until then.
    fn prepare(&mut self) {
        if self.shared.read_only().is_some() {
            return;
        }
        match self.journal.prepare() {
            Ok(()) => {}
            Err(AppendError::Refused(error)) if is_out_of_files(&error) || is_full(&error) => {}
            Err(AppendError::Refused(error) | AppendError::Broken(error)) => {
                self.shared.stop(ReadOnly::JournalFailed(format!("the next segment: {error}")));
            }
        }
    }

    fn commit(&mut self, jobs: Vec<Job>) {
        if let Some(why) = self.refuses() {
            return answer_all(jobs, |_| Err(why.clone().into()));
        }
        let fates = self.check(&jobs);
        hit(Step::Checked);
        let accepted = accepted(&jobs, &fates);
        let done = if accepted.is_empty() { Ok(Vec::new()) } else { self.keep(&accepted) };
        let done = match done {
            Ok(done) => done,
            Err(failure) => return answer_all(jobs, |index| Err(failure.for_job(&fates[index]))),
        };
        for (job, entry) in accepted.iter().zip(&done) {
            self.shared.on_apply(entry.seq, &job.change);
        }
        let mut done = done.into_iter();
        for (job, fate) in jobs.into_iter().zip(fates) {
            let answer = match fate {
                Fate::Answered(answer) => answer,
                Fate::Accepted => match done.next() {
                    Some(entry) => Ok(Outcome::Committed(Committed { seq: entry.seq, hash: entry.hash })),
                    None => Err(CommitError::Uncertain { why: "the group came back short".to_owned() }),
                },
            };
            // Whoever does not wait for the answer does not want it.
            let _ = job.answer.send(answer);
        }
        hit(Step::Answered);
    }

    /// Why nothing can be committed for now.
    fn refuses(&mut self) -> Option<ReadOnly> {
        match self.shared.read_only() {
            None | Some(ReadOnly::DiskFull { .. }) => {}
            // Only the next segment needs one.
            Some(ReadOnly::OutOfFiles(_)) => match self.journal.prepare() {
                Ok(()) => {}
                Err(error) => {
                    let why = self.append_failed(error).why;
                    return Some(why);
                }
            },
            failed => return failed,
        }
        let why = match self.room.check() {
            Ok(()) => self.resume()?,
            Err(full) => full,
        };
        self.shared.stop(why.clone());
        Some(why)
    }

    /// Goes on after a full disk, or when files can be opened again, unless sled met it: then it refuses all writes until it is opened again.
    fn resume(&self) -> Option<ReadOnly> {
        self.shared.read_only()?;
        match guarded("the control state", || self.control.flush()) {
            Ok(()) => {
                self.shared.resume();
                None
            }
            Err(error) => Some(ReadOnly::ControlFailed(error.to_string())),
        }
    }

    /// Each change is checked against the state and those accepted earlier in the group.
    fn check(&self, jobs: &[Job]) -> Vec<Fate> {
        let mut overlay = Overlay::over(&self.control, self.journal.last_seq());
        jobs.iter()
            .map(|job| match overlay.admit(&job.change) {
                Ok(None) => Fate::Accepted,
                Ok(Some(replayed)) => Fate::Answered(Ok(Outcome::Replayed(replayed))),
                Err(refused) => Fate::Answered(Err(refused)),
            })
            .collect()
    }

    /// ORDER: journal, its durability, the state, what the state reflects. A crash between any two leaves nothing or
    /// what a replay completes.
    fn keep(&mut self, accepted: &[&Job]) -> Result<Vec<Appended>, Failure> {
        let payloads: Vec<&[u8]> = accepted.iter().map(|job| job.payload.as_slice()).collect();
        let entries = self.journal.append(&payloads).map_err(|error| self.append_failed(error))?;
        hit(Step::Appended);
        if let Err(error) = self.journal.sync() {
            // A failed fsync may have dropped the pages, so a second one proves nothing: read-only for good.
            let why = ReadOnly::JournalFailed(format!("fsync: {error}"));
            self.shared.stop(why.clone());
            return Err(Failure { why, uncertain: true });
        }
        hit(Step::Synced);
        if let Err(error) = self.apply(accepted, &entries) {
            let why = ReadOnly::ControlFailed(error.to_string());
            self.shared.stop(why.clone());
            return Err(Failure { why, uncertain: true });
        }
        let at_ms = accepted.last().map(|job| job.record.at_ms);
        self.shared.set_position(&self.applied, self.journal.position(), at_ms);
        hit(Step::Applied);
        Ok(entries)
    }

    fn append_failed(&mut self, error: AppendError) -> Failure {
        let why = match error {
            AppendError::Refused(error) if is_full(&error) => self.room.ran_out(),
            AppendError::Refused(error) if is_out_of_files(&error) => ReadOnly::OutOfFiles(error.to_string()),
            AppendError::Refused(error) | AppendError::Broken(error) => ReadOnly::JournalFailed(error.to_string()),
        };
        self.shared.stop(why.clone());
        Failure { why, uncertain: false }
    }

    fn apply(&mut self, accepted: &[&Job], entries: &[Appended]) -> Result<(), StoreError> {
        for (job, entry) in accepted.iter().zip(entries) {
            self.control.apply(&mut self.applied, (entry.seq, entry.hash), &job.record, entry.place)?;
        }
        self.control.sweep(&mut self.applied)?;
        self.control.set_applied(&self.applied)
    }
}

/// Why a group was not committed.
struct Failure {
    why: ReadOnly,
    /// It may be in the journal all the same.
    uncertain: bool,
}

impl Failure {
    fn for_job(&self, fate: &Fate) -> CommitError {
        match fate {
            Fate::Accepted if self.uncertain => CommitError::Uncertain { why: self.why.to_string() },
            Fate::Accepted | Fate::Answered(_) => self.why.clone().into(),
        }
    }
}

fn accepted<'a>(jobs: &'a [Job], fates: &[Fate]) -> Vec<&'a Job> {
    jobs.iter().zip(fates).filter(|(_, fate)| matches!(fate, Fate::Accepted)).map(|(job, _)| job).collect()
}

fn drain(first: Job, jobs: &Receiver<Job>) -> Vec<Job> {
    let mut bytes = first.payload.len();
    let mut group = vec![first];
    while group.len() < MAX_GROUP_ENTRIES && bytes < GROUP_FULL_BYTES {
        let Ok(job) = jobs.try_recv() else { break };
        bytes += job.payload.len();
        group.push(job);
    }
    group
}

fn answer_all(jobs: Vec<Job>, answer: impl Fn(usize) -> Answer) {
    for (index, job) in jobs.into_iter().enumerate() {
        // Whoever does not wait for the answer does not want it.
        let _ = job.answer.send(answer(index));
    }
}
