//! An atomic decision over two sliding windows, in process, beside governor's two calls.
//!
//! Targets take turns within a round, so that a slow moment of the machine hits all of them; printed are the medians
//! of the rounds and the medians of the ratios within a round. Criterion then follows single cases from run to run.

#[allow(dead_code, reason = "the measurements share it")]
#[path = "support/load.rs"]
mod load;

use criterion::{Criterion, criterion_group, criterion_main};
use governor::{DefaultKeyedRateLimiter, Quota};
use load::Id;
#[cfg(feature = "server")]
use quotagate::clock::Clock;
use quotagate::engine::{Costs, Engine, HISTORY_PARTS, Options};
use std::cell::Cell;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::Instant;

/// Decisions of one target in one round.
const CALLS: usize = 1 << 20;

/// How often the targets take turns (`ROUNDS`); 0 leaves the comparison out.
fn rounds() -> usize {
    std::env::var("ROUNDS").ok().map_or(9, |n| n.parse().expect("ROUNDS is a number"))
}

/// How the time that a decision is given moves on.
#[derive(Clone, Copy)]
enum Pace {
    /// A millisecond each 4,096 decisions: 4 million decisions a second.
    Busy,
    /// Each account is charged about once a second: all 60 slots hold usage, and each decision drops one.
    Dense,
}

struct Ours {
    engine: Engine,
    costs: Costs,
    pace: Pace,
    done: u64,
}

impl Ours {
    fn new(rpm: u64, ids: &[Id], pace: Pace) -> Self {
        Self::with(rpm, ids, pace, Options::default())
    }

    fn with(rpm: u64, ids: &[Id], pace: Pace, options: Options) -> Self {
        let engine = load::engine_with(rpm, ids, options);
        let mut ours = Self { engine, costs: load::costs(), pace, done: 0 };
        let warm_up = match pace {
            Pace::Busy => 1,
            Pace::Dense => 61,
        };
        for _ in 0..warm_up {
            ours.run(ids);
        }
        ours
    }

    fn run(&mut self, accounts: &[Id]) {
        for (id, n) in accounts.iter().zip(self.done..) {
            let now = load::BEGUN
                + match self.pace {
                    Pace::Busy => (n >> 12) as i64,
                    Pace::Dense => (n / 10) as i64,
                };
            decide(&self.engine, id, &self.costs, now);
        }
        self.done += accounts.len() as u64;
    }
}

fn decide(engine: &Engine, id: &Id, costs: &Costs, now: i64) {
    black_box(engine.decide(&load::request(load::text_unchecked(id), costs), now).is_ok_and(|made| made.allowed()));
}

/// The same with the server's clock, read for each decision.
#[cfg(feature = "server")]
struct Clocked {
    engine: Engine,
    costs: Costs,
    clock: Clock,
}

#[cfg(feature = "server")]
impl Clocked {
    fn new(ids: &[Id]) -> Self {
        let clock = Clock::system(quotagate::clock::wall_ms());
        let clocked = Self { engine: load::engine(load::AMPLE_RPM, ids), costs: load::costs(), clock };
        clocked.run(ids);
        clocked
    }

    fn run(&self, accounts: &[Id]) {
        for id in accounts {
            decide(&self.engine, id, &self.costs, self.clock.now_ms());
        }
    }
}

/// Two limiters, called one after the other. Its own clock, which is a part of each call.
struct Governor {
    requests: DefaultKeyedRateLimiter<Id>,
    tokens: DefaultKeyedRateLimiter<Id>,
}

impl Governor {
    fn new(ids: &[Id]) -> Self {
        let limiter = || DefaultKeyedRateLimiter::keyed(Quota::per_second(NonZeroU32::MAX));
        let governor = Self { requests: limiter(), tokens: limiter() };
        governor.run(ids);
        governor
    }

    fn run(&self, accounts: &[Id]) {
        let tokens = NonZeroU32::new(1_200).expect("not 0");
        for id in accounts {
            black_box(self.requests.check_key(id).is_ok() && self.tokens.check_key_n(id, tokens).is_ok());
        }
    }
}

type Target<'a> = (&'a str, Box<dyn FnMut() + 'a>);

