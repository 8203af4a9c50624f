//! The one clock. It is read at the edge and passed inward as milliseconds since the Unix epoch.
//!
//! Owns the rule of SEMANTICS, section 4: engine time follows the monotonic clock from the wall time at start, slewed
//! toward the wall clock by at most 1 part in 100. A step of the wall clock of more than a second is not followed, it
//! is reported. Time never runs backwards.

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often a system clock looks at the wall clock.
pub const OBSERVE_EVERY: Duration = Duration::from_secs(1);
/// A wall clock that moves by more than this between two looks has stepped.
const STEP_US: i64 = 1_000_000;
/// Fastest slew, in parts per million.
const MAX_SLEW_PPM: i64 = 10_000;
/// A start this much before the last stored time is taken for a wrong wall clock.
const MAX_BEHIND_MS: i64 = 5_000;

pub struct Clock {
    source: Source,
    /// The latest answer, so that none is before it.
    latest_ms: AtomicI64,
}

enum Source {
    System { begun: Instant, line: ArcSwap<Line>, follower: Mutex<Follower> },
    Manual,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the wall clock is {behind_ms} ms before the last stored time: set the clock, or start with `--accept-clock`, which \
     drops usage later than now"
)]
pub struct ClockBehind {
    pub behind_ms: i64,
}

/// Where engine time begins.
///
/// Errors: the wall clock is earlier than the last stored time by more than 5 s.
pub fn start_ms(wall_ms: i64, last_stored_ms: i64) -> Result<i64, ClockBehind> {
    let behind_ms = last_stored_ms.saturating_sub(wall_ms);
    if behind_ms > MAX_BEHIND_MS { Err(ClockBehind { behind_ms }) } else { Ok(wall_ms.max(last_stored_ms)) }
}

impl Clock {
    /// A clock that begins at `start_ms` and follows the system's.
    #[must_use]
    pub fn system(start_ms: i64) -> Self {
        let follower = Follower::begin(start_ms.saturating_mul(1_000), 0, wall_us());
        let source = Source::System {
            begun: Instant::now(),
            line: ArcSwap::from_pointee(follower.line),
            follower: Mutex::new(follower),
        };
        Self { source, latest_ms: AtomicI64::new(start_ms) }
    }

    /// A clock that moves only by [`Self::advance`].
    #[must_use]
    pub fn manual(start_ms: i64) -> Self {
        Self { source: Source::Manual, latest_ms: AtomicI64::new(start_ms) }
    }

    /// Milliseconds since the Unix epoch; never before an earlier answer.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        let latest = self.latest_ms.load(Ordering::Relaxed);
        let Source::System { begun, line, .. } = &self.source else { return latest };
        let now = line.load().at(elapsed_us(begun)).div_euclid(1_000);
        if now > latest { self.latest_ms.fetch_max(now, Ordering::Relaxed).max(now) } else { latest }
    }

    /// Looks at the wall clock; to be called every [`OBSERVE_EVERY`]. Nothing for a manual clock.
    pub fn observe(&self) {
        if let Source::System { begun, line, follower } = &self.source {
            let mut follower = follower.lock();
            follower.observe(elapsed_us(begun), wall_us());
            line.store(follower.line.into());
        }
    }

    /// How far the wall clock has stepped since the start, in milliseconds. These steps are not followed.
    #[must_use]
    pub fn stepped_ms(&self) -> i64 {
        match &self.source {
            Source::System { follower, .. } => follower.lock().stepped_us / 1_000,
            Source::Manual => 0,
        }
    }

    /// Moves a manual clock forward; a system clock stays as it is. Returns the time after it.
    pub fn advance(&self, by: Duration) -> i64 {
        if let Source::Manual = self.source {
            let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
            let moved = |now: i64| Some(now.saturating_add(by_ms));
            // The closure always answers, so the update cannot fail.
            _ = self.latest_ms.fetch_update(Ordering::Relaxed, Ordering::Relaxed, moved);
        }
        self.now_ms()
    }
}

/// The wall clock, in milliseconds since the Unix epoch.
#[must_use]
pub fn wall_ms() -> i64 {
    wall_us() / 1_000
}

fn wall_us() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

fn elapsed_us(begun: &Instant) -> i64 {
    i64::try_from(begun.elapsed().as_micros()).unwrap_or(i64::MAX)
}

/// Engine time as a line over monotonic time.
#[derive(Debug, Clone, Copy)]
struct Line {
    from_us: i64,
    at_us: i64,
    slew_ppm: i64,
}

