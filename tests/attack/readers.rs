//! Clients that ask for much and do not read it, or hardly.

use crate::arena::{Arena, Attack, Front, Got, Scale};
use crate::crowd::Crowd;
use crate::wire::{HOST, head};
use std::time::{Duration, Instant};

/// Each connection asks that often in one go.
const PIPELINED: usize = 32;
/// Whoever takes nothing for 10 s is let go by then.
const NO_PROGRESS: Duration = Duration::from_secs(14);

pub const ATTACKS: [Attack; 2] = [
    Attack { name: "pipelined /openapi.json, never read", front: Front::Plain, run: never },
    Attack { name: "pipelined /openapi.json, a byte a second", front: Front::Plain, run: hardly },
];

fn never(arena: &Arena, scale: Scale) -> Got {
    readers(arena, scale, 0)
}

fn hardly(arena: &Arena, scale: Scale) -> Got {
    readers(arena, scale, 1)
}

/// `sip` is how many bytes each reads a second.
fn readers(arena: &Arena, scale: Scale, sip: usize) -> Got {
    const COUNT: usize = 300;
    let mut got = Got::default();
    let before = arena.descriptors();
    let mut crowd = Crowd::of_small_ears(arena.address());
    crowd.join(COUNT, &[1]);
    crowd.say(&head("GET /openapi.json", HOST).repeat(PIPELINED));
    let began = Instant::now();
    let lasts = scale.of(Duration::from_secs(3), NO_PROGRESS);
    let mut let_go = None;
    while let_go.is_none() && began.elapsed() < lasts {
        crowd.sip(sip);
        // Honest clients have some open for a moment.
        let_go = arena.lets_go(before + 24, Duration::from_secs(1)).map(|_| began.elapsed());
    }
    got.effort = format!("{COUNT} x {PIPELINED} requests");
    got.got = match let_go {
        Some(after) => format!("let go within {} s", after.as_secs()),
        None => format!("held for {} s", began.elapsed().as_secs()),
    };
    got.fault_unless(scale == Scale::Short || let_go.is_some(), format!("{} are open", arena.descriptors() - before));
    got
}
