//! Callers whose key is good and who mean ill, and one who means well and is slow.

use crate::arena::{Arena, Attack, Front, Got, Scale};
use crate::crowd::Crowd;
use crate::wire::{Line, connect, head, request};
use std::sync::Arc;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(4);
/// The most that the body of a decision may have.
const MAX_DECISION: usize = 64 * 1024;

pub const ATTACKS: [Attack; 2] = [
    Attack { name: "decisions of 64 KiB and one byte, batches of 257", front: Front::Plain, run: oversized },
    Attack { name: "a slow client that means well", front: Front::Plain, run: slow_and_legal },
];

const DECISION: &str = r#"{"account": "slow", "resource": "MiniMax-M2", "tokens": 1}"#;

/// A decision in so many bytes.
fn padded(bytes: usize) -> String {
    format!("{DECISION}{}", " ".repeat(bytes - DECISION.len()))
}

fn oversized(arena: &Arena, scale: Scale) -> Got {
    let (mut got, count) = (Got::default(), scale.of(60, 300));
    let batch = format!("{{\"decisions\": [{}]}}", [DECISION; 257].join(","));
    let requests: [Arc<[u8]>; 3] = [
        request("POST /v1/decisions", &arena.decider(), &padded(MAX_DECISION + 1)).into(),
        request("POST /v1/decisions", &arena.decider(), &padded(MAX_DECISION)).into(),
        request("POST /v1/decisions/batch", &arena.decider(), &batch).into(),
    ];
    let mut crowd = Crowd::at(arena.address());
    crowd.join(count, &[1]);
    crowd.say_each(|index| Arc::clone(&requests[index % requests.len()]));
    crowd.work(SOON, Crowd::all_answered);
    got.effort = format!("{count}, {} KiB", crowd.sent() / 1024);
    got.got = crowd.fate();
    for (index, member) in crowd.members.iter().enumerate() {
        let (what, expected) = [("one byte more", 413), ("64 KiB", 200), ("a batch of 257", 422)][index % 3];
        let fits = member.status() == Some(expected);
        got.fault_unless(fits || got.faults.len() > 3, format!("{what}: {:?} instead of {expected}", member.status()));
    }
    got
}

/// 2 KiB a second, for longer than there is grace: above the least rate, so it is served.
fn slow_and_legal(arena: &Arena, scale: Scale) -> Got {
    const PIECE: usize = 512;
    let (mut got, pieces) = (Got::default(), scale.of(26, 36));
    let body = padded(PIECE * pieces);
    let began = Instant::now();
    let mut line = Line::over(connect(arena.address(), Duration::from_secs(5)).unwrap());
    let headers = format!("{}content-length: {}\r\n", arena.decider(), body.len());
    let mut said = line.say(&head("POST /v1/decisions", &headers));
    for piece in body.as_bytes().chunks(PIECE) {
        said = said.and_then(|()| line.say(piece));
        std::thread::sleep(Duration::from_millis(250));
    }
    let answer = said.and_then(|()| line.answer());
    got.effort = format!("1, {} bytes in {:.1} s", body.len(), began.elapsed().as_secs_f64());
    got.got = answer.as_ref().map_or_else(ToString::to_string, |answer| answer.status.to_string());
    got.fault_unless(
        answer.as_ref().is_ok_and(|answer| answer.status == 200),
        format!("it was not served: {answer:?}"),
    );
    got
}
