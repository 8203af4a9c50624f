//! Clients that ask for much and do not read it, or hardly.

use crate::arena::{Arena, Attack, Front, Got, Scale};
use crate::crowd::Crowd;
use crate::wire::{HOST, head};
use std::time::{Duration, Instant};

/// Each connection asks that often in one go.
const PIPELINED: usize = 32;
/// Whoever takes nothing for 10 s is let go by then.
const NO_PROGRESS: Duration = Duration::from_secs(14);

pub const ATTACKS: [Attack; 1] =
    [Attack { name: "pipelined, never read or a byte a second", front: Front::Plain, run: readers }];

/// Half of them read nothing at all.
fn readers(arena: &Arena, scale: Scale) -> Got {
    const COUNT: usize = 300;
    let mut got = Got::default();
    let before = arena.sockets();
    let kinds = [
        head("GET /openapi.json", HOST).repeat(PIPELINED),
        head("GET /docs/swagger-ui-bundle.js", HOST).repeat(PIPELINED),
        arena.decision("unread").repeat(100 * PIPELINED),
    ];
    let mut crowds = [Crowd::of_small_ears(arena.address()), Crowd::of_small_ears(arena.address())];
    for crowd in &mut crowds {
        crowd.join(COUNT / 2, &[1]);
        crowd.say_each(|index| kinds[index % kinds.len()].as_slice().into());
    }
    let began = Instant::now();
    let lasts = scale.of(Duration::from_secs(3), NO_PROGRESS);
    let mut let_go = None;
    while let_go.is_none() && began.elapsed() < lasts {
        crowds[0].sip(0);
        crowds[1].sip(1);
        // Honest clients have some open for a moment.
        let_go = arena.lets_go(before + 8, Duration::from_secs(1)).map(|_| began.elapsed());
    }
    got.effort = format!("{COUNT} x {PIPELINED} large answers or {} small", 100 * PIPELINED);
    got.got = match let_go {
        Some(after) => format!("let go within {:.0} s", after.as_secs_f64().ceil()),
        None => format!("held for {} s", began.elapsed().as_secs()),
    };
    got.fault_unless(scale == Scale::Short || let_go.is_some(), format!("{} are still open", arena.sockets() - before));
    got
}
