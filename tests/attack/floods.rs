//! As many connections as a client can open, at the port and at the control socket.

use crate::arena::{Arena, Attack, Front, Got, Scale};
use crate::crowd::Crowd;
use crate::wire::{HOST, connect_control, head};
use std::time::{Duration, Instant};

/// A connection that says nothing is ended by then.
const HEAD_DEADLINE: Duration = Duration::from_secs(13);
const SOURCES: [u8; 4] = [1, 2, 3, 4];

/// New connections in one go where few are allowed: with more than there is room for, one that is honest could have to
/// make room before it has said anything.
const BURST: usize = 16;

pub const ATTACKS: [Attack; 5] = [
    Attack { name: "connections that say nothing", front: Front::Plain, run: silent },
    Attack { name: "connections idle after an answer", front: Front::Plain, run: idle },
    Attack { name: "64 connections allowed, hundreds open", front: Front::Capped, run: capped },
    Attack { name: "one client behind a proxy", front: Front::Proxied, run: proxied },
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

/// More than the socket takes: who is idle makes room there too, and the port has nothing to do with it.
fn control(arena: &Arena, scale: Scale) -> Got {
    const COUNT: usize = 500;
    let mut got = Got::default();
    let patience = Duration::from_millis(200);
    let open = |_| connect_control(&arena.control_socket(), patience).ok();
    let held: Vec<_> = (0..COUNT).filter_map(open).collect();
    std::thread::sleep(scale.of(Duration::from_secs(2), Duration::from_secs(4)));
    got.effort = format!("{COUNT}, nothing");
    got.got = format!("{} were let in or wait", held.len());
    got
}

/// Who is idle makes room, so nobody is kept out.
fn capped(arena: &Arena, scale: Scale) -> Got {
    let mut got = Got::default();
    let until = Instant::now() + scale.of(Duration::from_secs(2), Duration::from_secs(5));
    let mut crowd = Crowd::at(arena.address());
    let mut opened = 0;
    while Instant::now() < until {
        crowd.members.retain(|member| member.ended_after.is_none());
        let more = 100_usize.saturating_sub(crowd.members.len()).min(BURST);
        crowd.join(more, &SOURCES);
        opened += more;
        crowd.work(Duration::from_millis(10), |_| false);
    }
    let open = arena.sockets();
    got.effort = format!("{opened}, nothing");
    got.got = format!("{open} sockets of the server at the end");
    // The cap, those on their way out, and what the server has beside.
    got.fault_unless(open <= 64 + 64 + 16, format!("{open} sockets are open"));
    got
}

/// Slow bodies of one client and quick requests of others come by the same proxy.
fn proxied(arena: &Arena, _: Scale) -> Got {
    const HELD: usize = 4;
    let mut got = Got::default();
    let of = |client: u8| format!("{}x-forwarded-for: 8.8.8.8, 198.51.100.{client}\r\n", arena.decider());
    let mut crowd = Crowd::at(arena.address());
    crowd.join(50, &[2]);
    crowd.say(&[head("POST /v1/decisions", &format!("{}content-length: 500\r\n", of(7))), vec![b'{']].concat());
    crowd.work(Duration::from_millis(1_500), |_| false);
    let mut others = Crowd::at(arena.address());
    others.join(20, &[2]);
    others.say_each(|index| head("GET /healthz", &of(100 + index as u8)).into());
    others.work(Duration::from_secs(2), Crowd::all_answered);
    got.effort = "50 slow, 20 of others".to_owned();
    got.got = format!("{}; others: {}", crowd.fate(), others.fate());
    let refused = crowd.statuses().get(&429).copied().unwrap_or(0);
    got.fault_unless(refused == 50 - HELD, format!("{refused} of 50 were refused, {HELD} may be in flight"));
    got.fault_unless(others.statuses().get(&200) == Some(&20), format!("others: {}", others.fate()));
    got
}
