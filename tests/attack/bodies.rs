//! Bodies that are slow, never end, or are far too large, of strangers and of callers with a key.

use crate::arena::{Arena, Attack, Front, Got, Scale};
use crate::crowd::Crowd;
use crate::wire::{JSON, head};
use std::time::{Duration, Instant};

/// A refusal that waits for nothing comes by then, whatever else goes on.
const AT_ONCE: Duration = Duration::from_secs(1);
/// A refused connection is let go by then.
const SOON: Duration = Duration::from_secs(4);
/// A body below the least rate is ended by then: 5 s of grace, and some slack.
const TOO_SLOW: Duration = Duration::from_secs(9);
const MIB: usize = 1024 * 1024;

pub const ATTACKS: [Attack; 6] = [
    Attack { name: "2 MiB logins of strangers", front: Front::Plain, run: large_logins },
    Attack { name: "bodies of strangers, one byte sent", front: Front::Plain, run: slow_of_strangers },
    Attack { name: "bodies with a key, a byte a second", front: Front::Plain, run: slow_with_key },
    Attack { name: "chunked bodies, a byte a chunk", front: Front::Plain, run: trickled_chunks },
    Attack { name: "100 GB announced", front: Front::Plain, run: announced },
    Attack { name: "chunked bodies without an end", front: Front::Plain, run: endless },
];

/// With as many bytes announced as the body has.
fn announcing(line: &str, headers: &str, bytes: u64) -> Vec<u8> {
    head(line, &format!("{headers}content-length: {bytes}\r\n"))
}

fn large_logins(arena: &Arena, scale: Scale) -> Got {
    let (mut got, count) = (Got::default(), scale.of(120, 500));
    let mut crowd = Crowd::at(arena.address());
    crowd.join(count, &[1]);
    let body = [announcing("POST /v1/sessions", JSON, 2 * MIB as u64), vec![b' '; 2 * MIB]].concat();
    crowd.say(&body);
    crowd.work(SOON, Crowd::all_ended);
    got.effort = format!("{count}, {} MiB sent", crowd.sent() as usize / MIB);
    refused(&mut got, &crowd, &[413]);
    // Once more with the end held back, as a server sees it that reads all there is.
    let mut crowd = Crowd::at(arena.address());
    crowd.join(count, &[1]);
    crowd.say(&body[..body.len() - 1]);
    crowd.work(SOON, Crowd::all_ended);
    refused(&mut got, &crowd, &[413]);
    got
}

/// Everybody is told one of these, and ended; whoever saw nothing but the end has lost the refusal.
fn refused(got: &mut Got, crowd: &Crowd, statuses: &[u16]) {
    got.got = crowd.fate();
    let told = crowd.members.iter().filter(|member| member.status().is_some_and(|told| statuses.contains(&told)));
    let (told, all) = (told.count(), crowd.members.len());
    got.fault_unless(told == all, format!("{told} of {all} were told {statuses:?}: {}", crowd.fate()));
    got.fault_unless(crowd.all_ended(), format!("{} of {all} were ended", crowd.ended()));
}

fn slow_of_strangers(arena: &Arena, scale: Scale) -> Got {
    let (mut got, count) = (Got::default(), scale.of(300, 1_000));
    let mut crowd = Crowd::at(arena.address());
    crowd.join(count, &[1, 2]);
    crowd.say(&[announcing("POST /v1/accounts", JSON, 500), vec![b'{']].concat());
    crowd.work(SOON, Crowd::all_ended);
    got.effort = format!("{count}, {} KiB", crowd.sent() / 1024);
    refused(&mut got, &crowd, &[401]);
    let slowest = crowd.slowest_answer();
    got.fault_unless(slowest <= AT_ONCE, format!("a refusal took {} ms", slowest.as_millis()));
    got
}

fn slow_with_key(arena: &Arena, scale: Scale) -> Got {
    let mut crowd = Crowd::at(arena.address());
    crowd.join(scale.of(200, 1_000), &[1]);
    crowd.say(&[announcing("POST /v1/decisions", &arena.decider(), 500), vec![b'{']].concat());
    trickle(crowd, b" ", Duration::from_secs(1))
}

fn trickled_chunks(arena: &Arena, scale: Scale) -> Got {
    let mut crowd = Crowd::at(arena.address());
    crowd.join(scale.of(200, 500), &[1]);
    let opening = |path: &str, headers: &str| {
        let line = format!("POST {path}");
        std::sync::Arc::from(head(&line, &format!("{headers}transfer-encoding: chunked\r\n")))
    };
    let (decider, admin) = (arena.decider(), arena.admin());
    crowd.say_each(|index| match index % 3 {
        0 => opening("/v1/decisions", &decider),
        1 => opening("/v1/policies/revisions", &admin),
        _ => opening("/v1/sessions", JSON),
    });
    trickle(crowd, b"1\r\n \r\n", Duration::from_millis(500))
}

/// Says the same again and again until it is ended.
fn trickle(mut crowd: Crowd, piece: &[u8], pause: Duration) -> Got {
    let mut got = Got::default();
    let until = Instant::now() + TOO_SLOW;
    while !crowd.work(pause, Crowd::all_ended) && Instant::now() < until {
        crowd.go_on(piece);
    }
    got.effort = format!("{}, {} KiB", crowd.members.len(), crowd.sent() / 1024);
    got.got = crowd.fate();
    let (ended, all) = (crowd.ended(), crowd.members.len());
    got.fault_unless(ended == all, format!("{ended} of {all} were ended for being too slow"));
    let strange = crowd.statuses().into_keys().find(|status| ![0, 400, 408, 413].contains(status));
    got.fault_unless(strange.is_none(), format!("they were told something else: {}", crowd.fate()));
    got
}

fn announced(arena: &Arena, scale: Scale) -> Got {
    const BYTES: u64 = 100_000_000_000;
    let (mut got, count) = (Got::default(), scale.of(60, 300));
    let mut crowd = Crowd::at(arena.address());
    crowd.join(count, &[1]);
    let (decider, admin) = (arena.decider(), arena.admin());
    crowd.say_each(|index| {
        let announced = match index % 3 {
            0 => announcing("POST /v1/decisions", &decider, BYTES),
            1 => announcing("POST /v1/policies/revisions", &admin, BYTES),
            _ => announcing("POST /v1/sessions", JSON, BYTES),
        };
        announced.into()
    });
    crowd.work(SOON, Crowd::all_ended);
    got.effort = count.to_string();
    refused(&mut got, &crowd, &[413]);
    let slowest = crowd.slowest_answer();
    got.fault_unless(slowest <= AT_ONCE, format!("a refusal took {} ms", slowest.as_millis()));
    got
}

fn endless(arena: &Arena, scale: Scale) -> Got {
    let (mut got, count) = (Got::default(), scale.of(20, 100));
    let mut crowd = Crowd::at(arena.address());
    crowd.join(count, &[1]);
    let chunked = |line: &str, headers: &str| {
        let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
        let text = [head(line, &format!("{headers}transfer-encoding: chunked\r\n")), chunk.repeat(160).into_bytes()];
        std::sync::Arc::<[u8]>::from(text.concat())
    };
    let openings = [chunked("POST /v1/decisions", &arena.decider()), chunked("POST /v1/sessions", JSON)];
    crowd.say_each(|index| openings[index % 2].clone());
    crowd.work(SOON, Crowd::all_ended);
    got.effort = format!("{count}, {} MiB sent", crowd.sent() as usize / MIB);
    refused(&mut got, &crowd, &[413]);
    got
}
