//! Callers whose key is good and who mean ill.

use crate::arena::{Arena, Attack, Front, Got, Scale};
use crate::crowd::Crowd;
use crate::wire::request;
use std::sync::Arc;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(4);
/// The most that the body of a decision may have.
const MAX_DECISION: usize = 64 * 1024;

pub const ATTACKS: [Attack; 1] =
    [Attack { name: "decisions of 64 KiB and one byte, batches of 257", front: Front::Plain, run: oversized }];

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
