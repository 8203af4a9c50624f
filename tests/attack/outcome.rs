//! What an attack came to: a row of the table, and what should have been otherwise.

use crate::arena::{Attack, Got};
use crate::witness::{Seen, Tally};
use std::time::Duration;

/// Within that long a new connection is told that the server lives.
const MAX_HEALTH: Duration = Duration::from_secs(1);
/// Bytes that an attack may make the process grow by.
const MAX_GROWTH: u64 = 64 * MIB;
const MIB: u64 = 1024 * 1024;

pub struct Outcome {
    name: &'static str,
    got: Got,
    seen: Seen,
    lasted: Duration,
    recovered: Result<Duration, String>,
}

impl Outcome {
    pub fn new(attack: &Attack, got: Got, seen: Seen, lasted: Duration, recovered: Result<Duration, String>) -> Self {
        Self { name: attack.name, got, seen, lasted, recovered }
    }

    /// Everything that does not hold, in words.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = self.got.faults.clone();
        let seen = &self.seen;
        let whole = [
            ("decisions on connections from before", &seen.held),
            ("decisions on new connections", &seen.fresh),
            ("looks at /healthz", &seen.health),
            ("requests by the control socket", &seen.control),
        ];
        for (what, tally) in whole {
            let Tally { asked, answered, complaints, .. } = tally;
            if *asked == 0 || !tally.is_whole() {
                faults.push(format!("{answered} of {asked} {what} were answered: {}", complaints.join("; ")));
            }
        }
        if seen.health.worst() > MAX_HEALTH {
            faults.push(format!("/healthz took {} ms", seen.health.worst().as_millis()));
        }
        if seen.growth() > MAX_GROWTH {
            faults.push(format!("the process grew by {} MiB", seen.growth() / MIB));
        }
        faults.extend(self.recovered.as_ref().err().cloned());
        faults
    }

    /// Panics where something does not hold.
    #[track_caller]
    pub fn must_hold(&self) {
        println!("{}\n{}", header(), self.row());
        let faults = self.faults();
        assert!(faults.is_empty(), "{}:\n{}", self.name, faults.join("\n"));
    }

    pub fn row(&self) -> String {
        let (seen, decisions) = (&self.seen, self.seen.decisions());
        let cells = [
            self.name.to_owned(),
            self.got.effort.clone(),
            format!("{:.1}", self.lasted.as_secs_f64()),
            format!("{} / {}", decisions.answered, decisions.asked),
            ms(decisions.percentile(50)),
            ms(decisions.percentile(99)),
            if seen.health.is_whole() { ms(seen.health.worst()) } else { "none".to_owned() },
            format!("{} / {}", seen.rss_before / MIB, seen.rss_peak / MIB),
            format!("{}", seen.growth() / MIB),
            seen.sockets_peak.to_string(),
            format!("{} / {}", seen.control.answered, seen.control.asked),
            self.got.got.clone(),
            match &self.recovered {
                Ok(after) => format!("works, {} ms", after.as_millis()),
                Err(_) => "broken".to_owned(),
            },
        ];
        format!("| {} |", cells.join(" | "))
    }
}

fn ms(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1_000.0)
}

/// The first two lines of the table.
pub fn header() -> String {
    let names = [
        "attack",
        "connections, bytes",
        "s",
        "decisions answered / asked",
        "p50 ms",
        "p99 ms",
        "worst /healthz ms",
        "RSS MiB before / peak",
        "growth MiB",
        "sockets",
        "control socket",
        "what the attacker got",
        "after",
    ];
    format!("| {} |\n|{}", names.join(" | "), "---|".repeat(names.len()))
}