/// Runs the targets in turn and prints medians; ratios are against the first.
fn compare(title: &str, calls: usize, targets: &mut [Target<'_>]) {
    let times: Vec<Vec<f64>> = (0..rounds())
        .map(|round| {
            let mut times = vec![0.0; targets.len()];
            for turn in 0..targets.len() {
                let turn = (turn + round) % targets.len();
                let begun = Instant::now();
                targets[turn].1();
                times[turn] = begun.elapsed().as_secs_f64() * 1e9 / calls as f64;
            }
            times
        })
        .collect();
    println!("{title}");
    for (at, (name, _)) in targets.iter().enumerate() {
        let time = median(times.iter().map(|round| round[at]));
        let ratio = median(times.iter().map(|round| round[at] / round[0]));
        println!("  {name:<34} {time:>8.1} ns  {:>7.2} M/s  {ratio:>6.2} of the first", 1e3 / time);
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn one_thread(_: &mut Criterion) {
    if rounds() == 0 {
        return;
    }
    for accounts in [1, 10_000, 1_000_000] {
        let ids = load::ids(accounts);
        let drawn = &load::drawn(&ids, 2)[..CALLS];
        let governor = Governor::new(&ids);
        let mut ours = Ours::new(load::AMPLE_RPM, &ids, Pace::Busy);
        #[cfg(feature = "server")]
        let clocked = Clocked::new(&ids);
        let mut targets: Vec<Target<'_>> = vec![
            ("governor, two limits (two calls)", Box::new(|| governor.run(drawn))),
            ("quotagate, two limits", Box::new(|| ours.run(drawn))),
            #[cfg(feature = "server")]
            ("quotagate, with the server's clock", Box::new(|| clocked.run(drawn))),
        ];
        compare(&format!("1 thread, {accounts} accounts"), CALLS, &mut targets);
    }
}

/// The history of each minute kept and not kept; both with ten minutes to a round, which are taken out as they pass.
fn history(_: &mut Criterion) {
    if rounds() == 0 {
        return;
    }
    for accounts in [1, 10_000, 1_000_000] {
        let ids = load::ids(accounts);
        let drawn = &load::drawn(&ids, 2)[..CALLS];
        let minute = Cell::new(0);
        let run = |ours: &Ours| {
            for part in drawn.chunks(CALLS / 10) {
                minute.set(minute.get() + 1);
                let now = load::BEGUN + minute.get() * 60_000;
                part.iter().for_each(|id| decide(&ours.engine, id, &ours.costs, now));
                (0..HISTORY_PARTS).for_each(|part| ours.engine.drain_history(part, now, |_, _, _| {}));
            }
        };
        let off = Ours::new(load::AMPLE_RPM, &ids, Pace::Busy);
        let on = Ours::with(load::AMPLE_RPM, &ids, Pace::Busy, Options { history: true, ..Options::default() });
        let mut targets: Vec<Target<'_>> =
            vec![("without history", Box::new(|| run(&off))), ("with history", Box::new(|| run(&on)))];
        compare(&format!("history, 1 thread, {accounts} accounts"), CALLS, &mut targets);
    }
}

/// What the usual case leaves out: denials, windows full of usage, tables that hold more.
fn other_paths(_: &mut Criterion) {
    if rounds() == 0 {
        return;
    }
    let ids = load::ids(10_000);
    let drawn = &load::drawn(&ids, 2)[..CALLS];
    let mut busy = Ours::new(load::AMPLE_RPM, &ids, Pace::Busy);
    let mut dense = Ours::new(load::AMPLE_RPM, &ids, Pace::Dense);
    let mut denied = Ours::new(1, &ids, Pace::Busy);
    let mut targets: Vec<Target<'_>> = vec![
        ("allowed, few slots", Box::new(|| busy.run(drawn))),
        ("allowed, all 60 slots, one dropped", Box::new(|| dense.run(drawn))),
        ("denied", Box::new(|| denied.run(drawn))),
    ];
    compare("1 thread, 10000 accounts, other paths", CALLS, &mut targets);
}

fn two_threads(_: &mut Criterion) {
    if rounds() == 0 {
        return;
    }
    let ids = load::ids(10_000);
    let drawn = [load::drawn(&ids, 2), load::drawn(&ids, 3)];
    let governor = Governor::new(&ids);
    let engine = load::engine(load::AMPLE_RPM, &ids);
    let costs = load::costs();
    let both = |run: &(dyn Fn(&[Id]) + Sync)| {
        std::thread::scope(|scope| drawn.each_ref().map(|drawn| scope.spawn(|| run(drawn))).map(|_| ()));
    };
    let decide_all = |drawn: &[Id]| {
        for (n, id) in drawn.iter().enumerate() {
            decide(&engine, id, &costs, load::BEGUN + (n >> 12) as i64);
        }
    };
    let mut targets: Vec<Target<'_>> = vec![
        ("governor, two limits (two calls)", Box::new(|| both(&|drawn| governor.run(drawn)))),
        ("quotagate, two limits", Box::new(|| both(&decide_all))),
    ];
    compare("2 threads, 10000 accounts, both together", 2 * CALLS, &mut targets);
}

fn followed(criterion: &mut Criterion) {
    for (name, rpm, accounts) in
        [("allow", load::AMPLE_RPM, 1), ("allow", load::AMPLE_RPM, 10_000), ("deny", 1, 10_000)]
    {
        let ids = load::ids(accounts);
        let drawn = load::drawn(&ids, 2);
        let mut ours = Ours::new(rpm, &ids, Pace::Busy);
        let mut parts = drawn.chunks_exact(1_024).cycle();
        criterion.bench_function(&format!("1024 decisions, {accounts} accounts, {name}"), |bencher| {
            bencher.iter(|| ours.run(parts.next().expect("a cycle")));
        });
    }
}

criterion_group!(benches, history, one_thread, two_threads, other_paths, followed);
criterion_main!(benches);
