//! Heads that never end, or are none: slow ones, large ones, many headers, other protocols, and noise.

use crate::arena::{Arena, Attack, Front, Got, Scale};
use crate::crowd::Crowd;
use crate::wire::{HOST, head};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A head that has not come by then ends its connection; some slack for the server to notice.
const HEAD_DEADLINE: Duration = Duration::from_secs(13);
const SOON: Duration = Duration::from_secs(5);

pub const ATTACKS: [Attack; 4] = [
    Attack { name: "heads, one byte a second", front: Front::Plain, run: slow },
    Attack { name: "garbage and half requests, pipelined", front: Front::Plain, run: garbage },
    Attack { name: "heads of 100 headers and of megabytes", front: Front::Plain, run: bombs },
    Attack { name: "HTTP/2 in plain text, HTTP/1.0", front: Front::Plain, run: other_versions },
];

fn slow(arena: &Arena, scale: Scale) -> Got {
    let (mut got, count) = (Got::default(), scale.of(300, 1_000));
    let mut crowd = Crowd::at(arena.address());
    crowd.join(count, &[1, 2]);
    let text = head("GET /healthz", &format!("{HOST}x-slow: {}\r\n", "a".repeat(100)));
    let until = Instant::now() + scale.of(Duration::from_secs(3), HEAD_DEADLINE);
    crowd.say(&text[..1]);
    for byte in &text[1..] {
        if crowd.work(Duration::from_secs(1), Crowd::all_ended) || Instant::now() >= until {
            break;
        }
        crowd.go_on(&[*byte]);
    }
    got.effort = format!("{count}, {} bytes", crowd.sent());
    got.got = crowd.fate();
    if scale == Scale::Long {
        got.fault_unless(crowd.all_ended(), format!("{} of {count} were ended by the deadline", crowd.ended()));
    }
    got
}

/// No two connections the same: noise that looks like HTTP for a while, and requests that stop in the middle.
fn garbage(arena: &Arena, scale: Scale) -> Got {
    const COUNT: usize = 64;
    let (mut got, waves) = (Got::default(), scale.of(2, 8));
    let pieces: [&[u8]; 8] = [
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n",
        b"POST /v1/decisions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"POST /v1/decisions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
        b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\nzzzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /\x00\xff HTTP/9.9\r\n\r\n",
        b"\r\n\r\n\r\n\r\n",
        b": : :\r\n\r\nGET GET GET\r\n\r\n",
    ];
    let mut sent = 0;
    for wave in 0..waves {
        let mut crowd = Crowd::at(arena.address());
        crowd.join(COUNT, &[1]);
        crowd.say_each(|index| {
            let start = pieces[index % pieces.len()];
            let rest = noise((wave * COUNT + index) as u64, 2 * 1024);
            Arc::from([start, &pieces[(index / pieces.len()) % pieces.len()].repeat(16), &rest].concat())
        });
        crowd.work(Duration::from_millis(750), Crowd::all_ended);
        sent += crowd.sent();
        got.got = crowd.fate();
        let fine = crowd.statuses().get(&200).copied().unwrap_or(0);
        got.fault_unless(fine <= COUNT / pieces.len(), format!("{fine} of them were answered 200"));
    }
    got.effort = format!("{waves} x {COUNT}, {} KiB", sent / 1024);
    got
}

/// The same bytes for the same seed.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..bytes).map(next).collect()
}

fn bombs(arena: &Arena, scale: Scale) -> Got {
    let (mut got, count) = (Got::default(), scale.of(60, 200));
    let many: String = (0..100).map(|number| format!("x-{number}: {number}\r\n")).collect();
    let long = "a".repeat(4 * 1024 * 1024);
    let openings: [Arc<[u8]>; 4] = [
        head("GET /healthz", &format!("{HOST}{many}")).into(),
        head("GET /healthz", &format!("{HOST}x-long: {long}\r\n")).into(),
        head(&format!("GET /{long}"), HOST).into(),
        head("GET /healthz", &format!("{HOST}{}", "x-a: b\r\n".repeat(200_000))).into(),
    ];
    let mut crowd = Crowd::at(arena.address());
    crowd.join(count, &[1]);
    crowd.say_each(|index| Arc::clone(&openings[index % openings.len()]));
    let done =
        |crowd: &Crowd| crowd.members.iter().all(|member| member.answered_after.or(member.ended_after).is_some());
    let all = crowd.work(SOON, done);
    got.effort = format!("{count}, {} MiB sent", crowd.sent() / 1024 / 1024);
    got.got = crowd.fate();
    got.fault_unless(all, format!("some are neither answered nor ended: {}", crowd.fate()));
    for (index, member) in crowd.members.iter().enumerate().filter(|(index, _)| index % openings.len() != 0) {
        let refused = member.status().is_none_or(|status| matches!(status, 400 | 414 | 431));
        got.fault_unless(refused, format!("bomb {} got {:?}", index % openings.len(), member.status()));
    }
    got
}

fn other_versions(arena: &Arena, scale: Scale) -> Got {
    let (mut got, count) = (Got::default(), scale.of(100, 500));
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let old = format!("GET /healthz HTTP/1.0\r\n{HOST}\r\n");
    let mut crowd = Crowd::at(arena.address());
    crowd.join(count, &[1]);
    crowd.say_each(|index| Arc::from(if index % 2 == 0 { &preface[..] } else { old.as_bytes() }));
    crowd.work(SOON, Crowd::all_ended);
    got.effort = count.to_string();
    got.got = crowd.fate();
    let (even, odd): (Vec<_>, Vec<_>) = crowd.members.iter().enumerate().partition(|(index, _)| index % 2 == 0);
    let refused = even.iter().all(|(_, member)| member.status() != Some(200) && member.ended_after.is_some());
    got.fault_unless(refused, "HTTP/2 in plain text is not ended at once");
    let answered = odd.iter().all(|(_, member)| member.status() == Some(200) && member.ended_after.is_some());
    got.fault_unless(answered, "a request of HTTP/1.0 is not answered, or its connection not ended");
    got
}
