//! Bodies that are slow, never end, or are far too large, of strangers and of callers with a key.

use crate::arena::{Arena, Attack, Front, Got, Scale};
use crate::crowd::Crowd;
use crate::wire::{JSON, Line, connect, head};
use std::time::{Duration, Instant};

/// A refusal that waits for nothing comes by then, whatever else goes on.
const AT_ONCE: Duration = Duration::from_secs(1);
/// A refused connection is let go by then.
const SOON: Duration = Duration::from_secs(4);
/// A body below the least rate is ended by then: 5 s of grace, and some slack.
const TOO_SLOW: Duration = Duration::from_secs(9);
const MIB: usize = 1024 * 1024;

pub const ATTACKS: [Attack; 5] = [
    Attack { name: "2 MiB logins of strangers", front: Front::Plain, run: large_logins },
    Attack { name: "bodies of strangers, one byte sent", front: Front::Plain, run: slow_of_strangers },
    Attack { name: "bodies with a key, a byte a second", front: Front::Plain, run: slow_with_key },
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

/// A byte a second with its length announced, or in chunks; and one that is slow and means well beside them.
fn slow_with_key(arena: &Arena, scale: Scale) -> Got {
    let (mut got, count) = (Got::default(), scale.of(300, 1_000));
    let (decider, admin) = (arena.decider(), arena.admin());
    let chunked = |line: &str, headers: &str| {
        [head(line, &format!("{headers}transfer-encoding: chunked\r\n")), b"1\r\n{\r\n".to_vec()].concat()
    };
    let kinds = [
        [announcing("POST /v1/decisions", &decider, 500), vec![b'{']].concat(),
        chunked("POST /v1/decisions", &decider),
        chunked("POST /v1/policies/revisions", &admin),
        chunked("POST /v1/sessions", JSON),
    ];
    let mut crowd = Crowd::at(arena.address());
    crowd.join(count, &[1]);
    crowd.say_each(|index| kinds[index % kinds.len()].as_slice().into());
    let served = std::thread::scope(|scope| {
        let honest = scope.spawn(|| slow_and_legal(arena, scale));
        let until = Instant::now() + TOO_SLOW;
        while !crowd.work(Duration::from_secs(1), Crowd::all_ended) && Instant::now() < until {
            let pieces = [&b" "[..], b"1\r\n \r\n"];
            crowd.go_on_each(|index| pieces[(index % kinds.len()).min(1)].into());
        }
        honest.join().unwrap()
    });
    got.effort = format!("{count}, {} KiB", crowd.sent() / 1024);
    got.got = format!("{}; the honest one: {served}", crowd.fate());
    let ended = crowd.ended();
    got.fault_unless(ended == count, format!("{ended} of {count} were ended for being too slow"));
    let strange = crowd.statuses().into_keys().find(|status| ![0, 400, 408].contains(status));
    got.fault_unless(strange.is_none(), format!("they were told something else: {}", crowd.fate()));
    got.fault_unless(served == "200", format!("a slow client that means well was not served: {served}"));
    got
}

/// 2 KiB a second, for longer than there is grace: above the least rate, so it is served. Gives what it was told.
fn slow_and_legal(arena: &Arena, scale: Scale) -> String {
    const PIECE: usize = 512;
    let decision = arena.decision("slow");
    let at = decision.len() - decision.rsplit(|byte| *byte == b'\n').next().unwrap().len();
    let mut body = decision[at..].to_vec();
    body.resize(PIECE * scale.of(26, 40), b' ');
    let mut line = Line::over(connect(arena.address(), Duration::from_secs(5)).unwrap());
    let mut said = line.say(&announcing("POST /v1/decisions", &arena.decider(), body.len() as u64));
    for piece in body.chunks(PIECE) {
        said = said.and_then(|()| line.say(piece));
        std::thread::sleep(Duration::from_millis(250));
    }
    said.and_then(|()| line.answer()).map_or_else(|error| error.to_string(), |answer| answer.status.to_string())
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
