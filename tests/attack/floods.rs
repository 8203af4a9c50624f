//! As many connections as a client can open, at the port and at the control socket.

use crate::arena::{Arena, Attack, Front, Got, Scale};
use crate::crowd::Crowd;
use crate::wire::{HOST, connect_control, head};
use std::time::Duration;

/// A connection that says nothing is ended by then.
const HEAD_DEADLINE: Duration = Duration::from_secs(13);
const SOURCES: [u8; 4] = [1, 2, 3, 4];

pub const ATTACKS: [Attack; 3] = [
    Attack { name: "connections that say nothing", front: Front::Plain, run: silent },
    Attack { name: "connections idle after an answer", front: Front::Plain, run: idle },
    Attack { name: "connections to the control socket", front: Front::Plain, run: control },
];

fn silent(arena: &Arena, scale: Scale) -> Got {
    let (mut got, count) = (Got::default(), scale.of(1_500, 4_000));
    let mut crowd = Crowd::at(arena.address());
    crowd.join(count, &SOURCES);
    crowd.work(scale.of(Duration::from_secs(2), HEAD_DEADLINE), Crowd::all_ended);
    got.effort = format!("{count}, nothing");
    got.got = crowd.fate();
    let held = crowd.members.len() - crowd.ended();
    got.fault_unless(scale == Scale::Short || held == 0, format!("{held} are held past the deadline for a head"));
    got
}

fn idle(arena: &Arena, scale: Scale) -> Got {
    let (mut got, count) = (Got::default(), scale.of(1_500, 4_000));
    let mut crowd = Crowd::at(arena.address());
    crowd.join(count, &SOURCES);
    crowd.say(&head("GET /healthz", HOST));
    let settled =
        |crowd: &Crowd| crowd.members.iter().all(|member| member.answered_after.or(member.ended_after).is_some());
    let all = crowd.work(Duration::from_secs(4), settled);
    got.fault_unless(all, "some are neither answered nor ended");
    crowd.work(scale.of(Duration::from_secs(1), Duration::from_secs(5)), Crowd::all_ended);
    got.effort = format!("{count}, one request each");
    got.got = crowd.fate();
    got
}

/// Whoever owns the files may keep others of their own from the socket for a while, and nobody from the port.
fn control(arena: &Arena, scale: Scale) -> Got {
    const COUNT: usize = 500;
    let mut got = Got { control_may_wait: true, ..Got::default() };
    let patience = Duration::from_millis(200);
    let open = |_| connect_control(&arena.control_socket(), patience).ok();
    let held: Vec<_> = (0..COUNT).filter_map(open).collect();
    std::thread::sleep(scale.of(Duration::from_secs(2), Duration::from_secs(4)));
    got.effort = format!("{COUNT}, nothing");
    got.got = format!("{} were let in or wait", held.len());
    got
}