impl Line {
    fn at(&self, monotonic_us: i64) -> i64 {
        let passed = monotonic_us - self.from_us;
        self.at_us + passed + passed * self.slew_ppm / 1_000_000
    }
}

/// Decides how engine time follows the wall clock.
#[derive(Debug)]
struct Follower {
    line: Line,
    /// Monotonic and wall time of the last look.
    seen: (i64, i64),
    stepped_us: i64,
}

impl Follower {
    fn begin(start_us: i64, monotonic_us: i64, wall_us: i64) -> Self {
        let line = Line { from_us: monotonic_us, at_us: start_us, slew_ppm: 0 };
        Self { line, seen: (monotonic_us, wall_us), stepped_us: 0 }
    }

    fn observe(&mut self, monotonic_us: i64, wall_us: i64) {
        let jump = (wall_us - self.seen.1) - (monotonic_us - self.seen.0);
        self.seen = (monotonic_us, wall_us);
        if jump.abs() > STEP_US {
            self.stepped_us += jump;
        }
        let now = self.line.at(monotonic_us);
        let behind = wall_us - self.stepped_us - now;
        let every_us = OBSERVE_EVERY.as_micros() as i64;
        let slew_ppm = (behind.saturating_mul(1_000_000) / every_us).clamp(-MAX_SLEW_PPM, MAX_SLEW_PPM);
        self.line = Line { from_us: monotonic_us, at_us: now, slew_ppm };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    const START: i64 = 1_700_000_000 * SECOND;

    /// Engine time after each second, the wall clock's offset from the monotonic one given for each.
    fn follow(offsets: &[i64]) -> (Vec<i64>, Follower) {
        let mut follower = Follower::begin(START, 0, START);
        let mut times = Vec::new();
        for (second, offset) in (1..).zip(offsets) {
            times.push(follower.line.at(second * SECOND));
            follower.observe(second * SECOND, START + second * SECOND + offset);
        }
        (times, follower)
    }

    #[test]
    fn a_small_drift_is_slewed_by_at_most_one_part_in_a_hundred() {
        let (times, follower) = follow(&[-500_000; 60]);

        for pair in times.windows(2) {
            let passed = pair[1] - pair[0];
            assert!((990_000..=1_010_000).contains(&passed), "{passed}");
        }
        let expected = START + 61 * SECOND - 500_000;
        assert!((follower.line.at(61 * SECOND) - expected).abs() < 1_000);
        assert_eq!(follower.stepped_us, 0);
    }

    #[test]
    fn a_step_of_the_wall_clock_changes_nothing_but_the_report() {
        for step in [-3_600 * SECOND, 1_001_000, 86_400 * 365 * SECOND] {
            let (times, follower) = follow(&[0, 0, step, step, step, step]);

            assert_eq!(times, (1..=6).map(|second| START + second * SECOND).collect::<Vec<_>>());
            assert_eq!(follower.stepped_us, step);
        }
    }

    #[test]
    fn a_step_that_is_taken_back_is_no_longer_reported() {
        let (_, follower) = follow(&[0, 7_200 * SECOND, 7_200 * SECOND, 0, 0]);

        assert_eq!(follower.stepped_us, 0);
    }

    #[test]
    fn a_drift_after_a_step_is_still_followed() {
        let step = 3_600 * SECOND;
        let mut offsets = vec![step; 10];
        offsets.extend([step + 100_000; 20]);

        let (_, follower) = follow(&offsets);

        assert!((follower.line.at(31 * SECOND) - (START + 31 * SECOND + 100_000)).abs() < 1_000);
    }

    #[test]
    fn a_start_before_the_stored_time_waits_there_or_is_refused() {
        assert_eq!(start_ms(10_000, 0), Ok(10_000));
        assert_eq!(start_ms(10_000, 15_000), Ok(15_000));
        assert_eq!(start_ms(10_000, 15_001), Err(ClockBehind { behind_ms: 5_001 }));
    }

    #[test]
    fn the_system_clock_starts_where_it_is_told_and_does_not_go_back() {
        let clock = Clock::system(wall_ms() + 4_000);
        let mut last = clock.now_ms();

        for _ in 0..1_000 {
            clock.observe();
            let now = clock.now_ms();
            assert!(now >= last);
            last = now;
        }
        assert!(last >= wall_ms() + 3_000);
    }

    #[test]
    fn a_manual_clock_moves_only_when_it_is_moved() {
        let clock = Clock::manual(5);

        assert_eq!(clock.now_ms(), 5);
        assert_eq!(clock.advance(Duration::from_millis(30)), 35);
        assert_eq!(clock.now_ms(), 35);
    }
}
