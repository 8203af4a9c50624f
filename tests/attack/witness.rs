//! Honest clients beside an attack, and what they and the process looked like meanwhile.

use crate::arena::Arena;
use crate::wire::{HOST, Line, connect, connect_control, head, request};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Scope;
use std::time::{Duration, Instant};

/// Nobody honest waits longer for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
const MAX_COMPLAINTS: usize = 4;

/// What one kind of question came to.
#[derive(Debug, Default)]
pub struct Tally {
    pub asked: usize,
    pub answered: usize,
    /// Of the answers, in the order of time until they are sorted.
    pub times: Vec<Duration>,
    pub complaints: Vec<String>,
}

impl Tally {
    fn note(&mut self, since: Instant, answered: io::Result<()>) {
        self.asked += 1;
        match answered {
            Ok(()) => {
                self.answered += 1;
                self.times.push(since.elapsed());
            }
            Err(error) if self.complaints.len() < MAX_COMPLAINTS => {
                self.complaints.push(format!("after {} ms: {error}", since.elapsed().as_millis()));
            }
            Err(_) => {}
        }
    }

    fn add(&mut self, other: Self) {
        self.asked += other.asked;
        self.answered += other.answered;
        self.times.extend(other.times);
        self.complaints.extend(other.complaints);
    }

    pub fn is_whole(&self) -> bool {
        self.asked == self.answered
    }

    /// The time within which so many of a hundred were answered.
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    pub fn worst(&self) -> Duration {
        self.times.iter().max().copied().unwrap_or_default()
    }
}

/// What the witnesses saw from just before an attack until it ended.
#[derive(Debug, Default)]
pub struct Seen {
    /// Decisions on connections that were open before.
    pub held: Tally,
    /// Decisions on connections of their own.
    pub fresh: Tally,
    pub health: Tally,
    pub control: Tally,
    /// Bytes.
    pub rss_before: u64,
    pub rss_peak: u64,
    pub sockets_peak: usize,
}

impl Seen {
    /// Bytes.
    pub fn growth(&self) -> u64 {
        self.rss_peak.saturating_sub(self.rss_before)
    }

    /// Decisions, on whatever connection.
    pub fn decisions(&self) -> Tally {
        let mut all = Tally::default();
        for tally in [&self.held, &self.fresh] {
            all.asked += tally.asked;
            all.answered += tally.answered;
            all.times.extend(&tally.times);
        }
        all
    }
}

/// Does `attack` while honest clients work.
pub fn watch<T>(arena: &Arena, attack: impl FnOnce() -> T) -> (T, Seen) {
    let over = AtomicBool::new(false);
    let rss_before = arena.rss();
    let held: Vec<Line> = (0..2).map(|_| arena.line(PATIENCE).unwrap()).collect();
    std::thread::scope(|scope| {
        let over = &over;
        let held: Vec<_> = held.into_iter().map(|line| decide_on(scope, over, arena, line)).collect();
        let fresh = every(scope, over, Duration::from_millis(25), move |tally| {
            let since = Instant::now();
            let answered = arena.line(PATIENCE).and_then(|mut line| decide(arena, &mut line, "fresh"));
            tally.note(since, answered);
        });
        let health = every(scope, over, Duration::from_millis(100), move |tally| {
            let since = Instant::now();
            let ask = |mut line: Line| line.ask(&head("GET /healthz", HOST));
            tally.note(since, arena.line(PATIENCE).and_then(ask).and_then(|answer| expect(&answer, 200)));
        });
        let control = every(scope, over, Duration::from_millis(250), move |tally| {
            let since = Instant::now();
            tally.note(since, ask_control(arena, PATIENCE));
        });
        let memory = scope.spawn(move || {
            let (mut rss, mut sockets) = (0, 0);
            while !over.load(Ordering::Relaxed) {
                rss = arena.rss().max(rss);
                sockets = arena.sockets().max(sockets);
                std::thread::sleep(Duration::from_millis(25));
            }
            (rss, sockets)
        });
        // The witnesses are under way before it begins.
        std::thread::sleep(Duration::from_millis(200));
        let came_of_it = attack();
        over.store(true, Ordering::Relaxed);
        let mut seen = Seen { rss_before, ..Seen::default() };
        held.into_iter().for_each(|held| seen.held.add(held.join().unwrap()));
        (seen.fresh, seen.health) = (fresh.join().unwrap(), health.join().unwrap());
        seen.control = control.join().unwrap();
        (seen.rss_peak, seen.sockets_peak) = memory.join().unwrap();
        (came_of_it, seen)
    })
}

type Running<'s> = std::thread::ScopedJoinHandle<'s, Tally>;

/// Asks again and again, with a pause between, until the attack is over.
fn every<'s, 'e>(
    scope: &'s Scope<'s, 'e>,
    over: &'e AtomicBool,
    pause: Duration,
    mut ask: impl FnMut(&mut Tally) + Send + 's,
) -> Running<'s> {
    scope.spawn(move || {
        let mut tally = Tally::default();
        while !over.load(Ordering::Relaxed) {
            ask(&mut tally);
            std::thread::sleep(pause);
        }
        tally
    })
}

/// A connection that is lost is replaced, and was lost all the same.
fn decide_on<'s, 'e>(scope: &'s Scope<'s, 'e>, over: &'e AtomicBool, arena: &'e Arena, line: Line<'e>) -> Running<'s> {
    let mut line = Some(line);
    every(scope, over, Duration::from_millis(10), move |tally| {
        let since = Instant::now();
        let on = line.take().map_or_else(|| arena.line(PATIENCE), Ok);
        let answered = on.and_then(|mut on| {
            decide(arena, &mut on, "held")?;
            line = Some(on);
            Ok(())
        });
        tally.note(since, answered);
    })
}

fn decide(arena: &Arena, line: &mut Line, account: &str) -> io::Result<()> {
    let answer = line.ask(&arena.decision(account))?;
    expect(&answer, 200)?;
    if answer.body.contains("\"decision\"") { Ok(()) } else { Err(io::Error::other(answer.body)) }
}

pub fn expect(answer: &crate::wire::Answer, status: u16) -> io::Result<()> {
    if answer.status == status { Ok(()) } else { Err(io::Error::other(format!("{}: {}", answer.status, answer.body))) }
}

/// Errors: the control socket does not do what it is for.
pub fn ask_control(arena: &Arena, patience: Duration) -> io::Result<()> {
    let mut line = Line::over(connect_control(&arena.control_socket(), patience)?);
    expect(&line.ask(&head("GET /v1/api-keys", HOST))?, 200)
}

/// Everything works, without a restart: a stranger's view, a decision, a change, the socket, readiness.
pub fn works(arena: &Arena, name: &str) -> io::Result<()> {
    let mut line = arena.line(PATIENCE)?;
    let ready = line.ask(&head("GET /readyz", HOST))?;
    expect(&ready, 200)?;
    decide(arena, &mut line, name)?;
    let body = format!("{{\"id\": \"{name}\"}}");
    let made = line.ask(&request("POST /v1/accounts", &arena.admin(), &body))?;
    expect(&made, 201)?;
    ask_control(arena, PATIENCE)
}

/// For the server's own port, whatever is spoken there.
pub fn plain(arena: &Arena, patience: Duration) -> io::Result<Line<'static>> {
    connect(arena.address(), patience).map(Line::over)
}
