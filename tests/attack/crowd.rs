//! Many connections of strangers, moved by one thread that waits for none of them.

use crate::wire::{dial_from, is_wait};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of what came first that are kept of each.
const KEPT: usize = 64;
const PAUSE: Duration = Duration::from_millis(5);

/// One connection, and what became of it.
pub struct Member {
    stream: TcpStream,
    outbox: Arc<[u8]>,
    /// Bytes of the outbox that the system has taken.
    taken: usize,
    /// When it was last told to say something.
    since: Instant,
    first: Vec<u8>,
    pub received: u64,
    pub sent: u64,
    pub answered_after: Option<Duration>,
    pub ended_after: Option<Duration>,
}

impl Member {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            outbox: Arc::from([]),
            taken: 0,
            since: Instant::now(),
            first: Vec::new(),
            received: 0,
            sent: 0,
            answered_after: None,
            ended_after: None,
        }
    }

    /// Of the first answer; None: none came.
    pub fn status(&self) -> Option<u16> {
        std::str::from_utf8(self.first.get(9..12)?).ok()?.parse().ok()
    }

    fn push(&mut self) {
        while self.ended_after.is_none() && self.taken < self.outbox.len() {
            match self.stream.write(&self.outbox[self.taken..]) {
                Ok(taken) => {
                    self.taken += taken;
                    self.sent += taken as u64;
                }
                // What the server said before it ended the connection is still to be read.
                Err(error) if is_wait(&error) || error.kind() == ErrorKind::NotConnected => return,
                Err(_) => self.taken = self.outbox.len(),
            }
        }
    }

    /// Reads up to `most` bytes.
    fn pull(&mut self, most: usize) {
        let (mut buffer, mut left) = ([0; 16 * 1024], most);
        while self.ended_after.is_none() && left > 0 {
            let room = buffer.len().min(left);
            match self.stream.read(&mut buffer[..room]) {
                Ok(0) => self.ended_after = Some(self.since.elapsed()),
                Ok(read) => {
                    self.answered_after.get_or_insert_with(|| self.since.elapsed());
                    let kept = KEPT.saturating_sub(self.first.len()).min(read);
                    self.first.extend_from_slice(&buffer[..kept]);
                    self.received += read as u64;
                    left -= read;
                }
                Err(error) if is_wait(&error) || error.kind() == ErrorKind::NotConnected => return,
                Err(_) => self.ended_after = Some(self.since.elapsed()),
            }
        }
    }
}

pub struct Crowd {
    address: String,
    /// What the system keeps for a member that does not read, in bytes.
    receive: Option<usize>,
    pub members: Vec<Member>,
    /// Connections that were not even made.
    pub unmade: usize,
}

impl Crowd {
    pub fn at(address: &str) -> Self {
        Self { address: address.to_owned(), receive: None, members: Vec::new(), unmade: 0 }
    }

    /// Members for whom the system keeps little.
    pub fn of_small_ears(address: &str) -> Self {
        Self { receive: Some(4 * 1024), ..Self::at(address) }
    }

    /// So many more, by turns from each of the addresses 127.0.0.x.
    pub fn join(&mut self, count: usize, sources: &[u8]) {
        for index in 0..count {
            let source = Ipv4Addr::new(127, 0, 0, sources[index % sources.len()]);
            match dial_from(source, &self.address, self.receive) {
                Ok(stream) => self.members.push(Member::new(stream)),
                Err(_) => self.unmade += 1,
            }
        }
    }

    /// Everybody says this, after what was to be said before.
    pub fn say(&mut self, bytes: &[u8]) {
        let bytes: Arc<[u8]> = bytes.into();
        self.say_each(|_| Arc::clone(&bytes));
    }

    pub fn say_each(&mut self, bytes: impl Fn(usize) -> Arc<[u8]>) {
        for (index, member) in self.members.iter_mut().enumerate() {
            let more = bytes(index);
            let left = &member.outbox[member.taken..];
            member.outbox = if left.is_empty() { more } else { [left, &more].concat().into() };
            (member.taken, member.since) = (0, Instant::now());
            member.push();
        }
    }

    /// Like `say`, and times go on counting from what was said before.
    pub fn go_on(&mut self, bytes: &[u8]) {
        let bytes: Arc<[u8]> = bytes.into();
        self.go_on_each(|_| Arc::clone(&bytes));
    }

    pub fn go_on_each(&mut self, bytes: impl Fn(usize) -> Arc<[u8]>) {
        let since: Vec<Instant> = self.members.iter().map(|member| member.since).collect();
        self.say_each(bytes);
        for (member, since) in self.members.iter_mut().zip(since) {
            member.since = since;
        }
    }

    /// Reads and writes what goes, until `done` or so long; whether it was done.
    pub fn work(&mut self, lasts: Duration, done: impl Fn(&Self) -> bool) -> bool {
        self.work_reading(usize::MAX, lasts, done)
    }

    /// The same for members that read so many bytes a turn; a turn is 5 ms, or what 5 ms of pause make of it.
    pub fn work_reading(&mut self, most: usize, lasts: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let until = Instant::now() + lasts;
        loop {
            for member in &mut self.members {
                member.push();
                member.pull(most);
            }
            if done(self) {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Each reads so many bytes, once.
    pub fn sip(&mut self, bytes: usize) {
        self.work_reading(bytes, Duration::ZERO, |_| true);
    }

    pub fn answered(&self) -> usize {
        self.members.iter().filter(|member| member.answered_after.is_some()).count()
    }

    pub fn ended(&self) -> usize {
        self.members.iter().filter(|member| member.ended_after.is_some()).count()
    }

    pub fn all_answered(&self) -> bool {
        self.answered() == self.members.len()
    }

    pub fn all_ended(&self) -> bool {
        self.ended() == self.members.len()
    }

    pub fn sent(&self) -> u64 {
        self.members.iter().map(|member| member.sent).sum()
    }

    /// How many got which status first; 0 stands for none.
    pub fn statuses(&self) -> BTreeMap<u16, usize> {
        let mut statuses = BTreeMap::new();
        for member in &self.members {
            *statuses.entry(member.status().unwrap_or(0)).or_default() += 1;
        }
        statuses
    }

    /// The longest that one waited for its first byte, of those who got one.
    pub fn slowest_answer(&self) -> Duration {
        self.members.iter().filter_map(|member| member.answered_after).max().unwrap_or_default()
    }

    /// In words, for the table.
    pub fn fate(&self) -> String {
        let statuses: Vec<String> = self
            .statuses()
            .iter()
            .map(|(status, count)| match status {
                0 => format!("{count} no answer"),
                _ => format!("{count} x {status}"),
            })
            .collect();
        format!("{}; {} of {} ended", statuses.join(", "), self.ended(), self.members.len())
    }
}
